"""Draw numbers along a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from modos.errors import InvalidInputError
from modos.figures.appearance import Appearance
from modos.figures.lettering import label_axis, plain, short, write_empty
from modos.figures.signals import Signal


def draw_signals(axes: Axes, signals: Sequence[Signal], first: int, look: Appearance) -> str:
    """Draw numbers along a region on one axis: the mean as a line, least to largest as a band; return what is left out."""
    left_out = []
    units = [look.unit(first + at, signal.unit) for at, signal in enumerate(signals)]
    if len(set(units)) > 1:
        raise InvalidInputError(
            f"{' and '.join(sorted(str(unit or 'no unit') for unit in set(units)))} do not go on one axis",
            "leave out overlay, or say what the numbers are (units)",
        )
    is_depth = all(signal.is_depth for signal in signals)
    handles = []
    for at, signal in enumerate(signals):
        colour = look.colour(at if len(signals) > 1 else first if look.colours else 0)
        handles.append(_draw_signal(axes, signal, colour, fills=is_depth and len(signals) == 1))
        left_out += _explain(signal, look)
    _set_scale(axes, signals, look, is_depth)
    names = [short(signal.name) for signal in signals]
    if len(signals) > 1:
        legend = axes.legend(
            handles,
            [str(at) for at in range(len(handles))],
            fontsize=max(look.font_size - 1, 1),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.1,
            ncols=min(len(handles), 4),
            frameon=False,
        )
        for text, name in zip(legend.get_texts(), names):
            text.set_parse_math(False)
            text.set_text(name)
        label_axis(axes, look.y_label or units[0] or "", look, upright=True)
    else:
        unit = f"\n({plain(units[0])})" if units[0] else ""
        label_axis(axes, look.y_label or f"{names[0]}{unit}", look)
    if all(np.isnan(signal.mean).all() for signal in signals):
        write_empty(axes, "no values", look)
    return "; ".join(left_out)


def _draw_signal(axes: Axes, signal: Signal, colour: str, *, fills: bool) -> Any:
    edges = signal.edges + 0.5  # 1-based
    mean, low, high = (np.where(np.isfinite(values), values, np.nan) for values in (signal.mean, signal.low, signal.high))
    if not signal.is_exact:
        axes.stairs(high, edges, baseline=np.where(np.isnan(low), 0, low), fill=True, color=colour, alpha=0.3, linewidth=0)
    if fills:
        axes.stairs(mean, edges, baseline=0, fill=True, color=colour, alpha=0.45, linewidth=0)
    return axes.stairs(mean, edges, baseline=None, color=colour, linewidth=1.0)


def _explain(signal: Signal, look: Appearance) -> list[str]:
    """Say what of the numbers cannot be drawn."""
    explained = []
    infinite = int(np.isinf(signal.high).sum() + (np.isinf(signal.low) & ~np.isinf(signal.high)).sum())
    part = "base" if signal.is_exact else "part"
    if infinite:
        explained.append(f"{short(signal.name)}: {infinite:,} {part}{'s' * (infinite != 1)} with infinite values")
    low = int((signal.mean <= 0).sum()) if look.scale == "log" else 0
    if low:
        explained.append(f"{short(signal.name)}: {low:,} {part}{'s' * (low != 1)} at 0 or below are not on a logarithmic axis")
    return explained


def _set_scale(axes: Axes, signals: Sequence[Signal], look: Appearance, is_depth: bool) -> None:
    if look.scale == "symlog":
        sizes = np.concatenate([np.abs(signal.mean) for signal in signals])
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        axes.set_yscale("symlog", linthresh=1.0 if is_depth or not len(sizes) else float(sizes.min()))
    elif look.scale == "log":
        if any((signal.mean > 0).any() for signal in signals):
            axes.set_yscale("log", nonpositive="mask")
    elif is_depth:
        highest = max([float(signal.high.max()) for signal in signals if len(signal.high)], default=0.0)
        axes.set_ylim(0, max(highest * 1.05, 1))
    if look.limits is not None and not isinstance(look.limits, str):
        low, high = look.limits
        axes.set_ylim(bottom=low, top=high)
