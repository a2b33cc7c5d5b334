"""Find the tags of many reads at once in the bytes of a BAM (SAMv1 section 4.2.4)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SIZES = np.zeros(256, np.int64)  # bytes of a value, by its type
for _kind, _size in zip(b"AcCsSiIf", (1, 1, 1, 2, 2, 4, 4, 4)):
    _SIZES[_kind] = _size
_Z, _H, _B = b"ZHB"


class Tags(NamedTuple):
    """Tags of some names: int arrays of shape (n,), in no order.

    Parameters
    ----------
    reads
        The number of the read that has it.
    codes
        Its name, as `code_of` gives it.
    starts, ends
        Bytes [start, end) of the data.
    """

    reads: Array
    codes: Array
    starts: Array
    ends: Array

    def named(self, codes: Array) -> Tags:
        """Return those of some names; `codes` is a table of bool by code."""
        found = codes[self.codes]
        return Tags(*(column[found] for column in self))


def code_of(name: str) -> int:
    """Return the number that stands for the name of a tag."""
    return ord(name[0]) | ord(name[1]) << 8


def table_of(names: frozenset[str]) -> Array:
    """Return a table that has true at the codes of some names, shape (65536,)."""
    table = np.zeros(1 << 16, bool)
    table[[code_of(name) for name in names]] = True
    return table


def walk_tags(data: Array, starts: Array, ends: Array, wanted: Array) -> Tags:
    """Walk through the tags of reads.

    Parameters
    ----------
    data
        uint8, shape (bytes,).
    starts, ends
        int64, shape (n,): where the tags of each read begin, and where the read ends.
    wanted
        The names to find, a table as of `table_of`.

    Raises
    ------
    ValueError
        The tags of a read do not fill it.
    """
    zeros = np.flatnonzero(data == 0)
    reads, at = np.arange(len(starts)), starts
    found: list[tuple[Array, Array, Array, Array]] = []
    while True:
        left = at < ends
        if not left.all():
            if (at > ends).any():
                raise ValueError
            reads, at, ends = reads[left], at[left], ends[left]
        if not len(at):
            break
        if (at + 4 > ends).any():
            raise ValueError
        codes = data[at] | data[at + 1].astype(np.int64) << 8
        following = at + 3 + _find_lengths(data, at, ends, zeros)
        if (hits := wanted[codes]).any():
            found.append((reads[hits], codes[hits], at[hits], following[hits]))
        at = following
    return Tags(*(np.concatenate(column) for column in zip(*found))) if found else Tags(*np.zeros((4, 0), np.int64))


def _find_lengths(data: Array, at: Array, ends: Array, zeros: Array) -> Array:
    """Find the bytes of the value of the tag of each read."""
    kinds = data[at + 2]
    lengths: Array = _SIZES[kinds]
    if not (other := lengths == 0).any():
        return lengths
    texts = (kinds == _Z) | (kinds == _H)
    if texts.any():
        place = np.searchsorted(zeros, at[texts] + 3)
        if place.max() >= len(zeros):
            raise ValueError
        lengths[texts] = zeros[place] - at[texts] - 2
    arrays = kinds == _B
    if (other & ~texts & ~arrays).any():
        raise ValueError
    if arrays.any():
        begin = at[arrays]
        if (begin + 8 > ends[arrays]).any():
            raise ValueError
        sizes = _SIZES[data[begin + 3]]
        if ((sizes == 0) | (data[begin + 3] == ord("A"))).any():
            raise ValueError
        counts = sum(data[begin + 4 + n].astype(np.int64) << 8 * n for n in range(4))
        lengths[arrays] = 5 + sizes * counts
    return lengths
