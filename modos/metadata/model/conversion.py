"""Convert elements, as people and programs give them, to plain attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from modos.errors import SchemaError
from modos.metadata.model.schema import GROUPS, link_slots, slots_of


def to_attributes(element: Any) -> dict[str, Any]:
    """Convert an element to a dict that JSON can hold, with its class as `@type`.

    Parameters
    ----------
    element
        A mapping with `@type`, or an instance of a generated class.

    Raises
    ------
    SchemaError
        It is neither.
    """
    if isinstance(element, Mapping):
        attributes = dict(element)
    elif hasattr(element, "__dataclass_fields__"):
        attributes = {"@type": type(element).__name__} | vars(element)
    else:
        raise SchemaError(f"a {type(element).__name__} is not an element", "give a mapping with id and @type")
    if not isinstance(attributes.get("@type"), str) or not attributes["@type"]:
        raise SchemaError("an element needs its class as @type", path="@type")
    plain = {str(key): _plain(value) for key, value in attributes.items()}
    return {key: value for key, value in plain.items() if value not in (None, "", [])}


def _plain(value: Any) -> Any:
    if hasattr(value, "code"):  # an enum of the generated classes
        value = value.code.text
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool) or value is None or type(value) in (int, float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value if entry is not None]
    return str(value)


def normalise(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Bring attributes into their full form.

    Values of multivalued slots become lists, links full ids (`group/name`)
    without repetition; what begins with `_` is left out. Slots and classes
    that the schema does not know stay as they are.
    """
    class_name = attributes.get("@type")
    slots = slots_of(class_name)
    links = link_slots(class_name)
    result = {}
    for name, value in attributes.items():
        if name.startswith("_"):
            continue
        if name in slots and slots[name]["multivalued"] and not isinstance(value, list):
            value = [value]
        if name in links:
            value = list(dict.fromkeys(_full_id(str(link), links[name]) for link in value))
        result[name] = value
    return result


def _full_id(link: str, group: str) -> str:
    return link if link.partition("/")[0] in GROUPS and "/" in link else f"{group}/{link}"
