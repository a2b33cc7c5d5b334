"""Read ahead of a client as far as it is going to read, and not much further.

A program that asks for the rest of a file from some byte on (htslib asks
`bytes=N-`) closes the connection once it has what it wants, which may be
little. So the first piece ends where the index says that readers of a region
end, and the next one is fetched once the program has read all of the one
before; each is as long as all before it. Who goes through a file in this way
for a while gets more pieces at a time, fetched in parallel.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from modos.gateway.kept_pieces import KeptPieces, Piece
from modos.gateway.stops import Stops
from modos.object.plain_files import PlainFile

FIRST = 1 << 16  # bytes that are fetched where a reader begins and nothing is known
LARGEST = 4 << 20  # bytes of a piece
WINDOW = 32 << 20  # bytes that are fetched ahead for one reader, at most
INDEX = 64 << 20  # bytes of an index that is fetched in one piece, as it is read and compared as a whole
_GOING_ON = 2 << 20  # bytes after which a reader is taken for one that goes on
_SOME = 512 << 10  # bytes after which a piece is half as long as what was read
_WHOLE = 8 << 20  # bytes after which a reader who began at the beginning is taken for one who wants all
_FRACTION = 4  # of what another reader has read, the part that is fetched at once
_SLICE = 1 << 18  # bytes that are sent at once
_PAUSE, _SETTLING, _PATIENCE = 0.001, 0.005, 0.02  # seconds between looks at the client, after one, and where nothing is seen

CountUnread = Callable[[], int | None]  # bytes that the client has not read yet; None if that cannot be told


@dataclass(frozen=True)
class Wanted:
    """Bytes [start, end) of a file that a client asks for.

    Parameters
    ----------
    is_open
        Whether it asked for all from the start on, and may not read all of it.
    """

    start: int
    end: int
    is_open: bool


class ReadAhead:
    """Pieces of a file ahead of one reader.

    Parameters
    ----------
    count_unread
        Tells how far the client is.
    stops
        Tells where readers of regions stop.
    """

    def __init__(self, kept: KeptPieces, file: PlainFile, wanted: Wanted, count_unread: CountUnread, stops: Stops):
        self._kept = kept
        self._file = file
        self._wanted = wanted
        self._count_unread = count_unread
        self._stops = stops
        self._ahead: deque[Piece] = deque()
        self._planned = wanted.start

    async def read(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes; whoever takes them slowly is waited for.

        Raises
        ------
        ModosError
            Something cannot be read, or was changed.
        """
        at = self._wanted.start
        while at < self._wanted.end:
            if at == self._planned and at > self._wanted.start and not self._goes_on(at):
                await self._wait_for_client()
            self._plan(at)
            piece = self._ahead.popleft()
            data = await asyncio.shield(asyncio.wrap_future(piece.data))
            stop = min(piece.end, self._wanted.end)
            while at < stop:
                end = min(at + _SLICE, stop)
                part = data[at - piece.start : end - piece.start]
                at = end
                yield part
                if self._goes_on(at):
                    self._plan(at)

    def _goes_on(self, at: int) -> bool:
        return not self._wanted.is_open or at - self._wanted.start >= _GOING_ON

    def _plan(self, at: int) -> None:
        """Have pieces fetched: the next one, or all of the window of a reader who goes on."""
        if not self._goes_on(at):
            if self._planned == at:
                self._take(self._next_end(at))
            return
        read = at - self._wanted.start
        if not self._wanted.is_open:
            size = window = WINDOW
        elif self._wanted.start or read < _WHOLE:
            size, window = read // _FRACTION, read // _FRACTION // 2
        else:
            size, window = read // 2, min(read, WINDOW)
        while self._planned < min(at + max(window, FIRST), self._wanted.end):
            self._take(min(self._planned + min(max(size, FIRST), LARGEST), self._wanted.end))

    def _next_end(self, at: int) -> int:
        """Return up to where a reader gets bytes who may stop soon."""
        if self._file.is_index and self._wanted.end <= INDEX:
            return self._wanted.end
        read = at - self._wanted.start
        least = max(read if read < _SOME else read // 2, FIRST)
        stop = self._stops.after(at, max(least * 3 // 4, FIRST)) if at else None
        if stop is None or stop > at + max(2 * least, LARGEST):
            stop = at + least
        return min(stop, self._wanted.end)

    def _take(self, end: int) -> None:
        piece = self._kept.get(self._file, self._planned, end)
        self._ahead.append(piece)
        self._planned = min(piece.end, self._wanted.end)

    async def _wait_for_client(self) -> None:
        """Wait until the client has read all that it was sent; where that is not to be seen, a moment."""
        while (unread := self._count_unread()) is not None:
            if unread == 0:  # who wants more than there is has read all that there is
                await asyncio.sleep(_SETTLING)  # what it took may be all that it wants: then it closes the connection now
                return
            await asyncio.sleep(_PAUSE)
        await asyncio.sleep(_PATIENCE)
