"""Estimate how the records of a contig are spread along it, from its index alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import Crai

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Places = npt.NDArray[np.float64]

_LAST = 1 << 14  # bytes, about, of the last block that an index tells of


def estimate_density(
    index: BinningIndex | Crai, target: int, length: int, edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Estimate how dense the records are between edges, against the mean of their contig: 1.0 is as dense as that.

    What is counted is bytes of the file, up to each of the places that the index knows of: reads of other lengths,
    qualities or tags count for more or less than they are.

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

    bases, gathered = _gather_bins(index, target, length) if isinstance(index, BinningIndex) else _gather_slices(index, target)
    widths = np.diff(edges)
    total = float(gathered[-1] - gathered[0]) if len(gathered) else 0.0
    if total <= 0:
        return np.zeros(len(widths))
    parts = np.diff(np.interp(edges, bases, gathered))
    density: npt.NDArray[np.float64] = np.maximum(parts / np.maximum(widths, 1) * (length / total), 0.0)
    return density


def _gather_bins(index: BinningIndex, target: int, length: int) -> tuple[Places, Places]:
    """Return places on a contig, in order, and about how many bytes of the file come before each; (places,) of float64.

    They are the windows of a linear index, or of a CSI the bins: their `loffset`, and where their records end.
    """
    import numpy as np

    span = index.span(target) if target < len(index.targets) else None
    if span is None:
        return np.empty(0), np.empty(0)
    bins = index.targets[target]
    if index.kind == "CSI":
        extents = [(number, extent) for number in bins.bins if (extent := index.extent(number)) is not None]
        ends = ((extent[1], max((end for _, end in bins.chunks(number)), default=0)) for number, extent in extents)
        starts = ((extent[0], bins.loffset(number)) for number, extent in extents)
        known = sorted((base, offset) for base, offset in (*starts, *ends) if base < length)
    else:
        known = [(window << index.min_shift, offset) for window, offset in enumerate(bins.linear) if offset]
    known = [(base, offset) for base, offset in known if span[0] <= offset <= span[1]]
    places = np.array([*(base for base, _ in known), length], np.float64)
    offsets = np.array([*(offset for _, offset in known), span[1]], np.uint64)
    return places, np.maximum.accumulate(_count_bytes(offsets))


def _count_bytes(offsets: npt.NDArray[np.uint64]) -> Places:
    """Count about how many bytes of a file come before virtual offsets; (offsets,) of float64.

    What is within a block counts as if it were spread up to the next block that is known.
    """
    import numpy as np

    blocks = np.unique(offsets >> np.uint64(16)).astype(np.float64)
    widths = np.diff(blocks, append=blocks[-1:] + _LAST)
    starts = (offsets >> np.uint64(16)).astype(np.float64)
    within = (offsets & np.uint64(0xFFFF)).astype(np.float64) / (1 << 16)
    found: Places = starts + within * np.minimum(widths[np.searchsorted(blocks, starts)], 1 << 16)
    return found


def _gather_slices(index: Crai, target: int) -> tuple[Places, Places]:
    """Return places on a contig, in order, and how many bytes come before each; (places,) of float64.

    The bytes of a slice are spread evenly over it; where a container has several, each has its share.
    """
    import numpy as np

    slices = index.slices.get(target, ())
    if not slices:
        return np.empty(0), np.empty(0)
    sizes = [index.extents.get(container, (0, 1)) for _, _, container in slices]
    starts, ends = (np.array([one[side] for one in slices], np.float64) for side in (0, 1))
    slopes = np.array([size / max(count, 1) for size, count in sizes]) / (ends - starts)
    places, changes = np.concatenate([starts, ends]), np.concatenate([slopes, -slopes])
    order = np.argsort(places, kind="stable")
    places = places[order]
    slope = np.cumsum(changes[order])
    return places, np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(places))])
