"""Files that describe an object and its elements: YAML, JSON, TSV and CSV."""

from __future__ import annotations

from pathlib import Path

from modos import model
from modos.description.documents import load_yaml, read_description, read_whole
from modos.description.entries import Entry
from modos.description.sheets import is_sheet, read_sheet
from modos.errors import InvalidInputError

__all__ = ["Entry", "load_yaml", "read_descriptions"]
_MAX_BYTES = 1 << 30


def read_descriptions(paths: list[Path], type: str | None = None) -> list[Entry]:
    """Read the elements that YAML and JSON files and sheets describe.

    Parameters
    ----------
    type
        The class or group of a sheet's rows that have no `@type`.

    Raises
    ------
    NotFoundError
        A file, or a source file in it, does not exist.
    InvalidInputError
        A file is malformed; an id stands twice; more than one MODO.
    """
    class_name = model.default_class(type) if type in model.GROUPS else type
    if class_name is not None:
        model.describe(class_name)
    entries = [entry for path in paths for entry in _read(path, class_name)]
    seen: set[str | None] = set()
    for entry in entries:
        if entry.element_id in seen:
            raise InvalidInputError(f"{paths[-1]}: {entry.element_id or 'the MODO'} stands there twice")
        seen.add(entry.element_id)
    return entries


def _read(path: Path, class_name: str | None) -> list[Entry]:
    text = read_whole(path, _MAX_BYTES)
    return read_sheet(path, text, class_name) if is_sheet(path, text) else read_description(path, text)
