"""Find the objects that have what a search asks for, by the columns of the rows, and no object in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modos.catalog.catalog_view import View
from modos.catalog.element_rows import CLASS, ELEMENT, OBJECT, digest_schema, schema
from modos.catalog.searching import Term
from modos.errors.missing import load_late

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_NAMES = {"@type": CLASS, "id": ELEMENT}  # columns of what is no slot with a column of its name
_NOT_SEARCHED = frozenset((OBJECT, "tag", "problem", "other", "revision"))


def find_objects(view: View, term: Term) -> pl.Series:
    """Find the keys of the objects that have a term: of a slot, or of any text but digests.

    The columns are gone through one by one, as few are of any length; a value
    that has no column is looked at as it is.
    """
    found = [_find_other(view, term)]
    for table, column, kind in _columns(view, term.slot):
        found.append(table.filter(_matcher(column, kind, term)).select(pl.col(OBJECT).unique()).collect().to_series())
    return pl.concat(found).unique()


def _columns(view: View, slot: str) -> Iterator[tuple[pl.LazyFrame, str, Any]]:
    """Iterate over the tables and columns to look in, with their types."""
    if slot:
        name = _NAMES.get(slot, slot)
        if name in schema():
            yield view.elements, name, schema()[name]
        elif name in digest_schema():
            yield view.digests, name, digest_schema()[name]
        return
    for name, kind in schema().items():
        if name not in _NOT_SEARCHED and kind in (pl.String, pl.List(pl.String)) and not name.startswith("has_"):
            yield view.elements, name, kind


def _matcher(column: str, kind: Any, term: Term) -> pl.Expr:
    """Return the condition that a column has a value."""
    value, inner = pl.col(column), kind.inner if isinstance(kind, pl.List) else kind
    if inner == pl.Datetime("us"):
        return value.dt.to_string("%Y-%m-%dT%H:%M:%S%.f").str.contains(_pattern(term))
    if isinstance(kind, pl.List):
        return value.list.eval(pl.element().cast(pl.String).str.contains(_pattern(term))).list.any()
    return value.cast(pl.String).str.contains(_pattern(term))


def _pattern(term: Term) -> str:
    """Return a regular expression for a folded value: sharp s, which is folded to ss, is found as well."""
    pattern = pl.escape_regex(term.value).replace("ss", "(?:ss|ß)")
    return rf"(?is)\A{pattern}\z" if term.whole else f"(?is){pattern}"


def _find_other(view: View, term: Term) -> pl.Series:
    """Find the objects with a term among what has no column."""
    rows = view.elements.filter(pl.col("other").is_not_null()).select(OBJECT, ELEMENT, "other")
    if term.value.isascii() and not set(term.value) & set('"\\') and term.value.isprintable():
        rows = rows.filter(pl.col("other").str.contains(rf"(?i){pl.escape_regex(term.value)}|\\u"))  # escapes may fold to it
    found = {key for key, element, other in rows.collect().iter_rows() if term.is_in({element: _read_other(element, other)})}
    return pl.Series(OBJECT, sorted(found), dtype=pl.String)


def _read_other(element: str, text: str) -> dict[str, Any]:
    other: dict[str, Any] = json.loads(text)
    if element == "" and isinstance(other.get("id"), list):
        other["id"] = other["id"][0]
    return other
