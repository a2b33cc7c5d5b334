"""The Zarr trees that are data of an object's elements: their manifests and their files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import ChecksumMismatch, DecryptError, IntegrityError, NotFoundError
from modos.formats import header_key, is_encrypted, is_tree_path, names_beside_tree, parts_name, read_roots
from modos.object.document import Document
from modos.storage import Readable, Storage
from modos.storage.part_digests import DigestList
from modos.storage.processes import forking
from modos.storage.verified import PartRecord
from modos.trees.manifest import Manifest

if TYPE_CHECKING:
    from modos.encryption.header import Header

HINT = "restore it from a copy of the object"


def load_manifest(storage: Readable, attributes: Mapping[str, Any]) -> Manifest:
    """Read the manifest of an element's tree; raise IntegrityError if it is not the recorded one."""
    path, root = attributes["data_path"], attributes.get("data_digest")
    if not isinstance(root, str):
        raise IntegrityError(f"{path}: what belongs to the tree is not recorded", "bring the tree again, with `modos update`")
    return Manifest.load(storage, path, root)


def list_tree_keys(storage: Storage, attributes: Mapping[str, Any]) -> list[str]:
    """List the keys of the files of a tree and of its lists; where the manifest is damaged, of all that lies in its folder."""
    beside = names_beside_tree(attributes)
    try:
        return [*load_manifest(storage, attributes).keys(), *beside]
    except IntegrityError:
        return [*(info.key for info in storage.iter_files(attributes["data_path"])), *beside]


def read_tree_header(storage: Storage, attributes: Mapping[str, Any]) -> Header:
    """Read the header of a tree.

    Raises
    ------
    NotFoundError
        It is gone.
    DecryptError
        It is no header.
    ChecksumMismatch
        It is not the recorded one, or something follows it.
    """
    key = header_key(attributes)
    name = f"{storage.url}/{key}"
    try:
        header, _, info = read_stored_header(storage, key)
    except DecryptError as error:
        raise DecryptError(f"{name}: {error.message}", error.hint or HINT) from None
    SealRecord.from_attributes(attributes).check_header(header, name)
    if info.size != header.size:
        raise ChecksumMismatch(f"{name} has {info.size:,} bytes, of which the header is {header.size:,}", HINT)
    return header


class TreeRecords:
    """Records of the files of all trees of an object, whose manifests are read when they are first asked for."""

    def __init__(self, storage: Readable, document: Document):
        self._storage = storage
        self._elements = {path: document.element(element_id) for path, element_id in _tree_elements(document)}
        self._manifests: dict[str, Manifest] = {}
        forking.begin(self, TreeRecords._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        forking.begin(self, TreeRecords._start)

    def find_tree(self, key: str) -> str | None:
        """Find the tree that a file, or a list beside a tree, belongs to."""
        for path, attributes in self._elements.items():
            if key.startswith(f"{path}/") or key in names_beside_tree(attributes):
                return path
        return None

    def header_digest(self, path: str, key: str) -> str | None:
        """Return the recorded digest of the header of an encrypted tree; None of any other file of a tree."""
        attributes = self._elements[path]
        is_header = is_encrypted(path) and key == header_key(attributes)
        return read_roots(attributes, "header_digests")[0] if is_header else None

    def manifest(self, path: str) -> Manifest:
        """Return the manifest of a tree; raise IntegrityError if it is not the recorded one."""
        with self._lock:
            if path not in self._manifests:
                self._manifests[path] = load_manifest(self._storage, self._elements[path])
            return self._manifests[path]

    def find(self, key: str) -> PartRecord | None:
        """Find what is recorded of a file of a tree, or of the list of its names; None of any other."""
        path = self.find_tree(key)
        return self.manifest(path).find_record(key) if path else None

    @property
    def lists(self) -> dict[tuple[str, str], DigestList]:
        """Lists of digests that were read, by their keys and roots."""
        return {(parts_name(path), manifest.root): manifest.digests for path, manifest in self._manifests.items()}

    def list_keys(self, path: str) -> Iterator[str]:
        """Iterate over the keys of the files of a tree, and of its lists."""
        yield from self.manifest(path).keys()
        yield from names_beside_tree(self._elements[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._elements)


def _tree_elements(document: Document) -> Iterator[tuple[str, str]]:
    return ((path, element_id) for path, element_id in document.data_paths().items() if is_tree_path(path))


def has_files(storage: Storage, key: str) -> bool:
    """Return whether there is a file at a key, or in a folder of that name."""
    try:
        if storage.exists(key):
            return True
    except NotFoundError:
        pass
    return next(storage.iter_files(key), None) is not None
