"""Read, write and remove many small files of a folder, which is looked at once and not for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from modos.storage import modes
from modos.storage.base import check_key

Item = TypeVar("Item")


def group_by_folder(items: Iterable[Item], key_of: Callable[[Item], str]) -> Iterator[list[Item]]:
    """Group items that follow each other by the folders of their keys."""
    return (list(members) for _, members in groupby(items, lambda item: key_of(item).rpartition("/")[0]))


def name_in_folder(key: str) -> str:
    """Return the name of a file in its folder; raise InvalidInputError if the key leads elsewhere."""
    return check_key(key).rpartition("/")[2]


def read_files(folder: int, files: Sequence[tuple[str, int]]) -> list[bytes | None]:
    """Read files of a folder, each up to a number of bytes; None for what is not simply a file that can be read."""
    return [_read_file(folder, name, most) for name, most in files]


def _read_file(folder: int, name: str, most: int) -> bytes | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return None
    try:
        data = os.read(descriptor, most)
        while len(data) < most and (more := os.read(descriptor, most - len(data))):
            data += more
        return data
    except OSError:
        return None
    finally:
        os.close(descriptor)


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Write new files into a folder, each with the mode that `modes.create_file` gives it; yields the name of each that is there.

    Raises
    ------
    FileExistsError
        There is one of that name.
    """
    with modes.create_in(folder) as (descriptor, create):
        for name, data in files:
            file = create(name)
            try:
                written = os.write(file, data)
                while written < len(data):
                    written += os.write(file, memoryview(data)[written:])
            except BaseException:
                with suppress(OSError):
                    os.unlink(name, dir_fd=descriptor)
                raise
            finally:
                os.close(file)
            yield name


def remove_files(folder: int, names: Iterable[str]) -> None:
    """Remove files of a folder; nothing happens where there is none, or a folder."""
    for name in names:
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=folder)
