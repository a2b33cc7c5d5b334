"""Which version of a tree was opened: what programs read of it later is of no other one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from modos.errors import ConflictError
from modos.formats import is_array_path, is_tree_path
from modos.storage.processes import forking

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_HINT = "open the tree again"


class Versions(Protocol):
    """Trees of an object at a time."""

    def version_of(self, path: str) -> object:
        """Return what changes with the array, or the tree, that a path lies in."""


def is_metadata(path: str) -> bool:
    """Return whether a file of a Zarr tree says what is in it."""
    return path.rpartition("/")[2] in _METADATA


def is_chunk(path: str) -> bool:
    """Return whether a path is that of a chunk, which programs take for empty where it is not there."""
    return not is_metadata(path) and any(is_tree_path(folder) or is_array_path(folder) for folder in iter_folders(path))


def make_gone_error(address: str) -> ConflictError:
    """Return the error for a chunk of a tree that is not there: the chunk is not left out, as in a tree that is."""
    return ConflictError(f"the tree of {address} is not there, or not any more", _HINT)


class ReadTrees:
    """Remembers of what versions of trees the metadata were read; safe to use from several threads.

    Programs read the metadata of an array once, and its chunks by and by, of
    which those that are not there are empty. After a change of the array by
    others that would give a mixture of both, or fill values.
    """

    def __init__(self) -> None:
        self._begun: dict[str, tuple[int, Versions]] = {}
        self._count = 0
        forking.begin(self, ReadTrees._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def begin(self, path: str, now: Versions) -> None:
        """Note that metadata were read: what follows below their folder is of this version."""
        with self._lock:
            self._count += 1
            self._begun[path.rpartition("/")[0]] = self._count, now

    def check(self, path: str, mount: str, now: Versions, where: str) -> None:
        """Compare the version of a chunk with that of the metadata that were read last of what it is in.

        Raises
        ------
        ConflictError
            It is another.
        """
        with self._lock:
            known = [self._begun[folder] for folder in iter_folders(path) if folder in self._begun]
            _, begun = max(known, key=lambda one: one[0], default=(0, None))
            if begun is None:
                self._begun[mount] = self._count, now
        if begun is not None and begun is not now and begun.version_of(path) != now.version_of(path):
            raise ConflictError(f"{where}/{path} was replaced since its metadata were read", _HINT)


def iter_folders(path: str) -> Iterator[str]:
    """Iterate over the folders that a path lies in, the innermost first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
