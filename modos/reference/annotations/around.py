"""Query circular contigs around their origin, where features and regions may end beyond the last base."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from modos.reference.annotations.intervals import Numbers, Pairs

Find = Callable[[Numbers, Numbers, Numbers], Pairs]


def iter_turns(start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield a region of a circular contig as it is, and one turn further; also one turn back if it crosses the origin."""
    yield start, end
    yield start + length, end + length
    if length < end <= 2 * length:
        yield start - length, end - length


def find_around(find: Find, lengths: Numbers, contigs: Numbers, starts: Numbers, ends: Numbers) -> Pairs:
    """Find the features of many queries, some on circular contigs: pairs of query and row, shape (n,), int64.

    Parameters
    ----------
    lengths
        Of the contigs, 0 for those that are not circular.
    """
    around = np.where(contigs >= 0, lengths[contigs], 0)
    own = np.flatnonzero(around)
    if not len(own):
        return find(contigs, starts, ends)
    over = own[(ends[own] > around[own]) & (ends[own] <= 2 * around[own])]
    query = np.concatenate((np.arange(len(contigs)), own, over))
    shift = np.concatenate((np.zeros(len(contigs), np.int64), around[own], -around[over]))
    pairs = find(contigs[query], starts[query] + shift, ends[query] + shift)
    found = np.unique(np.stack((query[pairs.query], pairs.row)), axis=1)
    return Pairs(found[0], found[1])
