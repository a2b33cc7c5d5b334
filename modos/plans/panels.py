"""Find which exons of a panel of genes are not covered well enough, sample by sample."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, NotFoundError, RegionError
from modos.errors.missing import load_late
from modos.genomics.region import Region, RegionLike, settle
from modos.plans.partition import Partition
from modos.plans.partition_tables import name_sample
from modos.plans.scanning import Catalogue, RegionsGiven, scan, settle_regions

if TYPE_CHECKING:
    import polars as pl

    from modos.genomics import GenomicFile
    from modos.reference.annotations.annotation import Annotation
else:
    pl = load_late("polars")

_STEP = 1 << 22  # bases whose depths are held at a time


@dataclass(frozen=True)
class Target:
    """A stretch that is to be covered.

    Parameters
    ----------
    gene, exon
        The gene it is of, and its number along the contig; None for other regions.
    """

    region: RegionLike
    gene: str | None = None
    exon: int | None = None


def panel_completeness(
    catalogue: Catalogue,
    genes: Iterable[str] | None = None,
    *,
    regions: RegionsGiven = None,
    annotation: Annotation | str | None = None,
    min_depth: int = 20,
    where: str | None = None,
    secret_key: str | os.PathLike[str] | None = None,
    missing: str = "error",
    client: Any = None,
    workers: int | None = None,
) -> pl.DataFrame:
    """Find how well the exons of genes, or regions, are covered by the reads of each sample.

    Parameters
    ----------
    genes
        Names or ids. The exons of all transcripts of a gene count, united where they meet.
    regions
        Regions in the place of genes: text, Regions, or a file of them.
    annotation
        Has the exons: an annotation, or its name in the reference store.
    min_depth
        Depth that each base has to have, as `samtools depth` counts it.
    where, secret_key, missing
        As for `scan`.
    client, workers
        As for `Plan.map`.

    Returns
    -------
    polars.DataFrame
        A row for each file of reads and each exon or region: `object`,
        `element`, `sample`, `gene`, `exon`, `contig`, `start` and `end`
        (0-based, half-open), `bases`, `below` (bases below the depth),
        `least` and `mean_depth`.

    Raises
    ------
    InvalidInputError
        Neither genes nor regions are given, or both; genes without an annotation.
    NotFoundError
        There is no such gene, or it has no exons.
    PartitionError
        Files could not be read, or have not the contigs.
    """
    if (genes is None) == (regions is None):
        raise InvalidInputError("give either genes or regions", "regions of a file: regions=Path('panel.bed')")
    targets = _list_regions(regions) if genes is None else list_exons(open_annotation(annotation), genes)
    plan = scan(catalogue, "coverage", [target.region for target in targets], where=where, secret_key=secret_key, missing=missing)
    found = plan.map(_MeasureGaps(min_depth), client, workers=workers)
    rows = [
        {"object": row["object"], "element": row["element"], "sample": row["sample"]}
        | {"gene": targets[place % len(targets)].gene, "exon": targets[place % len(targets)].exon}
        | row
        for place, row in enumerate(found)
        if row is not None
    ]
    return pl.DataFrame(rows, schema=_schema())


def _schema() -> dict[str, Any]:
    texts, numbers = ("object", "element", "sample", "gene"), ("start", "end", "bases", "below", "least")
    own = dict.fromkeys(texts, pl.String) | {"exon": pl.Int64, "contig": pl.String}
    return own | dict.fromkeys(numbers, pl.Int64) | {"mean_depth": pl.Float64}


def _list_regions(regions: RegionsGiven) -> list[Target]:
    return [Target(region) for region in settle_regions(regions, None) or ()]


def open_annotation(annotation: Annotation | str | None) -> Annotation:
    """Return an annotation, given as such or by its name in the reference store; InvalidInputError where it is None."""
    if annotation is None:
        raise InvalidInputError("genes take an annotation, which has their exons", "name one of `modos reference list`")
    if not isinstance(annotation, str):
        return annotation
    from modos.reference.locate import open_reference

    return open_reference(annotation).annotation(annotation)


def list_exons(annotation: Annotation, genes: Iterable[str]) -> list[Target]:
    """List the exons of genes by their places, united where those of several transcripts meet.

    Raises
    ------
    NotFoundError
        There is no such gene, or it has no exons.
    """
    targets: list[Target] = []
    for gene in dict.fromkeys(genes):
        exons = settle(exon.region for exon in annotation.of_gene("exon", gene))
        if not exons:
            raise NotFoundError(f"the gene {gene} has no exons in {annotation.name}", "give its region")
        targets += [Target(exon, gene, number) for number, exon in enumerate(exons, 1)]
    if not targets:
        raise InvalidInputError("no genes are given", "give their names")
    return targets


@dataclass(frozen=True)
class _MeasureGaps:
    """Function that measures how many bases of the region of a partition are not deep enough."""

    min_depth: int

    def __call__(self, partition: Partition) -> Mapping[str, Any]:
        file = partition.open_file()
        (region,) = partition.resolve() or (None,)
        if region is None:
            raise RegionError(f"{partition.name} has no region")
        bases = below = total = 0
        least: int | None = None
        for part in _cut(_with_end(file, region)):
            depth = file.coverage(part)
            bases, below, total = bases + len(depth), below + int((depth < self.min_depth).sum()), total + int(depth.sum())
            least = int(depth.min()) if least is None else min(least, int(depth.min()))
        origin = {"object": partition.file.object, "element": partition.file.element, "sample": name_sample(partition)}
        place = {"contig": region.contig, "start": region.start, "end": region.start + bases}
        return origin | place | {"bases": bases, "below": below, "least": least, "mean_depth": total / bases}


def _with_end(file: GenomicFile, region: Region) -> Region:
    """Return a region with its end, which its contig has to have."""
    lengths = {whole.contig: whole.limit for whole in file.whole_contigs()}
    length = lengths.get(region.contig, 0)
    if max(region.end or 0, region.start + 1) > length:
        raise RegionError(
            f"the region {region} goes past the {length:,} bases of {region.contig} in {file.name}", "is it of another assembly?"
        )
    return Region(region.contig, region.start, region.end or length)


def _cut(region: Region) -> Iterator[Region]:
    for at in range(region.start, region.limit, _STEP):
        yield Region(region.contig, at, min(at + _STEP, region.limit))
