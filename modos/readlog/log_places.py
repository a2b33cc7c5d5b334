"""Write segments to files of a folder, which grow, or to objects of a bucket, which are replaced by longer ones."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Protocol

from modos.errors import ConflictError, InvalidInputError, ModosError
from modos.readlog.heads import Head
from modos.storage import Storage, open_storage
from modos.storage.local_files import translate_errors
from modos.storage.system import sync_file

ENDING, HEAD = ".log", "head"
FOLDER, BUCKET = "folder", "bucket"  # kinds of places: in a bucket each segment has a head behind it
LOCAL_SEGMENT, REMOTE_SEGMENT = 64 << 20, 256 << 10  # bytes; an object is written anew with each commit

_LOOKED = 1.0  # seconds after which it is seen whether a segment is still there
_FLUSHED = getattr(os, "O_DSYNC", os.O_SYNC)  # what is written is on the disk when the call returns
_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Tail(Protocol):
    """Protocol of the end of one chain, to which its only writer adds."""

    def begin(self, number: int, data: bytes, head: Head) -> None:
        """Make a segment, whose first frame is given with its number, and replace the head; all is durable afterwards."""

    def append(self, data: bytes, head: Head | None) -> None:
        """Add a frame, and replace the head if one is given; durable afterwards, and not there at all after an error."""

    def show(self, head: Head) -> None:
        """Replace the head."""

    def close(self) -> None:
        """Let go of files."""


def segment_key(chain: str, number: int) -> str:
    """Return the key of the segment whose first frame has a number."""
    return f"{chain}/{number:012}{ENDING}"


def open_log_place(place: str, s3_kwargs: dict[str, Any] | None = None) -> Storage:
    """Open the folder or S3 prefix of a log; what is wrong with its name is told here, and nothing is read."""
    if place.startswith("s3://"):
        return open_storage(place, s3_kwargs=s3_kwargs)
    if os.path.lexists(place) and not os.path.isdir(place):
        raise InvalidInputError(f"{place} is not a folder", "keep the log in a folder of its own, or at s3://BUCKET/PREFIX")
    return open_storage(place)


def open_tail(storage: Storage, chain: str) -> Tail:
    """Return the end of a new chain in a place."""
    return BucketTail(storage, chain) if storage.is_remote else FolderTail(Path(storage.url), chain)


class FolderTail:
    """Files of a folder: a frame is appended and flushed, and the head beside it is replaced, in one small write each."""

    def __init__(self, root: Path, chain: str):
        self._root, self._chain = root, chain
        self._file = self._head = -1
        self._end, self._looked = 0, 0.0

    def begin(self, number: int, data: bytes, head: Head) -> None:
        """Make a segment; see `Tail`."""
        folder = self._root / self._chain
        with translate_errors(folder):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
            if self._head < 0:
                self._make(self._root / f".{self._chain}.part", number, data, head)
            else:
                self._open(folder, number)
                self.append(data, head)
                _sync(folder)

    def _make(self, part: Path, number: int, data: bytes, head: Head) -> None:
        """Make the folder of the chain under another name, so that no chain is without a head."""
        try:
            part.mkdir(mode=0o700, exist_ok=True)
            self._head = os.open(part / HEAD, _NEW, 0o600)
            self._open(part, number)
            self.append(data, head)
            sync_file(self._head)
            _sync(part)
            os.rename(part, self._root / self._chain)
        except BaseException:
            self.close()
            shutil.rmtree(part, ignore_errors=True)
            raise
        _sync(self._root)

    def _open(self, folder: Path, number: int) -> None:
        made = os.open(folder / segment_key("", number)[1:], _NEW | _FLUSHED, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._end = made, 0

    def append(self, data: bytes, head: Head | None) -> None:
        """Add a frame; see `Tail`."""
        with translate_errors(self._root / self._chain):
            self._look()
            try:
                _write(self._file, data, self._end)
                if head:
                    _write(self._head, head.to_bytes(), 0)
            except BaseException:
                self._undo()
                raise
            self._end += len(data)

    def show(self, head: Head) -> None:
        """Replace the head; see `Tail`."""
        with translate_errors(self._root / self._chain):
            _write(self._head, head.to_bytes(), 0)

    def _look(self) -> None:
        """See now and then that the segment is still in its place; ConflictError if somebody has removed it."""
        now = time.monotonic()
        if now - self._looked >= _LOOKED or not self._end:
            self._looked = now
            if os.fstat(self._file).st_nlink == 0:
                raise ConflictError(f"the segment of {self._chain} was removed while it was written")

    def _undo(self) -> None:
        """Take back what was written of a frame; ConflictError where that cannot be, so that this chain is not gone on with."""
        try:
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise ConflictError(f"a frame of {self._chain} is there in part: {error.strerror}") from error

    def close(self) -> None:
        """Let go of files; see `Tail`."""
        for file in (self._file, self._head):
            if file >= 0:
                os.close(file)
        self._file = self._head = -1


class BucketTail:
    """Objects of a bucket, each with the head behind its frames: all of it is put anew with each frame, in one step."""

    def __init__(self, storage: Storage, chain: str):
        self._storage, self._chain = storage, chain
        self._key, self._frames = "", b""

    def begin(self, number: int, data: bytes, head: Head) -> None:
        """Make a segment; see `Tail`."""
        key = segment_key(self._chain, number)
        self._storage.write(key, data + head.to_bytes())
        self._storage.write(f"{self._chain}/{HEAD}", head.to_bytes())
        self._key, self._frames = key, data

    def append(self, data: bytes, head: Head | None) -> None:
        """Add a frame; see `Tail`."""
        assert head is not None
        self._storage.write(self._key, self._frames + data + head.to_bytes())
        self._frames += data

    def show(self, head: Head) -> None:
        """Do nothing: each frame came with its head; see `Tail`."""

    def close(self) -> None:
        """Let go of nothing; see `Tail`."""


def _write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def check_place(storage: Storage) -> None:
    """See whether a place can be written: raise a ModosError that says why it cannot."""
    if storage.is_remote:
        storage.list_folders()
        return
    root = Path(storage.url)
    with translate_errors(root):
        os.makedirs(root, mode=0o700, exist_ok=True)
    if not os.access(root, os.W_OK | os.X_OK):
        raise ModosError(f"the log cannot be written to {root}", "give its folder to the user that the server runs as")
