"""Find what arrays record of their shards, by the keys of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modos.errors import InvalidInputError
from modos.formats import ZARR
from modos.storage.verified import PartRecord
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec


class ShardRecords:
    """Part records of the shards of arrays, made as they are asked for.

    Parameters
    ----------
    find_array
        Gives the array at a path of the group tree; None if there is none.
    """

    def __init__(self, find_array: Callable[[str], ArraySpec | None]):
        self._find_array = find_array
        self._known: dict[str, PartRecord | None] = {}

    def find(self, key: str) -> PartRecord | None:
        """Find what is recorded of a shard; None of any other file, and of arrays of older versions."""
        if key not in self._known:
            self._known[key] = self._make(key)
        return self._known[key]

    def find_list(self, key: str) -> ArraySpec | None:
        """Find the array that a list of digests is of; None for any other file."""
        spec = self._find_array(key.removeprefix(f"{ZARR}/").rpartition("/")[0])
        return spec if spec and spec.list_key == key else None

    def _make(self, key: str) -> PartRecord | None:
        path, _, place = key.removeprefix(f"{ZARR}/").partition("/c/")
        spec, number = self._find_array(path), place.rpartition("/")[2]
        if spec is None or not number.isdecimal() or int(number) >= len(spec.sizes) or spec.key(int(number)) != key:
            return None
        return spec.part_record(int(number)) if spec.sizes[int(number)] else None


def records_of_nodes(nodes: Mapping[str, Any]) -> ShardRecords:
    """Return the records of all arrays of a root document, given its nodes by path."""
    known: dict[str, ArraySpec | None] = {}

    def find_array(path: str) -> ArraySpec | None:
        if path not in known:
            known[path] = _read_spec(path, nodes.get(path))
        return known[path]

    return ShardRecords(find_array)


def specs_of_nodes(nodes: Mapping[str, Any]) -> Iterator[ArraySpec]:
    """Iterate over the arrays that record digests of their shards."""
    return (spec for path, node in nodes.items() if (spec := _read_spec(path, node)))


def _read_spec(path: str, node: Any) -> ArraySpec | None:
    if not isinstance(node, Mapping) or DIGEST_SLOT not in node.get("attributes", {}):
        return None
    try:
        return ArraySpec.from_node(path, node)
    except InvalidInputError:
        return None
