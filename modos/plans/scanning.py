"""Make the plan of a query over the objects of a catalogue."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from modos.errors import AccessError, InvalidInputError, ModosError, RegionError, did_you_mean, listing
from modos.errors.missing import load_late
from modos.genomics.region import Region, RegionLike, as_regions, read_regions
from modos.object.address import ObjectAddress
from modos.plans.partition import Reading
from modos.plans.partition_tables import check_columns
from modos.plans.scan_plan import Plan, Skipped, Stretch

if TYPE_CHECKING:
    import polars as pl

    from modos.reference.annotations.annotation import Annotation
else:
    pl = load_late("polars")

logger = logging.getLogger(__name__)

FORMATS = {
    "reads": ("BAM", "CRAM"),
    "coverage": ("BAM", "CRAM"),
    "variants": ("VCF", "BCF"),
    "tracks": ("Zarr",),
}
SPLIT = 64 << 20  # bytes above which a partition is split
_GENOME = 3_100_000_000  # bases of a genome, by which the bytes of a region are estimated
_GENE = 100_000  # bases of a gene whose place is not known yet
_LEAST = 64 << 10  # bytes that a region costs, however short it is
_DIGESTS = ("data_digest", "data_checksum")

RegionsGiven = RegionLike | os.PathLike[str] | Iterable[RegionLike] | None


class Catalogue(Protocol):
    """Table of the elements of many objects, which a plan is made from."""

    @property
    def elements(self) -> pl.LazyFrame:
        """A row for each element."""

    @property
    def digests(self) -> pl.LazyFrame:
        """Digests of data, by object and element."""

    def select(
        self, class_name: str | None = None, where: str | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return the rows of a class that meet a condition."""

    def address_of(self, object_key: str) -> ObjectAddress:
        """Return the address of an object."""


def scan(
    catalogue: Catalogue,
    kind: str,
    regions: RegionsGiven = None,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    bins: int | None = 1,
    annotation: Annotation | None = None,
    missing: str = "error",
    secret_key: str | os.PathLike[str] | None = None,
    split: int | None = SPLIT,
    together: bool | None = None,
) -> Plan:
    """Plan to read the same regions of many files or tracks: a list of partitions, each of which can be pickled.

    The plan is made of the catalogue alone; files are opened when it is
    run. Only of those partitions that may have more than `split` bytes
    the indexes are read now, and they are split by them.

    Parameters
    ----------
    catalogue
        Of `open_catalog`, whose method `scan` is this.
    kind
        `reads`, `variants`, `coverage` (depth of reads) or `tracks`.
    regions
        `chr1:1,000-2,000` (1-based), a Region (0-based), the name of a
        gene, or several of them; or a file of regions (a Path, or text
        that ends in .bed). All of each file where it is None.
    where
        Condition on the elements, as for `select`: `sample.sex = 'Female'`.
    columns
        Of the tables; all where it is None.
    bins
        Of coverage and tracks: number of equal parts of each region, a
        row each; None for runs of equal values, base by base.
    annotation
        Tells where genes are; each object is asked for its own, where it is None.
    missing
        What is done where a file has no such contig: `error`, or `skip`,
        after which `skipped` of the plan tells where that was.
    secret_key
        Path of the key that opens encrypted data; each process reads it.
    split
        Bytes above which a partition is split; None for no splitting.
    together
        Whether all regions of a file are one partition. None for: of
        reads and variants, so that each record is given once, however
        many regions it overlaps; of coverage and tracks not.

    Raises
    ------
    InvalidInputError
        There is no such kind, class or column; or the condition cannot be read.
    AccessError
        A secret key is given in the place of its path.
    NotFoundError
        The annotation has no such gene; there is no such file of regions.
    PartitionError
        Indexes cannot be read.
    """
    reading = _make_reading(kind, columns, bins, missing, secret_key)
    files = find_files(catalogue, kind, where)
    given = settle_regions(regions, annotation)
    together = kind in ("reads", "variants") if together is None else together
    partitions = _iter_partitions(files, given, together=together)
    if split is not None:
        from modos.plans.splitting import split_large

        partitions = split_large(files, catalogue.address_of, reading, partitions, split)
    plan = Plan.make(files, catalogue.address_of, reading, partitions)
    plan.problems = _find_problems(catalogue.elements)
    if not len(plan):
        logger.warning("no element of the catalogue has %s%s", kind, "" if where is None else f" where {where}")
    return plan


def _find_problems(elements: pl.LazyFrame) -> list[Skipped]:
    """Find the objects that the catalogue could not read, and why; a warning names them."""
    rows = elements.filter(pl.col("problem").is_not_null()).select("object", "problem").unique().sort("object").collect()
    found = [Skipped(*row) for row in rows.iter_rows()]
    if found:
        logger.warning("the catalogue could not read %s", listing((f"{name} ({reason})" for name, reason in found), 3))
    return found


def list_samples(catalogue: Catalogue, slot: str | None = None) -> pl.DataFrame:
    """List samples: `object`, `element`, `name` (the id where there is none), and the value of a slot as `group`.

    Raises
    ------
    InvalidInputError
        Samples have no such slot.
    """
    known = catalogue.elements.collect_schema().names()
    if slot is not None and slot not in known:
        near = did_you_mean(slot, known)
        raise InvalidInputError(f"samples have no slot {slot}", f"did you mean {near}?" if near else None)
    name = pl.coalesce("name", pl.col("element").str.replace("^sample/", ""))
    group = pl.lit("all") if slot is None else pl.col(slot)
    return catalogue.elements.filter(pl.col("class") == "Sample").select("object", "element", name=name, group=group).collect()


def _make_reading(
    kind: str, columns: Sequence[str] | None, bins: int | None, missing: str, secret_key: str | os.PathLike[str] | None
) -> Reading:
    if kind not in FORMATS:
        near = did_you_mean(str(kind), FORMATS)
        raise InvalidInputError(
            f"{kind} cannot be scanned", f"did you mean {near}?" if near else f"there are {', '.join(FORMATS)}"
        )
    if missing not in ("error", "skip"):
        raise InvalidInputError(f"missing is {missing!r}", "it is 'error' or 'skip'")
    if bins is not None and bins < 1:
        raise InvalidInputError(f"{bins} bins: at least one is needed", "None stands for runs of equal values")
    if isinstance(columns, str):
        raise InvalidInputError(f"columns is the text {columns!r}", f"give a list: columns=[{columns!r}]")
    reading = Reading(kind, None if columns is None else tuple(columns), bins, _as_path(secret_key), missing == "skip")
    check_columns(reading)
    return reading


def _as_path(secret_key: Any) -> str | None:
    """Return the path of a key, as processes in other folders have to have it; a key itself is refused."""
    if secret_key is None:
        return None
    if not isinstance(secret_key, (str, os.PathLike)):
        raise AccessError(
            "a secret key is not part of a plan: it would be in its pickle",
            "give the path of its file, which each process reads; its passphrase comes from C4GH_PASSPHRASE",
        )
    return os.path.abspath(secret_key)


def find_files(catalogue: Catalogue, kind: str, where: str | None) -> pl.DataFrame:
    """Find the files or tracks of a kind that meet a condition, with the names of their samples; see `Plan`.

    Returns
    -------
    polars.DataFrame
        Sorted by object; within an object as its elements are.
    """
    own = ["object", "element", "data_path", "data_size", "revision", "tag", "has_sample"]
    rows = catalogue.select(None, where, columns=[*own, "class", "data_format", "zarr_kind"]).lazy()
    wanted = pl.col("data_format").is_in(FORMATS[kind]) & pl.col("data_path").is_not_null()
    if kind == "tracks":
        wanted &= (pl.col("class") == "Array") & pl.col("zarr_kind").is_null()
    if kind == "variants":
        wanted |= (pl.col("zarr_kind") == "VCF-Zarr") & pl.col("data_path").is_not_null()
    files = rows.filter(wanted).select(own).with_row_index("number")
    digests = catalogue.digests.select("object", "element", *_DIGESTS)
    names = _name_samples(files, catalogue)
    return (
        files.join(digests, on=["object", "element"], how="left")
        .join(names, on="number", how="left")
        .sort("object", "number")
        .select("object", "element", "data_path", "data_size", *_DIGESTS, "revision", "tag", "samples")
        .collect()
    )


def _name_samples(files: pl.LazyFrame, catalogue: Catalogue) -> pl.LazyFrame:
    """Name the samples that files are linked to: by their names, or ids where they have none."""
    links = files.select("number", "object", sample="has_sample").explode("sample").drop_nulls("sample")
    names = list_samples(catalogue).lazy().select("object", "name", sample="element")
    named = links.join(names, on=["object", "sample"], how="left").with_columns(
        pl.coalesce("name", pl.col("sample").str.replace("^sample/", ""))
    )
    return named.group_by("number", maintain_order=True).agg(samples="name")


def settle_regions(regions: RegionsGiven, annotation: Annotation | None) -> tuple[RegionLike, ...] | None:
    """Return the regions that are given, one, several or in a file; None for all of each file.

    Parameters
    ----------
    annotation
        Gives the places of genes; where it is None, each object is asked for them.

    Raises
    ------
    RegionError
        A malformed region, or none at all.
    NotFoundError
        No such file.
    """
    if isinstance(regions, os.PathLike) or (isinstance(regions, str) and regions.lower().endswith((".bed", ".bed.gz"))):
        return read_regions(regions)
    given = as_regions(regions)
    if given is None or annotation is None:
        return given
    return tuple(region if isinstance(region, Region) else _find_gene(annotation, region) for region in given)


def _find_gene(annotation: Annotation, text: str) -> RegionLike:
    """Return the place of a gene; the text itself, if it is that of a region on a contig of the annotation."""
    try:
        if Region.parse(text).contig in annotation.codes:
            return text
    except RegionError:
        pass
    return annotation.gene(text).region


def _iter_partitions(
    files: pl.DataFrame, regions: tuple[RegionLike, ...] | None, *, together: bool
) -> Iterator[tuple[int, Stretch, int]]:
    """Yield the number of each file, its regions, one by one or together, and what they cost."""
    stretches = [Stretch(regions)] if together or regions is None else [Stretch((region,)) for region in regions]
    shares = [_estimate_share(stretch.regions) for stretch in stretches]
    leasts = [_LEAST * len(stretch.regions or ("",)) for stretch in stretches]
    for number, size in enumerate(files["data_size"]):
        for stretch, share, least in zip(stretches, shares, leasts):
            yield number, stretch, min(max(int((size or 0) * share), least), size or least)


def _estimate_share(regions: tuple[RegionLike, ...] | None) -> float:
    """Estimate the share of a file that regions are, as if it were of a whole human genome."""
    if regions is None:
        return 1.0
    return min(sum(map(_count_bases, regions)) / _GENOME, 1.0)


def _count_bases(region: RegionLike) -> int:
    try:
        parsed = Region.parse(region) if isinstance(region, str) else region
    except ModosError:
        return _GENE
    if parsed.end is None:
        is_gene = isinstance(region, str) and parsed.start == 0 and parsed.contig == region and not _looks_like_contig(region)
        return _GENE if is_gene else _GENOME
    return parsed.end - parsed.start


def _looks_like_contig(name: str) -> bool:
    bare = name.removeprefix("chr")
    return bare.isdigit() or bare in ("X", "Y", "M", "MT")
