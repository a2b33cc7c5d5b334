"""Plan which bytes of a file hold the records of a region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modos.errors import IntegrityError, InvalidInputError, TruncatedStream
from modos.formats import BGZF_EOF, FileFormat, cram_eof_forms
from modos.genomics.index.bgzf import MAX_BLOCK, Read, compress, last_block, read_exactly
from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import UNPLACED, Crai
from modos.genomics.index.file_header import Header
from modos.genomics.index.parse import Index
from modos.genomics.index.slices import Chunk, Segment, beyond_end_error, cut, merge_chunks
from modos.genomics.region import UNMAPPED, Region, unknown_contig_error
from modos.storage.base import ByteRange

_WINDOW = 1 << 14  # bases, of the smallest bins of BAI and TBI
INDEX_KINDS = {"BAM": ("BAI", "CSI"), "CRAM": ("CRAI",), "VCF": ("TBI", "CSI"), "BCF": ("CSI",)}


def plan_regions(
    format: FileFormat,
    read: Read,
    size: int,
    header: Header,
    index: Index,
    regions: Iterable[Region],
    *,
    inline: int = 0,
    workers: int = 1,
) -> Iterator[Segment]:
    """Plan the part of a file that holds the records of some regions, in file order, no byte twice.

    Header and end marker are left out. All records are whole; neighbours of
    the regions come along. At most two blocks per stretch of the file are
    read, one after the other as the segments are asked for, unless they come
    as bytes.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file; from several threads, where
        there are workers.
    size
        Bytes in the file.
    regions
        0-based, half-open. The contig `*` stands for reads without a position.
    inline
        Bytes of the file that may come as bytes instead of ranges.
    workers
        Stretches of the file that are looked at at once.

    Returns
    -------
    iterator
        Bytes, and byte ranges of the file; empty if nothing can overlap.

    Raises
    ------
    NotFoundError
        Neither the header nor the index has the contig.
    InvalidInputError
        The index is not for files of this format, or `*` was asked of variants.
    IntegrityError
        Index and file do not fit; TruncatedStream if the file ends early.
        Also while iterating.
    """
    if index.kind not in INDEX_KINDS[format.name]:
        raise InvalidInputError(
            f"a {index.kind} index is not for {format.name} files", f"give a {' or '.join(INDEX_KINDS[format.name])} index"
        )
    if isinstance(index, Crai):
        return _inline_small(read, _plan_containers(read, size, header, index, regions), inline)
    chunks = find_chunks(format, read, size, header, index, regions)
    segments = cut(read, size, chunks, inline=inline, workers=workers)
    return _with_last_newline(segments, read, size, header, chunks[-1][1]) if format.name == "VCF" and chunks else segments


def _with_last_newline(segments: Iterator[Segment], read: Read, size: int, header: Header, end: int) -> Iterator[Segment]:
    """Yield the segments of a VCF up to a virtual offset, and the line end if the file ends there without it."""
    yield from segments
    beyond = size - len(header.eof)
    first = max(beyond - MAX_BLOCK, 0)
    if end >> 16 < first:
        return
    at, data = last_block(read_exactly(read, first, beyond), first)
    is_end = end >> 16 >= beyond or (end >> 16 == at and end & 0xFFFF == len(data))
    if is_end and data and data[-1:] != b"\n":
        yield compress(b"\n")


def find_chunks(
    format: FileFormat, read: Read, size: int, header: Header, index: BinningIndex | None, regions: Iterable[Region] | None
) -> list[Chunk]:
    """Find where in a BGZF file the records of some regions, or all, are: virtual offsets between records, in order and apart."""
    if regions is None:
        chunks = [(header.end, check_end(read, size, header.eof) << 16)]
    else:
        assert index is not None
        chunks = [chunk for region in _join_regions(regions) for chunk in _find_chunks(format, read, size, header, index, region)]
    return merge_chunks((max(start, header.end), end) for start, end in chunks if end > header.end)


def _join_regions(regions: Iterable[Region]) -> Iterator[Region]:
    """Join the regions that follow each other within a window of the index."""
    last: Region | None = None
    for region in regions:
        if last and last.contig == region.contig and 0 <= region.start - last.limit < _WINDOW and last.end:
            last = Region(last.contig, last.start, region.end)
            continue
        if last:
            yield last
        last = region
    if last:
        yield last


def _inline_small(read: Read, ranges: list[ByteRange], inline: int) -> Iterator[Segment]:
    """Replace small ranges by their bytes."""
    for span in ranges:
        if span.size <= inline:
            inline -= span.size
            yield read_exactly(read, *span)
        else:
            yield span


def _find_chunks(
    format: FileFormat,
    read: Read,
    size: int,
    header: Header,
    index: BinningIndex,
    region: Region,
) -> list[Chunk]:
    if region.contig == UNMAPPED:
        if format.kind != "reads":
            raise InvalidInputError("variants have no region `*`: it stands for reads without a position")
        start, end = index.end_of_placed(), check_end(read, size, header.eof) << 16
        if start > size << 16:
            raise beyond_end_error(size)
        return [(start, end)] if start < end else []
    target = _target_id(format, header, index, region.contig)
    return [] if target is None else index.chunks(target, region.start, region.limit)


def _target_id(format: FileFormat, header: Header, index: BinningIndex, contig: str) -> int | None:
    """Return the index's number for a contig, or None if it has no records."""
    if format.name != "VCF" or not index.names:
        if contig not in header.target_ids:
            raise unknown_contig_error(contig, header.contigs)
        return header.target_ids[contig]
    if contig in index.names:
        return index.names.index(contig)
    if contig not in header.contigs:
        raise unknown_contig_error(contig, [*header.contigs, *(name for name in index.names if name not in header.contigs)])
    return None


def check_end(read: Read, size: int, eof: bytes) -> int:
    """Return the file offset of the end marker, which must be there."""
    start = size - len(eof)
    if start < 0 or not _is_end_marker(read_exactly(read, start, size), eof):
        raise TruncatedStream("the file is truncated: it does not end with its end marker", "fetch or make the file again")
    return start


def _is_end_marker(data: bytes, eof: bytes) -> bool:
    return data == eof if eof == BGZF_EOF else data in cram_eof_forms(eof)


def _plan_containers(
    read: Read,
    size: int,
    header: Header,
    index: Crai,
    regions: Iterable[Region],
) -> list[ByteRange]:
    """Plan whole CRAM containers."""
    starts = sorted(find_containers(header, index, regions))
    ranges: list[ByteRange] = []
    for start in starts:
        end = index.end_of(start) or check_end(read, size, header.eof)
        if end > size:
            raise beyond_end_error(size)
        if start < header.end or start >= end:
            raise IntegrityError(
                f"the index does not fit the file: no container of records starts at byte {start:,}", "make the index again"
            )
        if ranges and ranges[-1].end == start:
            ranges[-1] = ByteRange(ranges[-1].start, end)
        else:
            ranges.append(ByteRange(start, end))
    return ranges


def find_containers(header: Header, index: Crai, regions: Iterable[Region]) -> set[int]:
    """Find the containers of a CRAM that some regions are read from, by their file offsets."""
    return {start for region in regions for start in _find_containers(header, index, region)}


def _find_containers(header: Header, index: Crai, region: Region) -> Iterable[int]:
    if region.contig == UNMAPPED:
        return index.containers_of(UNPLACED, 0, 0)
    if region.contig not in header.target_ids:
        raise unknown_contig_error(region.contig, header.contigs)
    return index.containers_of(header.target_ids[region.contig], region.start, region.limit)
