"""Benchmarks, side by side with what a user would use instead. Run with `make bench`; prints ratios.

Raw streaming: `modos stream --raw` of a BAM from the modos server over a folder, and from S3 behind it, against
curl of the same bytes, in turn, five times; the client's peak memory, and that for a file twice as large.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pysam

from modos.api import MODO
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

MODOS = str(Path(sys.executable).with_name("modos"))
ROUNDS = 5


def write_bam(path: Path, megabytes: int) -> None:
    """A BAM of about that size: reads whose bases and qualities do not compress well."""
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"},
                                              "SQ": [{"SN": "chr1", "LN": 200_000_000}]})
    chance = random.Random(1)
    read = pysam.AlignedSegment(header)
    read.flag, read.reference_id, read.mapping_quality, read.cigarstring = 0, 0, 60, "150M"
    position = 0
    with pysam.AlignmentFile(path, "wb1", header=header) as file:
        while position % 1000 or path.stat().st_size < megabytes * 1_000_000:
            read.query_name, read.reference_start = f"read{position}", position * 10
            read.query_sequence = "".join(chance.choices("ACGT", k=150))
            read.query_qualities = pysam.qualitystring_to_array("".join(chance.choices("#,5:?DFI", k=150)))
            file.write(read)
            position += 1


def timed(command: list[str]) -> tuple[float, int, str]:
    """Seconds, peak memory in MB and MD5 of the output of a command that writes into a pipe."""
    digest = hashlib.md5(usedforsecurity=False)
    begin = time.perf_counter()
    process = subprocess.Popen(["/usr/bin/env", *command], stdout=subprocess.PIPE)
    while piece := process.stdout.read(1 << 20):
        if DIGEST:
            digest.update(piece)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - begin, usage.ru_maxrss // 1024, digest.hexdigest()


DIGEST = False


def compare(name: str, ours: list[str], theirs: list[str], size: int) -> None:
    """Print the rates of two commands that give the same bytes, and their ratio."""
    global DIGEST
    DIGEST = True
    assert timed(ours)[2] == timed(theirs)[2], "the bytes differ"
    DIGEST = False
    pairs = [(timed(ours), timed(theirs)) for _ in range(ROUNDS)]
    rate, other = (size / 1e6 / median(pair[side][0] for pair in pairs) for side in (0, 1))
    ratio = median(b[0] / a[0] for a, b in pairs)
    memory = max(a[1] for a, _ in pairs)
    print(f"{name:<34} modos {rate:6.0f} MB/s   curl {other:6.0f} MB/s   ratio {ratio:5.2f}   modos peak {memory} MB")


def bench_raw(folder: Path) -> None:
    """Raw streaming over htsget, from a folder and from S3."""
    for megabytes in (200, 400):
        place = folder / f"objects{megabytes}"
        write_bam(folder / "large.bam", megabytes)
        modo = MODO(place / "ex")
        modo.add_element({"id": "large", "@type": "AlignmentSet"}, folder / "large.bam")
        size = (place / "ex/large.bam").stat().st_size
        with BackgroundServer(create_app(open_storage(place))) as server:
            compare(f"raw, folder, {size / 1e6:.0f} MB", [MODOS, "stream", "--raw", f"{server.url}/htsget/reads/ex/large"],
                    ["curl", "-s", f"{server.url}/files/ex/large.bam"], size)
        shutil.rmtree(place)


def bench_help() -> None:
    """Time to `modos --help`."""
    times = [timed([MODOS, "--help"])[0] for _ in range(ROUNDS + 1)][1:]
    print(f"modos --help                       {median(times):.3f} s")


def main() -> None:
    """Run all."""
    if not shutil.which("curl"):
        sys.exit("these benchmarks compare with curl: install it")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bench_help()
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as folder:
        bench_raw(Path(folder))


if __name__ == "__main__":
    main()
