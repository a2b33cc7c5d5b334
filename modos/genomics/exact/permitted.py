"""Tell whether places lie in some regions, for one place and for many at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.genomics.region import UNMAPPED, Region, settle

Array = npt.NDArray[Any]
_SHIFT = 45  # bits of a position


class Places:
    """Some regions, to be asked whether places lie in them.

    Parameters
    ----------
    regions
        0-based half-open; those of contigs without a number are left out.
    numbers
        The number of each contig in the records.
    """

    def __init__(self, regions: Iterable[Region], numbers: Mapping[str, int]):
        settled = settle(regions)
        self.has_unplaced = any(region.contig == UNMAPPED for region in settled)
        self._numbers = numbers
        spans = sorted((numbers[region.contig], region.start, region.limit) for region in settled if region.contig in numbers)
        self._begins = [(number << _SHIFT) + start for number, start, _ in spans]
        self._ends = [(number << _SHIFT) + end for number, _, end in spans]
        self._begin_array, self._end_array = (np.array(keys, np.int64) for keys in (self._begins, self._ends))

    def number(self, contig: str) -> int:
        """Return the number of a contig, -1 if it has none."""
        return self._numbers.get(contig, -1)

    def overlaps(self, contig: int, start: int, end: int) -> bool:
        """Return whether bases [start, end) of a contig, 0-based, overlap a region."""
        if contig < 0 or start < 0:
            return False
        key = contig << _SHIFT
        at = bisect_right(self._ends, key + start)
        return at < len(self._ends) and self._begins[at] < key + max(end, start + 1)

    def has(self, contig: str, position: int) -> bool:
        """Return whether a base, 0-based, lies in a region."""
        return self.overlaps(self.number(contig), position, position + 1)

    def find_overlapping(self, contigs: Array, starts: Array, ends: Array) -> Array:
        """Find which of many stretches overlap a region.

        Parameters
        ----------
        contigs, starts, ends
            int, shape (n,): numbers of contigs, -1 without one, and bases [start, end), 0-based.

        Returns
        -------
        array of bool, shape (n,)
        """
        if not self._ends:
            return np.zeros(len(contigs), bool)
        keys = contigs.astype(np.int64) << _SHIFT
        firsts = starts.astype(np.int64)
        at = np.searchsorted(self._end_array, keys + firsts, "right")
        found = at < len(self._ends)
        begins = self._begin_array[np.minimum(at, len(self._ends) - 1)]
        return found & (begins < keys + ends) & (contigs >= 0)
