"""Bring files that other code reads by their path to this machine, compared with what is recorded of them.

What is here already is compared once for each state of the file, and a note
of that is kept; see `modos.reference.proofs`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modos.errors import IntegrityError, NotFoundError
from modos.formats import is_compressed
from modos.reference.fai import check_fai
from modos.reference.proofs import digests_of
from modos.reference.sequences import Files
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.memory_files import MemoryFiles
from modos.storage.verified import VerifiedFiles, mismatch

_INDEXES = (".fai", ".gzi")


def path_here(files: Files, key: str) -> Path | None:
    """Return a file as a path of this machine, all of it compared with what is recorded; None if it is elsewhere.

    Raises
    ------
    IntegrityError
        It is not what is recorded; with the first bytes that are not.
    """
    path = files.local_path(key)
    if path is None or not isinstance(files, VerifiedFiles) or not files.verifies(key):
        return path
    size = files.stat(key).size
    if digests_of(path, "parts")["parts"] not in files.roots(key):
        for _ in files.iter_range(key, 0, size):
            pass  # until the part that differs
        raise mismatch(f"{files.url}/{key}", 0, size)
    return path


def bring_here(files: Files, key: str, folder: Path, progress: Progress | None = None) -> Path:
    """Return a file as a path of this machine, fetched into a folder if it is elsewhere; compared as `path_here` does."""
    path = path_here(files, key)
    if path is None:
        path = folder / Path(key).name
        with open(path, "wb") as file:
            file.writelines(report(files.iter_range(key, 0, files.stat(key).size), progress))
    return path


@contextmanager
def open_here(files: Files, key: str) -> Iterator[Path]:
    """Give a file as a path of this machine: itself, a copy in a folder that is removed, or memory for an encrypted one."""
    if isinstance(files, Storage | VerifiedFiles) and not files.is_decrypted(key):
        with tempfile.TemporaryDirectory(prefix="modos-") as folder:
            yield bring_here(files, key, Path(folder))
    else:
        with MemoryFiles() as memory:
            yield memory.put(Path(key).name, files.iter_range(key, 0, files.stat(key).size))


def fasta_here(files: Files, fasta: str) -> Path | None:
    """Return a FASTA as a path of this machine, it and its indexes compared; None if it is elsewhere.

    An index that is not on record is compared with the FASTA itself.
    """
    path = path_here(files, fasta)
    if path is None or not isinstance(files, VerifiedFiles) or not files.verifies(fasta):
        return path
    for suffix in _INDEXES:
        try:
            size = files.stat(f"{fasta}{suffix}").size
        except NotFoundError:
            continue
        index = files.read_part(f"{fasta}{suffix}", 0, size)[0]
        if suffix == ".fai" and not is_compressed(fasta) and not files.verifies(f"{fasta}.fai"):
            _check_rows(files, fasta, index)
    return path


def _check_rows(files: VerifiedFiles, fasta: str, index: bytes) -> None:
    try:
        check_fai(lambda start, end: files.read_part(fasta, start, end)[0], files.stat(fasta).size, index, thorough=True)
    except IntegrityError as error:
        raise IntegrityError(
            f"{files.url}/{fasta}.fai does not fit {fasta}: {error.message}", "make it again with samtools faidx"
        ) from None
