"""The rules for ids of elements and objects."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from modos.errors import InvalidInputError
from modos.errors.escaping import is_plain
from modos.storage import check_key

_MAX_ID_BYTES = 200


def format_id(group: str, name: Any) -> str:
    """Return a full id: `data` and `demo1` -> `data/demo1`; a name that begins with its group already keeps it.

    Numbers and dates are accepted, as YAML reads some names as such.

    Raises
    ------
    InvalidInputError
        The name cannot be one in a group: no text, empty, with a slash, `..`,
        control characters or those that turn text round, more than 200 bytes, or `zarr.json`.
    """
    is_text = (
        isinstance(name, (str, int, float, date))
        and not isinstance(name, bool)
        and name not in (math.inf, -math.inf)
        and name == name
    )
    name = str(name)
    bare = name.removeprefix(f"{group}/")
    try:
        check_key(bare)
        valid = (
            is_text
            and "/" not in bare
            and is_plain(bare)
            and len(bare.encode()) <= _MAX_ID_BYTES
            and not bare.startswith(("__", "."))
        )
    except (InvalidInputError, UnicodeEncodeError):
        valid = False
    if not valid or bare == "zarr.json":
        shown = name if len(name) <= 60 else name[:60] + "..."
        raise InvalidInputError(
            f"{shown!r} cannot be an id in the group {group}",
            f"an id is a name of up to {_MAX_ID_BYTES} bytes without slashes and control characters, "
            "not starting with a dot or `__`",
        )
    return f"{group}/{bare}"


def check_object_id(object_id: Any) -> str:
    """Refuse what cannot be the id of an object: no text, control characters, and those that turn text round."""
    if not isinstance(object_id, str) or not object_id or not is_plain(object_id):
        raise InvalidInputError(
            f"{str(object_id)[:60]!r} cannot be the id of an object", "an id is a text without control characters"
        )
    return object_id
