"""Check what the root of a Zarr tree says of itself and of the groups and arrays in it."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

from modos.errors import InvalidInputError
from modos.trees.kinds import ReadFile

ROOTS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")  # one of these is at the root of every hierarchy
_KINDS = ("group", "array")


def check_root(read: ReadFile, names: Container[str], where: str) -> None:
    """Check the documents at the root of a tree.

    Parameters
    ----------
    read
        Gives a file of the tree.
    names
        Of all files.
    where
        The tree, for messages.

    Raises
    ------
    InvalidInputError
        There is none, or one is no metadata of Zarr, or lists a group or an array that is not there.
    """
    if not any(name in names for name in ROOTS):
        raise InvalidInputError(
            f"{where} is no Zarr hierarchy: it has no {ROOTS[0]}, nor {ROOTS[1]} or {ROOTS[2]}",
            "give the folder that has one of them",
        )
    for name in ROOTS:
        document = _read_json(read, name) if name in names else {}
        if document is None or (document and not _is_metadata(name, document)):
            raise InvalidInputError(
                f"{where}/{name} is no metadata of Zarr", "write the tree again with the program that made it"
            )
        if absent := next((one for one in _list_members(document) if one not in names), None):
            raise InvalidInputError(
                f"{where}/{name} lists {absent}, which is not there",
                "write it again (zarr.consolidate_metadata), or bring what is missing",
            )


def _read_json(read: ReadFile, name: str) -> dict[str, Any] | None:
    data = read(name) or b""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document else None


def _is_metadata(name: str, document: dict[str, Any]) -> bool:
    if name == "zarr.json":
        return document.get("zarr_format") == 3 and document.get("node_type") in _KINDS
    if name == ".zmetadata":
        return isinstance(document.get("metadata"), dict)
    return document.get("zarr_format") == 2


def _list_members(document: dict[str, Any]) -> Iterator[str]:
    """List the files of metadata that consolidated metadata say to have joined."""
    joined = document.get("consolidated_metadata")  # of Zarr v3, in the metadata of a group
    if isinstance(joined, dict) and isinstance(joined.get("metadata"), dict):
        yield from (f"{path}/zarr.json" for path in joined["metadata"])
    elif "zarr_consolidated_format" in document:
        yield from (name for name in document["metadata"] if not name.endswith(".zattrs"))  # without it there are no attributes
