"""Questions about many objects, as tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.cli.find import open_place
from modos.cli.output import count, say, show_json, show_rows

if TYPE_CHECKING:
    from modos.genomics.region import RegionLike

_COLUMNS = ("object", "element", "sample", "gene", "exon", "contig", "start", "end", "bases", "below", "least", "mean_depth")


def show_panel(
    place: str,
    genes: str | None,
    regions: Sequence[RegionLike] | None,
    annotation: str | None,
    min_depth: int,
    where: str | None,
    secret_key: Path | None,
    as_json: bool,
    threads: int,
) -> None:
    """Show which exons of genes, or regions, are below a depth somewhere, in each file of reads; positions are 1-based."""
    from modos.errors import InvalidInputError
    from modos.plans import panel_completeness

    if genes is None and regions is None:
        raise InvalidInputError("neither genes nor regions are given", "name them with --genes, -r or -R")
    names = None if genes is None else [name.strip() for name in genes.split(",") if name.strip()]
    found = panel_completeness(
        open_place(place),
        names,
        regions=regions,
        annotation=annotation,
        min_depth=min_depth,
        where=where,
        secret_key=secret_key,
        workers=threads,
    )
    low = [_to_text(row) for row in found.select(_COLUMNS).iter_rows(named=True) if row["below"]]
    if as_json:
        show_json(low)
    else:
        show_rows([_COLUMNS, *(_format(row) for row in low)])
    files = found.select("object", "element").n_unique() if found.height else 0
    say(f"{len(low):,} of {count(found.height, 'region')} in {count(files, 'file')} below {min_depth}x")


def _to_text(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"start": row["start"] + 1}


def _format(row: dict[str, Any]) -> list[str]:
    return ["" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]
