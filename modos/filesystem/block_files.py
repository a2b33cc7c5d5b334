"""Files of objects that are open for reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem, reopen

from modos.filesystem.failures import StaleFileError, translate


class BlockFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is open for reading, a block at a time; OSError where it was changed since."""

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str,
        read: Callable[[int, int], bytes],
        tag: str,
        block_size: int,
        size: int,
        **kwargs: Any,
    ):
        self._read, self._tag = read, tag
        super().__init__(fs, path, "rb", block_size, size=size, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address and the position; where another file has taken its place meanwhile, unpickling fails."""
        return _reopen, (self._tag, *super().__reduce__()[1])

    def _fetch_range(self, start: int, end: int) -> bytes:
        with translate():
            stop = min(end, self.size)
            return self._read(start, stop) if stop > start else b""


def _reopen(tag: str, *arguments: Any) -> BlockFile:
    file: BlockFile = reopen(*arguments)
    if file._tag != tag:
        raise StaleFileError(f"{file.fs.unstrip_protocol(file.path)} was replaced since it was opened", "open it again")
    return file
