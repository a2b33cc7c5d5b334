"""Keep pieces of files in memory, within a limit, that are fetched in a few threads and shared by connections."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from modos.object.plain_files import PlainFile

KEPT = 96 << 20  # bytes of pieces that are kept, at most
THREADS = 10  # pieces that are fetched at once
_IDLE = 20.0  # seconds after which a thread without work ends

_Content = tuple[str, str]  # name and tag of a file


@dataclass(frozen=True)
class Piece:
    """Bytes [start, end) of a file, which are there or under way."""

    start: int
    end: int
    data: Future[bytes] = field(default_factory=Future, compare=False, repr=False)


class KeptPieces:
    """Pieces of files, each fetched once as long as it is kept; safe to use from several threads.

    Parameters
    ----------
    most
        Bytes that are kept; those that are under way may be more.
    threads
        Pieces that are fetched at once.

    Attributes
    ----------
    size
        Bytes that are kept or under way.
    """

    def __init__(self, most: int = KEPT, threads: int = THREADS):
        self._most = most
        self._threads = threads
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._started = 0
        self._idle = 0
        self._pieces: OrderedDict[tuple[_Content, int], Piece] = OrderedDict()
        self._starts: dict[_Content, list[int]] = {}
        self.size = 0

    def find(self, file: PlainFile, at: int) -> Piece | None:
        """Return the piece that holds a byte of a file; None if it is not kept."""
        with self._lock:
            return self._find((file.name, file.tag), at)

    def get(self, file: PlainFile, start: int, end: int) -> Piece:
        """Return the piece that holds byte `start`; a new one is fetched up to `end`, or to the next that is kept."""
        content = file.name, file.tag
        with self._lock:
            found = self._find(content, start)
            if found is not None:
                return found
            starts = self._starts.setdefault(content, [])
            following = bisect_right(starts, start)
            piece = Piece(start, min(end, starts[following]) if following < len(starts) else end)
            insort(starts, start)
            self._pieces[content, start] = piece
            self.size += piece.end - piece.start
            self._make_room()
        self._begin(lambda: self._fetch(file, content, piece))
        return piece

    def _find(self, content: _Content, at: int) -> Piece | None:
        starts = self._starts.get(content, [])
        number = bisect_right(starts, at) - 1
        if number < 0 or self._pieces[content, starts[number]].end <= at:
            return None
        self._pieces.move_to_end((content, starts[number]))
        return self._pieces[content, starts[number]]

    def _make_room(self) -> None:
        """Drop the pieces that were not used for longest; those that are under way stay."""
        for key in list(self._pieces)[:-1]:
            if self.size <= self._most:
                return
            if self._pieces[key].data.done():
                self._drop(*key)

    def _drop(self, content: _Content, start: int) -> None:
        piece = self._pieces.pop((content, start), None)
        if piece is None:
            return
        self.size -= piece.end - piece.start
        self._starts[content].remove(start)
        if not self._starts[content]:
            del self._starts[content]

    def _fetch(self, file: PlainFile, content: _Content, piece: Piece) -> None:
        try:
            piece.data.set_result(file.read(piece.start, piece.end))
        except BaseException as error:
            with self._lock:
                if self._pieces.get((content, piece.start)) is piece:
                    self._drop(content, piece.start)
            piece.data.set_exception(error)

    def _begin(self, task: Callable[[], None]) -> None:
        """Have a thread do something; threads are daemons, so that the process ends at once."""
        self._tasks.put(task)
        with self._lock:
            if self._started < self._threads and self._tasks.qsize() > self._idle:
                self._started += 1
                threading.Thread(target=self._work, name="modos-gateway", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            task = self._wait()
            with self._lock:
                self._idle -= 1
                if task is None and self._tasks.empty():
                    self._started -= 1
                    return
            if task:
                task()
            del task

    def _wait(self) -> Callable[[], None] | None:
        try:
            return self._tasks.get(timeout=_IDLE)
        except Empty:
            return None
