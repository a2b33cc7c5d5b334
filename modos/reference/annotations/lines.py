"""Read the lines of GFF3 and GTF files as tables.

Formats: The Sequence Ontology, "Generic Feature Format Version 3" 1.26; "GTF2.2", Washington University.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modos.errors import InvalidInputError
from modos.errors.missing import load_late
from modos.formats.text import open_text, read_some
from modos.storage.base import Progress
from modos.storage.given import Given
from modos.storage.processes.panics import translate_panics

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

COLUMNS = ("contig", "source", "type", "start", "end", "score", "strand", "phase", "attributes")
_STRANDS, _PHASES = ("+", "-", ".", "?"), ("0", "1", "2", ".")
_PHASED = ("CDS", "stop_codon")  # whose phase is read; for other types, writers have it empty, "-" or -1
_PIECE = 8 << 20
_MAX_LINE = 64 << 20
_GTF = re.compile(rb'\s*[A-Za-z_][\w.-]*\s+("|[^=;]+;)')
_GTF_PAIR = r'[^\s;"]+\s+(?:"[^"]*"|[^;"]+)'
_GFF3 = re.compile(rb'[^=;"]+=')
_QUOTED = re.compile(r'"[^"]*"')
_QUOTED_END = r'^(?:[^"]*"[^";]*")*[^"]*"[^";]*;'
_EXON_NUMBER = re.compile(rb"; exon_number \d+;")
_SEMICOLON = "\x1f"  # in the place of those within quotes
_BLANK = re.compile(rb"^[ \t]*(?:\n|\Z)", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Lines:
    """A piece of a file: its feature lines with their order, positions 0-based half-open, and how attributes are written.

    Parameters
    ----------
    is_escaped
        Whether anything may be written as %28 and the like.
    has_quoted_ends
        Whether GTF has semicolons within quotes, which the table has as another character.
    """

    table: pl.DataFrame
    is_gtf: bool
    is_escaped: bool
    has_quoted_ends: bool = False

    def attribute(self, name: str) -> pl.Expr:
        """Return an attribute of each line as text, null if a line lacks it or has nothing for it."""
        if not self.is_gtf:
            return pl.col("attributes").str.extract(rf"(?:^|;\s*){name}=([^;]+)")
        return self._with_ends(pl.col("attributes").str.extract(rf'(?:^|;\s*){name}\s+"?([^";]+)'))

    def words(self, name: str) -> pl.Expr:
        """Return an attribute that is a text, in which GTF may have semicolons."""
        return (
            self._with_ends(pl.col("attributes").str.extract(rf'(?:^|;\s*){name}\s+"([^"]+)"'))
            if self.is_gtf
            else self.attribute(name)
        )

    def _with_ends(self, value: pl.Expr) -> pl.Expr:
        return value.str.replace_all(_SEMICOLON, ";", literal=True) if self.has_quoted_ends else value

    def columns(self, rows: pl.DataFrame, names: Sequence[str], lists: Sequence[str] = ()) -> pl.DataFrame:
        """Return many attributes of some of the lines, each a column; null if a line lacks it or has nothing for it.

        Parameters
        ----------
        lists
            Those of which all values count where there are several: commas
            come between them. Of the others the first counts.
        """
        text = pl.col("attributes")
        pairs = text.str.extract_all(_GTF_PAIR) if self.is_gtf else text.str.split(";")
        halves = pl.col("pair").str.strip_chars_start().str.splitn(" " if self.is_gtf else "=", 2)
        value = self._with_ends(halves.struct[1].str.strip_chars(' "')) if self.is_gtf else halves.struct[1]
        found = (
            rows.select(row=pl.int_range(pl.len(), dtype=pl.UInt32), pair=pairs)
            .explode("pair")
            .select("row", name=halves.struct[0], value=value)
        )
        by_name = found.filter(pl.col("name").is_in([*names, *lists]) & (pl.col("value") != "")).partition_by(
            "name", as_dict=True
        )
        every = rows.select(row=pl.int_range(pl.len(), dtype=pl.UInt32))
        columns: dict[str, pl.Expr | pl.Series] = {name: pl.lit(None, pl.String).alias(name) for name in (*names, *lists)}
        for (name,), values in by_name.items():
            if values["row"].is_duplicated().any():
                joined = pl.col("value").str.join(",") if name in lists else pl.col("value").first()
                values = values.group_by("row", maintain_order=True).agg(joined)
            columns[str(name)] = every.join(values.select("row", "value"), on="row", how="left", maintain_order="left")[
                "value"
            ].alias(str(name))
        return every.with_columns(**columns).drop("row")


@dataclass(frozen=True)
class Piece:
    """Whole lines of a file as bytes, the number of the first of them (from 1), and how attributes are written."""

    path: str | Given
    data: bytes
    number: int
    is_gtf: bool

    def parse(self) -> Lines:
        """Parse its feature lines; raise InvalidInputError, with its number, for the first line that is not of the format."""
        with translate_panics(self.path):
            table = _parse(self.data)
        if table is None:
            raise _first_error(self.path, self.data, self.number)
        has_quoted_ends = self.is_gtf and _has_quoted_ends(self.data)
        if has_quoted_ends:
            text = pl.col("attributes")
            table = table.with_columns(
                attributes=pl.when(text.str.contains(_QUOTED_END))
                .then(text.map_elements(_without_ends, pl.String))
                .otherwise(text)
            )
        return Lines(table.with_row_index("line", self.number), self.is_gtf, b"%" in self.data, has_quoted_ends)


def _has_quoted_ends(data: bytes) -> bool:
    """Return whether quotes may hold a semicolon: one that follows neither a quote nor what GENCODE does not quote."""
    others = data.count(b";") - data.count(b'";') - sum(data.count(b"; level %d;" % level) for level in (1, 2, 3))
    return others != len(_EXON_NUMBER.findall(data)) or b' ";' in data


def _without_ends(attributes: str) -> str:
    """Replace the semicolons within quotes of GTF attributes by another character: they end none."""
    return _QUOTED.sub(lambda text: text[0].replace(";", _SEMICOLON), attributes)


def iter_pieces(path: str | Given, progress: Progress | None = None) -> Iterator[Piece]:
    """Read a GFF3 or GTF file, plain or compressed, in pieces.

    Raises
    ------
    NotFoundError, TruncatedStream
        There is no such file; it is compressed and ends too early.
    InvalidInputError
        A line without an end.
    """
    number, is_gtf = 1, None
    for data, is_last in _whole_lines(path, progress):
        if number == 1:
            data = data.removeprefix(_BOM)
        if is_gtf is None:
            is_gtf = _is_gtf(data)
        yield Piece(path, data, number, bool(is_gtf))
        number += data.count(b"\n")
        if is_last:
            return


def _whole_lines(path: str | Given, progress: Progress | None) -> Iterator[tuple[bytes, bool]]:
    """Yield the text in pieces of whole lines, and whether sequence follows."""
    file, rest = open_text(path, progress), b""
    try:
        while data := read_some(file, path, _PIECE):
            end = data.rfind(b"\n") + 1
            if not end:
                rest += data
                if len(rest) > _MAX_LINE:
                    raise InvalidInputError(f"{path} is no GFF3 or GTF file: it has a line of more than {_MAX_LINE >> 20} MiB")
                continue
            whole, rest = b"".join((rest, memoryview(data)[:end])), data[end:]
            sequence = _sequence_at(whole)
            yield whole[:sequence], sequence is not None
            if sequence is not None:
                return
        if rest and not rest.startswith(b">"):
            yield rest + b"\n", True
    finally:
        file.close()


def _sequence_at(data: bytes) -> int | None:
    """Find where the FASTA begins that a GFF3 may end with."""
    if b">" not in data:  # which is fast, where two characters are not
        return None
    if data.startswith(b">"):
        return 0
    at = data.find(b"\n>")
    return at + 1 if at >= 0 else None


def _is_gtf(data: bytes) -> bool | None:
    """Return whether attributes are written as in GTF, by the first line that tells; None if none does."""
    for line in data.split(b"\n", 10_000)[:10_000]:
        fields = line.split(b"\t")
        if len(fields) == len(COLUMNS) and not line.startswith(b"#"):
            for pattern, is_gtf in ((_GTF, True), (_GFF3, False)):
                if pattern.match(fields[-1]):
                    return is_gtf
    return None


def _parse(data: bytes) -> pl.DataFrame | None:
    """Parse the lines without comments; return None if one is wrong."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    table = _table(data)
    if table is None and _BLANK.search(data):
        table = _table(_BLANK.sub(b"", data))
    return table


def _table(data: bytes) -> pl.DataFrame | None:
    try:
        table = pl.read_csv(
            data,
            separator="\t",
            has_header=False,
            comment_prefix="#",
            quote_char=None,
            empty_string_is_null=False,
            schema={name: pl.Int64 if name in ("start", "end") else pl.String for name in COLUMNS},
        )
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    wrong = (
        pl.col("start").is_null()
        | pl.col("attributes").is_null()
        | (pl.col("start") < 1)
        | (pl.col("end") < pl.col("start"))
        | ~pl.col("strand").is_in(_STRANDS)
        | pl.col("type").is_in(_PHASED) & ~pl.col("phase").is_in(_PHASES)
        | (pl.col("contig") == "")
        | (pl.col("type") == "")
    )
    if table.select(wrong.fill_null(True).any()).item():
        return None
    return table.with_columns(pl.col("start") - 1)


def _first_error(path: str | Given, data: bytes, number: int) -> InvalidInputError:
    """Describe what is wrong with the first line that is not of the format."""
    for offset, line in enumerate(data.split(b"\n")):
        fault = _fault(line)
        if fault:
            return InvalidInputError(
                f"{path}, line {number + offset}: {fault}",
                "a line has contig, source, type, start, end, score, strand, phase and attributes, with tabs between",
            )
    return InvalidInputError(f"{path}, after line {number}: this is no GFF3 or GTF")


def _fault(line: bytes) -> str | None:
    if not line.strip(b" \t\r") or line.startswith(b"#"):
        return None
    try:
        fields = line.decode().split("\t")
    except UnicodeDecodeError:
        return "it is not text in UTF-8"
    if len(fields) != len(COLUMNS):
        return f"it has {len(fields)} columns, not {len(COLUMNS)}"
    start, end, strand, phase = fields[3], fields[4], fields[6], fields[7]
    if not (start.isdecimal() and end.isdecimal() and 1 <= int(start) <= int(end) < 1 << 63):
        return f"{start[:30]} to {end[:30]} are no positions"
    if strand not in _STRANDS:
        return f"strand {strand[:10]!r} is neither + nor -"
    if fields[2] in _PHASED and phase not in _PHASES:
        return f"phase {phase[:10]!r} is neither 0, 1, 2 nor ."
    return "it has no contig, or no type" if not fields[0] or not fields[2] else None
