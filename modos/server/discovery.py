"""Tell clients where the services are, who they are, and what they may do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from modos.errors import InvalidInputError, RemoteError
from modos.genomics.htsget.protocol import HtsgetError
from modos.server import slices
from modos.server.auth import Access, caller_of
from modos.server.bodies import read_body
from modos.server.noting import GRANTED, note, note_gateway
from modos.server.pages.negotiating import VARY
from modos.server.parameters import check_parameters
from modos.server.rules import ANYONE, Caller
from modos.storage import Storage, check_key

MADE_HEADER = "Modos-Made"  # of an answer to a gateway: the modos server answers itself
_TICKET = re.compile(r"/htsget/(reads|variants)/(?P<key>.+)")
_MAX_WANTED = 64 << 10  # bytes of a request for credentials


class Wanted(BaseModel):
    """A part of what is served, and whether it is to be written."""

    prefix: str = ""
    write: bool = False


def create_router(
    storage: Storage,
    access: Access,
    s3: str | None,
    public_url: str | None,
    htsget_url: str | None,
    has_references: bool,
    fuzon_url: str | None,
    has_codes: bool,
) -> APIRouter:
    """Create the endpoints."""
    router, ours = APIRouter(), [Depends(check_parameters)]

    @router.get("/", dependencies=ours)
    async def discover(request: Request, response: Response) -> dict[str, Any]:
        """Tell where the services are; null for what is absent. Browsers get a page."""
        response.headers.update(VARY)
        base = public_url or str(request.base_url).rstrip("/")
        return {
            "status": "success",
            "auth": await access.login(),
            "s3": s3,
            "htsget": htsget_url or f"{base}/htsget",
            "credentials": f"{base}/credentials" if s3 and access.identifies else None,
            "fuzon": fuzon_url or (base if has_codes else None),
            "kms": None,
            "refget": f"{base}/refget" if has_references else None,
            "references": f"{base}/references" if has_references else None,
            "root": storage.url if s3 else None,
        }

    @router.get("/whoami", dependencies=ours)
    def tell_caller(request: Request) -> dict[str, Any]:
        """Tell who asks, which visas count and till when, and where they may read and write; the empty place is everything."""
        caller = caller_of(request)
        bounded = access.bounded_places(caller)
        return {
            "name": caller.name or None,
            "groups": sorted(caller.groups),
            "visas": [{"value": visa.value, "ends": format_time(visa.ends)} for visa in caller.visas],
            "read": sorted(access.places(caller, "read")),
            "write": sorted(access.places(caller, "write")),
        } | ({"bounded": bounded} if bounded else {})

    @router.get("/authorize", include_in_schema=False)
    def authorize(request: Request, response: Response) -> dict[str, str]:
        """Return whether a gateway is to pass on the request that it describes, whose parameters come as well.

        A header says if the answer has to be made here, and not by another htsget server.
        """
        try:
            uri = urlsplit(request.headers.get("X-Forwarded-Uri", ""))
            path, asked = unquote(uri.path), dict(parse_qsl(uri.query))
        except ValueError:
            path, asked = "", {}
        match = _TICKET.fullmatch(path)
        if not match or "%" in path:
            raise HtsgetError("NotFound", "there is nothing here")
        if match["key"] != "service-info":
            caller, key = caller_of(request), check_key(match["key"])
            slices.admit_to_id(access, caller, key)
            if not access.allows(caller, "read", key, below=True) or slices.wants_exact(request.headers, asked):
                response.headers[MADE_HEADER] = "1"
            else:
                note_gateway(request, key)
        return {"status": "ok"}

    @router.post(
        "/credentials",
        dependencies=ours,
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": Wanted.model_json_schema()}}}
        },
    )
    async def give_credentials(request: Request) -> dict[str, Any]:
        """Give S3 credentials for a part of what is served, valid for an hour."""
        caller = caller_of(request)
        if caller == ANYONE:
            raise HtsgetError("PermissionDenied", "a bearer token is needed")
        try:
            wanted = Wanted.model_validate_json(await read_body(request, _MAX_WANTED))
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInputError(f"the request: {' '.join(map(str, first['loc']))} {first['msg'].lower()}") from None
        return await run_in_threadpool(make_credentials, request, caller, wanted)

    def make_credentials(request: Request, caller: Caller, wanted: Wanted) -> dict[str, Any]:
        from modos.storage.s3 import S3Storage
        from modos.storage.sts import SECONDS, scoped_credentials

        if not isinstance(storage, S3Storage):
            raise InvalidInputError("what is served here is not on S3")
        key = wanted.prefix.removeprefix(storage.url).strip("/")
        if key:
            check_key(key)
        access.check(caller, "write" if wanted.write else "read", key)
        try:
            credentials = scoped_credentials(storage, [key], write=wanted.write)
        except RemoteError as error:
            raise HtsgetError("InternalError", error.message) from None
        note(request, GRANTED, key, below=key, writes=wanted.write or None, via="s3", seconds=SECONDS)
        return {"prefix": f"{storage.url}/{key}".rstrip("/"), "write": wanted.write, "s3": s3, **vars(credentials)}

    return router


def format_time(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339 has it."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
