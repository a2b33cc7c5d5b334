"""Read sheets, which have a row per element and a column per slot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.errors import InvalidInputError, ModosError, SchemaError, listing
from modos.formats import format_of
from modos.metadata import model
from modos.metadata.description.entries import Entry, find_source, name_source
from modos.metadata.description.matching import ARGUMENTS, LEFT_OUT, Matcher, find_near_values, values_of
from modos.metadata.description.problems import Problems
from modos.metadata.description.tables import read_table
from modos.metadata.description.templates import class_of_note
from modos.metadata.ids import check_object_id, format_id
from modos.metadata.model.schema import Slot
from modos.storage.given import show_path

_SEPARATOR = "|"
_INTEGER = re.compile("-?[0-9]{1,30}")


def read_sheet(
    path: Path,
    data: bytes,
    class_name: str | None,
    problems: Problems,
    matcher: Matcher | None = None,
    worksheet: str | None = None,
) -> list[Entry]:
    """Read the elements in a table.

    The first row names the slots; `@type`, `source_file` and `part_of` may be
    columns too. Several values stand in one cell with `|` between them; empty
    cells count for nothing. The line of notes of a template is no element;
    it says what the others are.

    Parameters
    ----------
    class_name
        The class of rows without an `@type`.
    problems
        Gets all bad cells, with row (the first row is 1) and column.
    matcher
        Finds the slots and values that are meant.
    worksheet
        Which one of an XLSX file.

    Raises
    ------
    InvalidInputError
        It is no table, or has no elements.
    """
    matcher = matcher or Matcher()
    header, lines = read_table(path, data, problems, worksheet, matcher.ask, matcher.tell)
    rows = list(lines)
    noted = _find_noted_class(rows)
    if noted and class_name and noted != class_name:
        matcher.tell(f"{show_path(path)} is a sheet of the class {noted}, as its notes say; --type {class_name} is for others")
    columns = _match_header(path, header, rows, noted or class_name, problems, matcher)
    sheet = _Sheet(path, header, columns, noted or class_name, problems, matcher)
    entries = [entry for number, row in rows if (entry := sheet.entry(number, row)) is not None]
    matcher.tell_values()
    if not entries and not problems.count:
        raise InvalidInputError(
            f"{show_path(path)} describes no element: there is nothing below the names of its columns", "write a row for each"
        )
    return entries


def _find_noted_class(rows: list[tuple[int, list[str]]]) -> str | None:
    """Find the class that the line of notes of a template names."""
    return next((name for _, row in rows for cell in row if (name := class_of_note(cell)) in model.class_names()), None)


def _match_header(
    path: Path, header: list[str], rows: list[tuple[int, list[str]]], class_name: str | None, problems: Problems, matcher: Matcher
) -> list[str | None]:
    """Find the slot of each column; None if it has none. A near match is a problem, and its slot is given all the same."""
    own = list(model.describe(class_name)["slots"]) if class_name else []
    known = list(dict.fromkeys([*own, *ARGUMENTS, "@type", *sorted(model.slots())]))
    free = [name for name in (own or known) + [*ARGUMENTS, "@type"] if name not in header]
    columns: list[str | None] = []
    for at, name in enumerate(header):
        if not name and not any(row[at : at + 1] and row[at].strip() for _, row in rows):
            columns.append(None)  # a column without anything
            continue
        left = [one for one in dict.fromkeys(free) if one not in columns]
        slot = matcher.slot_of(name, known, left, class_name) if name else None
        if slot is None:
            near = matcher.find_near_slots(name, left, class_name)[:1]
            hint = f"did you mean {near[0]}?" if near else f"there are {listing(left, 40)}"
            problems.add(
                path,
                1,
                f"column {at + 1}",
                f"there is no slot {name or '(empty)'} for a column ({hint})",
                f"{name}={near[0] if near else ''}",
            )
            slot = next(iter(near), None)  # so that its cells are looked at, too
        elif slot != LEFT_OUT and slot in columns:
            other = header[columns.index(slot)]
            problems.add(
                path, 1, f"column {at + 1}", f"{slot} stands there twice" + (f": {other} and {name}" if other != name else "")
            )
            slot = None
        columns.append(slot)
    if "id" not in columns:
        problems.add(path, 1, "id", "there is no column id (is it separated by tabs (.tsv) or commas (.csv)?)")
    return columns


@dataclass
class _Sheet:
    """A table whose rows become elements."""

    path: Path
    header: list[str]
    columns: list[str | None]
    class_name: str | None
    problems: Problems
    matcher: Matcher

    def __post_init__(self) -> None:
        self._rows_of: dict[tuple[str | None, str], int] = {}

    def _refuse(self, number: int, column: str, message: str, suggestion: str | None = None) -> None:
        self.problems.add(self.path, number, column, message, suggestion)

    def entry(self, number: int, row: list[str]) -> Entry | None:
        """Read the element of a row; None if it is empty or bad."""
        cells = {
            slot: value.strip()
            for slot, value in zip(self.columns, row)
            if slot not in (None, LEFT_OUT) and value and value.strip()
        }
        for at, value in enumerate(row[len(self.header) :], len(self.header) + 1):
            if value.strip():
                self._refuse(number, f"column {at}", f"has no name in the first row: {value[:80]}")
        if not cells or class_of_note(cells.get("id", "")) is not None:
            return None
        source, parent = (cells.pop(name, None) for name in ARGUMENTS)
        class_name = self._class(number, cells)
        if class_name is None:
            return None
        has_id = "id" in cells
        if not has_id and "id" in self.columns:
            self._refuse(number, "id", "is empty")
        has_id = has_id and self._is_id(number, cells["id"], class_name)
        attributes: dict[str, Any] = {"@type": class_name}
        for slot, text in cells.items():
            attributes[slot] = self._value(slot, text, class_name)
        file = self._source(number, source)
        is_valid = self._is_valid(number, attributes, source)
        return Entry(attributes, file, parent) if has_id and is_valid and self._is_new(number, attributes) else None

    def _class(self, number: int, cells: dict[str, str]) -> str | None:
        given = cells.pop("@type", None)
        name = self.matcher.value_of("@type", given, None) if given else self.class_name
        if name is None:
            self._refuse(number, "@type", "is missing: give --type, or a column @type")
            return None
        try:
            model.describe(name)
        except SchemaError as error:
            near = find_near_values(name, model.class_names())
            self._refuse(number, "@type", f"{error.message} ({error.hint})", f"@type:{name}={near[0]}" if near else None)
            return None
        return name

    def _value(self, slot: str, text: str, class_name: str) -> Any:
        described = model.describe(class_name)["slots"].get(slot)
        is_multivalued = described is not None and described["multivalued"]
        parts = [part.strip() for part in text.split(_SEPARATOR) if part.strip()] if is_multivalued else [text]
        values = [_scalar(self.matcher.value_of(slot, part, class_name), described) for part in parts]
        return values if is_multivalued else values[0]

    def _source(self, number: int, source: str | None) -> Path | str | None:
        if source is None:
            return None
        try:
            return find_source(source, self.path)
        except ModosError:
            self._refuse(number, "source_file", f"there is no file {source}")
            return None

    def _is_id(self, number: int, id: str, class_name: str) -> bool:
        group = model.group_of(class_name)
        try:
            format_id(group, id) if group else check_object_id(id)
        except InvalidInputError as error:
            self._refuse(number, "id", f"{error.message} ({error.hint})")
            return False
        return True

    def _is_new(self, number: int, attributes: dict[str, Any]) -> bool:
        group = model.group_of(attributes["@type"])
        name = (group, attributes["id"].removeprefix(f"{group}/"))
        before = self._rows_of.setdefault(name, number)
        if before != number:
            self._refuse(number, "id", f"{name[1]} stands in row {before} already")
        return before == number

    def _is_valid(self, number: int, attributes: dict[str, Any], source: str | None) -> bool:
        class_name = attributes["@type"]
        prepared = {slot: value for slot, value in model.normalise(attributes).items() if slot != "id"}
        slots = model.describe(class_name)["slots"]
        before = self.problems.count
        if source is not None and "data_path" not in slots:
            self._refuse(number, "source_file", f"a {class_name} has no file")
        elif source is not None:
            prepared.setdefault("data_path", name_source(source))
            if (format := format_of(prepared["data_path"])) and "data_format" in slots:
                prepared.setdefault("data_format", format.name)
        is_without_file = "data_format" in slots and not {"data_path", "data_format"} & prepared.keys()
        if is_without_file:
            self._refuse(number, "source_file", "is missing (or give data_path and data_format of a file that the object has)")
        for error in model.problems(prepared, attributes.get("id", "?")):
            slot = error.path.rpartition(".")[2]
            if is_without_file and slot in ("data_path", "data_format"):
                continue
            message = error.message.partition(": ")[2].removeprefix(f"{slot} ") + (f" ({error.hint})" if error.hint else "")
            near = find_near_values(error.got, values_of(slot, class_name))
            self._refuse(number, slot, message, f"{slot}:{error.got}={near[0]}" if near else None)
        return self.problems.count == before


def _scalar(value: str, slot: Slot | None) -> Any:
    return int(value) if slot and slot["range"] == "integer" and _INTEGER.fullmatch(value) else value
