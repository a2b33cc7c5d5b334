"""Write objects and elements as HTML for notebooks, and as YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from modos.errors import ModosError
from modos.errors.escaping import escape_line, escape_text
from modos.formats import is_array_path, name_of
from modos.formats.html_tables import MOST_ROWS, write_folded, write_table

if TYPE_CHECKING:
    from modos.trees.tree_store import TreeStore

_MAX_NODES = 1000


def element_html(element_id: str, attributes: Mapping[str, Any], open_tree: Callable[[], TreeStore] | None) -> str:
    """Write an element as an HTML table, and what its Zarr tree has below that, where there is one to open."""
    rows = [(slot, _describe_path(value) if slot == "data_path" else value) for slot, value in attributes.items()]
    table = write_table(element_id, rows)
    return table + _tree_html(attributes, open_tree) if open_tree else table


def _tree_html(attributes: Mapping[str, Any], open_tree: Callable[[], TreeStore]) -> str:
    """Write the groups and arrays of a tree as HTML, folded; or why they cannot be read."""
    from modos.trees.tree_listing import draw_tree, list_nodes

    try:
        nodes = list_nodes(open_tree().metadata)
        more = len(nodes) - _MAX_NODES
        drawn = draw_tree(nodes[:_MAX_NODES]) + (f"\nand {more:,} more" if more > 0 else "")
    except ModosError as error:
        drawn = error.message
    return write_folded(f"{name_data(attributes['data_path'])} {summarise(attributes)}".rstrip(), drawn)


def object_html(name: str, metadata: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the elements of an object as an HTML table."""
    rows = (
        (
            element_id,
            attributes.get("@type"),
            attributes.get("name") or "",
            f"{name_data(attributes.get('data_path') or '')} {summarise(attributes)}".rstrip(),
        )
        for element_id, attributes in islice(metadata.items(), MOST_ROWS)
    )
    return write_table(name, rows, ("id", "type", "name", "file"), total=len(metadata))


def summarise(attributes: Mapping[str, Any]) -> str:
    """Summarise what a Zarr tree is, as far as the metadata say: `(AnnData, 200 obs x 50 var)`."""
    axes, shape = attributes.get("axes") or (), attributes.get("shape") or ()
    lengths = " x ".join(f"{length:,} {axis}" for axis, length in zip(axes, shape, strict=False))
    told = ", ".join(part for part in (attributes.get("zarr_kind"), lengths) if part)
    return f"({told})" if told else ""


def to_yaml(metadata: Mapping[str, Mapping[str, Any]]) -> str:
    """Write metadata as YAML: files by their names, with a comment for a file that is stored under another name."""
    return "".join(_element_yaml(element_id, attributes) for element_id, attributes in metadata.items())


def _element_yaml(element_id: str, attributes: Mapping[str, Any]) -> str:
    import yaml

    path = attributes.get("data_path")
    named = dict(attributes, data_path=name_data(path)) if path else dict(attributes)
    lines = yaml.safe_dump({element_id: named}, sort_keys=False, allow_unicode=not _has_hidden({element_id: named})).splitlines()
    if path and path != name_data(path):
        at = next(number for number, line in enumerate(lines) if line[2:].startswith("data_path: "))
        while lines[at + 1 :] and lines[at + 1].startswith("    "):  # a long one goes on
            at += 1
        lines[at] += f"  # stored as {escape_line(path)}"
    return "\n".join(lines) + "\n"


def _has_hidden(value: Any) -> bool:
    """Return whether a text of an element has characters that a terminal obeys: YAML escapes them, with all non-ASCII."""
    if isinstance(value, (list, dict)):
        return any(map(_has_hidden, value.items() if isinstance(value, dict) else value))
    return any(map(_has_hidden, value)) if isinstance(value, tuple) else isinstance(value, str) and escape_text(value) != value


def name_data(path: str) -> str:
    """Return the name of a file; arrays are called by their place."""
    return path if is_array_path(path) else name_of(path)


def _describe_path(path: str) -> str:
    return path if path == name_data(path) else f"{name_data(path)} (stored as {path})"
