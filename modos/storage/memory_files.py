"""Files that other code opens by a path, and whose bytes are in memory alone."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modos.storage.system import open_in_memory, path_of_descriptor

_living: weakref.WeakSet[MemoryFiles] = weakref.WeakSet()


class MemoryFiles:
    """Folder of this process whose files are in memory, and on no disk; it is gone when nobody holds it any more.

    The names in the folder lead to memory of this process; in a child that is
    forked they lead to the same. Where the system has no such memory
    (elsewhere than on Linux) they are files that nobody else can read.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="modos-"))
        self._descriptors: dict[str, int] = {}
        self._home = os.getpid()
        self._remove = weakref.finalize(self, _remove, self.path, self._descriptors, self._home)
        _living.add(self)

    def create(self, name: str, size: int) -> Path:
        """Create a file of some bytes, all of them 0; returns its path."""
        path = self.path / name
        descriptor = open_in_memory(f"modos-{name}")
        if descriptor is None:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        else:
            path.symlink_to(path_of_descriptor(descriptor))
        self._descriptors[name] = descriptor
        os.truncate(descriptor, size)
        return path

    def write(self, name: str, at: int, data: bytes) -> None:
        """Write bytes of a file at an offset."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._descriptors[name], view, at)
            view, at = view[done:], at + done

    def put(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Create a file with all of its bytes; returns its path."""
        path, at = self.create(name, 0), 0
        for piece in pieces:
            self.write(name, at, piece)
            at += len(piece)
        return path

    def close(self) -> None:
        """Let go of the memory, and remove the folder."""
        self._remove()

    def __enter__(self) -> MemoryFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_folders() -> None:
    """Remove the folders of this process that are left, for one that ends at once; threads may go on until it does."""
    for files in list(_living):
        if files._home == os.getpid():
            shutil.rmtree(files.path, ignore_errors=True)


@contextmanager
def open_memory() -> Iterator[int]:
    """Open a file without a name that is in memory; gives the descriptor.

    Where the system has no such memory it is a file that nobody else can open.
    """
    descriptor = open_in_memory("modos")
    if descriptor is None:
        with tempfile.TemporaryFile(prefix="modos-") as file:
            yield file.fileno()
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(path: Path, descriptors: dict[str, int], home: int) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)
    if os.getpid() == home:  # a forked child must not take it from its parent
        shutil.rmtree(path, ignore_errors=True)
