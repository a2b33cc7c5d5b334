"""Bring an object up to date with files that describe it."""

from __future__ import annotations

from typing import Any

from modos.errors import SchemaError
from modos.formats import ENCRYPTED_SUFFIX, find_mismatch, format_of, is_array_path, is_encrypted, name_of
from modos.metadata.description import Entry
from modos.object.document import Document
from modos.object.transaction import Transaction


def bring_up_to_date(transaction: Transaction, entries: list[Entry], *, prune: bool) -> None:
    """Add the elements that files describe, or set the slots that they name.

    Parameters
    ----------
    prune
        Remove elements that no entry describes.

    Raises
    ------
    SchemaError
        Everything that does not fit the schema, at once.
    """
    wrong: list[SchemaError] = []
    view = transaction.view
    for entry in entries:
        attributes = _name_file(entry, view)
        try:
            if entry.element_id is None:
                own = {slot: value for slot, value in attributes.items() if slot not in ("id", "last_update_date")}
                transaction.update_element(view.object_id, own)
            elif entry.element_id in view:
                transaction.update_element(entry.element_id, attributes, entry.source_file, entry.part_of)
            else:
                transaction.add_element(attributes, entry.source_file, entry.part_of)
        except SchemaError as error:
            wrong.append(error)
    if wrong:
        raise (
            wrong[0]
            if len(wrong) == 1
            else SchemaError(
                f"{len(wrong)} elements do not fit the schema: " + "; ".join(error.message for error in wrong),
                "; ".join(dict.fromkeys(error.hint for error in wrong if error.hint)) or None,
                path=wrong[0].path,
            )
        )
    if prune:
        described = {entry.element_id for entry in entries}
        for element_id in [i for i in view.ids() if i not in described]:
            transaction.remove_element(element_id)


def _name_file(entry: Entry, view: Document) -> dict[str, Any]:
    """Return what is described, with the name of the file in the place of the key that it had when it was described."""
    path = entry.attributes.get("data_path")
    if not isinstance(path, str) or not path or is_array_path(path):
        return entry.attributes
    before = (
        view.element(entry.element_id).get("data_path") if entry.element_id is not None and entry.element_id in view else None
    )
    if before and name_of(before) == name_of(path) and not (entry.source_file and find_mismatch(entry.source_file, path)):
        return {slot: value for slot, value in entry.attributes.items() if slot != "data_path"}
    if entry.source_file is None or not (format_of(entry.source_file) and is_encrypted(path)):
        return entry.attributes | {"data_path": name_of(path) + (ENCRYPTED_SUFFIX if is_encrypted(path) else "")}
    return entry.attributes | {"data_path": name_of(path)}
