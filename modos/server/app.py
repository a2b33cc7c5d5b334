"""The ASGI application: service discovery, the catalogue, and what the other modules add."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.catalog import Catalog
from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError, RegionError, RemoteError
from modos.htsget.protocol import MEDIA_TYPE, HtsgetError, error_to_json
from modos.server import files, htsget
from modos.server.access import Pages, Tokens
from modos.storage import Storage

logger = logging.getLogger(__name__)


def create_app(storage: Storage, *, s3_url: str | None = None, tokens: Collection[str] = ()) -> FastAPI:
    """The server over a folder or an S3 prefix.

    Parameters
    ----------
    storage
        Holds the objects.
    s3_url
        The S3 server as clients reach it; the storage's own where it is None.
    tokens
        Bearer tokens, of which every request has to have one; anybody may
        ask where there are none.
    """
    catalog = Catalog(storage)
    s3 = (s3_url or storage.endpoint_url) if storage.is_remote else None
    app = FastAPI(title="modos", description="Multi-omics digital objects: catalogue and htsget.",
                  redirect_slashes=False)
    if tokens:
        app.add_middleware(Tokens, tokens=tokens)
    app.add_middleware(Pages)
    app.add_middleware(PlainPaths)
    app.add_exception_handler(ModosError, _answer_error)
    app.add_exception_handler(404, lambda request, _: _answer_error(request, NotFoundError("there is nothing here")))
    _add_catalogue(app, catalog, s3)
    app.include_router(htsget.create_router(catalog))
    if not storage.is_remote:
        app.include_router(files.create_router(catalog))
    return app


def _add_catalogue(app: FastAPI, catalog: Catalog, s3: str | None) -> None:
    @app.get("/")
    def discover(request: Request) -> dict[str, Any]:
        """Where the services are; null for what is absent."""
        return {
            "status": "success", "auth": None, "s3": s3, "htsget": str(request.base_url) + "htsget",
            "fuzon": None, "kms": None, "refget": None, "root": catalog.storage.url if s3 else None,
        }

    @app.get("/list")
    def list_objects() -> dict[str, Any]:
        """The objects."""
        return {"data": [catalog.url(key) for key in catalog.iter_objects()]}

    @app.get("/meta")
    def list_metadata() -> dict[str, Any]:
        """The objects with their metadata."""
        return {"data": [{"path": catalog.url(key), "meta": meta} for key, meta in catalog.iter_metadata()]}

    @app.get("/get")
    def search(request: Request) -> dict[str, Any]:
        """The objects of a name (`query`), or of one like it (`fuzzy=true`)."""
        query = request.query_params.get("query", "")
        if not query:
            raise InvalidInputError("the parameter query is missing")
        fuzzy = request.query_params.get("fuzzy", "").lower() in ("true", "1", "yes")
        return {"data": [{key.rpartition("/")[2]: {"s3_endpoint": s3, "modo_path": catalog.url(key)}}
                         for key in catalog.search(query, fuzzy)]}


class PlainPaths:
    """Takes `//list` and `/list/` for `/list`."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"
            scope = dict(scope, path=path, raw_path=path.encode())
        await self._app(scope, receive, send)


def _answer_error(request: Request, error: Exception) -> JSONResponse:
    status, name = _status(error)
    message = str(error)
    if status >= 500:
        logger.error("%s %s: %s", request.method, request.url.path, error)
        message = "the server cannot read what was asked for"
    if request.url.path.startswith("/htsget/"):
        return JSONResponse(error_to_json(name, message), status, media_type=MEDIA_TYPE)
    return JSONResponse({"error": getattr(error, "kind", "error"), "message": message}, status)


def _status(error: Exception) -> tuple[int, str]:
    if isinstance(error, HtsgetError):
        return error.status, error.name
    for kind, status, name in (
        (NotFoundError, 404, "NotFound"),
        (RegionError, 400, "InvalidRange"),
        (InvalidInputError, 400, "InvalidInput"),
        (AccessError, 500, "InternalError"),  # the server's own access, not the client's
        (RemoteError, 502, "InternalError"),
    ):
        if isinstance(error, kind):
            return status, name
    return 500, "InternalError"
