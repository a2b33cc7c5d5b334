"""Counts, sums, minima and maxima of a track: per bin at several sizes, and per contig.

Level 0 has bins of at least 1,024 bases, each further level of eight times as
many. Bins count from the start of the axis. Sums are those of the float32
values, added in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from modos.storage import Storage
from modos.tracks.arrays import Names, write_small
from modos.tracks.contigs import GRAIN, Contigs
from modos.tracks.sharded import ArraySpec

STEP = 8
CHUNK = 4096  # bins in a chunk of the array
_COARSEST = 1024  # bins at which there is no need for a further level
ROWS = ("n", "sum", "min", "max")
STATISTICS = ("n", "sum", "sum_squares", "min", "max")


class Summary(NamedTuple):
    """Of some values: how many there are, their sum, the sum of their squares, the least and the largest."""

    n: int
    sum: float
    sum_squares: float
    min: float
    max: float

    @property
    def mean(self) -> float:
        """Their mean; NaN where there is none."""
        return self.sum / self.n if self.n else np.nan

    @property
    def var(self) -> float:
        """Their variance, of the population; NaN where there is none."""
        return max(self.sum_squares / self.n - self.mean**2, 0.0) if self.n else np.nan


EMPTY = Summary(0, 0.0, 0.0, np.nan, np.nan)


def summarise(values: np.ndarray) -> Summary:
    """The summary of float32 values, NaN left out."""
    missing = np.isnan(values)
    present = values[~missing] if missing.any() else values
    if not len(present):
        return EMPTY
    wide = present.astype(np.float64)
    return Summary(len(present), float(wide.sum()), float(wide @ wide), float(present.min()), float(present.max()))


def combine(parts: Sequence[Summary]) -> Summary:
    """The summary of several sets of values."""
    used = [part for part in parts if part.n]
    if not used:
        return EMPTY
    n, total, squares, low, high = zip(*used)
    return Summary(sum(n), float(sum(total)), float(sum(squares)), min(low), max(high))


class Level(NamedTuple):
    """A zoom level: bases in a bin, and the place of its first bin in the array."""

    bin: int
    first: int
    count: int


def levels_from(attributes: Any) -> list[Level]:
    """Read the attribute `levels`, finest first."""
    return [Level(*map(int, level)) for level in attributes["levels"]]


class Accumulator:
    """Collects values of a track, in any order of contigs; every base is given at most once."""

    def __init__(self, contigs: Contigs):
        self._contigs = contigs
        bins = -(-contigs.size // GRAIN)
        self._n = np.zeros(bins, np.uint16)
        self._sum = np.zeros(bins, np.float64)
        self._min = np.zeros(bins, np.float32)
        self._max = np.zeros(bins, np.float32)
        self._contig = np.zeros((5, len(contigs)), np.float64)

    def add_values(self, contig: int, at: int, values: np.ndarray) -> None:
        """Values, NaN where there is none, from a place on the axis on."""
        first, lead = divmod(at, GRAIN)
        tail = -(lead + len(values)) % GRAIN
        whole = np.pad(values, (lead, tail), constant_values=np.nan) if lead or tail else values
        rows = whole.reshape(-1, GRAIN)
        missing = np.isnan(rows)
        n = GRAIN - np.count_nonzero(missing, axis=1)
        if n.any():
            full = not missing.any()
            wide = np.where(missing, 0, rows) if not full else rows
            sums = wide.sum(1, dtype=np.float64)
            low = (np.where(missing, np.inf, rows) if not full else rows).min(1)
            high = (np.where(missing, -np.inf, rows) if not full else rows).max(1)
            squares = np.einsum("ij,ij->", wide, wide, dtype=np.float64)
            self._add(contig, first + np.flatnonzero(n), n[n > 0], sums[n > 0], low[n > 0], high[n > 0], float(squares))

    def add_runs(self, contig: int, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
        """Runs of equal values at places on the axis, in order, none of them NaN."""
        if not len(starts):
            return
        first, last = starts // GRAIN, (ends - 1) // GRAIN
        spans = last - first + 1
        run = np.repeat(np.arange(len(starts)), spans)
        bins = np.arange(len(run)) - np.repeat(np.cumsum(spans) - spans, spans) + first[run]
        n = np.minimum(ends[run], (bins + 1) * GRAIN) - np.maximum(starts[run], bins * GRAIN)
        wide = values[run].astype(np.float64)
        borders = np.flatnonzero(np.diff(bins, prepend=-1))
        squares = float(((ends - starts) * values.astype(np.float64) ** 2).sum())
        self._add(contig, bins[borders], np.add.reduceat(n, borders), np.add.reduceat(wide * n, borders),
                  np.minimum.reduceat(values[run], borders), np.maximum.reduceat(values[run], borders), squares)

    def _add(self, contig: int, bins: np.ndarray, n: np.ndarray, sums: np.ndarray, low: np.ndarray, high: np.ndarray,
             squares: float) -> None:
        known = self._n[bins] > 0
        self._min[bins] = np.where(known, np.minimum(self._min[bins], low), low)
        self._max[bins] = np.where(known, np.maximum(self._max[bins], high), high)
        self._n[bins] += n.astype(np.uint16)
        self._sum[bins] += sums
        row = self._contig[:, contig]
        row[3] = min(row[3], low.min()) if row[0] else low.min()
        row[4] = max(row[4], high.max()) if row[0] else high.max()
        row[:3] += n.sum(), sums.sum(), squares

    def write(self, storage: Storage, names: Names, written: list[str], runs: int | None) -> list[ArraySpec]:
        """Write the zoom levels, and the statistics per contig.

        Parameters
        ----------
        runs
            Number of runs, where the track is kept as such: bins so small
            that they hold few of them would cost more than they save.
        """
        zoom, levels = self._zoom(runs)
        return [
            write_small(storage, names.path("zoom"), zoom, CHUNK, written,
                        {"rows": list(ROWS), "levels": [list(level) for level in levels]}),
            write_small(storage, names.path("statistics"), self._contig, CHUNK, written, {"rows": list(STATISTICS)}),
        ]

    def _zoom(self, runs: int | None) -> tuple[np.ndarray, list[Level]]:
        """All levels in one array, (4, bins), and where each is."""
        rows = np.stack([self._n, self._sum, self._min, self._max]).astype(np.float64)
        size, parts, levels, first = GRAIN, [], [], 0
        while True:
            wanted = runs is None or rows.shape[1] <= max(runs // 16, _COARSEST)
            if wanted:
                parts.append(rows)
                levels.append(Level(size, first, rows.shape[1]))
                first += rows.shape[1]
            if rows.shape[1] <= _COARSEST:
                return np.concatenate(parts, axis=1), levels
            rows, size = _coarser(rows), size * STEP


def _coarser(rows: np.ndarray) -> np.ndarray:
    extra = -rows.shape[1] % STEP
    n, total, low, high = np.pad(rows, ((0, 0), (0, extra))).reshape(4, -1, STEP)
    count = n.sum(1)
    low = np.where(n > 0, low, np.inf).min(1)
    high = np.where(n > 0, high, -np.inf).max(1)
    return np.stack([count, total.sum(1), np.where(count > 0, low, 0), np.where(count > 0, high, 0)])


def cover(start: int, end: int, levels: Sequence[Level]) -> Iterator[tuple[Level | None, int, int]]:
    """Cut [start, end) into bins of levels as large as fit, and what is left of it at both ends.

    Yields a level with its bins [first, last), or None with places on the
    axis [start, end).
    """
    usable = [level for level in levels if level.bin <= (end - start)]
    if not usable:
        if end > start:
            yield None, start, end
        return
    level = usable[-1]
    first, last = -(-start // level.bin), end // level.bin
    if first >= last:
        yield from cover(start, end, usable[:-1])
        return
    yield from cover(start, first * level.bin, usable[:-1])
    yield level, first, last
    yield from cover(last * level.bin, end, usable[:-1])
