"""The htsget endpoints: an id and a region become a ticket."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from modos import __version__
from modos.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import FORMATS, RecordKind
from modos.htsget.protocol import HEADER_CLASS, MEDIA_TYPE, Block, HtsgetError, Query, Ticket, data_uri
from modos.index import Segment
from modos.planning import Planner
from modos.storage import ByteRange

EXPIRES = 3600  # seconds that a signed URL is good for
MAX_BLOCK = 1 << 30  # bytes
_PREFERENCE = {"reads": ("BAM", "CRAM"), "variants": ("VCF", "BCF")}  # htsget.md: the default is the first


def create_router(catalog: Catalog) -> APIRouter:
    """The endpoints over a catalogue."""
    router = APIRouter(prefix="/htsget")
    planner = Planner(catalog.storage)
    for kind in _PREFERENCE:
        _add_endpoints(router, kind, catalog, planner)
    return router


def _add_endpoints(router: APIRouter, kind: RecordKind, catalog: Catalog, planner: Planner) -> None:
    @router.get(f"/{kind}/service-info", name=f"{kind} service-info")
    def service_info() -> dict[str, Any]:
        """GA4GH service-info."""
        return {
            "id": f"modos.htsget.{kind}", "name": f"modos htsget {kind}", "version": __version__,
            "type": {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.0"},
            "organization": {"name": "modos", "url": "https://w3id.org/sdsc-ordes/modos-schema/"},
            "htsget": {"datatype": kind, "formats": list(_PREFERENCE[kind]), "fieldsParameterEffective": False,
                       "tagsParametersEffective": False},
        }

    @router.get(f"/{kind}/{{file_id:path}}", name=f"{kind} ticket")
    def ticket(file_id: str, request: Request) -> JSONResponse:
        """A ticket for a file or a region of it."""
        query = Query.from_params(request.query_params, kind)
        answer = _Tickets(catalog, planner, str(request.base_url)).ticket(kind, file_id, query)
        return JSONResponse(answer.to_json(), media_type=MEDIA_TYPE)


class _Tickets:
    """Makes tickets whose URLs a client of `base_url` can reach."""

    def __init__(self, catalog: Catalog, planner: Planner, base_url: str):
        self._catalog = catalog
        self._planner = planner
        self._base_url = base_url

    def ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket:
        key = find_file(self._catalog, kind, file_id, query.format)
        if query.header_only:
            format, segments = self._planner.header_segments(key)
            return Ticket(format.name, self._blocks(key, segments, HEADER_CLASS))
        plan = self._planner.plan(key, query.region)
        segments = (*plan.header, *plan.body, *([plan.eof] if plan.eof else ()))
        return Ticket(plan.format.name, self._blocks(key, segments, None))

    def _blocks(self, key: str, segments: tuple[Segment, ...], block_class: str | None) -> tuple[Block, ...]:
        """Blocks of the segments, inline ones that follow each other united."""
        blocks = []
        for inline, group in groupby(segments, lambda segment: isinstance(segment, bytes)):
            if inline:
                blocks.append(Block(data_uri(b"".join(group)), block_class=block_class))
                continue
            for segment in group:
                for start in range(segment.start, segment.end, MAX_BLOCK):
                    part = ByteRange(start, min(start + MAX_BLOCK, segment.end))
                    blocks.append(Block(self._url(key), {"Range": f"bytes={part.start}-{part.end - 1}"}, block_class))
        return tuple(blocks)

    def _url(self, key: str) -> str:
        return self._catalog.storage.presign(key, EXPIRES) or f"{self._base_url}files/{quote(key)}"


def find_file(catalog: Catalog, kind: RecordKind, file_id: str, format_name: str | None) -> str:
    """The key of the data file that an id stands for.

    Only files that an object names as its data are found.

    Raises
    ------
    NotFoundError
        There is none.
    HtsgetError
        There is one, but not in the format asked for.
    """
    try:
        object_key, stem = catalog.find_object(file_id)
    except (NotFoundError, InvalidInputError):
        raise NotFoundError(f"there is no {kind} {file_id}") from None
    known = {attributes.get("data_path") for attributes in catalog.metadata(object_key).values()}
    prefix = f"{object_key}/" if object_key else ""
    found = {name: prefix + stem + suffix for name in reversed(_PREFERENCE[kind])
             for suffix in FORMATS[name].suffixes if stem + suffix in known}
    if not found:
        raise NotFoundError(f"there is no {kind} {file_id}")
    if format_name is None:
        return found[next(name for name in _PREFERENCE[kind] if name in found)]
    if format_name not in found:
        raise HtsgetError("UnsupportedFormat", f"{file_id} is there as {' and '.join(found)} only")
    return found[format_name]
