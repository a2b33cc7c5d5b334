"""Interpret numpy-like keys along a contig: numbers, slices, lists and masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from operator import index
from typing import Any, Literal

import numpy as np

from modos.errors import InvalidInputError, RegionError

KeyForm = Literal["one", "slice", "list"]
_GATHER = 1 << 16  # bases between two positions that are read with what lies between them


class PositionError(RegionError, IndexError):
    """A position, or the number of a track, that there is not."""


def settle_bases(key: Any, length: int, reach: int | None = None) -> tuple[np.ndarray | slice, KeyForm]:
    """Resolve a key to the bases it stands for, and its form, on which the shape of the answer depends.

    Parameters
    ----------
    reach
        How far a slice may go past the length; not at all where it is None.

    Returns
    -------
    slice or ndarray
        A slice with 0 <= start <= stop and step 1, or positions (int64).
    """
    if isinstance(key, slice):
        start, stop, step = _indices(key, length)
        if reach is not None and step > 0:
            start, stop = _extend_slice(key, start, stop, length, reach)
        if step == 1:
            return slice(start, max(start, stop)), "slice"
        return np.arange(start, stop, step), "slice"
    if key is Ellipsis:
        return slice(0, length), "slice"
    if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
        position = int(key) + (length if key < 0 else 0)
        if not 0 <= position < length:
            raise PositionError(f"position {int(key):,} is not within {length:,} bases", "positions are 0-based")
        return slice(position, position + 1), "one"
    positions = np.asarray(key)
    if positions.dtype == bool:
        if positions.shape != (length,):
            raise PositionError(f"a mask of {positions.shape} does not fit {length:,} bases")
        return np.flatnonzero(positions), "list"
    if not positions.size:
        return positions.astype(np.int64), "list"
    if positions.dtype.kind not in "iu":
        raise PositionError(f"{key!r} does not say which bases are meant", "give numbers, a slice, a list or a mask")
    positions = np.where(positions < 0, positions + length, positions).astype(np.int64)
    if (positions < 0).any() or (positions >= length).any():
        raise PositionError(f"a position is not within {length:,} bases", "positions are 0-based")
    return positions, "list"


def _indices(key: slice, length: int) -> tuple[int, int, int]:
    try:
        return key.indices(length)
    except (TypeError, ValueError):
        raise PositionError(f"{key} is not a slice of positions", "write [1000:2000]") from None


def _extend_slice(key: slice, start: int, stop: int, length: int, reach: int) -> tuple[int, int]:
    """Extend a slice's start and stop if it says that they are past the length."""
    stop = stop if key.stop is None else max(stop, index(key.stop))
    if stop > reach:
        raise PositionError(f"position {stop:,} is past all that a contig can have, {reach:,} bases")
    return start if key.start is None else min(max(start, index(key.start)), max(stop, length)), stop


def settle_stretch(key: Any, length: int) -> tuple[int, int]:
    """Return the stretch that a key stands for, to write into it: all of it exists.

    Raises
    ------
    PositionError
        A part of it is not.
    InvalidInputError
        It is no stretch, or has no bases.
    """
    bases, _ = settle_bases(key, length)
    if isinstance(key, slice):
        for given in (key.start, key.stop):
            if given is not None and not -length <= index(given) <= length:
                raise PositionError(f"position {index(given):,} is not within {length:,} bases", "positions are 0-based")
    if not isinstance(bases, slice) or bases.start == bases.stop:
        raise InvalidInputError("values are written to a stretch of bases", "write contig[start:end, track] = values")
    return bases.start, bases.stop


def gather(positions: np.ndarray, read: Callable[[int, int], np.ndarray], dtype: str) -> np.ndarray:
    """Read values at positions in any order, in stretches: shape (positions,), of the given dtype."""
    unique, inverse = np.unique(positions, return_inverse=True)
    out = np.empty(len(unique), dtype)
    borders = [0, *(np.flatnonzero(np.diff(unique) > _GATHER) + 1).tolist(), len(unique)]
    for low, high in itertools.pairwise(borders):
        while low < high:
            stop = min(int(np.searchsorted(unique, unique[low] + (1 << 22))), high)
            first = int(unique[low])
            out[low:stop] = read(first, int(unique[stop - 1]) + 1)[unique[low:stop] - first]
            low = stop
    return out[inverse.reshape(positions.shape)]
