"""Tell objects in one file, which are given out whole, from other zip files."""

from __future__ import annotations

import threading

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.formats import ROOT_KEYS
from modos.storage import Storage
from modos.storage.zip_format import ENDING
from modos.storage.zipped import ZippedStorage

_MOST_KNOWN = 1024  # zip files of which is known what they are


class PackedObjects:
    """The zip files below a root that are objects; what one is stays known until it is changed."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._known: dict[tuple[str, str], bool] = {}
        self._lock = threading.Lock()

    def has(self, key: str) -> bool:
        """Return whether there is an object in one file at a key."""
        if not key.lower().endswith(ENDING):
            return False
        try:
            info = self._storage.stat(key)
        except (NotFoundError, InvalidInputError):
            return False
        state = key, info.etag
        with self._lock:
            if state not in self._known:
                self._known[state] = self._look(key)
                while len(self._known) > _MOST_KNOWN:
                    self._known.pop(next(iter(self._known)))
            return self._known[state]

    def _look(self, key: str) -> bool:
        packed = ZippedStorage(self._storage, key, key)
        try:
            return any(packed.exists(root) for root in ROOT_KEYS)
        except (IntegrityError, InvalidInputError):
            return False
