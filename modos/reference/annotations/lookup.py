"""Look up single queries among sorted numbers or ids, and return row numbers."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def find_within(starts: array[int], ends: array[int], low: int, high: int, start: int, end: int) -> list[int]:
    """Find the rows of [low, high), which are in order of their starts, that have nothing outside of [start, end)."""
    first = bisect_left(starts, start, low, high)
    return [row for row in range(first, bisect_left(starts, end, first, high)) if ends[row] <= end]


def find_exact(starts: array[int], ends: array[int], low: int, high: int, start: int, end: int) -> list[int]:
    """Find the rows of [low, high), which are in order of their starts, that are [start, end)."""
    first = bisect_left(starts, start, low, high)
    return [row for row in range(first, bisect_right(starts, start, first, high)) if ends[row] == end]


def find_aligned(keys: array[int], rows: array[int], base: int, at_start: bool, start: int, end: int) -> Sequence[int]:
    """Find the rows whose key, over a base, is the start or the end of a region."""
    place = base + max(start if at_start else end, -1)
    return rows[bisect_left(keys, place) : bisect_right(keys, place)]


def find_ends(keys: array[int], rows: array[int], base: int, at_start: bool, start: int, end: int) -> Sequence[int]:
    """Find the rows whose key, over a base, is the position of a base in a region, or for ends the position after one."""
    side = bisect_left if at_start else bisect_right
    return rows[side(keys, base + max(start, 0)) : side(keys, base + max(end, 0))]


def rows_by_id(ids: Sequence[str | None]) -> dict[str, int]:
    """Find the first row of each id, and of ids without their versions if these are those of one."""
    rows = {id: row for row, id in zip(range(len(ids) - 1, -1, -1), reversed(ids)) if id}
    whole: dict[str, list[int]] = {}
    for id, row in rows.items():
        stem, _, version = id.rpartition(".")
        if stem and version.isdecimal():
            whole.setdefault(stem, []).append(row)
    return {stem: found[0] for stem, found in whole.items() if len(found) == 1} | rows
