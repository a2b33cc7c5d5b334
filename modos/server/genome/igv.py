"""Find igv.js, which comes with the package igv-notebook and is never loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response

from modos.errors import NotFoundError
from modos.server.pages.asset_files import Asset, answer_asset, read_asset

NAME = "igv.min.js"
HOW_TO_GET = "pip install 'modos-store[igv]'"
_PACKAGE = "igv_notebook"


@cache
def find_igv() -> Asset | None:
    """Find the script, without importing its package; None if that is not installed."""
    spec = find_spec(_PACKAGE)
    path = Path(spec.origin).parent / "js" / NAME if spec and spec.origin else None
    return read_asset(path, "text/javascript; charset=utf-8") if path and path.is_file() else None


def create_router() -> APIRouter:
    """Create the endpoint of the script; it holds nothing of anybody, and needs no right."""
    router = APIRouter()

    @router.get(f"/assets/{NAME}", include_in_schema=False)
    def give_igv(request: Request, v: str = "") -> Response:
        """Return igv.js."""
        found = find_igv()
        if found is None:
            raise NotFoundError("igv.js is not installed on this server", HOW_TO_GET)
        return answer_asset(request, found, v)

    return router
