"""Copy the files of a tree into a storage, with their digests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from modos.errors import AlreadyExistsError, ConflictError
from modos.formats import files_name, parts_name
from modos.storage.base import Progress, Storage, report
from modos.storage.part_digests import DigestList, PartHasher, digest_pieces, list_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.system import count_cores
from modos.storage.write_log import WriteLog
from modos.trees.batches import SMALL, gather_batches
from modos.trees.manifest import Manifest
from modos.trees.tree_sources import SourceFile, TreeSource

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

    def copy(batch: list[SourceFile], _: threading.Event) -> list[tuple[str, DigestList]]:
        if batch[0].size > SMALL:
            return [
                (file.name, put_file(log, f"{key}/{file.name}", file.size, source.iter_bytes(file), progress)) for file in batch
            ]
        digests = put_files(log, [(f"{key}/{file.name}", b"".join(source.iter_bytes(file))) for file in batch], progress)
        return list(zip((file.name for file in batch), digests, strict=True))

    batches = gather_batches(files, lambda file: file.size, one_by_one=log.storage.is_remote)
    copied = fetch_ahead(copy, batches, *count_writers(log.storage), wait=True)
    made = Manifest.make(key, dict(chain.from_iterable(copied)))
    source.check_unchanged(files)
    write_manifest(log, made)
    log.storage.flush()
    return made


def count_writers(storage: Storage) -> tuple[int, int]:
    """Return how many batches of files are worked at, and how many are in progress or done."""
    workers = _REMOTE_WORKERS if storage.is_remote else count_cores()
    return workers, 4 * workers


def put_file(log: WriteLog, key: str, size: int, pieces: Iterator[bytes], progress: Progress | None) -> DigestList:
    """Put a large file of a tree that no reader knows yet; returns the digests of its parts."""
    digests = PartHasher()
    with _tell_what_is_there(log, [key]):
        log.storage.write_stream(key, report(digests.pass_on(pieces), progress), size=size)
    log.wrote(key)
    return digests.finish()


def put_files(log: WriteLog, files: Sequence[tuple[str, bytes]], progress: Progress | None = None) -> list[DigestList]:
    """Put small files that no reader knows yet, by their keys; returns the digests of each. `Storage.flush` has to follow."""
    with _tell_what_is_there(log, [key for key, _ in files]):
        log.storage.put_all(files, log.wrote)
    if progress:
        progress(sum(len(data) for _, data in files))
    return [list_parts(data) for _, data in files]


@contextmanager
def _tell_what_is_there(log: WriteLog, keys: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except ConflictError:
        taken = next((key for key in keys if key not in log.keys and log.storage.exists(key)), None)
        if taken is None:
            raise
        raise AlreadyExistsError(
            f"there is a file {taken} in {log.storage.url} already",
            "give the element another data_path, or look at it and remove it",
        ) from None


def write_manifest(log: WriteLog, manifest: Manifest) -> None:
    """Write the list of the files of a tree, and that of their digests, beside it."""
    for name, content in ((files_name(manifest.key), manifest.listed), (parts_name(manifest.key), manifest.digests.to_bytes())):
        put_file(log, name, len(content), iter([content]), None)


def digest_tree(source: TreeSource, files: Sequence[SourceFile], key: str) -> Manifest:
    """Compute what would be recorded of a tree, without copying it."""

    def read(batch: list[SourceFile], _: threading.Event) -> list[tuple[str, DigestList]]:
        return [(file.name, digest_pieces(source.iter_bytes(file))) for file in batch]

    read_ahead = fetch_ahead(read, gather_batches(files, lambda file: file.size), count_cores(), 4 * count_cores())
    return Manifest.make(key, dict(chain.from_iterable(read_ahead)))
