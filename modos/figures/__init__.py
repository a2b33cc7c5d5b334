"""Figures of a region: coverage of reads, tracks, variants and genes on one axis of positions.

In: elements, files, tracks and annotations that other packages have opened, and a region.
Out: a matplotlib Figure that no global state of pyplot knows; a file of it.
Imports: genomics, storage, errors; matplotlib (extra `plot`) when something is drawn, polars for genes.

What is drawn is read and thinned first (`signals`, `lollipops`,
`gene_models`), in memory that does not grow with the region.
"""

from modos.figures.appearance import Appearance, parse_size
from modos.figures.plots import plot
from modos.figures.plotted import Plotted
from modos.figures.saving_pictures import save

__all__ = ["Appearance", "Plotted", "parse_size", "plot", "save"]
