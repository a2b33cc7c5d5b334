"""Take from a read what locates its mate or other alignments outside of some regions (SAM tags specification).

`RNEXT`, `PNEXT` and `TLEN` are of the mate, as are MC, MQ, the bases and qualities
in R2 and Q2, and what bowtie2, biobambam and samtools write of it (YS, mc, ms).
SA, XA, XB, XP and OA list alignments: an entry stays if it overlaps the regions.
CC with CP, and OP with OC, are one alignment. PS is the first variant of a phase
set. What an aligner hides in a tag or a name of its own making cannot be known:
tags that may be given can be named.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from modos.genomics.exact.permitted import Places

MATE_TAGS = frozenset(("MC", "MQ", "R2", "Q2", "YS", "mc", "ms"))
LISTS = frozenset(("SA", "XA", "XB", "XP", "OA"))
LOCATING = LISTS | {"CC", "CP", "OP", "OC", "PS", "XF"}

_FIXED = struct.Struct("<IiiBBHHHIiii")
_CIGAR = re.compile(rb"(?:[0-9]{1,9}[MIDNSHP=X])+|\*")
_OPERATION = re.compile(rb"([0-9]+)([MIDNSHP=X])")
_POSITION = re.compile(rb"[0-9]{1,18}")
_SIGNED = re.compile(rb"[+-][0-9]{1,18}")
_PROPER_PAIR = 2
_MATE_UNMAPPED = 8
_INTEGERS = {ord(kind): struct.Struct(f"<{code}") for kind, code in zip("cCsSiI", "bBhHiI")}

Tag = tuple[bytes, int, int]  # its name, and where it is


def extent(cigar: bytes) -> int | None:
    """Return the bases of the reference that a CIGAR in text takes, at least one; None if it is none."""
    if not _CIGAR.fullmatch(cigar):
        return None
    return sum(int(length) for length, kind in _OPERATION.findall(cigar) if kind in b"MDN=X") or 1


def mask_read(data: bytes, start: int, tags: list[Tag], end: int, places: Places | None, is_blind: bool) -> bytes:
    """Return a read without what locates outside of some places; the same bytes where nothing does.

    Its own place and bases stay, also what reaches beyond the places, as do the
    bits of its flag on the strand and mapping of a mate outside; the bit for a
    proper pair, which says that this one is near, goes.

    Parameters
    ----------
    data
        Of the read the bytes [start, end).
    tags
        All of its tags, in their order.
    places
        None for all places.
    is_blind
        Whether the place of the read itself is not to be told: all other alignments go.
    """
    fields = list(_FIXED.unpack_from(data, start))
    target, flag, next_target, next_position, length = fields[1], fields[7], *fields[9:12]
    loses_mate = places is not None and not _has_mate_within(data, tags, places, next_target, next_position, flag)
    if loses_mate:
        fields[7], fields[9:12] = flag & ~_PROPER_PAIR, (-1, -1, 0)
    is_changed = loses_mate and (next_target, next_position, length) != (-1, -1, 0)
    body: list[bytes] = []
    first = start + _FIXED.size
    kept = _Alignments(data, tags, places, target, is_blind)
    for name, at, following in tags:
        text = name.decode("latin-1")
        replaced: bytes | None = None if loses_mate and text in MATE_TAGS else data[at:following]
        if replaced is not None and text in LOCATING:
            replaced = kept.mask(text, at, following)
        if replaced is None or len(replaced) != following - at:
            body += (data[first:at], replaced or b"")
            first = following
    body.append(data[first:end])
    rest = b"".join(body)
    if not is_changed and len(rest) == end - start - _FIXED.size:
        return data[start:end]
    fields[0] = _FIXED.size - 4 + len(rest)
    return _FIXED.pack(*fields) + rest


def _has_mate_within(data: bytes, tags: list[Tag], places: Places, target: int, position: int, flag: int) -> bool:
    """Return whether the position of the mate, or with MC what it takes, lies in the places."""
    span = 1
    if not flag & _MATE_UNMAPPED:
        for name, at, end in tags:
            if name == b"MC" and data[at + 2] == ord("Z"):
                span = extent(data[at + 3 : end - 1]) or 1
                break
    return places.overlaps(target, position, position + span)


class _Alignments:
    """The tags of a read that tell of other alignments."""

    def __init__(self, data: bytes, tags: list[Tag], places: Places | None, target: int, is_blind: bool):
        self._data, self._target, self._is_blind = data, target, is_blind or places is None
        self._places = places or Places((), {})
        self._found = {name.decode("latin-1"): (at, end) for name, at, end in tags}
        names = [name for name, _, _ in tags]
        self._is_odd = len(self._found) != len(names)  # a tag stands twice: which of them counts depends on the reader

    def mask(self, name: str, at: int, end: int) -> bytes | None:
        """Return what stays of a tag; None if nothing does."""
        if self._is_blind or self._is_odd:
            return None
        if name in LISTS:
            return self._mask_list(name, at, end)
        if name in ("CC", "CP"):
            is_within = self._is_hit_within()
        elif name in ("OP", "OC"):
            is_within = self._is_original_within()
        elif name == "PS":
            is_within = self._has(self._number("PS"))
        else:  # of TopHat-Fusion contigs and a position, of others the name of a feature
            is_within = b" " not in self._data[at:end]
        return self._data[at:end] if is_within else None

    def _mask_list(self, name: str, at: int, end: int) -> bytes | None:
        if self._data[at + 2] != ord("Z"):
            return None
        parse = _parse_signed if name in ("XA", "XB", "XP") else _parse_stranded
        entries = self._data[at + 3 : end - 1].split(b";")
        kept = [entry for entry in entries if entry and self._is_within(entry, parse)]
        if len(kept) == len(entries) - (entries[-1] == b""):
            return self._data[at:end]
        return self._data[at : at + 3] + b";".join(kept) + b";\0" if kept else None

    def _is_within(self, entry: bytes, parse: Callable[[bytes], tuple[bytes, int, int] | None]) -> bool:
        parsed = parse(entry)
        if parsed is None:
            return False
        contig, position, span = parsed
        return self._places.overlaps(self._places.number(contig.decode("utf-8", "backslashreplace")), position, position + span)

    def _has(self, position: int | None, span: int = 1, target: int | None = None) -> bool:
        """Return whether a place, 1-based, on the contig of the read or another lies within."""
        if position is None:
            return False
        return self._places.overlaps(self._target if target is None else target, position - 1, position - 1 + span)

    def _is_hit_within(self) -> bool:
        contig = self._text("CC")
        if contig is None and "CC" in self._found:
            return False
        target = self._target if contig in (None, "=") else self._places.number(contig or "")
        return self._has(self._number("CP"), 1, target)

    def _is_original_within(self) -> bool:
        cigar = self._text("OC")
        return self._has(self._number("OP"), extent((cigar or "*").encode("utf-8", "backslashreplace")) or 1)

    def _text(self, name: str) -> str | None:
        at, end = self._found.get(name, (0, 0))
        if not end or self._data[at + 2] != ord("Z"):
            return None
        return self._data[at + 3 : end - 1].decode("utf-8", "backslashreplace")

    def _number(self, name: str) -> int | None:
        at, end = self._found.get(name, (0, 0))
        kind = _INTEGERS.get(self._data[at + 2]) if end else None
        return None if kind is None else int(kind.unpack_from(self._data, at + 3)[0])


def _parse_stranded(entry: bytes) -> tuple[bytes, int, int] | None:
    """Parse `rname,pos,strand,CIGAR,...`: contig, position (0-based) and bases; None if it is none."""
    fields = entry.rsplit(b",", 5)  # names of contigs may have commas
    if len(fields) != 6 or not _POSITION.fullmatch(fields[1]) or fields[2] not in (b"+", b"-"):
        return None
    span = extent(fields[3])
    return None if span is None else (fields[0], int(fields[1]) - 1, span)


def _parse_signed(entry: bytes) -> tuple[bytes, int, int] | None:
    """Parse `chr,±pos,CIGAR,...`: contig, position (0-based) and bases; None if it is none."""
    fields = entry.split(b",")
    for at in range(1, len(fields) - 1):
        if _SIGNED.fullmatch(fields[at]):
            span = extent(fields[at + 1])
            return None if span is None else (b",".join(fields[:at]), int(fields[at][1:]) - 1, span)
    return None
