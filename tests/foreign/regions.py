"""The regions of a file that are asked for: each contig, single bases, stretches around records, what is empty and what lies beyond."""

from __future__ import annotations

import random
from collections import Counter

from modos.genomics.region import Region

from .files import Form

MAX_CONTIGS = 8
FAR = 2_000_000


def places(form: Form) -> list[tuple[str, int, int]]:
    """Contig, start and a guess of the end of each record, 0-based."""
    if form.has_reads:
        fields = (line.split("\t", 11) for line in form.lines)
        return [(f[2], int(f[3]) - 1, int(f[3]) + len(f[9])) for f in fields if f[2] != "*"]
    fields = (line.split("\t", 5) for line in form.lines)
    return [(f[0], int(f[1]) - 1, int(f[1]) - 1 + len(f[3])) for f in fields]


def some_regions(form: Form, contigs: dict[str, int | None], count: int, seed: str) -> list[Region]:
    """Regions of a file, the same for the same seed.

    Parameters
    ----------
    contigs
        The contigs of its header, and their lengths where they are known.
    count
        How many beside whole contigs.
    """
    rng = random.Random(seed)
    found = places(form)
    filled = list(Counter(contig for contig, _, _ in found))
    empty = [name for name in contigs if name not in filled]
    chosen = rng.sample(filled, min(len(filled), MAX_CONTIGS - 2)) + rng.sample(empty, min(len(empty), 2))
    regions = [Region(name) for name in chosen]
    regions += [Region(name, (contigs.get(name) or FAR) + 10, (contigs.get(name) or FAR) + 500) for name in chosen[:2]]
    for _ in range(count if found else 0):
        contig, start, end = rng.choice(found)
        at = max(rng.choice([start, end, start - 1, end - 1, rng.randrange(start, end + 1)]), 0)
        width = rng.choice([1, 1, 1, 2, 10, 1_000, 100_000])
        at = max(at - rng.choice([0, 0, width - 1, width // 2]), 0)
        regions.append(Region(contig, at, rng.choice([at + width] * 4 + [None]) if at else at + width))
    return regions + ([Region("*")] if form.has_reads else [])


def several(regions: list[Region], seed: str) -> list[list[Region]]:
    """A few regions at a time, in any order and some twice."""
    rng = random.Random(seed)
    bounded = list(regions)
    if len(bounded) < 2:
        return []
    chosen = [rng.sample(bounded, min(len(bounded), size)) for size in (2, 5)]
    return [picked + picked[:1] for picked in chosen]
