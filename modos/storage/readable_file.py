"""Read a file of a storage like a file of this machine, by ranges."""

from __future__ import annotations

import io
import os
from typing import Any

from modos.storage.base import Readable

_BUFFER = 256 << 10  # bytes that are read at once, at least


class _RawFile(io.RawIOBase):
    """Unbuffered file of a storage; ConflictError where it is changed while it is read."""

    def __init__(self, files: Readable, key: str):
        self._files = files
        self._key = key
        self._info = files.stat(key)
        self._at = 0

    @property
    def name(self) -> str:
        """Address of the file."""
        return f"{self._files.url}/{self._key}"

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position; returns it."""
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._info.size}[whence]
        if at < 0:
            raise OSError(22, "a position before the file")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer; returns how many."""
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._info.size)
        if end <= self._at:
            return 0
        data, _ = self._files.read_part(self._key, self._at, end, if_match=self._info.etag)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_readable(files: Readable, key: str) -> io.BufferedReader:
    """Open a file of a storage for reading, seekable; what is read is fetched when it is read."""
    return io.BufferedReader(_RawFile(files, key), _BUFFER)
