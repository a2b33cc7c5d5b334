"""Read the header of a file: its contigs, and how a stream of it starts and ends."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from modos.errors import InvalidInputError, TruncatedStream
from modos.formats import BGZF_EOF, FileFormat
from modos.genomics.index import cram
from modos.genomics.index.bgzf import Blocks, Read, compress
from modos.genomics.index.slices import Segment
from modos.storage.base import ByteRange

MAX_HEADER = 256 << 20  # bytes
MAX_CONTIGS = 1 << 22
_MAX_AHEAD = 8 << 20

_NOT_META = re.compile(rb"\n(?!##|\r?\n)(?=..)", re.DOTALL)
_SQ_LINE = re.compile(rb"^@SQ\t[^\n\r]*", re.MULTILINE)
_CONTIG_LINE = re.compile(rb"^##contig=<([^\n]*)", re.MULTILINE)
_FIELD = re.compile(r'(?<!\w)(?P<key>\w++)=(?P<value>"(?:[^"\\]|\\.)*+"|[^,>]*)')
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Header:
    """Header of a file: all before its first record.

    Parameters
    ----------
    contigs
        Name -> length in bases, or None where unknown; ordered by target id.
    segments
        The header, and nothing else, as the first bytes of a stream.
    eof
        The marker that ends a stream.
    end
        Where the first record starts: a virtual offset, or for CRAM a file offset.
    target_ids
        Name -> the number that records and indexes use for it.
    """

    contigs: dict[str, int | None]
    segments: tuple[Segment, ...]
    eof: bytes
    end: int
    target_ids: dict[str, int] = field(repr=False)


def read_header(format: FileFormat, read: Read, size: int | None) -> Header:
    """Read the header of a BAM, CRAM, VCF or BCF, and no more of the file than it takes.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file.
    size
        Bytes in the file; None if it ends at the first read that gives less than was asked for.

    Raises
    ------
    InvalidInputError
        The file is not of this format, or its header is malformed or larger than 256 MiB.
    IntegrityError
        A block is damaged; TruncatedStream if the file ends within its header.
    """
    if size == 0:
        raise TruncatedStream("the file is empty")
    if format.name == "CRAM":
        return _read_cram(read, size)
    if format.name not in _READERS:
        raise InvalidInputError(f"{format.name} files have no header with contigs")
    return _READERS[format.name](_Leading(read, size))


class _Leading:
    """The first decompressed bytes of a BGZF file, as far as they were needed.

    The header always ends in the last block that was needed.
    """

    def __init__(self, read: Read, size: int | None):
        self.data = bytearray()
        self._blocks = Blocks(read, size)
        self._most_ahead = 0 if size is None else _MAX_AHEAD  # a stream is not waited for
        self._next = 0
        self._last = (0, 0, 0)  # the last block with data: offsets in the file, offset in the data

    def grow(self) -> bool:
        """Decompress one more block; False at the end of the file."""
        if self._blocks.is_end(self._next):
            return False
        if max(len(self.data), self._next) > MAX_HEADER:
            raise _too_large_error()
        offset = self._next
        block, self._next = self._blocks.inflate(offset, min(offset, self._most_ahead))
        if block:
            self._last = (offset, self._next, len(self.data))
            self.data += block
        return True

    def need(self, length: int) -> None:
        """Read at least the first `length` bytes."""
        if length > MAX_HEADER:
            raise _too_large_error()
        while len(self.data) < length:
            if not self.grow():
                raise TruncatedStream("the file ends within its header")

    def number(self, at: int) -> int:
        """Return the unsigned 32-bit number at an offset of the data."""
        self.need(at + 4)
        number: int = struct.unpack_from("<I", self.data, at)[0]
        return number

    def header(self, length: int, contigs: dict[str, int | None], target_ids: dict[str, int]) -> Header:
        """Return the header that ends after `length` bytes."""
        start, end, at = self._last
        if length == len(self.data):
            return Header(contigs, (ByteRange(0, end),), BGZF_EOF, end << 16, target_ids)
        whole = (ByteRange(0, start),) if start else ()
        rest = compress(bytes(self.data[at:length]))
        return Header(contigs, (*whole, rest), BGZF_EOF, start << 16 | length - at, target_ids)


def _too_large_error() -> InvalidInputError:
    return InvalidInputError(f"the header is larger than {MAX_HEADER >> 20} MiB, or damaged")


def _too_many_error() -> InvalidInputError:
    return InvalidInputError(f"the header has more than {MAX_CONTIGS:,} contigs")


def _read_bam(leading: _Leading) -> Header:
    """Parse text, then names and lengths in binary (SAMv1 section 4.2)."""
    leading.need(4)
    if leading.data[:4] != b"BAM\1":
        raise InvalidInputError("not a BAM file")
    at = 8 + leading.number(4)
    count = leading.number(at)
    at += 4
    contigs: dict[str, int | None] = {}
    for _ in range(count):
        length = leading.number(at)
        leading.need(at + 8 + length)
        name = leading.data[at + 4 : at + 4 + length]
        if name[-1:] != b"\0":
            raise InvalidInputError("the BAM header is damaged: a reference name without its end")
        _add(contigs, _text(name[:-1]), leading.number(at + 4 + length))
        at += 8 + length
    return leading.header(at, contigs, _enumerate(contigs))


def _read_vcf(leading: _Leading) -> Header:
    """Parse lines that start with ##, then one that starts with # (VCFv4.3 section 1.2)."""
    leading.need(16)
    if not leading.data.startswith(b"##fileformat=VCF"):
        raise InvalidInputError("not a VCF file", "a VCF starts with ##fileformat=VCF")
    column_line = _search(leading, lambda data, at: match.start() + 1 if (match := _NOT_META.search(data, at)) else -1)
    if column_line < 0 or leading.data[column_line : column_line + 1] != b"#":
        raise InvalidInputError("the VCF header is damaged: it has no #CHROM line")
    newline = _search(leading, lambda data, at: data.find(b"\n", at), column_line)
    length = newline + 1 if newline >= 0 else len(leading.data)
    contigs = {name: size for name, size, _ in _contig_lines(leading.data[:length])}
    return leading.header(length, contigs, _enumerate(contigs))


def _search(leading: _Leading, find: Callable[[bytearray, int], int], start: int = 0) -> int:
    """Call `find` on the data from `start` on, growing them until it gives something; -1 for nothing."""
    while (found := find(leading.data, start)) < 0:
        start = max(len(leading.data) - 3, start)  # what it looks for may lie across two blocks
        if not leading.grow():
            return -1
    return found


def _read_bcf(leading: _Leading) -> Header:
    """Parse the length of the text, then the text of a VCF header (VCFv4.3 section 6.2)."""
    leading.need(5)
    if leading.data[:4] != b"BCF\2":
        raise InvalidInputError("not a BCF2 file")
    length = 9 + leading.number(5)
    leading.need(length)
    contigs, target_ids, following = {}, {}, 0
    for name, size, idx in _contig_lines(leading.data[9:length]):
        if name not in contigs:
            contigs[name], target_ids[name] = size, following if idx is None else idx
            following = max(following, target_ids[name] + 1)
    order = sorted(contigs, key=target_ids.__getitem__)
    return leading.header(length, {name: contigs[name] for name in order}, target_ids)


_READERS = {"BAM": _read_bam, "VCF": _read_vcf, "BCF": _read_bcf}


def _read_cram(read: Read, size: int | None) -> Header:
    text, end, eof = cram.read_header(read, size, MAX_HEADER)
    contigs: dict[str, int | None] = {}
    for line in _SQ_LINE.finditer(text):
        fields = dict(item.split(":", 1) for item in _text(line[0]).split("\t") if ":" in item)
        if "SN" not in fields:
            raise InvalidInputError("the CRAM header is damaged: an @SQ line without SN")
        length = _length(fields.get("LN", ""))
        if length is None:
            raise InvalidInputError(f"the CRAM header is damaged: the @SQ line of {fields['SN']} has no length")
        _add(contigs, fields["SN"], length)
    return Header(contigs, (ByteRange(0, end),), eof, end, _enumerate(contigs))


def _contig_lines(text: bytes | bytearray) -> Iterable[tuple[str, int | None, int | None]]:
    """Return name, length and IDX of the ##contig lines."""
    for number, line in enumerate(_CONTIG_LINE.finditer(text)):
        if number >= MAX_CONTIGS:
            raise _too_many_error()
        fields = header_fields(line[1])
        if "ID" in fields:
            yield fields["ID"], _length(fields.get("length", "")), _length(fields.get("IDX", ""))


def header_fields(text: bytes | bytearray) -> dict[str, str]:
    """Return the fields of a line `##KIND=<...>` of a VCF, from what follows the bracket up to the other one.

    As in htslib, the first field of a name counts.
    """
    found: dict[str, str] = {}
    line = _text(text)
    for match in _FIELD.finditer(line):
        value = match["value"]
        found.setdefault(match["key"], value.strip('"'))
        if line[match.end() : match.end() + 1] == ">" and (value.startswith('"') or "<" not in value):
            break
    return found


def _add(contigs: dict[str, int | None], name: str, length: int | None) -> None:
    if name in contigs:
        raise InvalidInputError(f"the header names the reference sequence {name} twice")
    if len(contigs) >= MAX_CONTIGS:
        raise _too_many_error()
    contigs[name] = length


def _enumerate(contigs: dict[str, int | None]) -> dict[str, int]:
    return {name: number for number, name in enumerate(contigs)}


def _length(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "backslashreplace")
