"""Draw variants as lollipops."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from modos.figures.appearance import Appearance
from modos.figures.lettering import label_axis, short, write_empty
from modos.figures.lollipops import MEASURES, TYPES, Lollipop, Lollipops
from modos.genomics.region import Region

_MARKERS = dict(zip(TYPES, "o^vsDX"))
_MOST_LABELS = 16


def draw_lollipops(axes: Axes, panel: Lollipops, region: Region, look: Appearance) -> str:
    """Draw the alleles of a region: a line and a head each, whose colour and form tell the type; return what is left out."""
    measure = MEASURES.get(panel.measure or "", "")
    label_axis(axes, look.y_label or f"{short(panel.name)}" + (f"\n({measure.replace(' ', chr(10))})" if measure else ""), look)
    tops = [_height(allele, panel.measure) for allele in panel.drawn]
    if panel.measure == "AF":
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.5, 1])
    elif panel.measure is None:
        axes.set_ylim(0, 1.4)
        axes.set_yticks([])
    else:
        axes.set_ylim(0, max(tops, default=0) * 1.15 or 1)
    if not panel.drawn:
        write_empty(axes, "no variants", look)
        return panel.note
    places = [max(allele.position, region.start + 1) for allele in panel.drawn]
    _draw(axes, panel.drawn, places, tops, look)
    _label_some(axes, panel.drawn, places, tops, region, look)
    unknown = sum(not isfinite(allele.measure(panel.measure)) for allele in panel.drawn) if panel.measure else 0
    notes = [panel.note, f"{unknown:,} without {measure}, at 0" if unknown else ""]
    return "; ".join(filter(None, notes))


def _height(allele: Lollipop, measure: str | None) -> float:
    if measure is None:
        return 1.0
    height = allele.measure(measure)
    return height if isfinite(height) else 0.0


def _draw(axes: Axes, drawn: Sequence[Lollipop], places: Sequence[int], tops: Sequence[float], look: Appearance) -> None:
    size = 26 if len(drawn) <= 60 else 12 if len(drawn) <= 400 else 6
    handles = []
    for number, kind in enumerate(TYPES):
        chosen = [at for at, allele in enumerate(drawn) if allele.type == kind]
        if not chosen:
            continue
        colour = look.colour(number)
        x, y = [places[at] for at in chosen], [tops[at] for at in chosen]
        axes.vlines(x, 0, y, color=colour, linewidth=0.8, alpha=0.7)
        axes.scatter(x, y, s=size, color=colour, marker=_MARKERS[kind], linewidths=0, zorder=3, clip_on=False)
        handles.append(Line2D([], [], linestyle="", marker=_MARKERS[kind], color=colour, markersize=4, label=kind))
    axes.legend(
        handles=handles, fontsize=max(look.font_size - 2, 1), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1,
        ncols=len(handles), frameon=False, handletextpad=0.1, columnspacing=1.0,
    )  # fmt: skip


def _label_some(
    axes: Axes, drawn: Sequence[Lollipop], places: Sequence[int], tops: Sequence[float], region: Region, look: Appearance
) -> None:
    """Write labels where they are few, the highest first, and each where there is room beside the others."""
    if len(drawn) > _MOST_LABELS:
        return
    figure = axes.get_figure(root=True)
    width = (figure.get_figwidth() if figure else 10.0) * 0.85  # inches, about, of the axes
    gap = (region.limit - region.start) * look.font_size / 72 / width * 1.1
    taken: list[int] = []
    top = axes.get_ylim()[1]
    for at in sorted(range(len(drawn)), key=lambda at: (-tops[at], places[at])):
        if any(abs(places[at] - other) < gap for other in taken):
            continue
        taken.append(places[at])
        is_high = tops[at] > 0.55 * top
        axes.annotate(
            short(drawn[at].label), (places[at], tops[at]), xytext=(5, -1) if is_high else (0, 5), textcoords="offset points",
            rotation=90, ha="left" if is_high else "center", va="top" if is_high else "bottom",
            fontsize=max(look.font_size - 2, 1), parse_math=False,
        )  # fmt: skip
