"""Find genes by what people call them: an id, with or without its version, or a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modos.errors import did_you_mean
from modos.errors.missing import load_late
from modos.reference.annotations.building import build, place
from modos.reference.annotations.circles import Circles
from modos.reference.annotations.parts import Parts

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

COLUMNS = ["id", "name", "contig", "start", "end"]
_VERSION = r"\.\d+($|_PAR_Y$)"  # of an id; the genes of GENCODE that are on X and Y have the same one


def find_genes(genes: pl.DataFrame, text: str) -> pl.DataFrame:
    """Find the genes that have an id; else those that have it with a version; else those that have it as name."""
    id = pl.col("id")
    for condition in (id == text, id.str.replace(_VERSION, "$1") == text, pl.col("name") == text):
        found = genes.filter(condition)
        if len(found):
            break
    return found


def search_genes(genes: pl.DataFrame, words: str, most: int) -> list[dict[str, Any]]:
    """Search genes by how a name or id begins, in upper or lower case.

    Returns
    -------
    list
        The columns of each, positions 0-based half-open, with `match`: `exact` for those that are called so, which come
        first, and `prefix` for those whose names begin so, the shortest first; at most so many of each.
    """
    text = words.strip().lower()
    id, name = pl.col("id").str.to_lowercase(), pl.col("name").str.to_lowercase()
    is_same = ((name == text) | (id == text) | (id.str.replace(_VERSION, "$1") == text)).fill_null(False)
    begins = name.str.starts_with(text).fill_null(False) & ~is_same
    table = genes.select(COLUMNS)
    found = {
        "exact": table.filter(is_same).head(most),
        "prefix": table.filter(begins).sort(pl.col("name").str.len_chars(), "name").head(most),
    }
    return [{**row, "match": match} for match, rows in found.items() for row in rows.iter_rows(named=True)]


def suggest_gene(genes: pl.DataFrame, text: str) -> str | None:
    """Suggest the gene name nearest to a misspelt one, or its id, if one is near."""
    return did_you_mean(text, genes["name"].drop_nulls().unique(maintain_order=True)) or did_you_mean(
        text, genes["id"].drop_nulls()
    )


def collect_genes(parts: list[Parts], names: dict[str, str], lengths: dict[str, int], source: str) -> pl.DataFrame:
    """Collect the genes of a file that are on some contigs; parameters and errors as of `collect_tables`."""
    return collect_tables(parts, names, lengths, source)["gene"].select(COLUMNS)


def collect_tables(parts: list[Parts], names: dict[str, str], lengths: dict[str, int], source: str) -> dict[str, pl.DataFrame]:
    """Collect the tables of a file, by kind, with what is on some contigs.

    Parameters
    ----------
    names
        The contigs by each of their names.
    lengths
        In bases, by contig.

    Raises
    ------
    InvalidInputError
        Something is beyond the end of a contig.
    """
    numbers = {contig: number for number, contig in enumerate(lengths)}
    codes = {name: numbers[contig] for name, contig in names.items()}
    placed = Parts.join([place(part, codes, source, True)[0] for part in parts])
    circles = Circles({codes[name] for name in placed.circular if name in codes}, list(lengths.values()))
    contigs = pl.Series(list(lengths), dtype=pl.String)
    built = build(circles.check(placed, list(lengths), source), circles).tables
    return {kind: table.with_columns(contig=contigs.gather(table["contig"])) for kind, table in built.items()}
