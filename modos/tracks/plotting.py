"""Plot tracks in a terminal, or as SVG and PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modos.errors import InvalidInputError, NotFoundError
from modos.genomics.region import Region
from modos.storage.modes import replace_output
from modos.tracks.track import Track

_BLOCKS = "▁▂▃▄▅▆▇█"
_BINS = 1000


def sparkline(track: Track, region: Region | str, width: int) -> tuple[str, float, float]:
    """Draw the means of parts of a region as a line of blocks, blank if there is no value; return also least and largest."""
    means = track.zoom(region, width)[1]
    if np.isnan(means).all():
        return " " * width, np.nan, np.nan
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    steps = (means - low) / (high - low or 1) * (len(_BLOCKS) - 1)
    return "".join(" " if np.isnan(step) else _BLOCKS[round(float(step))] for step in steps), low, high


def plot(tracks: Sequence[Track], region: Region | str, path: str | Path) -> None:
    """Draw a region of tracks, one below the other: the mean of each part as a line, least to largest as a band.

    Parameters
    ----------
    path
        Ends in `.svg`, `.png` or `.pdf`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidInputError("matplotlib is not installed", "pip install 'modos-store[plot]'") from None
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".png", ".pdf"):
        raise InvalidInputError(f"{path} is no picture that can be drawn", "end its name in .svg, .png or .pdf")
    if not tracks:
        raise InvalidInputError("there is no track to draw")
    if not os.path.isdir(Path(path).parent):
        raise NotFoundError(f"there is no folder {Path(path).parent}", "make it first")
    contig, start, end = tracks[0].contigs.place(region)
    figure = Figure(figsize=(10, 0.6 + 1.4 * len(tracks)), layout="constrained")
    rows = figure.subplots(len(tracks), 1, sharex=True, squeeze=False)[:, 0]
    bins = min(_BINS, end - start)
    middles = start + (np.arange(bins) + 0.5) * (end - start) / bins + 0.5  # 1-based
    for axes, track in zip(rows, tracks):
        _, mean, low, high = track.zoom(Region(contig.name, start, end), bins)
        axes.fill_between(middles, low, high, step="mid", alpha=0.3, linewidth=0)
        axes.plot(middles, mean, linewidth=0.8, drawstyle="steps-mid")
        axes.set_ylabel(track.name, rotation=0, horizontalalignment="right", verticalalignment="center")
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlim(start + 0.5, end + 0.5)
    rows[-1].set_xlabel(f"{contig.name} (position, 1-based)")
    rows[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    with replace_output(Path(path)) as descriptor, open(descriptor, "wb", closefd=False) as file:
        figure.savefig(file, format=suffix[1:], metadata={"Date": None} if suffix == ".svg" else None)
