"""Remove unwanted fields and tags from BAM records without decoding them (SAMv1 section 4.2).

A field that is not wanted gets the value that SAM has for one that is not
known: `*`, 0, or 255 for MAPQ. Bases without which the qualities that are
wanted could not be written are N.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FileFormat
from modos.genomics.htsget.query import FIELDS, Query
from modos.genomics.slicing import Run

PLACING = ("FLAG", "RNAME", "POS", "CIGAR")  # the fields that say which regions a read overlaps

_FIXED = struct.Struct("<IiiBBHHHIiii")
_number = struct.Struct("<I").unpack_from
_SIZES = {ord(kind): size for kind, size in zip("AcCsSiIfd", (1, 1, 1, 2, 2, 4, 4, 4, 8))}  # bytes of a tag's value, by its type
_TEXTS, _ARRAY = tuple(b"ZH"), ord("B")
_REAL_CIGAR = b"CG"  # the tag with a CIGAR of more than 65,535 operations (SAMv1 section 4.2.2)
_CLIPPED = 4  # the operation S: all bases have it where the CIGAR is in a tag
_NO_BASES = bytes((_CLIPPED, 0, 0, 0))
_NO_QUALITY = 0xFF
_CIGAR, _SEQ, _QUAL = map(FIELDS.index, ("CIGAR", "SEQ", "QUAL"))
_NO_BIN = 4680  # that of a read without a position


class Blanking:
    """Leaves some fields and tags of reads out.

    Parameters
    ----------
    query
        The fields and tags that are wanted.
    kept
        The fields to keep in place of those of the query, also none; None for those.
    """

    def __init__(self, query: Query, kept: Collection[str] | None = None):
        wanted = kept if kept is not None else query.fields or FIELDS
        self._kept = tuple(name in wanted for name in FIELDS)
        self._takes_all = query.tags is None
        self._wanted, self._unwanted = ({tag.encode() for tag in tags or ()} for tags in (query.tags, query.notags))

    @classmethod
    def from_query(cls, query: Query, format: FileFormat, name: str) -> Blanking | None:
        """Derive from a query what is left out of its records; None if that is nothing.

        Raises
        ------
        InvalidInputError
            It leaves out something of variants.
        """
        if not query.is_partial:
            return None
        if format.kind != "reads":
            raise InvalidInputError(
                f"{name} has variants: fields and tags are those of reads", "leave --fields, --tags and --notags out"
            )
        return cls(query)

    @property
    def has_all_fields(self) -> bool:
        """Return whether only tags are left out."""
        return all(self._kept)

    def apply(self, data: bytes) -> bytes:
        """Apply the selection to whole reads of a BAM, one after the other.

        Raises
        ------
        IntegrityError
            A read is damaged.
        """
        try:
            return b"".join(self._parts(data))
        except (struct.error, IndexError, ValueError, KeyError):
            raise IntegrityError("a read is damaged: its fields do not fit into it") from None

    def apply_to_runs(self, runs: Iterable[Run]) -> Iterator[Run]:
        """Apply the selection to runs of reads of a BAM; see `apply`."""
        return (Run(memoryview(self.apply(bytes(run.data))), run.records) for run in runs)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        (
            has_name,
            has_flag,
            has_target,
            has_position,
            has_quality,
            has_cigar,
            has_next,
            has_next_position,
            has_length,
            has_bases,
            has_qualities,
        ) = self._kept
        has_all_tags, has_no_tags = self._takes_all and not self._unwanted, not self._takes_all and not self._wanted
        at, end = 0, len(data)
        while at < end:
            size, target, position, name_size, quality, bin, ops, flag, count, next_target, next_position, length = (
                _FIXED.unpack_from(data, at)
            )
            cigar_at = at + _FIXED.size + name_size
            bases_at = cigar_at + 4 * ops
            qualities_at = bases_at + (count + 1 >> 1)
            tags_at, following = qualities_at + count, at + 4 + size
            if tags_at > following or following > end:
                raise ValueError
            name = data[at + _FIXED.size : cigar_at] if has_name else b"*\0"
            cigar = data[cigar_at:bases_at] if has_cigar else b""
            is_tagged = ops == 2 and _number(data, cigar_at)[0] == count << 4 | _CLIPPED and _has_cigar(data, tags_at, following)
            if is_tagged or not (has_all_tags or has_no_tags):
                tags = self._tags(data, tags_at, following, is_tagged)
            else:
                tags = data[tags_at:following] if has_all_tags else b""
            bases = data[bases_at:tags_at] if has_bases and has_qualities else self._bases(data, bases_at, qualities_at, count)
            if count and not bases:
                count, cigar = 0, _NO_BASES + cigar[4:] if is_tagged and cigar else cigar
            yield _FIXED.pack(
                _FIXED.size - 4 + len(name) + len(cigar) + len(bases) + len(tags),
                target if has_target else -1,
                position if has_position else -1,
                len(name),
                quality if has_quality else 255,
                _NO_BIN if not has_position else bin if has_cigar else _bin_at(position),
                len(cigar) >> 2,
                flag if has_flag else 0,
                count,
                next_target if has_next else -1,
                next_position if has_next_position else -1,
                length if has_length else 0,
            )
            yield name
            yield cigar
            yield bases
            yield tags
            at = following

    def _bases(self, data: bytes, at: int, qualities_at: int, count: int) -> bytes:
        """Return the bases or the qualities of a read, with placeholders for the missing ones; nothing if both are missing."""
        if self._kept[_SEQ]:
            return data[at:qualities_at] + b"\xff" * count
        if self._kept[_QUAL] and count and data[qualities_at] != _NO_QUALITY:
            return _unknown_bases(count) + data[qualities_at : qualities_at + count]
        return b""

    def _tags(self, data: bytes, at: int, end: int, is_tagged: bool) -> bytes:
        """Return the wanted tags, unchanged; the one that has the CIGAR goes with that."""
        wanted, unwanted, takes_all = self._wanted, self._unwanted, self._takes_all
        parts, first = [], at
        for tag, start, following in iter_tags(data, at, end):
            if not (
                self._kept[_CIGAR] if is_tagged and tag == _REAL_CIGAR else (takes_all or tag in wanted) and tag not in unwanted
            ):
                parts.append(data[first:start])
                first = following
        parts.append(data[first:end])
        return b"".join(parts)

    def apply_to_record(self, record: Any) -> Any:
        """Apply the selection to a pysam.AlignedSegment, which is changed.

        Raises
        ------
        IntegrityError
            The read is damaged.
        """
        kept = dict(zip(FIELDS, self._kept))
        qualities = record.query_qualities
        for tag in _tags_of(record):
            if not (self._takes_all or tag.encode() in self._wanted) or tag.encode() in self._unwanted:
                record.set_tag(tag, None)
        if not kept["SEQ"]:
            record.query_sequence = "N" * record.query_length if kept["QUAL"] and qualities is not None else None
        record.query_qualities = qualities if kept["QUAL"] and record.query_sequence else None
        for name, attribute, missing in _ATTRIBUTES:
            if not kept[name]:
                setattr(record, attribute, missing)
        return record


_ATTRIBUTES = (
    ("QNAME", "query_name", "*"),
    ("FLAG", "flag", 0),
    ("RNAME", "reference_id", -1),
    ("POS", "reference_start", -1),
    ("MAPQ", "mapping_quality", 255),
    ("CIGAR", "cigarstring", None),
    ("RNEXT", "next_reference_id", -1),
    ("PNEXT", "next_reference_start", -1),
    ("TLEN", "template_length", 0),
)


def _tags_of(record: Any) -> list[str]:
    """Return the names of the tags of a read, from its text.

    htslib sees to it that they end with the read; pysam's own list reads on behind it.
    """
    try:
        return [field[:2] for field in record.to_string().split("\t")[11:] if field[2:3] == ":"]
    except ValueError:
        raise IntegrityError("a read is damaged: its fields do not fit into it") from None


def iter_tags(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over the tags of a read: name, start and end; raise ValueError if they do not fill it."""
    while at < end:
        kind = data[at + 2]
        if kind in _SIZES:
            following = at + 3 + _SIZES[kind]
        elif kind in _TEXTS:
            following = data.index(0, at + 3, end) + 1
        elif kind == _ARRAY:
            following = at + 8 + _SIZES[data[at + 3]] * _number(data, at + 4)[0]
        else:
            raise ValueError
        yield data[at : at + 2], at, following
        at = following
    if at != end:
        raise ValueError


def _has_cigar(data: bytes, at: int, end: int) -> bool:
    """Return whether a tag has the CIGAR (htslib, bam_tag2cigar)."""
    return any(
        tag == _REAL_CIGAR and data[start + 2 : start + 4] == b"BI" and _number(data, start + 4)[0] >= 2
        for tag, start, _ in iter_tags(data, at, end)
    )


def _unknown_bases(count: int) -> bytes:
    """Return so many N, two in a byte."""
    return b"\xff" * (count >> 1) + b"\xf0" * (count & 1)


def _bin_at(position: int) -> int:
    """Return the bin of a single base (SAMv1 section 5.3)."""
    return _NO_BIN if position < 0 else (4681 + (position >> 14)) & 0xFFFF
