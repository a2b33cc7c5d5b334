"""Split annotation files into the parts that tables are built from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from modos.errors.missing import load_late
from modos.reference.annotations.lines import Lines

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

PLACE = ("contig", "start", "end", "strand")
LINE = ("line", *PLACE)
NODE = (
    "key",
    "id",
    "parent",
    "type",
    "name",
    "biotype",
    "level",
    "support",
    "tags",
    "protein",
    "ccds",
    "version",
    "xrefs",
    "description",
)
GENES = (
    "gene",
    "pseudogene",
    "ncRNA_gene",
    "protein_coding_gene",
    "transposable_element_gene",
    "tRNA_gene",
    "rRNA_gene",
    "snoRNA_gene",
)
GENE_KEY = "gene\t"  # before the names of genes: a transcript may have the same
OWN_KEY = "CDS\t"  # before the ids of coding stretches that are genes of their own
PREFIX = (
    r"^(?:gene\t)?(?:[Gg]ene:|[Tt]ranscript:|Pseudogene:|gene-|rna-)?"  # what Ensembl, NCBI and WormBase put before names, too
)
_EXON, _CDS, _STOP = ("exon", "pseudogenic_exon"), "CDS", "stop_codon"
_COMPUTED = (
    "five_prime_UTR",
    "three_prime_UTR",
    "UTR",
    "five_prime_utr",
    "three_prime_utr",
    "start_codon",
    "intron",
    "5UTR",
    "3UTR",
)
_OTHER_PARTS = (
    "stop_codon_redefined_as_selenocysteine",
    "Selenocysteine",
    "inter",
    "inter_CNS",
    "intron_CNS",
    "transcription_start_site",
    "transcription_end_site",
    "TSS",
    "tts",
    "tss",
    "polyA_site",
)
_GTF_NODES = "(?i)(?:gene|rna|transcript|segment)$"
_CIRCULAR = r"(?i)(?:^|;\s*)Is_circular=true"
_NAMES = (
    "ID",
    "gene_id",
    "transcript_id",
    "gene_name",
    "gene_symbol",
    "locus",
    "Name",
    "gene",
    "transcript_name",
    "transcript_symbol",
    "gene_type",
    "gene_biotype",
    "biotype",
    "transcript_type",
    "transcript_biotype",
    "level",
    "transcript_support_level",
    "protein_id",
    "protein_version",
    "ccdsid",
    "ccds_id",
    "gene_version",
    "transcript_version",
    "version",
    "hgnc_id",
    "mgi_id",
    "havana_gene",
    "havana_transcript",
    "description",
    "product",
)
_LISTS = ("Parent", "tag", "Dbxref", "db_xref")


@dataclass(frozen=True)
class Parts:
    """Pieces of an annotation; every table has its lines' order, contig, start, end (0-based half-open) and strand.

    Parameters
    ----------
    nodes
        Genes, transcripts and whatever else has an id, with the columns NODE.
    exons
        With `parent`, `gene` (which GTF has in every line) and `id`.
    coding
        With `parent`, `gene`, `phase`, `protein` (an id) and `product` (what it is), and whether each `is_stop`, a stop
        codon that the file does not count as translated.
    circular
        The contigs that are said to be circular: what crosses their origin
        ends beyond their last base.
    unused
        How many lines of each type have no id, or no place in an annotation.
    left_out
        What else is not in the tables, in words with numbers.
    """

    nodes: pl.DataFrame
    exons: pl.DataFrame
    coding: pl.DataFrame
    circular: frozenset[str] = frozenset()
    unused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Nodes, exons and coding stretches."""
        return self.nodes, self.exons, self.coding

    def with_tables(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Parts:
        """Return the same with each table changed: nodes, exons and coding sequences, one after the other."""
        return replace(self, nodes=change(self.nodes), exons=change(self.exons), coding=change(self.coding))

    @classmethod
    def join(cls, pieces: list[Parts]) -> Parts:
        """Join all parts into one."""
        nodes, exons, coding = (pl.concat(tables) for tables in zip(*(piece.tables for piece in pieces)))
        return cls(
            nodes,
            exons,
            coding,
            circular=frozenset[str]().union(*(piece.circular for piece in pieces)),
            unused=sum((piece.unused for piece in pieces), Counter()),
            left_out=sum((piece.left_out for piece in pieces), Counter()),
        )


def parts_of(lines: Lines) -> Parts:
    """Extract the parts of an annotation from a piece of a GFF3 or GTF file."""
    table, type = lines.table, pl.col("type")
    exons = _exons_of(lines, table.filter(type.is_in(_EXON)))
    coding = _coding_of(lines, table.filter(type.is_in([_CDS, _STOP] if lines.is_gtf else [_CDS])))
    rest = table.filter(~type.is_in([*_EXON, _CDS, _STOP, *_COMPUTED]))
    candidates = rest.filter(~type.is_in(_OTHER_PARTS))
    nodes = _nodes_of(lines, candidates.filter(type.str.contains(_GTF_NODES)) if lines.is_gtf else candidates)
    several = nodes.filter(pl.col("parent").str.contains(",", literal=True).fill_null(False))
    nodes = nodes.with_columns(parent=pl.col("parent").str.extract("^([^,]+)"))
    named = nodes.filter(pl.col("key").is_not_null())
    if not lines.is_gtf:
        coding, own = _own_genes(lines, coding, table.filter(type == _CDS))
    unused = Counter(dict(rest["type"].value_counts().iter_rows())) - Counter(dict(named["type"].value_counts().iter_rows()))
    circular = rest.filter(pl.col("attributes").str.contains(_CIRCULAR))["contig"]
    is_escaped = lines.is_escaped and not lines.is_gtf
    if is_escaped:
        circular = _decode(circular.to_frame())["contig"]
    further = {"further parents of a line that has one already": len(several)} if len(several) else {}
    parts = Parts(
        named if lines.is_gtf else pl.concat([named, own]), exons, coding, frozenset(circular.unique()), unused, Counter(further)
    )
    return parts.with_tables(_decode) if is_escaped else parts


def _exons_of(lines: Lines, table: pl.DataFrame) -> pl.DataFrame:
    if lines.is_gtf:
        return table.select(
            *LINE, parent=lines.attribute("transcript_id"), gene=lines.attribute("gene_id"), id=lines.attribute("exon_id")
        )
    exons = table.select(*LINE, parent=lines.attribute("Parent"), gene=pl.lit(None, pl.String), id=lines.attribute("exon_id"))
    if exons["id"].null_count():
        own = table.select(own=lines.attribute("ID").str.replace(r"^exon[:-]", ""))["own"]
        exons = exons.with_columns(id=pl.coalesce("id", own))
    return _split_parents(exons)


def _coding_of(lines: Lines, table: pl.DataFrame) -> pl.DataFrame:
    protein, product = (
        lines.attribute("protein_id"),
        lines.words("product") if _mentions(table, "product") else pl.lit(None, pl.String),
    )
    if _mentions(table, "version"):
        version = lines.attribute("protein_version" if lines.is_gtf else "version")
        protein = pl.coalesce(pl.format("{}.{}", protein, version), protein)
    parent, gene = (
        (lines.attribute("transcript_id"), lines.attribute("gene_id"))
        if lines.is_gtf
        else (lines.attribute("Parent"), pl.lit(None, pl.String))
    )
    coding = table.select(
        *LINE,
        parent=parent,
        gene=gene,
        phase=pl.col("phase").cast(pl.UInt8, strict=False),
        is_stop=pl.col("type") == _STOP,
        protein=protein,
        product=product,
    )
    return coding if lines.is_gtf else _split_parents(coding)


def _own_genes(lines: Lines, coding: pl.DataFrame, table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return coding stretches, and nodes for those that name no parent (Prokka has no genes).

    What is derived from another gene is no gene.
    """
    text = pl.col("attributes")
    alone = table.filter(lines.attribute("Parent").is_null() & ~text.str.contains(r"(?:^|;\s*)Derives_from="))
    keys = alone.select(
        "line", own=pl.format(OWN_KEY + "{}", pl.coalesce(lines.attribute("ID"), lines.attribute("locus_tag")))
    ).drop_nulls()
    alone = alone.join(keys, on="line", how="semi", maintain_order="left")
    coding = (
        coding.join(keys, on="line", how="left", maintain_order="left")
        .with_columns(parent=pl.coalesce("parent", "own"))
        .drop("own")
    )
    tag, gene = lines.attribute("locus_tag"), pl.coalesce(lines.attribute("gene"), lines.attribute("Name"))
    more = alone.select(tag=tag, gene=gene)
    own = _nodes_of(lines, alone).with_columns(key=keys["own"], id=pl.coalesce(more["tag"], pl.col("id")), type=pl.lit("gene"))
    return coding, own.with_columns(name=pl.coalesce(more["gene"], "name"), parent=pl.lit(None, pl.String))


def _mentions(table: pl.DataFrame, word: str) -> bool:
    return bool(table["attributes"].str.contains(word, literal=True).any())


def _decode(table: pl.DataFrame) -> pl.DataFrame:
    """Decode %28 and the like in GFF3; an attribute is divided before."""
    for name, kind in table.schema.items():
        if kind == pl.String and table[name].str.contains("%", literal=True).any():
            escaped = pl.col(name).str.contains("%", literal=True)
            table = table.with_columns(
                pl.when(escaped).then(pl.col(name).map_elements(unquote, pl.String)).otherwise(name).alias(name)
            )
    return table


def _split_parents(table: pl.DataFrame) -> pl.DataFrame:
    """Split lines that several transcripts share, into one for each."""
    if not table.select(pl.col("parent").str.contains(",", literal=True).any()).item():
        return table
    return table.with_columns(_split_list("parent")).explode("parent")


def _split_list(name: str) -> pl.Expr:
    """Split at commas: each item once, without empty ones (`Parent=X,`)."""
    return (
        pl.col(name)
        .str.split(",")
        .list.eval(pl.element().str.strip_chars().replace("", None).drop_nulls())
        .list.unique(maintain_order=True)
    )


def _nodes_of(lines: Lines, table: pl.DataFrame) -> pl.DataFrame:
    """Select the lines that have an id, or might; parents with commas between."""
    attributes = lines.columns(table, _NAMES, _LISTS)
    own = table.select(*LINE, "type").hstack(attributes)
    if lines.is_gtf:
        is_gene = (pl.col("type") == "gene") | (pl.col("type").is_in(GENES) & pl.col("transcript_id").is_null())
        name = pl.when(is_gene).then("gene_id").otherwise("transcript_id")
        gene = pl.format(GENE_KEY + "{}", "gene_id")
        own = own.with_columns(
            own=name, key=pl.when(is_gene).then(gene).otherwise("transcript_id"), Parent=pl.when(~is_gene).then(gene)
        )
    else:
        own = own.with_columns(own="ID", key="ID", Parent=_split_list("Parent").list.join(",").replace("", None))
    is_top = pl.col("Parent").is_null()
    name = (
        pl.when(is_top)
        .then(pl.coalesce("gene_name", "gene_symbol", "locus", "Name", "gene"))
        .otherwise(pl.coalesce("transcript_name", "transcript_symbol", "Name"))
    )
    biotype = (
        pl.when(is_top)
        .then(pl.coalesce("gene_type", "gene_biotype", "biotype"))
        .otherwise(pl.coalesce("transcript_type", "transcript_biotype", "biotype"))
    )
    version = pl.when(is_top).then(pl.coalesce("gene_version", "version")).otherwise(pl.coalesce("transcript_version", "version"))
    xrefs = pl.concat_str(
        "Dbxref",
        "db_xref",
        "hgnc_id",
        "mgi_id",
        pl.when(is_top).then("havana_gene").otherwise("havana_transcript"),
        separator=",",
        ignore_nulls=True,
    )
    return own.select(
        *LINE,
        "key",
        id=pl.col("own").str.replace(PREFIX, ""),
        parent="Parent",
        type="type",
        name=name,
        biotype=biotype,
        level=pl.col("level").cast(pl.UInt8, strict=False),
        support=pl.col("transcript_support_level").str.extract(r"^(\S+)"),
        tags="tag",
        protein=pl.coalesce(pl.format("{}.{}", "protein_id", "protein_version"), "protein_id"),
        ccds=pl.coalesce("ccdsid", "ccds_id"),
        version=version,
        xrefs=xrefs.replace("", None),
        description=pl.coalesce("description", "product"),
    )
