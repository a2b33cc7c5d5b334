"""The htsget endpoints, which turn an id and regions into a ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from modos.catalog.catalog import Catalog
from modos.errors import ConflictError, NotFoundError
from modos.formats import BGZF_EOF, STORED_KEY_HEADER, RecordKind, streamable_format
from modos.genomics.htsget.protocol import MEDIA_TYPE, PUBLIC_KEY_HEADER, Block, HtsgetError, Ticket
from modos.genomics.htsget.query import HEADER_CLASS, Query
from modos.genomics.index import Segment
from modos.genomics.planning import Planner
from modos.genomics.region import Regions
from modos.server import partial, slices
from modos.server.auth import Access, caller_of
from modos.server.bodies import read_body
from modos.server.comparable import ComparableRanges
from modos.server.finding_files import PREFERENCE, check_format, find_file
from modos.server.noting import GRANTED, note
from modos.server.sealed_tickets import SealedTickets, parse_reader
from modos.storage import ByteRange
from modos.version import full_version

EXPIRES = 3600  # seconds that a signed URL is good for
MAX_BLOCK = 1 << 30  # bytes
MAX_REQUEST = 4 << 20  # bytes
INLINE = 256 << 10  # bytes of a file that come with the ticket


def create_router(catalog: Catalog, access: Access, planner: Planner, public_url: str | None, sealed: SealedTickets) -> APIRouter:
    """Create the endpoints over a catalogue."""
    router, made = APIRouter(prefix="/htsget"), slices.Slices(catalog, access, planner)

    def tickets(request: Request, file_id: str) -> _Tickets:
        slices.check_id(file_id)
        slices.admit_to_id(access, caller_of(request), file_id)
        return _Tickets(catalog, access, planner, made, sealed, request, public_url)

    for kind in PREFERENCE:
        _add_endpoints(router, kind, tickets)
    return router


def _add_endpoints(router: APIRouter, kind: RecordKind, tickets: Callable[[Request, str], _Tickets]) -> None:
    @router.get(f"/{kind}/service-info", name=f"{kind} service-info")
    def service_info() -> dict[str, Any]:
        """Return the GA4GH service-info."""
        return {
            "id": f"modos.genomics.htsget.{kind}",
            "name": f"modos htsget {kind}",
            "version": full_version(),
            "description": "Regions of the files of multi-omics digital objects",
            "type": {"group": "org.ga4gh", "artifact": "htsget", "version": "1.3.0"},
            "organization": {"name": "modos", "url": "https://w3id.org/sdsc-ordes/modos-schema/"},
            "htsget": {
                "datatype": kind,
                "formats": list(PREFERENCE[kind]),
                "fieldsParameterEffective": kind == "reads",
                "tagsParametersEffective": kind == "reads",
                "exactParameterEffective": True,
            },
        }

    @router.get(f"/{kind}/{{file_id:path}}", name=f"{kind} ticket")
    def get_ticket(file_id: str, request: Request) -> Response:
        """Return a ticket for a file or a region of it."""
        return _answer(tickets(request, file_id), kind, file_id, Query.from_params(request.query_params, kind))

    @router.post(f"/{kind}/{{file_id:path}}", name=f"{kind} ticket for several regions")
    async def post_ticket(file_id: str, request: Request) -> Response:
        """Return a ticket for a file or some regions of it."""
        if not set(request.query_params) <= slices.WAYS or (request.scope["query_string"] and not request.query_params):
            raise HtsgetError(
                "InvalidInput", f"a POST request has no parameters in its address but {' and '.join(sorted(slices.WAYS))}"
            )
        asked = tickets(request, file_id)
        query = Query.from_body(await read_body(request, MAX_REQUEST), kind)
        return await run_in_threadpool(_answer, asked, kind, file_id, query)


def _answer(tickets: _Tickets, kind: RecordKind, file_id: str, query: Query) -> Response:
    return Response(tickets.make_ticket(kind, file_id, query).to_bytes(), media_type=MEDIA_TYPE)


class _Tickets:
    """Makes tickets that the client of a request can use."""

    def __init__(
        self,
        catalog: Catalog,
        access: Access,
        planner: Planner,
        made: slices.Slices,
        sealed: SealedTickets,
        request: Request,
        public_url: str | None,
    ):
        self._catalog = catalog
        self._planner = planner
        self._made = made
        self._base_url = public_url or str(request.base_url).rstrip("/")
        self._authorization = request.headers.get("Authorization")
        self._sealed = sealed
        self._access = access
        self._request = request

    def make_ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket:
        """Make the ticket: one stream, with every record once and in the file's order."""
        key, regions, ticket = self._plan_ticket(kind, file_id, query)
        places = {"server" if self._is_ours(block.url) else "s3" for block in ticket.blocks if block.url}
        note(
            self._request,
            GRANTED,
            key,
            regions=regions,
            only="header" if query.header_only else query.lists() or None,
            bytes=_count_bytes(ticket),
            inline=sum(len(block.content or b"") for block in ticket.blocks) or None,
            via=min(places, default="ticket"),
            seconds=EXPIRES if "s3" in places else None,
        )
        return ticket

    def _is_ours(self, url: str) -> bool:
        return url.startswith(tuple(self._base_url + path for path in ("/files/", f"{partial.PATH}/", f"{slices.PATH}/")))

    def _plan_ticket(self, kind: RecordKind, file_id: str, query: Query) -> tuple[str, Regions | None, Ticket]:
        """Plan a ticket: of an encrypted file, of an exact slice, or of ranges; with the file's key, and the regions given."""
        if query.encryption_scheme and (key := self._find_sealed(kind, file_id, query)):
            if query.regions and self._wants_exact():
                raise HtsgetError("UnsupportedFormat", f"{file_id} is encrypted: its regions come with neighbours, not exactly")
            reader = parse_reader(self._request.headers.get(PUBLIC_KEY_HEADER))
            ticket = self._sealed.make_ticket(key, query, reader, self._authorization, self._address)
            return key, query.regions or None, ticket
        planned = self._made.plan(self._request, kind, file_id, query, query.regions or None)
        if planned.is_bounded or (query.regions and self._wants_exact()):
            return planned.key, planned.regions, self._make_exact(kind, file_id, query, planned)
        check_format(planned.key, query.format)
        return planned.key, query.regions or None, self._make_ranges(planned.key, query)

    def _wants_exact(self) -> bool:
        return slices.wants_exact(self._request.headers, self._request.query_params)

    def _make_ranges(self, key: str, query: Query) -> Ticket:
        if partial.is_made(query, streamable_format(key).name):
            return Ticket("BAM", tuple(self._make_blocks(key, query)))
        if query.header_only:
            plan, block_class = self._planner.plan_header(key), HEADER_CLASS
        else:
            plan, block_class = self._planner.plan(key, query.regions or None, inline=INLINE), None
        return Ticket(plan.format.name, tuple(self._blocks(key, plan.segments, block_class)))

    def _make_exact(self, kind: RecordKind, file_id: str, query: Query, planned: slices.Planned) -> Ticket:
        """Make the ticket of an exact slice, which is looked up and made when it is fetched."""
        format_name = self._made.check(planned, query)
        headers = self._credentials | ({STORED_KEY_HEADER: "1"} if STORED_KEY_HEADER in self._request.headers else {})
        url = slices.address(self._base_url, kind, file_id, query, planned.named_regions)
        block = Block(url, headers, HEADER_CLASS if query.header_only else None)
        return Ticket(format_name, (block,), planned.allowed, bounds=planned.describe(kind))

    def _find_sealed(self, kind: RecordKind, file_id: str, query: Query) -> str | None:
        """Find the key of an encrypted file, for who may read all of it; None if there is none of the id."""
        exact = STORED_KEY_HEADER in self._request.headers
        try:
            key = find_file(self._catalog, kind, file_id, query.format, exact=exact, encrypted=True)
        except NotFoundError:
            return None
        self._access.check(caller_of(self._request), "read", key)
        return key

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
