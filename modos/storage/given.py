"""Open files that people name by a path, as a FIFO, by `<(...)` of a shell, or with `-` for stdin.

A pipe can be read only once: `open_given` is the one place that opens it, bytes
that are looked at (`peek`) are still read afterwards, and callers that read at
random or twice get a copy (`as_file`) or an error (`refuse_pipe`).
"""

from __future__ import annotations

import errno
import io
import os
import re
import select
import stat
import sys
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from modos.errors import InvalidInputError, NotFoundError
from modos.storage.base import Progress

MAX_COPY = 256 << 30  # bytes of a pipe that are kept on disk
_PIECE = 1 << 20
_AT_ONCE = 32 << 20  # bytes
_NAMELESS = re.compile(r"/dev/(?:stdin|fd/\d+)|/proc/(?:self|thread-self|\d+)/(?:task/\d+/)?fd/\d+")

Name = str | os.PathLike[str]

_read_pipes: set[tuple[int, int]] = set()
_read_stdins: weakref.WeakSet[Any] = weakref.WeakSet()


def is_pipe(path: Name) -> bool:
    """Return whether a path is stdin, a FIFO or a device: what can be read once, from its beginning on."""
    if str(path) == "-":
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def has_name(path: Name) -> bool:
    """Return whether a path says what is in it, unlike `-` and `/dev/fd/63`."""
    return str(path) != "-" and not _NAMELESS.fullmatch(str(path))


def show_path(path: Name | Given) -> str:
    """Return a path in the form of messages."""
    return "stdin" if str(path) == "-" else str(path)


def describe_source(path: Name) -> str:
    """Return the name of a file to record as a source, or `a pipe`."""
    return Path(path).name if has_name(path) else "a pipe"


def refuse_pipe(path: Name, reason: str, hint: str) -> None:
    """Refuse a pipe where its kind of file cannot come through one."""
    if is_pipe(path):
        raise InvalidInputError(f"{show_path(path)} is a pipe, and {reason}", hint)


@dataclass(frozen=True)
class Copied(os.PathLike[str]):
    """A file with what came through a pipe; as text it is what the person named."""

    path: str
    name: str

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.name


class Given(io.RawIOBase):
    """A file that is being read; as text it is what the person named.

    Parameters
    ----------
    path
        Where it can be opened again; None for a pipe.
    below
        What is closed with it.
    progress
        Called with the numbers of bytes that are read.
    """

    def __init__(self, file: Any, name: str, path: Name | None = None, below: Any = None, progress: Progress | None = None):
        self._file, self._below = file, below
        self.name, self.path = name, path
        self.progress = progress
        self._head, self._ended = b"", False

    def __str__(self) -> str:
        return self.name

    def peek(self, count: int) -> bytes:
        """Peek at the next bytes, fewer only at the end; they stay to be read."""
        if len(self._head) < count:
            self._head += self._take(count - len(self._head))
        return self._head[:count]

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes; fewer come only at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        data, self._head = self._head[:size], self._head[size:]
        if len(data) < size:
            data += self._take(size - len(data))
        if self.progress and data:
            self.progress(len(data))
        return data

    def __reduce__(self) -> NoReturn:
        raise InvalidInputError(f"{self} is being read, and cannot be pickled", "give its path, and open it in each process")

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer and return their number; see `io.RawIOBase`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        """Return True."""
        return True

    def _take(self, count: int) -> bytes:
        parts, size = [], 0
        while size < count and not self._ended:
            part = self._file.read(min(count - size, _AT_ONCE))
            if part is None:  # a pipe that does not wait
                select.select([self._file], [], [])
                continue
            self._ended = not part  # a terminal would go on
            parts.append(part)
            size += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def wrap(self, file: Any) -> Given:
        """Wrap the file in a decompressor."""
        return Given(file, self.name, below=self)

    def close(self) -> None:
        """Close the file."""
        if not self.closed and self._file is not getattr(sys.stdin, "buffer", None):
            self._file.close()
            if self._below is not None:
                self._below.close()
        super().close()


def open_given(path: Name | Given, progress: Progress | None = None) -> Given:
    """Open a file, FIFO or stdin (`-`) to be read once.

    Parameters
    ----------
    progress
        Called with the numbers of bytes that are read.

    Raises
    ------
    NotFoundError
        There is no such file, or it cannot be read.
    InvalidInputError
        A pipe that was read before, and is empty now.
    """
    if isinstance(path, Given):
        path.progress = progress or path.progress
        return path
    try:
        file = getattr(sys.stdin, "buffer", None) if str(path) == "-" else open(path, "rb", buffering=0)
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}", "check the path") from None
    if file is None:
        raise NotFoundError("cannot read stdin: it is closed", "give a file")
    _refuse_second_time(file, path)
    return Given(file, show_path(path), None if is_pipe(path) else path, progress=progress)


def _refuse_second_time(file: Any, path: Name) -> None:
    """Refuse to read a pipe without a name again: it is empty once it was read."""
    if has_name(path):
        return
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):  # stdin that a program has put in place of its own
        again = sys.stdin in _read_stdins
        _read_stdins.add(sys.stdin)
    else:
        if file.isatty() or (stat.S_ISREG(status.st_mode) and str(path) != "-"):
            return
        again = (status.st_dev, status.st_ino) in _read_pipes
        _read_pipes.add((status.st_dev, status.st_ino))
    if again:
        raise InvalidInputError(
            f"{show_path(path)} is a pipe that was read already", "give it once; what is needed twice goes into a file first"
        )


def read_given(path: Name | Given, limit: int) -> bytes:
    """Read all of a small file; raise InvalidInputError if it has more bytes than `limit`."""
    with open_given(path) as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise InvalidInputError(
            f"{file} is larger than {limit >> 20} MiB" if limit >> 20 else f"{file} is larger than {limit >> 10} KiB"
        )
    return data


def as_file(path: Name | Given, folder: Name, suffix: str = "") -> Name:
    """Return a file that can be read twice and at random: the given one, or a copy in `folder` of a pipe's content.

    Parameters
    ----------
    suffix
        Of the copy's name.

    Raises
    ------
    InvalidInputError
        There is no room for the copy.
    """
    if not isinstance(path, Given) and not is_pipe(path):
        return path
    with open_given(path) as given:
        return given.path if given.path is not None else _copy(given, folder, suffix)


def _copy(given: Given, folder: Name, suffix: str) -> Copied:
    handle, target = tempfile.mkstemp(suffix, dir=folder)
    with open(handle, "wb", buffering=0) as file:
        while data := given.read(_PIECE):
            try:
                if file.tell() + len(data) > MAX_COPY:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                file.write(data)
            except OSError as error:
                raise InvalidInputError(
                    f"{given} is a pipe, and a copy of it cannot be kept in {folder}: {error.strerror}",
                    "give a file, or have TMPDIR name a folder with more room",
                ) from None
    return Copied(target, str(given))
