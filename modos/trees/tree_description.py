"""Describe a Zarr tree by what its metadata say: its kind, axes, shape and parts."""

from __future__ import annotations

from typing import Any, TypeGuard

from modos.trees.kinds import Kind, Node, TreeMetadata, find_kind

_SPATIAL = ("images", "labels", "points", "shapes", "tables")  # groups of a SpatialData


def describe_tree(tree: TreeMetadata) -> dict[str, Any]:
    """Return the slots of an element that a tree tells; empty for one of no known kind.

    Raises
    ------
    IntegrityError
        Metadata are no metadata of Zarr.
    """
    kind = find_kind(tree)
    if kind is None:
        return {}
    axes, modalities = _find_axes(tree, kind), _find_modalities(tree, kind)
    found: dict[str, Any] = {"zarr_kind": kind}
    if axes:
        found |= {"axes": list(axes), "shape": list(axes.values())}
    return found | ({"modalities": modalities} if modalities else {})


def _find_axes(tree: TreeMetadata, kind: Kind) -> dict[str, int]:
    """Find the lengths of the axes by their names."""
    if kind in ("AnnData", "MuData"):
        lengths = {name: _count_rows(tree, name) for name in ("obs", "var")}
        return {name: length for name, length in lengths.items() if length is not None}
    if kind == "VCF-Zarr":
        of = {"variants": "variant_position", "samples": "sample_id"}
        nodes = {name: tree.node(path) for name, path in of.items()}
        return {name: node.shape[0] for name, node in nodes.items() if node and node.shape}
    if kind == "OME-Zarr":
        return _find_image_axes(tree)
    if kind == "xarray":
        return _find_dimensions(tree)
    return {}


def _count_rows(tree: TreeMetadata, path: str) -> int | None:
    """Count the rows of a table of AnnData, by its index."""
    table = tree.node(path)
    name = table.attributes.get("_index") if table else None
    index = tree.node(f"{path}/{name}") if isinstance(name, str) else None
    return index.shape[0] if index and index.shape else None


def _find_image_axes(tree: TreeMetadata) -> dict[str, int]:
    root = tree.node()
    attributes = root.attributes if root else {}
    inner = attributes.get("ome")
    scales = (inner if isinstance(inner, dict) else attributes).get("multiscales")
    first = scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else {}
    axes, levels = first.get("axes"), first.get("datasets")
    if not (isinstance(axes, list) and isinstance(levels, list) and levels and isinstance(levels[0], dict)):
        return {}
    names = [axis.get("name") if isinstance(axis, dict) else axis for axis in axes]
    largest = tree.node(str(levels[0].get("path")))
    shape = largest.shape if largest else None
    return dict(zip(map(str, names), shape, strict=True)) if shape and len(shape) == len(names) else {}


def _find_dimensions(tree: TreeMetadata) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in tree.children():
        node = tree.node(name)
        if node and node.shape and len(node.dimensions) == len(node.shape):
            found |= dict(zip(node.dimensions, node.shape, strict=True))
    return found


def _find_modalities(tree: TreeMetadata, kind: Kind) -> list[str]:
    if kind == "MuData":
        group = tree.node("mod")
        order = group.attributes.get("mod-order") if group else None
        present = tree.children("mod")
        return [name for name in order if name in present] if _are_names(order) else present
    if kind == "SpatialData":
        return [f"{group}/{name}" for group in _SPATIAL if _is_group(tree.node(group)) for name in tree.children(group)]
    return []


def _are_names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_group(node: Node | None) -> bool:
    return node is not None and node.shape is None
