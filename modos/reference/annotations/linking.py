"""Link the parts of an annotation to its nodes where a key alone is ambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modos.errors.missing import load_late
from modos.reference.annotations.circles import Circles
from modos.reference.annotations.parts import GENE_KEY, GENES, OWN_KEY, Parts

if TYPE_CHECKING:
    import polars as pl

    Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
else:
    pl = load_late("polars")

_PLACE = ("contig", "start", "end", "strand")


def link(parts: Parts, circles: Circles) -> Tables:
    """Link nodes with keys of their own, and exons and coding sequences with the keys of their parents."""
    nodes, *rest = _tell_apart(_with_own_genes(_split_by_gene(parts.tables)), circles)
    exons, coding = (_with_strands(table, nodes) for table in rest)
    return nodes, exons, coding


def has_strand(name: str) -> pl.Expr:
    """Return whether a column says on which strand something is."""
    return pl.col(name).is_in(["+", "-"])


def copy_key(name: str, copy: str | pl.Expr) -> pl.Expr:
    """Make a key, with a number if it is not the first of its kind."""
    number = pl.col(copy) if isinstance(copy, str) else copy
    return pl.when(number > 0).then(pl.format("{}\t{}", name, number)).otherwise(name)


def id_of(name: str) -> pl.Expr:
    """Return the id in a key."""
    return pl.col(name).str.extract(r"^([^\t]*)")


def _split_by_gene(tables: Tables) -> Tables:
    """Give transcripts of several genes that share an id keys of their own.

    NCBI has a gene's `unknown_transcript_1` in every other one.
    """
    nodes, *rest = tables
    is_own = pl.col("parent").str.starts_with(GENE_KEY).fill_null(False)
    gene = pl.col("parent").str.strip_prefix(GENE_KEY)
    named = [
        nodes.filter(is_own).select("key", gene=gene),
        *(table.filter(pl.col("gene").is_not_null()).select("gene", key="parent").select("key", "gene") for table in rest),
    ]
    shared = (
        pl.concat([table.unique() for table in named]).unique().filter(pl.col("key").is_duplicated())["key"].drop_nulls().unique()
    )
    if not len(shared):
        return tables
    several = shared.implode()
    nodes = nodes.with_columns(
        key=pl.when(is_own & pl.col("key").is_in(several)).then(pl.format("{}\t\t{}", "key", gene)).otherwise("key")
    )
    told = (
        pl.when(pl.col("gene").is_not_null() & pl.col("parent").is_in(several))
        .then(pl.format("{}\t\t{}", "parent", "gene"))
        .otherwise("parent")
    )
    exons, coding = (table.with_columns(parent=told) for table in rest)
    return nodes, exons, coding


def _with_own_genes(tables: Tables) -> Tables:
    """Give a coding sequence without a parent its own gene, or that of its place; within another gene it is nobody's."""
    nodes, exons, coding = tables
    is_own = pl.col("key").str.starts_with(OWN_KEY)
    if not nodes.select(is_own.any()).item():
        return tables
    own, nodes = nodes.filter(is_own), nodes.filter(~is_own)
    own = (
        own.group_by("key", "contig", "strand", maintain_order=True)
        .agg(pl.min("line", "start"), pl.max("end"), pl.exclude("line", "start", "end").first())
        .select(nodes.columns)
    )
    genes = nodes.filter(pl.col("type").is_in(GENES))
    same = own.join(genes.unique(_PLACE, keep="first").select(*_PLACE, gene="key"), on=_PLACE, maintain_order="left")
    reach = genes.sort("start").select("contig", "strand", "start", reach=pl.col("end").cum_max().over("contig", "strand"))
    own = (
        own.sort("start")
        .join_asof(reach, on="start", by=["contig", "strand"], check_sortedness=False)
        .filter(pl.col("reach").is_null() | (pl.col("reach") < pl.col("end")))
        .drop("reach")
        .sort("line")
    )
    to = pl.concat([own.select("key", gene="key"), same.select("key", "gene")]).unique("key", keep="first", maintain_order=True)
    coding = coding.join(to, left_on="parent", right_on="key", how="left", maintain_order="left", suffix="_own")
    lost = pl.col("gene_own").is_null() & pl.col("parent").str.starts_with(OWN_KEY)
    coding = coding.with_columns(parent=pl.when(~lost.fill_null(False)).then(pl.coalesce("gene_own", "parent"))).drop("gene_own")
    return pl.concat([nodes, own]), exons, coding


def _tell_apart(tables: Tables, circles: Circles) -> Tables:
    """Give nodes that share a key keys of their own.

    Each has the parts that lie in it; of several, the last before them.
    """
    nodes = tables[0].with_columns(copy=pl.int_range(pl.len()).over("key"))
    copies = nodes.filter(pl.col("key").is_duplicated()).select("line", *_PLACE, "copy", parent="key").sort("line")
    nodes = nodes.with_columns(key=copy_key("key", "copy")).drop("copy")
    done = []
    for table in (nodes, *tables[1:]):
        if len(copies):
            own = table.filter(pl.col("parent").is_in(copies["parent"].unique().implode()))
            rest = table.join(own.select("line", "parent"), on=["line", "parent"], how="anti", maintain_order="left")
            table = pl.concat([rest, _assign_copies(own, copies, table is nodes, circles)]).sort("line", maintain_order=True)
        done.append(table.drop("line"))
    return done[0].with_columns(parent=pl.when(pl.col("parent") != pl.col("key")).then("parent")), done[1], done[2]


def _assign_copies(table: pl.DataFrame, copies: pl.DataFrame, are_nodes: bool, circles: Circles) -> pl.DataFrame:
    """Assign parts of nodes that share a key to the keys that these have now."""
    by = ["parent", "contig", "strand"]
    before = copies.select("line", "contig", "strand", "parent", near="copy", low="start", high="end")
    around = copies.sort("start").select("start", "contig", "strand", "parent", other="copy", from_="start", to="end", of="line")
    table = table.sort("line").join_asof(
        before, on="line", by=by, check_sortedness=False, allow_exact_matches=not are_nodes
    )  # nothing is its own parent
    table = table.sort("start").join_asof(around, on="start", by=by, check_sortedness=False)
    anywhere = copies.select("line", "parent", last="copy")
    table = table.sort("line").join_asof(
        anywhere, on="line", by="parent", check_sortedness=False, allow_exact_matches=not are_nodes
    )
    near = pl.when(circles.holds("low", "high")).then("near")
    other = pl.when(circles.holds("from_", "to") & ((pl.col("of") != pl.col("line")) | pl.lit(not are_nodes))).then("other")
    table = table.with_columns(parent=copy_key("parent", pl.coalesce(near, other, "near", "last", 0)))
    return table.drop("near", "low", "high", "other", "from_", "to", "of", "last")


def _with_strands(table: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Give parts without a strand the strand of their parent."""
    if table.select(has_strand("strand").all()).item():
        return table
    known = nodes.select("contig", parent="key", known="strand").unique(["parent", "contig"], keep="first", maintain_order=True)
    table = table.join(known, on=["parent", "contig"], how="left", maintain_order="left")
    return table.with_columns(
        strand=pl.when(~has_strand("strand")).then(pl.coalesce("known", "strand")).otherwise("strand")
    ).drop("known")
