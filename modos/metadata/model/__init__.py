"""The metadata schema at run time.

The classes, the JSON Schema and the tables here are generated from
schema/modos.yaml. Importing this package is cheap; `modos.metadata.model.Assay` and the
other generated classes are loaded when they are first asked for.

In: elements as people and programs give them. Out: plain attributes in full form
(`conversion`), every problem of them at once (`validation`), and classes and slots
to look up (`schema`). It imports errors alone.
"""

from __future__ import annotations

from typing import Any

from modos.metadata.model.conversion import normalise, to_attributes
from modos.metadata.model.schema import GROUPS, class_names, default_class, describe, group_of, link_slot, link_slots, slots
from modos.metadata.model.validation import problems, validate

__all__ = [
    "GROUPS",
    "class_names",
    "default_class",
    "describe",
    "group_of",
    "link_slot",
    "link_slots",
    "normalise",
    "problems",
    "slots",
    "to_attributes",
    "validate",
]


def __getattr__(name: str) -> Any:
    from modos.metadata.model.schema import tables

    if name in tables()["classes"]:
        from modos.metadata.model import datamodel

        return getattr(datamodel, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
