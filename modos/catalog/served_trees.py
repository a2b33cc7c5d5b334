"""Find the files of the Zarr trees of objects in a catalogue."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from modos.errors import IntegrityError
from modos.formats import Metadata, companion_names, header_key, is_encrypted, is_tree_path, name_of
from modos.object.stored_trees import load_manifest
from modos.storage import Readable, Storage
from modos.storage.processes import forking
from modos.trees.manifest import Manifest

_MAX_NAMES = 1 << 20  # names of files that are kept
_MAX_PARTS = 1 << 21  # parts of a tree whose digests are kept


class ServedTrees:
    """The names of the files of trees, which are kept for those that were asked for last."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._names: dict[tuple[str, str, Any], frozenset[str]] = {}
        self._last: tuple[tuple[str, str, Any], Manifest] | None = None
        forking.begin(self, ServedTrees._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def find(self, object_key: str, path: str, metadata: Metadata) -> list[str]:
        """Find a path that is of a tree, or of a list beside it, in an object: that path, or nothing."""
        attributes = find_tree(metadata, path)
        if attributes is None:
            return []
        tree = attributes["data_path"]
        if path in _names_beside(attributes):
            return [path]
        return [path] if path[len(tree) + 1 :] in self._load(object_key, attributes) else []

    def load(self, object_key: str, attributes: Mapping[str, Any]) -> Manifest:
        """Read the manifest of a tree, or take the one that was read last; raise IntegrityError if it is not the recorded one."""
        wanted, last = (object_key, attributes["data_path"], attributes.get("data_digest")), self._last
        if last is None or last[0] != wanted:
            last = wanted, load_manifest(self._storage.child(object_key) if object_key else self._storage, attributes)
            self._last = last if last[1].digests.layout.parts <= _MAX_PARTS else None
        return last[1]

    def _load(self, object_key: str, attributes: Mapping[str, Any]) -> frozenset[str]:
        known = object_key, attributes["data_path"], attributes.get("data_digest")
        with self._lock:
            if known in self._names:
                self._names[known] = self._names.pop(known)
                return self._names[known]
        names = _read_names(self._storage.child(object_key) if object_key else self._storage, attributes)
        with self._lock:
            self._names[known] = names
            while len(self._names) > 1 and sum(map(len, self._names.values())) > _MAX_NAMES:
                self._names.pop(next(iter(self._names)))
        return names


def find_tree(metadata: Metadata, path: str) -> Mapping[str, Any] | None:
    """Find the element whose tree has a path in its folder, or as one of the files beside that."""
    for attributes in metadata.values():
        tree = attributes.get("data_path")
        if not tree or not path.startswith(tree) or not is_tree_path(tree):
            continue
        if path.startswith(f"{tree}/") or path in _names_beside(attributes):
            return attributes
    return None


def find_named_tree(metadata: Metadata, path: str) -> tuple[Mapping[str, Any], str] | None:
    """Find the element whose tree is at a path, or has it in its folder, by its key or its name; and the path in the tree."""
    trees = [attributes for attributes in metadata.values() if is_tree_path(attributes.get("data_path") or "")]
    for name in (lambda tree: tree, name_of):
        for attributes in trees:
            folder = name(attributes["data_path"])
            if f"{path}/".startswith(f"{folder}/"):
                return attributes, path[len(folder) + 1 :]
    return None


def _names_beside(attributes: Mapping[str, Any]) -> list[str]:
    """List the names of the lists of a tree, and of its header if it is encrypted."""
    tree = attributes["data_path"]
    return [*companion_names(tree), *([header_key(attributes)] if is_encrypted(tree) else [])]


def _read_names(storage: Readable, attributes: Mapping[str, Any]) -> frozenset[str]:
    try:
        return frozenset(load_manifest(storage, attributes).names)
    except IntegrityError:
        return frozenset()  # whoever reads the lists is told
