"""The data of a track between files and arrays: a value per base, or runs of equal values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Where = Callable[[int], str]
Floats = npt.NDArray[np.float32]  # values
Places = npt.NDArray[np.int64]  # of bases


class Values(NamedTuple):
    """A value per base of a contig from `start` (0-based) on; float32, NaN where there is none."""

    contig: str
    start: int
    values: Floats


class Runs(NamedTuple):
    """Stretches of a contig with one value each: starts, ends (int64, 0-based half-open), values (float32), in order."""

    contig: str
    starts: Places
    ends: Places
    values: Floats


def extent(data: Values | Runs) -> tuple[int, int]:
    """Return start and end of data on their contig, 0-based half-open."""
    if isinstance(data, Values):
        return data.start, data.start + len(data.values)
    return int(data.starts[0]), int(data.ends[-1])


@dataclass(frozen=True)
class Block:
    """Data of one contig, and what tells where the i-th of them stands in the source."""

    data: Values | Runs
    where: Where
