"""Compute the depth of coverage of a region, a stretch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.genomics.region import Region

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NOT_COUNTED = 0x4 | 0x100 | 0x200 | 0x400  # unmapped, secondary, failed a check, duplicate: as samtools has it
MAX_BASES = 1 << 28  # that are returned one by one
_NONE = (1 << 63) - 1  # above each depth
_TILE = 1 << 20  # bases whose depth is held at a time
_MATCHES, _TAKES_READ, _TAKES_REFERENCE = {0, 7, 8}, {0, 1, 4, 7, 8}, {0, 2, 3, 7, 8}  # CIGAR operations


@dataclass(frozen=True)
class Coverage:
    """The depth over a region, and what `samtools coverage` tells of it.

    Parameters
    ----------
    region
        0-based half-open.
    reads
        Reads that count and overlap it.
    covered
        Bases under one read at least.
    bases
        Bases of the reads on it: the sum of the depths.
    mean_base_quality, mean_mapping_quality
        Phred scaled; of the bases and of the reads.
    depth
        The mean depth of each bin, or the depth of each base.
    low, high
        The least and the largest depth in each bin, or the depth of each base.
    """

    region: Region
    reads: int
    covered: int
    bases: int
    mean_base_quality: float
    mean_mapping_quality: float
    depth: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    @property
    def length(self) -> int:
        """Bases of the region."""
        return self.region.limit - self.region.start

    @property
    def mean_depth(self) -> float:
        """Over all bases of the region."""
        return self.bases / self.length


def measure(records: Iterator[Any], region: Region, bins: int | None) -> Coverage:
    """Measure the depth of reads over a region.

    Parameters
    ----------
    records
        The reads that overlap it, sorted by position.
    region
        With its end.
    bins
        Number of equal parts; None for single bases.
    """
    import numpy as np

    length = region.limit - region.start
    if bins is None and length > MAX_BASES:
        raise InvalidInputError(
            f"{region} has {length:,} bases: too many to give the depth of each", "ask for bins, or for a part of it"
        )
    if bins is not None and not 0 < bins <= length:
        raise InvalidInputError(f"{bins} bins of a region of {length:,} bases", "ask for 1 to as many as it has bases")
    tally = _Tally(region)
    sums = np.zeros(bins or length, np.int64)
    low, high = (sums, sums) if bins is None else (np.full(bins, _NONE, np.int64), np.zeros(bins, np.int64))
    covered = 0
    for at, depth in tally.tiles(records):
        covered += int(np.count_nonzero(depth))
        if bins is None:
            sums[at : at + len(depth)] = depth
        else:
            places = np.arange(at, at + len(depth)) * bins // length
            first = int(places[0])
            parts = np.bincount(places - first, weights=depth).astype(np.int64)
            sums[first : first + len(parts)] += parts
            begins = np.searchsorted(places, np.arange(first, first + len(parts)))
            for extreme, choose in ((low, np.minimum), (high, np.maximum)):
                here = extreme[first : first + len(parts)]
                choose(here, choose.reduceat(depth, begins), out=here)
    bases = int(sums.sum())
    edges = -(-np.arange((bins or 0) + 1) * length // (bins or 1))
    return Coverage(
        region,
        tally.reads,
        covered,
        bases,
        tally.base_qualities / (bases or 1),
        tally.mapping_qualities / (tally.reads or 1),
        sums if bins is None else sums / np.diff(edges),
        low,
        high,
    )


def count_depth(records: Iterator[Any], region: Region) -> npt.NDArray[np.int64]:
    """Count the depth of each base of a region, int64, (bases,), as `measure` does, and nothing else.

    Parameters
    ----------
    records
        The reads that overlap it, in any order.
    region
        With its end.
    """
    import numpy as np

    width = region.limit - region.start
    starts, ends = list[int](), list[int]()
    for record in records:
        if not record.flag & NOT_COUNTED:
            for start, end in record.get_blocks():
                starts.append(start)
                ends.append(end)
    changes = np.zeros(width + 1, np.int64)
    for places, change in ((starts, 1), (ends, -1)):
        np.add.at(changes, np.clip(np.array(places, np.int64) - region.start, 0, width), change)
    return np.cumsum(changes[:width])


class _Tally:
    """Counts reads, and adds up their bases tile by tile."""

    def __init__(self, region: Region):
        self._start = region.start
        self._length = region.limit - region.start
        self._starts: list[int] = []  # of aligned stretches, from the region's start on
        self._ends: list[int] = []
        self.reads = self.base_qualities = self.mapping_qualities = 0

    def tiles(self, records: Iterator[Any]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield every tile: its start within the region, and the depth of its bases."""
        at = 0
        for record in records:
            if record.flag & NOT_COUNTED:
                continue
            while record.reference_start - self._start >= at + _TILE:
                yield at, self._depth(at, at + _TILE)
                at += _TILE
            self._add(record)
        while at < self._length:
            end = min(at + _TILE, self._length)
            yield at, self._depth(at, end)
            at = end

    def _add(self, record: Any) -> None:
        self.reads += 1
        self.mapping_qualities += record.mapping_quality
        qualities = record.query_qualities
        base, position = 0, record.reference_start - self._start
        for operation, length in record.cigartuples or ():
            if operation in _MATCHES:
                start, end = max(position, 0), min(position + length, self._length)
                if start < end:
                    self._starts.append(start)
                    self._ends.append(end)
                    if qualities is not None:
                        self.base_qualities += sum(qualities[base + start - position : base + end - position])
            if operation in _TAKES_READ:
                base += length
            if operation in _TAKES_REFERENCE:
                position += length

    def _depth(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """Compute the depth of the bases of a tile; keep what reaches beyond it for the next."""
        import numpy as np

        starts, ends = np.array(self._starts, np.int64), np.array(self._ends, np.int64)
        size = end - begin
        here = starts < end
        changes = np.bincount(np.maximum(starts[here], begin) - begin, minlength=size + 1)
        changes -= np.bincount(np.minimum(ends[here], end) - begin, minlength=size + 1)
        beyond = ends > end
        self._starts, self._ends = np.maximum(starts[beyond], end).tolist(), ends[beyond].tolist()
        return np.cumsum(changes[:size])
