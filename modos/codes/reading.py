"""Read terms from files of any supported format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modos.codes import obo, owl
from modos.codes.terms import Term
from modos.errors import InvalidInputError
from modos.storage.given import Given, Name, open_given

MAX_FILE = 16 << 30  # bytes, when it is not compressed any more
_HEAD = 4096  # bytes
_OBO = (b"format-version:", b"[Term]", b"[Typedef]", b"ontology:", b"data-version:")
_HINT = "give OBO, or OWL or SKOS in RDF/XML; others are converted: robot convert -i FILE -o terms.obo"


def read_terms(path: Name) -> Iterator[Term]:
    """Read the terms of an OBO, OWL or SKOS file, plain or compressed with gzip; `-` is stdin.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is none of these, or it is damaged.
    """
    from isal import igzip

    from modos.formats.deflate import DeflateError

    with open_given(path) as file:
        try:
            if file.peek(2) == b"\x1f\x8b":
                file = file.wrap(igzip.open(file, "rb"))
            bounded = _Bounded(file)
            yield from _reader(file, file.peek(_HEAD))(bounded.to_given())
        except (EOFError, DeflateError, igzip.BadGzipFile) as error:
            raise InvalidInputError(f"{file} is damaged: {error}", "copy it again") from None
        except OSError as error:
            raise InvalidInputError(f"{file} cannot be read: {error.strerror or error}") from None


def _reader(file: Given, head: bytes) -> Any:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<") or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return owl.read_terms
    lines = text.splitlines()
    if any(line.startswith(_OBO) for line in lines):
        return obo.read_terms
    what = (
        "it is empty"
        if not head
        else "it is OBO Graphs or other JSON"
        if text.startswith(b"{")
        else "it begins like neither OBO nor XML"
    )
    raise InvalidInputError(f"{file} is no file of terms: {what}", _HINT)


class _Bounded:
    """A file of which only so much is read."""

    def __init__(self, file: Given):
        self._file = file
        self._left = MAX_FILE

    def to_given(self) -> Given:
        """Return the file in the form that the readers take."""
        return self._file.wrap(self)

    def read(self, size: int) -> bytes:
        """Read so many bytes, fewer only at the end; raise InvalidInputError beyond the limit."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidInputError(f"{self._file} is larger than {MAX_FILE >> 30} GiB")
        return data

    def close(self) -> None:
        """Do nothing: the file is closed by its opener."""
