"""Read a section of an mzTab file as a table (HUPO-PSI mzTab 1.0 and mzTab-M 2.0)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modos.errors import IntegrityError, InvalidInputError, NotFoundError, did_you_mean, listing
from modos.tables import arrow
from modos.tables.choosing import choose_fields

_HEADERS = {
    "PRT": "PRH",
    "PEP": "PEH",
    "PSM": "PSH",
    "SML": "SMH",
    "SMF": "SFH",
    "SME": "SEH",
    "NUC": "NUH",
    "OLI": "OLH",
    "OSM": "OSH",
}
SECTIONS = ("MTD", *_HEADERS)
_ROWS = 1 << 16  # in a batch


class MzTabTable(arrow.ArrowTable):
    """A section of an mzTab as a table.

    A column is of integers (int64) if all its values are, else of numbers
    (float64) if all are, else of text; `null` is null. The metadata section
    has the columns `key` and `value`.

    Parameters
    ----------
    lines
        All lines of the file.
    name
        What to call it in messages.
    section
        As the lines of its rows begin: MTD, PRT, PEP, PSM, SML, SMF, SME.
    columns
        Names of columns; None for all.

    Raises
    ------
    NotFoundError
        It has no such section.
    InvalidInputError
        No section is named; there is no such column.
    IntegrityError
        It is no mzTab, or damaged.
    """

    def __init__(self, lines: Iterable[str], name: str, section: str | None, columns: Iterable[str] | str | None = None):
        arrow.load_pyarrow()
        if section is not None and section not in SECTIONS:
            near = did_you_mean(section, SECTIONS)
            raise NotFoundError(
                f"an mzTab has no section {section}", f"did you mean {near}?" if near else f"there are {listing(SECTIONS)}"
            )
        self._name = name
        header, rows, found = self._collect(lines, section)
        if section is None:
            raise InvalidInputError(f"{name} has the sections {listing(found)}", "say which one (section)")
        if not header:
            raise NotFoundError(f"{name} has no section {section}", f"it has {listing(found)}")
        self._columns = choose_fields(columns, header, f"the section {section} of {name}")
        at = {column: number for number, column in enumerate(header)}
        self._values = {column: _parse([row[at[column]] for row in rows]) for column in self._columns}

    def _collect(self, lines: Iterable[str], section: str | None) -> tuple[list[str], list[list[str]], list[str]]:
        """Collect the header and the rows of a section, and the names of all that there are."""
        header: list[str] = ["key", "value"] if section == "MTD" else []
        rows, found = [], dict.fromkeys(("MTD",))
        begins = {start: name for name, start in _HEADERS.items()}
        for number, line in enumerate(lines, 1):
            fields = line.rstrip("\r\n").split("\t")
            if number == 1 and fields[0] not in ("MTD", "COM"):
                raise IntegrityError(f"{self._name} is no mzTab: its first line is no metadata")
            found.setdefault(begins.get(fields[0], "MTD"))
            if section and fields[0] == _HEADERS.get(section):
                if header:
                    raise IntegrityError(f"{self._name}, line {number}: the section {section} has a second header")
                header = self._check_header(fields[1:], number)
            elif fields[0] == section:
                if section == "MTD":
                    fields[2:] = ["\t".join(fields[2:])]
                if len(fields) - 1 != len(header):
                    raise IntegrityError(
                        f"{self._name}, line {number}: it has {len(fields) - 1} columns, and its header {len(header)}"
                    )
                rows.append(fields[1:])
        return header, rows, list(found)

    def _check_header(self, header: list[str], number: int) -> list[str]:
        twice = next((column for at, column in enumerate(header) if column in header[:at]), None)
        if twice is not None:
            raise IntegrityError(f"{self._name}, line {number}: the column {twice} is there twice")
        return header

    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the schema, and an iterator of batches."""
        table = arrow.load_pyarrow().Table.from_arrays(list(self._values.values()), list(self._values))
        return table.schema, iter(table.to_batches(_ROWS))


@dataclass
class SectionShape:
    """Numbers of rows and columns of a section."""

    name: str
    rows: int = 0
    columns: int = 0


def measure_sections(lines: Iterable[str], name: str) -> list[SectionShape]:
    """Count the rows and columns of each section of an mzTab; raise IntegrityError if it is none."""
    begins = {start: section for section, start in _HEADERS.items()}
    found: dict[str, SectionShape] = {}
    for number, line in enumerate(lines, 1):
        fields = line.rstrip("\r\n").split("\t")
        if number == 1 and fields[0] not in ("MTD", "COM"):
            raise IntegrityError(f"{name} is no mzTab: its first line is no metadata")
        section = begins.get(fields[0], fields[0])
        if section not in SECTIONS:
            continue
        shape = found.setdefault(section, SectionShape(section))
        if fields[0] in begins:
            shape.columns = len(fields) - 1
        else:
            shape.rows += 1
            shape.columns = shape.columns or 2
    return list(found.values())


def _parse(texts: list[str]) -> Any:
    """Make an array of integers, numbers or texts, whichever all values are first."""
    pa = arrow.load_pyarrow()
    values = arrow.make_strings(None if text == "null" else text for text in texts)
    for kind in (pa.int64(), pa.float64()):
        try:
            return values.cast(kind) if values.null_count < len(values) else values
        except pa.ArrowInvalid:
            continue
    return values
