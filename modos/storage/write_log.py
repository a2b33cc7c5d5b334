"""A log of the files that a change has written to a storage."""

from __future__ import annotations

from collections.abc import Iterable

from modos.storage.base import Storage


class WriteLog:
    """A storage that a change writes to, and the keys of the files that it wrote there.

    Attributes
    ----------
    storage
        May have other files, too, that are somebody else's.
    """

    def __init__(self, storage: Storage):
        self.storage = storage
        self._keys: list[str] = []

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the files that were written."""
        return frozenset(self._keys)

    def wrote(self, key: str) -> None:
        """Note that a file was written, or is about to be."""
        self._keys.append(key)

    def replaces(self, folders: Iterable[str]) -> None:
        """Note folders of arrays that become superfluous by the change, before it is committed."""
