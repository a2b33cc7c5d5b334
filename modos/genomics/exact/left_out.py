"""Say which fields and tags of reads are left out, of bounds and a query together."""

from __future__ import annotations

from modos.genomics.blanking import Blanking
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.query import FIELDS, Query


def combine(bounds: Bounds, query: Query | None) -> Blanking | None:
    """Combine what may be given with what is wanted; None where nothing is left out."""
    wanted = query or Query()
    kept = tuple(
        name for name in FIELDS if (not bounds.fields or name in bounds.fields) and (not wanted.fields or name in wanted.fields)
    )
    notags = {*bounds.notags, *wanted.notags}
    lists = [frozenset(tags) for tags in (bounds.tags, wanted.tags) if tags is not None]
    tags = None if not lists else tuple(sorted(frozenset.intersection(*lists) - notags))
    if len(kept) == len(FIELDS) and tags is None and not notags:
        return None
    return Blanking(Query(tags=tags, notags=() if tags is not None else tuple(sorted(notags))), kept=kept)
