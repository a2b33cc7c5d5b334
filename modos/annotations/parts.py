"""What an annotation is built of, as files have it: genes and transcripts, exons, and stretches that are translated."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

import polars as pl

from modos.annotations.lines import Lines

PLACE = ("contig", "start", "end", "strand")
LINE = ("line", *PLACE)
NODE = ("key", "id", "parent", "type", "name", "biotype", "level", "support", "tags", "protein", "ccds")
_EXON, _CDS, _STOP = ("exon", "pseudogenic_exon"), "CDS", "stop_codon"
_OTHER_PARTS = ("five_prime_UTR", "three_prime_UTR", "UTR", "five_prime_utr", "three_prime_utr", "start_codon", "intron",
                "stop_codon_redefined_as_selenocysteine", "Selenocysteine", "5UTR", "3UTR", "inter", "inter_CNS", "intron_CNS",
                "transcription_start_site", "transcription_end_site", "TSS", "tts", "tss", "polyA_site")
PREFIX = r"^(?:gene:|transcript:|gene-|rna-)"  # that Ensembl and NCBI put before names


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
        With `parent`, `gene`, `phase`, `protein` (an id), and whether each `is_stop`,
        a stop codon that the file does not count as translated.
    """

    nodes: pl.DataFrame
    exons: pl.DataFrame
    coding: pl.DataFrame

    @classmethod
    def join(cls, pieces: list[Parts]) -> Parts:
        """All of them in one."""
        return cls(*(pl.concat([getattr(piece, name) for piece in pieces]) for name in ("nodes", "exons", "coding")))


def parts_of(lines: Lines) -> Parts:
    """What a piece of a GFF3 or GTF file tells."""
    table, attribute = lines.table, lines.attribute
    parent = attribute("transcript_id") if lines.is_gtf else attribute("Parent")
    gene = attribute("gene_id") if lines.is_gtf else pl.lit(None, pl.String)
    exons = table.filter(pl.col("type").is_in(_EXON)).select(
        *LINE, parent=parent, gene=gene,
        id=attribute("exon_id") if lines.is_gtf else pl.coalesce(attribute("exon_id"), attribute("ID").str.replace(r"^exon[:-]", "")))
    coding = table.filter(pl.col("type").is_in([_CDS, _STOP] if lines.is_gtf else [_CDS])).select(
        *LINE, parent=parent, gene=gene, phase=pl.col("phase").cast(pl.UInt8, strict=False), is_stop=pl.col("type") == _STOP, protein=attribute("protein_id"))
    nodes = table.filter(~pl.col("type").is_in([*_EXON, _CDS, _STOP, *_OTHER_PARTS]))
    if lines.is_gtf:
        return Parts(_nodes_of(lines, nodes), exons, coding)
    return Parts(*map(_decoded, (_nodes_of(lines, nodes), _one_parent(exons), _one_parent(coding))))


def _decoded(table: pl.DataFrame) -> pl.DataFrame:
    """GFF3 with what it writes as %28 and the like; an attribute is divided before."""
    for name, kind in table.schema.items():
        if kind == pl.String and table[name].str.contains("%", literal=True).any():
            escaped = pl.col(name).str.contains("%", literal=True)
            table = table.with_columns(pl.when(escaped).then(pl.col(name).map_elements(unquote, pl.String)).otherwise(name).alias(name))
    return table


def _one_parent(table: pl.DataFrame) -> pl.DataFrame:
    """Lines that several transcripts share, once for each."""
    if not table.select(pl.col("parent").str.contains(",", literal=True).any()).item():
        return table
    return table.with_columns(pl.col("parent").str.split(",")).explode("parent")


def _nodes_of(lines: Lines, table: pl.DataFrame) -> pl.DataFrame:
    attribute = lines.attribute
    is_gene = pl.col("type") == "gene"
    if lines.is_gtf:
        key = pl.when(is_gene).then(attribute("gene_id")).otherwise(attribute("transcript_id"))
        parent = pl.when(~is_gene).then(attribute("gene_id"))
    else:
        key, parent = attribute("ID"), attribute("Parent").str.extract("^([^,]*)")
    gene_name = pl.coalesce(attribute("gene_name"), attribute("Name"), attribute("gene"))
    gene_type = pl.coalesce(attribute("gene_type"), attribute("gene_biotype"), attribute("biotype"))
    name = pl.coalesce(attribute("transcript_name"), attribute("Name"))
    biotype = pl.coalesce(attribute("transcript_type"), attribute("transcript_biotype"), attribute("biotype"))
    return table.select(
        *LINE, key=key, id=key.str.replace(PREFIX, ""), parent=parent, type=pl.col("type"), name=pl.when(parent.is_null()).then(gene_name).otherwise(name),
        biotype=pl.when(parent.is_null()).then(gene_type).otherwise(biotype), level=attribute("level").cast(pl.UInt8, strict=False),
        support=attribute("transcript_support_level").str.extract(r"^(\S+)"), tags=lines.tags(), protein=attribute("protein_id"),
        ccds=pl.coalesce(attribute("ccdsid"), attribute("ccds_id"))).filter(pl.col("key").is_not_null())
