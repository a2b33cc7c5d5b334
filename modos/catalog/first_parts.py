"""Keep the parts of a first catalogue while it is made, so that an interrupted one goes on."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from modos.catalog.catalog_view import Frames
from modos.catalog.element_rows import OBJECT, Rows
from modos.catalog.reading_objects import Found
from modos.catalog.snapshots import BUILDING, DIGESTS, ELEMENTS, OLD, to_parquet
from modos.errors.missing import load_late
from modos.storage import Storage

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_PART = 1 << 16  # rows of a part


class Building:
    """Rows of objects, written in parts as they come.

    Parts of a day ago and younger count: what changed since they were
    written was announced, as the head of the catalogue is there before them.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._rows = Rows()
        self._frames: list[Frames] = [Frames.none()]
        self._load()

    def _load(self) -> None:
        now = self._storage.now()
        for info in list(self._storage.iter_files(BUILDING)):
            if info.modified is None or now - info.modified > OLD:
                self._storage.delete(info.key)
            elif info.key.endswith(f"-{ELEMENTS}.parquet"):
                digests, _ = self._storage.read(info.key.replace(f"-{ELEMENTS}", f"-{DIGESTS}"))
                self._frames.append(Frames(pl.read_parquet(self._storage.read(info.key)[0]), pl.read_parquet(digests)))

    def objects(self) -> set[str]:
        """Return the keys of the objects that are in the parts."""
        return {key for part in self._frames for key in part.elements[OBJECT].unique()}

    def add(self, found: Found) -> None:
        """Add an object; a part is written when there are enough rows."""
        found.add_to(self._rows)
        if self._rows.count < _PART:
            return
        frames = Frames(*self._rows.to_frames())
        part = f"{BUILDING}/{uuid.uuid4().hex}"
        for name, table in ((DIGESTS, frames.digests), (ELEMENTS, frames.elements)):  # elements tell that both are there
            self._storage.write(f"{part}-{name}.parquet", to_parquet(table.lazy()))
        self._frames.append(frames)
        self._rows = Rows()

    def frames(self) -> Frames:
        """Return all rows, each object's once."""
        parts = [*self._frames, Frames(*self._rows.to_frames())]
        self._frames, self._rows = [], Rows()  # each table is there once
        tables = [pl.concat([getattr(one, name) for one in parts], rechunk=False) for name in (ELEMENTS, DIGESTS)]
        if not all(table[OBJECT].is_sorted() for table in tables):
            tables = [table.sort(OBJECT, maintain_order=True) for table in tables]
        return Frames(*tables)

    def remove(self) -> None:
        """Remove the parts."""
        self._storage.delete_all([info.key for info in self._storage.iter_files(BUILDING)])
