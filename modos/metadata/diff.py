"""Compare two states of metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.errors.escaping import escape_line
from modos.formats import ENCRYPTED_SUFFIX, Metadata, is_array_path, is_encrypted, name_of


@dataclass(frozen=True)
class Difference:
    """One element that differs.

    Parameters
    ----------
    element_id
        Its id; that of the object itself is given as an empty string.
    kind
        `added`, `removed` or `changed`.
    slots
        By slot, the value before and after; None where there is none.
    """

    element_id: str
    kind: str
    slots: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        sign = {"added": "+", "removed": "-", "changed": "~"}[self.kind]
        lines = [f"{sign} {escape_line(self.element_id) or '(object)'}"]
        if self.kind == "changed":
            lines += [
                f"    {escape_line(slot)}: {_show_value(before)} -> {_show_value(after)}"
                for slot, (before, after) in self.slots.items()
            ]
        return "\n".join(lines)


def compare(before: Metadata, after: Metadata, *, ignore: frozenset[str] = frozenset()) -> list[Difference]:
    """List the differences between two states of metadata, by element id.

    The objects themselves are compared whatever their ids are.

    Parameters
    ----------
    ignore
        Slots that do not count.
    """
    one, two = (_index_by_id(metadata) for metadata in (before, after))
    differences = []
    for element_id in [*one, *(i for i in two if i not in one)]:
        if element_id not in two:
            differences.append(Difference(element_id, "removed"))
        elif element_id not in one:
            differences.append(Difference(element_id, "added"))
        elif slots := _find_changes(one[element_id], two[element_id], ignore):
            differences.append(Difference(element_id, "changed", slots))
    return differences


def replace_keys_by_names(metadata: Metadata) -> dict[str, dict[str, Any]]:
    """Return metadata with the names of files in the place of their keys, so that versions of a file do not count."""
    return {
        i: {slot: _name(value) if slot == "data_path" else value for slot, value in attributes.items()}
        for i, attributes in metadata.items()
    }


def _name(data_path: str) -> str:
    return data_path if is_array_path(data_path) else name_of(data_path) + (ENCRYPTED_SUFFIX if is_encrypted(data_path) else "")


def _index_by_id(metadata: Metadata) -> dict[str, Mapping[str, Any]]:
    return {"" if attributes.get("@type") == "MODO" else i: attributes for i, attributes in metadata.items()}


def _find_changes(before: Mapping[str, Any], after: Mapping[str, Any], ignore: frozenset[str]) -> dict[str, tuple[Any, Any]]:
    slots = [slot for slot in [*before, *(s for s in after if s not in before)] if slot not in ignore]
    return {slot: (before.get(slot), after.get(slot)) for slot in slots if before.get(slot) != after.get(slot)}


def _show_value(value: Any) -> str:
    if value is None:
        return "(none)"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape_line(text if len(text) <= 80 else f"{text[:77]}...")
