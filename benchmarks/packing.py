"""An object in one file: packed against `zip -0` and `cp -r`, and opened and streamed from S3, 30 ms away, against its folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from encryption import peak
from regions import write_short_reads
from streaming import MODOS
from verification import report, timed

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

SIZE, FILES = 1_000_000_000, 8
ROUNDS = 3
DELAY = 0.03  # seconds
REGION = "chr1:500,001-501,000"


def bench_packing(folder: Path) -> None:
    """1 GB in eight files is packed, and unpacked."""
    modo = MODO.create(folder / "ex")
    with modo.transaction() as transaction:
        for number in range(FILES):
            with open(folder / f"{number}.tsv", "wb") as file:
                for _ in range(SIZE // FILES // 5_000_000):
                    file.write(os.urandom(5_000_000))
            transaction.add_element({"id": f"f{number}", "@type": "DataEntity", "data_format": "TSV"}, folder / f"{number}.tsv")
    for path in folder.glob("*.tsv"):
        path.unlink()
    cases = {
        "pack": f"rm -f ex.zip; {MODOS} -q pack ex ex.zip",
        "zip -0": "rm -f z.zip; (cd ex; zip -0qr ../z.zip .); sync z.zip",
        "cp -r": "rm -rf copy; cp -r ex copy; sync -f copy",
        "unpack": f"rm -rf out; {MODOS} -q unpack ex.zip out",
        "unzip": "rm -rf out; unzip -q ex.zip -d out; sync -f out",
    }
    times: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case, command in cases.items():
            times[case].append(timed(command, folder))
    report("1 GB in 8 files, packed", times["pack"], "zip -0", times["zip -0"], "each byte also compared with its digest")
    report("1 GB in 8 files, packed", times["pack"], "cp -r", times["cp -r"], "each byte also compared with its digest")
    report("1 GB in 8 files, unpacked", times["unpack"], "unzip", times["unzip"], "each byte also compared with its digest")
    (folder / "ex.zip").unlink()
    print(f"memory of modos pack: {peak([MODOS, '-q', 'pack', 'ex', 'ex.zip'], folder)[1]} MB", flush=True)
    shutil.rmtree(folder / "ex")


def bench_afar(folder: Path) -> None:
    """Open an object on S3, and stream a region: in its folder, and packed."""
    modo = MODO.create(folder / "reads")
    write_short_reads(folder / "reads.bam", 1_000_000)
    modo.add_element({"id": "reads", "@type": "AlignmentSet"}, folder / "reads.bam")
    with run_stack() as services, Proxy(services.s3, delay=DELAY) as proxy:
        direct = {"services": {"s3": services.s3}, "s3_kwargs": CREDENTIALS}
        modo.upload(f"s3://{BUCKET}/bench", **direct)
        modo.pack(f"s3://{BUCKET}/bench.zip", **direct)
        far = {"services": {"s3": proxy.url}, "s3_kwargs": CREDENTIALS}
        for what, work in (("open", _open), ("open, 1 kb of reads", _stream)):
            for place in ("bench", "bench.zip"):
                taken, requests = _measure(proxy, lambda place=place, work=work: work(f"s3://{BUCKET}/{place}", far))
                print(f"{f'{what}, S3 at 30 ms, {place}':<40} {taken:6.3f} s   {requests} requests", flush=True)


def _open(url: str, where: dict) -> None:
    assert MODO.open(url, **where).metadata


def _stream(url: str, where: dict) -> None:
    assert MODO.open(url, **where).count("reads.bam", REGION)


def _measure(proxy: Proxy, work: Callable[[], object]) -> tuple[float, int]:
    times, before = [], len(proxy.requests)
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return median(times), (len(proxy.requests) - before) // ROUNDS


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        bench_packing(Path(name))
        bench_afar(Path(name))


if __name__ == "__main__":
    main()
