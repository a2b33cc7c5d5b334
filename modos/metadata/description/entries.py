"""The elements that description files have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.errors import NotFoundError
from modos.formats import tree_name
from modos.metadata import model
from modos.storage.given import is_pipe, show_path


@dataclass(frozen=True)
class Entry:
    """One element of a file: its attributes, its source file (or a Zarr tree, also at S3), and its parent's id."""

    attributes: dict[str, Any]
    source_file: Path | str | None
    part_of: str | None

    @property
    def element_id(self) -> str | None:
        """The full id; None for the object itself."""
        group = model.group_of(self.attributes["@type"])
        return f"{group}/{str(self.attributes.get('id', '')).removeprefix(f'{group}/')}" if group else None


def find_source(source: str, path: Path) -> Path | str:
    """Find a file or folder that another one names: beside that one, or in the working directory; or at S3."""
    if source.startswith("s3://"):
        return source
    for candidate in (path.parent / source, Path(source)):
        if os.path.exists(candidate) or is_pipe(candidate):
            return candidate
    raise NotFoundError(f"{show_path(path)}: no source file {source[:200]}", "write it relative to that file")


def name_source(source: str) -> str:
    """Return the name that a file or a Zarr tree gets in an object."""
    is_tree = source.startswith("s3://") or source.lower().endswith(".zip") or os.path.isdir(source)
    return tree_name(source) if is_tree else Path(source).name
