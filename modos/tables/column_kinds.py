"""Kinds of columns whose type the data decide, and what holds the values of two of them.

A tag may be an integer in one read and a text in the next. The column then
has the narrowest kind that loses nothing of either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modos.tables import arrow

KINDS = ("integer", "real", "double", "text", "integers", "reals", "doubles", "texts", "flag")
_REAL = {"integer", "real", "double"}
_LISTS = {"integers", "reals", "doubles", "texts"}


def is_list(kind: str) -> bool:
    """Return whether the values of a kind are lists."""
    return kind in _LISTS


def is_text(kind: str) -> bool:
    """Return whether values of a kind are texts, or lists of these."""
    return kind in ("text", "texts")


def kind_of_values(kind: str) -> str:
    """Return the kind of the values in the lists of a kind."""
    return kind.removesuffix("s")


def join_kinds(kinds: Iterable[str]) -> str:
    """Return the narrowest kind that holds the values of some: numbers are doubles together, others texts."""
    found = set(kinds)
    if len(found) == 1:
        return found.pop()
    if found <= _REAL:
        return "double"
    if found <= _LISTS:
        return "texts" if "texts" in found else "doubles"
    return "text"


def cast_column(column: Any, kind: str, wanted: str) -> Any:
    """Turn a column of one kind into one of another kind that holds its values.

    Numbers become the text that SAM has for them, lists become texts with
    commas.
    """
    pa = arrow.load_pyarrow()
    if kind == wanted:
        return column
    if is_text(wanted) and kind != "integer":
        values = column.to_pylist()
        format = _format_list if wanted == "text" else lambda value: [_format(one) for one in value]
        return pa.array([None if value is None else format(value) for value in values], arrow.type_of(wanted))
    return column.cast(arrow.type_of(wanted))


def _format_list(value: Any) -> str:
    return ",".join(map(_format, value)) if isinstance(value, list) else _format(value)


def _format(value: Any) -> str:
    return "." if value is None else f"{value:g}" if isinstance(value, float) else str(value)
