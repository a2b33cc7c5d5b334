"""What a change is about to leave behind, written down before it starts.

A change that brings or removes files first writes their keys to
`.modos/<mark>.json`. Whatever happens then, each of these files either
belongs to the committed object or is garbage; the root document says which.
So a change that was killed is cleaned up by anyone who comes later, and
files that modos did not write are never touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from modos import ownership
from modos.elements.document import ZARR, Document
from modos.elements.store import load, mirror_key
from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.formats import index_names
from modos.storage import Storage, check_key

FOLDER = ".modos"
_WORKERS = 8


@dataclass(frozen=True)
class Entry:
    """A change under way, or one that was left: its key, the files and folders of arrays it is about, and whether it was left."""

    key: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    abandoned: bool

    def covers(self, key: str) -> bool:
        """Whether it is about a file."""
        return key in self.files or any(key.startswith(f"{folder}/") for folder in self.folders)


@contextmanager
def recorded(storage: Storage, new: Iterable[str], old: Iterable[str],
             keep: tuple[type[BaseException], ...] = (), new_folders: Iterable[str] = (),
             old_folders: Iterable[str] = ()) -> Iterator[list[str]]:
    """Keep the keys of files on record while some are written and others become superfluous.

    At the end, well or not, those of them that belong to no element are
    deleted. Where that fails the record stays, and `recover` does it later.

    Parameters
    ----------
    new
        Files that will be written. The caller appends those that it has
        written to the list that is yielded; others may be somebody else's.
    old
        Files that the commit makes superfluous.
    keep
        Errors after which the files stay, on record, for one who goes on.
    new_folders, old_folders
        Of arrays that will be written, and of those that the commit makes
        superfluous.
    """
    old, old_folders = set(old), sorted(set(old_folders))
    folders = [*old_folders, *new_folders]
    files = sorted(old | set(new))
    written: list[str] = []
    if not files and not folders:
        yield written
        return
    mark = ownership.new_mark()
    key = f"{FOLDER}/{mark}.json"
    try:
        storage.write(key, json.dumps({"files": files, "folders": folders, "time": time.time()}).encode())
        try:
            yield written
        except keep:
            raise
        except BaseException:
            _clean_up(storage, key, old.union(written), old_folders)
            raise
        _clean_up(storage, key, old.union(written), old_folders)
    finally:
        ownership.release(mark)


def _clean_up(storage: Storage, key: str, files: set[str], folders: Iterable[str]) -> None:
    with suppress(ModosError):
        _delete_unowned(storage, files, folders)
        storage.delete(key)


def entries(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[Entry]:
    """The changes on record."""
    found = []
    for info in storage.iter_files(FOLDER):
        name = info.key.removeprefix(f"{FOLDER}/").removesuffix(".json")
        if "/" in name:  # of the storage
            continue
        try:
            record = json.loads(storage.read(info.key)[0])
            files = tuple(check_key(file) for file in record["files"])
            folders = tuple(check_key(folder) for folder in record.get("folders", ()))
            if not all(folder.startswith(f"{ZARR}/") for folder in folders):
                raise ValueError
            age = time.time() - float(record["time"])
        except NotFoundError:
            continue
        except (ValueError, KeyError, TypeError, InvalidInputError):
            files, folders, age = (), (), limit
        found.append(Entry(info.key, files, folders, ownership.is_abandoned(name, age, limit)))
    return found


def recover(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[str]:
    """Clean up after changes that were left; returns the keys of the files that were deleted."""
    known = entries(storage, limit)
    left = [entry for entry in known if entry.abandoned]
    if not left:
        return []
    busy = [entry for entry in known if not entry.abandoned]
    files = {file for entry in left for file in entry.files if not any(other.covers(file) for other in busy)}
    folders = {folder for entry in left for folder in entry.folders} - {folder for other in busy for folder in other.folders}
    deleted = _delete_unowned(storage, files, folders)
    for entry in left:
        storage.delete(entry.key)
    return deleted


def is_owned_in(storage: Storage) -> Callable[[str], bool]:
    """Whether a key belongs to the object as it is committed: metadata, an element's file, or its index."""
    try:
        document = load(storage)
    except NotFoundError as error:
        if error.hint and "create it first" in error.hint:  # no bucket: nothing is known
            raise
        return lambda key: False
    return ownership_of(document)


def ownership_of(document: Document) -> Callable[[str], bool]:
    """Whether a key belongs to an object with this root."""
    owned, arrays = files_of(document), document.array_folders()
    mirrors = {mirror_key(path) for path in document.nodes}

    def is_owned(key: str) -> bool:
        if not key.startswith(f"{ZARR}/") or key in mirrors or key.count("/") == 1:
            return key in owned or key.startswith(f"{ZARR}/")
        parts = key.split("/")
        return document.zarr_format == 2 or any("/".join(parts[:length]) in arrays for length in range(2, len(parts)))

    return is_owned


def files_of(document: Document) -> set[str]:
    """The keys that the files of a document's elements and their indexes have."""
    return files_at(document.data_paths())


def files_at(paths: Iterable[str]) -> set[str]:
    """The keys that files and their indexes have."""
    return {key for path in paths for key in (path, *index_names(path))}


def _delete_unowned(storage: Storage, files: Iterable[str], folders: Iterable[str] = ()) -> list[str]:
    is_owned = is_owned_in(storage)
    files = set(files).union(*([info.key for info in storage.iter_files(folder)] for folder in folders))

    def delete(key: str) -> bool:
        storage.drop_kept(key)
        found = storage.exists(key)
        if found:
            storage.delete(key)
        return found

    garbage = [file for file in sorted(files) if not is_owned(file)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        return [key for key, found in zip(garbage, pool.map(delete, garbage)) if found]
