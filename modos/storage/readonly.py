"""Storages that can only be read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from modos.errors import AccessError
from modos.storage.base import ObjectInfo, Partial, Storage


class ReadOnlyStorage(Storage):
    """A storage whose files are read by their keys; it cannot be listed or changed.

    Parameters
    ----------
    url
        The root.
    """

    def __init__(self, url: str):
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        """Root as a user would write it, without a trailing slash."""
        return self._url

    @property
    def path(self) -> Path:
        """Root as listings show it: the folder, or `bucket/prefix`."""
        return Path(self._url.partition("://")[2])

    @property
    def can_list(self) -> bool:
        """Return whether the storage can list its files."""
        return False

    @abstractmethod
    def _refuse(self, what: str) -> NoReturn:
        """Raise AccessError: `list`, or `change`, is not possible."""

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List files with their sizes and tags; see `Storage.iter_files`."""
        self._refuse("list")

    def list_folders(self, prefix: str = "") -> list[str]:
        """List folders; see `Storage.list_folders`."""
        self._refuse("list")

    def partial_writes(self) -> list[Partial]:
        """List the remains of writes that did not end; see `Storage.partial_writes`."""
        return []

    def drop_partial(self, partial: Partial) -> None:
        """Remove the remains of a write; see `Storage.drop_partial`."""
        self._refuse("change")

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, durable: bool = True) -> str:
        """Write a small file and return its tag; see `Storage.write`."""
        self._refuse("change")

    def write_stream(
        self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False, like: str | None = None
    ) -> None:
        """Write a file from pieces; see `Storage.write_stream`."""
        self._refuse("change")

    def patch(self, key: str, *given: Any, **named: Any) -> None:
        """Replace ranges of a file; see `Storage.patch`."""
        self._refuse("change")

    def delete(self, key: str) -> None:
        """Delete a file; see `Storage.delete`."""
        self._refuse("change")


class UnaskedStorage(ReadOnlyStorage):
    """A storage that is not to be asked at all; every question is an AccessError that says why."""

    def __init__(self, url: str, reason: str):
        super().__init__(url)
        self._reason = reason

    def child(self, prefix: str) -> UnaskedStorage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        return UnaskedStorage(f"{self._url}/{prefix}", self._reason)

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        self._refuse("read")

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        self._refuse("read")

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        self._refuse("read")

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; see `Storage.iter_range`."""
        self._refuse("read")

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        return None

    def _refuse(self, what: str) -> NoReturn:
        raise AccessError(f"{self._url} is not asked: {self._reason}", "what is in the cache can be used")
