"""Gather texts of many lengths out of one buffer of bytes, with numpy.

Places and lengths are int64 arrays of shape (n,). A buffer ends with
`PADDING` bytes of no meaning, so that a look a few bytes beyond its end is
within it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Buffer = bytes | memoryview

PADDING = 512
_WIDE = PADDING  # bytes from which on a text is worth a slice of its own


class Block(NamedTuple):
    """Whole records that follow each other.

    Parameters
    ----------
    data
        Their bytes, and the padding.
    bounds
        Where each starts, and where the last one ends: shape (records + 1,).
    """

    data: Buffer
    bounds: Ints


def view_at(data: Buffer, dtype: str, places: Ints) -> npt.NDArray[Any]:
    """Return the numbers of a type at some places, aligned or not: shape (n,).

    Parameters
    ----------
    dtype
        Of numpy, such as `<i4`; or `V36` for so many bytes.
    """
    kind = np.dtype(dtype)
    found: npt.NDArray[Any] = np.ndarray((max(len(data) - kind.itemsize + 1, 0),), kind, data, 0, (1,))[places]
    return found


def join_slices(data: Buffer, starts: Ints, lengths: Ints) -> Bytes:
    """Return the bytes of all slices, one after the other: uint8, shape (sum of lengths,)."""
    if not len(starts):
        return np.empty(0, np.uint8)
    longest, total = int(lengths.max()), int(lengths.sum())
    if not longest:
        return np.empty(0, np.uint8)
    if (longest >= _WIDE and total < longest * len(starts)) or int(starts.max()) + longest > len(data):
        pieces = [data[start:end] for start, end in zip(starts.tolist(), (starts + lengths).tolist())]
        return np.frombuffer(b"".join(pieces), np.uint8)
    wide = view_at(data, f"V{longest}", starts).view(np.uint8)
    if total == longest * len(starts):
        return wide
    return join_wide(wide.view(f"V{longest}"), lengths)


def join_wide(wide: npt.NDArray[np.void], lengths: Ints) -> Bytes:
    """Return the first bytes of each of some texts of one width, one after the other: uint8, shape (sum of lengths,).

    Each is written whole, in order, so that the next one covers what is beyond
    its length.
    """
    ends = np.cumsum(lengths)
    joined = np.empty(int(ends[-1]) + wide.itemsize, np.uint8)
    np.ndarray((len(joined) - wide.itemsize + 1,), wide.dtype, joined, 0, (1,))[ends - lengths] = wide
    return joined[: ends[-1]]


def to_offsets(lengths: Ints) -> npt.NDArray[np.int32]:
    """Return where each of some texts begins when they follow each other, and where the last one ends: shape (n + 1,), int32."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise OverflowError
    return offsets.astype(np.int32)


def find_byte(data: Buffer | Bytes, byte: int) -> Ints:
    """Return all places of a byte."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == byte)


def number_within(counts: Ints) -> Ints:
    """Return 0, 1, ... for each of as many as `counts` says, anew for each count: shape (sum of counts,)."""
    ends = np.cumsum(counts)
    numbers: Ints = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return numbers
