"""Find the reference that a file was made with, by the names, lengths and MD5s of contigs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from isal import igzip

from modos.errors import InvalidInputError, listing
from modos.formats.deflate import DeflateError
from modos.reference.assembly import StoredContig
from modos.storage.given import open_given

_MD5 = re.compile("[0-9a-f]{32}")
_BY = ("MD5", "name and length", "name alone")
_SHOWN = 3
_LINE = 1 << 20


class HeaderSequence(Protocol):
    """Sequence of a header."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def md5(self) -> str | None:
        """MD5 of its bases, where the header has it."""

    @property
    def length(self) -> int | None:
        """Length in bases, where the header has it."""


@dataclass(frozen=True)
class NamedSequence:
    """Sequence of which a file has the name alone."""

    name: str
    md5: None = None
    length: None = None


def read_names(path: str | Path) -> list[NamedSequence]:
    """Read the names of the sequences in the lines of a GFF3 or BED file, plain or gzipped."""
    names: dict[bytes, None] = {}
    with open_given(path) as file:
        try:
            for line in _lines(file.wrap(igzip.open(file, "rb")) if file.peek(2)[:2] == b"\x1f\x8b" else file, path):
                if line.startswith((b"##FASTA", b">")):
                    break
                if not line.startswith((b"#", b"track ", b"browser ")) and line.strip():
                    names[line.split(None, 1)[0]] = None
        except (EOFError, DeflateError, igzip.BadGzipFile) as error:
            raise InvalidInputError(f"{path} is damaged: {error}", "copy it again") from None
    return [NamedSequence(name.decode(errors="replace")) for name in names]


def _lines(file: Any, path: str | Path) -> Iterator[bytes]:
    reader = io.BufferedReader(file)
    while line := reader.readline(_LINE):
        if len(line) == _LINE:
            raise InvalidInputError(f"{path} has a line of more than a megabyte", "is it a text file?")
        yield line


@dataclass(frozen=True)
class Candidate:
    """Reference that a file may have been made with.

    Parameters
    ----------
    is_given
        Somebody said that files are made with it.
    """

    id: str
    contigs: Mapping[str, StoredContig]
    is_given: bool


@dataclass(frozen=True)
class Fit:
    """Result of a comparison: by what a reference fits a file, or why it does not."""

    id: str
    is_given: bool
    rank: int | None = None  # of `_BY`
    count: int = 0
    reason: str = ""

    @property
    def evidence(self) -> str:
        """By what it fits, in words."""
        return f"{_BY[self.rank or 0]} of {self.count:,} contig{'' if self.count == 1 else 's'}"


def find_best_fits(sequences: Sequence[HeaderSequence], candidates: Iterable[Candidate]) -> tuple[list[Fit], list[Fit]]:
    """Find the references that a header fits best, and those that it does not fit.

    A name alone is enough for a reference that was given, and for no other.
    """
    fits = [_compare(sequences, candidate) for candidate in candidates]
    fitting = [fit for fit in fits if fit.rank is not None and (fit.is_given or fit.rank < 2)]
    best = min((fit.rank for fit in fitting if fit.rank is not None), default=None)
    return [fit for fit in fitting if fit.rank == best], [fit for fit in fits if fit not in fitting]


def add_recorded_md5s(contigs: Iterable[StoredContig], recorded: Iterable[Mapping[str, Any]]) -> Iterator[StoredContig]:
    """Complete the contigs of a reference with MD5s of its sequences in an object, if they have none themselves."""
    md5s: dict[str, set[str]] = {}
    for sequence in recorded:
        if sequence.get("name") and sequence.get("sequence_md5"):
            md5s.setdefault(sequence["name"], set()).add(sequence["sequence_md5"])
    for contig in contigs:
        known = md5s.get(contig.name, set())
        yield replace(contig, md5=next(iter(known))) if len(known) == 1 and not _MD5.fullmatch(contig.md5) else contig


def _compare(sequences: Sequence[HeaderSequence], candidate: Candidate) -> Fit:
    unknown = [s.name for s in sequences if s.name not in candidate.contigs]
    wrong = [words for s in sequences if s.name in candidate.contigs and (words := _difference(s, candidate.contigs[s.name]))]
    if unknown or wrong:
        lacking = f"it has no {listing(unknown, _SHOWN)}" if unknown else ""
        return Fit(candidate.id, candidate.is_given, reason="; ".join(filter(None, [listing(wrong, _SHOWN), lacking])))
    rank = max(_rank(s, candidate.contigs[s.name]) for s in sequences)
    return Fit(candidate.id, candidate.is_given, rank, len(sequences))


def _difference(sequence: HeaderSequence, contig: StoredContig) -> str | None:
    if sequence.length is not None and sequence.length != contig.length:
        return f"{sequence.name} has {sequence.length:,} bases, not {contig.length:,}"
    if sequence.md5 and _MD5.fullmatch(contig.md5) and sequence.md5 != contig.md5:
        return f"{sequence.name} has the MD5 {sequence.md5}, not {contig.md5}"
    return None


def _rank(sequence: HeaderSequence, contig: StoredContig) -> int:
    if sequence.md5 and _MD5.fullmatch(contig.md5):
        return 0
    return 1 if sequence.length is not None else 2
