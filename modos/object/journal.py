"""A journal of changes, which records what a change is about to leave behind before it starts.

A change that brings or removes files first writes their keys to
`.modos/<mark>.json`. Whatever happens then, each of these files either
belongs to the committed object or is garbage; the root document says which.
So a change that was killed is cleaned up by the next one, and files that modos
did not write are never touched.

A cleanup claims the record, then writes the root anew, then deletes. A commit
reads the root, looks at the record and the files, and replaces the root on
condition that it is the one that was read. So either the commit is made and
its files stay, or it fails: whatever the clocks say, and however long either
of them sleeps in between.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from modos.errors import (
    BucketNotFoundError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    StorageFullError,
    listing,
)
from modos.formats import (
    ZARR,
    cuts_name,
    index_names,
    is_encrypted,
    is_tree_path,
    names_beside_tree,
    parts_name,
    plain_name,
)
from modos.formats.crypt4gh import part_size
from modos.object.commits import fence, load, mirror_key
from modos.object.document import Document
from modos.object.record import Entry, Record, entries
from modos.storage import ObjectInfo, Storage
from modos.storage.processes import ownership
from modos.storage.write_log import WriteLog

_WORKERS = 8
_FEW = 16  # files that are asked for one by one; of more, their folder is listed


class Journal(WriteLog):
    """Change that is on record, as its maker sees it.

    Attributes
    ----------
    tried
        Whether the commit was tried.
    replaced
        Folders of arrays that were found to become superfluous since it
        began.
    """

    def __init__(self, storage: Storage, record: Record | None):
        super().__init__(storage)
        self.tried = False
        self.replaced: set[str] = set()
        self._adopted: list[Entry] = []
        self._record = record

    def check(self, sizes: Mapping[str, int | None]) -> None:
        """Check that the change is on record and its files are there; call it right before the commit.

        Parameters
        ----------
        sizes
            The files that the new root names, and their bytes where that is
            known.

        Raises
        ------
        ConflictError
            Somebody took the change for abandoned, or files are gone.
        """
        self.tried = True
        if self._record is None:
            return
        with ThreadPoolExecutor(1) as pool:
            checked = pool.submit(self._record.check)
            there = {info.key: info.size for info in _find_infos(self.storage, sizes)}
            checked.result()
        gone = sorted(key for key, size in sizes.items() if key not in there or size not in (None, there[key]))
        if gone:
            raise ConflictError(
                f"{listing(gone)} in {self.storage.url} {'was' if len(gone) == 1 else 'were'} removed or changed "
                "by somebody else before the commit",
                "nothing was changed: try again",
            )

    def check_created(self) -> None:
        """Check the record once again, after an object was made: before, it had no root that others could write anew.

        Raises
        ------
        IntegrityError
            Somebody took the change for abandoned.
        """
        if not self.is_ours():
            raise IntegrityError(
                f"while {self.storage.url} was made, somebody took that for abandoned: it may lack files",
                "see with `modos check` what is missing, or remove it and make it again",
            )

    def replaces(self, folders: Iterable[str]) -> None:
        """Put folders of arrays on record that become superfluous; raise ConflictError if the change is not ours any more."""
        if (new := set(folders) - self.replaced) and self._record:
            self._record.extend(new)
            self.replaced |= new

    def is_ours(self) -> bool:
        """Return whether nobody took the change for abandoned."""
        try:
            if self._record:
                self._record.check()
        except ConflictError:
            return False
        return True

    def adopt(self) -> None:
        """Take over what other changes have left, to go on with it; raise ConflictError if somebody cleans it up."""
        self._adopted = [entry for entry in entries(self.storage) if entry.abandoned and entry.is_ours] if self._record else []
        for entry in self._adopted:
            if self._record and not entry.claim(self.storage, self._record.mark):
                raise ConflictError(f"somebody else cleans up after {entry.key} in {self.storage.url}", "try again")

    def has_adopted(self, key: str) -> bool:
        """Return whether a file was certainly left by a change that was taken over."""
        info = self.storage.stat(key)
        return any(entry.may_delete(info) for entry in self._adopted)


@contextmanager
def keep_record(
    storage: Storage,
    new: Iterable[str],
    old: Iterable[str],
    keep: tuple[type[BaseException], ...] = (),
    new_folders: Iterable[str] = (),
    old_folders: Iterable[str] = (),
) -> Iterator[Journal]:
    """Keep the keys of files on record while some are written and others become superfluous.

    At the end, well or not, those of them that belong to no element are
    deleted. Where that fails the record stays, and `recover` does it later.
    A change that somebody else took for abandoned is left to them.

    Parameters
    ----------
    new
        Files that will be written.
    old
        Files that the commit makes superfluous.
    keep
        Errors after which the files stay, on record, for a later attempt.
    new_folders, old_folders
        Of arrays that will be written, and of those that the commit makes
        superfluous.
    """
    new, old, old_folders = set(new), set(old), sorted(set(old_folders))
    folders = [*old_folders, *new_folders]
    if not new and not old and not folders:
        yield Journal(storage, None)
        return
    record = Record(storage, new, old, folders)
    journal = Journal(storage, record)
    try:
        record.begin()
        try:
            yield journal
        except keep:
            raise
        except BaseException:
            _clean_up_after_error(storage, journal, record, old.union(journal.keys), {*old_folders, *journal.replaced})
            raise
        _clean_up(storage, record, old.union(journal.keys), {*old_folders, *journal.replaced})
    finally:
        record.end()


def _clean_up(storage: Storage, record: Record, files: set[str], folders: Iterable[str], fenced: bool = False) -> None:
    with suppress(ModosError):
        document = _document_in(storage)
        found = [info.key for info in _find_unowned(storage, files, folders, ownership_of(document))]
        if found and document and fenced:
            is_owned = ownership_of(fence(storage))
            found = [key for key in found if not is_owned(key)]
        _delete(storage, found)
        record.delete()


def _clean_up_after_error(storage: Storage, journal: Journal, record: Record, files: set[str], folders: Iterable[str]) -> None:
    with suppress(ModosError):
        if journal.is_ours():  # a commit without an answer may still be on its way
            _clean_up(storage, record, files, folders, fenced=journal.tried and storage.is_remote)
        else:  # what was written since may be anybody's by now
            record.leave()
            recover(storage)


def refuse_busy(storage: Storage, known: Iterable[Entry]) -> None:
    """Raise ConflictError where one of the changes on record is under way, or may be."""
    if busy := [entry for entry in known if not entry.abandoned]:
        files = len(busy[0].files)
        raise ConflictError(
            f"somebody is changing {storage.url}, with {files:,} file{'' if files == 1 else 's'}",
            "wait for its end; where that was killed, in a container or on another machine, "
            f"`modos check {storage.url} --fix --older-than 0` removes what it left",
        )


def recover(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[str]:
    """Clean up after abandoned changes; returns the keys of the files that were deleted."""
    known = [entry for entry in entries(storage, limit) if entry.abandoned]
    if not known:
        return []
    mark = ownership.new_mark()
    try:
        left = [entry for entry in known if _claim(storage, entry, mark)]
        claimed = {entry.key for entry in left}
        busy = [entry for entry in entries(storage, limit) if not entry.abandoned and entry.key not in claimed]
        deleted = _delete(storage, _find_garbage(storage, left, busy))
        for entry in left:
            if not any(other.covers(file) for other in busy for file in entry.files):
                storage.delete(entry.key)
        return deleted
    finally:
        ownership.release(mark)


def _claim(storage: Storage, entry: Entry, mark: str) -> bool:
    try:
        return entry.claim(storage, mark)
    except StorageFullError:
        return entry.has_ended  # what it left is the space that is missing


def _find_garbage(storage: Storage, left: list[Entry], busy: list[Entry]) -> list[str]:
    """Find what changes have left, once nothing that has it can be committed any more."""
    document = _document_in(storage)
    proven = [entry for entry in left if entry.is_ours]
    files = {key for entry in proven for key in entry.files if not any(other.covers(key) for other in busy)}
    folders = {folder for entry in proven for folder in entry.folders} - {folder for other in busy for folder in other.folders}
    is_owned = ownership_of(document)
    found = [
        info.key for info in _find_unowned(storage, files, folders, is_owned) if any(entry.may_delete(info) for entry in proven)
    ]
    if found and document and any(storage.is_remote or not entry.has_ended for entry in proven):
        is_owned = ownership_of(fence(storage))
    kept = {key for entry in proven for key in entry.new & files if not is_owned(key)}
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(storage.drop_kept, kept))
    return [key for key in found if not is_owned(key)]


def _find_unowned(
    storage: Storage, files: Iterable[str], folders: Iterable[str], is_owned: Callable[[str], bool]
) -> list[ObjectInfo]:
    """Find those of some files, and of the files in folders, that are there and belong to no element."""
    below = [info for folder in folders for info in storage.iter_files(folder) if not is_owned(info.key)]
    keys = set(files).difference(info.key for info in below)
    return [*below, *_find_infos(storage, sorted(key for key in keys if not is_owned(key)))]


def _stat(storage: Storage, key: str) -> ObjectInfo | None:
    try:
        return storage.stat(key)
    except (NotFoundError, InvalidInputError):  # a link that leads out of the object is nothing that modos wrote
        return None


def _delete(storage: Storage, keys: Iterable[str]) -> list[str]:
    keys = sorted(set(keys))
    storage.delete_all(keys)
    return keys


def _find_infos(storage: Storage, keys: Iterable[str]) -> Iterator[ObjectInfo]:
    """Find those files that are there, by listing the folders that many of them are in."""
    groups: dict[str, set[str]] = {}
    for key in keys:
        folders = key.split("/")[:-1]
        groups.setdefault("/".join(folders[: 3 if folders[:1] == [ZARR] else 1]), set()).add(key)
    for folder, members in groups.items():
        if len(members) > _FEW:
            yield from (info for info in storage.iter_files(folder) if info.key in members)
            continue
        with ThreadPoolExecutor(_WORKERS) as pool:
            yield from (info for info in pool.map(lambda key: _stat(storage, key), sorted(members)) if info is not None)


def _document_in(storage: Storage) -> Document | None:
    try:
        return load(storage)
    except BucketNotFoundError:
        raise
    except NotFoundError:
        return None


def ownership_of(document: Document | None) -> Callable[[str], bool]:
    """Return a test of whether a key belongs to an object with this root: as metadata, a file, or what lies beside it."""
    if document is None:
        return lambda key: False
    owned, arrays, trees = files_of(document), document.array_folders(), document.tree_folders()
    mirrors = {mirror_key(path) for path in document.nodes}

    def is_owned(key: str) -> bool:
        if not key.startswith(f"{ZARR}/") or key in mirrors or key.count("/") == 1:
            return key in owned or key.startswith(f"{ZARR}/") or is_below(key, trees)
        parts = key.split("/")
        return document.zarr_format == 2 or any("/".join(parts[:length]) in arrays for length in range(2, len(parts)))

    return is_owned


def is_below(key: str, folders: Container[str]) -> bool:
    """Return whether a key is that of a file in one of some folders."""
    at = key.find("/")
    while at >= 0:
        if key[:at] in folders:
            return True
        at = key.find("/", at + 1)
    return False


def files_of(document: Document) -> set[str]:
    """Return the keys of the files of a document's elements, and of what lies beside them."""
    return {
        key for element_id in document.data_paths().values() for key in files_of_element(document.nodes[element_id]["attributes"])
    }


def files_of_element(attributes: Mapping[str, Any]) -> set[str]:
    """Return the keys of an element's file, of its indexes, and of its lists; of a tree, those of its lists.

    An encrypted file of which no encrypted index is on record may have a plain one
    beside it.
    """
    path, digests = attributes["data_path"], attributes.get("header_digests")
    is_alone = is_encrypted(path) and isinstance(digests, list) and len(digests) == 1
    return own_files(attributes).union(index_names(plain_name(path)) if is_alone else ())


def own_files(attributes: Mapping[str, Any]) -> set[str]:
    """Return the keys of an element's file, of its indexes of that name, and of its lists."""
    path = attributes["data_path"]
    if is_tree_path(path):
        return set(names_beside_tree(attributes))
    beside = [
        *([parts_name(path)] if has_list(attributes) else ()),
        *([cuts_name(path)] if is_encrypted(path) and attributes.get("cuts_checksum") else ()),
    ]
    return {path, *index_names(path), *beside}


def has_list(attributes: Mapping[str, Any]) -> bool:
    """Return whether an element's file has a list of digests, as is recorded: any other file of its name is somebody's own."""
    path, size = attributes["data_path"], attributes.get("data_size")
    return bool(attributes.get("data_digest")) and isinstance(size, int) and size > part_size(path)
