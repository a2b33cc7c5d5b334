"""Estimate how the records of a contig are spread along it, from its index alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import Crai

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WITHIN = 0.25  # bytes of the file to a byte within a block, about: its offset counts bytes that are not compressed


def estimate_density(
    index: BinningIndex | Crai, target: int, length: int, edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Estimate how dense the records are between edges, against the mean of their contig: 1.0 is as dense as that.

    What is counted is bytes of the file, which are spread evenly over the bin or the slice that they are of: reads of
    other lengths, qualities or tags count for more or less than they are.

    Parameters
    ----------
    target
        Id of the contig in the index.
    length
        Of the contig, in bases.
    edges
        Positions, 0-based, in order: one more than there are parts.

    Returns
    -------
    ndarray
        float64, (parts,); zeros where the index has nothing on the contig.
    """
    import numpy as np

    spans = list(_iter_bins(index, target) if isinstance(index, BinningIndex) else _iter_slices(index, target))
    widths = np.diff(edges)
    if not spans:
        return np.zeros(len(widths))
    starts, ends, sizes = np.array(spans, np.float64).T
    ends = np.maximum(np.minimum(ends, length), starts + 1)
    slopes = sizes / (ends - starts)
    places, changes = np.concatenate([starts, ends]), np.concatenate([slopes, -slopes])
    order = np.argsort(places, kind="stable")
    places, slope = places[order], np.cumsum(changes[order])
    gathered = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(places))])
    total = float(gathered[-1])
    if total <= 0:
        return np.zeros(len(widths))
    parts = np.diff(np.interp(edges, places, gathered))
    density: npt.NDArray[np.float64] = np.maximum(parts / np.maximum(widths, 1) * (length / total), 0.0)
    return density


def _iter_bins(index: BinningIndex, target: int) -> Iterator[tuple[int, int, float]]:
    """Yield first base, end, and about how many bytes of the file each bin of a contig has."""
    if target >= len(index.targets):
        return
    bins = index.targets[target]
    for number in bins.bins:
        extent = index.extent(number)
        if extent is not None:
            size = sum(
                (end >> 16) - (start >> 16) + _WITHIN * ((end & 0xFFFF) - (start & 0xFFFF)) for start, end in bins.chunks(number)
            )
            yield *extent, max(size, 0.0)


def _iter_slices(index: Crai, target: int) -> Iterator[tuple[int, int, float]]:
    """Yield first base, end and bytes of each slice of a contig; where a container has several slices, each has its share."""
    for start, end, container in index.slices.get(target, ()):
        size, slices = index.extents.get(container, (0, 1))
        yield start, end, size / max(slices, 1)
