"""Read text files, plain or compressed, in pieces of whole lines, by line, or as rows of fields.

A file that is no text is recognised by its first bytes. The meaning of the text is
not known here.
"""

from __future__ import annotations

import glob
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from modos.errors import InvalidInputError, NotFoundError, TruncatedStream
from modos.storage.base import Progress
from modos.storage.given import Given, Name, open_given, show_path

_PIECE = 8 << 20  # bytes of text that are read at once
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
SHOWN = 80  # characters of a line that errors show
BIGWIG = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")  # how a bigWig begins
_NO_TEXT = {
    re.compile(begin): (what, hint)
    for begin, what, hint in (
        (
            b"|".join(map(re.escape, BIGWIG)),
            "it is a bigWig",
            "tracks and masks are read of a bigWig, where it is not compressed: gzip -d",
        ),
        (rb"BZh[1-9]1AY&SY", "it is compressed with bzip2", "decompress it first: bzip2 -d"),
        (rb"\xfd7zXZ", "it is compressed with xz", "decompress it first: xz -d"),
        (rb"\x28\xb5\x2f\xfd", "it is compressed with zstd", "decompress it first: zstd -d"),
        (rb"\x1f\x8b", "it is compressed with gzip twice", "decompress it first: gzip -d"),
        (rb"PK\x03\x04", "it is a zip file", "unpack it first"),
        (rb"\xff\xfe|\xfe\xff", "it is in UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"),
    )
}
_LONGEST = 10  # bytes that tell


def open_text(path: Name | Given, progress: Progress | None = None) -> Given:
    """Open a file, decompressed if it begins like gzip, without a byte order mark; `-` is stdin.

    Raises
    ------
    InvalidInputError
        It begins like something else than text.
    """
    from isal import igzip

    file = open_given(path, progress)
    packed = file.peek(2) == b"\x1f\x8b"
    if packed:
        file = file.wrap(igzip.open(file, "rb"))
    head = look_at(file, _LONGEST)
    if head.startswith(BOM_UTF8):
        file.read(len(BOM_UTF8))
    for begin, (what, hint) in _NO_TEXT.items():
        if begin.match(head):
            file.close()
            raise InvalidInputError(f"{file} is not text: {'within gzip ' if packed and 'gzip' not in what else ''}{what}", hint)
    return file


def whole_number(text: str) -> int:
    """Parse a whole number; raise ValueError for anything else, also for `4_0`, which Python takes."""
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{text[:SHOWN]!r} is not a whole number")
    return int(text)


def read_pieces(path: Name | Given, progress: Progress | None = None) -> Iterator[bytes]:
    """Yield text in pieces of whole lines."""
    rest = b""
    with open_text(path, progress) as file:
        while data := read_some(file, path, _PIECE):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) > _PIECE:
                raise InvalidInputError(f"{file} is not text: it has no lines")
            rest = data[cut:]
            if cut:
                yield data[:cut]
    if rest:
        yield rest + b"\n"


def read_some(file: Given, path: Name | Given, count: int) -> bytes:
    """Read up to `count` bytes of a file from `open_text`, nothing at its end; raise an error if it cannot be read."""
    return _try_read(file.read, path, count)


def look_at(file: Given, count: int) -> bytes:
    """Peek at the next bytes of a file from `open_text`, which stay to be read; raise an error if it cannot be read."""
    return _try_read(file.peek, file, count)


def _try_read(read: Callable[[int], bytes], path: Name | Given, count: int) -> bytes:
    from modos.formats.deflate import DeflateError

    try:
        return read(count)
    except EOFError:
        raise TruncatedStream(f"{show_path(path)} is truncated: its compressed data end too early", "copy it again") from None
    except (
        OSError,
        ValueError,
        DeflateError,
        OverflowError,
    ) as error:  # OverflowError: a name or comment of gzip of more than half a MiB
        raise InvalidInputError(f"{show_path(path)} cannot be read: {error}") from None


def expand_paths(patterns: Sequence[str | Path]) -> list[str]:
    """Expand patterns (`chr*.fa.gz`) to files; raise NotFoundError if one matches none."""
    paths: list[str] = []
    for pattern in map(str, patterns):
        found = sorted(glob.glob(pattern)) if any(c in pattern for c in "*?[") else [pattern]
        if not found:
            raise NotFoundError(f"no file matches {pattern}", "check the path")
        paths += found
    return paths


def read_rows(path: Name) -> Iterator[str]:
    """Read the lines of a text file, plain or compressed."""
    file = open_text(path)
    try:
        rest = b""
        while data := read_some(file, path, _PIECE):
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > _PIECE:
                raise InvalidInputError(f"{path} is not text: it has a line of more than {_PIECE >> 20} MiB")
            for line in whole:
                yield line.decode(errors="replace").rstrip("\r")
        if rest:
            yield rest.decode(errors="replace").rstrip("\r")
    finally:
        file.close()


def read_fields(path: str) -> Iterator[tuple[int, list[str]]]:
    """Read the rows of a table with their line numbers from 1: fields between tabs, or else between blanks; no comments."""
    for number, line in enumerate(read_rows(path), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.split("\t" if "\t" in line else None)


def read_lengths(paths: Sequence[str]) -> dict[str, int]:
    """Read the lengths of contigs by name, from tables with both in their first two columns (chrom.sizes, .fai)."""
    lengths: dict[str, int] = {}
    for path in paths:
        for number, fields in read_fields(path):
            try:
                name, length = fields[0], whole_number(fields[1])
            except (IndexError, ValueError):
                raise InvalidInputError(f"{path}, line {number}: not a name and a length: {' '.join(fields)[:80]!r}") from None
            if name in lengths:
                raise InvalidInputError(f"{path}, line {number}: contig {name} is there twice", "leave one out")
            lengths[name] = length
    return lengths
