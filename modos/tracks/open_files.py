"""Shards on this machine, kept open, whose parts are compared with their digests before they are used."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from io import FileIO
from pathlib import Path

from modos.errors import IntegrityError, NotFoundError
from modos.storage import ObjectInfo, Storage
from modos.storage.local_files import are_unique, file_marks, open_file
from modos.storage.part_digests import PART
from modos.storage.processes import forking
from modos.storage.system import read_into
from modos.storage.verified import FindPartRecord, VerifiedFiles

_OPEN = 128  # files that are kept open
_AHEAD = 7  # parts that are compared before they are asked for


class _OpenFile:
    """A file as it was when it was opened, and which of its parts were compared since."""

    def __init__(self, file: FileIO, info: ObjectInfo):
        self.info = info
        self._file = file
        self._marks = file_marks(os.fstat(file.fileno()))
        self._compared = bytearray(-(-info.size // PART))  # 1 for a part that was

    def read(self, start: int, end: int) -> bytes:
        """Read bytes [start, end), fewer only if the file ends before."""
        return os.pread(self._file.fileno(), end - start, start)

    def read_into(self, buffer: memoryview, start: int) -> int:
        """Read bytes from `start` on into a buffer; returns how many there are, at most as many as it has room for."""
        return read_into(self._file.fileno(), buffer, start)

    def find_uncompared(self, start: int, end: int) -> range:
        """Find the parts that bytes [start, end) touch and that were not compared yet, from the first to the last one.

        Those that follow are added where the file is read in order.
        """
        known, first, beyond = self._compared, start // PART, -(-end // PART)
        low = known.find(0, first, beyond)
        if low < 0:
            return range(0)
        high = known.rfind(0, first, beyond) + 1
        if low and known[low - 1]:
            following = known.find(1, high, high + _AHEAD)
            high = following if following >= 0 else min(high + _AHEAD, len(known))
        return range(low, high)

    def is_unchanged(self) -> bool:
        """Return whether nobody has written to the file since it was opened."""
        return file_marks(os.fstat(self._file.fileno())) == self._marks

    def is_settled(self) -> bool:
        """Return whether nobody has written to the file since it was opened, and nobody can any more without being noticed."""
        return are_unique(self._marks, time.time_ns()) and self.is_unchanged()

    def note_compared(self, parts: range) -> None:
        """Note that some parts that follow each other were compared."""
        self._compared[parts.start : parts.stop] = b"\1" * len(parts)


class OpenFiles:
    """Files of this machine, the most recently used of them kept open.

    They are read and not mapped: a file that somebody truncates is then an
    error, where touching a mapped one would end the process.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        forking.begin(self, OpenFiles._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Root of the storage."""
        return self._storage.url

    @property
    def is_remote(self) -> bool:
        """Return whether reading takes the network: no."""
        return False

    def stat(self, key: str) -> ObjectInfo:
        """Return size and tag of a file; see `Storage.stat`."""
        return self._storage.stat(key)

    def local_path(self, key: str) -> Path | None:
        """Return the path of a file; see `Storage.local_path`."""
        return self._storage.local_path(key)

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file, as it was when it was opened; see `Storage.read_part`."""
        opened = self.open(key)
        return opened.read(start, end), opened.info

    def open(self, key: str) -> _OpenFile:
        """Open a file, or find it open."""
        known = self._files.get(key)
        if known is None:
            known = self._open(key)
            with self._lock:
                self._files[key] = known
                while len(self._files) > _OPEN:
                    self._files.popitem(last=False)
        return known

    def _open(self, key: str) -> _OpenFile:
        info, path = self._storage.stat(key), self._storage.local_path(key)
        if path is None:
            raise NotFoundError(f"no file {key} in {self._storage.url}")
        try:
            return _OpenFile(open_file(path), info)
        except OSError as error:
            raise IntegrityError(f"cannot read {path}: {error.strerror}") from None


class ComparedFiles:
    """Files of this machine, each part of which is compared with its digest once, and anew when the file was written to.

    Parameters
    ----------
    find_record
        Tells what is recorded of a file.
    """

    def __init__(self, storage: Storage, find_record: FindPartRecord):
        self._files = OpenFiles(storage)
        self._verified = VerifiedFiles(self._files, find_record)
        self._buffers = _Buffers()

    def read_part(self, key: str, start: int, end: int) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end); see `VerifiedFiles.read_part`."""
        if not self._verified.verifies(key):
            return self._files.read_part(key, start, end)
        opened = self._files.open(key)
        parts = opened.find_uncompared(start, end)
        if not parts:
            data = opened.read(start, end)
            if len(data) == end - start and opened.is_unchanged():
                return data, opened.info
            return self._verified.read_part(key, start, end)
        is_settled = opened.is_settled()
        found = self._read_compared(key, opened, start, end, parts)
        if found is None:  # the slower way reads it again, and says what is wrong
            found = self._verified.read_part(key, start, end)[0]
        elif is_settled:
            opened.note_compared(parts)
        return found, opened.info

    def _read_compared(self, key: str, opened: _OpenFile, start: int, end: int, parts: range) -> bytes | None:
        """Read bytes [start, end) with some parts, which are compared; None if these do not fit."""
        low, high = min(start, parts.start * PART), max(end, min(parts.stop * PART, opened.info.size))
        view = self._buffers.get(high - low)
        if opened.read_into(view, low) != high - low:
            return None
        at = parts.start * PART - low
        if not self._verified.fits(key, parts.start, view[at : min(at + len(parts) * PART, high - low)]):
            return None
        return bytes(view[start - low : end - low])


class _Buffers:
    """A buffer for each thread, which grows."""

    def __init__(self) -> None:
        forking.begin(self, _Buffers._start)

    def _start(self) -> None:
        self._own = threading.local()

    def get(self, size: int) -> memoryview:
        """Return memory for so many bytes, until the thread asks again."""
        known: bytearray | None = getattr(self._own, "buffer", None)
        if known is None or len(known) < size:
            known = self._own.buffer = bytearray(size)
        return memoryview(known)[:size]
