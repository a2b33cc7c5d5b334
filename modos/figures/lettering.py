"""Write words into figures: nothing raw from a file, and no formula."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.text import Text

from modos.errors.escaping import escape_line
from modos.figures.appearance import Appearance

_LONGEST = 40  # characters of a name


def label_axis(axes: Axes, text: str, look: Appearance, *, upright: bool = False) -> None:
    """Write what the axis of numbers is, beside it."""
    if upright:
        axes.set_ylabel(plain(text), fontsize=look.font_size, parse_math=False)
        return
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=look.font_size, parse_math=False)


def write_note(axes: Axes, text: str, look: Appearance) -> Text:
    """Write what is left out, small, above the axes and their legend."""
    return axes.annotate(
        text,
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, 2 if axes.get_legend() is None else look.font_size + 6),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=max(look.font_size - 2, 1),
        alpha=0.7,
        parse_math=False,
    )


def write_empty(axes: Axes, text: str, look: Appearance) -> Text:
    """Write in the middle of empty axes what there is none of."""
    return axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=look.font_size, alpha=0.6)


def plain(text: str) -> str:
    """Return a text whose characters that a terminal would obey are made visible; lines stay."""
    return "\n".join(map(escape_line, text.split("\n")))


def short(text: str, longest: int = _LONGEST) -> str:
    """Return a name as one line that a figure has room for."""
    line = escape_line(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"
