"""Open and identify local files, and translate the system's errors on them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError, StorageFullError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TICK, _COARSE_TICK = 50_000_000, 2_500_000_000  # nanoseconds within which two changes may get the same time


def open_file(path: Path) -> FileIO:
    """Open a file to read; a pipe or a device of that name is neither waited for nor read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        refuse_special(path, os.fstat(descriptor))
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_special(path: Path, status: os.stat_result) -> None:
    """Raise InvalidInputError for what is neither a file nor a folder."""
    if not S_ISREG(status.st_mode) and not S_ISDIR(status.st_mode):
        raise InvalidInputError(
            f"{path} is a pipe or a device, and no file", "an object holds its own files: copy what it gives into one"
        )


def file_marks(stat: os.stat_result) -> tuple[int, ...]:
    """Identify a file as it is now: numbers from its status that no other file has."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def are_unique(marks: tuple[int, ...], now: int) -> bool:
    """Return whether no later file can have the same marks, even with the inode of this one: the clock has moved on."""
    changed = marks[-1]
    return now - changed > (_TICK if changed % 1_000_000 else _COARSE_TICK)


def read_up_to(file: FileIO, count: int) -> bytes:
    """Read so many bytes, fewer only at the end of the file; one read may give less than was asked for."""
    data = file.read(max(count, 0))
    while len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors on a file into ours."""
    try:
        yield
    except ModosError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFoundError(f"no file {path}") from None
    except PermissionError as error:
        raise AccessError(f"no permission for {error.filename or path}", "ask its owner, or use another place") from None
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(f"cannot write {path}: {error.strerror}", "free some space, and try again") from error
        if error.errno == errno.ENAMETOOLONG:
            raise NotFoundError(f"there can be no file {path}: its name is too long") from None
        raise ModosError(f"cannot use {path}: {error.strerror or error}") from error
