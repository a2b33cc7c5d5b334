"""Write what a notebook shows: small tables of HTML, in which nothing is raw.

Colours and fonts are those of the notebook, dark or light.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from html import escape
from typing import Any, TypeVar

from modos.errors import ModosError
from modos.errors.escaping import escape_line, escape_text, hide_secrets

MOST_ROWS = 100
_LONGEST = 200  # characters of a cell
_FIRST = 20  # parts of a list that are looked at
_Shown = TypeVar("_Shown")


def write_table(title: str, rows: Iterable[Sequence[Any]], head: Sequence[str] = (), *, total: int | None = None) -> str:
    """Write a table with a caption, of the first 100 rows, and how many more there are.

    Parameters
    ----------
    total
        Number of rows, where only the first are given.
    """
    shown, more = [], 0
    for number, row in enumerate(rows):
        if number < MOST_ROWS:
            shown.append(row)
        else:
            more += 1
    more = more if total is None else max(total - len(shown), 0)
    lines = ([_write_row(head, "th")] if head else []) + [_write_row(cells, "td") for cells in shown]
    end = f"<p>and {more:,} more</p>" if more else ""
    return f"<table><caption>{to_html(hide_secrets(title))}</caption>{''.join(lines)}</table>{end}"


def write_folded(summary: str, text: str) -> str:
    """Write a text of several lines below a line that unfolds it."""
    return f"<details><summary>{to_html(summary)}</summary><pre>{escape(escape_text(text))}</pre></details>"


def to_html(value: Any) -> str:
    """Write a value as one line of text that HTML does not obey, of at most 200 characters."""
    return escape(escape_line(to_text(value)))


def to_text(value: Any) -> str:
    """Write a value, of a list the first parts, as text of at most 200 characters."""
    if isinstance(value, (list, tuple)):
        text = ", ".join(str(part)[: _LONGEST + 1] for part in value[:_FIRST]) + ("…" if len(value) > _FIRST else "")
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _write_row(cells: Iterable[Any], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{to_html(cell)}</{tag}>" for cell in cells) + "</tr>"


def shorten(names: Iterable[str], total: int) -> str:
    """Write the first names of many in one line: `chr1, chr2, chr3 and 22 more`."""
    shown = [escape_line(name[:_LONGEST]) for name, _ in zip(names, range(3))]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def always(describe: Callable[[_Shown], str]) -> Callable[[_Shown], str]:
    """Make a `__repr__` or `_repr_html_` say what is wrong, where it fails: a server may be gone."""
    is_html = "html" in describe.__name__

    @wraps(describe)
    def describe_always(shown: _Shown) -> str:
        try:
            return describe(shown)
        except Exception as error:
            reason = error.message if isinstance(error, ModosError) else type(error).__name__
            text = escape_line(hide_secrets(f"<{type(shown).__name__}, of which nothing is to be seen: {reason}>"))
            return f"<p>{escape(text)}</p>" if is_html else text

    return describe_always
