"""An object as a folder of files: what its newest document records, plain as far as a key opens it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from modos.errors import ConflictError, DecryptError, IntegrityError, ModosError, NotFoundError, did_you_mean, listing
from modos.filesystem.read_trees import ReadTrees, is_metadata, iter_folders
from modos.formats import ZARR, is_index, is_tree_path, parts_name
from modos.object.document import Document
from modos.object.kept_arrays import ArrayFiles, marker_of, read_nodes
from modos.object.marks import OWN_NODE, STATE
from modos.object.open_object import OpenObject
from modos.object.plain_files import PlainFile, PlainFiles, find_shared_names, name_file
from modos.object.tree_encryption import open_tree_files
from modos.storage.base import check_key
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking
from modos.trees.tree_files import TreeFiles
from modos.trees.tree_store import check_metadata

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

_LOOKERS = 8  # files that are opened at once

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Entry:
    """A file or a folder of an object.

    Parameters
    ----------
    path
        Within the object; empty for the object itself.
    size
        Plain bytes; None of a file that the key does not open. 0 of a folder.
    tag
        What changes with the content.
    modified
        Seconds since 1970; None where it is not told.
    read
        Reads plain bytes [start, end), 0-based and half-open, all of which there are; None of a folder.
    """

    path: str
    size: int | None = 0
    tag: str = ""
    modified: float | None = None
    read: Read | None = None

    @property
    def is_folder(self) -> bool:
        """Return whether it is a folder."""
        return self.read is None


class ObjectFolder:
    """Files and folders of an object; safe to use from several threads.

    Parameters
    ----------
    secret
        Opens what is encrypted.
    allow_pickle
        Give out the metadata of arrays whose codecs run code that is in their chunks.
    """

    def __init__(self, opened: OpenObject, secret: SecretKey | None = None, *, allow_pickle: bool = False):
        self._object = opened
        self._secret = secret
        self._allow_pickle = allow_pickle
        self._files = PlainFiles(opened, secret)
        self._trees: _Trees | None = None
        self._read_trees = ReadTrees()
        forking.begin(self, ObjectFolder._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def is_there(self) -> bool:
        """Return whether the object is still there; what cannot be known is an error."""
        try:
            return self._object.document is not None
        except NotFoundError:
            return False

    @property
    def document(self) -> Document:
        """The newest root document; NotFoundError where the object is not there any more."""
        return self._object.document

    def refresh(self) -> None:
        """Look at once for what others have committed."""
        self._object.newest.look()

    def find(self, path: str) -> Entry:
        """Find a file or a folder.

        Raises
        ------
        NotFoundError
            The newest document records none.
        AccessError, DecryptError
            It is encrypted, and there is no key, or it does not open it.
        """
        if not path:
            return Entry("")
        check_key(path)
        trees = self._current()
        mount = trees.find_mount(path)
        if mount is not None:
            return self._find_in_tree(trees, mount, path)
        names = self._files.list_names()
        if path in names:
            try:
                return self._open_file(self._files.find(path))
            except NotFoundError:
                if locked := self._files.explain_locked(path):
                    raise locked from None
                if path in self._files.list_data_names():
                    raise self._make_gone_error(path) from None
        if any(name.startswith(f"{path}/") for name in (*names, *trees.mounts)):
            return Entry(path)
        raise self._missing(path, (*names, *trees.mounts))

    def list(self, path: str) -> list[Entry]:
        """List a folder; of a file, itself. Errors as for `find`."""
        entry = self.find(path)
        if not entry.is_folder:
            return [entry]
        trees = self._current()
        mount = trees.find_mount(path) if path else None
        if mount is not None:
            return [*self._list_tree(trees, mount, path)]
        files = {file.name: file for file in self._files.list_files()}
        locked = self._files.locked
        found: dict[str, Entry] = {}
        wanted: list[PlainFile] = []
        gone = {*self._files.list_data_names()} - {*files, *locked}
        for name in sorted({*files, *locked, *gone, *trees.mounts}):
            if path and not name.startswith(f"{path}/"):
                continue
            first, slash, _ = name.removeprefix(f"{path}/" if path else "").partition("/")
            place = f"{path}/{first}" if path else first
            if slash or name in trees.mounts:
                found[place] = Entry(place)
            elif name in files:
                wanted.append(files[name])
            elif name in gone:
                found[place] = Entry(place, None, read=partial(_raise, self._make_gone_error(name)))
            else:
                found[place] = Entry(place, None, read=partial(self._refuse, place))
        for opened in fetch_ahead(lambda file, _: self._list_file(file), wanted, _LOOKERS):
            found[opened.path] = opened
        return [found[place] for place in sorted(found)]

    def _refuse(self, name: str, start: int, end: int) -> bytes:
        raise self._files.explain_locked(name) or NotFoundError(f"there is no file {name} in {self._files.url}")

    def _open_file(self, file: PlainFile) -> Entry:
        with self._looking_again():
            info = file.open()
        return Entry(file.name, info.size, f"{file.tag}", file.modified, partial(self._read, file))

    def _list_file(self, file: PlainFile) -> Entry:
        """Open a file; one that is damaged has no size, and is an error when it is read."""
        try:
            return self._open_file(file)
        except IntegrityError as error:
            return Entry(file.name, None, f"{file.tag}", file.modified, partial(_raise, error))

    def _read(self, file: PlainFile, start: int, end: int) -> bytes:
        with self._looking_again():
            try:
                return file.read(start, end)
            except NotFoundError:
                raise ConflictError(
                    f"{self._files.url}/{file.name} was replaced or removed since it was opened", "open it again"
                ) from None

    def _make_gone_error(self, name: str) -> IntegrityError:
        return IntegrityError(
            f"{self._files.url} records {name}, which is gone", "`modos check` says more; restore it from a copy"
        )

    @contextmanager
    def _looking_again(self) -> Iterator[None]:
        """Look for the files anew after one of them was replaced, which the document need not tell."""
        try:
            yield
        except ConflictError:
            self._files.forget()
            raise

    def _current(self) -> _Trees:
        document = self._object.document
        with self._lock:
            if self._trees is None or self._trees.document is not document:
                self._trees = _Trees(self._object, document, self._secret)
            return self._trees

    def _find_in_tree(self, trees: _Trees, mount: str, path: str) -> Entry:
        files, name = trees.open(mount), path.removeprefix(mount).lstrip("/")
        if not name:
            return Entry(path, tag=trees.tag_of(mount), modified=trees.modified_of(mount))
        if name not in files.sizes and next(files.iter_below(f"{name}/"), None) is not None:
            return Entry(path)
        if not is_metadata(name):
            self._read_trees.check(path, mount, trees, self._files.url)
        if name not in files.sizes:
            raise self._missing(path, ())
        return self._entry_of(trees, mount, files, name)

    def _list_tree(self, trees: _Trees, mount: str, path: str) -> Iterator[Entry]:
        files, folder = trees.open(mount), path.removeprefix(mount).lstrip("/")
        for first, is_folder in files.iter_folder(folder):
            name = f"{folder}/{first}" if folder else first
            yield Entry(f"{path}/{first}") if is_folder else self._entry_of(trees, mount, files, name)

    def _entry_of(self, trees: _Trees, mount: str, files: TreeFiles, name: str) -> Entry:
        def read(start: int, end: int) -> bytes:
            try:
                if not self._allow_pickle:
                    check_metadata(files, name)
                if is_metadata(name):
                    self._read_trees.begin(f"{mount}/{name}", trees)
                return files.read(name, start, end)
            except NotFoundError:  # which zarr takes for a chunk of fill values, or for no tree
                raise self._make_gone_error(f"{mount}/{name}") from None

        return Entry(f"{mount}/{name}", files.sizes[name], f"{trees.tag_of(mount)}:{name}", read=read)

    def has_tree(self, path: str) -> bool:
        """Return whether a path is a Zarr tree, or lies in one; NotFoundError where the object is not there any more."""
        return self._current().find_mount(path) is not None

    def _missing(self, path: str, known: Iterable[str]) -> NotFoundError:
        named = [name for name in known if not is_index(name)]  # indexes are names of what there may be
        near = did_you_mean(path, named)
        top = sorted({name.partition("/")[0] for name in named})
        hint = f"did you mean {near}?" if near else f"it has {listing(top)}" if top else "list the folder above it"
        if path.partition("/")[0] == ZARR and self._object.document.zarr_format != 3:
            hint = "its arrays are kept as Zarr v2: `modos upgrade` rewrites them"
        return NotFoundError(f"{self._files.url} records no {path}", hint)


def _raise(error: ModosError, start: int, end: int) -> bytes:
    raise error


class _Trees:
    """The Zarr trees of a document, each opened when it is first read.

    Attributes
    ----------
    mounts
        Folders that are trees, each with the id of its element; of the object's own tree with none.
    """

    def __init__(self, opened: OpenObject, document: Document, secret: SecretKey | None):
        self.document = document
        self._storage = opened.storage
        self._secret = secret
        self._opened: dict[str, TreeFiles] = {}
        paths = {i: path for path, i in document.data_paths().items() if is_tree_path(path)}
        self._sealed = {i: f"{ZARR}/{i}" for i in paths if marker_of(i) in document.nodes}
        shared = find_shared_names(path for i, path in paths.items() if i not in self._sealed)
        self.mounts: dict[str, str] = {place: i for i, place in self._sealed.items()}
        for element_id, path in paths.items():
            if element_id not in self._sealed:
                self.mounts[name_file(path, path, shared)] = element_id
        if document.zarr_format == 3:
            self.mounts[ZARR] = ""

    def find_mount(self, path: str) -> str | None:
        """Find the innermost tree that a path is, or lies in."""
        return next((place for place in (path, *iter_folders(path)) if place in self.mounts), None)

    def open(self, mount: str) -> TreeFiles:
        """Open a tree, compared with what is recorded and decrypted."""
        if mount not in self._opened:
            element_id = self.mounts[mount]
            attributes = self.document.element(element_id) if element_id else {}
            files = open_tree_files(self._storage, attributes, self._secret) if element_id else self._open_own()
            self._opened.setdefault(mount, files)
        return self._opened[mount]

    def tag_of(self, mount: str) -> str:
        """Return what changes with the content of a tree."""
        element_id = self.mounts[mount]
        return str(self.document.element(element_id).get("data_digest") if element_id else self.document.tag)

    def version_of(self, path: str) -> object:
        """Return what changes with the array or the tree that a path lies in; None if it lies in none."""
        mount = self.find_mount(path)
        if mount is None:
            return None
        if self.mounts[mount]:
            return self.mounts[mount], self.tag_of(mount)
        parts = path.removeprefix(f"{mount}/").split("/")
        nodes = self.document.nodes
        return next((node for n in range(len(parts), 0, -1) if (node := nodes.get("/".join(parts[:n]))) is not None), None)

    def modified_of(self, mount: str) -> float | None:
        """Return when a tree was stored, by the list that is written with it; None if that is not told."""
        element_id = self.mounts[mount]
        if not element_id:
            return None
        try:
            return self._storage.stat(parts_name(self.document.element(element_id)["data_path"])).modified
        except NotFoundError:
            return None

    def _open_own(self) -> TreeFiles:
        """Open the object's own tree, with the arrays that the key opens in their places."""
        nodes = {path: node for path, node in self.document.nodes.items() if path != OWN_NODE}
        for element_id, place in self._sealed.items() if self._secret is not None else ():
            opened = self._try(place)
            if opened is not None:
                nodes.pop(marker_of(element_id))
                nodes |= read_nodes(opened, element_id)
        attributes = {name: value for name, value in self.document.attributes.items() if name != STATE}
        return ArrayFiles(self._storage, "", nodes, attributes)

    def _try(self, place: str) -> TreeFiles | None:
        """Open encrypted arrays; None if they are for others."""
        try:
            return self.open(place)
        except DecryptError:
            return None
