"""Send responses piece by piece, and stop what makes them when they end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Generator, Mapping

import anyio
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool
from starlette.types import Receive, Scope, Send

from modos.errors import ModosError, TruncatedStream
from modos.storage import Storage

PIECE, REMOTE_PIECE = (
    256 << 10,
    1 << 20,
)  # bytes of a file that an answer holds at a time: there may be hundreds that nobody reads


logger = logging.getLogger(__name__)


class Pieces(StreamingResponse):
    """An answer of pieces, whose generator is closed also where the client goes away before its end.

    Parameters
    ----------
    begun
        The first piece, where it was made before.
    """

    def __init__(
        self,
        pieces: Generator[bytes, None, None],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        *,
        begun: bytes = b"",
    ):
        self._pieces = pieces
        super().__init__(self._iterate(begun), status_code, headers, media_type)

    async def _iterate(self, begun: bytes) -> AsyncIterator[bytes]:
        if begun:
            yield begun
        async for piece in iterate_in_threadpool(self._pieces):
            yield piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI).

        Where the pieces fail, the answer ends before its end, as the client sees by its length or its last chunk.
        """
        try:
            await super().__call__(scope, receive, send)
        except ModosError as error:
            logger.error("%s %s ends before its end: %s", scope["method"], scope["path"], error)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._pieces.close)


def iter_file(storage: Storage, key: str, start: int, end: int, tag: str) -> Generator[bytes, None, None]:
    """Iterate over bytes [start, end) of a file with a tag, a piece at a time and none ahead.

    Raises
    ------
    ConflictError
        It was replaced.
    TruncatedStream
        It ends before.
    """
    step = PIECE if storage.local_path(key) is not None else REMOTE_PIECE
    for at in range(start, end, step):
        stop = min(at + step, end)
        piece, _ = storage.read_part(key, at, stop, if_match=tag)
        if len(piece) != stop - at:
            raise TruncatedStream(f"{storage.url}/{key} ends at byte {at + len(piece):,}, before {end:,}")
        yield piece
