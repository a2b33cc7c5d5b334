"""Counts, sums, minima and maxima of a track, per bin at several sizes and per contig.

Level 0 has bins of at least 1,024 bases, each further level of eight times as
many. Bins count from the start of the axis. Sums are those of the float32
values, added in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.storage.write_log import WriteLog
from modos.tracks.arrays import Names, write_pieces, write_small
from modos.tracks.contigs import GRAIN, Contigs
from modos.tracks.data import Floats, Places
from modos.tracks.zarr_layout import ArraySpec

STEP = 8
CHUNK = 4096  # bins in a chunk of the array
_COARSEST = 1024  # bins at which there is no need for a further level
ROWS = ("n", "sum", "min", "max")
STATISTICS = ("n", "sum", "sum_squares", "min", "max")


class Summary(NamedTuple):
    """Number, sum, sum of squares, minimum and maximum of some values."""

    n: int
    sum: float
    sum_squares: float
    min: float
    max: float

    @property
    def mean(self) -> float:
        """Their mean; NaN if there is none."""
        return self.sum / self.n if self.n else np.nan

    @property
    def var(self) -> float:
        """Their variance, of the population; NaN if there is none."""
        return max(self.sum_squares / self.n - self.mean**2, 0.0) if self.n else np.nan


EMPTY = Summary(0, 0.0, 0.0, np.nan, np.nan)


def summarise(values: Floats) -> Summary:
    """Summarise float32 values, NaN left out."""
    missing = np.isnan(values)
    present = values[~missing] if missing.any() else values
    if not len(present):
        return EMPTY
    wide = present.astype(np.float64)
    return Summary(len(present), float(wide.sum()), float(wide @ wide), float(present.min()), float(present.max()))


def combine(parts: Sequence[Summary]) -> Summary:
    """Combine the summaries of several sets of values."""
    used = [part for part in parts if part.n]
    if not used:
        return EMPTY
    n, total, squares, low, high = zip(*used)
    return Summary(sum(n), float(sum(total)), float(sum(squares)), min(low), max(high))


def bin_runs(
    starts: Places,
    ends: Places,
    values: Floats,
    borders: Places,
) -> tuple[Places, Places, npt.NDArray[np.float64], Floats, Floats]:
    """Summarise at least one run, in order, within the borders of bins: arrays of shape (bins,), int64, float64 and float32.

    Returns
    -------
    bins, n, sum, min, max
        Of each bin that has a value.
    """
    first, last = np.searchsorted(borders, starts, "right") - 1, np.searchsorted(borders, ends, "left") - 1
    spans = last - first + 1
    run = np.repeat(np.arange(len(starts)), spans)
    bins = np.arange(len(run)) - np.repeat(np.cumsum(spans) - spans, spans) + first[run]
    n = np.minimum(ends[run], borders[bins + 1]) - np.maximum(starts[run], borders[bins])
    sums = values[run].astype(np.float64) * n
    at = np.flatnonzero(np.diff(bins, prepend=-1))
    return (
        bins[at],
        np.add.reduceat(n, at),
        np.add.reduceat(sums, at),
        np.minimum.reduceat(values[run], at),
        np.maximum.reduceat(values[run], at),
    )


class Level(NamedTuple):
    """A zoom level: bases in a bin, the place of its first bin in the array, and the number of bins."""

    bin: int
    first: int
    bins: int


def read_levels(attributes: Any) -> list[Level]:
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

    def add_values(self, contig: int, at: int, values: Floats) -> None:
        """Add values, NaN if there is none, from a place on the axis on."""
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

    def add_runs(self, contig: int, starts: Places, ends: Places, values: Floats) -> None:
        """Add runs of equal values at places on the axis, in order, none of them NaN."""
        if not len(starts):
            return
        first = int(starts[0]) // GRAIN
        borders = np.arange(first, int(ends[-1] - 1) // GRAIN + 2) * GRAIN
        bins, n, sums, low, high = bin_runs(starts, ends, values, borders)
        squares = float(((ends - starts) * values.astype(np.float64) ** 2).sum())
        self._add(contig, bins + first, n, sums, low, high, squares)

    def _add(
        self,
        contig: int,
        bins: Places,
        n: npt.NDArray[np.integer],
        sums: npt.NDArray[np.float64],
        low: Floats,
        high: Floats,
        squares: float,
    ) -> None:
        known = self._n[bins] > 0
        self._min[bins] = np.where(known, np.minimum(self._min[bins], low), low)
        self._max[bins] = np.where(known, np.maximum(self._max[bins], high), high)
        self._n[bins] += n.astype(np.uint16)
        self._sum[bins] += sums
        row = self._contig[:, contig]
        row[3] = min(row[3], low.min()) if row[0] else low.min()
        row[4] = max(row[4], high.max()) if row[0] else high.max()
        row[:3] += n.sum(), sums.sum(), squares

    def write(self, log: WriteLog, names: Names, runs: int | None) -> list[ArraySpec]:
        """Write the zoom levels, and the statistics per contig.

        Parameters
        ----------
        runs
            Number of runs, where the track is kept as such: bins so small
            that they hold few of them would cost more than they save.
        """
        kept, levels = self._levels(runs)

        def piece(number: int) -> np.ndarray:
            out, low, high = np.zeros((4, CHUNK)), number * CHUNK, (number + 1) * CHUNK
            for level, rows in zip(levels, kept):
                start, end = max(low, level.first), min(high, level.first + level.bins)
                for row, values in zip(out, rows):
                    row[start - low : max(end, start) - low] = values[start - level.first : max(end, start) - level.first]
            return out

        shape = (4, sum(level.bins for level in levels))
        attributes = {"rows": list(ROWS), "levels": [list(level) for level in levels]}
        return [
            write_pieces(log, names.path("zoom"), shape, CHUNK, "float64", piece, attributes),
            write_small(log, names.path("statistics"), self._contig, CHUNK, {"rows": list(STATISTICS)}),
        ]

    def _levels(self, runs: int | None) -> tuple[list[_Rows], list[Level]]:
        """Return n, sum, min and max of the bins of each level, and where they go in the array."""
        rows, size, kept, levels, first = _Rows(self._n, self._sum, self._min, self._max), GRAIN, [], [], 0
        while True:
            count = len(rows.n)
            if runs is None or count <= max(runs // 16, _COARSEST):
                kept.append(rows)
                levels.append(Level(size, first, count))
                first += count
            if count <= _COARSEST:
                return kept, levels
            rows, size = rows.coarsen(), size * STEP


class _Rows(NamedTuple):
    n: npt.NDArray[np.integer]
    sum: np.ndarray
    min: np.ndarray
    max: np.ndarray

    def coarsen(self) -> _Rows:
        """Coarsen to bins of eight times as many bases."""
        n, total, low, high = (np.pad(row, (0, -len(row) % STEP)).reshape(-1, STEP) for row in self)
        count = n.sum(1, dtype=np.int64)
        return _Rows(
            count,
            total.sum(1),
            np.where(count > 0, np.where(n > 0, low, np.inf).min(1), 0),
            np.where(count > 0, np.where(n > 0, high, -np.inf).max(1), 0),
        )


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
