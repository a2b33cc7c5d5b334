"""Find the places where a file can be cut without being read, and plan regions of it by these alone.

A server that has no key to a file can give away whole stretches of it, and make
nothing anew. So it has to know, beside the index, where a stretch may begin and
end: where a block of BGZF begins with a record, or a container of CRAM. That,
the names of the contigs and the end of the header are a `CutList`, which holds
no base and no record.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from modos.errors import IntegrityError, InvalidInputError, NewerFormatError, TruncatedStream, refuse_newer
from modos.formats import FORMATS, FileFormat
from modos.genomics.index.bgzf import Blocks, Read
from modos.genomics.index.crai import Crai
from modos.genomics.index.file_header import MAX_CONTIGS, Header
from modos.genomics.index.parse import MAX_INDEX, Index, parse_index
from modos.genomics.index.plan import check_end, find_chunks, find_containers
from modos.genomics.region import Region
from modos.storage.base import ByteRange
from modos.storage.processes.forking import cached_property

_MAGIC = b"MODOSCUT"
_START = struct.Struct("<8sIIQQ")  # magic, version, bytes of the description, of the index, of the places
_VERSION = 1
_AHEAD = 4 << 20  # bytes of a file that are read at once
_MOST_LISTS = 2 * MAX_CONTIGS + 16  # of a name and a number, in a description
_MOST = 64 << 20  # bytes of a description, and of places: eight million blocks
_SIZE = struct.Struct("<I")
_SIZES = struct.Struct("<II")
_SMALLEST = 32  # bytes of a record of BAM or BCF, without its size


@dataclass(frozen=True)
class CutList:
    """Facts that regions of a file are planned by without the file.

    Parameters
    ----------
    format
        The file's format.
    size
        Bytes of the file.
    header
        Its contigs, its end marker, and where its first record starts; no segments.
    index_bytes
        The index, as it is stored.
    places
        File offsets at which a record starts with the block or container, ascending; the last is where the end marker
        starts. The header ends at one, or before.
    """

    format: FileFormat
    size: int
    header: Header = field(repr=False)
    index_bytes: bytes = field(repr=False)
    places: Sequence[int] = field(repr=False)

    @cached_property
    def index(self) -> Index:
        """The index."""
        return parse_index(self.index_bytes)

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs of the header, and those that only the index of a VCF has."""
        return tuple(dict.fromkeys([*self.header.contigs, *(getattr(self.index, "names", None) or ())]))

    def plan_header(self) -> ByteRange:
        """Plan the header: bytes of the file up to the first place after it, with records in between if there are some."""
        end = self.header.end if self.format.name == "CRAM" else -(-self.header.end >> 16)
        return ByteRange(0, self._after(end))

    def plan(self, regions: Iterable[Region]) -> list[ByteRange]:
        """Plan the ranges of the file that are a stream of some regions: header, records and neighbours, end marker.

        Parameters
        ----------
        regions
            0-based, half-open, in the file's order.

        Raises
        ------
        NotFoundError
            Neither the header nor the index has the contig.
        IntegrityError
            Places and index do not fit.
        """
        head = self.plan_header()
        ranges = [head, *self._plan_records(regions), ByteRange(self.size - len(self.header.eof), self.size)]
        return list(_join(ByteRange(max(span.start, head.end) if number else 0, span.end) for number, span in enumerate(ranges)))

    def _plan_records(self, regions: Iterable[Region]) -> Iterator[ByteRange]:
        if isinstance(self.index, Crai):
            for start in sorted(find_containers(self.header, self.index, regions)):
                yield ByteRange(start, self.index.end_of(start) or self.places[-1])
            return
        for start, end in find_chunks(self.format, self._read_end, self.size, self.header, self.index, regions):
            yield ByteRange(self._before(start >> 16), self._after(-(-end >> 16)))

    def _read_end(self, start: int, end: int) -> bytes:
        """Give the end marker, which was there when the places were found, and no other bytes."""
        if (start, end) != (self.size - len(self.header.eof), self.size):
            raise IntegrityError("a region cannot be planned without the file")
        return self.header.eof

    def _before(self, offset: int) -> int:
        at = bisect_right(self.places, offset) - 1
        return self.places[at] if at >= 0 else 0

    def _after(self, offset: int) -> int:
        at = bisect_left(self.places, offset)
        if at == len(self.places):
            raise IntegrityError("the index leads beyond the end of the file", "make the index again, and seal it anew")
        return self.places[at]

    def to_bytes(self) -> bytes:
        """Serialise the list; see docs/reference/format.md."""
        header = self.header
        described = {
            "format": self.format.name,
            "size": self.size,
            "contigs": list(header.contigs.items()),
            "target_ids": list(header.target_ids.items()),
            "header_end": header.end,
            "end_marker": header.eof.hex(),
        }
        description = zlib.compress(json.dumps(described).encode())
        places = zlib.compress(_swapped(array("Q", (end - start for start, end in pairwise((0, *self.places))))).tobytes())
        start = _START.pack(_MAGIC, _VERSION, len(description), len(self.index_bytes), len(places))
        return b"".join((start, description, self.index_bytes, places))

    @classmethod
    def from_bytes(cls, data: bytes) -> CutList:
        """Read a list.

        Raises
        ------
        InvalidInputError
            It is none; NewerFormatError if a newer modos wrote it.
        """
        try:
            magic, version, *sizes = _START.unpack_from(data)
            if magic == _MAGIC:
                refuse_newer("a list of places to cut a file at", version, _VERSION)
            if magic != _MAGIC or version != _VERSION or len(data) != _START.size + sum(sizes):
                raise ValueError
            view, at = memoryview(data), _START.size
            description, index, places = (bytes(view[at + sum(sizes[:n]) : at + sum(sizes[: n + 1])]) for n in range(3))
            text = _decompress(description)
            if text.count(b"[") + text.count(b"{") > _MOST_LISTS:
                raise ValueError  # lists of nothing would fill the memory many times over
            told = json.loads(text)
            header = Header(
                dict(told["contigs"]), (), bytes.fromhex(told["end_marker"]), told["header_end"], dict(told["target_ids"])
            )
            offsets = array("Q", accumulate(_swapped(array("Q", _decompress(places)))))
            numbers = told["size"], header.end, *header.target_ids.values()
            if not offsets or not all(isinstance(value, int) and value >= 0 for value in numbers):
                raise ValueError
            if not all(isinstance(name, str) for name in (*header.contigs, *header.target_ids)):
                raise ValueError
            return cls(FORMATS[told["format"]], told["size"], header, index, offsets)
        except (ValueError, KeyError, TypeError, OverflowError, struct.error, zlib.error, RecursionError) as error:
            if isinstance(error, NewerFormatError):
                raise
            raise InvalidInputError("this is not a list of places to cut a file at, or one of another version") from None


def find_cuts(format: FileFormat, read: Read, size: int, header: Header, index_bytes: bytes) -> CutList:
    """Find where a file can be cut, by going through all of it.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file.
    size
        Bytes in the file.
    index_bytes
        Its index, as it is stored.

    Raises
    ------
    InvalidInputError
        The index is too large.
    IntegrityError
        The file is damaged; TruncatedStream if it has no end marker.
    """
    if len(index_bytes) > MAX_INDEX:
        raise InvalidInputError(f"the index is larger than {MAX_INDEX >> 20} MiB")
    end = check_end(read, size, header.eof)
    plain = Header(header.contigs, (), bytes(read(end, size)), header.end, header.target_ids)
    if format.name == "CRAM":
        index = parse_index(index_bytes)
        places = [*(index.containers if isinstance(index, Crai) else ()), end]
        if sorted({header.end, *places}) != (places if places[0] == header.end else [header.end, *places]):
            raise IntegrityError("the index does not fit the file: a container begins in its header or after its end")
        places = sorted({header.end, *places})
    else:
        places = list(_walk(format, Blocks(read, size), header.end, end))
    return CutList(format, size, plain, index_bytes, array("Q", places))


def _walk(format: FileFormat, blocks: Blocks, first: int, end: int) -> Iterator[int]:
    """Yield the offsets of blocks that a record begins with, from a virtual offset on, and the end of the last."""
    pass_block = {"BAM": _pass_bam, "BCF": _pass_bcf, "VCF": _pass_vcf}[format.name]
    offset, skip, held = first >> 16, first & 0xFFFF, b""
    is_apart = skip == 0
    while offset < end:
        if is_apart:
            yield offset
        data, offset = blocks.inflate(offset, _AHEAD)
        if data:
            skip, held = pass_block(held + data, skip)
            is_apart = not skip and not held
    if offset != end:
        raise IntegrityError("the file is damaged: its last block reaches into its end marker")
    if not is_apart and not (format.name == "VCF" and held):  # the last line may lack its end
        raise TruncatedStream("the file ends within a record")
    yield end


def _pass_bam(data: bytes, at: int) -> tuple[int, bytes]:
    """Pass the records of some bytes; returns how many bytes of the last are still to come, or what there is of its size."""
    length, unpack = len(data), _SIZE.unpack_from
    while at <= length - 4:
        (size,) = unpack(data, at)
        if size < _SMALLEST:
            raise IntegrityError("the file is damaged: a record of an impossible size")
        at += 4 + size
    return (at - length, b"") if at >= length else (0, data[at:])


def _pass_bcf(data: bytes, at: int) -> tuple[int, bytes]:
    length, unpack = len(data), _SIZES.unpack_from
    while at <= length - 8:
        shared, individual = unpack(data, at)
        if shared < _SMALLEST - 8:
            raise IntegrityError("the file is damaged: a record of an impossible size")
        at += 8 + shared + individual
    return (at - length, b"") if at >= length else (0, data[at:])


def _pass_vcf(data: bytes, at: int) -> tuple[int, bytes]:
    return 0, b"" if data[-1:] == b"\n" else b"."


def _swapped(numbers: array[int]) -> array[int]:
    """Return numbers in the order of bytes of the file, or of the machine, in place."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _decompress(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    found = stream.decompress(data, _MOST)
    if not stream.eof:
        raise ValueError
    return found


def _join(ranges: Iterable[ByteRange]) -> Iterator[ByteRange]:
    """Join ranges in their order that touch or overlap, and leave out empty ones."""
    last: ByteRange | None = None
    for span in ranges:
        if span.start >= span.end:
            continue
        if last and span.start <= last.end:
            last = ByteRange(last.start, max(last.end, span.end))
            continue
        if last:
            yield last
        last = span
    if last:
        yield last
