"""The lines of GFF3 and GTF files as tables.

Formats: The Sequence Ontology, "Generic Feature Format Version 3" 1.26; "GTF2.2", Washington University.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from modos.errors import InvalidInputError
from modos.storage.base import Progress
from modos.tracks.parsing import open_text, read_some

COLUMNS = ("contig", "source", "type", "start", "end", "score", "strand", "phase", "attributes")
_PIECE = 24 << 20
_MAX_LINE = 64 << 20
_GTF = re.compile(rb'\s*[A-Za-z_][\w.-]*\s+("|[^=;]+;)')


@dataclass(frozen=True)
class Lines:
    """A piece of a file: its feature lines with their order, positions 0-based half-open, and how attributes are written."""

    table: pl.DataFrame
    is_gtf: bool

    def attribute(self, name: str) -> pl.Expr:
        """An attribute of each line as text, null where a line lacks it."""
        pattern = rf'(?:^|;\s*){name}\s+"?([^";]*)' if self.is_gtf else rf"(?:^|;\s*){name}=([^;]*)"
        return pl.col("attributes").str.extract(pattern)

    def tags(self) -> pl.Expr:
        """The values of `tag`, with commas between."""
        if not self.is_gtf:
            return self.attribute("tag")
        found = pl.col("attributes").str.extract_all(r'(?:^|;\s*)tag\s+"?[^";]*').list.eval(pl.element().str.replace(r'^;?\s*tag\s+"?', ""))
        return pl.when(found.list.len() > 0).then(found.list.join(","))


def iter_lines(path: str, progress: Progress | None = None) -> Iterator[Lines]:
    """Read a GFF3 or GTF file, plain or compressed, in pieces.

    Raises
    ------
    NotFoundError, TruncatedStream
        There is no such file; it is compressed and ends too early.
    InvalidInputError
        A line that is not of the format, with its number.
    """
    number, rows, is_gtf = 1, 0, None
    for data, is_last in _whole_lines(path, progress):
        if is_gtf is None:
            is_gtf = _is_gtf(data)
        table = _parse(data)
        if table is None:
            raise _first_error(path, data, number)
        number += data.count(b"\n")
        if len(table):
            yield Lines(table.with_row_index("line", rows), bool(is_gtf))
        rows += len(table)
        if is_last:
            return


def _whole_lines(path: str, progress: Progress | None) -> Iterator[tuple[bytes, bool]]:
    """The text in pieces of whole lines, and whether what follows is sequence."""
    file, rest = open_text(path, progress), b""
    try:
        while data := read_some(file, path, _PIECE):
            end = data.rfind(b"\n") + 1
            if not end:
                rest += data
                if len(rest) > _MAX_LINE:
                    raise InvalidInputError(f"{path} is no GFF3 or GTF file: it has a line of more than {_MAX_LINE >> 20} MiB")
                continue
            whole, rest = rest + data[:end], data[end:]
            sequence = _sequence_at(whole)
            yield whole[:sequence], sequence is not None
            if sequence is not None:
                return
        if rest:
            yield rest + b"\n", True
    finally:
        file.close()


def _sequence_at(data: bytes) -> int | None:
    """Where the FASTA begins that a GFF3 may end with."""
    found = [at for mark in (b"\n##FASTA", b"\n>") if (at := data.find(mark)) >= 0]
    return min(found) + 1 if found else None


def _is_gtf(data: bytes) -> bool | None:
    for line in data.split(b"\n", 10_000)[:10_000]:
        fields = line.split(b"\t")
        if len(fields) == len(COLUMNS) and not line.startswith(b"#"):
            return _GTF.match(fields[-1]) is not None
    return None


def _parse(data: bytes) -> pl.DataFrame | None:
    """The lines without comments; None where one is wrong."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\n\n" in data or data.startswith(b"\n"):
        data = re.sub(rb"\n\n+", b"\n", data).lstrip(b"\n")
    try:
        table = pl.read_csv(data, separator="\t", has_header=False, comment_prefix="#", quote_char=None, empty_string_is_null=False,
                            schema={name: pl.Int64 if name in ("start", "end") else pl.String for name in COLUMNS})
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    wrong = (pl.col("start").is_null() | pl.col("attributes").is_null() | (pl.col("start") < 1) | (pl.col("end") < pl.col("start"))
             | ~pl.col("strand").is_in(["+", "-", ".", "?"]) | (pl.col("contig") == "") | (pl.col("type") == ""))
    if table.select(wrong.fill_null(True).any()).item():
        return None
    return table.with_columns(pl.col("start") - 1)


def _first_error(path: str, data: bytes, number: int) -> InvalidInputError:
    """What is wrong with the first line that is not of the format."""
    for offset, line in enumerate(data.split(b"\n")):
        fault = _fault(line)
        if fault:
            return InvalidInputError(f"{path}, line {number + offset}: {fault}",
                                     "a line has contig, source, type, start, end, score, strand, phase and attributes, with tabs between")
    return InvalidInputError(f"{path}, after line {number}: this is no GFF3 or GTF")


def _fault(line: bytes) -> str | None:
    if not line.rstrip(b"\r") or line.startswith(b"#"):
        return None
    try:
        fields = line.decode().split("\t")
    except UnicodeDecodeError:
        return "it is not text in UTF-8"
    if len(fields) != len(COLUMNS):
        return f"it has {len(fields)} columns, not {len(COLUMNS)}"
    start, end, strand = fields[3], fields[4], fields[6]
    if not (start.isdecimal() and end.isdecimal() and 1 <= int(start) <= int(end) < 1 << 63):
        return f"{start[:30]} to {end[:30]} are no positions"
    if strand not in ("+", "-", ".", "?"):
        return f"strand {strand[:10]!r} is neither + nor -"
    return "it has no contig, or no type" if not fields[0] or not fields[2] else None
