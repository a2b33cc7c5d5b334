"""The catalogue of all elements below a root, as one table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.catalog.catalog_view import load_view
from modos.catalog.conditions_on_elements import select_elements
from modos.catalog.element_rows import ELEMENT, OBJECT
from modos.catalog.kept_catalog import iter_metadata
from modos.catalog.refreshing import Refreshed, fold, gather, look, rebuild
from modos.catalog.served_tables import ServedTables, is_server
from modos.errors import InvalidInputError, NotFoundError, did_you_mean, listing
from modos.errors.escaping import escape_line, hide_secrets
from modos.errors.missing import load_late
from modos.formats import ROOT_KEYS
from modos.formats.html_tables import MOST_ROWS, always, write_table
from modos.object.address import ObjectAddress
from modos.remote.urls import served_url
from modos.storage.progress_bars import show_progress

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from modos.catalog.catalog_view import View
    from modos.metadata.graph import Rows
    from modos.object.modo import MODO
    from modos.object.notebook import ElementView
    from modos.plans.scan_plan import Plan
    from modos.plans.scanning import RegionsGiven
    from modos.storage import Storage
    from modos.storage.base import Progress, ProgressLike
else:
    pl = load_late("polars")


_SHOWN = 20
_MOST_QUERIED = 200_000  # elements of a graph


@dataclass(frozen=True)
class FoundElement:
    """Element that was found in a catalogue.

    Parameters
    ----------
    address
        Of its object.
    object
        Key of that below the root of the catalogue.
    id
        Of the element (`data/demo1`); empty for the object itself.
    attributes
        Slots of the table that it has.
    """

    address: ObjectAddress
    object: str
    id: str
    attributes: Mapping[str, Any]

    def __repr__(self) -> str:
        kind = self.attributes.get("class", "element")
        return escape_line(f"<{kind} {self.id or '(the object)'} of {self.object or self.address.path}>")

    @always
    def _repr_html_(self) -> str:
        return write_table(repr(self).strip("<>"), self.attributes.items())

    def open(self) -> ElementView:
        """Open the element, as `MODO(path)[id]` does."""
        return self.open_object()[self.id]

    def open_object(self) -> MODO:
        """Open its object."""
        from modos.object.modo import MODO

        return MODO.open(self.address.path, self.address.endpoint, self.address.services, self.address.s3_kwargs)


class FoundElements(list[FoundElement]):
    """Elements that were found, which show the first of them."""

    def __repr__(self) -> str:
        more = f", ... and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        return f"[{', '.join(map(repr, self[:_SHOWN]))}{more}]"

    @always
    def _repr_html_(self) -> str:
        slots = ("class", "name", "data_format", "data_size")
        rows = ((one.object, one.id, *(one.attributes.get(slot, "") for slot in slots)) for one in self[:MOST_ROWS])
        return write_table(f"{len(self):,} elements", rows, ("object", "element", *slots), total=len(self))


class ElementCatalog:
    """All elements of all objects below a root: one row each.

    A catalogue does not change while it is used; `refresh` gives the newest.

    Attributes
    ----------
    place
        The root: a folder, `s3://bucket/prefix`, or the URL of a modos server.
    """

    def __init__(self, address: ObjectAddress, view: View | ServedTables):
        self.address = address
        self._view = view

    @property
    def place(self) -> str:
        """The root: a folder, `s3://bucket/prefix`, or the URL of a modos server."""
        return str(self.address.path)

    @property
    def endpoint(self) -> str | None:
        """The modos server that tells where S3 is."""
        return self.address.endpoint

    @property
    def s3_kwargs(self) -> dict[str, Any] | None:
        """Further arguments of s3fs."""
        return self.address.s3_kwargs

    @property
    def is_made(self) -> bool:
        """Return whether it is kept below its root, or by a server; else all objects were read."""
        return self._view.is_made

    @property
    def elements(self) -> pl.LazyFrame:
        """Rows of all elements, lazily.

        Columns are `object` (key below the root), `element` (id; empty for the
        object itself), `class`, `revision` (number of commits), `tag` (of the
        root document), `problem` (why an object cannot be read; its rows are
        those it had before, or that one alone if a newer modos wrote it), and each slot of the schema by its type: texts,
        int64, times without a zone in UTC, and lists of them; links are full
        ids. `other` is JSON of what has no column.
        """
        return self._view.elements

    @property
    def digests(self) -> pl.LazyFrame:
        """Rows of checksums, digests and recipients, for the elements that have some; they are read when they are asked for."""
        return self._view.digests

    def refresh(self) -> ElementCatalog:
        """Return the newest version, with what was announced since that was written; nothing is written."""
        view = self._view
        if isinstance(view, ServedTables):
            return ElementCatalog(self.address, view.renewed())
        return ElementCatalog(self.address, look(view.storage, view).view if view.is_made else gather(view.storage, view))

    def problems(self) -> dict[str, str]:
        """Return why objects cannot be read, by their keys; see `elements` for the rows that they have."""
        found = self.elements.filter(pl.col("problem").is_not_null()).select(OBJECT, "problem").collect()
        return dict(found.iter_rows())

    def select(
        self, class_name: str | None = None, where: str | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Select rows of elements; see `modos.catalog.conditions_on_elements`.

        Parameters
        ----------
        class_name
            Of the elements: `AlignmentSet`; `DataEntity` is any kind of data.
        where
            A condition in SQL: `sex = 'Female' and data_size > 1000`.
        columns
            Those to give; all where it is None.

        Returns
        -------
        polars.DataFrame
            In the order of the objects.

        Raises
        ------
        InvalidInputError
            There is no such class or column, or the condition cannot be read.
        """
        if columns is not None:
            _check_columns(self.elements, columns)
        found = select_elements(self.elements, class_name, where)
        if columns is None:
            return found.collect().sort(OBJECT, maintain_order=True)
        return found.select({*columns, OBJECT}).collect().sort(OBJECT, maintain_order=True).select(columns)

    def find(self, class_name: str | None = None, where: str | None = None) -> FoundElements:
        """Find elements, which can be opened; as `select`."""
        rows = self.select(class_name, where).iter_rows(named=True)
        return FoundElements(
            FoundElement(
                self.address_of(row[OBJECT]),
                row[OBJECT],
                row[ELEMENT],
                {name: value for name, value in row.items() if value is not None},
            )
            for row in rows
        )

    def address_of(self, object_key: str) -> ObjectAddress:
        """Return the address of an object of the catalogue; its pickle holds no secrets."""
        place = self.address
        path: str | Path
        if is_server(place.path):
            path = served_url(self.place, object_key or ".")
        elif "://" in self.place:
            path = f"{self.place}/{object_key}".rstrip("/")
        else:
            path = Path(place.path, object_key)
        return ObjectAddress(path, place.endpoint, place.services, place.s3_kwargs)

    def open(self, object_key: str) -> MODO:
        """Open an object of the catalogue."""
        return FoundElement(self.address_of(object_key), object_key, "", {}).open_object()

    def scan(self, kind: str, regions: RegionsGiven = None, **options: Any) -> Plan:
        """Plan to read the same regions of many files or tracks of the objects; see `modos.plans.scan` for options and errors.

        ::

            catalog.scan("coverage", "chr1:1-20,000", where="sample.sex = 'Female'").to_polars()
        """
        from modos.plans.scanning import scan

        return scan(self, kind, regions, **options)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Ask in the SQL of DuckDB (extra `sql`): of the tables `elements` and `digests`.

        It reads these two alone: neither files nor the network.

        Raises
        ------
        InvalidInputError
            The query cannot be read; or DuckDB is not installed.
        """
        from modos.catalog.asking_duckdb import ask

        tables = {"elements": self.elements} | ({"digests": self.digests} if "digests" in query.lower() else {})
        return ask(query, tables)

    def query(self, sparql: str, where: str | None = None) -> Rows:
        """Ask in SPARQL about the metadata of many objects, as `MODO.query` does about those of one.

        Parameters
        ----------
        sparql
            The query; elements are named by the places of their objects and their ids.
        where
            Only objects with an element that fulfils this condition.

        Returns
        -------
        list of dict
            Values by the names of the variables.

        Raises
        ------
        InvalidInputError
            A query or condition that cannot be read, or more elements than a graph in memory takes.
        """
        return self.answer(sparql, where)[1]

    def answer(self, sparql: str, where: str | None = None) -> tuple[list[str], Rows]:
        """Return the names of the variables of a query in SPARQL, and its rows; see `query`."""
        from modos.metadata.graph import build_graph, merge_graphs, select

        keys = self.select(where=where, columns=[OBJECT])[OBJECT].unique().sort().to_list()
        elements = self.elements.filter(_is_in(keys)).select(OBJECT).collect().height
        if elements > _MOST_QUERIED:
            raise InvalidInputError(
                f"SPARQL is for at most {_MOST_QUERIED:,} elements at once, and these are {elements:,}",
                "choose objects by a condition (where), or use find or sql",
            )
        found = iter_metadata(self._view, keys, lambda key, problem: None)
        return select(merge_graphs(build_graph(metadata, self._uri_of(key)) for key, metadata in found), sparql)

    def _uri_of(self, object_key: str) -> str:
        path = self.address_of(object_key).path
        return path if isinstance(path, str) else Path(path).resolve().as_uri()

    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<ElementCatalog {self.place}>"))

    @always
    def _repr_html_(self) -> str:
        if isinstance(self._view, ServedTables):  # which would be asked for all elements
            return write_table(f"catalogue of {self.place}", [("kept", "by the server; see elements, select and find")])
        counts = self.elements.group_by("class").agg(pl.len(), pl.col("data_size").sum()).sort("class").collect()
        rows = ((one or "", f"{number:,}", f"{size or 0:,}") for one, number, size in counts.head(MOST_ROWS).iter_rows())
        return write_table(f"catalogue of {self.place}", rows, ("class", "elements", "bytes"), total=counts.height)


def _is_in(keys: Sequence[str]) -> pl.Expr:
    return pl.col(OBJECT).is_in(keys)


def _check_columns(table: pl.LazyFrame, columns: Sequence[str]) -> None:
    known = table.collect_schema().names()
    for at, name in enumerate(columns):
        if name not in known:
            near = did_you_mean(name, known)
            raise InvalidInputError(
                f"there is no column {name}", f"did you mean {near}?" if near else f"there are {listing(known, 60)}"
            )
        if name in columns[:at]:
            raise InvalidInputError(f"the column {name} is named twice", "name it once")


@show_progress
def open_catalog(
    place: str | Path,
    endpoint: str | None = None,
    services: Mapping[str, str] | None = None,
    s3_kwargs: dict[str, Any] | None = None,
    *,
    refresh: bool = True,
    progress: ProgressLike | None = None,
) -> ElementCatalog:
    """Open the catalogue of all elements below a folder or an S3 prefix.

    Where none is kept there (`modos catalog refresh` makes one), all objects are read.

    Parameters
    ----------
    place
        A folder, `s3://bucket/prefix`, or the URL of a modos server: then what
        one may read there.
    endpoint, services, s3_kwargs
        As for MODO.
    refresh
        Read what was announced since the catalogue was written, too.
    progress
        Is told of each object that is read, where there is no catalogue.

    Raises
    ------
    NotFoundError
        There is no such place.
    IntegrityError
        The catalogue is damaged.
    """
    address = ObjectAddress(place, endpoint, services, s3_kwargs)
    if is_server(place):
        return ElementCatalog(address, ServedTables(str(place)))
    return ElementCatalog(address, _open_view(address, refresh, progress))


@show_progress
def refresh_catalog(
    place: str | Path,
    endpoint: str | None = None,
    services: Mapping[str, str] | None = None,
    s3_kwargs: dict[str, Any] | None = None,
    *,
    full: bool = False,
    progress: ProgressLike | None = None,
) -> Refreshed:
    """Write the catalogue below a folder or an S3 prefix: what was announced since, or all where there is none.

    Parameters
    ----------
    full
        Look at every object, also for what nobody has announced.
    progress
        Is told of each object that is looked at.

    Raises
    ------
    AccessError
        It cannot be written.
    ConflictError
        Others write it all the time.
    """
    storage = _connect(ObjectAddress(place, endpoint, services, s3_kwargs))
    if any(storage.exists(root) for root in ROOT_KEYS):
        raise InvalidInputError(f"{storage.url} is an object itself", "name the folder that it is in")
    done = None if full else fold(storage)
    return done if done and done.view.is_made else rebuild(storage, progress)


def has_objects(place: str, endpoint: str | None = None, s3_kwargs: dict[str, Any] | None = None) -> bool:
    """Return whether a place is a server, or a folder in which there may be objects."""
    if is_server(place):
        return True
    storage = ObjectAddress(place, endpoint, None, s3_kwargs).connect().storage
    if not storage.has_paths:
        return storage.can_list and bool(storage.list_folders())
    return os.path.isdir(storage.path) and next(iter(storage.find(*ROOT_KEYS)), None) is not None


def _open_view(address: ObjectAddress, refresh: bool, progress: Progress | None) -> View:
    storage = _connect(address)
    view = look(storage).view if refresh else load_view(storage)
    return view if view.is_made else gather(storage, progress=progress)


def _connect(address: ObjectAddress) -> Storage:
    storage = address.connect().storage
    if not storage.can_list:
        raise InvalidInputError(f"{storage.url} does not list its files", "name a folder, or s3://bucket/prefix")
    if storage.has_paths and not os.path.isdir(storage.path):
        raise NotFoundError(f"there is no folder {storage.url}", "check the path")
    return storage
