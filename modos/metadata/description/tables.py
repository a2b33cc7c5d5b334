"""Read TSV, CSV and XLSX tables as rows of text."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from modos.errors import InvalidInputError
from modos.metadata.description.matching import Ask
from modos.metadata.description.problems import Problems
from modos.metadata.description.xlsx import read_xlsx
from modos.storage.given import is_pipe, show_path

Row = tuple[int, list[str]]
Tell = Callable[[str], object]

TEXT_SUFFIXES = (".tsv", ".csv", ".tab")
_XLSX_SUFFIXES = (".xlsx", ".xlsm")
_OTHER_SUFFIXES = (".xls", ".xlsb", ".ods", ".numbers")
_MAX_ROWS = 1_000_000
_MAX_HEADER = 1 << 20  # characters
_DELIMITERS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}

logger = logging.getLogger(__name__)


def is_table(path: Path, data: bytes) -> bool:
    """Return whether a file's name says that it is a table; of a pipe, whether it begins with names of columns, or as XLSX."""
    suffix = path.suffix.lower()
    if suffix in (*TEXT_SUFFIXES, *_XLSX_SUFFIXES) or not is_pipe(path):
        return suffix in (*TEXT_SUFFIXES, *_XLSX_SUFFIXES, *_OTHER_SUFFIXES)
    names = re.split("[,;\t]", _first_line(data))
    return data.startswith(b"PK\x03\x04") or "id" in (name.strip(' "') for name in names)


def read_table(
    path: Path, data: bytes, problems: Problems, worksheet: str | None = None, ask: Ask | None = None, tell: Tell = logger.warning
) -> tuple[list[str], Iterator[Row]]:
    """Read the names of the columns in the first row of a table, and its other rows with their numbers.

    Parameters
    ----------
    problems
        Gets cells that cannot be read.
    worksheet
        Which one of an XLSX file.
    tell
        Gets what was found between cells, where it is not what the file's name says.

    Raises
    ------
    InvalidInputError
        It is no table; which worksheet is meant is not clear.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        raise InvalidInputError(f"{show_path(path)} is a table in a format that is not read", "save it as XLSX, TSV or CSV")
    is_xlsx = suffix in _XLSX_SUFFIXES or (suffix not in TEXT_SUFFIXES and data.startswith(b"PK\x03\x04"))
    if worksheet is not None and not is_xlsx:
        raise InvalidInputError(f"{show_path(path)} has no worksheets", "--worksheet goes with XLSX")
    rows = read_xlsx(path, data, problems, worksheet, ask) if is_xlsx else _read_text(path, data, tell)
    number, header = next(((number, row) for number, row in rows if any(map(str.strip, row))), (0, []))
    if not number:
        raise InvalidInputError(f"{show_path(path)} has no rows")
    if number > 1:
        raise InvalidInputError(f"{show_path(path)}: its first row is empty", "the first row has the names of the columns")
    return [name.strip() for name in header], _limit_rows(path, rows)


def _first_line(data: bytes) -> str:
    return (_decode(data) or data.decode(errors="replace")).partition("\n")[0]


def _decode(data: bytes) -> str | None:
    """Decode a table in UTF-8, or in UTF-16 with a byte order mark; None for any other encoding."""
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError:
        return None


def _read_text(path: Path, data: bytes, tell: Tell) -> Iterator[Row]:
    text = _decode(data)
    if text is None:
        raise _encoding_error(path, data)
    separator = re.match(r"sep=([,;\t|])\r?\n", text)  # a line for spreadsheet programs, which they do not show
    text = text[separator.end() :] if separator else text
    delimiter = separator[1] if separator else _delimiter(path, text, tell)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, 1):
            yield number, row
    except csv.Error as error:
        reason = "a quote is opened in it and never closed" if "unexpected end" in str(error) else error
        raise InvalidInputError(
            f"{show_path(path)} is not a table: row {number + 1}: {reason}", "save it again as CSV, or as XLSX"
        ) from None


def _delimiter(path: Path, text: str, tell: Tell) -> str:
    """Return what separates cells: as the name says, or what the first row has instead."""
    suffix = path.suffix.lower()
    first = re.sub(r'"[^"]*"', "", next((line for line in text[:_MAX_HEADER].splitlines() if line.strip()), ""))
    usual = "," if suffix == ".csv" or (suffix not in TEXT_SUFFIXES and "\t" not in first) else "\t"
    others = [other for other in _DELIMITERS if other in first]
    if usual in first or len(others) != 1:
        return usual
    tell(f"{show_path(path)} has {_DELIMITERS[others[0]]} between its cells")
    return others[0]


def _encoding_error(path: Path, data: bytes) -> InvalidInputError:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if b"\0" not in data[: 1 << 16]:
            return InvalidInputError(
                f"{show_path(path)} is not a table in UTF-8: line {line:,} has a byte that is none",
                "save it as CSV UTF-8 or XLSX; in its old encoding: `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`",
            )
    return InvalidInputError(f"{show_path(path)} is not a table in UTF-8", "save it as XLSX, TSV or CSV")


def _limit_rows(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for count, row in enumerate(rows, 2):
        if count > _MAX_ROWS:
            raise InvalidInputError(f"{show_path(path)} has more than {_MAX_ROWS:,} rows")
        yield row
