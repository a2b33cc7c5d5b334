"""View an object as if all that a key opens were plain: files, arrays, and what the metadata say of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from modos.encryption.structure import SLOTS_OF_SEALED
from modos.errors import AccessError, ConflictError, ModosError, NotFoundError
from modos.formats import ZARR, index_names, is_encrypted, is_file_path, is_tree_path, name_of, plain_name
from modos.object.document import ROOT_KEY, Document
from modos.object.kept_arrays import marker_of, read_nodes
from modos.object.open_object import OpenObject
from modos.object.sealed_files import SealedFiles
from modos.object.tree_encryption import open_tree_files
from modos.storage import ObjectInfo
from modos.storage.base import check_key, pieces_ahead
from modos.storage.prefetch import fetch_ahead
from modos.storage.readonly import ReadOnlyStorage

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.trees.tree_files import TreeFiles

_LOOKERS = 8  # files that are opened at once
_PIECE, _WORKERS = 4 << 20, 4
_PLAIN = "-plain"  # what the tag of the root document ends with
_FILE_SLOTS = ("data_digest", "index_digests", *SLOTS_OF_SEALED)

Read = Callable[[int, int], tuple[bytes, ObjectInfo]]


class OpenedObject:
    """Object as a key opens it, as its newest document has it; safe to use from several threads.

    Parameters
    ----------
    secret
        The key; nothing is opened where it is None.
    """

    def __init__(self, opened: OpenObject, secret: SecretKey | None):
        self.object = opened
        self._secret = secret
        self.sealed = None if secret is None else SealedFiles(opened.storage, lambda: opened.metadata, secret)
        self._lock = threading.Lock()
        self._known: _Plain | None = None

    def current(self) -> _Plain:
        """Return the newest document as a plain one, and what is read in its place."""
        document = self.object.document
        with self._lock:
            if self._known is None or self._known.source is not document:
                self._known = self._open(document)
            return self._known

    def _open(self, document: Document) -> _Plain:
        plain = _Plain(document)
        sealed = [element_id for element_id in document.ids() if is_encrypted(_path_of(document, element_id))]
        plain.sealed = frozenset(sealed)
        if self._secret is None or self.sealed is None:
            plain.closed = dict.fromkeys(sealed, "there is no key")
        else:
            for element_id, opened in zip(sealed, fetch_ahead(lambda one, _: self._try(document, one), sealed, _LOOKERS)):
                plain.add(element_id, opened)
        plain.finish()
        return plain

    def _try(self, document: Document, element_id: str) -> ObjectInfo | TreeFiles | ModosError:
        """Open the data of an element."""
        path = _path_of(document, element_id)
        assert self.sealed is not None
        try:
            if is_file_path(path):
                return self.sealed.view.stat(plain_name(path))
            return open_tree_files(self.object.storage, document.element(element_id), self._secret)
        except ModosError as error:
            return error

    def read(self, key: str, start: int, end: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read bytes of a file of the object, plain where it can be; see `Storage.read_part`."""
        found = self.current()
        if key == ROOT_KEY:
            return _part(key, found.data, found.tag, start, end, if_match)
        if self.sealed and key in found.files:
            return self.sealed.view.read_part(key, start, end, if_match=if_match)
        if array := found.find_array(key):
            files, name, tag = array
            size = files.sizes[name]
            if if_match not in (None, tag):
                raise ConflictError(f"{files.url}/{name} was changed")
            return files.read(name, start, min(end, size)) if start < size else b"", ObjectInfo(key, size, tag)
        return self.object.storage.read_part(key, start, end, if_match=if_match)

    def stat(self, key: str) -> ObjectInfo:
        """Return the plain size and the tag of a file of the object; see `Storage.stat`."""
        found = self.current()
        if key == ROOT_KEY:
            return ObjectInfo(key, len(found.data), found.tag)
        if self.sealed and key in found.files:
            return self.sealed.view.stat(key)
        if array := found.find_array(key):
            return ObjectInfo(key, array[0].sizes[array[1]], array[2])
        return self.object.storage.stat(key)

    def is_decrypted(self, key: str) -> bool:
        """Return whether a file is decrypted as it is read."""
        found = self.current()
        return key in found.files or found.find_array(key) is not None

    def local_path(self, key: str) -> Path | None:
        """Return a file that is plain as it is stored as a path of this machine."""
        if key == ROOT_KEY or self.is_decrypted(key):
            return None
        return self.object.storage.local_path(key)


class _Plain:
    """A document as it would be if what a key opens were plain.

    Attributes
    ----------
    data, tag
        Its bytes, and their tag.
    files
        Keys of the files and indexes that are decrypted as they are read.
    sealed
        Ids of the elements whose data are stored encrypted.
    trees
        Files of the Zarr trees that the key opens, by the ids of the elements; the document has them as they are stored.
    closed
        Ids of the elements that stay closed, and why.
    """

    def __init__(self, source: Document):
        self.source = source
        self.files: set[str] = set()
        self.sealed: frozenset[str] = frozenset()
        self.trees: dict[str, TreeFiles] = {}
        self.closed: dict[str, str] = {}
        self._document = source.copy()
        self._arrays: dict[str, tuple[TreeFiles, str]] = {}  # files of an element's arrays, by its id, and their tag
        self.data, self.tag = b"", f"{source.tag}{_PLAIN}"

    def add(self, element_id: str, opened: ObjectInfo | TreeFiles | ModosError) -> None:
        """Put what was opened in the place of what is encrypted."""
        path = _path_of(self.source, element_id)
        if isinstance(opened, ModosError):
            self.closed[element_id] = opened.message
        elif isinstance(opened, ObjectInfo):
            self.files.update((plain_name(path), *index_names(plain_name(path))))
            self._change(element_id, {"data_path": plain_name(path), "data_size": opened.size})
        elif marker_of(element_id) in self.source.nodes:
            self._add_arrays(element_id, opened)
        else:
            self.trees[element_id] = opened

    def _add_arrays(self, element_id: str, files: TreeFiles) -> None:
        nodes = read_nodes(files, element_id)
        self._document.nodes.pop(marker_of(element_id))
        self._document.nodes.update(nodes)
        self._change(element_id, {"data_path": f"{ZARR}/{element_id}", "data_size": sum(files.sizes.values())})
        self._arrays[element_id] = files, str(self.source.element(element_id).get("data_digest"))

    def _change(self, element_id: str, slots: Mapping[str, Any]) -> None:
        node = self.source.nodes[element_id]
        attributes = node["attributes"]
        kept = {name: value for name, value in attributes.items() if name not in _FILE_SLOTS and name != "data_checksum"}
        if attributes.get("plain_checksum"):
            kept["data_checksum"] = attributes["plain_checksum"]
        self._document.nodes[element_id] = {**node, "attributes": kept | dict(slots)}

    def name_closed(self) -> dict[str, str]:
        """Return why what stays closed does so, by the names of files and trees."""
        return {name_of(_path_of(self.source, element_id)): reason for element_id, reason in self.closed.items()}

    def finish(self) -> None:
        """Write the document."""
        if self.files or self._arrays:
            self._document.texts = {}
        self.data = self._document.to_bytes()

    def find_array(self, key: str) -> tuple[TreeFiles, str, str] | None:
        """Find the file of an encrypted tree that a shard of an array is, its name there, and the tag."""
        for element_id, (files, tag) in self._arrays.items():
            name = key.removeprefix(f"{ZARR}/{element_id}/")
            if name != key and name in files.sizes:
                return files, name, tag
        return None


class PlainView(ReadOnlyStorage):
    """An object below the folder `name`, plain as far as a key opens it; nothing else is there.

    Parameters
    ----------
    name
        What the object is called.
    at
        Folder that keys are relative to.
    """

    def __init__(self, opened: OpenedObject, name: str, at: str = ""):
        storage = opened.object.storage
        url = storage.url.rpartition("/")[0] or storage.url
        super().__init__(f"{url}/{at}" if at else url)
        self._opened = opened
        self._name = name
        self._at = at

    @property
    def path(self) -> Path:
        """Root as listings show it; see `Storage.path`."""
        return self._opened.object.storage.path.parent / self._at

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""
        return self._opened.object.storage.is_remote

    @property
    def has_paths(self) -> bool:
        """Return False: what is decrypted is nowhere on disk."""
        return False

    @property
    def sealed_files(self) -> SealedFiles | None:
        """The encrypted files of the object, as the key opens them; None without a key, and elsewhere than in its folder."""
        return self._opened.sealed if self._at == self._name else None

    def is_decrypted(self, key: str) -> bool:
        """Return whether a file is decrypted as it is read; see `Storage.is_decrypted`."""
        return self._opened.is_decrypted(self._within(key))

    @property
    def can_list(self) -> bool:
        """Return whether the storage can list its files."""
        return self._opened.object.storage.can_list

    def _within(self, key: str) -> str:
        """Return a key as one within the object; NotFoundError for what is not in it."""
        whole = f"{self._at}/{check_key(key)}".lstrip("/")
        within = whole.removeprefix(f"{self._name}/")
        if within == whole:
            raise NotFoundError(f"no {key} in {self.url}")
        return within

    def _named(self, key: str, info: ObjectInfo) -> ObjectInfo:
        return ObjectInfo(key, info.size, info.etag, info.modified)

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        return self._named(key, self._opened.stat(self._within(key)))

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        info = self.stat(key)
        data, info = self.read_part(key, 0, info.size, if_match=info.etag)
        return data, info.etag

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        data, info = self._opened.read(self._within(key), start, end, if_match)
        return data, self._named(key, info)

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; see `Storage.iter_range`."""
        return pieces_ahead(self, key, start, end, _PIECE // unit * unit, _WORKERS)

    def find(self, *names: str) -> Iterator[ObjectInfo]:
        """Find the root document, the only one that is looked for; see `Storage.find`."""
        root = f"{self._name}/{ROOT_KEY}".removeprefix(f"{self._at}/" if self._at else "")
        if ROOT_KEY in names:
            yield self.stat(root)

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List files with their sizes and tags; see `Storage.iter_files`."""
        folder = f"{self._at}/{prefix}".strip("/")
        if f"{folder}/".startswith(f"{self._name}/"):
            infos = self._opened.object.storage.iter_files(folder.removeprefix(self._name).strip("/"))
        elif not folder:
            infos = self._opened.object.storage.iter_files()
        else:
            return
        for info in infos:
            key = plain_name(info.key) if plain_name(info.key) in self._opened.current().files else info.key
            name = f"{self._name}/{key}".removeprefix(f"{self._at}/" if self._at else "")
            yield self.stat(name)

    def list_folders(self, prefix: str = "") -> list[str]:
        """List folders; see `Storage.list_folders`."""
        folder = f"{self._at}/{prefix}".strip("/")
        if not folder:
            return [self._name]
        if not f"{folder}/".startswith(f"{self._name}/"):
            return []
        within = folder.removeprefix(self._name).strip("/")
        found = self._opened.object.storage.list_folders(within)
        return [f"{self._name}/{one}".removeprefix(f"{self._at}/" if self._at else "") for one in found]

    def child(self, prefix: str) -> PlainView:
        """Return the storage of a folder below this one; see `Storage.child`."""
        return PlainView(self._opened, self._name, f"{self._at}/{check_key(prefix)}".lstrip("/"))

    def local_path(self, key: str) -> Path | None:
        """Return a file that is stored plain as a path of this machine; see `Storage.local_path`."""
        return self._opened.local_path(self._within(key))

    def presign(self, key: str, expires: int) -> str | None:
        """Return None: there is no other place to read it from."""
        return None

    def _refuse(self, what: str) -> NoReturn:
        raise AccessError(f"{self.url} cannot be asked to {what}", "it is only looked at here")

    def __reduce__(self) -> NoReturn:
        raise AccessError(f"{self.url} is decrypted here, and its key is not pickled", "open it in each process")


def _path_of(document: Document, element_id: str) -> str:
    path = document.nodes[element_id]["attributes"].get("data_path") or ""
    return path if isinstance(path, str) and (is_file_path(path) or is_tree_path(path)) else ""


def _part(key: str, data: bytes, tag: str, start: int, end: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
    if if_match not in (None, tag):
        raise ConflictError(f"{key} was changed")
    return data[start:end], ObjectInfo(key, len(data), tag)
