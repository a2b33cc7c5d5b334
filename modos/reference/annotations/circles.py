"""Join features that cross the origin of a circular contig (GFF3 1.26, "Circular Genomes")."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modos.errors import InvalidInputError
from modos.errors.missing import load_late
from modos.reference.annotations.parts import Parts

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")


@dataclass(frozen=True)
class Circles:
    """Numbers of the circular contigs, and the lengths of all in bases."""

    circular: Collection[int]
    lengths: Sequence[int]

    def check(self, parts: Parts, names: Sequence[str], source: str) -> Parts:
        """Return parts that begin on their contigs, with numbers for these; on circular ones they may end beyond the last base.

        Raises
        ------
        InvalidInputError
            Something is beyond the end of a contig that is not circular, or
            goes around more than once.
        """
        return parts.with_tables(lambda table: self._check(table, names, source))

    def _check(self, table: pl.DataFrame, names: Sequence[str], source: str) -> pl.DataFrame:
        lengths = pl.Series(self.lengths, dtype=pl.Int64).gather(table["contig"])
        beyond = table["end"] > lengths
        if not beyond.any():
            return table
        around = pl.col("contig").is_in(list(self.circular)) & (pl.col("end") - pl.col("start") <= lengths)
        fits = table.select(~beyond | around).to_series()
        if not fits.all():
            contig, start, end = table.filter(~fits).select("contig", "start", "end").row(0)
            name, is_circular = names[contig], contig in self.circular
            raise InvalidInputError(
                f"{source}: a line has {name}:{start + 1:,}-{end:,}, "
                f"and {name} of the assembly has {self.lengths[contig]:,} bases",
                "it goes around more than once"
                if is_circular
                else "is it of another assembly? Only GFF3 can say that a contig is circular (Is_circular=true)",
            )
        return self.roll(table)

    def roll(self, table: pl.DataFrame) -> pl.DataFrame:
        """Move everything to where it begins on its contig."""
        if not self.circular:
            return table
        turns = pl.col("start") - pl.col("start") % pl.Series(self.lengths, dtype=pl.Int64).gather(table["contig"])
        return table.with_columns(start=pl.col("start") - turns, end=pl.col("end") - turns)

    def unroll(self, parts: pl.DataFrame, transcripts: pl.DataFrame) -> pl.DataFrame:
        """Unroll parts of transcripts that cross the origin, in the transcripts' order: none begins before its transcript."""
        if not self.circular:
            return parts
        lengths = pl.Series(self.lengths, dtype=pl.Int64)
        first = transcripts["start"].gather(parts["transcript"])
        crosses = (transcripts["end"] > lengths.gather(transcripts["contig"])).gather(parts["transcript"])
        turn = (crosses & (parts["start"] < first)).cast(pl.Int64) * lengths.gather(parts["contig"])
        return parts.with_columns(start=pl.col("start") + turn, end=pl.col("end") + turn)

    def holds(self, low: str, high: str) -> pl.Expr:
        """Return whether each row is between two of its columns, on its contig; false where these have no value."""
        within = (pl.col("start") >= pl.col(low)) & (pl.col("end") <= pl.col(high))
        if self.circular:
            turn = pl.col("contig").replace_strict(
                {code: self.lengths[code] for code in self.circular}, default=0, return_dtype=pl.Int64
            )
            within |= (pl.col("start") + turn >= pl.col(low)) & (pl.col("end") + turn <= pl.col(high))
        return within.fill_null(False)
