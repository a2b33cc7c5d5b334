"""Features of an annotation, with their columns and the features they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from modos.errors import InvalidInputError
from modos.errors.escaping import escape_line
from modos.errors.missing import load_late
from modos.formats.html_tables import MOST_ROWS, always, write_table
from modos.genomics.region import Region
from modos.reference.annotations.intervals import Numbers

if TYPE_CHECKING:
    import pandas
    import polars as pl
    import pyarrow

    from modos.reference.annotations.table import FeatureTable
else:
    pl = load_late("polars")


class Features(Sequence["Feature"]):
    """Some features of a table, in the order in which they were found."""

    __slots__ = ("_rows", "table")

    def __init__(self, table: FeatureTable, rows: Any):
        self.table = table
        self._rows = rows

    @property
    def rows(self) -> Numbers:
        """Row numbers of the features: shape (n,), int64."""
        return np.arange(len(self.table)) if self._rows is None else np.asarray(self._rows, np.int64)

    def __len__(self) -> int:
        return len(self.table) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, which: int) -> Feature: ...
    @overload
    def __getitem__(self, which: slice) -> Features: ...

    def __getitem__(self, which: int | slice) -> Feature | Features:
        if isinstance(which, slice):
            return Features(self.table, self.rows[which])
        return Feature(self.table, int((range(len(self.table)) if self._rows is None else self._rows)[which]))

    def __iter__(self) -> Iterator[Feature]:
        rows = range(len(self.table)) if self._rows is None else self._rows
        return map(partial(Feature, self.table), rows.tolist() if isinstance(rows, np.ndarray) else rows)

    def among(self, others: Features) -> Features:
        """Keep the features that are also in others of the same table."""
        own = set(others.rows.tolist())
        return Features(self.table, [row for row in self.rows.tolist() if row in own])

    def __repr__(self) -> str:
        return escape_line(f"<{len(self):,} x {self.table.kind} of {self.table.manifest.name}>")

    @always
    def _repr_html_(self) -> str:
        slots = ("id", "name") if self.table.kind in ("gene", "transcript") else ("number",)
        rows = ((one.region, one.strand, *(getattr(one, slot) for slot in slots)) for one in self[:MOST_ROWS])
        return write_table(repr(self).strip("<>"), rows, ("region", "strand", *slots), total=len(self))

    def to_polars(self, ids: bool = False) -> pl.DataFrame:
        """Return their columns, positions 0-based half-open.

        Parameters
        ----------
        ids
            Give the ids of genes and transcripts that they belong to, in the
            place of row numbers.
        """
        table = self.table.to_polars()
        chosen = table if self._rows is None else table[self.rows]
        links = {kind: self.table.siblings[kind] for kind in ("gene", "transcript") if ids and kind in chosen.columns}
        return chosen.with_columns(other.column("id").gather(chosen[kind]).alias(kind) for kind, other in links.items())

    def to_arrow(self) -> pyarrow.Table:
        """Return their columns; takes pyarrow."""
        _need("pyarrow")
        import pyarrow

        return pyarrow.table(self.to_polars())

    def to_pandas(self) -> pandas.DataFrame:
        """Return their columns; takes pandas."""
        _need("pandas")
        import pandas

        return pandas.DataFrame({name: values.to_numpy() for name, values in self.to_polars().to_dict().items()})


def _need(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise InvalidInputError(
            f"this takes {package}, which is not installed", f"pip install {package}; `to_polars` takes nothing else"
        )


def _column(name: str, doc: str) -> Any:
    """Make a property for a column that is used often, without `__getattr__` once it is loaded."""

    def get(feature: Feature) -> Any:
        try:
            return feature.table.loaded[name][feature.row]
        except KeyError:
            return feature.__getattr__(name)

    return property(get, doc=doc)


class Feature:
    """Feature whose columns are attributes; positions are 0-based half-open."""

    __slots__ = ("row", "table")

    contig = _column("contig", "Its contig, by the name that the assembly has for it.")
    start = _column("start", "Its first base.")
    end = _column("end", "The base after its last one.")
    strand = _column("strand", "`+` or `-`.")
    id = _column("id", "Of a gene, a transcript or an exon.")
    name = _column("name", "Of a gene or a transcript.")

    def __init__(self, table: FeatureTable, row: int):
        self.table = table
        self.row = row

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.table.values(name)[self.row]
        except pl.exceptions.ColumnNotFoundError:
            raise AttributeError(f"a {self.table.kind} has no {name}") from None

    @property
    def kind(self) -> str:
        """gene, transcript, exon, intron, cds or utr."""
        return self.table.kind

    @property
    def region(self) -> Region:
        """Region of the feature."""
        return Region(self.contig, self.start, self.end)

    @property
    def gene(self) -> Feature:
        """The gene that it belongs to, or itself."""
        if self.kind == "gene":
            return self
        transcript = self if self.kind == "transcript" else self.transcript
        return Feature(self.table.siblings["gene"], transcript.table.values("gene")[transcript.row])

    @property
    def transcript(self) -> Feature:
        """The transcript that it belongs to, or itself; raise AttributeError for a gene."""
        if self.kind == "transcript":
            return self
        if self.kind == "gene":
            raise AttributeError("a gene has transcripts")
        return Feature(self.table.siblings["transcript"], self.table.values("transcript")[self.row])

    @property
    def transcripts(self) -> Features:
        """Transcripts of a gene, by start."""
        transcripts = self.table.siblings["transcript"]
        return Features(transcripts, transcripts.children("gene", self.gene.row))

    @property
    def exons(self) -> Features:
        """Exons of a transcript, from its 5' end."""
        return self._parts("exon")

    @property
    def introns(self) -> Features:
        """Introns of a transcript, from its 5' end."""
        return self._parts("intron")

    @property
    def cds(self) -> Features:
        """The coding stretches of a transcript, from its 5' end, with the stop codon."""
        return self._parts("cds")

    @property
    def utrs(self) -> Features:
        """The untranslated stretches of a transcript, from its 5' end."""
        return self._parts("utr")

    def _parts(self, kind: str) -> Features:
        table = self.table.siblings[kind]
        return Features(table, table.children("transcript", self.transcript.row))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feature) and (self.table, self.row) == (other.table, other.row)

    def __hash__(self) -> int:
        return hash((id(self.table), self.row))

    def __repr__(self) -> str:
        label = self.id if self.kind in ("gene", "transcript") else f"{self.number} of {self.transcript.id}"
        return f"<{self.kind} {label}, {self.region}{self.strand}>"
