"""Rows of a .fai, the index of a FASTA, and whether they belong to it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from modos.errors import IntegrityError

if TYPE_CHECKING:
    from modos.genomics.index import Read

_LOOKS = 16  # sequences that are looked at
_SEED = 1
_HEADER = 1 << 12  # bytes before a sequence that are looked at
_ENDS = b"\r\n"


class FaiEntry(NamedTuple):
    """A row of a .fai index (samtools faidx): lengths in bases, offset and widths in bytes."""

    length: int
    offset: int
    line_bases: int
    line_width: int

    def byte_of(self, base: int) -> int:
        """Return the offset of a base in the FASTA, both from 0; that after the last base is the byte after it."""
        if not base:
            return self.offset
        full, rest = divmod(base - 1, self.line_bases)
        return self.offset + full * self.line_width + rest + 1


def parse_fai(text: bytes) -> dict[str, FaiEntry]:
    """Return the sequences of a FASTA by name; IntegrityError for what is no .fai."""
    entries = {}
    try:
        for line in filter(None, text.decode().split("\n")):
            name, *fields = line.rstrip("\r").split("\t")
            if name in entries or not all(field.isascii() and field.isdecimal() for field in fields[:4]):
                raise ValueError
            entry = FaiEntry(*map(int, fields[:4]))
            if entry.length and not 0 < entry.line_bases <= entry.line_width:
                raise ValueError
            entries[name] = entry
        if not entries:
            raise ValueError
    except (ValueError, TypeError):
        raise IntegrityError("the FASTA's .fai index is damaged", "make it again with samtools faidx") from None
    return entries


def format_fai(entries: dict[str, FaiEntry]) -> bytes:
    """Return the text of a .fai."""
    return "".join(
        f"{name}\t{entry.length}\t{entry.offset}\t{entry.line_bases}\t{entry.line_width}\n" for name, entry in entries.items()
    ).encode()


def check_fai(read: Read, size: int, text: bytes, *, thorough: bool = False) -> None:
    """Raise IntegrityError where a .fai is not that of a plain FASTA.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the FASTA.
    size
        Bytes in the FASTA.
    thorough
        Look at all sequences; else at the first, the last, and some in
        between.
    """
    entries = list(parse_fai(text).items())
    last, furthest = max(entries, key=lambda one: one[1].byte_of(one[1].length))
    if not thorough and len(entries) > _LOOKS:
        between = random.Random(_SEED).sample(range(1, len(entries) - 1), _LOOKS - 2)
        entries = [entries[0], *(entries[at] for at in sorted(between)), entries[-1]]

    for name, entry in entries:
        check_entry(read, size, name, entry)
    end = furthest.byte_of(furthest.length)
    if _within(read, size)(end, end + _HEADER).strip():
        raise IntegrityError(f"it lacks what follows {last}")


def check_entry(read: Read, size: int, name: str, entry: FaiEntry) -> None:
    """Raise IntegrityError where a row of a .fai is not that of a sequence of a plain FASTA; see `check_fai`."""
    part = _within(read, size)
    if entry.byte_of(entry.length) > size:
        raise IntegrityError(f"{name} ends beyond the end of the file")
    before = part(entry.offset - _HEADER, entry.offset)
    if not _is_header(before, name, entry.offset <= _HEADER):
        raise IntegrityError(f"no sequence {name} starts at byte {entry.offset:,}")
    if not (_has_lines(part, entry) if entry.length else _is_empty(part, entry)):
        raise IntegrityError(f"the lines of {name} are not as it says")


def _within(read: Read, size: int) -> Read:
    """Return what reads bytes [start, end) as far as a file has them."""

    def part(start: int, end: int) -> bytes:
        start, end = max(start, 0), min(end, size)
        return read(start, end) if start < end else b""

    return part


def _is_header(before: bytes, name: str, is_all: bool) -> bool:
    """Return whether a sequence of this name starts after some bytes, as far as they tell."""
    _, newline, line = before.rstrip(_ENDS).rpartition(b"\n")
    if before[-1:] != b"\n":
        return False
    return (not newline and not is_all) or (line[:1] == b">" and (line[1:].split() or [b""])[0] == name.encode())


def _is_empty(part: Read, entry: FaiEntry) -> bool:
    """Return whether no base follows the header of a sequence."""
    return part(entry.offset, entry.offset + _HEADER).lstrip()[:1] in (b"", b">")


def _has_lines(part: Read, entry: FaiEntry) -> bool:
    """Return whether the first and the last line of a sequence end where they should."""
    end = entry.byte_of(entry.length)
    first = part(entry.offset, min(entry.offset + entry.line_width, end))
    bases, ending = first[: entry.line_bases], first[entry.line_bases :]
    last = entry.byte_of((entry.length - 1) // entry.line_bases * entry.line_bases + 1) - 1
    tail, following = part(last - 1, end), part(end, end + _HEADER)
    return (
        b"\n" not in bases
        and ending.strip(_ENDS) == b""
        and tail[:1] == b"\n"
        and b"\n" not in tail[1:]
        and (not following or following[:1] in (b"\r", b"\n", b" "))
        and following.lstrip()[:1] in (b"", b">")
    )
