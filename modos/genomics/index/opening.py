"""Read the header of a stream while the rest is still on its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from modos.errors import TruncatedStream
from modos.formats import FileFormat
from modos.genomics.index.file_header import Header, read_header


@dataclass(frozen=True)
class Opening:
    """The header of a stream, the bytes that were taken from it for that, and the rest."""

    header: Header
    held: bytes
    rest: Iterator[bytes]

    @property
    def pieces(self) -> Iterator[bytes]:
        """All of the stream; to be gone through once, instead of `records`."""
        return chain((self.held,), self.rest)

    @property
    def records(self) -> Iterator[bytes]:
        """The stream from the block on that the first record is in; to be gone through once."""
        return chain((self.held[self.header.end >> 16 :],), self.rest)

    @property
    def header_bytes(self) -> bytes:
        """The header as the first bytes of another stream."""
        return b"".join(s if isinstance(s, bytes) else self.held[s.start : s.end] for s in self.header.segments)


def open_stream(format: FileFormat, pieces: Iterator[bytes]) -> Opening:
    """Take as much of a stream as its header needs, which has the limits of `read_header`.

    Raises
    ------
    ModosError
        What the stream raises, and what `read_header` does.
    """
    held = bytearray()

    def read(start: int, end: int) -> bytes:
        while len(held) < end and (piece := next(pieces, None)) is not None:
            held.extend(piece)
        return bytes(held[start:end])

    if not read(0, 1):
        raise TruncatedStream("the stream is empty")
    return Opening(read_header(format, read, None), bytes(held), pieces)
