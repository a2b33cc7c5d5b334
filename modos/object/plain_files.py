"""Find the files of an object under the names that users call them by, plain."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modos.errors import ConflictError, DecryptError, ModosError, NotFoundError, listing, make_locked_error
from modos.formats import index_names, is_encrypted, is_file_path, name_of, plain_name
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.part_lists import verified_files
from modos.object.sealed_files import SealedFiles
from modos.storage import ObjectInfo, Readable, Storage
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

_LOOKERS = 8  # files that are looked for at once


@dataclass
class PlainFile:
    """A file of the object as others read it.

    Parameters
    ----------
    name
        Path in the object by which users call it; without the ending of an encrypted file.
    files, key
        What its plain bytes are read from, and the key there.
    tag
        Tag of what is stored.
    data_name
        Name of the data file that an index is of; the own name of a data file.
    modified
        When it was stored, in seconds since 1970, by the clock of its storage; None where that is not told.
    """

    name: str
    files: Readable
    key: str
    tag: str
    data_name: str
    modified: float | None = None
    _info: ObjectInfo | None = field(default=None, repr=False)

    @property
    def is_index(self) -> bool:
        """Return whether it is an index of another file."""
        return self.data_name != self.name

    def open(self) -> ObjectInfo:
        """Return the plain size and the tag of the file; an encrypted one is opened at the first call.

        Raises
        ------
        ConflictError
            The file was replaced since it was looked for.
        IntegrityError
            It is damaged, has another size than is recorded, or is not encrypted for the key.
        """
        if self._info is None:
            self._info = self.files.read_part(self.key, 0, 1, if_match=self.tag)[1]
        return self._info

    def read(self, start: int, end: int) -> bytes:
        """Read plain bytes [start, end), all of them; raise ConflictError where the file is another by now."""
        data, _ = self.files.read_part(self.key, start, end, if_match=self.tag)
        if len(data) != end - start:
            raise ConflictError(f"{self.files.url}/{self.key} ends before byte {end:,}", "open the object again")
        return data


class PlainFiles:
    """Files of an object by their plain names, as the newest document has them; safe to use from several threads.

    Parameters
    ----------
    secret
        Opens the encrypted files; they are left out where it is None.
    """

    def __init__(self, opened: OpenObject, secret: SecretKey | None = None):
        self._object = opened
        self._secret = secret
        self._sealed = None if secret is None else SealedFiles(opened.storage, lambda: opened.metadata, secret)
        self._names: _Names | None = None
        forking.begin(self, PlainFiles._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Address of the object."""
        return self._object.storage.url

    @property
    def locked(self) -> list[str]:
        """Names of the files that it does not open, as far as they were looked for."""
        return [] if self._names is None else list(self._names.locked)

    def check_key(self) -> None:
        """Raise DecryptError where there is a key, and files are encrypted, and it opens none of them."""
        files = self.list_files()
        if self._sealed and self.locked and not any(file.files is self._sealed.view for file in files):
            raise DecryptError(
                f"the key opens none of the encrypted files of {self.url}: {listing(self.locked)}",
                "`modos c4gh recipients` shows for whom they are encrypted",
            )

    def list_files(self) -> list[PlainFile]:
        """List the files of the newest document, each data file before its indexes."""
        names = self._current()
        names.look(self._object.storage, list(names.candidates))
        return [file for name in names.candidates if (file := names.found.get(name)) is not None]

    def find(self, name: str) -> PlainFile:
        """Find a file by its name, looking for no others.

        Raises
        ------
        NotFoundError
            The newest document has none of that name, or it is locked: `explain_locked` says why.
        """
        names = self._current()
        names.look(self._object.storage, [name] if name in names.candidates else [])
        if (found := names.found.get(name)) is not None:
            return found
        raise NotFoundError(f"there is no file {name} in {self.url}")

    def explain_locked(self, name: str) -> ModosError | None:
        """Return why a file stays closed, DecryptError or AccessError where there is no key; None if it does not."""
        locked = self._current().locked
        return (locked[name] or make_locked_error(f"{self.url}/{name}")) if name in locked else None

    def list_names(self) -> list[str]:
        """List the names that data files and their indexes may have, without looking for them, and those of what is locked."""
        names = self._current()
        return list({**names.candidates, **names.locked})

    def list_data_names(self) -> list[str]:
        """List the names of all data files that are recorded, whether they are there, locked or neither."""
        return self._current().data_names

    def last_seen(self) -> list[PlainFile]:
        """List the files as they were when they were last looked for."""
        names = self._names
        return [] if names is None else [file for file in list(names.found.values()) if file is not None]

    def forget(self) -> None:
        """Look for all files anew at the next call, since one of them was replaced."""
        with self._lock:
            self._names = None

    def _current(self) -> _Names:
        document = self._object.document
        with self._lock:
            if self._names is None or self._names.document is not document:
                self._names = _Names(document, self._object.storage, self._sealed, self._secret)
            return self._names


class _Names:
    """Names of the files that a document may have, and what was found of them.

    Attributes
    ----------
    candidates
        For each name the keys where it may be, best first, each with that of the data file that it is of.
    found
        By name; None where there is nothing, or it is locked.
    data_names
        Of all data files.
    locked
        What stays closed, with the error that the key gave; None of it where there is no key.
    """

    def __init__(self, document: Document, storage: Storage, sealed: SealedFiles | None, secret: SecretKey | None):
        metadata = document.metadata()
        self.document = document
        self.found: dict[str, PlainFile | None] = {}
        self._view = None if sealed is None else sealed.view
        self._plain = verified_files(storage, metadata)
        paths = [a["data_path"] for a in metadata.values() if a.get("data_path") and is_file_path(a["data_path"])]
        shared = find_shared_names(paths)
        is_locked = {path: secret is None and is_encrypted(path) for path in paths}
        self.locked: dict[str, DecryptError | None] = {name_file(path, path, shared): None for path in paths if is_locked[path]}
        self.candidates: dict[str, list[tuple[str, str]]] = {}
        for key, data_key in (pair for path in paths if not is_locked[path] for pair in _candidates(path)):
            self.candidates.setdefault(name_file(key, data_key, shared), []).append((key, data_key))
        self._data_names = {path: name_file(path, path, shared) for path in paths}
        self.data_names = list(self._data_names.values())
        own = None if secret is None else str(secret.public)
        others = {a.get("data_path") for a in metadata.values() if own not in (a.get("recipients") or ())}
        self._doubtful = {self._data_names[path] for path in paths if is_encrypted(path) and path in others}

    def look(self, storage: Storage, names: Sequence[str]) -> None:
        """Look for files of some names, and for the data files of indexes of which it is not known that the key opens them."""
        of_data = {self._data_names[data_key] for name in names for _, data_key in self.candidates[name]}
        needed = dict.fromkeys((*(of_data & self._doubtful), *names))
        wanted = [(name, *pair) for name in needed if name not in self.found for pair in self.candidates[name]]
        found: dict[str, PlainFile | None] = {name: None for name, _, _ in wanted}
        for (name, key, data_key), info in zip(wanted, fetch_ahead(lambda one, _: _look_at(storage, one[1]), wanted, _LOOKERS)):
            if info is not None and found[name] is None:
                found[name] = self._make_file(name, key, data_key, info)
        closed = {name: error for name in self._doubtful if (file := found.get(name)) and (error := _try(file))}
        self.locked |= closed
        self.found |= {name: None if file and file.data_name in self.locked else file for name, file in found.items()}

    def _make_file(self, name: str, key: str, data_key: str, info: ObjectInfo) -> PlainFile:
        files = self._view if self._view is not None and is_encrypted(data_key) else self._plain
        known = None if is_encrypted(key) or not self._plain.has_size(key, info.size) else info  # else `open` looks at it
        return PlainFile(name, files, plain_name(key), info.etag, self._data_names[data_key], info.modified, known)


def _look_at(storage: Storage, key: str) -> ObjectInfo | None:
    try:
        return storage.stat(key)
    except NotFoundError:
        return None


def _try(file: PlainFile) -> DecryptError | None:
    """Return why the key does not open a file whose record says that it is for others; None if it does."""
    try:
        file.open()
    except DecryptError as error:
        return error
    return None


def _candidates(path: str) -> Iterator[tuple[str, str]]:
    """Iterate over the keys of a data file and of the indexes that it may have, each with that of the data file.

    Of an index only the sealed one is looked for where the file is sealed, then a plain one.
    """
    yield path, path
    for index in index_names(path):
        yield index, path
    if is_encrypted(path):
        for index in index_names(plain_name(path)):
            yield index, path


def find_shared_names(paths: Iterable[str]) -> set[str]:
    """Find the names by which several data files, or trees, of some paths are called."""
    return {name for name, count in Counter(map(name_of, paths)).items() if count > 1}


def name_file(key: str, data_key: str, shared: Set[str]) -> str:
    """Return the plain name of a file; the plain key where another data file of the object is called as its own is."""
    return plain_name(key) if name_of(data_key) in shared else name_of(key)
