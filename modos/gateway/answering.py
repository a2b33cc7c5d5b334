"""Answer requests for files by range, with no more fetched than is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from modos.errors import ModosError
from modos.gateway.kept_pieces import KeptPieces
from modos.gateway.peer_sockets import count_unread
from modos.gateway.ranges_asked import UnsatisfiableRangeError, parse_range
from modos.gateway.read_ahead import INDEX, ReadAhead, Wanted
from modos.gateway.stops import Stops, read_stops
from modos.object.plain_files import PlainFile
from modos.server.conditions import check_conditions, entity_tag, wants_part

_TYPE = "application/octet-stream"
_MOST_STOPS = 32  # files whose stops are remembered

Failed = Callable[[ModosError], object]


class FileAnswers:
    """Answers to requests for files, over memory that all of them share."""

    def __init__(self, kept: KeptPieces | None = None):
        self._kept = kept or KeptPieces()
        self._stops: dict[tuple[str, str], Stops] = {}

    async def answer(
        self, request: Request, file: PlainFile, indexes: Iterable[PlainFile] = (), failed: Failed = lambda error: None
    ) -> Response:
        """Answer a GET or HEAD of a file; Range, If-Range, If-Match and If-None-Match are honoured.

        Parameters
        ----------
        indexes
            The indexes of the file: one that was given out before tells how far readers of regions read.
        failed
            Told of the error that ends an answer before its end.

        Raises
        ------
        ModosError
            The first bytes cannot be read.
        """
        info = await run_in_threadpool(file.open)
        tag = entity_tag(info.etag)
        if answer := check_conditions(request, tag):
            return answer
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
        given = request.headers.get("range") if request.method == "GET" and wants_part(request, tag) else None
        try:
            part = parse_range(given, info.size)
        except UnsatisfiableRangeError:
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{info.size}"})
        wanted = part or Wanted(0, info.size, is_open=True)
        headers["Content-Length"] = str(wanted.end - wanted.start)
        if part:
            headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{info.size}"
        if request.method == "HEAD":
            return Response(headers=headers, media_type=_TYPE)
        stops = await run_in_threadpool(self._find_stops, file, indexes) if wanted.is_open and wanted.start else Stops()
        ahead = ReadAhead(self._kept, file, wanted, _counter(request), stops)
        pieces = ahead.read()
        first = await anext(pieces, b"")
        return CutAnswer(_chain(first, pieces), 206 if part else 200, headers, failed)

    def _find_stops(self, file: PlainFile, indexes: Iterable[PlainFile]) -> Stops:
        """Find where readers of regions stop, by an index that was read."""
        for index in indexes:
            known = index.name, index.tag
            if known not in self._stops and (data := self._read_kept(index)) is not None:
                self._stops[known] = read_stops(file.name, data)
                while len(self._stops) > _MOST_STOPS:
                    del self._stops[next(iter(self._stops))]
            if known in self._stops:
                return self._stops[known]
        return Stops()

    def _read_kept(self, index: PlainFile) -> bytes | None:
        """Return the bytes of an index all of which is kept; else None."""
        size, parts, at = index.open().size, list[bytes](), 0
        while at < size <= INDEX:
            piece = self._kept.find(index, at)
            if piece is None or not piece.data.done() or piece.data.exception():
                return None
            parts.append(piece.data.result()[at - piece.start :])
            at = piece.end
        return b"".join(parts) or None


class CutAnswer(StreamingResponse):
    """An answer that ends before its end, as the client sees by its length, where the bytes cannot be read."""

    def __init__(self, pieces: AsyncIterator[bytes], status_code: int, headers: Mapping[str, str], failed: Failed):
        super().__init__(pieces, status_code, headers, _TYPE)
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        except ModosError as error:
            self._failed(error)


async def _chain(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


def _counter(request: Request) -> Callable[[], int | None]:
    """Return what counts the bytes that a client has not read yet."""
    client, own = request.scope.get("client"), request.scope.get("server")
    return partial(count_unread, tuple(client), tuple(own)) if client and own else lambda: None
