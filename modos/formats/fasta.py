"""Read FASTA in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modos.errors import InvalidInputError
from modos.formats.text import open_text, read_some
from modos.storage.base import Progress
from modos.storage.given import Given, Name

_PIECE = 8 << 20  # bytes that are read at once


def iter_fasta(path: Name | Given, progress: Progress | None = None) -> Iterator[tuple[str, bytes]]:
    """Iterate over the sequences of a FASTA in pieces: a name (the first word), and bases without line breaks.

    Every sequence begins with an empty piece.

    Raises
    ------
    InvalidInputError
        It is no FASTA.
    TruncatedStream
        It is compressed, and ends too early.
    """
    file, name, header = open_text(path, progress), "", b""
    try:
        while data := read_some(file, path, _PIECE):
            if len(header) > _PIECE:
                raise InvalidInputError(f"{path} is no FASTA: it has a header of more than {_PIECE >> 20} MiB")
            data = header + data
            header = b""
            at = 0
            while at < len(data):
                mark = data.find(b">", at)
                bases = data[at : mark if mark >= 0 else len(data)].translate(None, b"\n\r \t")
                if bases:
                    if not name or bases.translate(None, _LETTERS):
                        raise InvalidInputError(
                            f"{path} is no FASTA: "
                            + (
                                f"sequence {name} has {bases.translate(None, _LETTERS)[:20]!r}"
                                if name
                                else "it does not begin with >"
                            )
                        )
                    yield name, bases
                if mark < 0:
                    break
                end = data.find(b"\n", mark)
                if end < 0:
                    header = data[mark:]
                    break
                words = data[mark + 1 : end].split()
                if not words:
                    raise InvalidInputError(f"{path} is no FASTA: a sequence has no name")
                name, at = words[0].decode(errors="replace"), end + 1
                yield name, b""
    finally:
        file.close()


def iter_fastas(paths: Iterable[Name], progress: Progress | None = None) -> Iterator[tuple[str, bytes]]:
    """Iterate over the sequences of several FASTA files; see `iter_fasta`."""
    for path in paths:
        yield from iter_fasta(path, progress)


_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b"*-"
