"""Use files safely in a folder that other users can write to."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe of that name does not wait for its other end


def open_part(part: Path) -> BinaryIO:
    """Open what an earlier try of this user has left, to go on; whatever else has the name is removed, and a new file begun."""
    try:
        descriptor = os.open(part, _FLAGS)
    except FileNotFoundError:
        return _create(part)
    except OSError:  # a link, or a file of another user, who alone may read it
        part.unlink()
        return _create(part)
    if is_own(os.fstat(descriptor)):
        return os.fdopen(descriptor, "r+b")
    os.close(descriptor)
    part.unlink()
    return _create(part)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600), "r+b")


def is_own(status: os.stat_result) -> bool:
    """Return whether something is a file of this user, that has no other name and that nobody else can write."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and status.st_nlink == 1
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def replace_file(path: Path, data: bytes) -> None:
    """Put a small file, that all can read, in the place of one that is there."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with _create(part) as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make_like_above(folder: Path) -> None:
    """Make a folder with the permissions of the one above it; raise FileExistsError if there is something."""
    folder.mkdir()
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                os.fchmod(descriptor, folder.parent.stat().st_mode & 0o7777)
        finally:
            os.close(descriptor)


def iter_two_below(folder: Path) -> Iterator[Path]:
    """List what is two folders below a folder; links to folders, which may be to anywhere, are not followed."""
    for middle in _folders(folder):
        for last in _folders(middle):
            with suppress(OSError):
                yield from sorted(last.iterdir())


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(Path(entry) for entry in os.scandir(folder) if len(entry.name) == 2 and entry.is_dir(follow_symlinks=False))
    return []


def is_file(path: Path) -> bool:
    """Return whether a path is a file, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False
