"""Check the columns of an annotation's tables, as searches would not notice what is wrong in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from modos.errors import IntegrityError
from modos.errors.missing import load_late
from modos.reference.annotations.parquet_files import Manifest
from modos.reference.annotations.parts import PLACE

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_PART = (*PLACE, "transcript", "number")
COLUMNS = {  # that every annotation has
    "gene": (*PLACE, "id", "name", "type"),
    "transcript": (*PLACE, "id", "gene", "name", "type", "appris", "mane"),
    "exon": (*_PART, "id"),
    "intron": _PART,
    "cds": _PART,
    "utr": (*_PART, "side"),
}
_NUMBERS = {"start": 1 << 44, "end": 1 << 44, "number": 1 << 44}  # and what they are below
_ROWS = ("gene", "transcript")  # columns with numbers of rows of that table
_TEXTS = ("contig", "strand", "id", "name", "type", "appris", "mane", "tags", "xrefs", "side")


def check_column(manifest: Manifest, kind: str, column: pl.Series) -> None:
    """Raise IntegrityError where a column of a table has not the rows, or values, that it can have."""
    table, name = manifest.tables[kind], column.name
    limits: Mapping[str, int] = _NUMBERS | {parent: manifest.tables[parent].offsets[-1] for parent in _ROWS if parent != kind}
    if len(column) != table.offsets[-1] or table.offsets[0]:
        wrong = f"it has {len(column):,} rows in the place of {table.offsets[-1]:,}"
    elif name in limits and not _are_numbers(column, limits[name]):
        wrong = f"{name} has what is no number of its kind"
    elif name in _TEXTS and column.dtype != pl.String:
        wrong = f"{name} is no text"
    elif name == "contig" and not _are_contigs(column, manifest.contigs, table.offsets):
        wrong = "rows are at contigs where they do not belong"
    elif name == "start" and not _are_in_order(column, table.offsets):
        wrong = "its rows are not in order"
    else:
        return
    raise IntegrityError(f"the table of each {kind} of {manifest.name} is damaged: {wrong}", "see `modos reference verify`")


def missing_column_error(manifest: Manifest, kind: str, name: str) -> IntegrityError:
    """Make the error for a table without a column that it must have."""
    return IntegrityError(
        f"the table of each {kind} of {manifest.name} is damaged: it has no {name}", "see `modos reference verify`"
    )


def _are_numbers(column: pl.Series, limit: int) -> bool:
    if not column.dtype.is_integer() or column.null_count():
        return False
    least, most = column.min(), column.max()  # of no rows None
    return not len(column) or (isinstance(least, int) and isinstance(most, int) and least >= 0 and most < limit)


def _are_contigs(column: pl.Series, contigs: tuple[str, ...], offsets: tuple[int, ...]) -> bool:
    expected = pl.Series(contigs, dtype=pl.String).gather(np.repeat(np.arange(len(contigs)), np.diff(offsets)))
    return not column.null_count() and bool((column == expected).all())


def _are_in_order(column: pl.Series, offsets: tuple[int, ...]) -> bool:
    falls = np.flatnonzero(np.diff(column.to_numpy().astype(np.int64)) < 0) + 1
    return bool(np.isin(falls, offsets).all())
