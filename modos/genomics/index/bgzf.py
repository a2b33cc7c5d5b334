"""BGZF: gzip in blocks of at most 64 KiB, so that a file can be entered anywhere (SAMv1 section 4.1).

A virtual offset is the file offset of a block, shifted left by 16 bits, plus
an offset within the decompressed block.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from isal import igzip_lib, isal_zlib

from modos.errors import IntegrityError, InvalidInputError, TruncatedStream
from modos.formats.deflate import DeflateError

Read = Callable[[int, int], bytes]

MAX_BLOCK = 1 << 16  # bytes of a block, compressed and decompressed
PAYLOAD = 0xFF00  # decompressed bytes per block that we write: what does not compress grows by a few bytes only
_MAGIC = b"\x1f\x8b\x08\x04"
_HEADER = struct.Struct("<4BI2BH")
_FOOTER = struct.Struct("<II")
_OUR_HEADER = struct.Struct("<4BI2BH2BHH")
_STORED_HEADER = struct.Struct("<BHH")


def compress(data: bytes) -> bytes:
    """Compress `data` to BGZF blocks, without the end marker; nothing if there is no data."""
    return b"".join(_compress_block(data[start : start + PAYLOAD]) for start in range(0, len(data), PAYLOAD))


def _compress_block(data: bytes) -> bytes:
    deflater = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    return b"".join(frame(deflater.compress(data) + deflater.flush(), isal_zlib.crc32(data), len(data)))


def frame(deflated: bytes, checksum: int, length: int) -> tuple[bytes, bytes, bytes]:
    """Frame deflated data as a block, given as parts to join.

    Parameters
    ----------
    checksum, length
        CRC-32 and number of the bytes before they were deflated.
    """
    size = _OUR_HEADER.size + len(deflated) + _FOOTER.size
    header = _OUR_HEADER.pack(0x1F, 0x8B, 8, 4, 0, 0, 0xFF, 6, ord("B"), ord("C"), 2, size - 1)
    return header, deflated, _FOOTER.pack(checksum, length)


def frame_stored(data: bytes | memoryview, checksum: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Frame stored data as a block (RFC 1951 section 3.2.4), at most `PAYLOAD` bytes, given as parts to join."""
    length = len(data)
    size = _OUR_HEADER.size + _STORED_HEADER.size + length + _FOOTER.size
    header = _OUR_HEADER.pack(0x1F, 0x8B, 8, 4, 0, 0, 0xFF, 6, ord("B"), ord("C"), 2, size - 1)
    return header, _STORED_HEADER.pack(1, length, length ^ 0xFFFF), data, _FOOTER.pack(checksum, length)


def read_exactly(read: Read, start: int, end: int) -> bytes:
    """Read bytes [start, end), all of them.

    Raises
    ------
    TruncatedStream
        The file ends before.
    """
    data = read(start, end)
    if len(data) != end - start:
        raise TruncatedStream(f"the file ends at byte {start + len(data):,}, {end - start - len(data):,} bytes early")
    return data


class Blocks:
    """The blocks of a BGZF file, by file offset.

    What was read last is kept, so that blocks near each other take one read.

    Parameters
    ----------
    size
        Bytes in the file; None if it ends at the first read that gives less than was asked for.
    """

    def __init__(self, read: Read, size: int | None):
        self._read = read
        self._size = size
        self._start = 0
        self._window = b""

    def inflate(self, offset: int, ahead: int = 0) -> tuple[bytes, int]:
        """Decompress the block at a file offset.

        Parameters
        ----------
        ahead
            Bytes beyond this block worth reading at the same time.

        Returns
        -------
        tuple
            Its data and the offset of the next block.

        Raises
        ------
        InvalidInputError
            What is there is no BGZF block.
        IntegrityError
            The block is damaged; TruncatedStream if the file ends in it.
        """
        size = self._held_size(offset)
        if size is None:
            self._fill(offset, offset + MAX_BLOCK + ahead)
            size = self._held_size(offset)
        if size is None:
            raise TruncatedStream(
                f"the file ends within the BGZF block at byte {offset:,}", "it is truncated, or its index is of another file"
            )
        at = offset - self._start
        return inflate_block(self._window[at : at + size], offset), offset + size

    def is_end(self, offset: int) -> bool:
        """Return whether the file ends before an offset, or there."""
        if self._size is None and not self._start <= offset < self._start + len(self._window):
            self._fill(offset, offset + MAX_BLOCK)
        return self._size is not None and offset >= self._size

    def hold(self, start: int, end: int) -> None:
        """Read bytes [start, end) of the file, or up to its end, where they are not held."""
        if not (self._start <= start and end <= self._start + len(self._window)):
            self._fill(start, end)

    def raw(self, start: int, end: int) -> bytes:
        """Return bytes [start, end) of the file, unchanged."""
        self.hold(start, end)
        return self._window[start - self._start : end - self._start]

    def _held_size(self, offset: int) -> int | None:
        """Return the size of the block at `offset`, or None if the window does not hold all of it."""
        if not self._start <= offset < self._start + len(self._window):
            return None
        at = offset - self._start
        size = block_size(self._window, at, offset)
        return None if size is None or at + size > len(self._window) else size

    def _fill(self, start: int, end: int) -> None:
        kept = self._window[start - self._start :] if self._start <= start else b""
        middle = start + len(kept)
        if self._size is not None:
            end = min(end, self._size)
            more = read_exactly(self._read, middle, end) if middle < end else b""
        elif len(more := self._read(middle, end)) < end - middle:
            self._size = middle + len(more)
        self._window, self._start = kept + more, start


def block_size(data: bytes, at: int, offset: int) -> int | None:
    """Return the size of the block that starts at `data[at]`, or None if `data` ends in its header.

    Parameters
    ----------
    offset
        The block's place in the file, for messages.
    """
    prefix = data[at : at + 4]
    if prefix != _MAGIC[: len(prefix)]:
        raise InvalidInputError(
            f"no BGZF block at byte {offset:,}", "the file is not compressed with bgzip, or its index is of another file"
        )
    if len(data) - at < _HEADER.size:
        return None
    extra = at + _HEADER.size
    end = extra + _HEADER.unpack_from(data, at)[-1]
    if end > len(data):
        return None
    while extra + 4 <= end:
        tag, length = data[extra : extra + 2], int.from_bytes(data[extra + 2 : extra + 4], "little")
        if tag == b"BC" and length == 2 and extra + 6 <= end:
            size = int.from_bytes(data[extra + 4 : extra + 6], "little") + 1
            if size < end - at + _FOOTER.size:
                break
            return size
        extra += 4 + length
    raise InvalidInputError(f"the gzip block at byte {offset:,} is not BGZF", "compress the file with bgzip")


def last_block(data: bytes, offset: int) -> tuple[int, bytes]:
    """Find the last block of some bytes of a file: its place in the file, and its data; nothing if there is none.

    Parameters
    ----------
    offset
        The place of the bytes in the file.
    """
    at = len(data)
    while (at := data.rfind(_MAGIC, 0, at)) >= 0:
        try:
            if block_size(data, at, offset + at) == len(data) - at:
                return offset + at, inflate_block(data[at:], offset + at)
        except (InvalidInputError, IntegrityError):
            continue  # what looks like a block in the middle of one
    return offset + len(data), b""


def inflate_block(block: bytes | memoryview, offset: int) -> bytes:
    """Decompress a block; raise IntegrityError if it is damaged."""
    checksum, length = _FOOTER.unpack_from(block, len(block) - _FOOTER.size)
    payload = _HEADER.size + _HEADER.unpack_from(block)[-1]
    inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
    try:
        data = inflater.decompress(block[payload : -_FOOTER.size], MAX_BLOCK + 1)
    except DeflateError as error:
        raise IntegrityError(f"the BGZF block at byte {offset:,} is damaged: {error}") from None
    if not inflater.eof or len(data) != length or len(data) > MAX_BLOCK or isal_zlib.crc32(data) != checksum:
        raise IntegrityError(f"the BGZF block at byte {offset:,} is damaged: its checksum or length does not match")
    return data
