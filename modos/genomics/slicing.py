"""Select the records of regions from BAM, BCF or VCF bytes without decoding them.

A file that can be indexed has the records of a contig together and sorted by
position; the contigs may have any order. So the records that start within a
region follow each other, and only those that start before it need a look at
where they end.
"""

from __future__ import annotations

import threading
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from isal import isal_zlib

from modos.errors import IntegrityError, TruncatedStream
from modos.formats import BGZF_EOF, FileFormat
from modos.genomics.index import Opening
from modos.genomics.index.bgzf import PAYLOAD, block_size, frame, frame_stored, inflate_block
from modos.genomics.index.layout import MAX_RECORD, Contig, Layout, layout_of
from modos.genomics.region import MAX_POSITION, UNMAPPED, Region, Regions
from modos.storage.prefetch import fetch_ahead

FORMATS = ("BAM", "BCF", "VCF")  # whose records can be found so
THREADS = 3
_BATCH = 1 << 17  # compressed bytes that a thread inflates at once
_BLOCKS = 64  # that are handled at once


Parts = list[bytes | memoryview]  # to be written one after the other


class Run(NamedTuple):
    """Whole records that follow each other.

    Parameters
    ----------
    starts
        Where each record starts, after `origin`; none where that is not known.
    """

    data: memoryview
    records: int
    starts: Sequence[int] = ()
    origin: int = 0


def select(
    opening: Opening, format: FileFormat, regions: Regions | None, after: Region | None = None, threads: int = THREADS
) -> Iterator[Run]:
    """Select the records that overlap some regions, in the file's order, each once.

    Parameters
    ----------
    opening
        A BAM, BCF or VCF whose header was read; its records are used up.
    regions
        Those of a contig sorted and apart from each other; None for all records.
    after
        A region before these, whose records are left out.
    threads
        How many threads decompress.

    Raises
    ------
    IntegrityError
        A block or record is damaged, or the records are not sorted;
        TruncatedStream where the stream ends within one.
    ModosError
        What the stream raises.
    """
    layout = layout_of(format, opening)
    walk = _Walk(layout, regions, after)
    skip, rest = opening.header.end & 0xFFFF, b""
    for blocks in fetch_ahead(_inflate, block_batches(opening.records), threads):
        if walk.is_done:
            continue  # the stream is still to be seen complete
        data = b"".join((rest, *blocks))
        data, skip = data[skip:], max(skip - len(data), 0)
        used, runs = walk.walk(data := layout.clean(data, whole=regions is None))
        rest = data[used:]
        yield from runs
    if rest and not walk.is_done:
        if format.name != "VCF" or regions is not None:
            raise TruncatedStream("the stream ends within a record", "the file is truncated, or its index is of another file")
        yield from walk.walk(layout.clean(rest + b"\n", whole=regions is None))[
            1
        ]  # the last line of a file may do without its end


def to_text(runs: Iterable[Run]) -> Iterator[Parts]:
    """Yield the records as text."""
    return ([run.data] for run in runs)


def to_stored_blocks(runs: Iterable[Run]) -> Iterator[Parts]:
    """Yield the records in uncompressed BGZF blocks, and an end marker; without a copy of them."""
    for run in runs:
        for start in range(0, len(run.data), PAYLOAD * _BLOCKS):
            data = run.data[start : start + PAYLOAD * _BLOCKS]
            blocks = (data[at : at + PAYLOAD] for at in range(0, len(data), PAYLOAD))
            yield [part for block in blocks for part in frame_stored(block, isal_zlib.crc32(block))]
    yield [BGZF_EOF]


def to_compressed_blocks(runs: Iterable[Run], threads: int = THREADS) -> Iterator[Parts]:
    """Yield the records in BGZF blocks, and an end marker."""
    yield from fetch_ahead(_deflate, fill_blocks(runs), max(threads, 1))
    yield [BGZF_EOF]


def _deflate(data: bytes, _: threading.Event) -> Parts:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    return [*frame(deflater.compress(data) + deflater.flush(), zlib.crc32(data), len(data))]


def fill_blocks(runs: Iterable[Run]) -> Iterator[bytes]:
    """Regroup the records into pieces that fill a block."""
    held = b""
    for run in runs:
        held += run.data
        whole = len(held) - len(held) % PAYLOAD
        yield from (held[at : at + PAYLOAD] for at in range(0, whole, PAYLOAD))
        held = held[whole:]
    if held:
        yield held


def _inflate(batch: tuple[int, list[memoryview]], _: threading.Event) -> list[bytes]:
    offset, blocks = batch
    return [inflate_block(block, offset) for block in blocks]


def block_batches(pieces: Iterable[bytes]) -> Iterator[tuple[int, list[memoryview]]]:
    """Yield the BGZF blocks of a stream, some at a time, with the place of the first."""
    rest, offset = b"", 0
    for piece in pieces:
        data = rest + piece if rest else piece
        view, at, first, batch = memoryview(data), 0, 0, []
        while (size := block_size(data, at, offset + at)) and at + size <= len(data):
            batch.append(view[at : at + size])
            at += size
            if at - first >= _BATCH or len(batch) == _BLOCKS:
                yield offset + first, batch
                first, batch = at, []
        if batch:
            yield offset + first, batch
        rest, offset = data[at:], offset + at
    if rest:
        raise TruncatedStream("the stream ends within a BGZF block")


class _Walk:
    """Goes from record to record, in whatever order the file has its contigs."""

    def __init__(self, layout: Layout, regions: Regions | None, after: Region | None):
        self._layout = layout
        self._takes_all = regions is None
        self._spans: dict[Contig, list[tuple[int, int]]] = {}
        for region in regions or ():
            self._spans.setdefault(layout.contig(region.contig), []).append(_span(region))
        self._left = set(self._spans)  # contigs with regions that may still have records
        self._after = (layout.contig(after.contig), *_span(after)) if after else None
        self._contig: Contig = -1  # none
        self._passed: set[Contig] = set()
        self._position = -1  # of the last record
        self._at = 0  # the next span of the contig

    @property
    def is_done(self) -> bool:
        """Return whether no record further on can overlap."""
        return not self._takes_all and not self._left

    def walk(self, data: bytes) -> tuple[int, list[Run]]:
        """Walk the whole records at the start of some data; returns the bytes they have, and the records to keep."""
        starts = self._layout.starts(data)
        if len(data) - starts[-1] > MAX_RECORD:
            raise IntegrityError(f"a record is larger than {MAX_RECORD >> 20} MiB: the file is damaged")
        view, used = memoryview(data), starts[-1]
        if self._takes_all:
            return used, [Run(view[:used], len(starts) - 1, starts[:-1])] if used else []
        stretches: list[tuple[int, int]] = []
        number = 0
        while number < len(starts) - 1 and not self.is_done:
            number = self._walk_contig(data, starts, number, stretches)
        return used, [
            Run(view[starts[first] : starts[beyond]], beyond - first, starts[first:beyond], starts[first])
            for first, beyond in stretches
        ]

    def _walk_contig(self, data: bytes, starts: list[int], number: int, stretches: list[tuple[int, int]]) -> int:
        """Go on to the end of a contig, or of the data; adds the stretches of records to keep, by their numbers."""
        place = self._layout.place
        contig, position = place(data, starts[number])
        if contig != self._contig:
            self._enter(contig)
        beyond = bisect_left(starts, True, number, len(starts) - 1, key=lambda at: place(data, at)[0] != contig)
        if position < self._position and not self._layout.is_unplaced(contig):
            raise _unsorted_error()
        self._position = place(data, starts[beyond - 1])[1]
        if contig in self._left:
            self._walk_spans(data, starts, number, beyond, stretches)
        return beyond

    def _enter(self, contig: Contig) -> None:
        if contig in self._passed:
            raise _unsorted_error()
        self._passed.add(contig)
        self._left.discard(self._contig)
        self._contig, self._position, self._at = contig, -1, 0

    def _walk_spans(self, data: bytes, starts: list[int], number: int, last: int, stretches: list[tuple[int, int]]) -> None:
        """Add to the stretches the records [number, last) of a contig that overlap its spans."""
        place, end_of = self._layout.place, self._layout.end
        spans = self._spans[self._contig]
        while number < last and self._at < len(spans):
            start, end = spans[self._at]
            within = bisect_left(starts, start + 1, number, last, key=lambda at: place(data, at)[1])
            beyond = bisect_left(starts, end, within, last, key=lambda at: place(data, at)[1])
            reaching = [n for n in range(number, within) if end_of(data, starts[n]) > start]
            after = self._after
            if after is None:
                stretches += _join_stretches([*((n, n + 1) for n in reaching), (within, beyond)])
            else:
                stretches += (
                    (n, n + 1) for n in (*reaching, *range(within, beyond)) if not self._is_earlier(after, data, starts[n])
                )
            number = beyond
            self._at += beyond < last
        if self._at == len(spans):
            self._left.discard(self._contig)

    def _is_earlier(self, after: tuple[Contig, int, int], data: bytes, at: int) -> bool:
        target, start, end = after
        contig, position = self._layout.place(data, at)
        return contig == target and position < end and self._layout.end(data, at) > start


def _span(region: Region) -> tuple[int, int]:
    """Return the bases of a region; for the reads without a position all, also those before the first base."""
    return (-2, MAX_POSITION) if region.contig == UNMAPPED else (region.start, region.limit)


def _join_stretches(stretches: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join the stretches that are not empty; those that follow each other become one."""
    first = last = -1
    for start, end in stretches:
        if start == last:
            last = end
            continue
        if first < last:
            yield first, last
        first, last = start, end
    if first < last:
        yield first, last


def _unsorted_error() -> IntegrityError:
    return IntegrityError(
        "the records are not sorted by contig and position, so that regions cannot be found",
        "sort the file (samtools sort, bcftools sort), and make its index again",
    )
