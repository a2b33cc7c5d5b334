"""Tell who wants a page from who wants JSON, by the header Accept (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

VARY = {"Vary": "Accept"}


def prefers_html(accept: str) -> bool:
    """Return whether a header Accept likes HTML better than JSON: those of browsers do, `*/*` and none do not."""
    ranges = _parse(accept)
    return _quality(ranges, "text", "html") > _quality(ranges, "application", "json")


def wants_page(scope: Scope) -> bool:
    """Return whether a request asks for a page."""
    return scope["method"] in ("GET", "HEAD") and prefers_html(Headers(scope=scope).get("Accept", ""))


class PageRoute(APIRoute):
    """Route that only requests for pages match; all others find the next one of its path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for this route (starlette)."""
        match, found = super().matches(scope)
        if match != Match.NONE and not wants_page(scope):
            return Match.NONE, {}
        return match, found


def _parse(accept: str) -> dict[tuple[str, str], float]:
    """Return the quality of each media range; one that cannot be read is none."""
    found: dict[tuple[str, str], float] = {}
    for given in accept.split(",")[:100]:
        media, *parameters = (part.strip() for part in given.split(";"))
        kind, slash, subtype = media.lower().partition("/")
        if slash and kind and subtype:
            found[kind, subtype] = max(found.get((kind, subtype), 0.0), _parse_quality(parameters))
    return found


def _parse_quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _quality(ranges: dict[tuple[str, str], float], kind: str, subtype: str) -> float:
    """Return the quality of a media type: that of the range that names it best."""
    named: Any = (ranges.get(name) for name in ((kind, subtype), (kind, "*"), ("*", "*")))
    return next((quality for quality in named if quality is not None), 0.0)
