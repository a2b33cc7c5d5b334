"""Compute the digest of a local file once, where nobody else can change the file or the note of it.

A note lies in a folder of the user's own and says of which file it is: device,
inode, size and times. It holds for a file that only the user or root can
write. Any other file is read by each process that uses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

from modos.reference.digests import SequenceHash
from modos.reference.shared import replace_file
from modos.storage.local_files import are_unique, file_marks
from modos.storage.part_digests import PartHasher

_PIECE = 1 << 20
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_known: dict[Path, tuple[tuple[int, ...], dict[str, str]]] = {}  # what this process has computed


class SequenceDigests:
    """The digests by which sequences are known: `md5` and `ga4gh`."""

    def __init__(self) -> None:
        self._hash = SequenceHash()

    def update(self, bases: bytes) -> None:
        """Add bases."""
        self._hash.update(bases)

    def result(self) -> dict[str, str]:
        """Return the digests of all that was added."""
        return self._hash.digests()._asdict()


class TableDigests:
    """The digest by which tables are known: `sha256`."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)

    def result(self) -> dict[str, str]:
        """Return the digest of all that was added."""
        return {"sha256": self._hash.hexdigest()}


class PartDigests:
    """The digest by which files of objects are known: `parts`, the root of the list of the digests of their parts."""

    def __init__(self) -> None:
        self._hash = PartHasher()

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)

    def result(self) -> dict[str, str]:
        """Return the digest of all that was added."""
        return {"parts": self._hash.finish().root}


Hasher = SequenceDigests | TableDigests | PartDigests


def new_digests(algorithm: str) -> Hasher:
    """Make an object that computes digests by an algorithm: `md5`, `sha256` or `parts`."""
    return SequenceDigests() if algorithm == "md5" else PartDigests() if algorithm == "parts" else TableDigests()


def find_difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Find the first digest that differs from the wanted one: its kind, what was found, and what was wanted."""
    return next(((kind, found[kind], digest) for kind, digest in wanted.items() if found[kind] != digest), None)


def digests_of(path: Path, algorithm: str) -> dict[str, str]:
    """Return the digests of a file; compute them if that was not done before."""
    with suppress(OSError):
        marks = file_marks(os.stat(path))
        known = _known.get(path) or _read_note(path)
        if known and known[0] == marks and algorithm in known[1]:
            return known[1]
    return compute(path, algorithm)


def compute(path: Path, algorithm: str) -> dict[str, str]:
    """Compute the digests of a file, from its bytes."""
    found = new_digests(algorithm)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        now, status = time.time_ns(), os.fstat(file.fileno())
        for piece in _pieces(file):
            found.update(piece)
        after = file_marks(os.fstat(file.fileno()))
    marks, digests = file_marks(status), found.result()
    if marks == after and are_unique(marks, now):
        _known[path] = marks, digests
        if is_ours(status):
            _write_note(path, marks, digests)
    return digests


def _pieces(file: FileIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def is_ours(status: os.stat_result) -> bool:
    """Return whether nobody but this user and root can change something."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & _OTHERS


def state_folder(kind: str) -> Path:
    """Return the user's own folder for notes of a kind; raise RuntimeError for a user without a home."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "modos" / kind


def _note_of(path: Path) -> Path:
    return state_folder("digests") / f"{hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]}.json"


def _read_note(path: Path) -> tuple[tuple[int, ...], dict[str, str]] | None:
    """Read what an earlier process has noted; nothing if others could have."""
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        note = _note_of(path)
        descriptor = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not is_ours(os.fstat(descriptor)) or not is_ours(note.parent.stat()) or not is_ours(os.stat(path)):
                return None
            given = json.loads(file.read(1 << 12))
        return tuple(map(int, given["marks"])), {str(kind): str(digest) for kind, digest in given["digests"].items()}
    return None


def _write_note(path: Path, marks: tuple[int, ...], digests: dict[str, str]) -> None:
    with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        note = _note_of(path)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(note, json.dumps({"marks": marks, "digests": digests}).encode())
