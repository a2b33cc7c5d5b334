"""The catalogue that is kept below the root that a server serves, renewed beside the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from modos.catalog.catalog_view import View, load_view
from modos.catalog.element_rows import ELEMENT, OBJECT, group_by_object, to_metadata
from modos.catalog.refreshing import fold, gather, look
from modos.catalog.served_tables import ServedTables
from modos.errors import AccessError, ModosError
from modos.errors.missing import load_late
from modos.storage import Storage
from modos.storage.processes import forking

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_BATCH = 500  # objects whose metadata are made at once
_REFUSED = 600.0  # seconds until writing is tried again where it is not allowed
_PAUSE = 5.0  # seconds between two times of writing

logger = logging.getLogger(__name__)


class KeptCatalog:
    """The newest version of a catalogue that is kept, if there is one.

    What was announced is written into it now and then, where that is allowed.

    Parameters
    ----------
    max_age
        Seconds for which a version is good.
    """

    def __init__(self, storage: Storage, max_age: float):
        self._storage = storage
        self._max_age = max_age
        self._known: tuple[float, View] | None = None
        self._gathered: tuple[float, View] | None = None
        self._next_write = 0.0
        forking.begin(self, KeptCatalog._start)

    def _start(self) -> None:
        self._lock, self._writing, self._gathering = threading.Lock(), threading.Lock(), threading.Lock()

    def get(self) -> View | None:
        """Return the newest version; None where no catalogue is kept, or it cannot be read."""
        with self._lock:
            begin = time.monotonic()
            known = self._known
            if known is None or begin - known[0] >= self._max_age:
                try:
                    view = self._look(known[1] if known else None)
                except ModosError as error:
                    logger.warning("the catalogue cannot be read, and all objects are listed: %s", error)
                    return None
                known = self._known = begin, view
        view = known[1]
        if view.seen and view.is_made:
            self._write_soon()
        return view if view.is_made else None

    def get_rows(self) -> View:
        """Return the newest version, or what all objects say where no catalogue is kept."""
        if view := self.get():
            return view
        with self._gathering:
            begin = time.monotonic()
            if self._gathered is None or begin - self._gathered[0] >= self._max_age:
                self._gathered = begin, gather(self._storage, self._gathered[1] if self._gathered else None)
            return self._gathered[1]

    def _look(self, known: View | None) -> View:
        """Read the newest version, and what was announced where there is one."""
        view = known if known is not None and known.is_made else load_view(self._storage, known)
        return look(self._storage, view).view if view.is_made else view

    def _write_soon(self) -> None:
        if time.monotonic() >= self._next_write and self._writing.acquire(blocking=False):
            threading.Thread(target=self._write, name="modos-catalog-writing", daemon=True).start()

    def _write(self) -> None:
        try:
            fold(self._storage)
            self._next_write = time.monotonic() + _PAUSE
        except ModosError as error:
            level = logging.INFO if isinstance(error, AccessError) else logging.WARNING
            logger.log(level, "what was announced is not written into the catalogue: %s", error)
            self._next_write = time.monotonic() + _REFUSED
        finally:
            self._writing.release()


def list_objects(view: View) -> list[str]:
    """List the keys of all objects, sorted."""
    return view.elements.select(OBJECT).unique().collect()[OBJECT].sort().to_list()


def iter_metadata(
    view: View | ServedTables, keys: list[str], left_out: Callable[[str, str], object]
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Iterate over the metadata of some objects, made from their rows; in the order of the keys, which are sorted.

    Parameters
    ----------
    left_out
        Called with the key of an object that could not be read, and why.
    """
    for at in range(0, len(keys), _BATCH):
        wanted = pl.col(OBJECT).is_in(keys[at : at + _BATCH])
        elements, digests = (
            table.filter(wanted).collect().sort(OBJECT, maintain_order=True) for table in (view.elements, view.digests)
        )
        unique = {key: rows.to_dicts() for key, rows in group_by_object(digests)}
        for key, rows in group_by_object(elements):
            if problem := _problem_of(rows):
                left_out(key, problem)
            else:
                yield key, to_metadata(key, rows.to_dicts(), unique.get(key, []))


def _problem_of(rows: pl.DataFrame) -> str | None:
    found = rows.filter(pl.col(ELEMENT) == "")["problem"].drop_nulls()
    return found[0] if len(found) else None
