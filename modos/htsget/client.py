"""An htsget client: tickets, and the bytes they stand for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import quote

from modos.config import check_url
from modos.errors import AccessError, ProtocolError
from modos.formats import RecordKind
from modos.htsget.protocol import MAX_TICKET, Query, Ticket, error_from_response
from modos.htsget.transport import Expired, Transport, is_splittable
from modos.prefetch import fetch_ahead

WORKERS = 4
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
    """

    def __init__(self, url: str, workers: int = WORKERS):
        self._url = check_url(url, "an htsget server")
        self._transport = Transport()
        self._workers = workers

    def ticket(self, kind: RecordKind, file_id: str, query: Query) -> Ticket:
        """Ask for a ticket.

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
        url = f"{self._url}/{kind}/{quote(file_id, safe='/')}"
        accept = {"Accept": "application/json, */*"}
        status, body = self._transport.get(url, accept, query.to_params(), MAX_TICKET + 1)
        if status != 200:
            raise error_from_response(status, body, file_id)
        if len(body) > MAX_TICKET:
            raise ProtocolError(f"{url} answers with a ticket of more than {MAX_TICKET >> 20} MiB")
        return Ticket.from_json(body, "BAM" if kind == "reads" else "VCF")

    def iter_bytes(self, ticket: Ticket, renew: Callable[[], Ticket] | None = None) -> Iterator[bytes]:
        """The stream a ticket stands for, in pieces and in order; complete, or an error.

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
        self._tags: dict[str, str] = {}

    def pieces(self) -> Iterator[bytes]:
        """All of it, in order."""
        for kind, parts in groupby(self._parts(), lambda part: part.kind):
            if kind == "small":
                yield from fetch_ahead(self._fetch, parts, self._workers)
                continue
            for part in parts:
                done = yield from self._pace(part)
                if done is not None:
                    yield from fetch_ahead(self._fetch, self._split(part, done), self._workers)

    def _parts(self) -> Iterator[_Part]:
        """The blocks: small ones are fetched ahead, large ones read as they come or in parts."""
        for number, block in enumerate(self._ticket.blocks):
            span = block.byte_range
            if block.inline() is not None or (span and span.size <= PART):
                yield _Part(number)
            elif span is None or not is_splittable(block):
                yield _Part(number, kind="whole")
            else:
                yield _Part(number, 0, span.size, kind="large")

    def _split(self, part: _Part, start: int) -> Iterator[_Part]:
        for at in range(start, part.end, PART):
            yield _Part(part.block, at, min(at + PART, part.end))

    def _pace(self, part: _Part) -> Generator[bytes, None, int | None]:
        """Read a block on one connection; where that is slow and others would help, stop and return the bytes done."""
        if part.kind == "large" and self._is_slow:
            return 0
        pieces, received, waited = self._iter(part, None), 0, 0.0
        while True:
            begin = time.perf_counter()
            piece = next(pieces, None)
            waited += time.perf_counter() - begin
            if piece is None:
                return None
            received += len(piece)
            yield piece
            if received == len(piece):
                waited = 0.0  # the way there and back says nothing of the rate
            elif part.kind == "large" and received >= PROBE and received < FAST * waited:
                pieces.close()
                self._is_slow = True
                return received

    def _fetch(self, part: _Part, stop: threading.Event) -> bytes:
        data = self._ticket.blocks[part.block].inline()
        return data if data is not None else b"".join(self._iter(part, stop))

    def _iter(self, part: _Part, stop: threading.Event | None) -> Iterator[bytes]:
        received = 0
        while True:
            ticket = self._ticket
            try:
                for piece in self._transport.pieces(lambda: ticket.blocks[part.block], part.start + received, part.end,
                                                    tags=self._tags, stop=stop):
                    received += len(piece)
                    yield piece
                return
            except Expired as error:
                self._renewed(ticket, error)

    def _renewed(self, old: Ticket, error: Expired) -> None:
        """Have a new ticket in the place of one that has expired; once."""
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
