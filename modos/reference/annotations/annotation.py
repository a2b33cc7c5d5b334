"""An annotation with its genes, transcripts, exons, introns, coding stretches and UTRs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modos.errors import InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line
from modos.errors.missing import load_late
from modos.formats.html_tables import always, write_table
from modos.reference.annotations.building import KINDS
from modos.reference.annotations.features import Feature, Features
from modos.reference.annotations.parquet_files import Manifest, TableFile
from modos.reference.annotations.table import FeatureTable

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")


class Annotation:
    """An annotation of an assembly, to be asked.

    ::

        for transcript in annotation.transcripts.overlap("chr1:1,000-2,000", strand="+"):
            print(transcript.id, transcript.gene.name, [exon.region for exon in transcript.exons])

    Parameters
    ----------
    manifest
        What it is.
    names
        The contigs of the assembly by each of their names.
    locate
        Gives the file of a table, fetched when it is first needed.
    lengths
        Of the assembly's contigs in bases, by each of their names, where they are known.
    """

    def __init__(
        self,
        manifest: Manifest,
        names: Mapping[str, str],
        locate: Callable[[TableFile], Path],
        lengths: Mapping[str, int] | None = None,
    ):
        self.manifest = manifest
        self.lengths = lengths or {}
        numbers = {contig: number for number, contig in enumerate(manifest.contigs)}
        self.codes = {name: numbers[contig] for name, contig in names.items() if contig in numbers} | numbers
        self._tables: dict[str, FeatureTable] = {}
        for kind in KINDS:
            self._tables[kind] = FeatureTable(kind, manifest, self.codes, self._tables, partial(locate, manifest.tables[kind]))
        self.genes, self.transcripts, self.exons, self.introns, self.cds, self.utrs = self._tables.values()

    @property
    def name(self) -> str:
        """In its store."""
        return self.manifest.name

    @property
    def assembly(self) -> str:
        """The name of its assembly."""
        return self.manifest.assembly

    def table(self, kind: str) -> FeatureTable:
        """Return the features of a kind; raise InvalidInputError if there is no such kind."""
        if kind not in self._tables:
            raise InvalidInputError(f"there is no {kind} in an annotation", f"there are {', '.join(self._tables)}")
        return self._tables[kind]

    def gene(self, name: str) -> Feature:
        """Find a gene by its name, id, or cross-reference (`GeneID:672`); raise NotFoundError if there is none, or several."""
        named = self.genes.named(name)
        if not named:
            try:
                return self.genes[name]
            except NotFoundError:
                if ":" not in name or not (named := self.genes.with_xref(name)):
                    raise
        if len(named) > 1:
            raise NotFoundError(
                f"{self.name} has {len(named)} genes {name}", f"give one of the ids {', '.join(gene.id for gene in named)}"
            )
        return named[0]

    def of_gene(self, kind: str, gene: str) -> Features:
        """Return the features of a kind that belong to a gene, by position; for the kind of genes, the gene itself."""
        table, found = self.table(kind), self.gene(gene)
        if kind == "gene":
            return Features(table, [found.row])
        transcripts = found.transcripts
        if kind == "transcript":
            return transcripts
        return Features(
            table, sorted(row for transcript in transcripts.rows.tolist() for row in table.children("transcript", transcript))
        )

    def mane_select(self, gene: str | None = None) -> Features:
        """Return the transcripts that MANE has chosen, of a gene or of all (Morales et al. 2022)."""
        return self._choose(pl.col("mane") == "select", gene)

    def mane_plus_clinical(self, gene: str | None = None) -> Features:
        """Return the further transcripts that MANE has for clinical variants, of a gene or of all."""
        return self._choose(pl.col("mane") == "plus_clinical", gene)

    def appris(self, gene: str | None = None, principal: bool = True) -> Features:
        """Return the transcripts that APPRIS has annotated, the best first (Rodriguez et al. 2022).

        Parameters
        ----------
        gene
            Of this one, by id or name; of all, by their place, where it is None.
        principal
            Only principal ones, not the alternatives.
        """
        chosen = self._choose(
            pl.col("appris").str.starts_with("principal") if principal else pl.col("appris").is_not_null(), gene
        )
        if gene is None:
            return chosen
        return Features(chosen.table, sorted(chosen.rows.tolist(), key=lambda row: _rank(chosen.table.column("appris")[row])))

    def _choose(self, condition: pl.Expr, gene: str | None) -> Features:
        chosen = self.transcripts.where(condition)
        if gene is None:
            return chosen
        return chosen.among(self.gene(gene).transcripts)

    def __repr__(self) -> str:
        text = f"<annotation {self.name} of {self.assembly}: {len(self.genes):,} genes, {len(self.transcripts):,} transcripts>"
        return escape_line(text)

    @always
    def _repr_html_(self) -> str:
        rows = [(kind, f"{rows:,}") for kind, rows in self.manifest.rows.items()]
        return write_table(f"annotation {self.name} of {self.assembly}", [*rows, ("from", self.manifest.source)])


def _rank(appris: str) -> tuple[bool, str]:
    return not appris.startswith("principal"), appris
