"""Make BGZF of a stream that is edited, in which blocks where nothing changes pass as they are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from modos.errors import IntegrityError
from modos.genomics.exact.blocks import Batch, Block
from modos.genomics.index.bgzf import PAYLOAD, compress
from modos.storage.prefetch import fetch_ahead

_PLAIN = b"\x06\x00BC\x02\x00"  # of the header of a block: it has no other field, in which something could be hidden

Part = tuple[int, int] | bytes  # of the output: bytes [start, end) of the batch's data, or others


class Edited(NamedTuple):
    """Parts that a batch becomes: the parts in order, the number of records, and the place of its records for `Order`."""

    parts: list[Part]
    records: int
    places: list[tuple[int | str, int, int]]


Edit = Callable[[Batch], Edited]


def weave(batches: Iterable[Batch], edit: Edit, follow: Callable[[Edited], None], threads: int) -> Iterator[bytes]:
    """Yield BGZF of batches as they are edited, without an end marker.

    Parameters
    ----------
    follow
        Is called with each batch that was edited, in order, before its bytes are given out.
    threads
        How many threads edit, and how many compress.
    """

    def work(batch: Batch, _: threading.Event) -> tuple[Batch, Edited]:
        return batch, edit(batch)

    def plan() -> Iterator[list[memoryview | bytes]]:
        weaver = _Weaver()
        for batch, edited in fetch_ahead(work, batches, threads):
            follow(edited)
            yield weaver.add(batch, edited.parts)
        yield weaver.end()

    yield from (data for data in fetch_ahead(_encode, plan(), threads) if data)


def _encode(pieces: list[memoryview | bytes], _: threading.Event) -> bytes:
    """Join blocks that pass, which are views, and data that are to be compressed, which are bytes."""
    return b"".join(piece if isinstance(piece, memoryview) else compress(piece) for piece in pieces)


class _Weaver:
    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()  # that are not decided on
        self._start = self._end = 0  # what stays of the stream, and is not given out
        self._loose: list[bytes | memoryview] = []
        self._size = 0
        self._out: list[memoryview | bytes] = []

    def add(self, batch: Batch, parts: list[Part]) -> list[memoryview | bytes]:
        self._blocks += batch.blocks
        for part in parts:
            if isinstance(part, bytes):
                self._put(part)
            elif batch.is_loose:
                self._put(batch.data[part[0] : part[1]])
            else:
                self._keep(batch.origin + part[0], batch.origin + part[1])
        self._take(is_closed=self._end < batch.decided)
        while self._blocks and self._blocks[0].end <= batch.decided:
            self._blocks.popleft()
        out, self._out = self._out, []
        return out

    def end(self) -> list[memoryview | bytes]:
        self._take(is_closed=True)
        self._flush()
        return self._out

    def _put(self, data: bytes) -> None:
        self._take(is_closed=True)
        self._add_loose(data)

    def _keep(self, start: int, end: int) -> None:
        if start != self._end:
            self._take(is_closed=True)
            self._start = start
        self._end = end

    def _take(self, *, is_closed: bool) -> None:
        """Give out what stays, up to a block of which it is not known whether all of it stays."""
        blocks = self._blocks
        while self._start < self._end and blocks:
            block = blocks[0]
            if block.end <= self._start:
                blocks.popleft()
            elif self._start <= block.start and block.end <= self._end and block.raw[10:16] == _PLAIN:
                self._flush()
                self._out.append(block.raw)
                self._start = block.end
                blocks.popleft()
            elif is_closed or block.end <= self._end:
                end = min(block.end, self._end)
                self._add_loose(memoryview(block.data)[self._start - block.start : end - block.start])
                self._start = end
            else:
                return
        if is_closed and self._start != self._end:
            raise IntegrityError("a part of the records that stay is missing")  # rather than a shorter result

    def _add_loose(self, data: bytes | memoryview) -> None:
        self._loose.append(data)
        self._size += len(data)
        if self._size >= PAYLOAD:
            held = b"".join(self._loose)
            whole = len(held) - len(held) % PAYLOAD
            self._out += (held[at : at + PAYLOAD] for at in range(0, whole, PAYLOAD))
            self._loose, self._size = [held[whole:]], len(held) - whole

    def _flush(self) -> None:
        if self._size:
            self._out.append(b"".join(self._loose))
        self._loose, self._size = [], 0
