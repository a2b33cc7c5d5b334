"""Read contigs of a genome from FASTA, AGP or tables of sizes, and their names from NCBI reports.

Formats: NCBI, "AGP Specification 2.1" and the assembly_report.txt of its
genomes FTP site; UCSC, chrom.sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modos.errors import InvalidInputError, listing
from modos.formats.fasta import iter_fasta
from modos.formats.text import read_fields, read_lengths, whole_number
from modos.storage.base import Progress
from modos.storage.given import Name
from modos.tracks.contigs import Contigs, Span, merge_spans

GAP = 100_000  # bases without a known base that divide a contig
_AGP_TYPES = frozenset("ADFGOPWNU")  # of components
_PIECE = 8 << 20
_IS_BASE = np.zeros(256, bool)
_IS_BASE[list(b"ACGTacgt")] = True


def measure_fasta(paths: Sequence[Name], progress: Progress | None = None) -> Contigs:
    """Measure contigs: their lengths and the stretches between gaps of 100,000 bases that are not A, C, G or T."""
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
    return Contigs(
        lengths,
        {
            name: _invert_gaps([gap for gap in found if gap[1] - gap[0] >= GAP], lengths[name])
            for name, found in gaps.items()
            if any(end - start >= GAP for start, end in found)
        },
    )


def _add_gaps(found: list[Span], known: np.ndarray, offset: int) -> None:
    borders = np.flatnonzero(np.diff(np.concatenate(([True], known, [True])).astype(np.int8))) + offset
    for start, end in borders.reshape(-1, 2).tolist():
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))


def _invert_gaps(gaps: Sequence[Span], length: int) -> list[Span]:
    borders = [0, *(border for gap in gaps for border in gap), length]
    return [(start, end) for start, end in zip(borders[::2], borders[1::2]) if start < end]


def read_agp(paths: Sequence[str]) -> Contigs:
    """Read the contigs of AGP files: adjacent components form a stretch, gaps (N, U) are between."""
    lengths: dict[str, int] = {}
    spans: dict[str, list[Span]] = {}
    for path in paths:
        for number, fields in read_fields(path):
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
    """Read the contigs of tables of names and lengths."""
    return Contigs(read_lengths(paths))


def read_map(path: str) -> dict[str, str]:
    """Read a table of names and their replacements."""
    names: dict[str, str] = {}
    for number, fields in read_fields(path):
        if len(fields) < 2:
            raise InvalidInputError(f"{path}, line {number}: not two names: {' '.join(fields)[:80]!r}")
        if names.setdefault(fields[0], fields[1]) != fields[1]:
            raise InvalidInputError(
                f"{path}, line {number}: {fields[0]} is to get two names, {names[fields[0]]} and {fields[1]}", "leave one out"
            )
    return names


def rename_contigs(contigs: Contigs, names: Mapping[str, str], where: str) -> Contigs:
    """Rename contigs by a table; the old names, and all others that the table has for them, stay as aliases."""
    if not any(name in names for name in contigs):
        raise InvalidInputError(f"{where} has none of the contigs {listing(contigs)}", "is it of another assembly?")
    return contigs.with_names({name: names[name] for name in contigs if name in names}).with_aliases(names)
