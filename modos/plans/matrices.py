"""Make matrices of a track's values: genes by samples."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, NotFoundError
from modos.errors.missing import load_late
from modos.plans.partition import Partition
from modos.plans.scanning import Catalogue, RegionsGiven, scan, settle_regions

if TYPE_CHECKING:
    import polars as pl

    from modos.reference.annotations.annotation import Annotation
else:
    pl = load_late("polars")


def track_matrix(
    catalogue: Catalogue,
    track: str,
    regions: RegionsGiven,
    *,
    statistic: str = "mean",
    where: str | None = None,
    annotation: Annotation | None = None,
    secret_key: str | os.PathLike[str] | None = None,
    missing: str = "error",
    client: Any = None,
    workers: int | None = None,
) -> pl.DataFrame:
    """Make the matrix of genes, or regions, by samples of the means of a track.

    Parameters
    ----------
    track
        Its name, or the id of its element, in each object.
    regions
        Names of genes, regions, or a file of regions.
    statistic
        mean, sum, min, max, or n, the number of bases that have a value.
    where, annotation, secret_key, missing
        As for `scan`.
    client, workers
        As for `Plan.map`.

    Returns
    -------
    polars.DataFrame
        The column `region`, as it was given, and one for each track: named after
        its sample, or its object where it has no sample, or another has that
        name. NaN where a region has no value, null where it was left out.

    Raises
    ------
    NotFoundError
        No object has the track.
    PartitionError
        Tracks could not be read, or have not the contigs.
    """
    given = settle_regions(regions, None)
    if given is None:
        raise InvalidInputError("a matrix takes regions", "give genes, or regions")
    quoted = track.replace("'", "''")
    condition = f"(name = '{quoted}' or element = '{quoted}' or element = 'data/{quoted}')"
    plan = scan(
        catalogue,
        "tracks",
        given,
        where=condition if where is None else f"{condition} and ({where})",
        columns=[statistic],
        annotation=annotation,
        missing=missing,
        secret_key=secret_key,
    )
    if not len(plan):
        raise NotFoundError(f"no object has the track {track}", "`select('Array')` of the catalogue shows what they have")
    tables = plan.map(_Summarise(statistic), client, workers=workers)
    columns = [tables[at : at + len(given)] for at in range(0, len(tables), len(given))]
    names = _name_columns(
        [(file.object, file.element, file.samples) for file in (plan[at].file for at in range(0, len(plan), len(given)))]
    )
    table = {"region": pl.Series(list(map(str, given)), dtype=pl.String)}
    return pl.DataFrame(table | {name: pl.Series(values) for name, values in zip(names, columns)})


@dataclass(frozen=True)
class _Summarise:
    """Function that gives one statistic of a track in the region of a partition."""

    statistic: str

    def __call__(self, partition: Partition) -> float:
        (region,) = partition.resolve() or ()
        number: float = getattr(partition.open_track().summary(region), self.statistic)
        return number


def _name_columns(origins: list[tuple[str, str, tuple[str, ...]]]) -> list[str]:
    """Name a column after its sample, if no other is called so; else after its object, and its element if that has several."""
    samples = [names[0] if len(names) == 1 else "" for *_, names in origins]
    counts, objects = Counter(samples), Counter(key for key, *_ in origins)
    return [
        sample if sample and counts[sample] == 1 else key if objects[key] == 1 and key else f"{key}/{element}".lstrip("/")
        for sample, (key, element, _) in zip(samples, origins)
    ]
