"""Show many objects at a glance: those that match a search and filters, a page of them, and how many have what.

An overview is made from one version of the rows, and kept as arrays of numbers:
a page of a hundred thousand objects takes milliseconds then. What a caller may
know is given with each question, and what is not readable is not counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from modos.catalog.catalog_view import View
from modos.catalog.element_rows import CLASS, ELEMENT, OBJECT
from modos.catalog.rows_with_words import find_objects
from modos.catalog.searching import Term, parse_search
from modos.errors import InvalidInputError
from modos.errors.missing import load_late
from modos.storage.processes import forking

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Mask = npt.NDArray[np.bool]
    MarkKeys = Callable[[Sequence[str]], Mask]
else:
    pl = load_late("polars")

FACETS = {"class": CLASS, "organism": "taxon_id", "sex": "sex", "assembly": "assembly", "format": "data_format"}
_SHOWN = ("name", "description", "last_update_date", "problem")
_MOST_TERMS = 12  # of a search: each goes through all rows
_OBO = r"^https?://purl\.obolibrary\.org/obo/([A-Za-z]+)_(\w+)$"  # addresses of terms, which are counted with their codes


@dataclass(frozen=True)
class ObjectSummary:
    """Line of a list about an object; its key alone where the metadata may not be read.

    Parameters
    ----------
    problem
        Why it cannot be read: `damaged` or `unreadable`; empty where it can.
    values
        What its elements have, by facet; of `class` with how many there are.
    """

    key: str
    is_readable: bool = False
    name: str = ""
    description: str = ""
    updated: Any = None
    problem: str = ""
    elements: int = 0
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class OverviewPage:
    """Part of the objects that match.

    Parameters
    ----------
    total
        How many match, on all pages.
    following
        What the next page comes `after`; None if there is none.
    counts
        By facet, the values and how many objects have each, the most frequent first. Those of a facet by which is
        filtered are counted without that filter.
    """

    objects: Sequence[ObjectSummary]
    total: int
    following: str | None
    counts: Mapping[str, Sequence[tuple[str, int]]]


@dataclass(frozen=True)
class _Facet:
    """Pairs of an object and a value, each once, as numbers: shape (pairs,), uint32."""

    values: Sequence[str]
    objects: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.uint32]

    def mark(self, value: str, count: int) -> Mask:
        """Return which of so many objects have a value."""
        import numpy as np

        marked = np.zeros(count, bool)
        if value in self.values:
            marked[self.objects[self.codes == self.values.index(value)]] = True
        return marked

    def count(self, among: Mask) -> list[tuple[str, int]]:
        """Count the objects among some that have each value."""
        import numpy as np

        counts = np.bincount(self.codes[among[self.objects]], minlength=len(self.values)).tolist()
        found = [(value, count) for value, count in zip(self.values, counts) if count]
        return sorted(found, key=lambda one: (-one[1], one[0]))


class Overview:
    """The objects of one version of the rows.

    Attributes
    ----------
    keys
        Of all objects, sorted.
    """

    def __init__(self, view: View):
        self._view = view
        rows = view.elements.select(OBJECT, ELEMENT, *FACETS.values(), "name").collect()
        self._keys = rows[OBJECT].unique().sort()
        self.keys: list[str] = self._keys.to_list()
        self._facets = {facet: _index(rows, column, self._keys) for facet, column in FACETS.items()}

    def find(
        self,
        words: str,
        chosen: Mapping[str, str],
        mark_shown: MarkKeys,
        mark_readable: MarkKeys,
        after: str | None,
        limit: int,
    ) -> OverviewPage:
        """Find a page of objects.

        Parameters
        ----------
        words
            As `parse_search` reads them; a word is looked for in keys, ids and texts, not in digests and numbers.
        chosen
            A value by facet: what an element of the object has to have.
        mark_shown, mark_readable
            Mark, of sorted keys, the objects of which the caller may know, and whose metadata they may read.
        after
            The `following` of the page before.

        Raises
        ------
        InvalidInputError
            The words cannot be read, or are too many.
        """
        import numpy as np

        count, readable = len(self.keys), mark_readable(self.keys)
        found = mark_shown(self.keys).copy()
        for term in self._parse(words):
            by_text = self._keys.is_in(find_objects(self._view, term).implode()).to_numpy() & readable
            by_key = np.zeros(count, bool) if term.slot else self._match_keys(term.value)
            found &= by_text | by_key
        marks = {facet: self._facets[facet].mark(value, count) & readable for facet, value in chosen.items()}
        counts = {}
        for name, facet in self._facets.items():
            others = [mark for other, mark in marks.items() if other != name]
            counts[name] = facet.count(np.logical_and.reduce([found, readable, *others]))
        places = np.flatnonzero(np.logical_and.reduce([found, *marks.values()]))
        start = int(np.searchsorted(places, self._keys.search_sorted(after, side="right"))) if after is not None else 0
        page = {self.keys[place]: bool(readable[place]) for place in places[start : start + limit].tolist()}
        following = next(reversed(page), None) if len(places) > start + limit else None
        return OverviewPage(self._summarise(page), len(places), following, counts)

    @staticmethod
    def _parse(words: str) -> list[Term]:
        """Return the terms of a search, each once."""
        terms = list(dict.fromkeys(parse_search(words)))
        if len(terms) > _MOST_TERMS:
            raise InvalidInputError(
                f"the search has {len(terms)} different words, of {_MOST_TERMS} at most", "the rarest ones find the same"
            )
        return terms

    def _match_keys(self, word: str) -> Mask:
        marked: Mask = self._keys.str.contains(f"(?i){pl.escape_regex(word)}").to_numpy()
        return marked

    def _summarise(self, page: Mapping[str, bool]) -> list[ObjectSummary]:
        """Read what a list shows of some objects, given which of them are readable."""
        columns = dict.fromkeys((OBJECT, ELEMENT, *FACETS.values(), *_SHOWN))
        readable = [key for key, is_readable in page.items() if is_readable]
        rows = self._view.elements.filter(pl.col(OBJECT).is_in(readable)).select(*columns).collect()
        elements = rows.filter(pl.col(ELEMENT) != "")
        counts = dict(elements.group_by(OBJECT).len().iter_rows())
        own = {row[OBJECT]: row for row in rows.filter(pl.col(ELEMENT) == "").iter_rows(named=True)}
        values: dict[str, dict[str, dict[str, int]]] = {key: {facet: {} for facet in FACETS} for key in readable}
        for facet, column in FACETS.items():
            pairs = _pairs(elements.lazy(), column).drop_nulls().group_by(OBJECT, "value", maintain_order=True).len().collect()
            for key, value, count in pairs.iter_rows():
                values[key][facet][value] = count
        return [
            _summarise(key, own.get(key, {}), counts.get(key, 0), values[key]) if page[key] else ObjectSummary(key)
            for key in page
        ]


def _index(rows: pl.DataFrame, column: str, keys: pl.Series) -> _Facet:
    """Number the values of a column, and the objects that have them."""
    pairs = _pairs(rows.lazy(), column).filter(pl.col("value").is_not_null()).unique().collect()
    values = pairs["value"].unique().sort()
    numbers = [
        pairs.select(pl.col(name).replace_strict(known, pl.int_range(0, len(known), dtype=pl.UInt32, eager=True)))
        if len(known)
        else pl.DataFrame({name: pl.Series([], dtype=pl.UInt32)})
        for name, known in ((OBJECT, keys), ("value", values))
    ]
    objects, codes = (frame.to_series().to_numpy() for frame in numbers)
    return _Facet(values.to_list(), objects, codes)


def _pairs(rows: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Return the objects beside the values of a facet."""
    value = pl.col(column)
    if column == "taxon_id":
        rows, value = rows.explode(column), value.str.replace(_OBO, "${1}:${2}")
    elif column == "assembly":
        rows = rows.filter(pl.col(CLASS) == "ReferenceGenome")
        value = pl.coalesce(value, pl.col("name"), pl.col(ELEMENT).str.split("/").list.last())
    elif column == CLASS:
        rows = rows.filter(pl.col(ELEMENT) != "")
    return rows.select(OBJECT, value.alias("value"))


def _summarise(key: str, own: Mapping[str, Any], elements: int, values: Mapping[str, Mapping[str, int]]) -> ObjectSummary:
    problem = own.get("problem") or ""
    return ObjectSummary(
        key,
        True,
        own.get("name") or "",
        own.get("description") or "",
        own.get("last_update_date"),
        problem and ("damaged" if problem.startswith("damaged") else "unreadable"),
        elements,
        values,
    )


class Overviews:
    """The overview of the newest rows, made once for each version of them.

    Parameters
    ----------
    read_rows
        Gives the newest rows.
    waits
        Whether a question waits until they are read, however long that takes.
    """

    def __init__(self, read_rows: Callable[[], View], *, waits: bool = True):
        self._read_rows = read_rows
        self._waits = waits
        self._made: tuple[View, Overview] | None = None
        forking.begin(self, Overviews._start)

    def _start(self) -> None:
        self._making, self._lock = threading.Lock(), threading.Lock()
        self._running: Future[Overview] | None = None

    def get(self, seconds: float = 0.3, first: float = 1.0) -> tuple[Overview | None, bool]:
        """Return the newest overview, and whether it is that.

        Where it takes longer than some seconds to read the rows, and questions do not wait, the one before is
        returned, if there is one; the reading goes on meanwhile.

        Parameters
        ----------
        seconds, first
            How long to wait, and how long where there is no overview yet.
        """
        if self._waits:
            return self._make(), True
        with self._lock:
            running = self._running
            if running is None:
                running = self._running = Future()
                threading.Thread(target=self._run, args=(running,), name="modos-overview", daemon=True).start()
        made = self._made
        try:
            return running.result(seconds if made else first), True
        except FutureTimeoutError:
            return made and made[1], False

    def _run(self, running: Future[Overview]) -> None:
        try:
            made = self._make()
        except BaseException as error:
            result: Callable[[], None] = partial(running.set_exception, error)
        else:
            result = partial(running.set_result, made)
        with self._lock:
            self._running = None
        result()

    def _make(self) -> Overview:
        view = self._read_rows()
        with self._making:
            if self._made is None or self._made[0] is not view:
                self._made = view, Overview(view)
            return self._made[1]
