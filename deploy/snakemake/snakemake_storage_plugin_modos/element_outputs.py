"""Outputs of a workflow as elements of objects, with what they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import name_of, plain_name
from modos.metadata.description import Matcher
from snakemake_storage_plugin_modos.queries import Query

if TYPE_CHECKING:
    from snakemake_storage_plugin_modos import StorageProvider


def add_output(provider: StorageProvider, asked: Query, local: Path) -> None:
    """Add a file or a Zarr tree as an element, or put it in the place of that of the element that has it; in one commit.

    The element's samples and reference are those that the header tells, as
    `modos add` finds them. `derived_from` has what the query names with
    `from=`, and the description the rule.

    Raises
    ------
    InvalidInputError
        The file is not directly in the object, or not what its name says.
    NotFoundError
        There is no such object, or no element that it is said to be made of.
    """
    place, name = provider.filesystem.split(asked.address)
    if not name or "/" in name:
        raise InvalidInputError(
            f"{asked.address}: outputs lie directly in their object", "write modos://bucket/OBJECT/FILE, without a folder between"
        )
    modo = MODO.open(place, **provider.reach)
    slots = _provenance(modo, asked)
    element_id = _find_element(modo, name)
    if element_id is not None:
        modo.update_element(element_id, slots, local, **provider.key)
    else:
        matcher = Matcher({f"@type:{local.name}": value for value in asked.values("type")})
        slots |= {"data_path": name} | {one: value for one, value in asked.recorded if one == "id"}
        part_of = next(iter(asked.values("part_of")), None)
        modo.add_files([local], part_of=part_of, matcher=matcher, attributes=slots, **provider.key)
    provider.filesystem.invalidate_cache()


def remove_output(provider: StorageProvider, asked: Query) -> None:
    """Remove the element that has a file; nothing happens where there is none."""
    place, name = provider.filesystem.split(asked.address)
    modo = MODO.open(place, **provider.reach)
    element_id = _find_element(modo, name)
    if element_id is not None:
        modo.remove_element(element_id)
        provider.filesystem.invalidate_cache()


def _provenance(modo: MODO, asked: Query) -> dict[str, Any]:
    """Return the slots that say what an output was made of, and by which rule."""
    slots: dict[str, Any] = {}
    if sources := asked.values("from"):
        slots["derived_from"] = [_find_source(modo, source) for source in sources]
    if rule := asked.values("rule"):
        slots["description"] = f"Made by the rule {rule[0]} of a Snakemake workflow."
    return slots


def _find_source(modo: MODO, source: str) -> str:
    """Find the id of an element by its id or name, or by its file."""
    try:
        return modo.find_element(source)
    except NotFoundError:
        element_id = _find_element(modo, source)
        if element_id is None:
            raise
        return element_id


def _find_element(modo: MODO, name: str) -> str | None:
    """Find the element that has a file of a name; None if there is none."""
    paths = {i: path for i, attributes in modo.metadata.items() if isinstance(path := attributes.get("data_path"), str)}
    for call_it in (str, plain_name, name_of):  # the own name of a file counts before one that it may be called by
        for element_id, path in paths.items():
            if call_it(path) == name:
                return element_id
    return None
