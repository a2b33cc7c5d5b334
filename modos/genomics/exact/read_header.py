"""Cut what names other samples out of the header of reads (SAMv1 section 1.3)."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

from modos.errors import IntegrityError

_PREFIX = struct.Struct("<4sI")  # magic and length of the text
_LINES = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t")  # all others may name files and samples
_OF_PROGRAM = (b"@PG", b"ID:", b"PN:", b"PP:", b"VN:")  # and so may all other fields of @PG


class Groups(NamedTuple):
    """The read groups that may be given.

    Parameters
    ----------
    names
        Their IDs.
    is_all
        Whether the header has no others.
    samples
        Those that they are of.
    """

    names: frozenset[bytes]
    is_all: bool
    samples: frozenset[str]


def find_groups(header: bytes, samples: Collection[str]) -> Groups:
    """Find the read groups of some samples in the header of a BAM."""
    wanted = {sample.encode() for sample in samples}
    allowed: set[bytes] = set()
    others: set[bytes] = set()
    found: set[str] = set()
    for line in _lines(_split(header)[0]):
        if line.startswith(b"@RG"):
            fields = _fields(line)
            sample = fields.get(b"SM")
            (allowed if sample in wanted else others).add(fields.get(b"ID", b""))
            if sample in wanted:
                found.add(sample.decode())
    return Groups(frozenset(allowed - others), not others, frozenset(found))


def cut_header(header: bytes, groups: Groups) -> bytes:
    """Return the header of a BAM without the other read groups.

    Comments and lines of other kinds go then, and of the programs all but
    their names and versions, as they may name files and samples.
    """
    text, rest = _split(header)
    if groups.is_all:
        return header
    kept = []
    for line in _lines(text):
        if not line.startswith(_LINES) or (line.startswith(b"@RG") and _fields(line).get(b"ID") not in groups.names):
            continue
        if line.startswith(b"@PG\t"):
            line = b"\t".join(field for field in line.split(b"\t") if field.startswith(_OF_PROGRAM))
        kept.append(line)
    cut = b"".join(line + b"\n" for line in kept)
    return _PREFIX.pack(b"BAM\1", len(cut)) + cut + rest


def _split(header: bytes) -> tuple[bytes, bytes]:
    """Split the header of a BAM into its text and the list of contigs."""
    _, length = _PREFIX.unpack_from(header)
    end = _PREFIX.size + length
    if end > len(header):
        raise IntegrityError("the header of the BAM is damaged: its text does not fit into it")
    return header[_PREFIX.size : end].rstrip(b"\0"), header[end:]


def _lines(text: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in text.split(b"\n") if line.strip(b"\r")]


def _fields(line: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for field in line.split(b"\t")[1:]:
        found.setdefault(field[:2], field[3:])
    return found
