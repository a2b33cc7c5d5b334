"""Fetch bytes over HTTP, check every status, range and length, and resume what breaks."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from modos.errors import (
    AccessError,
    ModosError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    TransportError,
    TruncatedStream,
)
from modos.genomics.htsget.addresses import origin
from modos.genomics.htsget.protocol import Block
from modos.storage.http.asking import transport_reason
from modos.storage.processes import forking
from modos.storage.processes.forking import check_same_process

PIECE = 1 << 20  # bytes per read
TIMEOUT = (10, 30)  # seconds to connect, between two reads
ATTEMPTS = 5  # without PROGRESS bytes in between
PROGRESS = 1 << 16
DEADLINE = 60.0  # seconds for a small answer, with all attempts
_LONGEST_WAIT = 20.0  # seconds

logger = logging.getLogger(__name__)


class Expired(AccessError):
    """A block's address is not good any more."""


@dataclass
class Seen:
    """Facts that the answers of one stream have told.

    Parameters
    ----------
    tags
        The ETag of each address.
    sizes
        The bytes of each block, by its number, that is all of an address whose parts may be asked for.
    """

    tags: dict[str, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)


class Transport:
    """Requests on connections that are kept.

    Parameters
    ----------
    server
        The server that is trusted: where it leads is checked against it, and
        the token is for it alone.
    token
        Bearer token.
    headers
        To send with each question, and to nobody but the server.
    """

    def __init__(self, server: str, token: str | None = None, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._server = server
        self._token = token
        self._headers = dict(headers)
        forking.begin(self, Transport._start)

    def _start(self) -> None:
        from modos.genomics.htsget.session import open_session

        self._session = open_session(self._server)

    def ask(self, url: str, params: dict[str, str], body: bytes | None, limit: int) -> tuple[int, bytes]:
        """Fetch status and body of a small answer, of which at most `limit` bytes are read; retry if it fails.

        A GET request, or a POST where there is a body.
        """
        where = url.partition("?")[0]
        headers = {"Accept": "application/json, */*"} | ({"Content-Type": "application/json"} if body else {})
        if self._token and origin(url) == origin(self._server):
            headers["Authorization"] = f"Bearer {self._token}"
        if origin(url) == origin(self._server):
            headers |= self._headers
        end = time.monotonic() + DEADLINE
        for wait in _waits():
            try:
                with self._open(url, headers, params, body) as response:
                    _refuse_passing(response.status_code, response.headers, where)
                    answer = bytearray()
                    while len(answer) < limit and (piece := self._read(response.raw, min(PIECE, limit - len(answer)), where)):
                        answer += piece
                    return response.status_code, bytes(answer)
            except RemoteError as error:
                _wait_or_raise(error, wait if time.monotonic() < end else None, where, None)
        raise AssertionError

    def pieces(
        self,
        find_block: Callable[[], Block],
        start: int = 0,
        end: int | None = None,
        *,
        seen: Seen,
        number: int = 0,
        stop: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """Yield bytes [start, end) of a block's content, or all of it, in pieces; complete, or an error.

        A connection that breaks, or is too slow (`modos.storage.http.pace`), is made anew
        for the bytes that are missing; a few times, where few come on each.

        Parameters
        ----------
        find_block
            Gives the block, which may have another address when it is asked
            again.
        seen
            What earlier answers told. Another ETag is an error, as the file
            was changed in between.
        number
            The block's number.
        stop
            Ends it early.

        Raises
        ------
        TransportError, TruncatedStream, ProtocolError, AccessError, RemoteError
            It cannot be fetched, is cut short, or is not the range that was
            asked for. Expired, where the address is not good any more.
        """
        received, waits, since = 0, _waits(), 0
        while True:
            where = find_block().url.partition("?")[0]
            try:
                for piece in self._try_pieces(find_block(), start + received, end, seen, number):
                    received += len(piece)
                    yield piece
                    if stop is not None and stop.is_set():
                        return
                return
            except (RemoteError, TruncatedStream) as error:
                if isinstance(error, ProtocolError):
                    raise
                if received - since >= PROGRESS:
                    waits, since = _waits(), received
                _wait_or_raise(error, next(waits), where, start + received)

    def _try_pieces(self, block: Block, start: int, end: int | None, seen: Seen, number: int) -> Iterator[bytes]:
        where, own = block.url.partition("?")[0], block.byte_range
        offset = own.start if own else 0
        asked, skip = (start + offset, end + offset if end is not None else own.end if own else None), 0
        if not is_splittable(block):
            asked, skip = ((own.start, own.end) if own else (0, None)), start
        headers = {name: value for name, value in block.headers.items() if name.lower() != "range"}
        if own or asked != (0, None):
            headers["Range"] = f"bytes={asked[0]}-{asked[1] - 1 if asked[1] is not None else ''}"
        wanted = end - start if end is not None else own.end - own.start - start if own else None
        with self._open(block.url, headers) as response:
            _refuse_passing(response.status_code, response.headers, where)
            length, ahead = check_answer(response, asked if "Range" in headers else None, where, whole=own is None)
            tag = response.headers.get("ETag")
            if tag and seen.tags.setdefault(where, tag) != tag:
                raise ProtocolError(f"{where} was changed while it was read", "try again")
            if (
                length
                and "Range" not in headers
                and response.headers.get("Accept-Ranges") == "bytes"
                and "Content-Encoding" not in response.headers
            ):
                seen.sizes[number] = length
            yield from self._body(response.raw, where, length, skip + ahead, wanted)

    def _body(self, raw: Any, where: str, length: int | None, skip: int, wanted: int | None) -> Iterator[bytes]:
        """Yield the body without its first bytes, and no more than are wanted."""
        seen, given, home = 0, 0, os.getpid()
        while wanted is None or given < wanted:
            check_same_process(home)
            piece = self._read(raw, PIECE, where)
            if not piece:
                break
            seen += len(piece)
            if length is not None and seen > length:
                raise ProtocolError(f"{where} sends more than the {length:,} bytes it announced")
            if skip:
                skip, piece = max(skip - len(piece), 0), piece[skip:]
            if wanted is not None:
                piece = piece[: wanted - given]
            given += len(piece)
            if piece:
                yield piece
        if (wanted is not None and given < wanted) or (wanted is None and length is not None and seen < length):
            raise TruncatedStream(f"{where} ended after {seen:,} of {length or wanted:,} bytes")

    def _open(self, url: str, headers: dict[str, str], params: dict[str, str] | None = None, body: bytes | None = None) -> Any:
        import requests

        try:
            return self._session.request(
                "GET" if body is None else "POST",
                url,
                params=params,
                data=body,
                stream=True,
                headers={"Accept-Encoding": "identity"} | headers,
                timeout=TIMEOUT,
            )
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, requests.TooManyRedirects) as error:
            raise ProtocolError(f"{url.partition('?')[0]} leads nowhere: {transport_reason(error)}") from None
        except (requests.RequestException, OSError) as error:
            if isinstance(error, ModosError):
                raise
            raise TransportError(
                f"cannot reach {url.partition('?')[0]}: {transport_reason(error)}",
                "is the server running, and is the endpoint right?",
            ) from None

    def _read(self, raw: Any, size: int, where: str) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            data: bytes = raw.read(size, decode_content="Content-Encoding" in raw.headers)
            return data
        except (HTTPError, OSError) as error:
            raise TransportError(
                f"the connection to {where} broke: {transport_reason(error)}", "try again; nothing of what arrived is complete"
            ) from None


def is_splittable(block: Block) -> bool:
    """Return whether other ranges of a block's address may be asked for; not where its signature covers the Range."""
    if "X-Amz-SignedHeaders" not in block.url:
        return True
    signed = parse_qs(urlsplit(block.url).query).get("X-Amz-SignedHeaders", [""])[0]
    return "range" not in signed.lower().split(";")


def check_answer(response: Any, asked: tuple[int, int | None] | None, where: str, *, whole: bool) -> tuple[int | None, int]:
    """Check a block's status and range; returns its length, None if nobody says, and the bytes too many ahead.

    Parameters
    ----------
    asked
        The first byte that was asked for and the one after the last, None
        for the end; None if no range was.
    whole
        The block is all of a file, which may come instead of its rest.
    """
    status = response.status_code
    if status in (401, 403, 410):
        raise Expired(f"{where} refuses access (HTTP {status})", "the ticket may have expired: try again")
    if status == 404:
        raise NotFoundError(f"{where} is gone (HTTP 404)")
    if status not in (200, 206):
        raise ProtocolError(f"{where} answers HTTP {status}")
    declared = response.headers.get("Content-Length")
    length = int(declared) if declared and declared.isdigit() else None
    if asked is None:
        if status == 206:
            raise ProtocolError(f"{where} sends a part where the whole was asked for")
        return length, 0
    match = re.match(r"bytes (\d+)-(\d+)/", response.headers.get("Content-Range", ""))
    if status == 200 and whole:
        return length, asked[0]
    if status != 206 or not match:
        raise ProtocolError(f"{where} ignores the Range it was asked for (HTTP {status})")
    first, last = int(match[1]), int(match[2])
    if first != asked[0] or (asked[1] is not None and last + 1 != asked[1]) or length not in (None, last + 1 - first):
        raise ProtocolError(
            f"{where} sends bytes {first}-{last} where {asked[0]}-{asked[1] - 1 if asked[1] is not None else ''} were asked for"
        )
    return last + 1 - first, 0


def _refuse_passing(status: int, headers: Any, where: str) -> None:
    """Raise for what may be better in a moment."""
    if status in (408, 425, 429, 500, 502, 503, 504):
        error = RemoteError(f"{where} failed (HTTP {status})", "try again later")
        after = headers.get("Retry-After", "")
        error.retry_after = min(float(after), _LONGEST_WAIT) if after.isdigit() else 0.0
        raise error


def _waits() -> Iterator[float | None]:
    """Yield the seconds to wait after each failure; None after the last."""
    for attempt in range(ATTEMPTS - 1):
        yield random.uniform(0.5, 1) * 0.2 * 2**attempt
    yield None


def _wait_or_raise(error: ModosError, wait: float | None, where: str, at: int | None) -> None:
    if wait is None or isinstance(error, ProtocolError):
        raise error
    wait = max(wait, getattr(error, "retry_after", 0.0))
    logger.debug("%s%s; again in %.1f s", error.message, f" at byte {at:,}" if at else "", wait)
    time.sleep(wait)
