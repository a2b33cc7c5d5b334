"""From the parts of an annotation to its tables: gene, transcript, exon, intron, cds, utr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from modos.annotations.parts import PLACE, PREFIX, Parts
from modos.errors import InvalidInputError, listing

KINDS = ("gene", "transcript", "exon", "intron", "cds", "utr")
_GENES = ("gene", "pseudogene", "ncRNA_gene", "protein_coding_gene", "transposable_element_gene", "tRNA_gene", "rRNA_gene", "snoRNA_gene")


class Built(NamedTuple):
    """Tables by kind, and what was left out, in words with numbers."""

    tables: dict[str, pl.DataFrame]
    left_out: dict[str, int]


def place(parts: Parts, contigs: Mapping[str, int], lengths: Sequence[int], source: str, skip_unknown: bool) -> tuple[Parts, int]:
    """Parts on the contigs of an assembly, by their numbers; and how many lines were on others.

    Parameters
    ----------
    contigs
        The number of each contig, by each of its names.
    lengths
        Of each contig, in bases, by its number.

    Raises
    ------
    InvalidInputError
        There are other contigs, and they are not to be skipped; something
        is beyond the end of a contig.
    """
    codes = pl.DataFrame({"placed": list(contigs), "code": list(contigs.values())}, schema={"placed": pl.String, "code": pl.UInt32})
    bounds = pl.Series(lengths, dtype=pl.Int64)
    placed, skipped, unknown = [], 0, set()
    for table in (parts.nodes, parts.exons, parts.coding):
        found = table.join(codes, left_on="contig", right_on="placed", how="left", maintain_order="left")
        lost = found.filter(pl.col("code").is_null())
        unknown.update(lost["contig"].unique().to_list())
        skipped += len(lost)
        found = found.filter(pl.col("code").is_not_null())
        beyond = found.filter(pl.col("end") > bounds.gather(found["code"]))
        if len(beyond):
            contig, start, end, code = beyond.select("contig", "start", "end", "code").row(0)
            raise InvalidInputError(f"{source}: a line has {contig}:{start + 1:,}-{end:,}, and {contig} of the assembly has {lengths[code]:,} bases",
                                    "is it of another assembly?")
        placed.append(found.with_columns(contig="code").drop("code"))
    if unknown and not skip_unknown:
        raise InvalidInputError(f"{source} has contigs that the assembly lacks: {listing(sorted(unknown))}",
                                "give their names (modos reference add --names), or leave them out with --skip-unknown")
    return Parts(*placed), skipped


def build(parts: Parts) -> Built:
    """The tables, by contig and start; what they refer to each other by are row numbers.

    Genes are what transcripts name as their parents; transcripts are what
    exons and coding stretches do. Exons without a transcript line are given
    one by what they say themselves. UTRs and introns are computed.
    """
    nodes, exons, coding = _told_apart(parts)
    proteins = coding.select(key="parent", other="protein").drop_nulls().unique("key", keep="first", maintain_order=True)
    nodes = nodes.join(proteins, on="key", how="left", maintain_order="left").with_columns(protein=pl.coalesce("protein", "other")).drop("other")
    coding = _whole_coding(coding.drop("protein"))
    nodes, exons, coding = _with_transcripts(nodes, exons, coding)
    used = pl.concat([exons["parent"], coding["parent"]]).unique().drop_nulls()
    nodes = _with_genes(nodes, used)
    transcripts, genes = _transcripts(nodes, used)
    bare = coding.join(exons, on="parent", how="anti")  # a gene of bacteria has no exons
    exons = pl.concat([exons, bare.select(*PLACE, "parent", gene=pl.lit(None, pl.String), id=pl.lit(None, pl.String))])

    genes = genes.sort("contig", "start", "end", maintain_order=True).with_row_index("gene")
    transcripts = transcripts.join(genes.select("gene", parent="key"), on="parent", maintain_order="left")
    transcripts = transcripts.sort("contig", "start", "end", maintain_order=True).with_row_index("transcript")
    known = transcripts.select("transcript", parent="key")
    lost = {"lines without a transcript": len(exons.join(known, on="parent", how="anti")) + len(coding.join(known, on="parent", how="anti"))}
    exons = _numbered(exons.join(known, on="parent", maintain_order="left"))
    coding = _in_exons(coding.join(known, on="parent", maintain_order="left"), exons)
    tables = {"gene": _gene_table(genes), "transcript": _transcript_table(transcripts), "exon": exons.select(*PLACE, "transcript", "number", "id"),
              "intron": _introns(exons), "cds": coding.select(*PLACE, "transcript", "number", "phase"), "utr": _utrs(exons, coding)}
    return Built({kind: _in_order(table) for kind, table in tables.items()}, {text: count for text, count in lost.items() if count})


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("contig", "start", "end", maintain_order=True).with_columns(pl.col("contig").cast(pl.UInt32), pl.col("start", "end").cast(pl.Int64))


def _told_apart(parts: Parts) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Nodes with keys of their own: of those that share one, each has the parts that follow it on its strand."""
    nodes = parts.nodes.with_columns(copy=pl.int_range(pl.len()).over("key"))
    copies = nodes.filter(pl.col("key").is_duplicated()).select("line", "contig", "strand", "copy", parent="key").sort("line")
    nodes = nodes.with_columns(key=_copied("key", "copy")).drop("copy")
    tables = []
    for table in (nodes, parts.exons, parts.coding):
        if len(copies):
            table = table.sort("line").join_asof(copies, on="line", by=["parent", "contig", "strand"], check_sortedness=False)
            table = table.join_asof(copies.select("line", "parent", other="copy"), on="line", by="parent", check_sortedness=False)
            table = table.with_columns(parent=_copied("parent", pl.coalesce("copy", "other", 0))).drop("copy", "other")
        tables.append(table.drop("line"))
    return tables[0], tables[1], tables[2]


def _copied(name: str, copy: str | pl.Expr) -> pl.Expr:
    """A key, with a number where it is not the first of its kind."""
    number = pl.col(copy) if isinstance(copy, str) else copy
    return pl.when(number > 0).then(pl.format("{}\t{}", name, number)).otherwise(name)


def _whole_coding(coding: pl.DataFrame) -> pl.DataFrame:
    """Coding stretches with their stop codons, which GTF keeps apart."""
    if not coding["is_stop"].any():
        return coding.drop("is_stop")
    coding = coding.sort("contig", "parent", "start", maintain_order=True)
    meets = (pl.col("parent") == pl.col("parent").shift()) & (pl.col("contig") == pl.col("contig").shift()) & \
        (pl.col("start") <= pl.col("end").shift()) & (pl.col("is_stop") | pl.col("is_stop").shift())
    coding = coding.with_columns(part=(~meets.fill_null(False)).cum_sum())
    own = pl.col("phase").filter(~pl.col("is_stop"))
    return coding.group_by("part", maintain_order=True).agg(
        pl.first("contig"), pl.min("start"), pl.max("end"), pl.first("strand", "parent", "gene"),
        pl.coalesce(own.first(), pl.col("phase").first()).alias("phase")).drop("part")


def _with_transcripts(nodes: pl.DataFrame, exons: pl.DataFrame, coding: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Nodes with the transcripts that only their parts name (GTF of UCSC and others), one on each contig and strand."""
    named = [table.filter(pl.col("gene").is_not_null() & (pl.col("parent") != "")).select(*PLACE, "parent", "gene") for table in (exons, coding)]
    orphans = pl.concat(named).join(nodes, left_on="parent", right_on="key", how="anti", maintain_order="left")
    loci = orphans.group_by("parent", "contig", "strand", maintain_order=True).agg(pl.min("start"), pl.max("end"), pl.first("gene"))
    loci = _keyed(loci)
    made = loci.select(*PLACE, key="new", id="parent", parent="gene", type=pl.lit("transcript"))
    return (pl.concat([nodes, made], how="diagonal"), *(_moved(table, loci) for table in (exons, coding.drop("gene"))))


def _with_genes(nodes: pl.DataFrame, used: pl.Series) -> pl.DataFrame:
    """Nodes with the genes that only transcripts name, one wherever some of them meet."""
    children = nodes.filter(pl.col("parent").is_not_null() & _is_transcript(used))
    orphans = children.join(nodes, left_on="parent", right_on="key", how="anti", maintain_order="left")
    orphans = orphans.sort("parent", "contig", "strand", "start", "end", maintain_order=True)
    same = pl.all_horizontal(pl.col("parent", "contig", "strand") == pl.col("parent", "contig", "strand").shift())
    reach = pl.col("end").cum_max().over("parent", "contig", "strand").shift()
    orphans = orphans.with_columns(locus=(~(same & (pl.col("start") < reach)).fill_null(False)).cum_sum())
    loci = orphans.group_by("locus", maintain_order=True).agg(pl.first("parent", "contig", "strand"), pl.min("start"), pl.max("end")).drop("locus")
    loci = _keyed(loci)
    made = loci.select(*PLACE, key="new", id=pl.col("parent").str.replace(PREFIX, ""), type=pl.lit("gene"))
    return pl.concat([_moved(nodes, loci), made], how="diagonal")


def _keyed(loci: pl.DataFrame) -> pl.DataFrame:
    """What is made for a parent that is not there, with a `new` key for each place."""
    return loci.with_columns(new=_copied("parent", pl.int_range(pl.len()).over("parent")))


def _moved(table: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Parts of the parents that were made: of those that begin before them, the last."""
    if not len(loci):
        return table
    loci = loci.select("parent", "contig", "strand", "start", "new").sort("start")
    order = table.with_row_index("order").sort("start")
    found = order.join_asof(loci, on="start", by=["parent", "contig", "strand"], check_sortedness=False).sort("order").drop("order")
    return found.with_columns(parent=pl.coalesce("new", "parent")).drop("new")


def _is_transcript(used: pl.Series) -> pl.Expr:
    return pl.col("key").is_in(used.implode()) | pl.col("type").str.contains("(?i)rna$|transcript$")


def _transcripts(nodes: pl.DataFrame, used: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Transcripts with the genes they belong to; a gene with exons of its own is a transcript, too."""
    above = nodes.select(parent="key", grand="parent", high="type")
    children = nodes.filter(pl.col("parent").is_not_null()).join(above, on="parent", how="left", maintain_order="left")
    transcripts = children.filter(_is_transcript(used)).with_columns(parent=pl.coalesce("grand", "parent")).drop("grand", "high")
    tops = nodes.filter(pl.col("parent").is_null())
    alone = tops.filter(pl.col("key").is_in(used.implode()))
    genes = tops.filter(pl.col("key").is_in(transcripts["parent"].implode()) | pl.col("type").is_in(_GENES) | pl.col("key").is_in(used.implode()))
    return pl.concat([transcripts, alone.with_columns(parent="key")]), genes


def _numbered(exons: pl.DataFrame) -> pl.DataFrame:
    """Exons with their numbers from the 5' end, from 1."""
    exons = exons.sort("transcript", "start", maintain_order=True)
    rank, count = pl.int_range(1, pl.len() + 1).over("transcript"), pl.len().over("transcript")
    return exons.with_columns(number=pl.when(pl.col("strand") == "-").then(count + 1 - rank).otherwise(rank).cast(pl.UInt32))


def _in_exons(coding: pl.DataFrame, exons: pl.DataFrame) -> pl.DataFrame:
    """Coding stretches with the numbers of their exons."""
    exons = exons.select("transcript", "number", exon_start="start").sort("exon_start")
    return coding.sort("start", "transcript", maintain_order=True).join_asof(exons, left_on="start", right_on="exon_start", by="transcript", check_sortedness=False)


def _introns(exons: pl.DataFrame) -> pl.DataFrame:
    """What is between the exons of a transcript; number n follows exon n."""
    same = pl.col("transcript") == pl.col("transcript").shift(-1)
    number = pl.when(pl.col("strand") == "-").then(pl.col("number") - 1).otherwise("number")
    between = exons.with_columns(next=pl.col("start").shift(-1), same=same, number=number)
    return between.filter(pl.col("same") & (pl.col("end") < pl.col("next"))).select(
        "contig", start="end", end="next", strand="strand", transcript="transcript", number="number")


def _utrs(exons: pl.DataFrame, coding: pl.DataFrame) -> pl.DataFrame:
    """What of the exons of coding transcripts is before and after all that is translated."""
    extent = coding.group_by("transcript").agg(low=pl.min("start"), high=pl.max("end"))
    exons = exons.join(extent, on="transcript", maintain_order="left")
    forward = pl.col("strand") != "-"
    sides = (("start", pl.min_horizontal("end", "low"), forward), (pl.max_horizontal("start", "high"), "end", ~forward))
    tables = [exons.select("contig", start=start, end=end, strand="strand", transcript="transcript", number="number",
                           side=pl.when(first).then(pl.lit("5'")).otherwise(pl.lit("3'"))) for start, end, first in sides]
    return pl.concat(tables).filter(pl.col("start") < pl.col("end"))


def _gene_table(genes: pl.DataFrame) -> pl.DataFrame:
    return genes.select(*PLACE, "id", name=pl.coalesce("name", "id"), type=pl.coalesce("biotype", "type"), level="level")


def _transcript_table(transcripts: pl.DataFrame) -> pl.DataFrame:
    tags = pl.col("tags")
    mane = pl.when(tags.str.contains(r"(?:^|,)MANE[_ ]Select(?:,|$)")).then(pl.lit("select")).when(
        tags.str.contains(r"(?:^|,)MANE[_ ]Plus[_ ]Clinical(?:,|$)")).then(pl.lit("plus_clinical"))
    return transcripts.select(
        *PLACE, "id", "gene", name=pl.coalesce("name", "id"), type=pl.coalesce("biotype", "type"), level="level", support="support",
        appris=tags.str.extract(r"(?:^|,)appris_([A-Za-z]+_?[1-9]?)"), mane=mane, tags="tags", protein="protein", ccds="ccds")
