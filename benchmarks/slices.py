"""Slices cut exactly to what may be given, against the raw plan of the same regions, which has neighbours.

Each case runs both in turn, in memory and from the page cache, and prints the
medians of the rates (bytes of the file a second), of the times to the first
byte and to the first of the records, and their ratios. A slice without bounds
passes most of a region without a look; with bounds every record is looked at.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from regions import write_genotypes, write_short_reads

from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.planning import Planner, iter_plan
from modos.genomics.region import Region
from modos.storage import open_storage

ROUNDS = 5
WANTED = (Region("chr1", 5_000_000, 95_000_000),)
ALLOWED = (Region("chr1", 1_000_000, 97_000_000),)


def write_paired_reads(path: Path, count: int, length: int = 100_000_000) -> None:
    """A BAM of sorted pairs with the tags of an aligner; of a hundred one has a mate on another contig, of 200 one an SA."""
    chance = np.random.default_rng(3)
    letters, levels = np.frombuffer(b"ACGT", np.uint8), np.frombuffer(b"#,:F", np.uint8)
    starts = np.sort(chance.integers(1, length - 2_000, count))
    writer = subprocess.Popen(["samtools", "view", "-b", "-@1", "-o", str(path), "-"], stdin=subprocess.PIPE, text=True)
    writer.stdin.write(f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:{length}\n@SQ\tSN:chr2\tLN:{length}\n@RG\tID:a\tSM:s\n")
    for begin in range(0, count, 10_000):
        places = starts[begin : begin + 10_000]
        bases = letters[chance.integers(0, 4, (len(places), 150))]
        qualities = levels[chance.choice(4, (len(places), 150), p=[0.02, 0.05, 0.13, 0.8])]
        far, split = chance.random(len(places)) < 0.01, chance.random(len(places)) < 0.005
        there = chance.integers(1, length, len(places))
        writer.stdin.write(
            "".join(
                f"A00:1:{begin + n}\t99\tchr1\t{place}\t60\t150M\t"
                + (f"chr2\t{there[n]}\t0" if far[n] else f"=\t{place + 200}\t350")
                + f"\t{bases[n].tobytes().decode()}\t{qualities[n].tobytes().decode()}\tNM:i:0\tMD:Z:150\tMC:Z:150M\tMQ:i:60\tRG:Z:a"
                + (f"\tSA:Z:chr1,{there[n]},+,80M70S,60,0;" if split[n] else "")
                + "\n"
                for n, place in enumerate(places)
            )
        )
    writer.stdin.close()
    assert writer.wait() == 0
    subprocess.run(["samtools", "index", str(path)], check=True)


def measure(open_pieces: Callable[[], Iterator[bytes]]) -> tuple[float, float, float]:
    """Seconds to the first byte, to the first records, and to the end."""
    begin = time.perf_counter()
    pieces = open_pieces()
    next(pieces)
    first = time.perf_counter() - begin
    next(pieces, None)
    records = time.perf_counter() - begin
    for _ in pieces:
        pass
    return first, records, time.perf_counter() - begin


def report(case: str, size: int, ours: Callable[[], Iterator[bytes]], raw: Callable[[], Iterator[bytes]], goal: str) -> None:
    """Run both in turn and print the medians."""
    rounds = [(measure(ours), measure(raw)) for _ in range(ROUNDS)]
    ratio, first, records = (
        median(one[at] / other[at] if at < 2 else other[at] / one[at] for one, other in rounds) for at in (2, 0, 1)
    )
    mine, its = (median(pair[side][2] for pair in rounds) for side in (0, 1))
    print(
        f"{case:<46} {size / mine / 1e6:7.0f} MB/s   raw {size / its / 1e6:7.0f} MB/s   ratio {ratio:5.2f}   "
        f"first byte {first:5.2f} x, records {records:5.2f} x  ({goal})",
        flush=True,
    )


def bench_file(path: Path, cases: dict[str, tuple[Bounds, str]]) -> None:
    """Compare each way to cut a file with its raw plan."""
    storage = open_storage(str(path.parent))
    planner = Planner(storage)

    def raw() -> Iterator[bytes]:
        return iter_plan(storage, planner.plan(path.name, WANTED))

    size = sum(map(len, raw()))
    for name, (bounds, goal) in cases.items():
        report(
            f"{path.name}: {name}",
            size,
            lambda bounds=bounds: cut_file(storage, planner, path.name, WANTED, bounds).pieces,
            raw,
            goal,
        )


def main() -> None:
    """Run all."""
    for program in ("samtools", "bcftools", "bgzip", "tabix"):
        if not shutil.which(program):
            sys.exit(f"these benchmarks write their files with {program}: install it")
    rates = {
        "exact, no bounds": (Bounds(), "goal 0.5, 1.5 x"),
        "bounds, not masked": (Bounds(ALLOWED, is_masking=False), "each record looked at"),
        "bounds, masked": (Bounds(ALLOWED), "each record looked at"),
    }
    samples = {
        f"{count} of 300 samples": (Bounds(samples=frozenset(f"s{number}" for number in range(count))), "each record made anew")
        for count in (1, 30, 299)
    }
    with tempfile.TemporaryDirectory(prefix="modos-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        write_short_reads(folder / "near.bam", 2_500_000)
        bench_file(folder / "near.bam", rates)
        (folder / "near.bam").unlink()
        write_paired_reads(folder / "pairs.bam", 2_200_000)
        bench_file(folder / "pairs.bam", rates)
        (folder / "pairs.bam").unlink()
        write_genotypes(folder / "calls.vcf.gz", 60_000, 300)
        bench_file(folder / "calls.vcf.gz", rates | samples)
        subprocess.run(["bcftools", "view", "-Ob", "-o", folder / "calls.bcf", folder / "calls.vcf.gz"], check=True)
        subprocess.run(["bcftools", "index", folder / "calls.bcf"], check=True)
        bench_file(folder / "calls.bcf", rates | samples)


if __name__ == "__main__":
    main()
