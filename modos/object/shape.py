"""Check the types and sizes in the JSON of a root before anything relies on it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from modos.errors import InvalidInputError
from modos.errors.escaping import replace_hidden
from modos.metadata import model
from modos.metadata.model.schema import Slot, slots_of
from modos.storage import check_key

MAX_ROOT = 48 << 20  # bytes; 70,000 to 100,000 elements
_MAX_DEPTH = 32
_SCALARS = (str, int, float, type(None))  # bool is an int
_TEXT = (str, type(None))
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_-]{1,99}(?:/[A-Za-z0-9_-]{1,99}){0,8}")


class Malformed(ValueError):
    """Error: what is wrong with a root, in a few words."""


class TooLarge(Malformed):
    """Error: there is more of a root than is read."""


def read_json(data: bytes) -> dict[str, Any]:
    """Read the JSON object of a root or of a part of it; Malformed where it is none, TooLarge where there is too much of it."""
    if len(data) > MAX_ROOT:
        raise TooLarge(f"it is larger than {MAX_ROOT >> 20} MiB")
    try:
        content = json.loads(data.decode())
        if b"\\u" in data:
            json.dumps(content, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    return check_dict(content, "it")


def check_parts(attributes: Any, nodes: Any, state: Any) -> None:
    """Raise Malformed where the attributes of an object, its nodes or the record of its commits have wrong types."""
    if check_dict(attributes, "what it says of the object").get("@type") != "MODO":
        raise Malformed("its @type is not MODO")
    object_id = attributes.get("id", "")
    if not isinstance(object_id, str):
        raise Malformed("the object's id is not a text")
    check_state(state)
    _check_slots({name: value for name, value in attributes.items() if not name.startswith("_")}, object_id)
    for path, node in check_dict(nodes, "its list of elements").items():
        check_node(path, node)
    if object_id and "@type" in nodes.get(object_id, {}).get("attributes", {}):
        raise Malformed(f"{object_id} is the id of the object and of an element")


def check_node(path: str, node: Any) -> None:
    """Raise Malformed where a node is neither a group nor an array, or an element's slots have wrong types."""
    _check_path(path)
    attributes = node.get("attributes") if type(node) is dict else None
    if type(attributes) is not dict:
        attributes = check_dict(check_dict(node, path).get("attributes", {}), f"what it says of {path}")
    group, _, name = path.partition("/")
    if group in model.GROUPS and name and "/" not in name and "@type" in attributes:
        _check_slots(attributes, path)
    else:
        _check_depth(attributes, path)


def check_dict(value: Any, what: str) -> dict[str, Any]:
    """Return a value that has to be a JSON object; Malformed where it is not."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object")
    return value


def _check_path(path: str) -> None:
    """Refuse a path that leads elsewhere; what else `format_id` refuses may be in older objects."""
    if _PLAIN_PATH.fullmatch(path):
        return
    try:
        check_key(replace_hidden(path, "?"))
    except InvalidInputError:
        raise Malformed(f"{path[:60]!r} is not an id") from None


def check_state(state: Any) -> dict[str, Any]:
    """Return the record of commits, empty for none; Malformed where it is not one."""
    told = check_dict({} if state is None else state, "what it says of commits")
    commits, revision = told.get("commits", []), told.get("revision", 0)
    if not isinstance(commits, list) or not all(isinstance(commit, str) for commit in commits):
        raise Malformed("its list of commits is not a list of texts")
    version = told.get("format_version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise Malformed("its format version is not a number")
    if isinstance(revision, bool) or not isinstance(revision, int) or abs(revision) >> 63:
        raise Malformed("its revision is not a number")
    _check_depth(told, "what it says of commits")
    return told


def _check_slots(attributes: Mapping[str, Any], element_id: str) -> None:
    class_name = attributes["@type"]
    if not isinstance(class_name, str):
        raise Malformed(f"the @type of {element_id} is not a text")
    slots, integers = _list_slots(class_name)
    for name, value in attributes.items():
        if type(value) is str and name not in integers:
            continue  # a text fits all others: most values are one
        slot = slots.get(name)
        if slot is None:
            _check_depth(value, element_id)
            continue
        for item in value if type(value) is list and slot["multivalued"] else (value,):
            if (type(item) is not str or name in integers) and not _fits(item, name, slot):
                raise Malformed(f"{name} of {element_id} cannot be {json.dumps(value)[:60]}")


@lru_cache(maxsize=64)
def _list_slots(class_name: str) -> tuple[Mapping[str, Slot], frozenset[str]]:
    """Return the slots of a class, none for an unknown one, and those of them that hold numbers."""
    slots = slots_of(class_name)
    return slots, frozenset(name for name, slot in slots.items() if slot["range"] == "integer")


def _fits(value: Any, name: str, slot: Slot) -> bool:
    """Return whether a value is of a type that readers of a slot can take; the schema says more, and `check` reports that."""
    if slot["range"] == "integer":
        return value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63)
    if slot["links_to"] or name == "id" or name.startswith(("data_", "plain_", "seal_", "header_", "index_")):
        return isinstance(value, _TEXT)
    return isinstance(value, _SCALARS) and not (isinstance(value, float) and not math.isfinite(value))


def _check_depth(value: Any, where: str) -> None:
    """Raise Malformed where lists and objects are nested deeply, or a number is not finite."""
    level, depth = [value], 0
    while level:
        if depth > _MAX_DEPTH:
            raise Malformed(f"{where} has lists in lists, more than {_MAX_DEPTH} deep")
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                raise Malformed(f"{where} has a number that is none")
        level, depth = [below for item in level for below in _list_children(item)], depth + 1


def _list_children(item: Any) -> Iterator[Any]:
    """Iterate over what is in a list or an object, as far as it has to be checked."""
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return (below for below in inner if isinstance(below, (dict, list, float)))
