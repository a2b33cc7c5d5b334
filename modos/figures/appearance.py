"""Appearance of a figure: its size, colours, scale and words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from modos.errors import InvalidInputError, listing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito (2008)
SCALES = ("linear", "log", "symlog")
HEIGHTS = ("auto", "AF", "QUAL", "count")
SHARED = "shared"
_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[x×]\s*(\d+(?:\.\d+)?)\s*(in|cm|mm)?\s*", re.IGNORECASE)
_LARGEST = 200  # inches
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class Appearance:
    """Looks of a figure.

    Parameters
    ----------
    title
        Above the figure.
    size
        Width and height in inches, or text: `180x60mm`, `18x6cm`, `7x2.5in`;
        None for one that fits what is drawn.
    dpi
        Dots per inch, of PNG and in notebooks.
    font_size
        In points, of all text.
    units
        Of all numbers, or of each of what is drawn, in that order.
    y_label
        In the place of what is written beside the axes of numbers.
    colours
        Names of matplotlib or `#rrggbb`, in turn; seven that the colour-blind
        can tell apart where it is None.
    scale
        `linear`, `log` or `symlog`, of numbers.
    limits
        Least and largest of the axis of numbers, each None to fit what is
        drawn; or `shared`, the same for all.
    overlay
        Numbers of all on one axis, with a legend.
    heights
        Of variants: `AF`, `QUAL` or `count` (of alleles); `auto` takes the
        first that the file has.
    bins
        The most parts that a region is drawn in; one base each where it has fewer.
    """

    title: str | None = None
    size: tuple[float, float] | str | None = None
    dpi: float = 150
    font_size: float = 9
    units: str | Sequence[str | None] | None = None
    y_label: str | None = None
    colours: Sequence[str] | None = None
    scale: str = "linear"
    limits: tuple[float | None, float | None] | str | None = None
    overlay: bool = False
    heights: str = "auto"
    bins: int = 1000
    inches: tuple[float, float] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        _check_choice("scale", self.scale, SCALES)
        _check_choice("height of variants", self.heights, HEIGHTS)
        _check_number("resolution", self.dpi, 1, 10_000)
        _check_number("font size", self.font_size, 1, 200)
        _check_number("number of parts", self.bins, 1, 100_000)
        if self.limits is not None and self.limits != SHARED:
            self._check_limits(self.limits)
        if self.size is not None:
            inches = parse_size(self.size) if isinstance(self.size, str) else _check_size(*self.size)
            if inches[0] * inches[1] * self.dpi**2 > _MOST_PIXELS:
                raise InvalidInputError(f"a figure of {_format_size(inches)} at {self.dpi:g} dpi is too large", "make it smaller")
            object.__setattr__(self, "inches", inches)

    def _check_limits(self, limits: Any) -> None:
        try:
            low, high = limits
            given = [float(limit) for limit in (low, high) if limit is not None]
        except (TypeError, ValueError):
            raise InvalidInputError(f"{limits!r} are no limits", "give the least and the largest, or `shared`") from None
        if not all(map(isfinite, given)) or (len(given) == 2 and given[0] >= given[1]):
            raise InvalidInputError(f"the limits {low} and {high} leave nothing between them", "give the least first")
        if self.scale == "log" and any(limit <= 0 for limit in given):
            raise InvalidInputError("a logarithmic axis has no zero", "give limits above 0, or the scale symlog")

    def colour(self, number: int) -> str:
        """Return the colour of what is drawn as number so and so."""
        colours = self.colours or COLOURS
        return colours[number % len(colours)]

    def unit(self, number: int, own: str | None) -> str | None:
        """Return the unit of what is drawn as number so and so: the one that is given, else its own."""
        if self.units is None:
            return own
        if isinstance(self.units, str):
            return self.units
        return self.units[number] if number < len(self.units) else own


def parse_size(text: str) -> tuple[float, float]:
    """Parse the size of a figure, `180x60mm`, `18x6cm` or `7x2.5in`, as inches; without a unit they are inches.

    Raises
    ------
    InvalidInputError
        It is no size, or one that no figure has.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise InvalidInputError(f"{text} is no size of a figure", "write width x height: 180x60mm, 18x6cm or 7x2.5in")
    inch = _INCHES[(found[3] or "in").lower()]
    return _check_size(float(found[1]) * inch, float(found[2]) * inch)


def _check_size(width: float, height: float) -> tuple[float, float]:
    if not (0.5 <= width <= _LARGEST and 0.5 <= height <= _LARGEST):
        raise InvalidInputError(
            f"no figure is {_format_size((width, height))} large", f"0.5 to {_LARGEST} inches are possible (12 to 5,080 mm)"
        )
    return float(width), float(height)


def _format_size(inches: tuple[float, float]) -> str:
    return f"{inches[0]:.3g} x {inches[1]:.3g} inches"


def _check_choice(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise InvalidInputError(f"there is no {what} {given}", f"there are {listing(known)}")


def _check_number(what: str, given: float, least: float, most: float) -> None:
    if not least <= given <= most:
        raise InvalidInputError(f"the {what} {given:g} cannot be", f"{least:g} to {most:,g} are possible")
