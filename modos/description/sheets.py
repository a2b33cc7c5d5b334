"""Tables of elements: TSV and CSV files with a row per element and a column per slot."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos import model
from modos.description.entries import Entry, find_source
from modos.errors import InvalidInputError, ModosError, SchemaError, did_you_mean, listing
from modos.formats import format_of
from modos.given import is_pipe, shown

_ARGUMENTS = ("source_file", "part_of")
_SEPARATOR = "|"
_SUFFIXES = (".tsv", ".csv", ".tab")
_MAX_SHOWN = 20
_INTEGER = re.compile("-?[0-9]{1,30}")
_MAX_ROWS = 1_000_000


def is_sheet(path: Path, text: bytes) -> bool:
    """Whether a file's name says that it is a table; of a pipe, whether it begins with the names of columns."""
    if path.suffix.lower() in _SUFFIXES or not is_pipe(path):
        return path.suffix.lower() in _SUFFIXES
    names = _first_line(text).replace("\t", ",").split(",")
    return "id" in (name.strip(' "') for name in names)


def _first_line(text: bytes) -> str:
    return text.decode("utf-8-sig", errors="replace").partition("\n")[0]


@dataclass(frozen=True)
class _Cell:
    row: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.message}"


def read_sheet(path: Path, text: bytes, class_name: str | None) -> list[Entry]:
    """Read the elements in the text of a table.

    The first row names the slots; `@type`, `source_file` and `part_of` may be
    columns too. Several values stand in one cell with `|` between them; empty
    cells count for nothing.

    Parameters
    ----------
    class_name
        The class of rows without an `@type`.

    Raises
    ------
    InvalidInputError
        All bad cells at once, with row (the first row is 1) and column.
    """
    header, rows = _read(path, text)
    problems: list[_Cell] = []
    entries: list[Entry] = []
    seen: dict[tuple[str | None, str], int] = {}
    for number, row in rows:
        cells = {column: value.strip() for column, value in zip(header, row) if value and value.strip()}
        if len(row) > len(header) and any(row[len(header):]):
            problems.append(_Cell(number, f"column {len(header) + 1}", f"has no name in the first row: {row[len(header)]}"))
        if not cells:
            continue
        entry = _entry(path, number, cells, class_name, problems)
        if entry is None:
            continue
        name = (model.group_of(entry.attributes["@type"]), entry.attributes["id"])
        if name in seen:
            problems.append(_Cell(number, "id", f"{name[1]} stands in row {seen[name]} already"))
        seen.setdefault(name, number)
        entries.append(entry)
    if problems:
        lines = [str(problem) for problem in problems[:_MAX_SHOWN]]
        more = len(problems) - _MAX_SHOWN
        raise InvalidInputError(f"{shown(path)}: {len(problems)} bad cell{'s' if len(problems) > 1 else ''}: "
                                + "; ".join(lines) + (f"; and {more} more" if more > 0 else ""),
                                "nothing was changed")
    return entries


def _read(path: Path, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{shown(path)} is not a table in UTF-8") from None
    is_csv = path.suffix.lower() == ".csv" or path.suffix.lower() not in _SUFFIXES and "\t" not in _first_line(data)
    delimiter = "," if is_csv else "\t"
    try:
        rows = list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1))
    except csv.Error as error:
        raise InvalidInputError(f"{shown(path)} is not a table: {error}") from None
    if not rows or len(rows) > _MAX_ROWS:
        raise InvalidInputError(f"{shown(path)} has no rows" if not rows else f"{shown(path)} has more than {_MAX_ROWS:,} rows")
    header = [name.strip() for name in rows[0][1]]
    _check_header(path, header)
    return header, rows[1:]


def _check_header(path: Path, header: list[str]) -> None:
    known = {slot for name in model.class_names() for slot in model.describe(name)["slots"]} | {"@type", *_ARGUMENTS}
    if twice := {name for name in header if header.count(name) > 1}:
        raise InvalidInputError(f"{shown(path)}: the column {listing(sorted(twice))} stands there twice")
    for name in header:
        if name not in known:
            near = did_you_mean(name, known)
            raise InvalidInputError(f"{shown(path)}: there is no slot {name or '(empty)'} for a column",
                                    f"did you mean {near}?" if near else f"there are {listing(sorted(known), 40)}")
    if "id" not in header:
        raise InvalidInputError(f"{shown(path)}: there is no column id", "is it separated by tabs (.tsv) or commas (.csv)?")


def _entry(path: Path, number: int, cells: dict[str, str], class_name: str | None,
           problems: list[_Cell]) -> Entry | None:
    source, parent = (cells.pop(name, None) for name in _ARGUMENTS)
    class_name = cells.pop("@type", None) or class_name
    if class_name is None:
        problems.append(_Cell(number, "@type", "is missing: give --type, or a column @type"))
        return None
    if "id" not in cells:
        problems.append(_Cell(number, "id", "is empty"))
        return None
    try:
        slots = model.describe(class_name)["slots"]
    except SchemaError as error:
        problems.append(_Cell(number, "@type", f"{error.message} ({error.hint})"))
        return None
    attributes: dict[str, Any] = {"@type": class_name}
    for column, value in cells.items():
        attributes[column] = _parse(value, slots.get(column, {}))
    file = _source(path, number, source, problems)
    return Entry(attributes, file, parent) if _is_valid(number, attributes, source, problems) else None


def _source(path: Path, number: int, source: str | None, problems: list[_Cell]) -> Path | None:
    if source is None:
        return None
    try:
        return find_source(source, path)
    except ModosError:
        problems.append(_Cell(number, "source_file", f"there is no file {source}"))
        return None


def _is_valid(number: int, attributes: dict[str, Any], source: str | None, problems: list[_Cell]) -> bool:
    prepared = {slot: value for slot, value in model.normalise(attributes).items() if slot != "id"}
    slots = model.describe(attributes["@type"])["slots"]
    before = len(problems)
    if source is not None and "data_path" not in slots:
        problems.append(_Cell(number, "source_file", f"a {attributes['@type']} has no file"))
    elif source is not None:
        prepared.setdefault("data_path", Path(source).name)
        if (format := format_of(prepared["data_path"])) and "data_format" in slots:
            prepared.setdefault("data_format", format.name)
    for error in model.problems(prepared, attributes["id"]):
        slot = error.path.rpartition(".")[2]
        message = error.message.partition(": ")[2].removeprefix(f"{slot} ") + (f" ({error.hint})" if error.hint else "")
        problems.append(_Cell(number, slot, message))
    return len(problems) == before


def _parse(value: str, slot: dict[str, Any]) -> Any:
    if slot.get("multivalued"):
        return [_scalar(part.strip(), slot) for part in value.split(_SEPARATOR) if part.strip()]
    return _scalar(value, slot)


def _scalar(value: str, slot: dict[str, Any]) -> Any:
    return int(value) if slot.get("range") == "integer" and _INTEGER.fullmatch(value) else value
