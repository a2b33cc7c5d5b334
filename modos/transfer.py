"""Files into objects, and objects from one storage to another.

Plan first, then act: what is copied is known, with sizes and checksums, before
the first byte moves. Data files come first, the root document last, so that
the target is no object before it is whole; a failure removes what was copied.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modos import elements, records
from modos.errors import (
    AlreadyExistsError, ChecksumMismatch, ConflictError, InvalidInputError, ModosError, NotFoundError,
)
from modos.formats import format_of, index_names
from modos.storage import Storage
from modos.storage.base import CHUNK, Progress


@dataclass(frozen=True)
class StagedFile:
    """A data file in place: its size in bytes, its BLAKE2b checksum, and the keys that were written."""

    size: int
    checksum: str
    keys: tuple[str, ...]


def stage_file(storage: Storage, source: Path, key: str, progress: Progress | None = None) -> StagedFile:
    """Copy a file of this machine, with its index, to a key that is free.

    The index beside the source comes along under its canonical name; where
    there is none, it is built.

    Raises
    ------
    NotFoundError, AlreadyExistsError
        No source file; a key that is taken.
    TruncatedStream, InvalidInputError
        A source without its end marker; one that cannot be indexed.
    """
    if not source.is_file():
        raise NotFoundError(f"no source file {source}", "check the path")
    format = format_of(key)
    if format:
        records.check_complete(source, format)
    written: list[str] = []
    with tempfile.TemporaryDirectory(prefix="modos-") as folder:
        index = _find_or_build_index(source, key, Path(folder))
        try:
            size, checksum = _put(storage, source, key, progress)
            written.append(key)
            for path, index_key in index:
                _put(storage, path, index_key, progress)
                written.append(index_key)
        except BaseException:
            remove_files(storage, written)
            raise
    return StagedFile(size, checksum, tuple(written))


def _find_or_build_index(source: Path, key: str, folder: Path) -> list[tuple[Path, str]]:
    format = format_of(key)
    if format is None or not format.index_suffixes:
        return []
    beside = [Path(name) for name in index_names(source) if Path(name).is_file()]
    if format.name == "FASTA":
        if not beside and not str(source).endswith(".gz"):
            beside = [records.build_index(source, format, folder)]
        return [(path, key + path.suffix) for path in beside]
    if not beside and format.streamable:
        beside = [records.build_index(source, format, folder)]
    return [(path, key + path.suffix) for path in beside[:1]]


def _put(storage: Storage, source: Path, key: str, progress: Progress | None) -> tuple[int, str]:
    digest = hashlib.blake2b()

    def pieces() -> Iterator[bytes]:
        with open(source, "rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
                yield piece
                if progress:
                    progress(len(piece))

    try:
        size = source.stat().st_size
        storage.write_stream(key, pieces(), size=size)
    except ConflictError:
        raise AlreadyExistsError(f"there is a file {key} in {storage.url} already",
                                 "give the element another data_path, or remove the file") from None
    except PermissionError as error:
        if isinstance(error, ModosError):
            raise
        raise InvalidInputError(f"no permission to read {source}") from None
    return size, digest.hexdigest()


def remove_files(storage: Storage, keys: list[str] | tuple[str, ...]) -> None:
    """Clean up after a failure, as far as the storage still answers."""
    for key in keys:
        with suppress(ModosError):
            storage.delete(key)
    _remove_empty(storage)


def object_files(storage: Storage) -> list[tuple[str, int]]:
    """Keys and sizes of the files in an object, without its metadata."""
    zarr = elements.ZARR + "/"
    return [(info.key, info.size) for info in storage.iter_files() if not info.key.startswith(zarr)]


def copy_object(source: Storage, target: Storage, progress: Callable[[int], object] | None = None) -> int:
    """Copy a whole object to an empty place and check every byte; returns the bytes copied.

    Raises
    ------
    AlreadyExistsError
        The target is not empty.
    ChecksumMismatch
        A file is not what its metadata says.
    """
    document = elements.load(source)
    if next(target.iter_files(), None) is not None:
        raise AlreadyExistsError(f"{target.url} exists already and is not empty", "choose another target")
    checksums = {attributes["data_path"]: attributes["data_checksum"] for attributes in document.metadata().values()
                 if attributes.get("data_checksum") and attributes.get("data_path")}
    files = [(info.key, info.size) for info in source.iter_files() if info.key != elements.ROOT_KEY]
    written: list[str] = []
    try:
        for key, size in files:
            target.write_stream(key, _checked(source, key, size, checksums.get(key), progress), size=size)
            written.append(key)
        target.write(elements.ROOT_KEY, document.to_bytes(), if_absent=True)
    except BaseException:
        remove_files(target, written)
        raise
    return sum(size for _, size in files)


def _checked(storage: Storage, key: str, size: int, checksum: str | None, progress: Progress | None) -> Iterator[bytes]:
    digest = hashlib.blake2b()
    for piece in storage.iter_range(key, 0, size):
        digest.update(piece)
        yield piece
        if progress:
            progress(len(piece))
    if checksum and digest.hexdigest() != checksum:
        raise ChecksumMismatch(f"{storage.url}/{key} does not have the checksum in its metadata",
                               "the file was changed or damaged: restore it from a copy")


def _remove_empty(target: Storage) -> None:
    """Remove a local root that a failure left empty."""
    if not target.is_remote:
        with suppress(OSError):
            Path(target.url).rmdir()
