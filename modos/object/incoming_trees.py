"""Bring Zarr trees into an object as the data of elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modos.errors import InvalidInputError
from modos.formats import is_tree_path, names_beside_tree
from modos.object.changes import Add, Update
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog
from modos.trees.staging import digest_tree, stage_tree
from modos.trees.tree_sources import SourceFile, TreeSource

SLOTS_OF_TREES = ("zarr_kind", "axes", "shape", "modalities")  # what a tree says of itself


@dataclass(frozen=True)
class NewTree:
    """Zarr tree that becomes an element's data, in a folder that has no files.

    Parameters
    ----------
    files
        Of the tree, as they were listed.
    """

    source: TreeSource
    files: tuple[SourceFile, ...]
    key: str
    change: Add | Update
    replaces: bool = True

    def keys(self) -> list[str]:
        """List the keys of its files and of its lists."""
        return [*(f"{self.key}/{file.name}" for file in self.files), *names_beside_tree({"data_path": self.key})]

    def folders(self) -> list[str]:
        """List the folders of arrays: none."""
        return []

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of its files."""
        return sum(file.size for file in self.files)

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Copy the files; returns what the element says of them."""
        manifest = stage_tree(log, self.source, self.files, self.key, progress)
        found: dict[str, Any] = {"data_size": manifest.size, "data_digest": manifest.root}
        before = {"data_checksum": None, "index_digests": None} if isinstance(self.change, Update) else {}
        return before | found


def check_tree_path(element_id: str, source: TreeSource, path: str) -> None:
    """Refuse a data_path that does not say that it is a tree."""
    if not is_tree_path(path):
        raise InvalidInputError(
            f"{element_id}: {source.place} is a Zarr tree, and its data_path {path} does not end with .zarr",
            f"give a data_path such as {source.name}",
        )


def is_same_tree(
    source: TreeSource, files: tuple[SourceFile, ...], attributes: dict[str, Any], *, is_sealed: bool = False
) -> bool:
    """Return whether an element has a tree already, plain or sealed."""
    of = "plain" if is_sealed else "data"
    return attributes.get(f"{of}_size") == sum(file.size for file in files) and digest_tree(
        source, files, attributes["data_path"]
    ).root == attributes.get(f"{of}_digest")
