"""Copy the files of a tree into a storage, with their digests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from modos.errors import AlreadyExistsError, ConflictError
from modos.formats import files_name, parts_name
from modos.storage.base import Progress
from modos.storage.part_digests import DigestList, PartHasher
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes.cores import count_cores
from modos.storage.write_log import WriteLog
from modos.trees.manifest import Manifest
from modos.trees.tree_sources import SourceFile, TreeSource

SMALL = 4 << 20  # bytes of files that are put in one step
_REMOTE_WORKERS = 16


def stage_tree(
    log: WriteLog, source: TreeSource, files: Sequence[SourceFile], key: str, progress: Progress | None = None
) -> Manifest:
    """Copy a tree to a folder that has no files; returns what is recorded of it.

    Raises
    ------
    ConflictError
        A file is not as it was listed, or there are more or fewer by now.
    AlreadyExistsError
        There is a file of that name.
    """

    def copy(file: SourceFile, _: threading.Event) -> tuple[str, DigestList]:
        digests = PartHasher()
        put_file(log, f"{key}/{file.name}", file.size, digests.pass_on(source.iter_bytes(file)))
        if progress:
            progress(file.size)
        return file.name, digests.finish()

    workers = _REMOTE_WORKERS if log.storage.is_remote else count_cores()
    made = Manifest.make(key, dict(fetch_ahead(copy, files, workers, 4 * workers, wait=True)))
    source.check_unchanged(files)
    write_manifest(log, made)
    log.storage.flush()
    return made


def put_file(log: WriteLog, key: str, size: int, pieces: Iterator[bytes]) -> None:
    """Put a file of a tree that no reader knows yet; `Storage.flush` has to follow."""
    try:
        if size <= SMALL:
            log.storage.put_new(key, b"".join(pieces))
        else:
            log.storage.write_stream(key, pieces, size=size)
    except ConflictError:
        if not log.storage.exists(key):
            raise
        raise AlreadyExistsError(
            f"there is a file {key} in {log.storage.url} already",
            "give the element another data_path, or look at it and remove it",
        ) from None
    log.wrote(key)


def write_manifest(log: WriteLog, manifest: Manifest) -> None:
    """Write the list of the files of a tree, and that of their digests, beside it."""
    for name, content in ((files_name(manifest.key), manifest.listed), (parts_name(manifest.key), manifest.digests.to_bytes())):
        put_file(log, name, len(content), iter([content]))


def digest_tree(source: TreeSource, files: Sequence[SourceFile], key: str) -> Manifest:
    """Compute what would be recorded of a tree, without copying it."""

    def read(file: SourceFile, _: threading.Event) -> tuple[str, DigestList]:
        digests = PartHasher()
        for piece in source.iter_bytes(file):
            digests.update(piece)
        return file.name, digests.finish()

    return Manifest.make(key, dict(fetch_ahead(read, files, count_cores(), 4 * count_cores())))
