"""Look up the contig and start of the record at a virtual offset of a BAM, BCF or VCF."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from modos.errors import IntegrityError
from modos.formats import FileFormat
from modos.genomics.index.bgzf import Blocks
from modos.genomics.index.file_header import Header

_FIXED = {"BAM": struct.Struct("<4xii"), "BCF": struct.Struct("<8xii")}  # contig and position
_SKIPPED = rb"(?:#[^\n]*(?:\n|\Z)|\s+)*+"  # what may stand between the lines of a VCF
_LINE = re.compile(_SKIPPED + rb"([^\t\n]+)\t([0-9]{1,18})\t")
_NO_RECORDS = re.compile(_SKIPPED)
_LINE_STARTS = (1 << 10, 1 << 16)  # bytes that the first columns of a line take: mostly, and at most


class Place(NamedTuple):
    """Start of a record: the name of its contig and a base, 0-based; no name where it has no position."""

    contig: str | None
    start: int

    def __str__(self) -> str:
        return f"{self.contig}:{self.start + 1:,}" if self.contig else "a read without a position"


class Records:
    """The records of a file, by virtual offset.

    Parameters
    ----------
    blocks
        Those of the file.
    size
        Bytes in the file.
    """

    def __init__(self, format: FileFormat, blocks: Blocks, size: int, header: Header):
        self._format = format
        self._blocks = blocks
        self._size = size
        self._names = {number: name for name, number in header.target_ids.items()}

    def place(self, virtual: int) -> Place | None:
        """Find the place of the record at a virtual offset; None if no record follows.

        Raises
        ------
        IntegrityError
            No record starts there.
        """
        if self._format.name == "VCF":
            return self._line_place(virtual)
        fixed = _FIXED[self._format.name]
        data = self.data(virtual, fixed.size)
        if not data:
            return None
        if len(data) < fixed.size:
            raise _no_record_error(virtual)
        number, start = fixed.unpack_from(data)
        if self._format.name == "BAM" and number == -1:
            return Place(None, -1)
        if number not in self._names or start < -1:
            raise _no_record_error(virtual)
        return Place(self._names[number], max(start, 0))

    def data(self, virtual: int, length: int) -> bytes:
        """Return decompressed bytes from a virtual offset on, fewer if the file ends."""
        offset, within = virtual >> 16, virtual & 0xFFFF
        data = b""
        while len(data) < length and offset < self._size:
            block, offset = self._blocks.inflate(offset)
            if within > len(block):
                raise _no_record_error(virtual)
            data, within = data + block[within : within + length - len(data)], 0
        return data

    def is_empty(self, start: int, end: int) -> bool:
        """Return whether nothing lies between two virtual offsets."""
        while start >> 16 < end >> 16 and start >> 16 < self._size:
            block, following = self._blocks.inflate(start >> 16)
            if len(block) > start & 0xFFFF:
                return False
            start = following << 16
        return start >= end or start >> 16 >= self._size

    def _line_place(self, virtual: int) -> Place | None:
        for length in _LINE_STARTS:
            data = self.data(virtual, length)
            if line := _LINE.match(data):
                return Place(line[1].decode("utf-8", "backslashreplace"), max(int(line[2]) - 1, 0))
            if len(data) < length and _NO_RECORDS.fullmatch(data):
                return None
        raise _no_record_error(virtual)


def _no_record_error(virtual: int) -> IntegrityError:
    return IntegrityError(f"no record starts at byte {virtual & 0xFFFF:,} of the block at byte {virtual >> 16:,}")
