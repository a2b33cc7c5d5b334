"""Keep the root documents of the objects that were asked for last, each read again where it has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from modos.catalog.catalog import Catalog
from modos.object import commits
from modos.object.document import Document
from modos.storage import Storage
from modos.storage.processes import forking

_MOST = 32


class KnownObject(NamedTuple):
    """Object as it was read last: its key, storage, document and metadata."""

    key: str
    storage: Storage
    document: Document
    metadata: dict[str, Any]

    def key_of(self, path: str) -> str:
        """Return the key of a file of the object."""
        return f"{self.key}/{path}".lstrip("/")


class KnownObjects:
    """Root documents of objects of a catalogue, which is told of what was read; safe to use from several threads."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._known: OrderedDict[str, KnownObject] = OrderedDict()
        forking.begin(self, KnownObjects._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def open(self, key: str) -> KnownObject:
        """Open an object; raise NotFoundError if there is none."""
        with self._lock:
            known = self._known.get(key)
        storage = known.storage if known else self._catalog.storage.child(key) if key else self._catalog.storage
        document = commits.load(storage, known.document if known else None)
        if known is None or known.document is not document:
            known = KnownObject(key, storage, document, document.metadata())
        self._catalog.know(key, document.tag or "", known.metadata)
        with self._lock:
            self._known[key] = known
            self._known.move_to_end(key)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return known
