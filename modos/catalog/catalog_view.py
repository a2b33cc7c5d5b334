"""One whole version of a catalogue: a base, what changed since, and what was only announced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modos.catalog.element_rows import ELEMENT, OBJECT, REMOVED, Rows, digest_schema, schema
from modos.catalog.snapshots import DIGESTS, ELEMENTS, Head, Snapshot, check_columns, missing_error, read_head, read_table
from modos.errors import ConflictError, NotFoundError
from modos.errors.missing import load_late
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    import polars as pl

    from modos.storage import Storage
else:
    pl = load_late("polars")

_ATTEMPTS = 5


@dataclass(frozen=True)
class Frames:
    """Rows of the two tables of some objects, sorted by object; of one that is gone, a mark among the elements."""

    elements: pl.DataFrame
    digests: pl.DataFrame

    @classmethod
    def none(cls) -> Frames:
        """Return no rows."""
        return cls(pl.DataFrame(schema=schema()), pl.DataFrame(schema=digest_schema()))

    @property
    def objects(self) -> pl.Series:
        """Keys of the objects, each once."""
        return self.elements[OBJECT].unique()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the root documents by the keys of the objects; those that are gone have none."""
        return _tags(self.elements.lazy())

    def without(self, objects: Collection[str]) -> Frames:
        """Return the rows without those of some objects."""
        if not objects:
            return self
        others = ~pl.col(OBJECT).is_in(list(objects))
        return Frames(self.elements.filter(others), self.digests.filter(others))

    def updated(self, new: Frames) -> Frames:
        """Return the rows with those of some objects replaced."""
        if new.elements.is_empty() or self.elements.is_empty():
            return self if new.elements.is_empty() else new
        objects = new.objects
        return Frames(
            _sorted(_update(self.elements.lazy(), new.elements.lazy(), objects)),
            _sorted(_update(self.digests.lazy(), new.digests.lazy(), objects)),
        )


@dataclass(frozen=True)
class View:
    """A version of a catalogue, which does not change.

    Parameters
    ----------
    storage
        Root of the catalogue.
    head
        What names its tables; None where there is no catalogue, and all rows are in `since`.
    base
        The table of elements of the base, as Parquet; empty where there is none.
    delta
        Rows of elements that changed since, as they are stored.
    since
        Rows of what changed after that.
    seen
        Keys of the announcements that were followed.
    """

    storage: Storage
    head: Head | None
    base: bytes
    delta: pl.DataFrame
    since: Frames
    seen: frozenset[str] = frozenset()

    @property
    def is_made(self) -> bool:
        """Return whether there is a catalogue, and not only the beginning of a first one."""
        return self.head is not None and self.head.base is not None

    @cached_property
    def elements(self) -> pl.LazyFrame:
        """Rows of all elements, lazily."""
        changed = self.changed_elements
        rows = _update(self._base_elements, changed.lazy(), changed[OBJECT].unique())
        return rows.filter(~pl.col("problem").eq_missing(REMOVED))

    @property
    def _base_elements(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.base) if self.base else pl.DataFrame(schema=schema()).lazy()

    @cached_property
    def changed_elements(self) -> pl.DataFrame:
        """Rows of elements that the base does not have, or has otherwise, with the marks of objects that are gone."""
        return Frames(self.delta, Frames.none().digests).updated(self.since).elements

    @cached_property
    def digests(self) -> pl.LazyFrame:
        """Rows of all digests; they are read now.

        Raises
        ------
        ConflictError
            This version counts no more, and its digests are gone.
        """
        return _update(self._base_digests, self.changes.digests.lazy(), self.changed_elements[OBJECT].unique())

    @cached_property
    def _base_digests(self) -> pl.LazyFrame:
        data = self._read_digests(self.head.base if self.head else None)
        return pl.scan_parquet(data) if data else pl.DataFrame(schema=digest_schema()).lazy()

    def merge(self) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        """Return the rows of all elements and of all digests in the order of the objects, to be written as a base."""
        changes, there = self.changes, ~pl.col("problem").eq_missing(REMOVED)
        others = ~pl.col(OBJECT).is_in(changes.objects.implode())
        return (
            self._base_elements.filter(others).merge_sorted(changes.elements.lazy().filter(there), OBJECT),
            self._base_digests.filter(others).merge_sorted(changes.digests.lazy(), OBJECT),
        )

    @cached_property
    def changes(self) -> Frames:
        """Rows of all objects that changed since the base."""
        data = self._read_digests(self.head.delta if self.head else None)
        digests = pl.read_parquet(data) if data else Frames.none().digests
        return Frames(self.delta, digests).updated(self.since)

    def _read_digests(self, snapshot: Snapshot | None) -> bytes:
        try:
            return read_table(self.storage, snapshot, DIGESTS) if snapshot else b""
        except NotFoundError:
            raise ConflictError(
                f"the catalogue of {self.storage.url} was replaced by newer ones since it was opened", "refresh it"
            ) from None

    @cached_property
    def tags(self) -> dict[str, str]:
        """Tags of the root documents by the keys of the objects."""
        return _tags(self.elements)

    def count_objects(self) -> int:
        """Count the objects."""
        return int(self.elements.select(pl.col(OBJECT).n_unique()).collect().item())

    def count_base_rows(self) -> int:
        """Count the rows of the base."""
        return int(pl.scan_parquet(self.base).select(pl.len()).collect().item()) if self.base else 0

    def keep_failed(self, failed: Mapping[str, str]) -> Frames:
        """Return the rows of objects that cannot be read, as they were, with what the problem is; one row for a new one."""
        of_failed = pl.col(OBJECT).is_in(list(failed))
        elements, digests = (_sorted(table.filter(of_failed)) for table in (self.elements, self.digests))
        new = Rows()
        for key in failed.keys() - set(elements[OBJECT]):
            new.add_problem(key, failed[key])
        problem = pl.when(pl.col(ELEMENT) == "").then(pl.col(OBJECT).replace_strict(failed, default=None, return_dtype=pl.String))
        tag = pl.when(pl.col(ELEMENT) != "").then(pl.col("tag"))  # without it the object is read again the next time
        old = elements.with_columns(problem=problem, tag=tag)
        return Frames(old, digests).updated(Frames(*new.to_frames()))

    def updated(self, new: Frames, seen: frozenset[str] = frozenset()) -> View:
        """Return this version with the rows of some objects replaced, and further announcements followed."""
        return replace(self, since=self.since.updated(new), seen=self.seen | seen)


def load_view(storage: Storage, known: View | None = None) -> View:
    """Read the newest version of a catalogue; one without rows where there is none.

    Parameters
    ----------
    known
        What was read before; it is returned where its head is the newest, and its base is used.

    Raises
    ------
    IntegrityError
        It is damaged, or tables that it names are gone.
    ConflictError
        Others replace it faster than it is read.
    """
    before: Head | None = None
    for _ in range(_ATTEMPTS):
        head = read_head(storage, known.head if known else None)
        if known is not None and head is known.head:
            return known
        try:
            return _load_tables(storage, head, known)
        except NotFoundError:  # replaced twice meanwhile
            if head == before:
                raise missing_error(storage) from None
            before = head
    raise ConflictError(f"the catalogue of {storage.url} is replaced by others all the time", "try again later")


def _load_tables(storage: Storage, head: Head | None, known: View | None) -> View:
    base, delta = (head.base, head.delta) if head else (None, None)
    if base is None:
        data = b""
    elif known is not None and known.head and known.head.base == base:
        data = known.base
    else:
        data = read_table(storage, base, ELEMENTS)
    if head is not None:
        check_columns(storage, head)
    changed = pl.read_parquet(read_table(storage, delta, ELEMENTS)) if delta else Frames.none().elements
    return View(storage, head, data, changed, Frames.none())


def _update(old: pl.LazyFrame, new: pl.LazyFrame, objects: pl.Series) -> pl.LazyFrame:
    if objects.is_empty():
        return old
    return pl.concat([old.filter(~pl.col(OBJECT).is_in(objects.implode())), new])


def _tags(elements: pl.LazyFrame) -> dict[str, str]:
    own = elements.filter(pl.col(ELEMENT) == "", ~pl.col("problem").eq_missing(REMOVED))
    return {key: tag or "" for key, tag in own.select(OBJECT, "tag").collect().iter_rows()}


def _sorted(rows: pl.LazyFrame) -> pl.DataFrame:
    return rows.collect().sort(OBJECT, maintain_order=True)
