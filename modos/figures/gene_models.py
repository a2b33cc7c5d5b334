"""Gene models of a region, packed in rows in which none overlaps another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.errors import NotFoundError, did_you_mean
from modos.errors.missing import load_late
from modos.genomics.region import Region

if TYPE_CHECKING:
    import polars as pl

    from modos.reference.annotations.annotation import Annotation
else:
    pl = load_late("polars")

Span = tuple[int, int]  # 0-based, half-open
MOST_MODELS = 200  # that are drawn with their exons
_GENE = ("contig", "start", "end", "strand", "id", "name")
_TRANSCRIPT = (*_GENE, "gene", "mane", "appris")
_PART = ("start", "end", "transcript")


@dataclass(frozen=True)
class GeneModel:
    """A transcript, or a gene without any: its place, exons and what of them is coding; 0-based half-open."""

    start: int
    end: int
    strand: str
    name: str
    exons: tuple[Span, ...] = ()
    coding: tuple[Span, ...] = ()


@dataclass(frozen=True)
class GeneModels:
    """The models of a region.

    Parameters
    ----------
    name
        The annotation's.
    models
        By their start.
    total
        The number of genes that the region has.
    """

    name: str
    models: tuple[GeneModel, ...]
    total: int


@dataclass(frozen=True)
class LooseTables:
    """Tables of an annotation that is in no store: by kind, with contigs by the names that a file has for them.

    Parameters
    ----------
    name
        Of the file that they are from.
    """

    name: str
    tables: Mapping[str, pl.DataFrame]


def read_models(
    source: Annotation | LooseTables, region: Region, only: Collection[str] | None = None, every_transcript: bool = False
) -> GeneModels:
    """Read the genes that overlap a region: of each its MANE Select transcript, else the principal, else the longest.

    Parameters
    ----------
    region
        On a contig of the annotation, by any of its names.
    only
        Names or ids of the genes that are wanted.
    every_transcript
        Whether all transcripts are.

    Raises
    ------
    NotFoundError
        A gene that is wanted is not in the region.
    """
    tables = _Loose(source, region) if isinstance(source, LooseTables) else _Stored(source, region)
    genes = tables.read("gene", _GENE)
    if only is not None:
        genes = _choose_genes(genes, list(only), region, source.name)
    if len(genes) > MOST_MODELS:
        return GeneModels(source.name, tuple(_bare(row) for row in genes.iter_rows(named=True)), len(genes))
    transcripts = tables.read("transcript", _TRANSCRIPT).filter(pl.col("gene").is_in(genes["row"].to_list()))
    if not every_transcript:
        transcripts = _choose_transcripts(transcripts)
    with_some = set(transcripts["gene"].to_list())
    exons, coding = (_group(tables.read(kind, _PART), transcripts) for kind in ("exon", "cds"))
    names = {row["row"]: row["name"] or row["id"] for row in genes.iter_rows(named=True)}
    models = [_bare(row) for row in genes.iter_rows(named=True) if row["row"] not in with_some]
    for row in transcripts.iter_rows(named=True):
        label = (row["name"] or row["id"]) if every_transcript else names[row["gene"]]
        parts = tuple(exons.get(row["row"], ())), tuple(coding.get(row["row"], ()))
        models.append(GeneModel(row["start"], row["end"], row["strand"] or ".", str(label or ""), *parts))
    ordered = sorted(models, key=lambda model: (model.start, model.end, model.name))
    return GeneModels(source.name, tuple(ordered), len(genes))


def pack_rows(extents: Sequence[tuple[float, float]], most: int) -> list[int | None]:
    """Pack extents in rows, each in the first row where it overlaps none; None for those that find no room.

    Parameters
    ----------
    extents
        From and to, sorted by their start.
    most
        Rows that there are.
    """
    ends: list[float] = []
    rows: list[int | None] = []
    for start, end in extents:
        row = next((number for number, last in enumerate(ends) if last < start), len(ends))
        if row == len(ends):
            if row == most:
                rows.append(None)
                continue
            ends.append(end)
        ends[row] = end
        rows.append(row)
    return rows


class _Stored:
    """Rows of the tables of an annotation of a store that overlap a region."""

    def __init__(self, annotation: Annotation, region: Region):
        self._annotation, self._region = annotation, region

    def read(self, kind: str, columns: Sequence[str]) -> pl.DataFrame:
        table = self._annotation.table(kind)
        region = self._region
        rows = table.overlap(region.contig, region.start, region.end).rows
        found = pl.DataFrame(
            {name: table.column(name).gather(rows) for name in columns} | {"row": pl.Series(rows, dtype=pl.Int64)}
        )
        length = self._annotation.manifest.circular.get(table.column("contig")[int(rows[0])], 0) if len(rows) else 0
        return _unroll(found, region, length) if length else found


class _Loose:
    """Rows of loose tables that overlap a region."""

    def __init__(self, tables: LooseTables, region: Region):
        self._tables, self._region = tables.tables, region

    def read(self, kind: str, columns: Sequence[str]) -> pl.DataFrame:
        region = self._region
        overlaps = (pl.col("contig") == region.contig) & (pl.col("start") < region.limit) & (pl.col("end") > region.start)
        return self._tables[kind].with_row_index("row").filter(overlaps).select(*columns, pl.col("row").cast(pl.Int64))


def _unroll(found: pl.DataFrame, region: Region, length: int) -> pl.DataFrame:
    """Move what crosses the origin of a circular contig to the side that the region shows."""
    misses = (pl.col("start") >= region.limit) | (pl.col("end") <= region.start)
    turn = pl.when(misses & (pl.col("end") > length)).then(length).otherwise(0)
    return found.with_columns(start=pl.col("start") - turn, end=pl.col("end") - turn)


def _choose_genes(genes: pl.DataFrame, only: list[str], region: Region, source: str) -> pl.DataFrame:
    chosen = genes.filter(pl.col("name").is_in(only) | pl.col("id").is_in(only))
    found = {*chosen["name"].to_list(), *chosen["id"].to_list()}
    for name in only:
        if name not in found:
            near = did_you_mean(name, genes["name"].drop_nulls().to_list())
            raise NotFoundError(
                f"{source} has no gene {name} in {region}", f"did you mean {near}?" if near else "choose another region"
            )
    return chosen


def _choose_transcripts(transcripts: pl.DataFrame) -> pl.DataFrame:
    is_select = (pl.col("mane") == "select").fill_null(False)
    is_principal = pl.col("appris").cast(pl.String).str.starts_with("principal").fill_null(False)
    ranked = transcripts.with_columns(select=is_select, principal=is_principal, length=pl.col("end") - pl.col("start"))
    best = ranked.sort("select", "principal", "length", "id", "row", descending=[True, True, True, False, False], nulls_last=True)
    return best.unique("gene", keep="first", maintain_order=True)


def _group(parts: pl.DataFrame, transcripts: pl.DataFrame) -> dict[int, list[Span]]:
    wanted = parts.filter(pl.col("transcript").is_in(transcripts["row"].to_list())).sort("start")
    found: dict[int, list[Span]] = {}
    for start, end, transcript in wanted.select("start", "end", "transcript").iter_rows():
        found.setdefault(transcript, []).append((start, end))
    return found


def _bare(row: Mapping[str, Any]) -> GeneModel:
    return GeneModel(row["start"], row["end"], row["strand"] or ".", str(row["name"] or row["id"] or ""))
