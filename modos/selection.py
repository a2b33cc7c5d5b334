"""The records of some regions in a BAM or BCF, found by their bytes: no record is decoded.

Both formats are sorted and both begin a record with its length, its contig and
its position (SAMv1 section 4.2, VCFv4.3 section 6.3). So the records that start
within a region follow each other, and only those that start before it need a
look at where they end.
"""

from __future__ import annotations

import struct
import threading
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from isal import isal_zlib

from modos.errors import IntegrityError, TruncatedStream
from modos.formats import BGZF_EOF, FileFormat
from modos.index import Opening
from modos.index.bgzf import PAYLOAD, block_size, frame, frame_stored, inflate_block
from modos.prefetch import fetch_ahead
from modos.region import MAX_POSITION, UNMAPPED, Region, Regions

FORMATS = ("BAM", "BCF")  # whose records can be found so
THREADS = 3
_BATCH = 1 << 17  # compressed bytes that a thread inflates at once
_BLOCKS = 64  # that are handled at once
_MAX_RECORD = 1 << 28  # bytes
_NO_TARGET = 0xFFFFFFFF  # the contig of a read without a position: the last in the file
_BAM_FIXED, _BCF_FIXED = 36, 32  # bytes of a record whose place in it is fixed
_CONSUMES_REFERENCE = 0b110001101  # M, D, N, =, X: a bit for each operation

_length = struct.Struct("<I").unpack_from
_lengths = struct.Struct("<II").unpack_from
_bam_place = struct.Struct("<4xIi").unpack_from  # contig, position
_bam_cigar = struct.Struct("<8xiB3xHH").unpack_from  # position, bytes of the name, operations, flag
_bcf_place = struct.Struct("<8xIi").unpack_from
_bcf_span = struct.Struct("<12xii").unpack_from  # position, bases of the reference


Parts = list[bytes | memoryview]  # to be written one after the other


class Run(NamedTuple):
    """Whole records that follow each other."""

    data: memoryview
    count: int


def select(opening: Opening, format: FileFormat, regions: Regions | None, after: Region | None = None,
           threads: int = THREADS) -> Iterator[Run]:
    """The records that overlap some regions, in the file's order, each once.

    Parameters
    ----------
    opening
        A BAM or BCF whose header was read; its records are used up.
    regions
        In the file's order and apart from each other; None for all records.
    after
        A region before these, whose records are left out.
    threads
        How many threads decompress.

    Raises
    ------
    IntegrityError
        A block or record is damaged; TruncatedStream where the stream ends
        within one.
    ModosError
        What the stream raises.
    """
    walk = _Walk(format, opening.header.target_ids, regions, after)
    skip, rest = opening.header.end & 0xFFFF, b""
    for data in fetch_ahead(_inflate, block_batches(opening.records), threads):
        if walk.is_done:
            continue  # the stream is still to be seen complete
        data, skip = (rest + data)[skip:], max(skip - len(rest) - len(data), 0)
        used, runs = walk.through(data)
        rest = data[used:]
        yield from runs
    if rest and not walk.is_done:
        raise TruncatedStream("the stream ends within a record")


def stored(runs: Iterable[Run]) -> Iterator[Parts]:
    """The records in BGZF blocks that are not compressed, and an end marker; without a copy of them."""
    for run in runs:
        for start in range(0, len(run.data), PAYLOAD * _BLOCKS):
            data = run.data[start:start + PAYLOAD * _BLOCKS]
            blocks = (data[at:at + PAYLOAD] for at in range(0, len(data), PAYLOAD))
            yield [part for block in blocks for part in frame_stored(block, isal_zlib.crc32(block))]
    yield [BGZF_EOF]


def compressed(runs: Iterable[Run], threads: int = THREADS) -> Iterator[Parts]:
    """The records in BGZF blocks, and an end marker."""
    yield from fetch_ahead(_deflate, _filled(runs), max(threads, 1))
    yield [BGZF_EOF]


def _deflate(data: bytes, _: threading.Event) -> Parts:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    return [*frame(deflater.compress(data) + deflater.flush(), zlib.crc32(data), len(data))]


def _filled(runs: Iterable[Run]) -> Iterator[bytes]:
    """The records in pieces that fill a block."""
    held = b""
    for run in runs:
        held += run.data
        whole = len(held) - len(held) % PAYLOAD
        yield from (held[at:at + PAYLOAD] for at in range(0, whole, PAYLOAD))
        held = held[whole:]
    if held:
        yield held


def _inflate(batch: tuple[int, list[memoryview]], _: threading.Event) -> bytes:
    offset, blocks = batch
    return b"".join(inflate_block(block, offset) for block in blocks)


def block_batches(pieces: Iterable[bytes]) -> Iterator[tuple[int, list[memoryview]]]:
    """The BGZF blocks of a stream, some at a time, with the place of the first."""
    rest, offset = b"", 0
    for piece in pieces:
        data = rest + piece if rest else piece
        view, at, first, batch = memoryview(data), 0, 0, []
        while (size := block_size(data, at, offset + at)) and at + size <= len(data):
            batch.append(view[at:at + size])
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
    """Goes from record to record, with the region that is the next to end."""

    def __init__(self, format: FileFormat, target_ids: dict[str, int], regions: Regions | None, after: Region | None):
        is_bam = format.name == "BAM"
        self._place: Callable = _bam_place if is_bam else _bcf_place
        self._end_of: Callable = _bam_end if is_bam else _bcf_end
        self._starts: Callable = _bam_starts if is_bam else _bcf_starts
        self._takes_all = regions is None
        self._regions = sorted(_numbered(region, target_ids) for region in regions or ())
        self._after = _numbered(after, target_ids) if after else None
        self._at = 0

    @property
    def is_done(self) -> bool:
        """Whether no record further on can overlap."""
        return not self._takes_all and self._at == len(self._regions)

    def through(self, data: bytes) -> tuple[int, list[Run]]:
        """Walk the whole records at the start of some data; returns the bytes they have, and the records to keep."""
        starts = self._starts(data)
        if len(data) - starts[-1] > _MAX_RECORD:
            raise IntegrityError(f"a record is larger than {_MAX_RECORD >> 20} MiB: the file is damaged")
        view, used = memoryview(data), starts[-1]
        if self._takes_all:
            return used, [Run(view[:used], len(starts) - 1)] if used else []
        stretches, number = [], 0
        while number < len(starts) - 1 and not self.is_done:
            number = self._through_region(data, starts, number, stretches)
        return used, [Run(view[starts[first]:starts[beyond]], beyond - first) for first, beyond in stretches]

    def _through_region(self, data: bytes, starts: list[int], number: int, stretches: list[tuple[int, int]]) -> int:
        """Go on to the end of a region, or of the data; adds the stretches of records to keep, by their numbers."""
        target, start, end = self._regions[self._at]
        count, place = len(starts) - 1, self._place

        def first_from(position: int) -> int:
            return bisect_left(starts, (target, position), number, count, key=lambda at: place(data, at))

        begin, within, beyond = first_from(-2), first_from(start + 1), first_from(end)
        reaching = [n for n in range(begin, within) if self._end_of(data, starts[n]) > start]
        if self._after is None:
            stretches += ((n, n + 1) for n in reaching)
            if within < beyond:
                stretches.append((within, beyond))
        else:
            stretches += ((n, n + 1) for n in (*reaching, *range(within, beyond)) if not self._is_earlier(data, starts[n]))
        if beyond < count:
            self._at += 1
        return max(beyond, number)

    def _is_earlier(self, data: bytes, at: int) -> bool:
        target, start, end = self._after
        contig, position = self._place(data, at)
        return contig == target and position < end and self._end_of(data, at) > start


def _numbered(region: Region, target_ids: dict[str, int]) -> tuple[int, int, int]:
    """A region by the number of its contig; one whose contig the header leaves out has no records."""
    if region.contig == UNMAPPED:
        return _NO_TARGET, -2, MAX_POSITION
    return target_ids.get(region.contig, _NO_TARGET - 1), region.start, region.limit


def _bam_starts(data: bytes) -> list[int]:
    """Where the whole records start, and where the last one ends."""
    at, limit, starts = 0, len(data) - _BAM_FIXED, []
    add, length = starts.append, _length
    while at <= limit:
        add(at)
        at += length(data, at)[0] + 4
    if at > len(data):
        at = starts.pop()
    add(at)
    return starts


def _bcf_starts(data: bytes) -> list[int]:
    """Where the whole records start, and where the last one ends."""
    at, limit, starts = 0, len(data) - _BCF_FIXED, []
    add, lengths = starts.append, _lengths
    while at <= limit:
        add(at)
        at += sum(lengths(data, at)) + 8
    if at > len(data):
        at = starts.pop()
    add(at)
    return starts


def _bam_end(data: bytes, at: int) -> int:
    """End of a read on the reference; a read that takes none of it counts as one base (htslib, bam_endpos)."""
    position, name, operations, flag = _bam_cigar(data, at)
    if flag & 4 or not operations:
        return position + 1
    if operations == 1:
        cigar = _length(data, at + 36 + name)
    else:
        cigar = struct.unpack_from(f"<{operations}I", data, at + 36 + name)
    return position + (sum([op >> 4 for op in cigar if _CONSUMES_REFERENCE >> (op & 15) & 1]) or 1)


def _bcf_end(data: bytes, at: int) -> int:
    start, bases = _bcf_span(data, at)
    return start + bases
