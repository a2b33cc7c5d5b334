"""UCSC's tables of genes: refGene.txt and the other forms of genePred.

Format: UCSC Genome Browser, "Gene Predictions and RefSeq Genes" (genePred, genePredExt).
"""

from __future__ import annotations

import polars as pl

from modos.annotations.parts import LINE, NODE, Parts
from modos.errors import InvalidInputError
from modos.storage.base import Progress
from modos.tracks.parsing import open_text, read_some

_PREDICTION = ("id", "contig", "strand", "start", "end", "cds_start", "cds_end", "count", "starts", "ends")
_EXTENDED = (*_PREDICTION, "score", "gene", "start_state", "end_state", "frames")
_NUMBERS = ("start", "end", "cds_start", "cds_end", "count")
_MAX_SIZE = 2 << 30


def read_refgene(path: str, progress: Progress | None = None) -> Parts:
    """Read a table; with or without the first column `bin`.

    Raises
    ------
    InvalidInputError
        A row that is not of the format, with its number.
    """
    file, data = open_text(path, progress), bytearray()
    try:
        while piece := read_some(file, path, 16 << 20):
            data += piece
            if len(data) > _MAX_SIZE:
                raise InvalidInputError(f"{path} is larger than any table of genes")
    finally:
        file.close()
    return _parts(path, _table(path, bytes(data)))


def looks_like_refgene(line: bytes) -> bool:
    """Whether a line is a row of such a table."""
    fields = line.split(b"\t")
    return any(len(fields) >= len(_PREDICTION) + has_bin and fields[2 + has_bin] in (b"+", b"-") and
               all(field.isdigit() for field in fields[3 + has_bin:8 + has_bin]) for has_bin in (0, 1))


def _table(path: str, data: bytes) -> pl.DataFrame:
    rows, first = [], 0
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        if not rows:
            first = int(not looks_like_refgene(b"\t".join(field.encode() for field in fields[:len(_PREDICTION)])) and fields[0].isdigit())
        fields = fields[first:]
        row = dict(zip(_EXTENDED, fields))
        numbers = [row.get(name, "") for name in _NUMBERS]
        places = [row.get(name, "").strip(",").split(",") for name in ("starts", "ends")]
        if not all(text.isdecimal() for text in (*numbers, *places[0], *places[1])) or row["strand"] not in ("+", "-") \
                or not len(places[0]) == len(places[1]) == int(row["count"]) or int(row["start"]) >= int(row["end"]) \
                or any(int(start) >= int(end) for start, end in zip(*places)):
            raise InvalidInputError(f"{path}, line {number}: this is no row of a table of genes", "give refGene.txt as UCSC has it")
        rows.append({**{name: int(row[name]) for name in _NUMBERS}, "id": row["id"], "contig": row["contig"], "strand": row["strand"],
                     "gene": row.get("gene") or row["id"], "starts": list(map(int, places[0])), "ends": list(map(int, places[1])),
                     "frames": [int(frame) if frame.isdecimal() else None for frame in row.get("frames", "").strip(",").split(",")]})
        if len(rows[-1]["frames"]) != len(places[0]):
            rows[-1]["frames"] = [None] * len(places[0])
    if not rows:
        raise InvalidInputError(f"{path} has no genes", "give refGene.txt as UCSC has it")
    return pl.DataFrame(rows, infer_schema_length=None)


def _parts(path: str, table: pl.DataFrame) -> Parts:
    """Transcripts of one gene on one strand that meet are one gene; a transcript that is there twice gets a number."""
    table = table.sort("contig", "gene", "strand", "start", "end", maintain_order=True)
    same = pl.all_horizontal(pl.col("contig", "gene", "strand") == pl.col("contig", "gene", "strand").shift())
    reach = pl.col("end").cum_max().over("contig", "gene", "strand").shift()
    table = table.with_columns(locus=(~(same & (pl.col("start") < reach)).fill_null(False)).cum_sum())
    table = table.with_columns(copy=pl.int_range(pl.len()).over("id"))
    table = table.with_columns(key=pl.when(pl.col("copy") > 0).then(pl.format("{}-{}", "id", pl.col("copy") + 1)).otherwise("id"),
                               parent=pl.format("gene\t{}", "locus"), coding=pl.col("cds_start") < pl.col("cds_end"))
    genes = table.group_by("parent", maintain_order=True).agg(pl.first("contig"), pl.min("start"), pl.max("end"), pl.first("strand"),
                                                              pl.first("gene"), pl.any("coding"))
    genes = genes.with_columns(copy=pl.int_range(pl.len()).over("gene"))
    genes = genes.with_columns(id=pl.when(pl.col("copy") > 0).then(pl.format("{}-{}", "gene", pl.col("copy") + 1)).otherwise("gene"))
    kind = pl.when("coding").then(pl.lit("protein_coding")).otherwise(pl.lit("non_coding"))
    text = pl.lit(None, pl.String)
    rest = {"level": pl.lit(None, pl.UInt8), "support": text, "tags": text, "protein": text, "ccds": text}
    nodes = pl.concat([
        genes.select("contig", "start", "end", "strand", key="parent", id="id", parent=text, type=pl.lit("gene"), name="gene", biotype=kind, **rest),
        table.select("contig", "start", "end", "strand", key="key", id="key", parent="parent", type=pl.lit("transcript"), name="id", biotype=kind, **rest),
    ]).with_row_index("line").select(*LINE, *NODE)
    exons = table.select("contig", "strand", "cds_start", "cds_end", "starts", "ends", "frames", parent="key").explode("starts", "ends", "frames")
    exons = exons.rename({"starts": "start", "ends": "end"}).with_row_index("line")
    low, high = pl.max_horizontal("start", "cds_start"), pl.min_horizontal("end", "cds_end")
    coding = exons.filter(low < high).select("line", "contig", start=low, end=high, strand="strand", parent="parent", gene=text,
                                             phase=((3 - pl.col("frames")) % 3).cast(pl.UInt8), is_stop=pl.lit(False), protein=text)
    return Parts(nodes, exons.select(*LINE, "parent", gene=text, id=text), coding)
