"""Draw gene models in rows: exons as boxes, introns as lines with arrows, names below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from modos.figures.appearance import Appearance
from modos.figures.gene_models import MOST_MODELS, GeneModel, GeneModels, pack_rows
from modos.figures.lettering import label_axis, short, write_empty
from modos.genomics.region import Region

_MOST_ROWS = 15
_CHARACTER = 0.62  # width of a character, in font sizes
_BODY, _CODING = 0.16, 0.30  # heights of boxes, in rows
_ARROW_STEP = 0.28  # inches
_SHARE = 0.85  # of the width of a figure that its axes take, about


@dataclass(frozen=True)
class GenePlan:
    """Rows of the models of a panel: None for those that find no room.

    Parameters
    ----------
    base
        Bases of an inch.
    """

    panel: GeneModels
    places: list[int | None]
    rows: int
    base: float
    has_names: bool


def plan_genes(panel: GeneModels, region: Region, width: float, font_size: float) -> GenePlan:
    """Pack models, with the room that their names take, in a figure of a width in inches."""
    base = (region.limit - region.start) / (width * _SHARE)
    has_names = len(panel.models) <= MOST_MODELS
    extents = [_extent(model, region, base * font_size / 72 * _CHARACTER if has_names else 0.0) for model in panel.models]
    order = sorted(range(len(extents)), key=lambda at: extents[at])
    packed = pack_rows([extents[at] for at in order], _MOST_ROWS)
    places: list[int | None] = [None] * len(extents)
    for at, row in zip(order, packed):
        places[at] = row
    return GenePlan(panel, places, max((row + 1 for row in packed if row is not None), default=0), base, has_names)


def _extent(model: GeneModel, region: Region, character: float) -> tuple[float, float]:
    """Return what a model takes of its row: itself as far as it is shown, or its name, which is centred below."""
    middle, half = _place_name(model, region, character)
    return min(max(model.start, region.start), middle - half), max(min(model.end, region.limit), middle + half)


def _place_name(model: GeneModel, region: Region, character: float) -> tuple[float, float]:
    """Return the middle of a name below its model, within the region, and half of its width, in bases."""
    start, end = max(model.start, region.start), min(model.end, region.limit)
    half = (len(short(model.name)) + 1) * character / 2
    return min(max((start + end) / 2, region.start + half), max(region.limit - half, region.start + half)), half


def draw_genes(axes: Axes, plan: GenePlan, region: Region, look: Appearance) -> str:
    """Draw the models of a plan; return what is left out."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(max(plan.rows, 1) - 0.15, -0.65)
    label_axis(axes, short(plan.panel.name), look)
    if not plan.panel.models:
        write_empty(axes, "no genes", look)
        return ""
    colour = look.colour(0)
    lines: list[Sequence[tuple[float, float]]] = []
    boxes: list[list[tuple[float, float]]] = []
    for model, row in zip(plan.panel.models, plan.places):
        if row is None:
            continue
        start, end = max(model.start, region.start), min(model.end, region.limit)
        lines.append(((start + 0.5, row), (end + 0.5, row)))
        boxes += [_box(span, row, _BODY, region) for span in (model.exons or ((model.start, model.end),)) if _shows(span, region)]
        boxes += [_box(span, row, _CODING, region) for span in model.coding if _shows(span, region)]
        if plan.has_names:
            _draw_arrows(axes, model, row, start, end, plan, colour, look)
            _write_name(axes, model, row, region, plan, look)
    axes.hlines([line[0][1] for line in lines], [line[0][0] for line in lines], [line[1][0] for line in lines],
                color=colour, linewidth=0.8)  # fmt: skip
    axes.add_collection(PolyCollection(boxes, facecolors=colour, edgecolors=colour, linewidths=0.3), autolim=False)
    return _tell_left_out(plan)


def _tell_left_out(plan: GenePlan) -> str:
    hidden = sum(row is None for row in plan.places)
    parts = [f"{hidden:,} of {len(plan.places):,} genes find no room" if hidden else ""]
    parts.append("" if plan.has_names else f"{len(plan.places):,} genes, without names and exons")
    return "; ".join(filter(None, parts))


def _shows(span: tuple[int, int], region: Region) -> bool:
    return span[0] < region.limit and span[1] > region.start


def _box(span: tuple[int, int], row: int, half: float, region: Region) -> list[tuple[float, float]]:
    start, end = max(span[0], region.start) + 0.5, min(span[1], region.limit) + 0.5
    return [(start, row - half), (end, row - half), (end, row + half), (start, row + half)]


def _draw_arrows(
    axes: Axes, model: GeneModel, row: int, start: int, end: int, plan: GenePlan, colour: str, look: Appearance
) -> None:
    """Draw small arrows along introns, in the direction of the strand."""
    if model.strand not in ("+", "-"):
        return
    step = plan.base * _ARROW_STEP
    number = int((end - start) / step)
    places = [start + 0.5 + (end - start) * (at + 0.5) / number for at in range(number)] if number else []
    free = [x for x in places if not any(first - step / 6 <= x - 0.5 <= last + step / 6 for first, last in model.exons)]
    axes.plot(free, [row] * len(free), linestyle="", marker="$>$" if model.strand == "+" else "$<$", color=colour,
              markersize=max(look.font_size * 0.45, 1), markeredgewidth=0)  # fmt: skip


def _write_name(axes: Axes, model: GeneModel, row: int, region: Region, plan: GenePlan, look: Appearance) -> None:
    middle, _ = _place_name(model, region, plan.base * look.font_size / 72 * _CHARACTER)
    arrow = {"+": " →", "-": "← "}.get(model.strand, "")
    name = short(model.name)
    text = f"{arrow}{name}" if model.strand == "-" else f"{name}{arrow}"
    axes.text(middle + 0.5, row + 0.36, text, ha="center", va="top", fontsize=max(look.font_size - 2, 1), parse_math=False,
              clip_on=True)  # fmt: skip
