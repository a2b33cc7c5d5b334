"""Keep the root document of an open object current while others commit."""

from __future__ import annotations

import threading
import time

from modos.object.commits import load
from modos.object.document import Document
from modos.storage import Storage
from modos.storage.processes import forking

_FRESH = 1.0  # seconds for which what was read from afar is taken for the newest


class Newest:
    """Source of the root document as it is now; safe to use from several threads.

    A folder is checked each time, without reading anything where nobody has
    committed; a server once a second, with one request.

    Parameters
    ----------
    storage
        Holds the object; or will.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._document: Document | None = None
        self._looked = float("-inf")
        forking.begin(self, Newest._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def get(self) -> Document:
        """Return the newest document, the same one where nothing has changed.

        Raises
        ------
        NotFoundError
            The object is not there any more.
        TransportError, AccessError, IntegrityError
            It cannot be known what it is now.
        """
        with self._lock:
            is_fresh = self._storage.is_remote and time.monotonic() - self._looked < _FRESH
            return self._document if is_fresh and self._document is not None else self._look()

    def look(self) -> tuple[Document, bool]:
        """Look for the newest document at once; returns it, and whether it is another than before. Errors as for `get`."""
        with self._lock:
            before = self._document
            document = self._look()
            return document, document is not before

    def _look(self) -> Document:
        began = time.monotonic()
        self._document = load(self._storage, self._document)
        self._looked = began
        return self._document

    def put(self, document: Document) -> None:
        """Take what was just committed, unless something newer has been seen; the next call of `get` looks again."""
        with self._lock:
            seen = self._document.state.get("commits", ()) if self._document is not None else ()
            if not set(document.state.get("commits", ())[-1:]) & set(seen):
                self._document = document
            self._looked = float("-inf")
