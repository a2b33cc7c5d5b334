"""Evaluate conditional requests (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import re

from fastapi import Request, Response

_TAG = re.compile(r'(?:W/)?"[^"]*"')


def name_version(*parts: object) -> dict[str, str]:
    """Return a header by which pages tell whether two answers are of the same content, from what that follows from."""
    return {"Modos-Version": hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}


def entity_tag(tag: str) -> str:
    """Format the tag of a storage for HTTP."""
    return tag if _TAG.fullmatch(tag) else f'"{tag}"'


def check_conditions(request: Request, tag: str) -> Response | None:
    """Return the answer in the place of a file of a tag, 412 or 304, where a condition is not met; else None."""
    headers = {"ETag": tag}
    wanted, known = (_read_header(request, name) for name in ("if-match", "if-none-match"))
    if wanted is not None and not _matches(wanted, tag, weakly=False):
        return Response(status_code=412, headers=headers)
    if known is not None and _matches(known, tag, weakly=True):
        return Response(status_code=304, headers=headers)
    return None


def wants_part(request: Request, tag: str) -> bool:
    """Return whether to honour the header Range: not where If-Range is about another file, by its tag or a date."""
    given = _read_header(request, "if-range")
    return given is None or (given.strip() == tag and not tag.startswith("W/"))


def _read_header(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def _matches(given: str, tag: str, *, weakly: bool) -> bool:
    if given.strip() == "*":
        return True
    tags = _TAG.findall(given)
    return (
        tag.removeprefix("W/") in [one.removeprefix("W/") for one in tags] if weakly else tag in tags and not tag.startswith("W/")
    )
