"""Draw the panels of a region with matplotlib, one below the other."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from modos.errors.escaping import escape_line
from modos.figures.appearance import SHARED, Appearance
from modos.figures.gene_drawing import GenePlan, draw_genes, plan_genes
from modos.figures.gene_models import GeneModels
from modos.figures.lettering import plain, short, write_note
from modos.figures.lollipops import Lollipops
from modos.figures.signal_drawing import draw_signals
from modos.figures.signals import Signal
from modos.figures.variant_drawing import draw_lollipops
from modos.genomics.region import Region

_WIDTH, _HIGHEST = 10.0, 30.0  # inches
_SIGNAL, _VARIANTS, _GENE_ROW, _REST = 1.4, 1.5, 0.32, 0.6  # inches
_MEGABASE = 1_000_000


class RegionFigure(Figure):
    """A figure of a region, which notebooks show by itself.

    Attributes
    ----------
    region
        0-based half-open.
    panels
        What is drawn.
    notes
        What was left out, in words.
    """

    def __init__(
        self,
        panels: Sequence[Signal | Lollipops | GeneModels],
        region: Region,
        look: Appearance,
        notes: Sequence[str] = (),
    ):
        self.region = region
        self.panels = list(panels)
        signals = [panel for panel in self.panels if isinstance(panel, Signal)]
        groups: list[Any] = [signals] if look.overlay and signals else [[signal] for signal in signals]
        groups += [panel for panel in self.panels if not isinstance(panel, Signal)]
        if not groups:
            groups = [None]
        width, height = look.inches or (_WIDTH, 0.0)
        plans = {id(group): plan_genes(group, region, width, look.font_size) for group in groups if isinstance(group, GeneModels)}
        heights = [_height_of(group, plans) for group in groups]
        if sum(heights) > _HIGHEST:  # many are low
            heights = [height * max(_HIGHEST / sum(heights), 0.3) for height in heights]
        super().__init__(figsize=(width, height or _REST + sum(heights)), dpi=look.dpi, layout="constrained")
        rows = self.subplots(len(groups), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        self.notes = list(notes)
        for axes, group in zip(rows, groups):
            self._draw(axes, group, plans, look)
        for note in notes:
            write_note(rows[0], short(note, 120), look)
        self._share_limits(rows, groups, look)
        self._label_positions(rows[-1], look)
        if look.title:
            self.suptitle(plain(look.title), fontsize=look.font_size + 2, parse_math=False)
        for axes in rows:
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=look.font_size - 1)

    def _draw(self, axes: Axes, group: Any, plans: dict[int, GenePlan], look: Appearance) -> None:
        if isinstance(group, list):
            first = next(at for at, panel in enumerate(self.signals) if panel is group[0])
            note = draw_signals(axes, group, first, look)
        elif isinstance(group, Lollipops):
            note = draw_lollipops(axes, group, self.region, look)
        elif isinstance(group, GeneModels):
            note = draw_genes(axes, plans[id(group)], self.region, look)
        else:
            note = "nothing"
            axes.set_yticks([])
        if note:
            self.notes.append(note)
            write_note(axes, note, look)

    @property
    def signals(self) -> list[Signal]:
        """Depths and tracks among the panels."""
        return [panel for panel in self.panels if isinstance(panel, Signal)]

    def _share_limits(self, rows: Iterable[Axes], groups: Sequence[Any], look: Appearance) -> None:
        numbers = [axes for axes, group in zip(rows, groups) if isinstance(group, list)]
        if look.limits == SHARED and numbers:
            low, high = min(axes.get_ylim()[0] for axes in numbers), max(axes.get_ylim()[1] for axes in numbers)
            for axes in numbers:
                axes.set_ylim(low, high)

    def _label_positions(self, axes: Axes, look: Appearance) -> None:
        first, last = self.region.start + 1, self.region.limit
        axes.set_xlim(first - 0.5, last + 0.5)
        most = max(3, min(10, round(self.get_figwidth() * 1.2)))
        is_wide = last - first >= 5 * _MEGABASE
        if last - first < most:
            axes.xaxis.set_major_locator(FixedLocator(list(range(first, last + 1))))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_format_megabases if is_wide else _format_position))
        label = f"{short(self.region.contig)} ({'Mb' if is_wide else 'position, 1-based'})"
        axes.set_xlabel(label, fontsize=look.font_size, parse_math=False)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, at its resolution, as notebooks ask for it."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi="figure")
        return buffer.getvalue()

    def __repr__(self) -> str:
        names = ", ".join(short(panel.name) for panel in self.panels)
        return f"<figure of {escape_line(str(self.region))}: {names or 'nothing'}>"


def _format_position(position: float, _: int | None) -> str:
    return f"{position:,.0f}"


def _format_megabases(position: float, _: int | None) -> str:
    return f"{position / _MEGABASE:,.10g}"


def _height_of(group: Any, plans: dict[int, GenePlan]) -> float:
    if isinstance(group, GeneModels):
        return 0.15 + _GENE_ROW * max(plans[id(group)].rows, 1)
    return _VARIANTS if isinstance(group, Lollipops) else _SIGNAL
