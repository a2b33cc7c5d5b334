"""Read wiggle, bedGraph and scored BED (UCSC, "Genome Browser data file formats").

Text is read in large pieces and parsed as tables; lines that are no numbers
(declarations, comments, mistakes) come out as rows without values and are
looked at one by one. Positions are 1-based in wiggle, 0-based half-open in
bedGraph and BED; they come out 0-based half-open.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modos.errors import InvalidInputError
from modos.errors.missing import load_late
from modos.formats.text import SHOWN, read_pieces, whole_number
from modos.storage.base import Progress
from modos.storage.given import Given, Name, show_path
from modos.storage.processes.panics import translate_panics
from modos.tracks.data import Block, Floats, Places, Runs, Values, Where

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_PIECE = 8 << 20  # bytes of text that are parsed at once
_MAX_LINE = 1 << 16
_NOISE = re.compile(rb"\s*(?:#|$|(?:track|browser)(?:\s|$))")
_SETTING = re.compile(rb"(\w+)=(\S+)")
_DECLARATION = re.compile(rb"\s*(?:fixed|variable)Step(?:\s|$)")


def read_text(path: Name | Given, progress: Progress | None = None) -> Iterator[Block]:
    """Read the data of a track's file, plain or compressed with gzip or bgzip; `-` is stdin.

    Parameters
    ----------
    progress
        Called with the numbers of bytes that were read of the file.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        A line that is none of these formats, with its number.
    TruncatedStream
        A compressed file that ends before its end.
    """
    return parse_pieces(show_path(path), read_pieces(path, progress))


def parse_pieces(name: str, pieces: Iterable[bytes], dtype: str = "Float32") -> Iterator[Block]:
    """Parse the data of text in pieces of whole lines; see `read_text`.

    Parameters
    ----------
    name
        What errors call the file.
    dtype
        Of the values: Float32, or Float64 where they are compared as they are written.
    """
    return _Reader(name, dtype).blocks(pieces)


@dataclass
class _Declaration:
    """A declaration of wiggle: from which line on, and what it says."""

    fixed: bool
    contig: str
    start: int
    step: int
    span: int


class _Segment(NamedTuple):
    """Rows [first, last) of a piece that a declaration is for, the first of them at the position `start`."""

    declaration: _Declaration
    start: int
    first: int
    last: int


class _Reader:
    def __init__(self, name: str, dtype: str):
        self._name = name
        self._dtype = dtype
        self._lines = 0  # before the present piece
        self._declaration: _Declaration | None = None

    def blocks(self, pieces: Iterable[bytes]) -> Iterator[Block]:
        for piece in pieces:
            if b"\r" in piece:
                piece = piece.replace(b"\r\n", b"\n")
            lines = piece.count(b"\n")
            yield from self._parse_piece(piece)
            self._lines += lines

    def _parse_piece(self, piece: bytes) -> Iterator[Block]:
        fixed, variable = b"fixedStep" in piece, b"variableStep" in piece
        if self._declaration is None and not fixed and not variable:
            yield from self._parse_bed(piece)
        elif (fixed and variable) or self._declaration is None or (variable if self._declaration.fixed else fixed):
            yield from self._parse_mixed(piece)
        elif self._declaration.fixed:
            yield from self._parse_fixed(piece, 0)
        else:
            yield from self._parse_variable(piece, 0)

    def _parse_mixed(self, piece: bytes) -> Iterator[Block]:
        """Parse a piece with several kinds of declaration, by cutting it there."""
        cuts = [match.start() for match in re.finditer(rb"(?m)^(?:fixed|variable)Step", piece)]
        kinds = [piece[cut : cut + 1] for cut in cuts]
        cuts = [cut for number, cut in enumerate(cuts) if number == 0 or kinds[number] != kinds[number - 1]]
        lines = 0
        for start, end in zip([0, *cuts], [*cuts, len(piece)]):
            part = piece[start:end]
            if not part:
                continue
            if part.startswith(b"fixed") or (self._declaration and self._declaration.fixed and not part.startswith(b"variable")):
                yield from self._parse_fixed(part, lines)
            elif part.startswith(b"variable") or self._declaration:
                yield from self._parse_variable(part, lines)
            else:
                yield from self._parse_bed(part)
            lines += part.count(b"\n")

    def _table(self, piece: bytes, columns: dict[str, str], before: int) -> tuple[dict[str, Any], np.ndarray, list[bytes]]:
        """Return the columns of a piece of text, the rows that are no data, and their lines."""
        table, bad = _parse(self._name, piece, columns)
        odd = np.flatnonzero(bad)
        lines = _lines_at(piece, odd)
        if any(not is_noise(line) and not _is_declaration(line) for line in lines):
            tidy = b"\n".join(re.sub(rb"[ \t]+", b" ", line.strip()) for line in piece.split(b"\n"))
            table, bad = _parse(self._name, tidy, columns)
            odd = np.flatnonzero(bad)
            lines = _lines_at(piece, odd)
        for row, line in zip(odd.tolist(), lines):
            if not is_noise(line) and not _is_declaration(line):
                raise self._line_error(before + row, line, self._reason(line, columns))
        return table, odd, lines

    def _reason(self, line: bytes, columns: dict[str, str]) -> str:
        wanted = {1: "a value", 2: "a position and a value", 4: "contig, start, end and value"}[len(columns)]
        return f"not {wanted}"

    def _line_error(self, row: int, line: bytes, reason: str) -> InvalidInputError:
        text = line[:SHOWN].decode(errors="replace") + ("..." if len(line) > SHOWN else "")
        return InvalidInputError(f"{self._name}, line {self._lines + row + 1:,}: {reason}: {text!r}")

    def _where(self, rows: Places | int, before: int) -> Where:
        first = self._lines + before + 1
        if isinstance(rows, int):
            return lambda number: f"{self._name}, line {first + rows + number:,}"
        return lambda number: f"{self._name}, line {first + int(rows[number]):,}"

    def _parse_bed(self, piece: bytes) -> Iterator[Block]:
        columns = {"contig": "String", "start": "Int64", "end": "Int64", "value": self._dtype}
        table, odd, _ = self._table(piece, columns, 0)
        keep = np.ones(len(table["start"]), bool)
        keep[odd] = False
        rows = np.flatnonzero(keep)
        starts, ends, values = (table[name][rows] for name in ("start", "end", "value"))
        self._check_order(piece, rows, starts, ends, values, 0, table["changes"])
        borders = np.searchsorted(rows, [*table["changes"], len(keep)])
        for first, last in itertools.pairwise(borders):
            if first < last:
                contig = table["contig"][int(rows[first])]
                yield Block(
                    Runs(contig, starts[first:last], ends[first:last], values[first:last]), self._where(rows[first:last], 0)
                )

    def _parse_fixed(self, piece: bytes, before: int) -> Iterator[Block]:
        table, odd, lines = self._table(piece, {"value": self._dtype}, before)
        values, segments = table["value"], list(self._segments(odd, lines, len(table["value"]), before))
        self._check_finite(piece, values, odd, before)
        if all(s.declaration.step == s.declaration.span == 1 for s in segments) and len(segments) < 256:
            for declaration, start, first, last in segments:
                yield Block(Values(declaration.contig, start, values[first:last]), self._where(first, before))
            return
        for group in _group_by_contig(segments):
            rows, spans = _rows_and_spans(group)
            starts = np.concatenate([start + np.arange(last - first) * s.step for s, start, first, last in group])
            self._check_order(piece, rows, starts, starts + spans, values[rows], before)
            yield Block(Runs(group[0].declaration.contig, starts, starts + spans, values[rows]), self._where(rows, before))

    def _parse_variable(self, piece: bytes, before: int) -> Iterator[Block]:
        table, odd, lines = self._table(piece, {"start": "Int64", "value": self._dtype}, before)
        segments = list(self._segments(odd, lines, len(table["value"]), before))
        self._check_finite(piece, table["value"], odd, before)
        for group in _group_by_contig(segments):
            rows, spans = _rows_and_spans(group)
            starts = table["start"][rows] - 1
            self._check_order(piece, rows, starts, starts + spans, table["value"][rows], before)
            yield Block(
                Runs(group[0].declaration.contig, starts, starts + spans, table["value"][rows]), self._where(rows, before)
            )

    def _segments(self, odd: Places, lines: list[bytes], count: int, before: int) -> Iterator[_Segment]:
        """Yield the declarations in force and the rows for which they are."""
        first = 0
        for row, line in [*zip(odd.tolist(), lines), (count, b"")]:
            if first < row:
                if self._declaration is None:
                    raise self._line_error(before + first, b"", "a value without a declaration before it")
                yield _Segment(self._declaration, self._declaration.start, first, row)
                self._declaration.start += (row - first) * self._declaration.step
            first = row + 1
            if _is_declaration(line):
                self._declaration = self._parse_declaration(before + row, line)

    def _parse_declaration(self, row: int, line: bytes) -> _Declaration:
        found = _SETTING.findall(line)
        settings = {key.decode(): value.decode(errors="replace") for key, value in found}
        if len(settings) < len(found):
            raise self._line_error(row, line, "a setting is there twice")
        fixed = line.lstrip().startswith(b"fixedStep")
        try:
            contig = settings["chrom"]
            start = whole_number(settings["start"]) - 1 if fixed else 0
            step, span = (whole_number(settings.get(name, "1")) for name in ("step", "span"))
        except (KeyError, ValueError) as error:
            missing = f"it lacks {error}" if isinstance(error, KeyError) else "a number is none"
            raise self._line_error(row, line, missing) from None
        if start < 0 or step < 1 or span < 1:
            raise self._line_error(row, line, "start, step and span are at least 1")
        if fixed and span > step:
            raise self._line_error(row, line, f"values overlap: span {span} is more than step {step}")
        return _Declaration(fixed, contig, start, step, span)

    def _check_finite(self, piece: bytes, values: Floats, odd: Places, before: int) -> None:
        infinite = np.isinf(values)
        infinite[odd] = False
        if infinite.any():
            row = int(np.argmax(infinite))
            raise self._line_error(before + row, _lines_at(piece, np.array([row]))[0], "a value is infinite")

    def _check_order(
        self,
        piece: bytes,
        rows: Places,
        starts: Places,
        ends: Places,
        values: Floats,
        before: int,
        changes: np.ndarray | None = None,
    ) -> None:
        follows = starts[1:] >= ends[:-1]
        if changes is not None:
            at = np.searchsorted(rows, changes)
            follows[at[(at > 0) & (at < len(rows))] - 1] = True
        for wrong, reason in (
            (starts < 0, "a position before the contig's start"),
            (ends <= starts, "the end is not after the start"),
            (np.isinf(values), "a value is infinite"),
            (np.concatenate(([False], ~follows)), "it overlaps what is before it, or is not in order"),
        ):
            if wrong.any():
                row = int(rows[np.argmax(wrong)])
                raise self._line_error(before + row, _lines_at(piece, np.array([row]))[0], reason)


def _rows_and_spans(group: list[_Segment]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of some segments, and how many bases each of their values is for."""
    rows = np.concatenate([np.arange(s.first, s.last) for s in group])
    return rows, np.repeat([s.declaration.span for s in group], [s.last - s.first for s in group])


def _group_by_contig(segments: list[_Segment]) -> Iterator[list[_Segment]]:
    group: list[_Segment] = []
    for segment in segments:
        if group and group[0].declaration.contig != segment.declaration.contig:
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def is_noise(line: bytes) -> bool:
    """Return whether a line is no data: blank, a comment, or for a browser."""
    return bool(_NOISE.match(line))


def _is_declaration(line: bytes) -> bool:
    return bool(_DECLARATION.match(line))


def _lines_at(piece: bytes, rows: Places) -> list[bytes]:
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.frombuffer(piece, np.uint8) == 10)
    starts = np.concatenate(([0], breaks + 1))
    return [piece[starts[row] : breaks[row]] for row in rows.tolist()]


def _parse(source: str, piece: bytes, columns: dict[str, str]) -> tuple[dict[str, Any], np.ndarray]:
    """Parse columns of a text, and find the rows that lack one or have too many."""
    separator = b"\t" if b"\t" in piece[:_MAX_LINE] else b" "
    first = separator.join([b"0"] * (len(columns) + 1)) + b"\n"  # so that any first line may follow
    schema = {name: getattr(pl, kind) for name, kind in columns.items()} | {"more": pl.String}
    try:
        with translate_panics(source):
            table = pl.read_csv(
                first + piece,
                has_header=False,
                separator=separator.decode(),
                schema=schema,
                ignore_errors=True,
                truncate_ragged_lines=True,
                quote_char=None,
            )[1:]
    except pl.exceptions.PolarsError:
        raise InvalidInputError(f"{source} is not text") from None
    bad = table["more"].is_not_null().to_numpy().copy()
    result = {}
    for name in columns:
        column = table[name]
        if column.null_count():
            bad |= column.is_null().to_numpy()
            column = column.fill_null(0) if name != "contig" else column
        result[name] = column.to_numpy() if name != "contig" else column
    if "contig" in columns:
        runs = table["contig"].rle().struct.field("len").to_numpy()
        result["changes"] = np.concatenate(([0], np.cumsum(runs)[:-1])).astype(np.int64)
    return result, bad
