"""The htsget endpoints, which turn an id and regions into a ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from modos import __version__
from modos.catalog.catalog import Catalog
from modos.errors import ConflictError, InvalidInputError, NotFoundError
from modos.formats import BGZF_EOF, FORMATS, STORED_KEY_HEADER, RecordKind, find_keys, is_encrypted, streamable_format
from modos.genomics.htsget.protocol import MEDIA_TYPE, Block, HtsgetError, Ticket
from modos.genomics.htsget.query import HEADER_CLASS, Query
from modos.genomics.index import Segment
from modos.genomics.planning import Planner
from modos.server import partial
from modos.server.auth import Access, caller_of
from modos.server.bodies import read_body
from modos.server.comparable import ComparableRanges
from modos.server.noting import GRANTED, note
from modos.storage import ByteRange, check_key

EXPIRES = 3600  # seconds that a signed URL is good for
MAX_BLOCK = 1 << 30  # bytes
MAX_REQUEST = 4 << 20  # bytes
INLINE = 256 << 10  # bytes of a file that come with the ticket
_PREFERENCE: dict[RecordKind, tuple[str, str]] = {
    "reads": ("BAM", "CRAM"),
    "variants": ("VCF", "BCF"),
}  # htsget.md: the default is the first


def create_router(catalog: Catalog, access: Access, public_url: str | None) -> APIRouter:
    """Create the endpoints over a catalogue."""
    router = APIRouter(prefix="/htsget")
    planner = Planner(catalog.files, revalidate=True)

    def tickets(request: Request, file_id: str) -> _Tickets:
        try:
            check_key(file_id)
        except InvalidInputError:
            raise NotFoundError(f"there are no files of the id {file_id}") from None
        access.check(caller_of(request), "read", file_id, below=True)
        return _Tickets(catalog, planner, request, public_url)

    for kind in _PREFERENCE:
        _add_endpoints(router, kind, tickets)
    return router


def _add_endpoints(router: APIRouter, kind: RecordKind, tickets: Callable[[Request, str], _Tickets]) -> None:
    @router.get(f"/{kind}/service-info", name=f"{kind} service-info")
    def service_info() -> dict[str, Any]:
        """Return the GA4GH service-info."""
        return {
            "id": f"modos.genomics.htsget.{kind}",
            "name": f"modos htsget {kind}",
            "version": __version__,
            "description": "Regions of the files of multi-omics digital objects",
            "type": {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.0"},
            "organization": {"name": "modos", "url": "https://w3id.org/sdsc-ordes/modos-schema/"},
            "htsget": {
                "datatype": kind,
                "formats": list(_PREFERENCE[kind]),
                "fieldsParameterEffective": kind == "reads",
                "tagsParametersEffective": kind == "reads",
            },
        }

    @router.get(f"/{kind}/{{file_id:path}}", name=f"{kind} ticket")
    def get_ticket(file_id: str, request: Request) -> Response:
        """Return a ticket for a file or a region of it."""
        return _answer(tickets(request, file_id), kind, file_id, Query.from_params(request.query_params, kind))

    @router.post(f"/{kind}/{{file_id:path}}", name=f"{kind} ticket for several regions")
    async def post_ticket(file_id: str, request: Request) -> Response:
        """Return a ticket for a file or some regions of it."""
        if request.scope["query_string"]:
            raise HtsgetError("InvalidInput", "a POST request has no parameters in its address")
        asked = tickets(request, file_id)
        query = Query.from_body(await read_body(request, MAX_REQUEST), kind)
        return await run_in_threadpool(_answer, asked, kind, file_id, query)


def _answer(tickets: _Tickets, kind: RecordKind, file_id: str, query: Query) -> Response:
    return Response(tickets.make_ticket(kind, file_id, query).to_bytes(), media_type=MEDIA_TYPE)


class _Tickets:
    """Makes tickets that the client of a request can use."""

    def __init__(self, catalog: Catalog, planner: Planner, request: Request, public_url: str | None):
        self._catalog = catalog
        self._planner = planner
        self._request = request
        self._base_url = public_url or str(request.base_url).rstrip("/")
        self._exact = STORED_KEY_HEADER in request.headers
        self._authorization = request.headers.get("Authorization")

    def make_ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket:
        """Make the ticket: one stream, with every record once and in the file's order."""
        key = find_file(self._catalog, kind, file_id, query.format, exact=self._exact)
        ticket = self._plan_ticket(key, query)
        places = {"server" if block.url.startswith(self._base_url) else "s3" for block in ticket.blocks if block.url}
        note(
            self._request,
            GRANTED,
            key,
            regions=query.regions or None,
            only="header" if query.header_only else query.lists() or None,
            bytes=_count_bytes(ticket),
            inline=sum(len(block.content or b"") for block in ticket.blocks) or None,
            via=min(places, default="ticket"),
            seconds=EXPIRES if "s3" in places else None,
        )
        return ticket

    def _plan_ticket(self, key: str, query: Query) -> Ticket:
        if partial.is_made(query, streamable_format(key).name):
            return Ticket("BAM", tuple(self._make_blocks(key, query)))
        if query.header_only:
            plan, block_class = self._planner.plan_header(key), HEADER_CLASS
        else:
            plan, block_class = self._planner.plan(key, query.regions or None, inline=INLINE), None
        return Ticket(plan.format.name, tuple(self._blocks(key, plan.segments, block_class)))

    def _blocks(self, key: str, segments: Iterable[Segment], block_class: str | None) -> Iterator[Block]:
        """Yield blocks of the segments, adjacent inline ones united."""
        url, headers = self._address(key)
        inline: list[bytes] = []
        ranges = ComparableRanges(self._catalog.files, key)
        for segment in ranges.cut(segments):
            if isinstance(segment, bytes):
                inline.append(segment)
                continue
            if inline:
                yield Block("", block_class=block_class, content=b"".join(inline))
                inline = []
            for start in range(segment.start, segment.end, MAX_BLOCK):
                part = ByteRange(start, min(start + MAX_BLOCK, segment.end))
                size, digests = ranges.read_digests(part)
                yield Block(
                    url, {"Range": f"bytes={part.start}-{part.end - 1}"} | headers, block_class, part=size, digests=digests
                )
        if inline:
            yield Block("", block_class=block_class, content=b"".join(inline))

    def _make_blocks(self, key: str, query: Query) -> Iterator[Block]:
        """Yield blocks of the header, and of what is made of the records."""
        info, chunks = self._planner.find_chunks(key, query.regions or None, partial.SPLIT)
        header = self._planner.plan_header(key)
        if header.info.etag != info.etag:
            raise ConflictError(f"{key} was changed while it was planned for")
        yield from self._blocks(key, header.segments, None)
        for url in partial.addresses(self._base_url, key, info.etag, chunks, query):
            yield Block(url, self._credentials)
        if not chunks:
            yield Block("", content=BGZF_EOF)

    def _address(self, key: str) -> tuple[str, dict[str, str]]:
        """Return where a client gets the file's bytes, and what it has to send for that."""
        signed = self._catalog.storage.presign(key, EXPIRES)
        if signed:
            return signed, {}
        return f"{self._base_url}/files/{quote(key)}", {STORED_KEY_HEADER: "1"} | self._credentials

    @property
    def _credentials(self) -> dict[str, str]:
        """Return the headers that a client has to send to this server."""
        return {"Authorization": self._authorization} if self._authorization else {}


def _count_bytes(ticket: Ticket) -> int | None:
    """Count the bytes that a ticket leads to, and those in it; None where some are made when they are asked for."""
    size = 0
    for block in ticket.blocks:
        part = block.byte_range
        if block.content is None and part is None:
            return None
        size += len(block.content) if block.content is not None else part.size if part else 0
    return size


def find_file(catalog: Catalog, kind: RecordKind, file_id: str, format_name: str | None, *, exact: bool = False) -> str:
    """Find the key of the data file that an id stands for, by its key or its name, without its ending.

    Only files that an object names as its data are found.

    Parameters
    ----------
    exact
        Whether the id is of a key, and not of a name.

    Raises
    ------
    NotFoundError
        There is none.
    HtsgetError
        There is one, but not in the format asked for; or several are called so.
    """
    try:
        object_key, stem = catalog.find_object(file_id)
    except (NotFoundError, InvalidInputError):
        raise NotFoundError(f"there are no {kind} of the id {file_id}") from None
    known = {path for path in catalog.data_paths(object_key) if not is_encrypted(path)}
    prefix = f"{object_key}/" if object_key else ""
    found: dict[str, str] = {}
    for name in reversed(_PREFERENCE[kind]):
        for suffix in FORMATS[name].suffixes:
            keys = [stem + suffix] if exact else find_keys(known, stem + suffix)
            if len(keys) > 1:
                raise HtsgetError("InvalidInput", f"{file_id} could be {' or '.join(keys)}")
            if keys and keys[0] in known:
                found[name] = prefix + keys[0]
    if not found:
        raise NotFoundError(f"there are no {kind} of the id {file_id}")
    if format_name is None:
        return found[next(name for name in _PREFERENCE[kind] if name in found)]
    if format_name not in found:
        raise HtsgetError("UnsupportedFormat", f"{file_id} is there as {' and '.join(found)} only")
    return found[format_name]
