"""The data of the track benchmark: a genome of 60 Mb, and four tracks of different kinds as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

CONTIGS = {"chr1": 25_000_000, "chr2": 15_000_000, "chr3": 10_000_000, "chr4": 6_000_000, "chr5": 4_000_000}
_GAP = 200_000  # of N, in the middle of each contig
_SECTION = 50_000  # bases of one declaration of the dense track


def make(folder: Path, contigs: dict[str, int] = CONTIGS) -> dict[str, Path]:
    """Write the files that are not there; returns them by the name of the track, with the FASTA as `genome`."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {
        "genome": ("genome.fa", _sequence),
        "dense": ("dense.wigFix", _dense),
        "signal": ("signal.bedGraph", _signal),
        "peaks": ("peaks.bedGraph", _peaks),
        "points": ("points.wigVar", _points),
    }
    files = {}
    for number, (track, (name, write)) in enumerate(writers.items()):
        files[track] = folder / name
        if not files[track].exists():
            part = folder / f"{name}.part"
            with open(part, "wb") as file:
                for contig, length in contigs.items():
                    write(file, contig, length, np.random.default_rng([number, length]))
            part.rename(files[track])
    return files


def _sequence(file, contig: str, length: int, random: np.random.Generator) -> None:
    bases = np.frombuffer(b"ACGT", np.uint8)[random.choice(4, length, p=[0.3, 0.2, 0.2, 0.3])]
    soft = np.repeat(random.random(length // 500 + 1) < 0.5, 500)[:length]  # repeats in lower case
    bases = np.where(soft, bases | 32, bases).astype(np.uint8)
    gap = min(_GAP, length // 4)
    bases[length // 2 : length // 2 + gap] = ord("N")
    file.write(f">{contig}\n".encode())
    whole = bases[: length // 60 * 60].reshape(-1, 60)
    file.write(np.hstack([whole, np.full((len(whole), 1), 10, np.uint8)]).tobytes())
    if rest := bases[whole.size :].tobytes():
        file.write(rest + b"\n")


def _stretches(length: int) -> list[tuple[int, int]]:
    gap = min(_GAP, length // 4)
    return [(0, length // 2), (length // 2 + gap, length)]


def _dense(file, contig: str, length: int, random: np.random.Generator) -> None:
    """Like conservation: three decimals, noisy, with a few conserved stretches."""
    for first, last in _stretches(length):
        for start in range(first, last, _SECTION):
            count = min(_SECTION, last - start)
            level = np.repeat(random.normal(0, 0.4, count // 100 + 1), 100)[:count]
            values = np.round(level + random.normal(0, 0.45, count), 3) + 0.0
            file.write(f"fixedStep chrom={contig} start={start + 1} step=1\n".encode())
            file.write(pl.DataFrame({"v": values}).write_csv(include_header=False, float_precision=3).encode())


def _intervals(file, contig: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray, decimals: int) -> None:
    frame = pl.DataFrame({"c": pl.Series([contig]).new_from_index(0, len(starts)), "s": starts, "e": ends, "v": values})
    file.write(frame.write_csv(include_header=False, separator="\t", float_precision=decimals).encode())


def _cut(length: int, mean: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Intervals one after another, of that mean length, outside the gap."""
    bounds = np.unique(np.cumsum(random.geometric(1 / mean, int(length / mean * 1.2))))
    bounds = np.concatenate(([0], bounds[bounds < length], [length]))
    starts, ends = bounds[:-1], bounds[1:]
    (_, left), (right, _) = _stretches(length)
    kept = (ends <= left) | (starts >= right)
    return starts[kept], ends[kept]


def _signal(file, contig: str, length: int, random: np.random.Generator) -> None:
    """Like a signal p-value: runs of about 65 bases over all the genome."""
    starts, ends = _cut(length, 65, random)
    _intervals(file, contig, starts, ends, np.round(random.gamma(0.8, 1.5, len(starts)), 5), 5)


def _peaks(file, contig: str, length: int, random: np.random.Generator) -> None:
    """Steps over a quarter of the genome."""
    starts, ends = _cut(length, 260, random)
    kept = random.random(len(starts)) < 0.5
    _intervals(file, contig, starts[kept], ends[kept], random.integers(1, 60, kept.sum()).astype(float), 0)


def _points(file, contig: str, length: int, random: np.random.Generator) -> None:
    """Like methylation: single bases, a fraction each."""
    file.write(f"variableStep chrom={contig} span=1\n".encode())
    for first, last in _stretches(length):
        at = np.unique(random.integers(first, last, (last - first) // 19))
        depth = random.integers(5, 40, len(at))
        values = np.round(random.binomial(depth, 0.7) / depth, 3)
        file.write(
            pl.DataFrame({"p": at + 1, "v": values}).write_csv(include_header=False, separator=" ", float_precision=3).encode()
        )
