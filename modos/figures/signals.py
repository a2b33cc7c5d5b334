"""Numbers along a region, in as many parts as a figure can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from modos.genomics.region import Region

if TYPE_CHECKING:
    from modos.genomics import GenomicFile
    from modos.tracks.track import Track

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """Mean, least and largest value of each part of a region; NaN where there is none.

    Parameters
    ----------
    edges
        Of the parts, 0-based: shape (parts + 1,), float64.
    mean, low, high
        Shape (parts,), float64.
    is_depth
        Whether they are numbers of reads, which begin at 0.
    """

    name: str
    unit: str | None
    edges: _Numbers
    mean: _Numbers
    low: _Numbers
    high: _Numbers
    is_depth: bool = False

    @property
    def is_exact(self) -> bool:
        """Return whether each part is one base."""
        return len(self.mean) == round(float(self.edges[-1] - self.edges[0]))


def measure_depth(file: GenomicFile, region: Region, bins: int, name: str) -> Signal:
    """Measure the depth of reads as `samtools depth` does: of each base, or in parts with least, mean and largest."""
    length = region.limit - region.start
    if length <= bins:
        depth = file.coverage(region).astype(np.float64)
        return Signal(name, "reads", region.start + np.arange(length + 1.0), depth, depth, depth, is_depth=True)
    measured = file.measure(region, bins)
    edges = region.start - (-np.arange(bins + 1) * length // bins)
    low, high = (extreme.astype(np.float64) for extreme in (measured.low, measured.high))
    return Signal(name, "reads", edges.astype(np.float64), measured.depth.astype(np.float64), low, high, is_depth=True)


def measure_track(track: Track, region: Region, bins: int, name: str) -> Signal:
    """Measure the values of a track: of each base, or in parts, from its zooms."""
    length = region.limit - region.start
    if length <= bins:
        values = track.values(region).astype(np.float64)
        return Signal(name, None, region.start + np.arange(length + 1.0), values, values, values)
    _, mean, low, high = track.zoom(region, bins)
    edges = (region.start + np.arange(bins + 1) * length // bins).astype(np.float64)
    return Signal(name, None, edges, mean, low, high)
