"""Read UCSC's gene tables: refGene.txt, refFlat.txt, knownGene.txt and other forms of genePred.

Formats: UCSC Genome Browser, "Gene Predictions and RefSeq Genes" (genePred, genePredExt, refFlat), and the schema of knownGene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modos.errors import InvalidInputError
from modos.errors.missing import load_late
from modos.formats.text import open_text, read_some
from modos.reference.annotations.parts import LINE, NODE, PLACE, Parts
from modos.storage.base import Progress
from modos.storage.given import Given
from modos.storage.processes.panics import translate_panics

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_PREDICTION = ("id", "contig", "strand", "start", "end", "cds_start", "cds_end", "count", "starts", "ends")
_EXTENDED = (*_PREDICTION, "score", "gene", "start_state", "end_state", "frames")
_KNOWN = (*_PREDICTION, "protein", "alignment")
_FLAT = ("gene", *_PREDICTION)
_NUMBERS = ("start", "end", "cds_start", "cds_end", "count")
_FRAMES = frozenset(("-1", "0", "1", "2"))
_MAX_SIZE, _MAX_LINES = 1 << 29, 1 << 23  # decompressed
_BINS = ((512 + 64 + 8 + 1, 17), (64 + 8 + 1, 20), (8 + 1, 23), (1, 26), (0, 29))  # of UCSC: the first of a size, and its bits
_FAR, _FAR_BINS = (
    1 << 29,
    ((4681 + 4096 + 512 + 64 + 8 + 1, 17), (4681 + 585, 20), (4681 + 73, 23), (4681 + 9, 26), (4681 + 1, 29), (4681, 32)),
)


def read_refgene(path: str | Given, progress: Progress | None = None) -> Parts:
    """Read a table; with or without the first column `bin`.

    Raises
    ------
    InvalidInputError
        A row that is not of the format, with its number.
    """
    file, data, lines = open_text(path, progress), bytearray(), 0
    try:
        while piece := read_some(file, path, 16 << 20):
            data += piece
            lines += piece.count(b"\n")
            if len(data) > _MAX_SIZE or lines > _MAX_LINES:
                raise InvalidInputError(
                    f"{path} is larger than any table of genes: {_MAX_SIZE >> 20} MiB and {_MAX_LINES:,} lines are read"
                )
    finally:
        file.close()
    with translate_panics(path):
        return _parts(_table(path, bytes(data)))


def looks_like_refgene(line: bytes) -> bool:
    """Return whether a line is a row of such a table."""
    return _place_of_strand(line.decode(errors="replace").split("\t")) is not None


def _place_of_strand(fields: Sequence[str]) -> int | None:
    """Find the column of the strand: before it are the contig, the name, and maybe a gene or `bin`, or both."""
    for at in (2, 3, 4):
        if len(fields) >= at + 8 and fields[at] in ("+", "-") and all(_is_number(field) for field in fields[at + 1 : at + 6]):
            return at
    return None


def _columns_of(rows: Sequence[Sequence[str]], header: str) -> tuple[str, ...]:
    """Return the columns of a table, as its header and its first row tell; the rows say whether a number is that of the bin."""
    first = rows[0]
    before = _place_of_strand(first)
    named = header.lstrip("#").split("\t")[0].rpartition(".")[2].casefold()
    if before == 4:
        return ("bin", *_FLAT)
    if before == 3 and len(first) == len(_FLAT) and named != "bin" and (named == "genename" or not _has_bins(rows)):
        return _FLAT
    own = first[1:] if before == 3 else first
    is_known = len(own) == len(_KNOWN) and not _is_number(own[len(_PREDICTION)])
    return (*(("bin",) if before == 3 else ()), *(_KNOWN if is_known else _EXTENDED))


def _has_bins(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first column is UCSC's number of a stretch of a contig; some genes have numbers as names, too."""
    return all(
        len(row) > 5
        and _is_number(row[0])
        and _is_number(row[4])
        and _is_number(row[5])
        and int(row[0]) == _bin_of(int(row[4]), int(row[5]))
        for row in rows
    )


def _bin_of(start: int, end: int) -> int:
    return next(
        (
            first + (start >> bits)
            for first, bits in (_BINS if end <= _FAR else _FAR_BINS)
            if start >> bits == max(end - 1, start) >> bits
        ),
        -1,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _table(path: str | Given, data: bytes) -> pl.DataFrame:
    lines = data.decode(errors="replace").replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    numbers = [number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    if not numbers:
        raise InvalidInputError(f"{path} has no genes", "give refGene.txt as UCSC has it")
    given = [lines[number].split("\t") for number in numbers]
    header = next((line for line in lines[: numbers[0]] if line.startswith("#")), "")
    columns = _columns_of(given, header)
    rows = []
    for number, fields in zip(numbers, given):
        row = _row(dict(zip(columns, fields))) if len(fields) == len(given[0]) else None
        if row is None:
            raise InvalidInputError(
                f"{path}, line {number + 1}: this is no row of a table of genes", "give refGene.txt or refFlat.txt as UCSC has it"
            )
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"protein": pl.String, "frames": pl.List(pl.Int64)})


def _row(row: dict[str, str]) -> dict[str, object] | None:
    """Parse a row with its numbers; return None if it is not of the format."""
    numbers = [row.get(name, "") for name in _NUMBERS]
    places = [row.get(name, "").strip(",").split(",") for name in ("starts", "ends")]
    if (
        not all(map(_is_number, (*numbers, *places[0], *places[1])))
        or row["strand"] not in ("+", "-")
        or not row["id"]
        or not row["contig"]
    ):
        return None
    found = {name: int(text) for name, text in zip(_NUMBERS, numbers)}
    starts, ends = (list(map(int, place)) for place in places)
    if not len(starts) == len(ends) == found["count"] or max(found.values()) >= 1 << 62 or not _fit(found, starts, ends):
        return None
    told = row.get("frames", "").strip(",").split(",") if row.get("frames") else ["-1"] * len(starts)
    if len(told) != len(starts) or not _FRAMES.issuperset(told):
        return None
    frames = [int(frame) if frame != "-1" else None for frame in told]
    return {
        **found,
        "id": row["id"],
        "contig": row["contig"],
        "strand": row["strand"],
        "gene": row.get("gene") or row["id"],
        "starts": starts,
        "ends": ends,
        "frames": frames,
        "protein": row.get("protein") or None,
    }


def _fit(found: dict[str, int], starts: list[int], ends: list[int]) -> bool:
    """Return whether exons are in order within the transcript, and the coding part, too: as UCSC's `genePredCheck` has it."""
    borders = [border for exon in zip(starts, ends) for border in exon]
    inner = [found["cds_start"], found["cds_end"]] if found["cds_start"] != found["cds_end"] else []
    within = [found["start"], *inner, found["end"]]
    return (
        borders == sorted(borders)
        and within == sorted(within)
        and found["start"] <= borders[0]
        and borders[-1] <= found["end"]
        and all(start < end for start, end in zip(starts, ends))
    )


def _parts(table: pl.DataFrame) -> Parts:
    """Build the parts: transcripts of one gene that meet on one strand are one gene; a repeated transcript gets a number."""
    table = table.sort("contig", "gene", "strand", "start", "end", maintain_order=True)
    same = pl.all_horizontal(pl.col("contig", "gene", "strand") == pl.col("contig", "gene", "strand").shift())
    reach = pl.col("end").cum_max().over("contig", "gene", "strand").shift()
    table = table.with_columns(locus=(~(same & (pl.col("start") < reach)).fill_null(False)).cum_sum())
    table = table.with_columns(copy=pl.int_range(pl.len()).over("id"))
    table = table.with_columns(
        key=pl.when(pl.col("copy") > 0).then(pl.format("{}-{}", "id", pl.col("copy") + 1)).otherwise("id"),
        parent=pl.format("gene\t{}", "locus"),
        coding=pl.col("cds_start") < pl.col("cds_end"),
    )
    genes = table.group_by("parent", maintain_order=True).agg(
        pl.first("contig"), pl.min("start"), pl.max("end"), pl.first("strand"), pl.first("gene"), pl.any("coding")
    )
    genes = genes.with_columns(copy=pl.int_range(pl.len()).over("gene"))
    genes = genes.with_columns(
        id=pl.when(pl.col("copy") > 0).then(pl.format("{}-{}", "gene", pl.col("copy") + 1)).otherwise("gene")
    )
    kind = pl.when("coding").then(pl.lit("protein_coding")).otherwise(pl.lit("non_coding"))
    text = pl.lit(None, pl.String)
    rest = {
        "level": pl.lit(None, pl.UInt8),
        **dict.fromkeys(("support", "tags", "ccds", "version", "xrefs", "description"), text),
    }
    nodes = (
        pl.concat(
            [
                genes.select(
                    *PLACE,
                    key="parent",
                    id="id",
                    parent=text,
                    type=pl.lit("gene"),
                    name="gene",
                    biotype=kind,
                    protein=text,
                    **rest,
                ),
                table.select(
                    *PLACE,
                    key="key",
                    id="key",
                    parent="parent",
                    type=pl.lit("transcript"),
                    name="id",
                    biotype=kind,
                    protein="protein",
                    **rest,
                ),
            ]
        )
        .with_row_index("line")
        .select(*LINE, *NODE)
    )
    exons = table.select("contig", "strand", "cds_start", "cds_end", "starts", "ends", "frames", parent="key").explode(
        "starts", "ends", "frames"
    )
    exons = exons.rename({"starts": "start", "ends": "end"}).with_row_index("line")
    low, high = pl.max_horizontal("start", "cds_start"), pl.min_horizontal("end", "cds_end")
    coding = exons.filter(low < high).select(
        "line",
        "contig",
        start=low,
        end=high,
        strand="strand",
        parent="parent",
        gene=text,
        phase=((3 - pl.col("frames")) % 3).cast(pl.UInt8),
        is_stop=pl.lit(False),
        protein=text,
        product=text,
    )
    return Parts(nodes, exons.select(*LINE, "parent", gene=text, id=text), coding)
