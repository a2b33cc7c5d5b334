"""Read the first container of a CRAM, which holds the SAM header (CRAMv3 sections 6 to 8, CRAMv2.1)."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modos.errors import IntegrityError, InvalidInputError, TruncatedStream
from modos.formats import CRAM2_EOF, CRAM3_EOF
from modos.genomics.index.bgzf import Read, read_exactly

_VERSIONS = {(2, 1): CRAM2_EOF, (3, 0): CRAM3_EOF, (3, 1): CRAM3_EOF}
FILE_DEFINITION = 26  # bytes
_FIRST_READ = 1 << 16
_SLACK = 64  # bytes that the blocks may go beyond the container's declared length
_LZMA_MEMORY = 256 << 20


def read_header(read: Read, size: int | None, limit: int) -> tuple[bytes, int, bytes]:
    """Read the SAM header.

    Parameters
    ----------
    size
        Bytes in the file; None if it ends at the first read that gives less than was asked for.
    limit
        Bytes a header may have.

    Returns
    -------
    tuple
        The text, the file offset of the first container of records, and the end marker of this version.

    Raises
    ------
    InvalidInputError
        Not CRAM 2.1, 3.0 or 3.1, or a malformed header.
    IntegrityError
        A checksum does not match; TruncatedStream if the file ends within the header.
    """
    data, size = _read_on(read, b"", _FIRST_READ, size)
    version = read_version(data)
    cursor = Cursor(data, FILE_DEFINITION, size)
    container = read_container_header(cursor, version[0])
    length = container.length
    end = cursor.at + length
    if not 0 <= length <= limit:
        raise InvalidInputError(f"the header is larger than {limit >> 20} MiB, or damaged")
    if size is None or end <= size:
        cursor.data, cursor.size = _read_on(read, data, end + _SLACK, size)
    if end > len(cursor.data):
        raise _truncated_error()
    text = _header_text(cursor, version[0], limit)
    for _ in range(container.blocks - 1):
        read_block(cursor, version[0])
    return text, max(end, cursor.at), _VERSIONS[version]  # htslib declares 2 bytes too few in version 2.1


def _read_on(read: Read, data: bytes, end: int, size: int | None) -> tuple[bytes, int | None]:
    """Read a file on to a place or its end, given its first bytes; return also its size, if it is known now."""
    if size is not None:
        end = min(end, size)
        return (data + read_exactly(read, len(data), end) if len(data) < end else data), size
    data += read(len(data), end) if len(data) < end else b""
    return data, len(data) if len(data) < end else None


def _truncated_error() -> TruncatedStream:
    return TruncatedStream("the file ends within its header")


def read_version(data: bytes) -> tuple[int, int]:
    """Read the version in a file definition."""
    if data[:4] != b"CRAM"[: len(data)]:
        raise InvalidInputError("not a CRAM file")
    if len(data) < FILE_DEFINITION:
        raise _truncated_error()
    version = data[4], data[5]
    if version not in _VERSIONS:
        raise InvalidInputError(
            f"CRAM version {version[0]}.{version[1]} is not supported",
            "versions 2.1, 3.0 and 3.1 are: convert it with samtools view",
        )
    return version


class Cursor:
    """A place in some bytes, and the numbers of CRAM from there on; the size is that of the file, where they are its first."""

    def __init__(self, data: bytes, at: int = 0, size: int | None = None):
        self.data = data
        self.at = at
        self.size = size

    def take(self, count: int) -> bytes:
        """Take the next bytes."""
        if count > len(self.data) - self.at and len(self.data) == self.size:
            raise _truncated_error()
        if not 0 <= count <= len(self.data) - self.at:
            raise InvalidInputError("the CRAM header is damaged: a length beyond its end")
        self.at += count
        return self.data[self.at - count : self.at]

    def int32(self) -> int:
        """Read an integer of 32 bits."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def itf8(self) -> int:
        """Read an integer of up to 32 bits (CRAMv3 section 2.3)."""
        first = self.take(1)[0]
        more = _leading_ones(first >> 4, 4)
        if more < 4:
            return (first & 0x7F >> more) << 8 * more | int.from_bytes(self.take(more), "big")
        rest = self.take(4)
        value = (first & 15) << 28 | int.from_bytes(rest[:3], "big") << 4 | rest[3] & 15
        return value - (1 << 32) if value >> 31 else value

    def ltf8(self) -> int:
        """Read an integer of up to 64 bits."""
        first = self.take(1)[0]
        more = _leading_ones(first, 8)
        return (first & 0x7F >> more) << 8 * more | int.from_bytes(self.take(more), "big")

    def check_crc32(self, start: int) -> None:
        """Check the checksum that stands here against the bytes from `start` on."""
        expected = zlib.crc32(self.data[start : self.at])
        if int.from_bytes(self.take(4), "little") != expected:
            raise IntegrityError("the CRAM header is damaged: its checksum does not match")


def _leading_ones(bits: int, width: int) -> int:
    return width - (~bits & (1 << width) - 1).bit_length()


@dataclass(frozen=True)
class ContainerHeader:
    """Header of a container (CRAMv3 section 7).

    Parameters
    ----------
    length
        Bytes of its blocks.
    reference, start, span
        The reference sequence it is of, its first base (1-based) and how many; -1 for reads without a position, -2 for
        several sequences.
    blocks
        How many they are.
    landmarks
        Where its slices start, from the first block on.
    """

    length: int
    reference: int
    start: int
    span: int
    blocks: int
    landmarks: tuple[int, ...]


def read_container_header(cursor: Cursor, major: int) -> ContainerHeader:
    """Read the header of the container that starts at the cursor; leaves it at the first block."""
    at = cursor.at
    length = cursor.int32()
    reference, start, span, _records = (cursor.itf8() for _ in range(4))
    cursor.ltf8() if major >= 3 else cursor.itf8()  # record counter
    cursor.ltf8()  # bases
    blocks = cursor.itf8()
    landmarks = tuple(cursor.itf8() for _ in range(cursor.itf8()))
    if major >= 3:
        cursor.check_crc32(at)
    return ContainerHeader(length, reference, start, span, blocks, landmarks)


def read_block(cursor: Cursor, major: int) -> tuple[int, int, int, bytes]:
    """Return method, content type, decompressed size and payload of the block at the cursor, which moves after the block."""
    start = cursor.at
    method, content_type = cursor.take(2)
    cursor.itf8()  # content id
    compressed, raw = cursor.itf8(), cursor.itf8()
    payload = cursor.take(compressed)
    if major >= 3:
        cursor.check_crc32(start)
    return method, content_type, raw, payload


def _header_text(cursor: Cursor, major: int, limit: int) -> bytes:
    """Read the text in the block at the cursor, and leave the cursor after the block."""
    method, content_type, size, payload = read_block(cursor, major)
    if content_type != 0 or not 0 <= size <= limit:
        raise InvalidInputError("the CRAM header is damaged: its first block is no SAM header")
    content = Cursor(decompress(method, payload, size))
    return content.take(content.int32())


def decompress(method: int, payload: bytes, size: int) -> bytes:
    """Decompress a block's content, never more than its declared size."""
    if method == 0:
        data = payload
    elif method in _DECOMPRESSORS:
        try:
            data = _DECOMPRESSORS[method]().decompress(payload, size + 1)
        except (zlib.error, OSError, EOFError, lzma.LZMAError, MemoryError) as error:
            raise IntegrityError(f"the CRAM header is damaged: {error}") from None
    else:
        raise InvalidInputError(
            f"the CRAM header is compressed with method {method}, which is not supported", "convert the file with samtools view"
        )
    if len(data) != size:
        raise IntegrityError("the CRAM header is damaged: it does not have its declared length")
    return data


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Decompress at most so many bytes."""


_DECOMPRESSORS: dict[int, Callable[[], _Decompressor]] = {
    1: lambda: zlib.decompressobj(31),
    2: bz2.BZ2Decompressor,
    3: lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY),
}
