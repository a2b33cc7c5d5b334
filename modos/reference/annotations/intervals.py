"""Find the intervals that overlap a query without looking at the others.

The borders of all intervals cut each contig into segments. What overlaps a
query is what covers the segment of its start, and what starts within it: one
list that is kept, and one stretch of the intervals in order of their starts.
A very long interval is in more lists, and costs the others nothing. Where
the lists would be long (many intervals within each other), only those of
every n-th segment are kept, and what starts and ends in between is sorted
out. The space is a fixed multiple of the number of intervals.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_MAX_LISTED = 24  # entries of lists per interval, and beside that
_LISTED_AT_LEAST = 1024
_NOTHING = 1 << 62  # a border that nothing reaches


class Pairs(NamedTuple):
    """Queries and the rows they found: two int64 arrays of shape (n,), by query."""

    query: Numbers
    row: Numbers


class Segments(NamedTuple):
    """The segments of a contig: what it takes to find what overlaps a query at once, close together in memory.

    The borders, and one that nothing reaches; for each stretch of 2**shift
    bases the number of its first border; how many intervals have started
    before each segment; where the list of the rows that cover it begins; these
    lists; the rows by their starts; the last border.
    """

    cuts: array[int]
    first: array[int]
    shift: int
    started: array[int]
    bounds: array[int]
    covering: array[int]
    rows: array[int]
    last: int

    def find(self, start: int, end: int) -> array[int]:
        """Find the rows of the intervals that overlap a query."""
        start, end = max(start, 0), min(end, self.last)
        if start >= end:
            return array("q")
        cuts, first, shift, started, bounds, covering, rows, _ = self
        stretch = start >> shift
        at = bisect_right(cuts, start, first[stretch], first[stretch + 1])
        if end <= cuts[at]:
            return covering[bounds[at] : bounds[at + 1]]
        return (
            covering[bounds[at] : bounds[at + 1]]
            + rows[started[at] : started[bisect_left(cuts, end, at, first[(end >> shift) + 1])]]
        )


class IntervalIndex:
    """An index over intervals of several contigs; positions are 0-based half-open.

    Parameters
    ----------
    offsets
        Where each contig's intervals begin, and where the last one's end; (contigs + 1,).
    starts, ends
        By contig and start; (intervals,) int64.
    rows
        The number of each interval in its table.
    """

    def __init__(self, offsets: Numbers, starts: Numbers, ends: Numbers, rows: Numbers):
        self._rows = rows.astype(np.int64, copy=False)
        counts = np.diff(offsets)
        self._span = np.ones(len(counts), np.int64)
        np.maximum.at(self._span, np.repeat(np.arange(len(counts)), counts), ends + 1)
        self._base = np.concatenate(([0], np.cumsum(self._span)))
        shift = np.repeat(self._base[:-1], counts)
        self._starts, self._ends = starts + shift, ends + shift
        self._cuts, where = np.unique(np.concatenate((self._starts, self._ends)), return_inverse=True)
        self._started = np.concatenate(([0], np.searchsorted(self._starts, self._cuts, "right")))
        self._list(where[: len(starts)] + 1, where[len(starts) :])

    def _list(self, first: Numbers, last: Numbers) -> None:
        """Keep what covers every n-th segment; interval i covers the segments first[i] to last[i]."""
        step = 1
        while True:
            low, high = -(-first // step), last // step
            counts = np.maximum(high - low + 1, 0)
            if counts.sum() <= _MAX_LISTED * len(first) + _LISTED_AT_LEAST:
                break
            step *= 2
        number = np.repeat(low, counts) + ragged(np.zeros(len(counts), np.int64), counts)
        self._step = step
        self._covering = np.repeat(np.arange(len(first)), counts)[np.argsort(number, kind="stable")]
        lists = len(self._cuts) // step + 1
        self._bounds = np.concatenate(([0], np.cumsum(np.bincount(number, minlength=lists))))

    def segments(self, contig: int) -> Segments | None:
        """Return the segments of a contig, given by its number; None if there would be too many."""
        if self._step > 1:
            return None
        base, end = self._base[contig], self._base[contig + 1]
        low, high = np.searchsorted(self._cuts, (base, end))
        bounds = self._bounds[low : high + 2] - self._bounds[low]
        covering = self._rows[self._covering[self._bounds[low] : self._bounds[high + 1]]]
        first, started = self._started[low], self._started[low : high + 1] - self._started[low]
        cuts = self._cuts[low:high] - base
        last = int(cuts[-1]) if len(cuts) else 0
        shift = max((last // max(len(cuts), 1)).bit_length() - 1, 0)
        stretches = np.searchsorted(cuts, np.arange((last >> shift) + 3) << shift)
        arrays = (np.append(cuts, _NOTHING), stretches, started, bounds, covering, self._rows[first : first + started[-1]])
        cuts_, first_, started_, bounds_, covering_, rows_ = (
            array("q", numbers.astype(np.int64).tobytes()) for numbers in arrays
        )
        return Segments(cuts_, first_, shift, started_, bounds_, covering_, rows_, last)

    def find_many(self, contigs: Numbers, starts: Numbers, ends: Numbers) -> Pairs:
        """Find the intervals that overlap queries: pairs of shape (n,), int64; a contig of -1 has none."""
        low, high = self._places(contigs, starts, ends)
        order = np.argsort(low)
        low, high = low[order], high[order]
        at = np.searchsorted(self._cuts, low, "right")
        list_ = at // self._step
        first, covering = self._bounds[list_], self._bounds[list_ + 1] - self._bounds[list_]
        before = self._started[list_ * self._step]
        new = np.maximum(self._started[np.searchsorted(self._cuts, high, "left")] - before, 0)
        empty = low >= high
        covering[empty] = new[empty] = 0
        counts = np.empty(len(low), np.int64)
        counts[order] = covering + new
        to = (np.cumsum(counts) - counts)[order]
        found = np.empty(int(counts.sum()), np.int64)
        found[ragged(to, covering)] = self._covering[ragged(first, covering)]
        found[ragged(to + covering, new)] = ragged(before, new)
        query = np.repeat(np.arange(len(low)), counts)
        if self._step > 1:
            unsorted = np.empty((2, len(low)), np.int64)
            unsorted[:, order] = low, high
            fits = (self._ends[found] > unsorted[0][query]) & (self._starts[found] < unsorted[1][query])
            query, found = query[fits], found[fits]
        return Pairs(query, self._rows[found])

    def find_within(self, contigs: Numbers, starts: Numbers, ends: Numbers) -> Pairs:
        """Find the intervals that have no base outside of a query: pairs of shape (n,), int64."""
        low, high = self._places(contigs, starts, ends)
        first = np.searchsorted(self._starts, low, "left")
        counts = np.where(low < high, np.searchsorted(self._starts, high, "left") - first, 0)
        query, found = np.repeat(np.arange(len(low)), counts), ragged(first, counts)
        fits = self._ends[found] <= high[query]
        return Pairs(query[fits], self._rows[found[fits]])

    def find_exact(self, contigs: Numbers, starts: Numbers, ends: Numbers) -> Pairs:
        """Find the intervals that start and end where a query does: pairs of shape (n,), int64."""
        low, high = self._places(contigs, starts, ends, clipped=False)
        first = np.searchsorted(self._starts, low, "left")
        counts = np.where(low < high, np.searchsorted(self._starts, low, "right") - first, 0)
        query, found = np.repeat(np.arange(len(low)), counts), ragged(first, counts)
        fits = self._ends[found] == high[query]
        return Pairs(query[fits], self._rows[found[fits]])

    def _places(self, contigs: Numbers, starts: Numbers, ends: Numbers, clipped: bool = True) -> tuple[Numbers, Numbers]:
        span, base = self._span[contigs], self._base[contigs]
        low, high = np.clip(starts, 0, span), np.clip(ends, 0, span)
        known = contigs >= 0
        if not clipped:
            known &= (low == starts) & (high == ends)
        return np.where(known, base + low, 0), np.where(known, base + high, 0)


def ragged(starts: Numbers, counts: Numbers) -> Numbers:
    """Return the numbers start, start + 1, ... of each stretch, one stretch after the other: shape (sum of counts,), int64."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(int(ends[-1]) if len(ends) else 0)
