"""An htsget client: tickets, and the bytes they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from modos.config import check_url, transport_reason
from modos.errors import AccessError, NotFoundError, ProtocolError, RemoteError, TransportError, TruncatedStream
from modos.formats import RecordKind
from modos.htsget.protocol import MAX_TICKET, Block, Query, Ticket, error_from_response

PIECE = 1 << 20  # bytes per read
TIMEOUT = (10, 60)  # seconds to connect, between two reads


class HtsgetClient:
    """A client of one htsget server.

    Parameters
    ----------
    url
        The server, to which `/reads/ID` and `/variants/ID` are added.
    """

    def __init__(self, url: str):
        import requests

        self._url = check_url(url, "an htsget server")
        self._session = requests.Session()

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
        with self._get(url, {"Accept": "application/json, */*"}, query.to_params()) as response:
            body = self._read(response.raw, MAX_TICKET + 1, url)
            if response.status_code != 200:
                raise error_from_response(response.status_code, body, file_id)
        if len(body) > MAX_TICKET:
            raise ProtocolError(f"{url} answers with a ticket of more than {MAX_TICKET >> 20} MiB")
        return Ticket.from_json(body, "BAM" if kind == "reads" else "VCF")

    def iter_bytes(self, ticket: Ticket) -> Iterator[bytes]:
        """The stream a ticket stands for, in pieces; complete, or an error.

        Raises
        ------
        TransportError, TruncatedStream, ProtocolError, AccessError, RemoteError
            A block that cannot be fetched, is cut short, or is not the range
            that was asked for.
        """
        for block in ticket.blocks:
            data = block.inline()
            if data is not None:
                yield data
            else:
                yield from self._iter_block(block)

    def _iter_block(self, block: Block) -> Iterator[bytes]:
        where = block.url.partition("?")[0]
        wanted = block.byte_range
        with self._get(block.url, dict(block.headers)) as response:
            length = _check_answer(response, wanted, where)
            received = 0
            while piece := self._read(response.raw, PIECE, where):
                received += len(piece)
                if length is not None and received > length:
                    raise ProtocolError(f"{where} sends more than the {length:,} bytes it announced")
                yield piece
        if length is not None and received < length:
            raise TruncatedStream(f"{where} ended after {received:,} of {length:,} bytes")

    def _get(self, url: str, headers: dict[str, str], params: dict[str, str] | None = None) -> Any:
        import requests

        try:
            return self._session.get(url, params=params, headers={"Accept-Encoding": "identity"} | headers,
                                     stream=True, timeout=TIMEOUT)
        except (requests.RequestException, OSError) as error:
            raise TransportError(f"cannot reach {url.partition('?')[0]}: {transport_reason(error)}",
                                 "is the server running, and is the endpoint right?") from None

    def _read(self, raw: Any, size: int, where: str) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            return raw.read(size, decode_content="Content-Encoding" in raw.headers)
        except (HTTPError, OSError) as error:
            raise TransportError(f"the connection to {where} broke: {transport_reason(error)}",
                                 "try again; nothing of what arrived is complete") from None


def _check_answer(response: Any, wanted: Any, where: str) -> int | None:
    """Check a block's status and range; returns the bytes it must have, None where nobody says."""
    status = response.status_code
    if status in (401, 403):
        raise AccessError(f"{where} refuses access (HTTP {status})", "the ticket may have expired: try again")
    if status == 404:
        raise NotFoundError(f"{where} is gone (HTTP 404)")
    if status not in (200, 206):
        raise RemoteError(f"{where} failed (HTTP {status})", "try again")
    declared = response.headers.get("Content-Length")
    length = int(declared) if declared and declared.isdigit() else None
    if wanted is None:
        if status == 206:
            raise ProtocolError(f"{where} sends a part where the whole was asked for")
        return length
    match = re.match(r"bytes (\d+)-(\d+)/", response.headers.get("Content-Range", ""))
    if status != 206 or not match:
        raise ProtocolError(f"{where} ignores the Range it was asked for (HTTP {status})")
    if (int(match[1]), int(match[2]) + 1) != wanted or length not in (None, wanted.size):
        raise ProtocolError(f"{where} sends bytes {match[1]}-{match[2]} where {wanted.start}-{wanted.end - 1} "
                            "were asked for")
    return wanted.size
