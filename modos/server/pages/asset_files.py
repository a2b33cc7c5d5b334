"""Give out the styles and scripts of the pages."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from modos.errors import NotFoundError
from modos.server.conditions import check_conditions

ASSETS = Path(__file__).parent / "assets"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LONG = "public, max-age=31536000, immutable"  # of an address that has the digest
_SHORT = "public, no-cache"


@dataclass(frozen=True)
class Asset:
    """File that pages load, whole, and the digest that its address carries."""

    content: bytes
    media_type: str
    digest: str


def create_router() -> APIRouter:
    """Create the endpoint of the files of the folder; they hold nothing of anybody, and need no right."""
    router = APIRouter()

    @router.get("/assets/{name}", include_in_schema=False)
    def give_asset(request: Request, name: str, v: Annotated[str, Query(max_length=100)] = "") -> Response:
        """Return a style or a script."""
        found = find_asset(name)
        if found is None:
            raise NotFoundError(f"there is no asset {name}")
        return answer_asset(request, found, v)

    return router


def answer_asset(request: Request, found: Asset, version: str) -> Response:
    """Answer with a file: kept for a year under an address that has its digest, asked about again under any other."""
    tag = f'"{found.digest}"'
    answer = check_conditions(request, tag) or Response(found.content, media_type=found.media_type)
    answer.headers["ETag"] = tag
    answer.headers["Cache-Control"] = _LONG if version == found.digest else _SHORT
    return answer


@cache
def find_asset(name: str) -> Asset | None:
    """Find a file of the folder; None if there is none of that name, or it is not of the kinds that pages load."""
    path = ASSETS / name
    media_type = _TYPES.get(path.suffix)
    if not _NAME.fullmatch(name) or media_type is None or name not in _list_names():
        return None
    return read_asset(path, media_type)


def read_asset(path: Path, media_type: str) -> Asset:
    """Read a file that pages load."""
    content = path.read_bytes()
    return Asset(content, media_type, hashlib.sha256(content).hexdigest()[:20])


@cache
def _list_names() -> frozenset[str]:
    return frozenset(path.name for path in ASSETS.iterdir() if path.is_file())
