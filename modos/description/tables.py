"""Tables as people keep them, TSV, CSV and XLSX, as rows of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from modos.description.matching import Ask
from modos.description.problems import Problems
from modos.description.xlsx import read_xlsx
from modos.errors import InvalidInputError
from modos.given import is_pipe, shown

Row = tuple[int, list[str]]

TEXT_SUFFIXES = (".tsv", ".csv", ".tab")
_XLSX_SUFFIXES = (".xlsx", ".xlsm")
_OTHER_SUFFIXES = (".xls", ".xlsb", ".ods", ".numbers")
_MAX_ROWS = 1_000_000


def is_table(path: Path, data: bytes) -> bool:
    """Whether a file's name says that it is a table; of a pipe, whether it begins with the names of columns, or as XLSX does."""
    suffix = path.suffix.lower()
    if suffix in (*TEXT_SUFFIXES, *_XLSX_SUFFIXES) or not is_pipe(path):
        return suffix in (*TEXT_SUFFIXES, *_XLSX_SUFFIXES, *_OTHER_SUFFIXES)
    names = _first_line(data).replace("\t", ",").split(",")
    return data.startswith(b"PK\x03\x04") or "id" in (name.strip(' "') for name in names)


def read_table(path: Path, data: bytes, problems: Problems, worksheet: str | None = None, ask: Ask | None = None) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns in the first row of a table, and its other rows with their numbers.

    Parameters
    ----------
    problems
        Gets cells that cannot be read.
    worksheet
        Which one of an XLSX file.

    Raises
    ------
    InvalidInputError
        It is no table; which worksheet is meant is not clear.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        raise InvalidInputError(f"{shown(path)} is a table in a format that is not read", "save it as XLSX, TSV or CSV")
    is_xlsx = suffix in _XLSX_SUFFIXES or suffix not in TEXT_SUFFIXES and data.startswith(b"PK\x03\x04")
    if worksheet is not None and not is_xlsx:
        raise InvalidInputError(f"{shown(path)} has no worksheets", "--worksheet goes with XLSX")
    rows = read_xlsx(path, data, problems, worksheet, ask) if is_xlsx else _read_text(path, data)
    number, header = next(rows, (0, []))
    if not number:
        raise InvalidInputError(f"{shown(path)} has no rows")
    if number > 1:
        raise InvalidInputError(f"{shown(path)}: its first row is empty", "the first row has the names of the columns")
    return [name.strip() for name in header], _bounded(path, rows)


def _first_line(data: bytes) -> str:
    return data.decode("utf-8-sig", errors="replace").partition("\n")[0]


def _read_text(path: Path, data: bytes) -> Iterator[Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{shown(path)} is not a table in UTF-8") from None
    suffix = path.suffix.lower()
    is_csv = suffix == ".csv" or suffix not in TEXT_SUFFIXES and "\t" not in _first_line(data)
    try:
        yield from enumerate(csv.reader(io.StringIO(text, newline=""), delimiter="," if is_csv else "\t", strict=True), 1)
    except csv.Error as error:
        raise InvalidInputError(f"{shown(path)} is not a table: {error}") from None


def _bounded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for count, row in enumerate(rows, 2):
        if count > _MAX_ROWS:
            raise InvalidInputError(f"{shown(path)} has more than {_MAX_ROWS:,} rows")
        yield row
