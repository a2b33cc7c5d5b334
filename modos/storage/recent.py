"""Keep what was read recently, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from modos.storage.processes import forking

_Key = tuple[str | int, ...]  # the place of something, and what of it


class Cache:
    """Cache of what was read recently, up to a number of bytes."""

    def __init__(self, limit: int):
        self._limit = limit
        self._kept: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        forking.begin(self, Cache._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._size = sum(size for _, size in self._kept.values())

    def get(self, key: _Key) -> Any:
        """Return what is kept at a key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def take(self, key: _Key) -> Any:
        """Remove and return what is kept at a key, or None."""
        with self._lock:
            found, size = self._kept.pop(key, (None, 0))
            self._size -= size
            return found

    def put(self, key: _Key, value: Any, size: int) -> None:
        """Keep something of a size in bytes."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value, size
            self._size += size
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1][1]
