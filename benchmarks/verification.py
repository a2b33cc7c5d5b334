"""What it costs that bytes are compared with the digests of their parts: add, a region from afar, a whole file into a pipe.

Each case runs both sides in turn and prints the median of the ratios, with the ratio to reach. The unverified side is the
same object without its digests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from regions import write_short_reads
from streaming import MODOS

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from older import forget_digests
from proxy import Proxy

SIZE = 1_000_000_000
ROUNDS = 5
DELAY = 0.03  # seconds


def timed(command: str, folder: Path) -> float:
    """Seconds that a command of the shell takes."""
    begin = time.perf_counter()
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def report(case: str, ours: list[float], other: str, theirs: list[float], goal: str) -> None:
    """Print the medians and that of the ratios."""
    ratio = median(b / a for a, b in zip(ours, theirs))
    print(
        f"{case:<40} modos {median(ours):6.2f} s   {other:<16} {median(theirs):6.2f} s   ratio {ratio:5.2f}  ({goal})", flush=True
    )


def bench_add(folder: Path) -> None:
    """A file of 1 GB is added: copied to the disk, with its digests, and with BLAKE2b or without."""
    with open(folder / "plain", "wb") as file:
        for _ in range(SIZE // 10_000_000):
            file.write(os.urandom(10_000_000))
    element = '{"id": "large", "@type": "DataEntity", "data_format": "TSV", "data_path": "large.tsv"}'
    add = f"{MODOS} add ex data -e '{element}' -s plain"
    times: dict[str, list[float]] = {"add": [], "add without": [], "cp": [], "cp and b2sum": []}
    for _ in range(ROUNDS):
        for case, options in (("add", ""), ("add without", " --no-data-checksum")):
            shutil.rmtree(folder / "ex", ignore_errors=True)
            MODO.create(folder / "ex")
            times[case].append(timed(add + options, folder))
        times["cp"].append(timed("rm -f out; cp plain out; sync out", folder))
        times["cp and b2sum"].append(timed("rm -f out; b2sum plain > sum & cp plain out; sync out; wait", folder))
    report("add 1 GB with BLAKE2b", times["add"], "cp and b2sum", times["cp and b2sum"], "goal 0.5")
    report("add 1 GB without BLAKE2b", times["add without"], "cp, on the disk", times["cp"], "goal 0.5")
    shutil.rmtree(folder / "ex")


def bench_whole(folder: Path) -> None:
    """A whole BAM into a pipe, as it is stored."""
    write_short_reads(folder / "short.bam", 11_000_000)
    for name in ("verified", "unverified"):
        MODO(folder / name).add_element({"id": "short", "@type": "AlignmentSet"}, folder / "short.bam")
    forget_digests(folder / "unverified")
    commands = {name: f"{MODOS} stream --raw {name}/short.bam | cat > /dev/null" for name in ("verified", "unverified")}
    times = {name: [timed(command, folder) for _ in range(ROUNDS)] for name, command in commands.items()}
    report("whole BAM of 500 MB into a pipe", times["verified"], "unverified", times["unverified"], "goal 0.9")


def bench_region(folder: Path) -> None:
    """A region of a BAM on S3, 30 ms away."""
    regions = ["chr1:50000000-50010000", "chr1:50000000-50200000", "chr1:10000000-20000000"]
    with run_stack() as services, Proxy(services.s3, delay=DELAY) as proxy:
        for name in ("verified", "unverified"):
            MODO.open(folder / name).upload(f"s3://{BUCKET}/{name}", services={"s3": services.s3}, s3_kwargs=CREDENTIALS)
        for region in regions:
            found: dict[str, list[tuple[int, float, int]]] = {"verified": [], "unverified": []}
            for _ in range(ROUNDS):
                for name, figures in found.items():
                    modo = MODO.open(f"s3://{BUCKET}/{name}", services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
                    modo.metadata  # the connection and the root are there before
                    proxy.answered, begin = 0, time.perf_counter()
                    count = modo.count("short.bam", region)
                    figures.append((proxy.answered, time.perf_counter() - begin, count))
            verified, unverified = found["verified"], found["unverified"]
            assert {count for _, _, count in verified} == {count for _, _, count in unverified}
            more = median(a[0] - b[0] for a, b in zip(verified, unverified))
            ratio = median(a[1] / b[1] for a, b in zip(verified, unverified))
            print(
                f"{region:<40} verified {verified[0][0]:,} bytes, {median(t for _, t, _ in verified):.3f} s   unverified "
                f"{unverified[0][0]:,} bytes, {median(t for _, t, _ in unverified):.3f} s   {more / 1024:+.0f} KiB "
                f"(goal <= +192 KiB and 0.1 %), {ratio:.2f} x the time (goal <= 1.1)",
                flush=True,
            )


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        bench_whole(Path(name))
        bench_region(Path(name))
        bench_add(Path(name))
