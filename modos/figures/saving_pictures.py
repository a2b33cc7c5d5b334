"""Save figures as files that are the same each time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, NotFoundError
from modos.storage.modes import replace_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
_METADATA: dict[str, dict[str, Any] | None] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": None}


def check_path(path: str | Path) -> None:
    """Raise what keeps a picture from being written to a file, before anything is read for it.

    Raises
    ------
    InvalidInputError
        The name ends in something else than `.svg`, `.png` or `.pdf`.
    NotFoundError
        There is no such folder.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InvalidInputError(f"{path} is no picture that can be drawn", "end its name in .svg, .png or .pdf")
    if not os.path.isdir(Path(path).parent):
        raise NotFoundError(f"there is no folder {Path(path).parent}", "make it first")


def save(figure: Figure, path: str | Path) -> None:
    """Save a figure; the same figure gives the same bytes, and the file appears when it is whole.

    Parameters
    ----------
    path
        Ends in `.svg`, `.png` or `.pdf`; errors as of `check_path`.
    """
    import matplotlib

    check_path(path)
    suffix = Path(path).suffix.lower()
    with (
        matplotlib.rc_context({"svg.hashsalt": "modos", "pdf.fonttype": 42}),
        replace_output(Path(path)) as descriptor,
        open(descriptor, "wb", closefd=False) as file,
    ):
        figure.savefig(file, format=suffix[1:], dpi="figure", metadata=_METADATA[suffix])
