"""Find the parts of a file all of whose records are wanted, by a look at a few of them.

The index names places between two records. Where the record at one of these
places and the record at the next one both begin within one region, so do those
in between, in a file that is sorted; such a file alone has an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from modos.genomics.index import Chunk
from modos.genomics.index.bgzf import Blocks
from modos.genomics.index.layout import Layout
from modos.genomics.region import UNMAPPED, Regions
from modos.storage import ObjectInfo, Readable

PART = 1 << 18  # bytes of the file, about, from one look to the next


class Stretch(NamedTuple):
    """Some chunks of a file that follow each other, and whether all of their records are wanted."""

    chunks: list[Chunk]
    is_raw: bool


def find_stretches(
    storage: Readable, info: ObjectInfo, layout: Layout, chunks: Sequence[Chunk], regions: Regions | None
) -> Iterator[Stretch]:
    """Find which of some chunks, in order, have only records that begin within one of some regions."""
    if regions is None:
        yield from [Stretch(list(chunks), True)] if chunks else []
        return

    def read(start: int, end: int) -> bytes:
        return storage.read_part(info.key, start, end, if_match=info.etag)[0]

    looks = _Looks(Blocks(read, info.size), layout, regions)
    raw: list[bool] = []
    first = 0
    for beyond in range(1, len(chunks) + 1):
        if beyond == len(chunks) or chunks[beyond - 1][1] != chunks[beyond][0]:
            raw += looks.classify([start for start, _ in chunks[first:beyond]])
            first = beyond
    for is_raw, numbers in groupby(range(len(chunks)), raw.__getitem__):
        yield Stretch(_join([chunks[number] for number in numbers]), is_raw)


def _join(chunks: list[Chunk]) -> list[Chunk]:
    """Join the chunks that meet."""
    joined = chunks[:1]
    for start, end in chunks[1:]:
        if joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class _Looks:
    """Looks at single records of a file."""

    def __init__(self, blocks: Blocks, layout: Layout, regions: Regions):
        self._blocks, self._layout, self._regions = blocks, layout, regions
        self._seen: dict[int, int | None] = {}

    def classify(self, starts: Sequence[int]) -> list[bool]:
        """Return of chunks that meet, by where they start, whether all of their records are wanted; of the last it is unknown."""
        found = [False] * len(starts)
        todo = [(0, len(starts) - 1)]
        while todo:
            first, last = todo.pop()
            region = self._find_region(starts[first]) if first < last else None
            if region is not None and region == self._find_region(starts[last]):
                found[first:last] = [True] * (last - first)
            elif last - first > 1:
                middle = (first + last) // 2
                todo += [(first, middle), (middle, last)]
        return found

    def _find_region(self, at: int) -> int | None:
        """Return the number of the region that the record at a virtual offset begins in; None if that is not seen."""
        if at not in self._seen:
            self._seen[at] = self._look(at)
        return self._seen[at]

    def _look(self, at: int) -> int | None:
        data = self._blocks.inflate(at >> 16)[0][at & 0xFFFF :]
        starts = self._layout.starts(data)
        if len(starts) < 2 or self._layout.clean(data) != data:
            return None
        contig, position = self._layout.place(data, 0)
        for number, region in enumerate(self._regions):
            if self._layout.contig(region.contig) == contig and region.start <= position < region.limit:
                return None if region.contig == UNMAPPED else number
        return None
