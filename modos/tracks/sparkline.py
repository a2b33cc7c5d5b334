"""Draw tracks in a terminal."""

from __future__ import annotations

import numpy as np

from modos.genomics.region import Region
from modos.tracks.track import Track

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(track: Track, region: Region | str, width: int) -> tuple[str, float, float]:
    """Draw the means of parts of a region as a line of blocks, blank if there is no value; return also least and largest."""
    means = track.zoom(region, width)[1]
    if np.isnan(means).all():
        return " " * width, np.nan, np.nan
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    steps = (means - low) / (high - low or 1) * (len(_BLOCKS) - 1)
    return "".join(" " if np.isnan(step) else _BLOCKS[round(float(step))] for step in steps), low, high
