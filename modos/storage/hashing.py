"""Compute hashes in a thread beside other work."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

_AHEAD = 8  # pieces that wait for the hash


class ThreadedHash:
    """BLAKE2b-512 in a thread of its own, which is the slowest step where files are copied.

    What is added must not be changed any more.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b()
        self._thread = ThreadPoolExecutor(1, "modos-hash")
        self._pending: deque[Future[None]] = deque()

    def update(self, data: bytes | bytearray) -> None:
        """Add some bytes."""
        if len(self._pending) >= _AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._hash.update, data))

    def hexdigest(self) -> str:
        """Return the digest in hexadecimal digits."""
        while self._pending:
            self._pending.popleft().result()
        return self._hash.hexdigest()

    def pass_on(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on pieces, and add them."""
        for piece in pieces:
            self.update(piece)
            yield piece
