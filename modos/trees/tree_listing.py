"""List the groups and arrays of a Zarr tree, and draw them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modos.errors.escaping import escape_line
from modos.storage.prefetch import fetch_ahead
from modos.trees.kinds import TreeMetadata

_WORKERS = 16
_MARKERS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class ListedNode:
    """Group or array of a tree.

    Parameters
    ----------
    path
        In the tree; empty for its root.
    shape
        Of an array; None of a group.
    dtype
        Of an array, as its metadata name it.
    """

    path: str
    shape: tuple[int, ...] | None
    dtype: str | None

    def __str__(self) -> str:
        name = self.path.rpartition("/")[2] or "/"
        return escape_line(name if self.shape is None else f"{name} {self.shape} {self.dtype or ''}".rstrip())


def list_nodes(tree: TreeMetadata, most: int | None = None) -> list[ListedNode]:
    """List the groups and arrays of a tree, each before what is in it.

    Parameters
    ----------
    most
        How many to read, at most; all where it is None.

    Raises
    ------
    IntegrityError
        Metadata are no metadata of Zarr.
    """

    def read(path: str, _: threading.Event) -> ListedNode | None:
        node = tree.node(path)
        return ListedNode(path, node.shape, node.dtype) if node else None

    return [node for node in fetch_ahead(read, list_paths(tree)[:most], _WORKERS) if node]


def list_paths(tree: TreeMetadata) -> list[str]:
    """List the paths of the groups and arrays of a tree, in the order of `list_nodes`; none of their metadata is read."""
    found = {name.rpartition("/")[0] for name in tree.names if name.rpartition("/")[2] in _MARKERS}
    return sorted(found, key=lambda path: path.split("/"))


def draw_tree(nodes: Sequence[ListedNode]) -> str:
    """Draw groups and arrays, which are listed each before what is in it, a line each."""
    depths, lines = _measure_depths(nodes), []
    followed: set[int] = set()  # depths at which there is a later one in the same group
    for node, depth in zip(reversed(nodes), reversed(depths), strict=True):
        above = "".join("│   " if level in followed else "    " for level in range(1, depth))
        branch = ("├── " if depth in followed else "└── ") if depth else ""
        lines.append(f"{above}{branch}{node}")
        followed = {level for level in followed if level < depth} | {depth}
    return "\n".join(reversed(lines))


def _measure_depths(nodes: Sequence[ListedNode]) -> list[int]:
    """Measure how many listed groups each is in: some of Zarr v2 have no metadata, and are not listed."""
    depths: dict[str, int] = {}
    for node in nodes:
        parent = node.path.rpartition("/")[0]
        while parent and parent not in depths:
            parent = parent.rpartition("/")[0]
        depths[node.path] = depths.get(parent, 0) + 1 if node.path else 0
    return list(depths.values())
