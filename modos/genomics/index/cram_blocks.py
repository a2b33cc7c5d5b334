"""Check the checksums of CRAM containers and blocks as they pass by (CRAMv3 sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from isal import isal_zlib

from modos.errors import IntegrityError, InvalidInputError, TruncatedStream
from modos.formats import CRAM3_EOF, cram_eof_forms
from modos.genomics.index.cram import FILE_DEFINITION, Cursor, read_container_header, read_version

_HEAD, _MOST_HEAD = 64, 1 << 22  # bytes of the head of a container or block
_ENDS = cram_eof_forms(CRAM3_EOF)
_CRC = 4  # bytes
MAX_CONTAINER = 1 << 30  # bytes of its blocks, decompressed: htslib has room made for all that they say

Parsed = TypeVar("Parsed")
_Walk = Generator[None, bytes, Parsed]


def check_containers(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass on a CRAM, each piece only where all before it is sound; one of version 2 has no checksums.

    Raises
    ------
    IntegrityError
        A checksum does not match; TruncatedStream if the stream ends within a block.
    InvalidInputError
        A container is larger than 1 GiB when it is decompressed.
    """
    check, seen = _Check(), 0
    walk = check.walk()
    next(walk)
    for piece in pieces:
        try:
            walk.send(piece)
        except _TooLarge:
            raise
        except (IntegrityError, InvalidInputError):
            raise IntegrityError(
                f"a CRAM container that ends after byte {seen:,} is damaged: its checksum does not match"
            ) from None
        seen += len(piece)
        yield piece
    if not check.is_between:
        raise TruncatedStream("the stream ends within a CRAM container")


class _TooLarge(InvalidInputError):
    """A few bytes that would fill the memory."""


class _Check:
    """Bytes that were not checked yet, and their place."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._checksum = _CRC
        self.is_between = False

    def walk(self) -> _Walk[None]:
        """Take the stream, piece by piece."""
        major, _ = yield from self._parse(lambda cursor: read_version(cursor.take(FILE_DEFINITION)))
        self._checksum = _CRC if major >= 3 else 0
        while True:
            self.is_between = True
            yield from self._need(1)
            self.is_between = False
            yield from self._container(major)

    def _container(self, major: int) -> _Walk[None]:
        while len(self._held) < len(CRAM3_EOF) and any(form.startswith(self._held) for form in _ENDS):
            self._held += yield
        if self._held.startswith(_ENDS):
            del self._held[: len(CRAM3_EOF)]
            return
        container = yield from self._parse(lambda cursor: read_container_header(cursor, major))
        length, blocks, unpacked = container.length, container.blocks, 0
        while blocks and length > 0:  # some writers count blocks that are not there
            taken, room = yield from self._block()
            blocks, length, unpacked = blocks - 1, length - taken, unpacked + room
            if unpacked > MAX_CONTAINER:
                raise _TooLarge(f"a CRAM container has more than the {MAX_CONTAINER >> 30} GiB that one may have")
        if length < 0 and major >= 3:
            raise IntegrityError("blocks beyond their container")
        yield from self._pass(max(length, 0), 0)

    def _block(self) -> _Walk[tuple[int, int]]:
        """Walk over a block; return its size and its decompressed size, checked before more of it is taken."""
        head, size, unpacked = yield from self._parse(_block_head)
        if unpacked > MAX_CONTAINER:
            return 0, unpacked
        checksum = yield from self._pass(size, isal_zlib.crc32(head))
        yield from self._need(self._checksum)
        if self._checksum and int.from_bytes(self._held[:_CRC], "little") != checksum:
            raise IntegrityError("a checksum does not match")
        del self._held[: self._checksum]
        return len(head) + size + self._checksum, unpacked

    def _pass(self, count: int, checksum: int) -> _Walk[int]:
        """Go over some bytes; returns the checksum with them."""
        while count:
            yield from self._need(1)
            with memoryview(self._held)[:count] as part:
                checksum, passed = isal_zlib.crc32(part, checksum), len(part)
            del self._held[:passed]
            count -= passed
        return checksum

    def _need(self, count: int) -> _Walk[None]:
        while len(self._held) < count:
            self._held += yield

    def _parse(self, parse: Callable[[Cursor], Parsed]) -> _Walk[Parsed]:
        """Parse what is at the start of the bytes, with as many more as it takes."""
        size = _HEAD
        while size <= _MOST_HEAD:
            data = bytes(self._held[:size])
            cursor = Cursor(data, size=len(data))
            try:
                found = parse(cursor)
            except TruncatedStream:
                if len(data) < size:
                    self._held += yield
                else:
                    size *= 4
                continue
            del self._held[: cursor.at]
            return found
        raise IntegrityError("the head of a container has no end")


def _block_head(cursor: Cursor) -> tuple[bytes, int, int]:
    """Return the bytes of a block up to its payload, the size of that, and its decompressed size."""
    cursor.take(2)
    cursor.itf8()
    size, unpacked = cursor.itf8(), cursor.itf8()
    if size < 0 or unpacked < 0:
        raise IntegrityError("a block of a negative size")
    return cursor.data[: cursor.at], size, unpacked
