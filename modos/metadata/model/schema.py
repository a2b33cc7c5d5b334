"""Classes and slots of the schema, for programs to ask."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from modos.errors import InvalidInputError, SchemaError, did_you_mean, listing

GROUPS = ("assay", "data", "reference", "sample", "sequence")
_DEFAULT_CLASSES = {
    "assay": "Assay", "data": "DataEntity", "reference": "ReferenceGenome", "sample": "Sample",
    "sequence": "ReferenceSequence",
}


# the ontologies that the values of some slots are terms of
ONTOLOGIES = {
    "cell_type": ("CL",),
    "source_material": ("UBERON", "BTO"),
    "taxon_id": ("NCBITaxon",),
    "sample_processing": ("OBI", "EFO"),
}


@cache
def tables() -> dict[str, Any]:
    """The generated tables: classes with their slots, and enums."""
    return json.loads(files("modos.metadata.model").joinpath("slots.json").read_text(encoding="utf-8"))


def describe(class_name: str) -> dict[str, Any]:
    """A class: its description, its group, and its slots with those it inherits.

    Raises
    ------
    SchemaError
        The schema has no such class.
    """
    classes = tables()["classes"]
    if not isinstance(class_name, str) or class_name not in classes:
        known = class_names()
        near = did_you_mean(str(class_name), known)
        raise SchemaError(f"there is no class {str(class_name)[:100]}", f"did you mean {near}?" if near else
                          f"there are {listing(known, 20)}", path="@type", expected=" | ".join(known),
                          got=str(class_name))
    return classes[class_name]


def class_names() -> list[str]:
    """The classes that elements and objects can have."""
    return [name for name in tables()["classes"] if name != "NamedThing"]


@cache
def slots() -> frozenset[str]:
    """The slots of all classes."""
    return frozenset(name for described in tables()["classes"].values() for name in described["slots"])


def group_of(class_name: str) -> str | None:
    """The group that elements of a class are in; None for the object itself."""
    return describe(class_name)["group"]


def default_class(group: str) -> str:
    """The class of a new element of a group."""
    if group not in _DEFAULT_CLASSES:
        raise InvalidInputError(f"{group} is not a type of element", f"the types are {listing(GROUPS)}")
    return _DEFAULT_CLASSES[group]


@cache
def link_slots(class_name: str) -> dict[str, str]:
    """The slots of a class that link to elements, with the group each links to; none for an unknown class."""
    slots = tables()["classes"].get(class_name, {"slots": {}})["slots"]
    return {name: slot["links_to"] for name, slot in slots.items() if slot["links_to"]}


def link_slot(parent_class: str, child_group: str) -> str | None:
    """The slot by which a class links to elements of a group, if it has one."""
    return next((slot for slot, group in link_slots(parent_class).items() if group == child_group), None)
