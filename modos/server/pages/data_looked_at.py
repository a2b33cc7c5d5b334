"""Look into the data of an element for its page: into a Zarr tree, or an mzTab.

What is read is bounded, takes the right to read all of it, and is noted in the read log.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from modos.errors import ModosError
from modos.formats import is_encrypted, is_tree_path
from modos.object.tree_encryption import open_tree_files
from modos.server.noting import SENT, note
from modos.server.pages.heat_map import COLUMNS, ROWS, HeatMap, draw_corner
from modos.server.pages.served_objects import ServedObject, describe_problem, text_of

MOST_NODES = 200
_MOST_TEXT = 32 << 20  # bytes of an mzTab that is counted


@dataclass(frozen=True)
class LookedAt:
    """Sight of the data of an element.

    Parameters
    ----------
    kind
        `tree` or `sections`; empty where nothing is shown.
    problem
        Why it cannot be read.
    nodes
        Of a tree: pairs of a node and its depth.
    matrices
        Paths of what can be shown as a heat map.
    """

    kind: str = ""
    problem: str = ""
    nodes: Sequence[tuple[Any, int]] = ()
    left_out: int = 0
    matrices: Sequence[str] = ()
    array: str | None = None
    shape: Sequence[int] = ()
    is_sparse: bool = False
    heat_map: HeatMap | None = None
    array_problem: str = ""
    sections: Sequence[Any] = ()
    tree_kind: str = ""


def look_at(request: Request, found: ServedObject, element_id: str, array: str | None) -> LookedAt:
    """Look into an element's data, as far as the caller may read all of them; an empty answer where there is nothing to see.

    Parameters
    ----------
    array
        The path of the array of a tree that is wanted; one that suits the kind of the tree where it is None.
    """
    attributes = found.elements[element_id]
    path = text_of(attributes, "data_path")
    if not path or (is_encrypted(path) and element_id not in found.opened.trees) or not found.may_read(path):
        return LookedAt()
    if is_tree_path(path):
        note(request, SENT, found.stored_key(path), via="page")
        return _look_at_tree(found, element_id, array)
    if attributes.get("data_format") == "mzTab":
        note(request, SENT, found.stored_key(path), via="page")
        return _look_at_sections(found, element_id)
    return LookedAt()


def _look_at_tree(found: ServedObject, element_id: str, array: str | None) -> LookedAt:
    from modos.trees.kinds import find_kind
    from modos.trees.tree_corners import is_sparse, read_corner
    from modos.trees.tree_listing import list_nodes, list_paths
    from modos.trees.tree_store import TreeStore

    attributes = found.elements[element_id]
    try:
        files = found.opened.trees.get(element_id) or open_tree_files(found.storage, attributes, None)
        store = TreeStore(files)
        tree = store.metadata
        nodes = list_nodes(tree, MOST_NODES)
        left_out = len(list_paths(tree)) - len(nodes)
        matrices = [node.path for node in nodes if _is_matrix(node) or is_sparse(tree.node(node.path))]
        kind = find_kind(tree) or ""
        chosen = array if array is not None else _choose(matrices, kind)
    except ModosError as error:
        return LookedAt("tree", describe_problem(error, found.storage.url))
    shown: dict[str, Any] = {"nodes": [(node, _depth(node.path)) for node in nodes], "left_out": max(0, left_out)}
    shown |= {"matrices": matrices, "array": chosen, "tree_kind": kind}
    if chosen is None:
        return LookedAt("tree", **shown)
    try:
        corner = read_corner(store, chosen, ROWS, COLUMNS)
    except ModosError as error:
        return LookedAt("tree", array_problem=describe_problem(error, found.storage.url), **shown)
    return LookedAt("tree", shape=corner.shape, is_sparse=corner.is_sparse, heat_map=draw_corner(corner), **shown)


def _is_matrix(node: Any) -> bool:
    return bool(node.shape) and (node.dtype or "").startswith(("int", "uint", "float", "bool"))


def _choose(matrices: Sequence[str], kind: str) -> str | None:
    """Choose what to show of a tree at first."""
    if kind == "AnnData" and "X" in matrices:
        return "X"
    first = [path for path in matrices if path.rpartition("/")[2] == "X"] or list(matrices)
    return first[0] if first else None


def _depth(path: str) -> int:
    return min(path.count("/") + 1, 8) if path else 0


def _look_at_sections(found: ServedObject, element_id: str) -> LookedAt:
    from modos.object.sealed_files import open_files_of
    from modos.storage.readable_file import open_readable
    from modos.tables.mztab_table import measure_sections

    try:
        files, path = open_files_of(found.storage, found.elements[element_id], None)
        if files.stat(path).size > _MOST_TEXT:  # whatever the metadata say
            return LookedAt("sections", f"it is larger than {_MOST_TEXT >> 20} MB, and not counted here")
        with io.TextIOWrapper(open_readable(files, path), "utf-8", newline="\n") as lines:
            return LookedAt("sections", sections=measure_sections(lines, element_id))
    except (ModosError, UnicodeDecodeError) as error:
        problem = describe_problem(error, found.storage.url) if isinstance(error, ModosError) else "it is no text"
        return LookedAt("sections", problem)
