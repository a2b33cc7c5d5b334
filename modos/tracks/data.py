"""Data of a track, as they come from files and go into arrays: a value per base, or stretches of equal values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Where = Callable[[int], str]


class Values(NamedTuple):
    """A value per base of a contig from `start` (0-based) on; float32, NaN where there is none."""

    contig: str
    start: int
    values: np.ndarray


class Runs(NamedTuple):
    """Stretches of a contig with one value each: starts, ends (int64, 0-based half-open), values (float32), in order."""

    contig: str
    starts: np.ndarray
    ends: np.ndarray
    values: np.ndarray


def extent(data: Values | Runs) -> tuple[int, int]:
    """Where data begin and end on their contig."""
    if isinstance(data, Values):
        return data.start, data.start + len(data.values)
    return int(data.starts[0]), int(data.ends[-1])


@dataclass(frozen=True)
class Block:
    """Data of one contig, and what tells where the i-th of them stands in the source."""

    data: Values | Runs
    where: Where

