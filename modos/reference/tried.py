"""Try to read a stranger's table in a child process first, as it may crash the reader.

That is done when a table is first used. A note in a folder of the user's own
says so for its content, by its digest, so that it is done once on a machine.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from modos.errors.missing import need
from modos.reference.proofs import is_ours, state_folder
from modos.reference.shared import replace_file
from modos.storage.processes.children import Child

MEMORY = 8 << 30  # bytes that reading a column may take
SECONDS = 300

_child = Child("modos.reference.annotations.parquet", "try_table", MEMORY, SECONDS)
_known: set[str] = set()


def try_once(path: Path, sha256: str) -> Path:
    """Return a table, once a trial has shown that it can be read.

    Raises
    ------
    IntegrityError, InvalidInputError
        It is damaged; it is larger than tables may be, or polars is not installed.
    """
    need("polars")
    if sha256 not in _known:
        note = _note_of(sha256)
        if note is None or not _is_noted(note):
            _child.call(str(path), path)
            if note is not None:
                _write(note)
        _known.add(sha256)
    return path


def _note_of(sha256: str) -> Path | None:
    with suppress(RuntimeError):  # a user without a home
        return state_folder("tables") / f"{sha256[:40]}.{version('polars')}"
    return None


def _is_noted(note: Path) -> bool:
    with suppress(OSError):
        return is_ours(note.parent.stat()) and is_ours(note.lstat())
    return False


def _write(note: Path) -> None:
    with suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(note, b"")
