"""Cut a BGZF file between two records into a valid BGZF stream.

An index points at records, and records may start and end anywhere in a block.
Whole blocks stay byte ranges of the file; the block a slice starts or ends in
is cut and compressed again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from modos.errors import IntegrityError, TruncatedStream
from modos.genomics.index.bgzf import MAX_BLOCK, Blocks, Read, compress
from modos.storage.base import ByteRange
from modos.storage.prefetch import fetch_ahead

Segment = bytes | ByteRange
Chunk = tuple[int, int]  # virtual offsets [start, end), both between two records

_GAP = 1 << 16  # compressed bytes: nearer chunks are read as one
_NEAR = 1 << 18  # compressed bytes: nearer edges of a chunk are read together


def merge_chunks(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Merge the chunks in file order without overlaps; nearby ones become one."""
    merged: list[Chunk] = []
    for start, end in sorted(chunks):
        if merged and (start >> 16) - (merged[-1][1] >> 16) < _GAP:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def split_chunks(chunks: Iterable[Chunk], starts: Sequence[int], size: int) -> Iterator[Chunk]:
    """Split chunks of more than some compressed bytes.

    Parameters
    ----------
    starts
        Virtual offsets at which records start, sorted.
    """
    for start, end in chunks:
        while _block(end) - _block(start) > size:
            at = bisect_left(starts, start + (size << 16))
            if at == len(starts) or starts[at] >= end:
                break
            yield start, starts[at]
            start = starts[at]
        yield start, end


def cut(read: Read, size: int, chunks: Iterable[Chunk], *, inline: int = 0, workers: int = 1) -> Iterator[Segment]:
    """Cut the segments that hold exactly the given chunks, as they are found.

    Parameters
    ----------
    size
        Bytes in the file.
    chunks
        Virtual offsets, as `merge_chunks` returns them.
    inline
        Bytes of the file that may come as bytes instead of ranges, where that
        takes no further read: small chunks.
    workers
        Chunks that are cut at once.

    Raises
    ------
    IntegrityError
        The chunks do not fit the file, or a block is damaged; TruncatedStream
        where they reach beyond its end.
    """
    tasks: list[tuple[Chunk, bool]] = []
    for start, end in chunks:
        if _block(end) + bool(_offset_within(end)) > size:
            raise beyond_end_error(size)
        cost = _block(end) - _block(start)
        is_inline = cost <= min(inline, _NEAR)
        inline -= cost if is_inline else 0
        tasks.append(((start, end), is_inline))
    if workers == 1 or len(tasks) < 2:
        blocks = Blocks(read, size)
        results: Iterable[list[Segment]] = (_cut_chunk(blocks, *task) for task in tasks)
    else:
        results = fetch_ahead(lambda task, _: _cut_chunk(Blocks(read, size), *task), tasks, workers)
    for segments in results:
        yield from segments


def beyond_end_error(size: int) -> TruncatedStream:
    """Make the error for an index that has more than the file."""
    return TruncatedStream(
        f"the index points beyond the end of the file ({size:,} bytes)", "the file is truncated, or the index is of another file"
    )


def _cut_chunk(blocks: Blocks, chunk: Chunk, is_inline: bool) -> list[Segment]:
    start, end = chunk
    first, last = _block(start), _block(end)
    if is_inline:
        blocks.hold(first, last + (MAX_BLOCK if _offset_within(end) else 0))
    head = tail = b""
    whole = first
    if first == last:
        head = _inflate(blocks, first, _offset_within(end))[0][_offset_within(start) : _offset_within(end)]
    else:
        if _offset_within(start):
            data, whole = _inflate(blocks, first, _offset_within(start), last - first)
            head = data[_offset_within(start) :]
        if whole > last:
            raise _misfit_error_at(last)
        middle: Segment = blocks.raw(whole, last) if is_inline else ByteRange(whole, last)
        if _offset_within(end):
            tail = _inflate(blocks, last, _offset_within(end))[0][: _offset_within(end)]
    if whole == last or first == last:
        return [compress(head + tail)] if head or tail else []
    if isinstance(middle, bytes):
        return [compress(head) + middle + compress(tail)]
    return [segment for segment in (compress(head), middle, compress(tail)) if segment]


def _inflate(blocks: Blocks, offset: int, within: int, ahead: int = 0) -> tuple[bytes, int]:
    """Inflate the block that an index points into; return its data, and the next block's offset."""
    if not within:
        return b"", offset
    data, following = blocks.inflate(offset, ahead if ahead <= _NEAR else 0)
    if within > len(data):
        raise _misfit_error_at(offset)
    return data, following


def misfit_error(reason: str) -> IntegrityError:
    """Make the error for an index that is not of its file."""
    return IntegrityError(f"the index does not fit the file: {reason}", "make the index again")


def _misfit_error_at(offset: int) -> IntegrityError:
    return IntegrityError(f"the index does not fit the file at byte {offset:,}", "make the index again")


def _block(virtual: int) -> int:
    return virtual >> 16


def _offset_within(virtual: int) -> int:
    return virtual % MAX_BLOCK
