"""Serve sequences by digest (GA4GH refget 2.0.0), and the files of a reference store."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.reference.assembly import StoredContig, sequence_key
from modos.reference.computed import ComputedDigests
from modos.reference.digests import parse_name, trunc512_of
from modos.reference.store import INDEX, ReferenceStore
from modos.server.answers import JsonAnswer
from modos.server.auth import Access, caller_of
from modos.server.conditions import check_conditions, entity_tag, wants_part
from modos.server.parameters import check_parameters
from modos.server.sending import Pieces, iter_file
from modos.version import full_version

logger = logging.getLogger(__name__)

_TEXT = "text/vnd.ga4gh.refget.v2.0.0+plain"
_JSON = "application/vnd.ga4gh.refget.v2.0.0+json"
_ACCEPTED = {_TEXT: (_TEXT, "text/plain", "text/*", "*/*"), _JSON: (_JSON, "application/json", "application/*", "*/*")}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_KEPT = 30.0  # seconds for which what the store has is known
_FILE = re.compile(
    r"index\.json|assemblies/[^/]+/[^/]+|annotations/[^/]+/v\d+/[^/]+|sequences/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}"
)

PartOf = Callable[[int, int], Generator[bytes, None, None]]  # of a file, between two positions


Found = tuple[StoredContig, list[dict[str, str]]]


class Sequences:
    """Sequences of a store by digest; each digest is computed from the bytes before anything is given out by it."""

    def __init__(self, store: ReferenceStore):
        self._store = store
        self.computed = ComputedDigests(store.storage)
        self._lock = threading.Lock()
        self._by_name: dict[str, list[Found]] = {}
        self._until = 0.0
        self._seen: dict[str, Any] = {}

    def find(self, name: str) -> Found:
        """Find a sequence by its MD5, `SQ.` or trunc512 name, with its other names.

        Raises
        ------
        NotFoundError
            There is none.
        IntegrityError
            The store calls only sequences so that have another digest.
        """
        digest = parse_name(name)
        with self._lock:
            if time.monotonic() >= self._until or digest not in self._by_name:
                self._look()
            named = self._by_name.get(digest, ()) if digest else ()
        wrong: ModosError = NotFoundError(f"there is no sequence {name[:100]}")
        for contig, names in named:
            try:
                self.computed.check(contig)
                return contig, names
            except (NotFoundError, IntegrityError) as error:
                logger.error("%s", error)
                wrong = error
        raise wrong

    def _look(self) -> None:
        if time.monotonic() < self._until - _KEPT + 1:  # nobody makes it read the store all the time
            return
        index: dict[str, Any] = self._store.index()
        self._until = time.monotonic() + _KEPT
        if index == self._seen:
            return
        found: dict[tuple[str, str, int], Found] = {}
        for assembly in list(index):
            try:
                contigs = self._store.assembly(assembly).contigs
            except (NotFoundError, IntegrityError, InvalidInputError) as error:  # removed just now, damaged, a name that is none
                logger.error("%s", error)
                index = {}
                continue
            for contig in contigs:
                _, names = found.setdefault((contig.md5, contig.ga4gh, contig.length), (contig, []))
                names += [{"alias": name, "naming_authority": assembly} for name in (contig.name, *contig.aliases)]
        self._by_name, self._seen = {}, index
        for one in found.values():
            for digest in one[0].digests.values():
                self._by_name.setdefault(digest, []).append(one)


def create_router(store: ReferenceStore | None, access: Access) -> APIRouter:
    """Create the endpoints of refget, and the files of the store; none if there is no store."""
    router = APIRouter()
    if store is None:
        return router
    sequences = Sequences(store)

    @router.get("/refget/sequence/service-info")
    def tell_service() -> JSONResponse:
        """Tell what this refget can do."""
        return JSONResponse(
            {
                "id": "modos.refget",
                "name": "modos refget",
                "version": full_version(),
                "organization": {"name": "modos", "url": "https://w3id.org/sdsc-ordes"},
                "type": {"group": "org.ga4gh", "artifact": "refget", "version": "2.0.0"},
                "refget": {
                    "circular_supported": False,
                    "subsequence_limit": None,
                    "algorithms": ["md5", "ga4gh", "trunc512"],
                    "identifier_types": [],
                },
            }
        )

    @router.get("/refget/sequence/{name}/metadata")
    def tell_sequence(name: str, request: Request) -> Response:
        """Return the length of a sequence, its digests and its names."""
        _check(access, request)
        contig, names = sequences.find(name)
        if not _accepts(request, _JSON):
            return _not_acceptable(_JSON)
        return JsonAnswer(
            {
                "metadata": {
                    "md5": contig.md5,
                    "ga4gh": contig.ga4gh,
                    "trunc512": trunc512_of(contig.ga4gh),
                    "length": contig.length,
                    "aliases": names,
                }
            },
            media_type=_JSON,
        )

    @router.head("/refget/sequence/{name}", include_in_schema=False)
    @router.get("/refget/sequence/{name}")
    def get_sequence(name: str, request: Request, start: str | None = None, end: str | None = None) -> Response:
        """Return a sequence, or a part: from `start` to before `end`, from 0; or by the header Range."""
        _check(access, request)
        contig, _ = sequences.find(name)
        if not _accepts(request, _TEXT):
            return _not_acceptable(_TEXT)
        key = sequence_key(contig.md5)
        info = store.storage.stat(key)
        if info.size != contig.length:
            raise IntegrityError(f"{key} of the store does not have {contig.length:,} bytes")
        tag, part_of = entity_tag(contig.md5), partial(iter_file, store.storage, key, tag=info.etag)
        if start is None and end is None:
            return check_conditions(request, tag) or _send(part_of, contig.length, request, _TEXT, tag)
        if "range" in request.headers:
            raise InvalidInputError("a range is given twice: by the header Range, and by start or end")
        low, high = _number("start", start, 0), _number("end", end, contig.length)
        if low > high:
            return JSONResponse(
                {"error": "not_implemented", "message": "circular sequences are not supported"},
                501 if low < contig.length and high <= contig.length else 416,
            )
        if high > contig.length or (low >= contig.length and low):
            return JSONResponse({"error": "range", "message": f"the sequence has {contig.length:,} bases"}, 416)
        part = entity_tag(f"{contig.md5}-{low}-{high}")
        return check_conditions(request, part) or _stream(
            part_of, low, high, request, 200, {"Accept-Ranges": "none", "ETag": part}, _TEXT
        )

    @router.head("/references/{key:path}", include_in_schema=False, dependencies=[Depends(check_parameters)])
    @router.get("/references/{key:path}", dependencies=[Depends(check_parameters)])
    def get_file(key: str, request: Request) -> Response:
        """Return a file of the store; honours Range, If-Match, If-None-Match and If-Range."""
        _check(access, request)
        if not _FILE.fullmatch(key):
            raise NotFoundError(f"there is no file {key}")
        if key == INDEX and not store.storage.exists(INDEX):
            return JSONResponse({"format": 1, "assemblies": {}, "annotations": {}})
        info = store.storage.stat(key)
        if key.startswith("sequences/") and sequence_key(sequences.computed.find(key, info.size, info.etag).md5) != key:
            raise IntegrityError(f"{key} of the store does not have the MD5 that it is named by")
        tag, kind = entity_tag(info.etag), "application/json" if key.endswith(".json") else "application/octet-stream"
        return check_conditions(request, tag) or _send(
            partial(iter_file, store.storage, key, tag=info.etag), info.size, request, kind, tag
        )

    return router


def _accepts(request: Request, kind: str) -> bool:
    """Return whether a client takes a kind of answer (RFC 9110, section 12.5.1)."""
    for part in request.headers.get("accept", "*/*").lower().split(","):
        accepted, *parameters = (word.strip() for word in part.split(";"))
        if accepted in _ACCEPTED[kind] and not any(re.fullmatch(r"q=0(\.0*)?", word) for word in parameters):
            return True
    return False


def _not_acceptable(kind: str) -> JSONResponse:
    return JSONResponse({"error": "not_acceptable", "message": f"there is {kind}"}, 406)


def _check(access: Access, request: Request) -> None:
    """Check that the caller may read anything here, and so references."""
    access.check_any(caller_of(request))


def _number(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise InvalidInputError(f"the parameter {name}: {text[:20]!r} is no position")
    return int(text)


def _send(part_of: PartOf, size: int, request: Request, kind: str, tag: str) -> Response:
    """Send a file, or the part that the header Range asks for."""
    if not wants_part(request, tag):
        return _stream(part_of, 0, size, request, 200, {"Accept-Ranges": "bytes", "ETag": tag}, kind)
    wanted = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if not wanted or wanted[0] == "bytes=-":
        if "range" in request.headers and kind == _TEXT:
            raise InvalidInputError(f"Range: {request.headers['range'][:40]!r} is no range of bytes")
        return _stream(part_of, 0, size, request, 200, {"Accept-Ranges": "bytes", "ETag": tag}, kind)
    first, last = wanted.groups()
    low, high = (int(first), min(int(last) + 1, size) if last else size) if first else (max(size - int(last), 0), size)
    if low >= high:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    return _stream(
        part_of,
        low,
        high,
        request,
        206,
        {"Accept-Ranges": "bytes", "ETag": tag, "Content-Range": f"bytes {low}-{high - 1}/{size}"},
        kind,
    )


def _stream(part_of: PartOf, start: int, end: int, request: Request, status: int, headers: dict[str, str], kind: str) -> Response:
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return Pieces(part_of(start, end), status, headers, kind)
