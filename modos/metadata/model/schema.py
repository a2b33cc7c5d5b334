"""Look up classes and slots of the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict

from modos.errors import InvalidInputError, SchemaError, did_you_mean, listing

GROUPS = ("assay", "data", "reference", "sample", "sequence")
_DEFAULT_CLASSES = {
    "assay": "Assay",
    "data": "DataEntity",
    "reference": "ReferenceGenome",
    "sample": "Sample",
    "sequence": "ReferenceSequence",
}


# the ontologies that the values of some slots are terms of
ONTOLOGIES = {
    "cell_type": ("CL",),
    "source_material": ("UBERON", "BTO"),
    "taxon_id": ("NCBITaxon",),
    "sample_processing": ("OBI", "EFO"),
}


class Slot(TypedDict):
    """Slot of a class; `links_to` is the group of elements that it links to."""

    description: str
    uri: str
    range: str
    required: bool
    multivalued: bool
    pattern: str | None
    links_to: str | None


class Class(TypedDict):
    """Class with the slots that it inherits; `group` is None for a class that elements do not have."""

    description: str
    uri: str
    group: str | None
    slots: dict[str, Slot]


class Value(TypedDict):
    """Value of an enum, and the URI of the term that it means."""

    meaning: str | None
    description: str


class Tables(TypedDict):
    """Generated tables: prefixes of URIs, and by name the classes and the values of enums."""

    prefixes: dict[str, str]
    classes: dict[str, Class]
    enums: dict[str, dict[str, Value]]


@cache
def tables() -> Tables:
    """Load the generated tables: classes with their slots, and enums."""
    found: Tables = json.loads(Path(__file__).with_name("slots.json").read_text(encoding="utf-8"))
    return found


def describe(class_name: str) -> Class:
    """Look a class up: its description, its group, and its slots with those it inherits.

    Raises
    ------
    SchemaError
        The schema has no such class.
    """
    classes = tables()["classes"]
    if not isinstance(class_name, str) or class_name not in classes:
        known = class_names()
        near = did_you_mean(str(class_name), known)
        raise SchemaError(
            f"there is no class {str(class_name)[:100]}",
            f"did you mean {near}?" if near else f"there are {listing(known, 20)}",
            path="@type",
            expected=" | ".join(known),
            got=str(class_name),
        )
    return classes[class_name]


def class_names() -> list[str]:
    """List the classes that elements and objects can have."""
    return [name for name in tables()["classes"] if name != "NamedThing"]


@cache
def slots() -> frozenset[str]:
    """List the slots of all classes."""
    return frozenset(name for described in tables()["classes"].values() for name in described["slots"])


def group_of(class_name: str) -> str | None:
    """Return the group that elements of a class are in; None for the object itself."""
    return describe(class_name)["group"]


def default_class(group: str) -> str:
    """Return the class of a new element of a group."""
    if group not in _DEFAULT_CLASSES:
        raise InvalidInputError(f"{group} is not a type of element", f"the types are {listing(GROUPS)}")
    return _DEFAULT_CLASSES[group]


def slots_of(class_name: str | None) -> Mapping[str, Slot]:
    """Return the slots of a class; none for an unknown class."""
    found = tables()["classes"].get(class_name or "")
    return found["slots"] if found else {}


@cache
def link_slots(class_name: str | None) -> dict[str, str]:
    """Return the slots of a class that link to elements, with the group each links to; none for an unknown class."""
    return {name: slot["links_to"] for name, slot in slots_of(class_name).items() if slot["links_to"]}


def link_slot(parent_class: str | None, child_group: str) -> str | None:
    """Return the slot by which a class links to elements of a group, if it has one."""
    return next((slot for slot, group in link_slots(parent_class).items() if group == child_group), None)


def meaning_of(enum: str, value: str) -> str | None:
    """Return the URI of the term that a value of an enum means, where it means one."""
    found = tables()["enums"].get(enum, {}).get(value)
    return found["meaning"] if found else None
