"""Find the files of an object under the names that users call them by, plain."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modos.errors import ConflictError, DecryptError, NotFoundError, listing
from modos.formats import index_names, is_encrypted, is_file_path, name_of, plain_name
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.part_lists import verified_files
from modos.object.sealed_files import SealedFiles
from modos.storage import ObjectInfo, Readable
from modos.storage.prefetch import fetch_ahead

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

_LOOKERS = 8  # files that are looked for at once
_ATTEMPTS = 3


@dataclass
class PlainFile:
    """A file of the object as the gateway gives it out.

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
    """

    name: str
    files: Readable
    key: str
    tag: str
    data_name: str
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
            It is damaged, or not encrypted for the key.
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
    """Files of an object by their plain names, as the newest document has them.

    Parameters
    ----------
    secret
        Opens the encrypted files; they are left out where it is None.

    Attributes
    ----------
    locked
        Names of the files that it does not open.
    """

    def __init__(self, opened: OpenObject, secret: SecretKey | None = None):
        self._object = opened
        self._own_key = None if secret is None else str(secret.public)
        self._sealed = None if secret is None else SealedFiles(opened.storage, lambda: opened.metadata, secret)
        self._lock = threading.Lock()
        self._document: Document | None = None
        self._known: dict[str, PlainFile] = {}
        self.locked: list[str] = []

    @property
    def url(self) -> str:
        """Address of the object."""
        return self._object.storage.url

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
        return list(self._current().values())

    def find(self, name: str) -> PlainFile:
        """Find a file by its name; raise NotFoundError if the newest document has none of that name, or it is locked."""
        found = self._current().get(name)
        if found is None:
            raise NotFoundError(f"there is no file {name} in {self.url}")
        return found

    def last_seen(self) -> list[PlainFile]:
        """List the files as they were when they were last looked for."""
        return list(self._known.values())

    def forget(self) -> None:
        """Look for all files anew at the next call, since one of them was replaced."""
        with self._lock:
            self._document = None

    def _current(self) -> Mapping[str, PlainFile]:
        document = self._object.document
        with self._lock:
            if document is not self._document:
                self._known, self.locked = self._look(document)
                self._document = document
            return self._known

    def _look(self, document: Document) -> tuple[dict[str, PlainFile], list[str]]:
        """Look for the data files that a document names, and for their indexes."""
        metadata = document.metadata()
        paths = [a["data_path"] for a in metadata.values() if a.get("data_path") and is_file_path(a["data_path"])]
        names = Counter(map(name_of, paths))
        locked = [name_of(path) for path in paths if is_encrypted(path)] if self._sealed is None else []
        plain = verified_files(self._object.storage, metadata)
        wanted = [pair for path in paths if not (self._sealed is None and is_encrypted(path)) for pair in _candidates(path)]
        found: dict[str, PlainFile] = {}
        for (key, data_key), info in zip(wanted, fetch_ahead(lambda pair, _: self._look_at(pair[0]), wanted, _LOOKERS)):
            if info is None:
                continue
            name, data_name = _name_file(key, names), _name_file(data_key, names)
            files = self._sealed.view if self._sealed and is_encrypted(data_key) else plain
            known = None if is_encrypted(key) else info
            found.setdefault(name, PlainFile(name, files, plain_name(key), info.etag, data_name, known))
        others = {a.get("data_path") for a in metadata.values() if self._own_key not in (a.get("recipients") or ())}
        doubtful = [_name_file(path, names) for path in paths if is_encrypted(path) and path in others]
        locked += [name for name in doubtful if name in found and not _opens(found[name])]
        return {name: file for name, file in found.items() if file.data_name not in locked}, locked

    def _look_at(self, key: str) -> ObjectInfo | None:
        try:
            return self._object.storage.stat(key)
        except NotFoundError:
            return None


def _opens(file: PlainFile) -> bool:
    """Return whether the key opens a file whose record says that it is for others."""
    try:
        file.open()
    except DecryptError:
        return False
    return True


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


def _name_file(key: str, names: Counter[str]) -> str:
    """Return the plain name of a file; the plain key where another file of the object is called so."""
    name = name_of(key)
    return name if names[name] < 2 else plain_name(key)
