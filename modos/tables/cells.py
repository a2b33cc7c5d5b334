"""Decode texts at places of a buffer, such as the cells of a VCF, into Arrow arrays of a kind."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.tables import arrow
from modos.tables.column_kinds import is_list, kind_of_values
from modos.tables.ragged import PADDING, Ints, find_byte, join_slices, number_within, view_at

_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


class Cells(NamedTuple):
    """Texts at places of a buffer; one of a negative length is not there."""

    data: bytes
    starts: Ints
    lengths: Ints

    @property
    def ends(self) -> Ints:
        """Where they end."""
        return self.starts + self.lengths

    @property
    def is_missing(self) -> npt.NDArray[np.bool_]:
        """Which are not there, or `.`: shape (n,), bool."""
        is_dot: npt.NDArray[np.bool_] = (self.lengths == 1) & (view_at(self.data, "u1", self.starts) == ord("."))
        return is_dot | (self.lengths < 0)

    def select(self, which: Any) -> Cells:
        """Select some by numbers or a mask."""
        return Cells(self.data, self.starts[which], self.lengths[which])

    def compact(self) -> Cells:
        """Copy them into a buffer of their own, so that nothing else is in it."""
        lengths = np.maximum(self.lengths, 0)
        data = join_slices(self.data, self.starts, lengths).tobytes() + bytes(PADDING)
        return Cells(data, np.cumsum(lengths) - lengths, self.lengths)

    def split(self, separator: str) -> tuple[Cells, Ints]:
        """Split each; returns all parts, and how many each has: one if it has no separator, none if it is not there."""
        marks = find_byte(self.data, ord(separator))
        low, high = np.searchsorted(marks, self.starts), np.searchsorted(marks, self.ends)
        counts = np.where(self.lengths < 0, 0, high - low + 1)
        of = np.repeat(np.arange(len(counts)), counts)
        number = number_within(counts)
        marks = np.append(marks, len(self.data))
        at = low[of] + number
        starts = np.where(number == 0, self.starts[of], marks[at - 1] + 1)
        ends = np.where(number == counts[of] - 1, self.ends[of], marks[at])
        return Cells(self.data, starts, ends - starts), counts

    def to_texts(self, what: str) -> Any:
        """Make an array of strings, null where they are missing."""
        return arrow.slice_texts(self.data, self.starts, self.lengths, self.is_missing, what)


def decode_cells(cells: Cells, kind: str, name: str) -> Any:
    """Decode some cells into an array of a kind; null where they are missing.

    Raises
    ------
    IntegrityError
        One does not have this kind.
    """
    if is_list(kind):
        missing = cells.is_missing
        parts, counts = cells._replace(lengths=np.where(missing | (cells.lengths == 0), -1, cells.lengths)).compact().split(",")
        return arrow.make_lists(decode_cells(parts, kind_of_values(kind), name), counts, missing)
    if kind != "text":
        empty = cells.lengths == 0
        if empty.any():
            cells = cells._replace(lengths=np.where(empty, -1, cells.lengths))
    texts = cells.to_texts(name)
    return texts if kind == "text" else _to_numbers(texts, kind, name)


def _to_numbers(texts: Any, kind: str, name: str) -> Any:
    pa = arrow.load_pyarrow()
    try:
        return texts.cast(arrow.type_of(kind))
    except pa.ArrowInvalid:
        pattern, number = (_INTEGER, int) if kind == "integer" else (_REAL, float)
        for text in (text for text in texts.to_pylist() if text is not None and not pattern.fullmatch(text.strip(" "))):
            raise IntegrityError(
                f"{name} is {text[:60]!r} in a record, which the header declares as one {kind} number",
                f"leave the column out, or have its text: {name}:String",
            ) from None
        try:
            return pa.array([None if text is None else number(text) for text in texts.to_pylist()], arrow.type_of(kind))
        except (OverflowError, pa.ArrowInvalid):
            raise IntegrityError(
                f"{name} has a number of more than 64 bits in a record", f"leave the column out, or have its text: {name}:String"
            ) from None
