"""Index a FASTA that has no .fai, by reading through it once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from modos.errors import IntegrityError
from modos.reference.fai import FaiEntry

_NEWLINE, _RETURN = 10, 13
_MAX_HEADER = 1 << 20  # bytes


def index_fasta(pieces: Iterable[bytes], where: str) -> dict[str, FaiEntry]:
    """Return the rows that samtools faidx would write of a FASTA, by name; hold no more than one piece.

    Raises
    ------
    IntegrityError
        It is no FASTA, names a sequence twice, or has lines of several
        lengths in a sequence.
    """
    builder = _Builder(where)
    for piece in pieces:
        builder.feed(piece)
    return builder.end()


class _Builder:
    """State of the index of a FASTA after some of its bytes."""

    def __init__(self, where: str):
        self._where = where
        self._entries: dict[str, FaiEntry] = {}
        self._header: bytearray | None = None  # of the line that is being read, if it is one
        self._name: str | None = None
        self._at = self._offset = 0
        self._line, self._last = 0, 0  # bytes of the line so far, and its last one
        self._length = self._bases = self._width = 0
        self._has_ended = False

    def feed(self, piece: bytes) -> None:
        start = 0
        while start < len(piece):
            if self._header is not None:
                end = piece.find(b"\n", start)
                self._header += piece[start : len(piece) if end < 0 else end]
                if len(self._header) > _MAX_HEADER:
                    raise self._wrong(f"a header of more than {_MAX_HEADER >> 20} MiB")
                start = len(piece) if end < 0 else end + 1
                if end >= 0:
                    self._begin(self._at + start)
            elif not self._line and piece[start] == ord(">"):
                self._finish()
                self._header, start = bytearray(), start + 1
            else:
                end = piece.find(b"\n>", start)
                stop = len(piece) if end < 0 else end + 1
                self._take(piece[start:stop])
                start = stop
        self._at += len(piece)

    def end(self) -> dict[str, FaiEntry]:
        if self._header is not None:
            self._begin(self._at)
        self._finish()
        if not self._entries:
            raise self._wrong("no sequence")
        return self._entries

    def _begin(self, offset: int) -> None:
        words = bytes(self._header or b"").split()
        try:
            self._name = words[0].decode()
        except (IndexError, UnicodeDecodeError):
            raise self._wrong("a sequence without a name") from None
        if self._name in self._entries:
            raise self._wrong(f"two sequences {self._name}")
        self._header, self._offset = None, offset
        self._length = self._bases = self._width = 0
        self._has_ended = False

    def _take(self, block: bytes) -> None:
        """Take lines of a sequence, or parts of them."""
        values = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(values == _NEWLINE)
        if len(ends):
            widths = np.diff(ends, prepend=-1)
            widths[0] += self._line
            before = values[np.maximum(ends - 1, 0)]
            if ends[0] == 0:
                before[0] = self._last if self._line else 0
            self._add(widths, widths - 1 - (before == _RETURN))
            self._line = 0
        self._line += len(block) - (int(ends[-1]) + 1 if len(ends) else 0)
        self._last = block[-1]

    def _add(self, widths: np.ndarray, bases: np.ndarray) -> None:
        if self._name is None:
            if bases.any():
                raise self._wrong("no header before its first bases")
            return
        if not self._bases and not self._has_ended:
            self._bases, self._width = int(bases[0]), int(widths[0])
        partial = np.flatnonzero((bases != self._bases) | (widths != self._width))
        if (self._has_ended and bases.any()) or (
            len(partial) and (bases[partial[0]] > self._bases or bases[partial[0] + 1 :].any())
        ):
            raise self._wrong(f"lines of several lengths in {self._name}")
        self._has_ended |= bool(len(partial)) or not self._bases
        self._length += int(bases.sum())

    def _finish(self) -> None:
        if self._line:
            bases = self._line - (self._last == _RETURN)
            width = self._width if bases == self._bases and self._width else self._line + 1
            self._add(np.array([width]), np.array([bases]))
            self._line = 0
        if self._name is not None:
            self._entries[self._name] = FaiEntry(self._length, self._offset, self._bases, self._width)
            self._name = None

    def _wrong(self, what: str) -> IntegrityError:
        return IntegrityError(
            f"{self._where} has no .fai index, and none can be made: it has {what}",
            "correct the FASTA, and index it with samtools faidx",
        )
