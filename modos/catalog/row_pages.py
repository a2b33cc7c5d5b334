"""Rows of a catalogue for somebody who may read a part of the objects: page by page, or as one table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from modos.catalog.catalog_view import View
from modos.catalog.conditions_on_elements import select_elements
from modos.catalog.element_rows import CLASS, ELEMENT, OBJECT
from modos.catalog.snapshots import to_parquet
from modos.errors import InvalidInputError
from modos.errors.missing import load_late

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_SEPARATOR = "\t"  # of the object and the element that a page ends with


def find_page(
    view: View, allows: Callable[[str], bool], class_name: str | None, where: str | None, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Find a page of rows, in the order of objects and elements, and where the next one begins.

    Parameters
    ----------
    allows
        Returns whether an object may be read; rows of others count as not being there.
    after
        Where the page before ended.

    Returns
    -------
    tuple
        The rows, without what they have no value for, and the `after` of the next page; None after the last one.

    Raises
    ------
    InvalidInputError
        The class, the condition or `after` cannot be read.
    """
    rows = _allowed(view.elements, allows)
    found = select_elements(rows, class_name, where)
    if after is not None:
        key, separator, element_id = after.partition(_SEPARATOR)
        if not separator:
            raise InvalidInputError("this is not where a page ends", "give the `next` of the page before as it is")
        found = found.filter((pl.col(OBJECT) > key) | ((pl.col(OBJECT) == key) & (pl.col(ELEMENT) > element_id)))
    page = found.sort(OBJECT, ELEMENT).head(limit + 1).collect()
    following = _SEPARATOR.join((page[OBJECT][limit - 1], page[ELEMENT][limit - 1])) if page.height > limit else None
    return [to_plain(row) for row in page.head(limit).iter_rows(named=True)], following


def list_left_out(view: View, allows: Callable[[str], bool], after: str | None, following: str | None) -> list[tuple[str, str]]:
    """List objects that have no rows, as they cannot be read, and why: those of a page of `find_page`, which has none of them."""
    alone = pl.col(CLASS).is_null() & pl.col("problem").is_not_null()
    first, last = (text and text.partition(_SEPARATOR)[0] for text in (after, following))
    found = _allowed(view.elements.filter(alone), allows).select(OBJECT, "problem").sort(OBJECT).collect()
    return [(key, why) for key, why in found.iter_rows() if (first is None or key > first) and (last is None or key <= last)]


def to_plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it, without what it has no value for."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items() if value is not None}


def write_allowed(view: View, table: str, allows: Callable[[str], bool]) -> bytes:
    """Write the rows of one of the tables `elements` and `digests`, of the objects that may be read, as Parquet."""
    return to_parquet(_allowed(getattr(view, table), allows).sort(OBJECT, maintain_order=True))


def _allowed(rows: pl.LazyFrame, allows: Callable[[str], bool]) -> pl.LazyFrame:
    if allows(""):
        return rows
    objects = rows.select(OBJECT).unique().collect()[OBJECT]
    return rows.filter(pl.col(OBJECT).is_in([key for key in objects if allows(key)]))
