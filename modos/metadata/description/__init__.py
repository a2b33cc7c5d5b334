"""Read files that describe an object and its elements: YAML, JSON, and sheets (TSV, CSV, XLSX).

In: files, and a `Matcher` that knows what their headers and cells mean. Out: an
`Entry` for each element: its attributes, its source file and its parent; or one
error with all that is wrong in sheets (`problems`). `templates` writes empty
sheets of a class.

It imports the model and what is below `modos.metadata`; it opens no object.
"""

from __future__ import annotations

from pathlib import Path

from modos.errors import InvalidInputError
from modos.metadata import model
from modos.metadata.description.documents import load_yaml, read_description, read_whole
from modos.metadata.description.entries import Entry
from modos.metadata.description.matching import Ask, Matcher, parse_mapping
from modos.metadata.description.problems import Problems
from modos.metadata.description.sheets import read_sheet
from modos.metadata.description.tables import is_table
from modos.metadata.description.templates import template, xlsx_template

__all__ = ["Ask", "Entry", "Matcher", "load_yaml", "parse_mapping", "read_descriptions", "template", "xlsx_template"]
_MAX_BYTES = 1 << 30


def read_descriptions(
    paths: list[Path], type: str | None = None, *, matcher: Matcher | None = None, worksheet: str | None = None
) -> list[Entry]:
    """Read the elements that YAML and JSON files and sheets describe.

    Parameters
    ----------
    type
        The class or group of a sheet's rows that have no `@type`.
    matcher
        Finds the slots and values that sheets mean.
    worksheet
        The one of an XLSX file that is meant, where it has several.

    Raises
    ------
    NotFoundError
        A file, or a source file in it, does not exist.
    InvalidInputError
        A file is malformed, or cells of sheets are bad, which is said of all
        of them; an id stands twice; more than one MODO.
    """
    class_name = model.default_class(type) if type in model.GROUPS else type
    if class_name is not None:
        model.describe(class_name)
    problems, matcher = Problems(), matcher or Matcher()
    entries = [(entry, path) for path in paths for entry in _read(path, class_name, problems, matcher, worksheet)]
    problems.raise_any()
    seen: set[str | None] = set()
    for entry, path in entries:
        if entry.element_id in seen:
            raise InvalidInputError(f"{path}: {entry.element_id or 'the MODO'} stands there twice")
        seen.add(entry.element_id)
    return [entry for entry, _ in entries]


def _read(path: Path, class_name: str | None, problems: Problems, matcher: Matcher, worksheet: str | None) -> list[Entry]:
    data = read_whole(path, _MAX_BYTES)
    return (
        read_sheet(path, data, class_name, problems, matcher, worksheet) if is_table(path, data) else read_description(path, data)
    )
