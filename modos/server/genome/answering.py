"""Answer requests of the genome browser: tags of answers, errors of what is in files, numbers that JSON lacks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any

from fastapi import Request, Response

from modos.errors import InvalidInputError
from modos.genomics.region import Region
from modos.server.conditions import check_conditions

KEPT = {"Cache-Control": "private, no-cache"}  # by the browser of the caller, and asked about each time: rights may end


def make_tag(*parts: object) -> str:
    """Make the entity tag of an answer that follows from some parts."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def answer_unchanged(request: Request, tag: str) -> Response | None:
    """Return the answer 304 where a caller has what a tag is of, 412 where they want another; else None."""
    found = check_conditions(request, tag)
    if found is not None:
        found.headers.update(KEPT)
    return found


def to_json_numbers(values: Iterable[float]) -> list[float | str | None]:
    """Return numbers as JSON can have them: None for NaN, `Infinity` and `-Infinity` as text."""
    return [
        None if math.isnan(value) else value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
        for value in values
    ]


def check_width(region: Region, most: int, what: str) -> int:
    """Return the bases of a region with an end; raise InvalidInputError for more than there may be."""
    width = region.limit - region.start
    if width > most:
        raise InvalidInputError(f"{region} has {width:,} bases, and {what} come of {most:,} at most", "ask for a part of it")
    return width


def describe_place(contig: str, start: int, end: int) -> dict[str, Any]:
    """Describe a place, 0-based half-open."""
    return {"contig": contig, "start": start, "end": end}
