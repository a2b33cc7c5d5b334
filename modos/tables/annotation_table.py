"""Read features of an annotation as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from modos.errors import RegionError
from modos.genomics.region import UNMAPPED, Region, RegionLike, as_regions
from modos.reference.annotations.features import Features
from modos.reference.annotations.table import FeatureTable
from modos.tables import arrow
from modos.tables.choosing import choose_fields

_ROWS = 1 << 16  # in a batch


class AnnotationTable(arrow.ArrowTable):
    """Genes, or other features of one kind, that overlap some regions, each once, by their place.

    The columns are those of `Features.to_polars`: `contig`, `start`
    (0-based), `end` (half-open), `strand` and so on, with the ids of the genes
    and transcripts that they belong to.

    Parameters
    ----------
    features
        All of the kind.
    region
        By any name of a contig; None for all.
    columns
        Names of columns; None for all.

    Raises
    ------
    InvalidInputError
        There is no such column.
    NotFoundError
        There is no such contig.
    """

    def __init__(
        self,
        features: FeatureTable,
        region: RegionLike | Iterable[RegionLike] | None = None,
        columns: Iterable[str] | str | None = None,
    ):
        arrow.load_pyarrow()
        regions = as_regions(region)
        chosen = features.all() if regions is None else features.take(_find(features, regions))
        frame = _to_frame(chosen)
        self._frame = frame.select(choose_fields(columns, frame.columns, f"a {features.kind}"))

    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the schema, and an iterator of batches."""
        table = arrow.convert_from_polars(self._frame)
        return table.schema, iter(table.to_batches(_ROWS))


def _to_frame(features: Features) -> Any:
    return features.to_polars(ids=True)


def _find(features: FeatureTable, regions: tuple[RegionLike, ...]) -> list[int]:
    rows: set[int] = set()
    for region in regions:
        if isinstance(region, Region):
            if region.contig == UNMAPPED:
                raise RegionError(f"the region {region} has no features")
            found = features.overlap(region.contig, region.start, region.end)
        else:
            found = features.overlap(region)
        rows.update(np.asarray(found.rows).tolist())
    return sorted(rows)
