"""What the JSON of a root has to be before anything believes it: the types of its parts, and how much of it there may be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from modos import model
from modos.errors import InvalidInputError
from modos.hidden import replace_hidden
from modos.model.schema import tables
from modos.storage import check_key

MAX_ROOT = 48 << 20  # bytes; 70,000 to 100,000 elements
_MAX_DEPTH = 32
_SCALARS = (str, int, float, type(None))  # bool is an int
_TEXT = (str, type(None))
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_-]{1,99}(?:/[A-Za-z0-9_-]{1,99}){0,8}")


class Malformed(ValueError):
    """What is wrong with a root, in a few words."""


class TooLarge(Malformed):
    """There is more of it than is read."""


def read_json(data: bytes) -> dict[str, Any]:
    """The JSON object of a root or of its part; Malformed where it is none, TooLarge where there is too much of it."""
    if len(data) > MAX_ROOT:
        raise TooLarge(f"it is larger than {MAX_ROOT >> 20} MiB")
    try:
        content = json.loads(data.decode())
        if b"\\u" in data:
            json.dumps(content, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    return a_dict(content, "it")


def check_parts(attributes: Any, nodes: Any, state: Any) -> None:
    """Raise Malformed where the attributes of an object, its nodes or the record of its commits are not of their types."""
    if a_dict(attributes, "what it says of the object").get("@type") != "MODO":
        raise Malformed("its @type is not MODO")
    object_id = attributes.get("id", "")
    if not isinstance(object_id, str):
        raise Malformed("the object's id is not a text")
    check_state(state)
    _check_slots({name: value for name, value in attributes.items() if not name.startswith("_")}, object_id)
    for path, node in a_dict(nodes, "its list of elements").items():
        check_node(path, node)
    if object_id and "@type" in nodes.get(object_id, {}).get("attributes", {}):
        raise Malformed(f"{object_id} is the id of the object and of an element")


def check_node(path: str, node: Any) -> None:
    """Raise Malformed where a group or an array is not one, or an element's slots are not of their types."""
    _check_path(path)
    attributes = node.get("attributes") if type(node) is dict else None
    if type(attributes) is not dict:
        attributes = a_dict(a_dict(node, path).get("attributes", {}), f"what it says of {path}")
    group, _, name = path.partition("/")
    if group in model.GROUPS and name and "/" not in name and "@type" in attributes:
        _check_slots(attributes, path)
    else:
        _check_depth(attributes, path)


def a_dict(value: Any, what: str) -> dict[str, Any]:
    """A value that has to be a JSON object; Malformed where it is not."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a JSON object")
    return value


def _check_path(path: str) -> None:
    """What `format_id` refuses may be in older objects, but nothing that leads elsewhere."""
    if _PLAIN_PATH.fullmatch(path):
        return
    try:
        check_key(replace_hidden(path, "?"))
    except InvalidInputError:
        raise Malformed(f"{path[:60]!r} is not an id") from None


def check_state(state: Any) -> dict[str, Any]:
    """The record of commits, empty for none; Malformed where it is not one."""
    state = a_dict({} if state is None else state, "what it says of commits")
    commits, revision = state.get("commits", []), state.get("revision", 0)
    if not isinstance(commits, list) or not all(isinstance(commit, str) for commit in commits):
        raise Malformed("its list of commits is not a list of texts")
    if isinstance(revision, bool) or not isinstance(revision, int) or abs(revision) >> 63:
        raise Malformed("its revision is not a number")
    _check_depth(state, "what it says of commits")
    return state


def _check_slots(attributes: Mapping[str, Any], element_id: str) -> None:
    class_name = attributes["@type"]
    if not isinstance(class_name, str):
        raise Malformed(f"the @type of {element_id} is not a text")
    slots, integers = _slots_of(class_name)
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
def _slots_of(class_name: str) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The slots of a class, none where there is no such class, and those of them that hold numbers."""
    slots = tables()["classes"].get(class_name, {"slots": {}})["slots"]
    return slots, frozenset(name for name, slot in slots.items() if slot["range"] == "integer")


def _fits(value: Any, name: str, slot: Mapping[str, Any]) -> bool:
    """Whether a value is of a type that the readers of a slot bear; the schema says more, and `check` tells."""
    if slot["range"] == "integer":
        return value is None or isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if slot["links_to"] or name == "id" or name.startswith(("data_", "plain_", "seal_", "header_")):
        return isinstance(value, _TEXT)
    return isinstance(value, _SCALARS) and not (isinstance(value, float) and not math.isfinite(value))


def _check_depth(value: Any, where: str) -> None:
    """Malformed where lists and objects lie in each other deeply, or a number is none."""
    level, depth = [value], 0
    while level:
        if depth > _MAX_DEPTH:
            raise Malformed(f"{where} has lists in lists, more than {_MAX_DEPTH} deep")
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                raise Malformed(f"{where} has a number that is none")
        level, depth = [below for item in level for below in _below(item)], depth + 1


def _below(item: Any) -> Iterator[Any]:
    """What is in a list or an object, as far as it is to be looked at."""
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return (below for below in inner if isinstance(below, (dict, list, float)))
