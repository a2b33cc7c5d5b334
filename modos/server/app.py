"""Assemble the ASGI application from the other modules."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from modos import __version__
from modos.catalog.catalog import Catalog
from modos.codes.term_index import Index
from modos.encryption.keys import SecretKey
from modos.encryption.text_seal import TextSeal
from modos.errors import (
    AccessError,
    IntegrityError,
    InvalidInputError,
    MissingPackageError,
    ModosError,
    NewerFormatError,
    NotFoundError,
    RegionError,
    RemoteError,
)
from modos.genomics.htsget.protocol import MEDIA_TYPE, HtsgetError, error_to_json
from modos.genomics.planning import Planner
from modos.object.document import ROOT_KEY
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.reference.store import ReferenceStore
from modos.server import codes, discovery, drs, files, finding, htsget, listing, partial, refget, slices, web_login
from modos.server.admitting import ALIVE, Admission, BusyError, most_requests
from modos.server.answers import JsonAnswer
from modos.server.auth import Access, Authentication, Pages
from modos.server.genome import routers as genome
from modos.server.hosts import KnownHosts
from modos.server.known_objects import KnownObjects
from modos.server.metrics import Observed, add_headers, metrics
from modos.server.noting import keep_log, note_refusal
from modos.server.pages import routers as pages
from modos.server.pages.error_pages import show_error
from modos.server.pages.negotiating import wants_page
from modos.server.pages.own_object import OwnObject
from modos.server.parameters import check_parameters
from modos.server.readiness import Readiness
from modos.server.rewrapping import KeyService
from modos.server.sealed_tickets import SealedTickets
from modos.server.sessions import SessionCookies, Sessions
from modos.storage import Storage

INNER = ("/metrics", "/authorize")  # for peers, which a gateway does not pass on
_NOTHING = {"error": NotFoundError.kind, "message": "there is nothing here"}
logger = logging.getLogger(__name__)


def create_app(
    storage: Storage,
    *,
    s3_url: str | None = None,
    public_url: str | None = None,
    htsget_url: str | None = None,
    tokens: Collection[str] = (),
    access: Access | None = None,
    max_age: float = 0,
    references: ReferenceStore | None = None,
    index: Index | None = None,
    fuzon_url: str | None = None,
    index_key: SecretKey | None = None,
    rewrap: KeyService | None = None,
    read_log: ReadLog | None = None,
    session_seal: TextSeal | None = None,
    own_object: OwnObject | None = None,
) -> FastAPI:
    """Create the server over a folder or an S3 prefix.

    Parameters
    ----------
    storage
        Holds the objects.
    s3_url
        The S3 server as clients reach it; the storage's own where it is None.
    public_url
        This server as clients reach it; what a request says where it is None. What comes over the loopback address
        for another name than this and those of the machine is refused.
    htsget_url
        The htsget server that clients are told; this one's where it is None.
    tokens
        Bearer tokens, of which every request has to have one; anybody may
        ask if there are none.
    access
        Who may do what, in the place of `tokens`.
    max_age
        Seconds for which a listing is good: what was committed may be missing
        from the lists that long, and nowhere else.
    references
        Are given out by refget, and as files.
    index
        Codes that are searched by the API of fuzon; best not mapped, since somebody may write over the file.
    fuzon_url
        The server of codes that clients are told; this one's where it is None.
    index_key
        Opens what regions of encrypted files are found by, where it is encrypted for it, and no file.
    rewrap
        The service that encrypts headers of files for readers who are no recipients.
    read_log
        Is told of each answer that gives data, and closed with the application.
    session_seal
        Seals the sessions of browsers; what it has sealed is taken by each server that has the same secret. One that ends
        with this application where it is None.
    own_object
        The one object that there is, where somebody looks at it with their own key: pages tell how they reach it.
    """
    storage = storage.confine(ROOT_KEY)
    catalog = Catalog(storage, max_age=max_age)
    known = KnownObjects(catalog)
    planner = Planner(catalog.files, revalidate=True)  # one, so that what follows a ticket finds the index read
    access = access or Access(dict.fromkeys(tokens, "token"))
    s3 = (s3_url or storage.endpoint_url) if storage.is_remote else None
    app = FastAPI(
        title="modos",
        version=__version__,
        redirect_slashes=False,
        default_response_class=JsonAnswer,
        description="Multi-omics digital objects: catalogue, htsget, DRS, refget, codes, and credentials.",
        lifespan=_hold(read_log) if read_log else None,
        docs_url=None,  # whose pages load scripts of others
        redoc_url=None,
    )
    app.state.access = access
    app.state.places = _list_places(storage, references)
    app.state.public_path = urlsplit(public_url or "").path.rstrip("/")
    if read_log:
        keep_log(app, read_log, catalog)
    sessions = Sessions(access, session_seal or TextSeal(), public_url)
    app.add_middleware(SessionCookies, sessions=sessions)
    app.add_middleware(Authentication, access=access)
    app.add_middleware(Pages)
    app.add_middleware(Admission, most=most_requests())
    app.add_middleware(Observed)
    app.add_middleware(PlainPaths)
    app.add_middleware(KnownHosts, public_url=public_url)
    app.exception_handler(ModosError)(_answer_error)
    app.add_exception_handler(Exception, _answer_defect)
    app.add_exception_handler(404, lambda request, _: _answer_error(request, NotFoundError("there is nothing here")))
    app.add_exception_handler(RequestValidationError, lambda request, error: _answer_error(request, _invalid(error)))
    _add_health(app, storage)
    app.include_router(genome.create_router(catalog, known, access, planner, references))
    for router in pages.create_routers(catalog, known, access, index, public_url, references, own_object):
        app.include_router(router)
    app.include_router(
        discovery.create_router(storage, access, s3, public_url, htsget_url, references is not None, fuzon_url, index is not None)
    )
    app.include_router(listing.create_router(catalog, access, s3))
    app.include_router(finding.create_router(catalog, access))
    app.include_router(htsget.create_router(catalog, access, planner, public_url, SealedTickets(catalog, index_key, rewrap)))
    app.include_router(partial.create_router(catalog, access, planner))
    app.include_router(slices.create_router(catalog, access, planner))
    app.include_router(files.create_router(catalog, access))
    app.include_router(drs.create_router(catalog, access, public_url))
    app.include_router(refget.create_router(references, access))
    app.include_router(codes.create_router(index, access))
    app.include_router(web_login.create_router(sessions))
    return app


def _hold(log: ReadLog) -> Any:
    """Begin a read log with the application, and end it in order."""

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(log.begin)
        except ModosError as error:  # which is tried again with each request
            logger.error("the read log cannot be begun: %s", error)
        yield
        await run_in_threadpool(log.close)

    return live


def _add_health(app: FastAPI, storage: Storage) -> None:
    readiness = Readiness(storage)

    @app.get(ALIVE, dependencies=[Depends(check_parameters)])
    async def is_alive() -> dict[str, str]:
        """Return whether the server runs; it is answered without a thread, so that a crowd cannot keep it waiting."""
        return {"status": "ok"}

    @app.get("/readyz", dependencies=[Depends(check_parameters)])
    async def is_ready() -> JSONResponse:
        """Return whether it can read what it serves, within a few seconds."""
        if not await readiness.is_ready():
            return JSONResponse({"status": "the storage cannot be read"}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", include_in_schema=False, dependencies=[Depends(check_parameters)])
    def show_metrics() -> Response:
        """Return metrics for Prometheus."""
        return metrics()


class PlainPaths:
    """Takes `//list` and `/list/` for `/list`.

    What is told to peers alone has to be written as it is: of other
    spellings a gateway in front may not know what they are.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        if scope["type"] == "http":
            path = re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"
            if path in INNER and scope.get("raw_path", path.encode()) != path.encode():
                await JSONResponse(_NOTHING, 404)(scope, receive, send)
                return
            scope = dict(scope, path=path, raw_path=path.encode())
        await self._app(scope, receive, send)


def _answer_error(request: Request, error: ModosError) -> Response:
    status, name = _status(error)
    message = _without_places(error.message, request.app.state.places)
    if status == 403:
        note_refusal(request)
    if isinstance(error, MissingPackageError):
        message = f"the server cannot answer that: {message}"
    elif status >= 500 and not isinstance(error, BusyError):
        logger.error("%s %s: %s", request.method, request.scope["path"], error)
        message = (
            "the server gives nothing that it cannot log, and its log cannot be written: ask again in a while"
            if isinstance(error, UnloggedError)
            else "the server cannot read what was asked for" + _explain(error)
        )
    headers = {"WWW-Authenticate": "Bearer"} if status in (401, 403) else {}
    if status == 503:
        headers["Retry-After"] = "5"
    if wants_page(request.scope):
        return show_error(request, status, message, error.hint if status < 500 else None, headers)
    if request.method == "POST":
        headers["Connection"] = "close"  # what is left of the body is not read
    if request.scope["path"].startswith("/htsget/") or status in (401, 403):
        return JSONResponse(error_to_json(name, message), status, headers, media_type=MEDIA_TYPE)
    return JSONResponse({"error": getattr(error, "kind", "error"), "message": message}, status, headers)


def _explain(error: ModosError) -> str:
    """Say of what is stored why it cannot be read, as far as anybody may know."""
    if isinstance(error, NewerFormatError):
        return ": a newer modos wrote it"
    return ": the file or its index is damaged there" if isinstance(error, IntegrityError) else ""


def _list_places(storage: Storage, references: ReferenceStore | None) -> list[str]:
    """List where on this machine is what is served."""
    places = (storage.url.rstrip("/"), references.url.rstrip("/") if references else "")
    return [place for place in places if place.startswith("/")]


def _without_places(message: str, places: Sequence[str]) -> str:
    """Return a message with what is in some places as callers know it: by its key."""
    for place in places:
        message = message.replace(f"{place}/", "")
    return message


def _answer_defect(request: Request, error: Exception) -> Response:
    """Answer for what nobody foresaw; outside of all that looks at requests."""
    message = "the server cannot answer this: it is noted in its log"
    answer: Response = JSONResponse({"error": "error", "message": message}, 500)
    if wants_page(request.scope):
        answer = show_error(request, 500, message)
    add_headers(answer.headers)
    return answer


def _invalid(error: Any) -> InvalidInputError:
    """Describe what is wrong with the parameters of a request, in one line."""
    first = error.errors()[0]
    return InvalidInputError(f"the parameter {first['loc'][-1]}: {first['msg'].lower()}")


def _status(error: Exception) -> tuple[int, str]:
    if isinstance(error, HtsgetError):
        return error.status, error.name
    for kind, status, name in (
        (UnloggedError, 503, "InternalError"),
        (BusyError, 503, "InternalError"),
        (NotFoundError, 404, "NotFound"),
        (NewerFormatError, 500, "InternalError"),
        (MissingPackageError, 501, "InternalError"),
        (RegionError, 400, "InvalidRange"),
        (InvalidInputError, 400, "InvalidInput"),
        (AccessError, 500, "InternalError"),  # the server's own access, not the client's
        (RemoteError, 502, "InternalError"),
    ):
        if isinstance(error, kind):
            return status, name
    return 500, "InternalError"
