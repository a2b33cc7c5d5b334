"""Build the tables of an annotation from its parts: gene, transcript, exon, intron, cds, utr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from modos.errors import InvalidInputError, listing
from modos.errors.missing import load_late
from modos.reference.annotations.circles import Circles
from modos.reference.annotations.linking import copy_key, has_strand, id_of, link
from modos.reference.annotations.parts import GENE_KEY, GENES, PLACE, PREFIX, Parts

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

KINDS = ("gene", "transcript", "exon", "intron", "cds", "utr")
_LEVELS = 8  # of what is within each other, from an exon to its gene
_SHOWN = 5  # types that are named


class Built(NamedTuple):
    """Tables by kind, and what was left out, in words with numbers."""

    tables: dict[str, pl.DataFrame]
    left_out: dict[str, int]


def place(parts: Parts, contigs: Mapping[str, int], source: str, skip_unknown: bool) -> tuple[Parts, int]:
    """Place parts on the contigs of an assembly, by their numbers; return them, and how many lines were on others.

    Parameters
    ----------
    contigs
        The number of each contig, by each of its names.

    Raises
    ------
    InvalidInputError
        There are other contigs, and they are not to be skipped.
    """
    codes = pl.DataFrame(
        {"placed": list(contigs), "code": list(contigs.values())}, schema={"placed": pl.String, "code": pl.UInt32}
    )
    skipped, unknown = 0, set[str]()

    def put(table: pl.DataFrame) -> pl.DataFrame:
        nonlocal skipped
        found = table.join(codes, left_on="contig", right_on="placed", how="left", maintain_order="left")
        if found["code"].null_count():
            lost = found.filter(pl.col("code").is_null())
            unknown.update(lost["contig"].unique().to_list())
            skipped += len(lost)
            found = found.filter(pl.col("code").is_not_null())
        return found.with_columns(contig="code").drop("code")

    placed = parts.with_tables(put)
    if unknown and not skip_unknown:
        raise InvalidInputError(
            f"{source} has contigs that the assembly lacks: {listing(sorted(unknown))}",
            "give their names (modos reference add --names), or leave them out with --skip-unknown",
        )
    return placed, skipped


def build(parts: Parts, circles: Circles) -> Built:
    """Build the tables, by contig and start; they refer to each other by row numbers.

    Genes are what transcripts name as their parents; transcripts are what
    exons and coding stretches do. Exons without a transcript line are given
    one by what they say themselves. UTRs and introns are computed.
    """
    nodes, exons, coding = link(parts, circles)
    coding = _join_stop_codons(coding)
    nodes, exons, coding = _with_transcripts(nodes, exons, coding)
    nodes, coding = _split_by_protein(_free_genes(nodes), exons, coding)
    nodes = _with_proteins(nodes, coding)
    used = pl.concat([exons["parent"], coding["parent"]]).unique().drop_nulls()
    nodes = _with_genes(nodes, used)
    transcripts, genes = _transcripts(nodes, used)
    genes = genes.sort("contig", "start", "end", maintain_order=True).with_row_index("gene")
    whole = transcripts.join(genes.select("gene", "contig", parent="key"), on=["parent", "contig"], maintain_order="left")
    unused = nodes.join(pl.concat([genes["key"], whole["key"]]).unique().to_frame(), on="key", how="anti")
    left_out = (
        parts.left_out
        + Counter({"transcripts without a gene": len(transcripts) - len(whole)})
        + _count_other_types(parts.unused + Counter(dict(unused["type"].value_counts().iter_rows())))
    )
    transcripts = whole.sort("contig", "start", "end", maintain_order=True).with_row_index("transcript")
    exons, coding = (_place_parts(table, transcripts, circles, left_out) for table in (exons, coding))
    exons, coding = (circles.unroll(table, transcripts) for table in (exons, coding))
    with_exons = exons.select(pl.col("transcript").unique())
    bare = coding.join(with_exons, on="transcript", how="anti", maintain_order="left")  # a gene of bacteria has no exons
    exons = pl.concat([exons.select(*PLACE, "transcript", "id"), bare.select(*PLACE, "transcript", id=pl.lit(None, pl.String))])
    exons = _number_exons(exons)
    coding = _find_exons(coding, exons)
    tables = {
        "gene": _gene_table(genes),
        "transcript": _transcript_table(transcripts),
        "exon": exons.select(*PLACE, "transcript", "number", "id"),
        "intron": _introns(exons),
        "cds": coding.select(*PLACE, "transcript", "number", "phase"),
        "utr": _utrs(exons, coding),
    }
    return Built(
        {kind: _sort(circles.roll(table)) for kind, table in tables.items()},
        {text: count for text, count in left_out.items() if count},
    )


def _count_other_types(counts: Counter[str]) -> Counter[str]:
    types = [type for type, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return Counter({f"lines of which nothing is kept: {listing(types, _SHOWN)}": counts.total()} if types else {})


def _sort(table: pl.DataFrame) -> pl.DataFrame:
    table = table.sort("contig", "start", "end", maintain_order=True)
    return table.with_columns(pl.col("contig").cast(pl.UInt32), pl.col("start", "end").cast(pl.Int64))


def _join_stop_codons(coding: pl.DataFrame) -> pl.DataFrame:
    """Return coding sequences with their stop codons, which GTF keeps apart."""
    if not coding["is_stop"].any():
        return coding.drop("is_stop")
    coding = coding.sort("contig", "strand", "parent", "start", maintain_order=True)
    meets = (
        pl.all_horizontal(pl.col("parent", "contig", "strand") == pl.col("parent", "contig", "strand").shift())
        & (pl.col("start") <= pl.col("end").shift())
        & (pl.col("is_stop") | pl.col("is_stop").shift())
    )
    coding = coding.with_columns(part=(~meets.fill_null(False)).cum_sum())
    own = pl.col("phase").filter(~pl.col("is_stop"))
    return (
        coding.group_by("part", maintain_order=True)
        .agg(
            pl.first("contig"),
            pl.min("start"),
            pl.max("end"),
            pl.first("strand", "parent", "gene"),
            pl.col("protein", "product").drop_nulls().first(),
            pl.coalesce(own.first(), pl.col("phase").first()).alias("phase"),
        )
        .drop("part")
    )


def _with_transcripts(
    nodes: pl.DataFrame, exons: pl.DataFrame, coding: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Add the transcripts that only their parts name (GTF of UCSC and others), one on each contig and strand."""
    named = [
        table.filter(pl.col("gene").is_not_null() & (pl.col("parent") != "")).select(*PLACE, "parent", "gene")
        for table in (exons, coding)
    ]
    strands = pl.when(has_strand("strand")).then(pl.concat_list("strand")).otherwise(pl.lit(["+", "-", ".", "?"]))
    there = nodes.select("contig", parent="key", strand=strands).explode("strand")
    orphans = pl.concat(named).join(there, on=["parent", "contig", "strand"], how="anti", maintain_order="left")
    loci = orphans.group_by("parent", "contig", "strand", maintain_order=True).agg(
        pl.min("start"), pl.max("end"), pl.first("gene")
    )
    loci = _add_keys(loci, nodes)
    made = loci.select(
        *PLACE, key="new", id=id_of("parent"), parent=pl.format(GENE_KEY + "{}", "gene"), type=pl.lit("transcript")
    )
    return pl.concat([nodes, made], how="diagonal"), _move_parts(exons, loci), _move_parts(coding.drop("gene"), loci)


def _free_genes(nodes: pl.DataFrame) -> pl.DataFrame:
    """Return nodes with genes that belong to nothing, such as an operon.

    What is called so within a gene is a transcript (pseudogenes of FlyBase).
    """
    is_gene = pl.col("type").is_in(GENES)
    if not nodes.select((is_gene & pl.col("parent").is_not_null()).any()).item():
        return nodes
    genes = nodes.filter(is_gene)["key"].implode()
    return nodes.with_columns(parent=pl.when(~is_gene | pl.col("parent").is_in(genes)).then("parent"))


def _split_by_protein(nodes: pl.DataFrame, exons: pl.DataFrame, coding: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return nodes with a transcript for each protein of a gene that has several proteins and nothing else.

    Genes of bacteria with two products are such genes.
    """
    genes = nodes.filter(pl.col("type").is_in(GENES)).select("biotype", parent="key", own="type")
    bare = (
        coding.filter(pl.col("protein").is_not_null())
        .join(genes, on="parent", maintain_order="left")
        .join(exons.select("parent"), on="parent", how="anti", maintain_order="left")
    )
    bare = bare.filter(pl.col("protein").n_unique().over("parent") > 1)
    if not len(bare):
        return nodes, coding
    key = pl.format("{}\t{}", "parent", "protein")
    made = bare.group_by("parent", "protein", maintain_order=True).agg(
        pl.first("contig", "strand", "biotype", "own"), pl.min("start"), pl.max("end")
    )
    made = made.select(*PLACE, key=key, id="protein", parent="parent", type=pl.coalesce("biotype", "own"))
    split = bare["parent"].unique().implode()
    coding = coding.with_columns(
        parent=pl.when(pl.col("parent").is_in(split) & pl.col("protein").is_not_null()).then(key).otherwise("parent")
    )
    return pl.concat([nodes, made], how="diagonal"), coding


def _with_proteins(nodes: pl.DataFrame, coding: pl.DataFrame) -> pl.DataFrame:
    """Add to nodes what their coding sequences say of the protein, if they do not say it."""
    said = coding.filter(pl.col("protein").is_not_null() | pl.col("product").is_not_null()).unique(
        "parent", keep="first", maintain_order=True
    )
    nodes = nodes.join(said.select(key="parent", other="protein", product="product"), on="key", how="left", maintain_order="left")
    return nodes.with_columns(protein=pl.coalesce("protein", "other"), description=pl.coalesce("description", "product")).drop(
        "other", "product"
    )


def _with_genes(nodes: pl.DataFrame, used: pl.Series) -> pl.DataFrame:
    """Add the genes that only transcripts name, one wherever some of them meet."""
    children = nodes.filter(pl.col("parent").is_not_null() & _is_transcript(used))
    orphans = children.join(nodes, left_on=["parent", "contig"], right_on=["key", "contig"], how="anti", maintain_order="left")
    orphans = orphans.sort("parent", "contig", "strand", "start", "end", maintain_order=True)
    same = pl.all_horizontal(pl.col("parent", "contig", "strand") == pl.col("parent", "contig", "strand").shift())
    reach = pl.col("end").cum_max().over("parent", "contig", "strand").shift()
    orphans = orphans.with_columns(locus=(~(same & (pl.col("start") < reach)).fill_null(False)).cum_sum())
    loci = (
        orphans.group_by("locus", maintain_order=True)
        .agg(pl.first("parent", "contig", "strand"), pl.min("start"), pl.max("end"))
        .drop("locus")
    )
    loci = _add_keys(loci, nodes)
    made = loci.select(*PLACE, key="new", id=pl.col("parent").str.replace(PREFIX, ""), type=pl.lit("gene"))
    return pl.concat([_move_parts(nodes, loci), made], how="diagonal")


def _add_keys(loci: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Add to what is made for a parent that is not there a `new` key for each place."""
    number = pl.int_range(pl.len()).over("parent")
    elsewhere = pl.col("parent").is_in(nodes["key"].implode())
    return loci.with_columns(
        new=pl.when(elsewhere).then(pl.format("{}\t\t\t{}", "parent", number)).otherwise(copy_key("parent", number))
    )


def _move_parts(table: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Move parts to the new parents: to the last of those that begin before them."""
    if not len(loci):
        return table
    loci = loci.select("parent", "contig", "strand", "start", "new").sort("start")
    order = table.with_row_index("order").sort("start")
    found = (
        order.join_asof(loci, on="start", by=["parent", "contig", "strand"], check_sortedness=False).sort("order").drop("order")
    )
    return found.with_columns(parent=pl.coalesce("new", "parent")).drop("new")


def _is_transcript(used: pl.Series) -> pl.Expr:
    return pl.col("key").is_in(used.implode()) | pl.col("type").str.contains("(?i)rna$|transcript$")


def _transcripts(nodes: pl.DataFrame, used: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return transcripts with the genes they belong to; a gene with its own exons is a transcript, too."""
    transcripts, above = (
        nodes.filter(pl.col("parent").is_not_null() & _is_transcript(used)),
        nodes.select(parent="key", higher="parent"),
    )
    for _ in range(_LEVELS):
        transcripts = transcripts.join(above, on="parent", how="left", maintain_order="left").with_columns(
            parent=pl.coalesce("higher", "parent")
        )
        if transcripts["higher"].is_null().all():
            break
        transcripts = transcripts.drop("higher")
    tops = nodes.filter(pl.col("parent").is_null())
    alone = tops.filter(_is_transcript(used))
    genes = tops.filter(pl.col("key").is_in(transcripts["parent"].implode()) | pl.col("type").is_in(GENES) | _is_transcript(used))
    return pl.concat([transcripts.drop("higher", strict=False), alone.with_columns(parent="key")]), genes


def _place_parts(table: pl.DataFrame, transcripts: pl.DataFrame, circles: Circles, left_out: Counter[str]) -> pl.DataFrame:
    """Place parts at the rows of their transcripts; those that have none, or that lie elsewhere, are counted."""
    known = transcripts.select("transcript", parent="key", of="contig", way="strand", low="start", high="end")
    table = table.join(known, on="parent", how="left", maintain_order="left")
    is_along = (pl.col("way") == pl.col("strand")) | (~has_strand("way") & (pl.col("strand").n_unique().over("transcript") == 1))
    is_there = (pl.col("of") == pl.col("contig")) & is_along & circles.holds("low", "high")
    found = table.drop_nulls("transcript")
    inside = found.filter(is_there)
    left_out["lines without a transcript"] += len(table) - len(found)
    left_out["lines that are not within their transcripts"] += len(found) - len(inside)
    return inside.drop("parent", "of", "way", "low", "high")


def _number_exons(exons: pl.DataFrame) -> pl.DataFrame:
    """Number exons from the 5' end, from 1."""
    exons = exons.sort("transcript", "start", maintain_order=True)
    rank, count = pl.int_range(1, pl.len() + 1).over("transcript"), pl.len().over("transcript")
    return exons.with_columns(number=pl.when(pl.col("strand") == "-").then(count + 1 - rank).otherwise(rank).cast(pl.UInt32))


def _find_exons(coding: pl.DataFrame, exons: pl.DataFrame) -> pl.DataFrame:
    """Return coding sequences with the numbers of their exons."""
    exons = exons.select("transcript", "number", exon_start="start").sort("exon_start")
    coding = coding.sort("start", "transcript", maintain_order=True)
    return coding.join_asof(exons, left_on="start", right_on="exon_start", by="transcript", check_sortedness=False)


def _introns(exons: pl.DataFrame) -> pl.DataFrame:
    """Derive the introns between the exons of a transcript; number n follows exon n."""
    same = pl.col("transcript") == pl.col("transcript").shift(-1)
    number = pl.when(pl.col("strand") == "-").then(pl.col("number") - 1).otherwise("number")
    between = exons.with_columns(next=pl.col("start").shift(-1), same=same, number=number)
    return between.filter(pl.col("same") & (pl.col("end") < pl.col("next"))).select(
        "contig", start="end", end="next", strand="strand", transcript="transcript", number="number"
    )


def _utrs(exons: pl.DataFrame, coding: pl.DataFrame) -> pl.DataFrame:
    """Derive the untranslated regions: what of the exons of coding transcripts is before and after all that is translated."""
    extent = coding.group_by("transcript").agg(low=pl.min("start"), high=pl.max("end"))
    exons = exons.join(extent, on="transcript", maintain_order="left")
    forward = pl.col("strand") != "-"
    sides = (("start", pl.min_horizontal("end", "low"), forward), (pl.max_horizontal("start", "high"), "end", ~forward))
    tables = [
        exons.select(
            "contig",
            start=start,
            end=end,
            strand="strand",
            transcript="transcript",
            number="number",
            side=pl.when(first).then(pl.lit("5'")).otherwise(pl.lit("3'")),
        )
        for start, end, first in sides
    ]
    return pl.concat(tables).filter(pl.col("start") < pl.col("end"))


def _gene_table(genes: pl.DataFrame) -> pl.DataFrame:
    return genes.select(
        *PLACE,
        "id",
        name=pl.coalesce("name", "id"),
        type=pl.coalesce("biotype", "type"),
        level="level",
        version="version",
        xrefs="xrefs",
        description="description",
    )


def _transcript_table(transcripts: pl.DataFrame) -> pl.DataFrame:
    tags = pl.col("tags")
    mane = (
        pl.when(tags.str.contains(r"(?:^|,)MANE[_ ]Select(?:,|$)"))
        .then(pl.lit("select"))
        .when(tags.str.contains(r"(?:^|,)MANE[_ ]Plus[_ ]Clinical(?:,|$)"))
        .then(pl.lit("plus_clinical"))
    )
    return transcripts.select(
        *PLACE,
        "id",
        "gene",
        name=pl.coalesce("name", "id"),
        type=pl.coalesce("biotype", "type"),
        level="level",
        support="support",
        appris=tags.str.extract(r"(?:^|,)appris_([A-Za-z]+_?[1-9]?)"),
        mane=mane,
        tags="tags",
        protein="protein",
        ccds="ccds",
        version="version",
        xrefs="xrefs",
        product="description",
    )
