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
from modos.tracks.data import Floats, Places, Runs
from modos.tracks.runs import Spans, blank, complement, restrict
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
    values: npt.NDArray[np.floating],
    borders: Places,
) -> tuple[Places, Places, npt.NDArray[np.float64], npt.NDArray[np.floating], npt.NDArray[np.floating]]:
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
    """Summary of a track's values, by bin and by contig.

    It follows from the values alone, whatever pieces they came in, and the
    columns of a contig from those of the contig: so tracks of different
    contigs can be put together.

    Parameters
    ----------
    masked
        Spans on the axis whose values do not count.
    """

    def __init__(self, contigs: Contigs, masked: Spans | None = None):
        self._contigs = contigs
        self._masked = masked if masked is not None and masked.shape[1] else None
        bins = -(-contigs.size // GRAIN)
        self._n = np.zeros(bins, np.uint16)
        self._sum = np.zeros(bins, np.float64)
        self._min = np.zeros(bins, np.float32)
        self._max = np.zeros(bins, np.float32)
        self._squares = np.zeros(bins, np.float64)

    def set_values(self, at: int, values: Floats) -> None:
        """Set the values of whole bins from a place on the axis on, NaN if there is none, in place of what they had."""
        if self._masked is not None:
            blank(values := values.copy(), at, self._masked)
        first = at // GRAIN
        rows = values.reshape(-1, GRAIN)[: len(self._n) - first]
        bins = slice(first, first + len(rows))
        missing = np.isnan(rows)
        self._n[bins] = n = GRAIN - np.count_nonzero(missing, axis=1)
        is_full = int(n.sum()) == rows.size
        wide = (rows if is_full else np.where(missing, 0, rows)).astype(np.float64)
        self._sum[bins] = wide.sum(1)
        self._squares[bins] = np.einsum("ij,ij->i", wide, wide)
        self._min[bins] = rows.min(1) if is_full else np.where(n > 0, np.where(missing, np.inf, rows).min(1), 0)
        self._max[bins] = rows.max(1) if is_full else np.where(n > 0, np.where(missing, -np.inf, rows).max(1), 0)

    def add_runs(self, runs: Runs) -> None:
        """Add runs of a contig, in order, as `iter_joined` cuts them; every base is given at most once."""
        offset = self._contigs[runs.contig].offset
        runs = runs._replace(starts=runs.starts + offset, ends=runs.ends + offset)
        if self._masked is not None:
            low = int(np.searchsorted(self._masked[1], runs.starts[0], "right"))
            high = int(np.searchsorted(self._masked[0], runs.ends[-1], "left"))
            runs = restrict(runs, complement(self._masked[:, low:high], int(runs.ends[-1])))
        if not len(runs.starts):
            return
        first = int(runs.starts[0]) // GRAIN
        borders = np.arange(first, int(runs.ends[-1] - 1) // GRAIN + 2) * GRAIN
        bins, n, sums, low_values, high_values = bin_runs(runs.starts, runs.ends, runs.values, borders)
        squares = bin_runs(runs.starts, runs.ends, runs.values.astype(np.float64) ** 2, borders)[2]
        bins = bins + first
        known = self._n[bins] > 0
        self._min[bins] = np.where(known, np.minimum(self._min[bins], low_values), low_values)
        self._max[bins] = np.where(known, np.maximum(self._max[bins], high_values), high_values)
        self._n[bins] += n.astype(np.uint16)
        self._sum[bins] += sums
        self._squares[bins] += squares

    def bins(self, first: int, beyond: int) -> npt.NDArray[np.float64]:
        """Return n, sum, min and max of the smallest bins [first, beyond): shape (4, bins), float64."""
        return np.stack([row[first:beyond].astype(np.float64) for row in (self._n, self._sum, self._min, self._max)])

    def statistics(self) -> npt.NDArray[np.float64]:
        """Return n, sum, sum of squares, min and max of each contig: shape (5, contigs), float64."""
        starts, has = self._contigs.starts // GRAIN, self._n > 0
        n = np.add.reduceat(self._n, starts, dtype=np.int64)
        low = np.minimum.reduceat(np.where(has, self._min, np.float32(np.inf)), starts)
        high = np.maximum.reduceat(np.where(has, self._max, np.float32(-np.inf)), starts)
        sums, squares = (np.add.reduceat(row, starts) for row in (self._sum, self._squares))
        return np.stack([n, sums, squares, np.where(n > 0, low, 0), np.where(n > 0, high, 0)]).astype(np.float64)

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
            write_small(log, names.path("statistics"), self.statistics(), CHUNK, {"rows": list(STATISTICS)}),
        ]

    def _levels(self, runs: int | None) -> tuple[list[Rows], list[Level]]:
        """Return n, sum, min and max of the bins of each level, and where they go in the array."""
        rows, size, kept, levels, first = Rows(self._n, self._sum, self._min, self._max), GRAIN, [], [], 0
        while True:
            count = len(rows.n)
            if runs is None or count <= max(runs // 16, _COARSEST):
                kept.append(rows)
                levels.append(Level(size, first, count))
                first += count
            if count <= _COARSEST:
                return kept, levels
            rows, size = rows.coarsen(), size * STEP


class Rows(NamedTuple):
    """Number, sum, minimum and maximum of the values in some bins: arrays of shape (bins,)."""

    n: npt.NDArray[np.integer]
    sum: np.ndarray
    min: np.ndarray
    max: np.ndarray

    def coarsen(self) -> Rows:
        """Coarsen to bins of eight times as many bases: arrays of shape (bins,), int64, float64 and float32."""
        n, total, low, high = (np.pad(row, (0, -len(row) % STEP)).reshape(-1, STEP) for row in self)
        count = n.sum(1, dtype=np.int64)
        return Rows(
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
