"""The arrays of an element as the files of a Zarr tree: what is sealed of them, and what they are made of again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from modos.errors import IntegrityError, NotFoundError, TruncatedStream
from modos.formats import ZARR, is_array_path
from modos.object.document import SEALED, Document, group_node
from modos.object.shape import Malformed, check_dict, check_node, read_json
from modos.storage import Storage
from modos.storage.verified import VerifiedFiles
from modos.tracks.shard_digests import digest_shards
from modos.tracks.shard_records import records_of_nodes
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec
from modos.trees.tree_files import TreeFiles

_METADATA = "zarr.json"
_CONSOLIDATED = "consolidated_metadata"
_HINT = "see what is wrong with `modos check`"

Nodes = Mapping[str, dict[str, Any]]


def find_with_arrays(document: Document) -> set[str]:
    """Find the elements that have arrays below them."""
    arrays = (path.split("/") for path, node in document.nodes.items() if node.get("node_type") == "array")
    return {"/".join(parts[:2]) for parts in arrays if len(parts) > 2}


def lies_elsewhere(document: Document) -> list[str]:
    """List the elements whose arrays are not below them: they are an array themselves, or name those of another place."""
    arrays = [path for path, node in document.nodes.items() if node.get("node_type") == "array"]
    paths = {i: document.element(i).get("data_path") or "" for i in document.ids()} if arrays else {}
    places = {i: path.removeprefix(f"{ZARR}/") for i, path in paths.items() if is_array_path(path)}
    with_arrays = find_with_arrays(document)
    others = {i: place for i, place in places.items() if i not in with_arrays}
    return [i for i, place in others.items() if any(f"{array}/".startswith(f"{place}/") for array in arrays)]


def marker_of(element_id: str) -> str:
    """Return the path of the group that says what an element's sealed arrays are."""
    return f"{element_id}/{SEALED}"


class ArrayFiles(TreeFiles):
    """The files of an element's arrays, with the metadata that the root document has of them.

    The root of the tree has them all in its consolidated metadata. Shards are
    compared with their digests as they are read; those of older arrays all at
    once, before. Of arrays that others wrote nothing is recorded.

    Parameters
    ----------
    element_id
        The element; empty for the arrays and groups of the whole object.
    nodes
        The arrays and groups of the element, by their paths.
    attributes
        Of the root.
    """

    def __init__(self, storage: Storage, element_id: str, nodes: Nodes, attributes: Mapping[str, Any] = MappingProxyType({})):
        self._storage = storage
        self._folder = f"{ZARR}/{element_id}".rstrip("/")
        self._files = VerifiedFiles(storage, records_of_nodes(nodes).find)
        self._documents = _write_documents(
            {path.removeprefix(f"{element_id}/"): node for path, node in nodes.items()}, attributes
        )
        arrays = {path: node for path, node in nodes.items() if node.get("node_type") == "array"}
        recorded = [ArraySpec.from_node(path, node) for path, node in arrays.items() if "shard_sizes" in node["attributes"]]
        self._older = [spec for spec in recorded if DIGEST_SLOT not in spec.attributes]
        found = {key: size for spec in recorded for key, size in spec.files().items()}
        for path in arrays.keys() - {spec.path for spec in recorded}:
            found |= {info.key: info.size for info in storage.iter_files(f"{ZARR}/{path}")}
        sizes = {key.removeprefix(f"{self._folder}/"): size for key, size in found.items()}
        sizes |= {name: len(data) for name, data in self._documents.items()}
        names = tuple(sorted(sizes, key=str.encode))
        super().__init__(f"{storage.url}/{self._folder}", "", names, [sizes[name] for name in names])

    def iter_contents(self) -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
        """Iterate over all files; see `TreeFiles.iter_contents`."""
        for spec in self._older:
            digest_shards(self._storage, spec)
        yield from super().iter_contents()

    @property
    def _waits(self) -> bool:
        return self._storage.is_remote

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes of a file; see `TreeFiles.read`."""
        if name in self._documents:
            return self._documents[name][start:end]
        try:
            data, _ = self._files.read_part(f"{self._folder}/{name}", start, end)
        except NotFoundError:
            raise IntegrityError(
                f"{self.url}/{name} is gone", "try again if somebody else changes the object; else see `modos check`"
            ) from None
        if len(data) != end - start:
            raise TruncatedStream(f"{self.url}/{name} ends before byte {end:,}", _HINT)
        return data


def _write_documents(nodes: Nodes, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Write the zarr.json of each array and group, and of the root that lists them all."""
    ordered = {name: nodes[name] for name in sorted(nodes, key=lambda name: (name.count("/"), name))}
    root = group_node(dict(attributes))
    root[_CONSOLIDATED] = root[_CONSOLIDATED] | {"metadata": ordered}
    single = {name: {slot: value for slot, value in node.items() if slot != _CONSOLIDATED} for name, node in ordered.items()}
    return {_METADATA: _dump(root)} | {f"{name}/{_METADATA}": _dump(node) for name, node in single.items()}


def _dump(node: Mapping[str, Any]) -> bytes:
    return json.dumps(node, ensure_ascii=False).encode()


def read_nodes(files: TreeFiles, element_id: str) -> dict[str, dict[str, Any]]:
    """Read the arrays and groups that are sealed in a tree, by the paths that they had in the object.

    Raises
    ------
    IntegrityError
        It is no tree of arrays.
    """
    try:
        root = read_json(files.read(_METADATA, 0, files.sizes.get(_METADATA, 0)))
        listed = check_dict(check_dict(root.get(_CONSOLIDATED), "its list of arrays").get("metadata"), "its list of arrays")
        nodes = {f"{element_id}/{name}": node for name, node in listed.items()}
        for path, node in nodes.items():
            check_node(path, node)
    except Malformed as error:
        raise IntegrityError(f"{files.url} is no tree of arrays: {error}", "restore it from a copy of the object") from None
    return nodes


def is_metadata(name: str) -> bool:
    """Return whether a file of a tree of arrays is the metadata of one of them, or of a group."""
    return name.rpartition("/")[2] == _METADATA
