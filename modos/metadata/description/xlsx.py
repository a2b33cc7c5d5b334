"""Read the worksheets of XLSX files as text, without evaluating formulas.

The file is not to be trusted: what it unpacks to is bounded before it is
parsed, document types are refused, and what would be lost silently (a
formula without a value, merged cells, several worksheets) is an error.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError, listing
from modos.metadata.description.matching import Ask
from modos.metadata.description.problems import Problems
from modos.storage.given import show_path

_MAX_BYTES = 64 << 20  # of all that is in it, unpacked
_MAX_TAGS = 8_000_000
_MAX_PARTS = 10_000
_MAX_COLUMNS = 1_000
_MAX_ROW = 1 << 20
_MAX_EXACT = 1e15  # of more digits a spreadsheet program keeps 15
_ZEROS = re.compile("0{2,}")
_PLAIN = re.compile(r"General|@|[#0,.?% ()_+;E*-]*", re.IGNORECASE)

Row = tuple[int, list[str]]


def import_openpyxl(failure: str) -> Any:
    """Import openpyxl; raise InvalidInputError if it is not installed says what fails without it."""
    try:
        import openpyxl
    except ImportError:
        raise InvalidInputError(
            f"{failure}: openpyxl, which is for XLSX, is not installed", "pip install 'modos-store[xlsx]', or take CSV"
        ) from None
    return openpyxl


def read_xlsx(path: Path, data: bytes, problems: Problems, worksheet: str | None = None, ask: Ask | None = None) -> Iterator[Row]:
    """Read the rows of a worksheet that have something in them, with their numbers.

    Parameters
    ----------
    problems
        Gets the cells that have no value, or that stand for several.
    worksheet
        Its name, where there are several.

    Raises
    ------
    InvalidInputError
        It is no XLSX file, too large unpacked, or which worksheet is meant is not clear.
    """
    load_workbook = import_openpyxl(f"{show_path(path)} cannot be read").load_workbook
    try:
        _check_parts(path, data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            workbook = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            yield from _rows(path, workbook, _choose(path, workbook, worksheet, ask), problems)
    except ModosError:
        raise
    except MemoryError:
        raise InvalidInputError(f"{show_path(path)} is too large to be read", "save it as CSV") from None
    except Exception as error:  # openpyxl raises whatever it stumbles over
        raise InvalidInputError(
            f"{show_path(path)} is no XLSX file that can be read: {type(error).__name__}: {str(error)[:200]}",
            "save it again, or as CSV",
        ) from None


def _check_parts(path: Path, data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise InvalidInputError(
            f"{show_path(path)} is an old or encrypted file of Excel", "save it as XLSX without a password, or as CSV"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()  # a worksheet may have any name
        size = sum(part.file_size for part in parts)  # no more is ever unpacked of a part
        if size > _MAX_BYTES or len(parts) > _MAX_PARTS:
            raise InvalidInputError(
                f"{show_path(path)} unpacks to more than {_MAX_BYTES >> 20} MiB or {_MAX_PARTS:,} parts",
                "save the sheet alone, or as CSV",
            )
        tags = 0
        for part in parts:
            text = archive.read(part)
            tags += text.count(b"<")
            if b"<!DOCTYPE" in text.replace(b"\0", b""):
                raise InvalidInputError(f"{show_path(path)} has a document type in {part.filename[:60]}, which no XLSX has")
        if tags > _MAX_TAGS:
            raise InvalidInputError(f"{show_path(path)} has more than {_MAX_TAGS:,} tags", "save the sheet alone, or as CSV")


def _choose(path: Path, workbook: Any, wanted: str | None, ask: Ask | None) -> Any:
    """Choose the worksheet: the one that is named, or the only one with something in it."""
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if wanted is not None:
        if wanted not in sheets:
            raise InvalidInputError(f"{show_path(path)} has no worksheet {wanted}", f"it has {listing(sheets)}")
        return sheets[wanted]
    filled = [name for name, sheet in sheets.items() if len(sheets) == 1 or next(_parse_rows(workbook, sheet), None) is not None]
    if not filled:
        raise InvalidInputError(f"{show_path(path)} has no rows")
    if len(filled) > 1 and ask is not None:
        answer = ask(f"{show_path(path)} has several worksheets; which one is meant?", filled, filled)
        filled = [answer] if answer else filled
    if len(filled) > 1:
        raise InvalidInputError(
            f"{show_path(path)} has {len(filled)} worksheets: {listing(filled)}", f"say which one: --worksheet '{filled[0]}'"
        )
    return sheets[filled[0]]


def _parse_rows(workbook: Any, sheet: Any, merged: list[str] | None = None) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Parse rows as they stand in the file: their numbers, and their cells that have anything."""
    from openpyxl.worksheet._reader import FORMULA_TAG, WorkSheetParser

    class Parser(WorkSheetParser):  # type: ignore[misc]
        def parse_row(self, row: Any) -> Any:
            """Refuse a row that is too wide, else parse it."""
            if len(row) > _MAX_COLUMNS:
                raise ValueError(f"a row has more than {_MAX_COLUMNS:,} cells")
            return super().parse_row(row)

        def parse_cell(self, element: Any) -> dict[str, Any]:
            """Parse a cell, and note whether it has a formula."""
            cell: dict[str, Any] = super().parse_cell(element)
            return cell | {"is_formula": element.find(FORMULA_TAG) is not None}

    with sheet._get_source() as source:
        parser = Parser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=workbook.epoch,
            date_formats=workbook._date_formats,
            timedelta_formats=workbook._timedelta_formats,
        )
        for number, cells in parser.parse():
            cells = [cell for cell in cells if cell["value"] not in (None, "") or cell["is_formula"]]
            if cells:
                yield number, cells
        if merged is not None and parser.merged_cells is not None:
            merged += [str(cells.ref) for cells in parser.merged_cells.mergeCell]


def _rows(path: Path, workbook: Any, sheet: Any, problems: Problems) -> Iterator[Row]:
    merged: list[str] = []
    before = 0
    for number, cells in _parse_rows(workbook, sheet, merged):
        places = [0, *(cell["column"] for cell in cells), _MAX_COLUMNS + 1]
        if (
            not before < number <= _MAX_ROW
            or any(cell["row"] != number for cell in cells)
            or any(a >= b for a, b in pairwise(places))
        ):
            raise ValueError(
                f"row {number} or its cells are not where they should be, or it has more than {_MAX_COLUMNS:,} columns"
            )
        before = number
        row = [""] * max(cell["column"] for cell in cells)
        for cell in cells:
            row[cell["column"] - 1] = _text(path, workbook, cell, problems)
        yield number, row
    for place in merged:
        problems.add(
            path,
            int(re.findall(r"\d+", place)[0]),
            f"cells {place}",
            "are merged: unmerge them, and write what they mean into each",
        )


def _text(path: Path, workbook: Any, cell: dict[str, Any], problems: Problems) -> str:
    from openpyxl.utils import get_column_letter

    def refuse(message: str) -> str:
        problems.add(path, cell["row"], f"column {get_column_letter(cell['column'])}", message)
        return ""

    value = cell["value"]
    if value in (None, ""):
        return refuse("a formula whose value was never computed: open it in a spreadsheet program and save it")
    if cell["data_type"] == "e":
        return refuse(f"is the error {value}")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return _number(value, _format(workbook, cell), refuse)
    return str(value)


def _number(value: float, format: str, refuse: Callable[[str], str]) -> str:
    if abs(value) >= _MAX_EXACT:
        return refuse(f"the number {value:.0f} has more digits than a spreadsheet program keeps: write it as text")
    text = str(int(value)) if value == int(value) else repr(value)
    if _ZEROS.fullmatch(format):
        return text.zfill(len(format))
    return (
        text if _PLAIN.fullmatch(format) else refuse(f"the number {text} is shown in the format {format[:40]}: write it as text")
    )


def _format(workbook: Any, cell: dict[str, Any]) -> str:
    from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE

    number = workbook._cell_styles[cell["style_id"]].numFmtId
    if number < BUILTIN_FORMATS_MAX_SIZE:
        return str(BUILTIN_FORMATS.get(number, "General"))
    return str(workbook._number_formats[number - BUILTIN_FORMATS_MAX_SIZE])
