"""The elements that description files have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.errors import NotFoundError
from modos.metadata import model
from modos.storage.given import is_pipe, show_path


@dataclass(frozen=True)
class Entry:
    """One element of a file: its attributes, its source file, and its parent's id."""

    attributes: dict[str, Any]
    source_file: Path | None
    part_of: str | None

    @property
    def element_id(self) -> str | None:
        """The full id; None for the object itself."""
        group = model.group_of(self.attributes["@type"])
        return f"{group}/{str(self.attributes.get('id', '')).removeprefix(f'{group}/')}" if group else None


def find_source(source: str, path: Path) -> Path:
    """Find a file that another one names: beside that one, or in the working directory."""
    for candidate in (path.parent / source, Path(source)):
        if os.path.isfile(candidate) or is_pipe(candidate):
            return candidate
    raise NotFoundError(f"{show_path(path)}: no source file {source[:200]}", "write it relative to that file")
