"""The contigs of a genome from files: FASTA, AGP, tables of sizes; other names from NCBI assembly reports.

Formats: NCBI, "AGP Specification 2.1" and the assembly_report.txt of its
genomes FTP site; UCSC, chrom.sizes.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from modos.errors import InvalidInputError, NotFoundError, listing
from modos.storage.given import Given, Name
from modos.storage.base import Progress
from modos.tracks.contigs import Contigs, Span, merge_spans
from modos.tracks.wiggle import open_text, read_some, whole_number

GAP = 100_000  # bases without a known base that divide a contig
NAME_STYLES = ("UCSC-style-name", "Sequence-Name", "GenBank-Accn", "RefSeq-Accn", "Assigned-Molecule")
_AGP_TYPES = frozenset("ADFGOPWNU")  # of components
_PIECE = 8 << 20
_IS_BASE = np.zeros(256, bool)
_IS_BASE[list(b"ACGTacgt")] = True


def expand_paths(patterns: Sequence[str | Path]) -> list[str]:
    """Files that patterns (`chr*.fa.gz`) stand for; NotFoundError where one stands for none."""
    paths: list[str] = []
    for pattern in map(str, patterns):
        found = sorted(glob.glob(pattern)) if any(c in pattern for c in "*?[") else [pattern]
        if not found:
            raise NotFoundError(f"no file matches {pattern}", "check the path")
        paths += found
    return paths


def iter_fasta(path: Name | Given, progress: Progress | None = None) -> Iterator[tuple[str, bytes]]:
    """The sequences of a FASTA in pieces: a name (the first word), and bases without line breaks.

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
                bases = data[at:mark if mark >= 0 else len(data)].translate(None, b"\n\r \t")
                if bases:
                    if not name or bases.translate(None, _LETTERS):
                        raise InvalidInputError(f"{path} is no FASTA: " + (
                            f"sequence {name} has {bases.translate(None, _LETTERS)[:20]!r}" if name else "it does not begin with >"))
                    yield name, bases
                if mark < 0:
                    break
                end = data.find(b"\n", mark)
                if end < 0:
                    header = data[mark:]
                    break
                words = data[mark + 1:end].split()
                if not words:
                    raise InvalidInputError(f"{path} is no FASTA: a sequence has no name")
                name, at = words[0].decode(errors="replace"), end + 1
                yield name, b""
    finally:
        file.close()


def iter_fastas(paths: Iterable[Name], progress: Progress | None = None) -> Iterator[tuple[str, bytes]]:
    """The sequences of several FASTA files; see `iter_fasta`."""
    for path in paths:
        yield from iter_fasta(path, progress)


_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b"*-"


def measure_fasta(paths: Sequence[Name], progress: Progress | None = None) -> Contigs:
    """Contigs with their lengths and the stretches between gaps of 100,000 bases that are not A, C, G or T."""
    lengths: dict[str, int] = {}
    gaps: dict[str, list[Span]] = {}
    for path in paths:
        for name, bases in iter_fasta(path, progress):
            if not bases:
                if name in lengths:
                    raise InvalidInputError(f"{path}: there are two sequences {name}", "leave one out")
                lengths[name], gaps[name] = 0, []
                continue
            known = _IS_BASE[np.frombuffer(bases, np.uint8)]
            if not known.all():
                _add_gaps(gaps[name], known, lengths[name])
            lengths[name] += len(bases)
    empty = [name for name, length in lengths.items() if not length]
    if empty:
        raise InvalidInputError(f"sequence {listing(empty)} is empty", "leave it out")
    return Contigs(lengths, {name: _between([gap for gap in found if gap[1] - gap[0] >= GAP], lengths[name])
                             for name, found in gaps.items() if any(end - start >= GAP for start, end in found)})


def _add_gaps(found: list[Span], known: np.ndarray, offset: int) -> None:
    borders = np.flatnonzero(np.diff(np.concatenate(([True], known, [True])).astype(np.int8))) + offset
    for start, end in borders.reshape(-1, 2).tolist():
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))


def _between(gaps: Sequence[Span], length: int) -> list[Span]:
    borders = [0, *(border for gap in gaps for border in gap), length]
    return [(start, end) for start, end in zip(borders[::2], borders[1::2]) if start < end]


def read_agp(paths: Sequence[str]) -> Contigs:
    """Contigs of AGP files: what adjacent components cover is a stretch, gaps (N, U) are between."""
    lengths: dict[str, int] = {}
    spans: dict[str, list[Span]] = {}
    for path in paths:
        for number, fields in _rows(path):
            try:
                name, start, end, kind = fields[0], whole_number(fields[1]) - 1, whole_number(fields[2]), fields[4]
                if not 0 <= start < end or kind not in _AGP_TYPES:
                    raise ValueError
            except (IndexError, ValueError):
                raise InvalidInputError(f"{path}, line {number}: not a row of AGP: {' '.join(fields)[:80]!r}") from None
            if start < lengths.get(name, 0):
                raise InvalidInputError(f"{path}, line {number}: it overlaps what is before it on {name}, or is not in order")
            lengths[name] = end
            if kind not in ("N", "U"):
                spans.setdefault(name, []).append((start, end))
    return Contigs(lengths, {name: merge_spans(spans.get(name, ())) for name in lengths})


def read_sizes(paths: Sequence[str]) -> Contigs:
    """Contigs of tables of names and lengths."""
    lengths: dict[str, int] = {}
    for path in paths:
        for number, fields in _rows(path):
            try:
                name, length = fields[0], whole_number(fields[1])
            except (IndexError, ValueError):
                raise InvalidInputError(f"{path}, line {number}: not a name and a length: {' '.join(fields)[:80]!r}") from None
            if name in lengths:
                raise InvalidInputError(f"{path}, line {number}: contig {name} is there twice", "leave one out")
            lengths[name] = length
    return Contigs(lengths)


def read_report(path: str, style: str) -> dict[str, str]:
    """An NCBI assembly report: the name of a style by each name; another style's where it has none."""
    if style not in NAME_STYLES:
        raise InvalidInputError(f"there is no name style {style}", f"there are {listing(NAME_STYLES)}")
    columns: list[str] = []
    names: dict[str, str] = {}
    for number, line in enumerate(read_rows(path), 1):
        if line.startswith("# Sequence-Name"):
            columns = line[2:].split("\t")
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if columns and len(fields) != len(columns):
            raise InvalidInputError(f"{path}, line {number}: it has {len(fields)} columns, and the header {len(columns)}")
        row = dict(zip(columns, fields))
        target = row.get(style, "na")
        if target in ("na", ""):
            target = next((row[s] for s in NAME_STYLES if row.get(s, "na") not in ("na", "")), "")
        for column in NAME_STYLES:
            is_unique = column != "Assigned-Molecule" or row.get("Sequence-Role") == "assembled-molecule"
            if target and is_unique and row.get(column, "na") not in ("na", ""):
                names.setdefault(row[column], target)
    if not names:
        raise InvalidInputError(f"{path} is no NCBI assembly report", "it has a line that begins with `# Sequence-Name`")
    return names


def read_map(path: str) -> dict[str, str]:
    """A table of names and the names that they are to get."""
    names: dict[str, str] = {}
    for number, fields in _rows(path):
        if len(fields) < 2:
            raise InvalidInputError(f"{path}, line {number}: not two names: {' '.join(fields)[:80]!r}")
        if names.setdefault(fields[0], fields[1]) != fields[1]:
            raise InvalidInputError(f"{path}, line {number}: {fields[0]} is to get two names, {names[fields[0]]} and {fields[1]}", "leave one out")
    return names


def renamed(contigs: Contigs, names: Mapping[str, str], where: str) -> Contigs:
    """Contigs with the names of a table; the old ones, and all others that the table has for them, stay as aliases."""
    if not any(name in names for name in contigs):
        raise InvalidInputError(f"{where} has none of the contigs {listing(contigs)}", "is it of another assembly?")
    return contigs.renamed({name: names[name] for name in contigs if name in names}).with_aliases(names)


def read_rows(path: Name) -> Iterator[str]:
    """The lines of a text file, plain or compressed."""
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


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(read_rows(path), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.split("\t" if "\t" in line else None)
