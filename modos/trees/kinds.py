"""Recognise the kind of a Zarr tree by its metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from modos.errors import IntegrityError

Kind = Literal["AnnData", "MuData", "SpatialData", "VCF-Zarr", "OME-Zarr", "xarray"]
ReadFile = Callable[[str], bytes | None]  # gives a file of a tree by its name; None if there is none

MOST_METADATA = 64 << 20  # bytes of a document of metadata
_NUMBERS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}  # kinds of numbers in Zarr v2
_DIMENSIONS = "_ARRAY_DIMENSIONS"  # xarray, in Zarr v2


@dataclass(frozen=True)
class Node:
    """Group or array of a tree.

    Parameters
    ----------
    attributes
        As its maker wrote them.
    shape
        Of an array; None of a group.
    dtype
        Of an array, as its metadata name it.
    dimensions
        Names of an array's axes, if it has any.
    """

    attributes: Mapping[str, Any]
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    dimensions: tuple[str, ...] = ()


@dataclass
class TreeMetadata:
    """Metadata of a tree, of which a node is read when it is asked for.

    Parameters
    ----------
    read
        Gives a file of the tree.
    names
        Of all files.
    where
        The tree, for messages.
    """

    read: ReadFile
    names: tuple[str, ...]
    where: str = "the tree"
    _known: dict[str, Node | None] = field(default_factory=dict)

    def node(self, path: str = "") -> Node | None:
        """Return the group or array at a path; None if there is none. IntegrityError where its metadata are none."""
        if path not in self._known:
            self._known[path] = self._read_node(f"{path}/" if path else "")
        return self._known[path]

    def children(self, path: str = "") -> list[str]:
        """List the names of the groups and arrays in a group."""
        prefix = f"{path}/" if path else ""
        inner = {name[len(prefix) :].partition("/")[0] for name in self.names if name.startswith(prefix)}
        return sorted(name for name in inner if self.node(prefix + name) is not None)

    def _read_node(self, prefix: str) -> Node | None:
        if document := self._read_json(f"{prefix}zarr.json"):
            return _node_of_v3(document)
        array, group = self._read_json(f"{prefix}.zarray"), self._read_json(f"{prefix}.zgroup")
        if array is None and group is None:
            return None
        attributes = self._read_json(f"{prefix}.zattrs") or {}
        if array is None:
            return Node(attributes)
        names = attributes.get(_DIMENSIONS)
        return Node(attributes, _shape_of(array), _dtype_of_v2(array), tuple(names) if _are_texts(names) else ())

    def _read_json(self, name: str) -> dict[str, Any] | None:
        data = self.read(name)
        if data is None:
            return None
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise IntegrityError(
                f"{self.where}: {name} is no metadata of Zarr", "write the tree again with the program that made it"
            )
        return document


def find_kind(tree: TreeMetadata) -> Kind | None:
    """Find the kind of a tree; None if it is of none that is known."""
    root = tree.node()
    if root is None:
        return None
    encoding = root.attributes.get("encoding-type")
    if encoding == "anndata":
        return "AnnData"
    if encoding == "MuData":
        return "MuData"
    if "spatialdata_attrs" in root.attributes:
        return "SpatialData"
    if "vcf_zarr_version" in root.attributes:
        return "VCF-Zarr"
    if any(name in root.attributes for name in ("ome", "multiscales", "plate", "bioformats2raw.layout")):
        return "OME-Zarr"
    if root.shape is None and any(_has_dimensions(tree.node(name)) for name in tree.children()):
        return "xarray"
    return None


def _has_dimensions(node: Node | None) -> bool:
    return node is not None and bool(node.dimensions)


def _node_of_v3(document: Mapping[str, Any]) -> Node:
    attributes = document.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    if document.get("node_type") != "array":
        return Node(attributes)
    names = document.get("dimension_names")
    dtype = document.get("data_type")
    return Node(
        attributes,
        _shape_of(document),
        _text(dtype.get("name") if isinstance(dtype, dict) else dtype),
        tuple(names) if _are_texts(names) else (),
    )


def _dtype_of_v2(array: Mapping[str, Any]) -> str | None:
    """Return the data type of an array of Zarr v2 as v3 names it, where that has a name for it."""
    dtype, filters = _text(array.get("dtype")), array.get("filters")
    if dtype == "|O" and isinstance(filters, list):
        ids = [one.get("id") for one in filters if isinstance(one, dict)]
        return "string" if "vlen-utf8" in ids else dtype
    found = re.fullmatch(r"[<>|]([biufc])([0-9]{1,2})", dtype or "")
    if found is None:
        return dtype
    return "bool" if found[1] == "b" else f"{_NUMBERS[found[1]]}{8 * int(found[2])}"


def _shape_of(document: Mapping[str, Any]) -> tuple[int, ...]:
    shape = document.get("shape")
    return tuple(shape) if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else ()


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
