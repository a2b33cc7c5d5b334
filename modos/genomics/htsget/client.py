"""A client for htsget that gets tickets and the bytes they stand for."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any
from urllib.parse import quote

from modos.errors import AccessError, InvalidInputError, NotFoundError, ProtocolError, RemoteError
from modos.formats import STORED_KEY_HEADER, RecordKind
from modos.genomics.htsget.comparing import compare_parts
from modos.genomics.htsget.protocol import MAX_TICKET, PUBLIC_KEY_HEADER, Ticket, error_from_response
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.transport import Expired, Seen, Transport, is_splittable
from modos.remote.services import check_url
from modos.storage.http.asking import read_json
from modos.storage.prefetch import fetch_ahead

WORKERS = 8
MAX_REGIONS = 1000  # of one POST request
MAX_INFO = 1 << 20  # bytes
PART = 4 << 20  # bytes that a worker holds
PROBE = 4 << 20  # bytes after which it shows whether a connection is slow
FAST = 250e6  # bytes a second that further connections would hardly raise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """Bytes [start, end) of a ticket's block; all of it where the end is None."""

    block: int
    start: int = 0
    end: int | None = None
    kind: str = "small"


class HtsgetClient:
    """A client of one htsget server.

    Parameters
    ----------
    url
        The server, to which `/reads/ID` and `/variants/ID` are added.
    workers
        How many parts are fetched at once.
    token
        Bearer token for the server; it is told to no other.
    public_key
        File of the Crypt4GH key that the server may seal its answers for.
    stored
        Whether ids are of keys: a modos server is told so, and gives no other
        file that has the name.
    """

    def __init__(
        self, url: str, workers: int = WORKERS, token: str | None = None, public_key: bytes | None = None, *, stored: bool = False
    ):
        self.url = check_url(url, "an htsget server")
        headers = {} if public_key is None else {PUBLIC_KEY_HEADER: base64.b64encode(public_key).decode()}
        self._transport = Transport(self.url, token, headers | ({STORED_KEY_HEADER: "1"} if stored else {}))
        self._workers = workers

    def fetch_ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket:
        """Ask for a ticket: with GET, or with POST for more than one region.

        Parameters
        ----------
        file_id
            The server's id of the file; it may have slashes.

        Raises
        ------
        ModosError
            What the server says (NotFoundError, AccessError, RegionError,
            InvalidInputError), TransportError, or ProtocolError.
        """
        url = f"{self.url}/{kind}/{quote(file_id, safe='/')}"
        params, body = ({}, query.to_body()) if len(query.regions) > 1 else (query.to_params(), None)
        status, answer = self._transport.ask(url, params, body, MAX_TICKET + 1)
        if status != 200:
            raise error_from_response(status, answer, file_id)
        if len(answer) > MAX_TICKET:
            raise ProtocolError(f"{url} answers with a ticket of more than {MAX_TICKET >> 20} MiB")
        return Ticket.from_json(answer, "BAM" if kind == "reads" else "VCF", query.format)

    def fetch_tickets(self, kind: RecordKind, file_id: str, query: Query) -> Iterator[tuple[Query, Ticket]]:
        """Fetch tickets that together are the query's regions, each with the part of the query that it answers.

        One, where the server takes several regions and gives one stream of
        them; else one for each region.
        """
        if len(query.regions) < 2:
            yield query, self.fetch_ticket(kind, file_id, query)
            return
        done = 0
        for start in range(0, len(query.regions), MAX_REGIONS):
            part = replace(query, regions=query.regions[start : start + MAX_REGIONS])
            ticket = self._post_ticket(kind, file_id, part) if len(part.regions) > 1 else self.fetch_ticket(kind, file_id, part)
            if ticket is None:
                break
            yield part, ticket
            done += len(part.regions)
        single = [replace(query, regions=(region,)) for region in query.regions[done:]]
        yield from zip(single, fetch_ahead(lambda one, _: self.fetch_ticket(kind, file_id, one), single, self._workers))

    def _post_ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket | None:
        """Fetch the ticket of a POST request; None if the server does not support it, or answers with several streams."""
        try:
            ticket = self.fetch_ticket(kind, file_id, query)
        except AccessError:
            raise
        except (InvalidInputError, NotFoundError, RemoteError) as error:
            logger.debug("%s; asking for one region at a time", error)
            return None
        if not ticket.is_one_stream:
            logger.debug("the htsget server answers with several files; asking for one region at a time")
            return None
        return ticket

    def service_info(self, kind: RecordKind) -> dict[str, Any]:
        """Fetch the description of the server (GA4GH service-info)."""
        url = f"{self.url}/{kind}/service-info"
        status, answer = self._transport.ask(url, {}, None, MAX_INFO)
        if status != 200:
            raise error_from_response(status, answer, "service-info")
        try:
            return dict(read_json(answer))
        except (ValueError, TypeError):
            raise ProtocolError(f"{url} is not the service-info of an htsget server") from None

    def iter_bytes(self, ticket: Ticket, renew: Callable[[], Ticket] | None = None) -> Iterator[bytes]:
        """Iterate over the stream that a ticket stands for, in pieces and in order; complete, or an error.

        A few parts are fetched ahead: small blocks always, large ones split
        where one connection is slow and the server allows it.

        Parameters
        ----------
        renew
            Asks for the same ticket again, where an address has expired.

        Raises
        ------
        TransportError, TruncatedStream, ProtocolError, AccessError, RemoteError
            A block that cannot be fetched, is cut short, or is not the range
            that was asked for.
        """
        return _Stream(self._transport, ticket, renew, self._workers).pieces()


class _Stream:
    """The bytes of one ticket, under way."""

    def __init__(self, transport: Transport, ticket: Ticket, renew: Callable[[], Ticket] | None, workers: int):
        self._transport = transport
        self._ticket = ticket
        self._renew = renew
        self._workers = workers
        self._lock = threading.Lock()
        self._is_slow = False
        self._seen = Seen()

    def pieces(self) -> Iterator[bytes]:
        """Yield all of the stream, in order."""
        for kind, parts in groupby(self._parts(), lambda part: part.kind):
            if kind == "small":
                yield from fetch_ahead(self._fetch, parts, self._workers)
                continue
            for part in parts:
                yield from self._compare(part.block, self._large(part), None)

    def _large(self, part: _Part) -> Iterator[bytes]:
        """Yield the bytes of a large block as they come, or, where that is slow, in parts that are fetched ahead."""
        rest = yield from self._pace(part)
        if rest is not None:
            yield from fetch_ahead(self._fetch, self._split(part.block, *rest), self._workers)

    def _compare(self, block: int, pieces: Iterator[bytes], stop: threading.Event | None) -> Iterator[bytes]:
        def fetch_again(start: int, end: int) -> bytes:
            return b"".join(self._iter(_Part(block, start, end), stop))

        return compare_parts(pieces, self._ticket.blocks[block], fetch_again)

    def _parts(self) -> Iterator[_Part]:
        """Yield the blocks: small ones are fetched ahead, large ones read as they come or in parts."""
        for number, block in enumerate(self._ticket.blocks):
            span = block.byte_range
            if block.decode_inline() is not None or (span and span.size <= PART):
                yield _Part(number)
            elif not is_splittable(block):
                yield _Part(number, kind="whole")
            else:
                yield _Part(number, 0, span.size if span else None, kind="large")

    def _split(self, block: int, start: int, end: int) -> Iterator[_Part]:
        for at in range(start, end, PART):
            yield _Part(block, at, min(at + PART, end))

    def _pace(self, part: _Part) -> Generator[bytes, None, tuple[int, int] | None]:
        """Read a block on one connection; where that is slow and others would help, stop and return which bytes are left."""
        if part.kind == "large" and part.end and self._is_slow:
            return part.start, part.end
        pieces, received, waited = self._iter(part, None), 0, 0.0
        while True:
            begin = time.perf_counter()
            piece = next(pieces, None)
            waited += time.perf_counter() - begin
            if piece is None:
                return None
            received += len(piece)
            yield piece
            end = part.end or self._seen.sizes.get(part.block)
            if received == len(piece):
                waited = 0.0  # the way there and back says nothing of the rate
            elif part.kind == "large" and end and received >= PROBE and received < FAST * waited:
                pieces.close()
                self._is_slow = True
                return received, end

    def _fetch(self, part: _Part, stop: threading.Event) -> bytes:
        data = self._ticket.blocks[part.block].decode_inline()
        if data is not None:
            return data
        pieces = self._iter(part, stop)
        return b"".join(self._compare(part.block, pieces, stop) if part.end is None else pieces)

    def _iter(self, part: _Part, stop: threading.Event | None) -> Generator[bytes, None, None]:
        received = 0
        while True:
            ticket = self._ticket
            try:
                for piece in self._transport.pieces(
                    partial(ticket.blocks.__getitem__, part.block),
                    part.start + received,
                    part.end,
                    seen=self._seen,
                    number=part.block,
                    stop=stop,
                ):
                    received += len(piece)
                    yield piece
                return
            except Expired as error:
                self._renew_ticket(ticket, error)

    def _renew_ticket(self, old: Ticket, error: Expired) -> None:
        """Fetch a new ticket in the place of one that has expired; once."""
        with self._lock:
            if self._ticket is not old:
                return
            if self._renew is None:
                raise AccessError(error.message, error.hint) from None
            logger.debug("%s; asking for a new ticket", error.message)
            new = self._renew()
            self._renew = None
            if [block.byte_range for block in new.blocks] != [block.byte_range for block in old.blocks]:
                raise ProtocolError("the htsget server gives another ticket for the same file: it was changed meanwhile")
            self._ticket = new
