"""Write empty sheets with the columns of a class."""

from __future__ import annotations

import csv
import io
import re

from modos.metadata import model
from modos.metadata.description.matching import ARGUMENTS, values_of
from modos.metadata.description.xlsx import import_openpyxl
from modos.metadata.model.schema import ONTOLOGIES

COMPUTED = (
    "data_checksum",
    "data_size",
    "data_digest",
    "index_digests",
    "plain_checksum",
    "plain_size",
    "plain_digest",
    "seal_digest",
    "header_digests",
    "recipients",
    "index_recipients",
    "cuts_checksum",
    "sender",
    "derived_from",
    "zarr_kind",
    "axes",
    "shape",
    "modalities",
    "creation_date",
    "last_update_date",
)
_NOTE = re.compile(r"# a row for each (\w+)")


def columns_of(class_name: str) -> list[str]:
    """List the columns of a sheet of a class, the required ones first.

    Parameters
    ----------
    class_name
        A class, or a group such as `sample`, for its usual class.

    Raises
    ------
    SchemaError
        There is no such class.
    """
    class_name = _class_of(class_name)
    slots = model.describe(class_name)["slots"]
    filed = ["source_file"] if "data_path" in slots else []
    ordered = sorted(
        slots,
        key=lambda name: (
            name != "id",
            not slots[name]["required"],
            name != "name",
            name != "description",
            bool(slots[name]["links_to"]),
        ),
    )
    settled = {*COMPUTED, *(("data_path", "data_format") if filed else ())}  # by the file
    return [
        "id",
        *filed,
        *(name for name in ordered if name not in settled and name != "id"),
        *(["part_of"] if model.group_of(class_name) else []),
    ]


def template(class_name: str, delimiter: str = "\t") -> str:
    """Write an empty sheet of a class: the names of its columns, and a line of notes on what they may hold.

    Parameters
    ----------
    class_name
        A class, or a group such as `sample`, for its usual class.
    delimiter
        A tab for TSV, a comma for CSV.
    """
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(_rows(class_name))
    return out.getvalue()


def xlsx_template(class_name: str) -> bytes:
    """Write an empty sheet as an XLSX file, whose columns are text, so that `007` and `1-2` stay as they are typed.

    Raises
    ------
    SchemaError
        There is no such class.
    InvalidInputError
        openpyxl is not installed.
    """
    rows = _rows(class_name)
    workbook = import_openpyxl("an XLSX file cannot be written").Workbook()
    sheet = workbook.active
    for row in rows:
        sheet.append(row)
    for number, (name, note) in enumerate(zip(*rows), 1):
        column = sheet.column_dimensions[sheet.cell(1, number).column_letter]
        column.number_format, column.width = "@", min(max(len(name), len(note)), 30) + 2
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def _rows(class_name: str) -> list[list[str]]:
    class_name = _class_of(class_name)
    columns = columns_of(class_name)
    return [columns, [f"# a row for each {class_name}", *(_note(name, class_name) for name in columns[1:])]]


def class_of_note(cell: str) -> str | None:
    """Return the class that the first cell of a template's line of notes names; None for any other cell."""
    found = _NOTE.fullmatch(cell.strip())
    return found[1] if found else None


def _class_of(name: str) -> str:
    return model.default_class(name) if name in model.GROUPS else name


def _note(name: str, class_name: str) -> str:
    if name in ARGUMENTS:
        return {"source_file": "its file, relative to this sheet", "part_of": "id of what has it, such as assay/a1"}[name]
    slot = model.describe(class_name)["slots"][name]
    values = values_of(name, class_name)
    parts = ["required"] if slot["required"] else []
    parts += (
        [" or ".join(values)]
        if values
        else [f"id of a {slot['links_to']}"]
        if slot["links_to"]
        else [slot["description"].rstrip(".")]
    )
    parts += [f"codes: `modos codes search {name} WORDS`"] if name in ONTOLOGIES else []
    parts += ["several with | between"] if slot["multivalued"] else []
    return "; ".join(parts)
