"""Draw the corner of a matrix as squares in classes of colours, and as a table of its first numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from modos.trees.tree_corners import Corner

ROWS, COLUMNS = 32, 48
_CLASSES = 9
_MISSING = "none"
_IN_TABLE = 12


@dataclass(frozen=True)
class Run:
    """Squares of one class beside each other."""

    row: int
    column: int
    length: int
    name: str


@dataclass(frozen=True)
class HeatMap:
    """Squares of a corner; the classes are as wide as each other, from the least to the greatest value.

    Parameters
    ----------
    bounds
        The least and the greatest value, as text; None where there is no number.
    numbers
        The first rows and columns as text.
    """

    rows: int
    columns: int
    runs: Sequence[Run]
    bounds: tuple[str, str] | None
    numbers: Sequence[Sequence[str]]

    @property
    def classes(self) -> range:
        """Numbers of the classes of colours."""
        return range(_CLASSES)


def draw_corner(corner: Corner) -> HeatMap:
    """Sort the values of a corner into classes."""
    rows: list[list[float]] = corner.values.tolist()
    known = [value for row in rows for value in row if math.isfinite(value)]
    least, most = (min(known), max(known)) if known else (0.0, 0.0)
    runs = []
    for number, row in enumerate(rows):
        at = 0
        for name, same in groupby(_name_class(value, least, most) for value in row):
            length = len(list(same))
            runs.append(Run(number, at, length, name))
            at += length
    return HeatMap(
        len(rows),
        len(rows[0]) if rows else 0,
        runs,
        (_format(least), _format(most)) if known else None,
        [[_format(value) for value in row[:_IN_TABLE]] for row in rows[:_IN_TABLE]],
    )


def _name_class(value: float, least: float, most: float) -> str:
    if not math.isfinite(value):
        return _MISSING
    if most <= least:
        return "0"
    share = value / most if least == 0 else (value / 2 - least / 2) / (most / 2 - least / 2)  # halves do not overflow
    return str(min(int(share * _CLASSES), _CLASSES - 1))


def _format(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
