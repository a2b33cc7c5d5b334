"""Encrypt and decrypt the arrays of an element, as changes of a transaction.

Encrypted, they are the files of a Zarr tree, which is sealed as any other:
their names, shapes and numbers are hidden. A group below the element says that
it was arrays, and where a track had its place among the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.structure import SLOTS_OF_SEALED
from modos.errors import AlreadyExistsError, DecryptError, InvalidInputError, listing
from modos.formats import TREE_SUFFIX, ZARR, companion_names, name_of
from modos.object.changes import SetArrays, Update
from modos.object.document import Document, group_node
from modos.object.kept_arrays import ArrayFiles, is_metadata, marker_of, read_nodes
from modos.object.tracks import is_track
from modos.object.tree_encryption import EncryptTree, seal_tree, write_files
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import Names, describe_arrays, role_of
from modos.trees.manifest import Manifest
from modos.trees.tree_files import TreeFiles


def choose_name(document: Document, element_id: str) -> str:
    """Choose what the tree of an element's arrays is called: like the element, where no file is called so."""
    taken = {ZARR, *map(name_of, document.data_paths())}
    stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", element_id.partition("/")[2]).lstrip(".") or "arrays"
    candidates = (f"{stem}{TREE_SUFFIX}", *(f"{stem}-{number}{TREE_SUFFIX}" for number in range(2, 10_000)))
    return next(name for name in candidates if taken.isdisjoint((name, *companion_names(name))))


def plan_sealing(
    storage: Storage,
    document: Document,
    element_id: str,
    target: str,
    recipients: Sequence[PublicKey],
    sender: SecretKey,
    by: Mapping[str, Any],
) -> tuple[Update, SetArrays, EncryptTree]:
    """Plan the encryption of an element's arrays as the tree `target`; they leave the object in the same commit.

    Parameters
    ----------
    by
        What is recorded of recipients and sender.
    """
    base, nodes = document.element(element_id), document.arrays_of(element_id)
    slots = {"data_path": target, "plain_checksum": base.get("data_checksum")}
    change = Update(element_id, slots | dict(by), base)
    orders = [node.get("attributes", {}).get("order") for node in nodes.values()]
    order = max((one for one in orders if type(one) is int), default=0)
    told = {"kept_as": "track" if is_track(nodes) else "arrays"} | ({"order": order} if order else {})
    arrays = SetArrays(element_id, frozenset(nodes), {marker_of(element_id): group_node(told)}, is_whole=True)
    files = ArrayFiles(storage, element_id, nodes)
    return change, arrays, seal_tree(change, files, target, recipients, sender, is_new=True)


def plan_opening(document: Document, element_id: str, files: TreeFiles) -> tuple[Update, SetArrays, OpenedArrays]:
    """Plan the decryption of an element's arrays, which get their places back; those of tracks under new names.

    Raises
    ------
    AlreadyExistsError
        Somebody else has put arrays there meanwhile.
    """
    marker, names = marker_of(element_id), Names(element_id)
    if more := document.arrays_of(element_id).keys() - {marker}:
        raise AlreadyExistsError(
            f"{element_id} has arrays beside those that are encrypted: {listing(sorted(more))}", "take them away first"
        )
    sealed = read_nodes(files, element_id)
    paths = {path: _new_path(names, path, node) for path, node in sealed.items()}
    change = Update(element_id, {"data_path": f"{ZARR}/{element_id}"}, document.element(element_id))
    arrays = SetArrays(element_id, frozenset({marker}), {paths[path]: node for path, node in sealed.items()}, is_whole=True)
    return change, arrays, OpenedArrays(change, arrays, files, paths)


def _new_path(names: Names, path: str, node: Mapping[str, Any]) -> str:
    role = role_of(path) if "shard_sizes" in node.get("attributes", {}) else None
    return names.path(role) if role and path.rpartition("/")[0] == names.folder else path


@dataclass(frozen=True)
class OpenedArrays:
    """Arrays of an element that are made of an encrypted tree.

    Parameters
    ----------
    files
        Of the tree, decrypted.
    paths
        Where arrays and groups go, by the paths that they had.
    """

    change: Update
    arrays: SetArrays
    files: TreeFiles
    paths: Mapping[str, str]
    replaces: bool = True

    def keys(self) -> list[str]:
        """List the keys of single files: none."""
        return []

    def folders(self) -> list[str]:
        """List the folders of the arrays."""
        return [f"{ZARR}/{path}" for path, node in self.arrays.nodes.items() if node.get("node_type") == "array"]

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of the files."""
        return sum(self.files.sizes.values())

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the shards; returns what the element says of them."""
        made = Manifest.make(self.change.element_id, write_files(log, self.files, self._place, progress))
        base = self.change.base
        if made.root != base.get("plain_digest", made.root):
            raise DecryptError(f"{self.files.url}: what is in it is not what was sealed")
        log.storage.flush()
        arrays = {path: node["attributes"] for path, node in self.arrays.nodes.items() if node.get("node_type") == "array"}
        are_ours = all("shard_sizes" in own and own.keys() & {"shard_checksum", "shard_digest"} for own in arrays.values())
        told = describe_arrays(arrays) if are_ours else {"data_size": None, "data_checksum": base.get("plain_checksum")}
        return {"data_digest": None} | dict.fromkeys(SLOTS_OF_SEALED) | told

    def _place(self, name: str) -> str | None:
        """Return the key of a file; None of metadata, which are in the root document."""
        if is_metadata(name):
            return None
        path = f"{self.change.element_id}/{name}"
        above = (path[:at] for at in _slashes(path))
        array = next((one for one in above if one in self.paths and self._is_array(one)), None)
        if array is None:
            raise DecryptError(f"{self.files.url} has a file {name}, which is of no array in it")
        return f"{ZARR}/{self.paths[array]}{path[len(array) :]}"

    def _is_array(self, path: str) -> bool:
        return self.arrays.nodes[self.paths[path]].get("node_type") == "array"


def _slashes(path: str) -> list[int]:
    return [at for at, letter in enumerate(path) if letter == "/"]


def refuse_kept(elements: Sequence[str]) -> None:
    """Raise InvalidInputError where arrays are to be encrypted, and to stay plain, too."""
    if elements:
        raise InvalidInputError(
            f"kept as arrays, which cannot be both encrypted and plain: {listing(elements)}",
            "leave out --keep (delete=False), or name the elements with files",
        )
