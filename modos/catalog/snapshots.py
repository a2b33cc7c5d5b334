"""Snapshots of a catalogue: tables that never change, and a head that says which of them count.

    .modos-catalog/head.json                      the one file that is replaced, by compare-and-swap
    .modos-catalog/tables/ID/elements.parquet     rows of all objects (a base), or of those that changed since (a delta)
    .modos-catalog/tables/ID/digests.parquet      what hardly repeats, read when it is asked for
    .modos-catalog/changed/OBJECT/COMMIT          announcements of commits, see `modos.object.announcing`
    .modos-catalog/building/ID-elements.parquet   parts of a first base that is being made

Whatever is here can be made again: the root documents of the objects are the truth.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from modos.catalog.element_rows import digest_schema, schema
from modos.errors import ConflictError, IntegrityError, NewerFormatError, NotFoundError, TransportError, check_format, listing
from modos.errors.missing import load_late
from modos.object.announcing import CATALOG_FOLDER, HEAD_KEY
from modos.storage import Storage

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

FORMAT_VERSION = 1
ELEMENTS, DIGESTS = "elements", "digests"
OLD = 86_400.0  # seconds after which nobody writes any more what was begun
BUILDING = f"{CATALOG_FOLDER}/building"
_TABLES = f"{CATALOG_FOLDER}/tables"
_MOST_HEAD = 1 << 20  # bytes
_HINT = "make it anew: `modos catalog refresh --full`"


@dataclass(frozen=True)
class Table:
    """One file of a snapshot: its size in bytes, and BLAKE2b-256 of them in hexadecimal digits."""

    size: int
    digest: str


@dataclass(frozen=True)
class Snapshot:
    """Tables that were written together; `id` is their folder."""

    id: str
    elements: Table
    digests: Table


@dataclass(frozen=True)
class Head:
    """Head of a catalogue: the base that counts, and what changed since; without a base, a first one is being made.

    Parameters
    ----------
    previous
        Folders of tables that counted before, and which somebody may still be reading.
    columns
        Digest of the columns of its tables; empty where an older modos wrote it.
    tag
        Of the bytes that it was read from; None where there is none yet.
    """

    base: Snapshot | None = None
    delta: Snapshot | None = None
    previous: tuple[str, ...] = ()
    columns: str = ""
    tag: str | None = field(default=None, compare=False)


def read_head(storage: Storage, known: Head | None = None) -> Head | None:
    """Read the head of a catalogue; None if there is none.

    Parameters
    ----------
    known
        What was read before; it is returned where nothing has changed.

    Raises
    ------
    IntegrityError
        It is damaged.
    NewerFormatError
        A newer modos wrote it.
    """
    try:
        read = storage.read_changed(HEAD_KEY, known.tag) if known is not None and known.tag else storage.read(HEAD_KEY)
    except NotFoundError:
        return None
    return _parse_head(*read, f"{storage.url}/{HEAD_KEY}") if read else known


def _parse_head(data: bytes, tag: str, where: str) -> Head:
    try:
        told = json.loads(data if len(data) <= _MOST_HEAD else b"")
        check_format(where, told["format_version"], FORMAT_VERSION)
        previous, columns = tuple(map(_check_id, told["previous"])), str(told.get("columns", ""))
        return Head(_parse_snapshot(told["base"]), _parse_snapshot(told["delta"]), previous, columns, tag)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, NewerFormatError):
            raise
        raise IntegrityError(f"{where} is damaged: it is not the head of a catalogue", _HINT) from None


def _parse_snapshot(told: Any) -> Snapshot | None:
    if told is None:
        return None
    return Snapshot(_check_id(told["id"]), *(_parse_table(told[name]) for name in (ELEMENTS, DIGESTS)))


def _parse_table(told: Any) -> Table:
    size, digest = told["size"], told["digest"]
    if type(size) is not int or type(digest) is not str:
        raise TypeError
    return Table(size, digest)


def _check_id(name: Any) -> str:
    if type(name) is not str:
        raise TypeError
    return uuid.UUID(name).hex


def replace_head(storage: Storage, old: Head | None, new: Head) -> Head:
    """Put a new head in the place of the one that was read; ConflictError if somebody else did.

    The tables that counted before the one that was read are removed.
    """
    kept = _ids(old) if old else ()
    new = replace(new, previous=tuple(one for one in kept if one not in _ids(new)), columns=digest_columns())
    content = {name: value for name, value in asdict(new).items() if name != "tag"} | {"format_version": FORMAT_VERSION}
    data = json.dumps(content, indent=1).encode()
    try:
        tag = storage.write(HEAD_KEY, data, if_absent=True) if old is None else storage.write(HEAD_KEY, data, if_match=old.tag)
    except (ConflictError, TransportError):  # the answer may be lost, and what was written be there
        now = read_head(storage)
        if now is None or not _ids(new) or _ids(now) != _ids(new):
            raise
        tag = now.tag or ""
    drop_tables(storage, set(old.previous if old else ()) - {*_ids(new), *new.previous})
    return replace(new, tag=tag)


def _ids(head: Head) -> tuple[str, ...]:
    return tuple(one.id for one in (head.base, head.delta) if one)


def forget(storage: Storage) -> None:
    """Begin a catalogue anew where it is damaged; raise ConflictError if somebody else does."""
    storage.delete_all([info.key for info in storage.iter_files(BUILDING)])
    replace_head(storage, Head(tag=storage.read(HEAD_KEY)[1]), Head())


def drop_tables(storage: Storage, ids: Iterable[str]) -> None:
    """Remove folders of tables."""
    storage.delete_all([_key(one, name) for one in ids for name in (ELEMENTS, DIGESTS)])


def drop_orphans(storage: Storage, head: Head | None) -> None:
    """Remove tables that no head has named for a day: of a refresh that was interrupted."""
    known, now = {*_ids(head), *head.previous} if head else set[str](), storage.now()
    old = [info for info in storage.iter_files(_TABLES) if info.modified is not None and now - info.modified > OLD]
    drop_tables(storage, {info.key.split("/")[2] for info in old} - known)


def write_snapshot(storage: Storage, elements: pl.LazyFrame, digests: pl.LazyFrame) -> Snapshot:
    """Write tables to a folder of their own; what is written of them goes where that fails."""
    made = uuid.uuid4().hex
    try:
        return Snapshot(made, *(_write(storage, made, name, table) for name, table in ((ELEMENTS, elements), (DIGESTS, digests))))
    except BaseException:
        drop_tables(storage, [made])
        raise


def _write(storage: Storage, made: str, name: str, table: pl.LazyFrame) -> Table:
    data = to_parquet(table)
    storage.write(_key(made, name), data, if_absent=True)
    return Table(len(data), _digest(data))


def to_parquet(table: pl.LazyFrame) -> bytes:
    """Write a table as Parquet, in pieces."""
    target = BytesIO()
    table.sink_parquet(target, compression="zstd", row_group_size=1 << 17, engine="streaming")
    return target.getvalue()


def read_table(storage: Storage, snapshot: Snapshot, name: str) -> bytes:
    """Read a table of a snapshot as Parquet, and compare it with what the head says.

    Raises
    ------
    NotFoundError
        It counts no more, and was removed.
    IntegrityError
        It is damaged, or an older modos wrote it.
    NewerFormatError
        A newer modos wrote it.
    """
    key, told = _key(snapshot.id, name), snapshot.elements if name == ELEMENTS else snapshot.digests
    data, _ = storage.read(key)
    if len(data) != told.size or _digest(data) != told.digest:
        raise IntegrityError(f"{storage.url}/{key} is damaged: it is not what was written there", _HINT)
    columns = read_columns(data)
    if columns != (schema() if name == ELEMENTS else digest_schema()):
        if unknown := sorted(columns.keys() - schema().keys() - digest_schema().keys()):
            raise NewerFormatError(
                f"{storage.url}/{key} has columns that this modos does not know: {listing(unknown)}", "install a newer modos"
            )
        raise IntegrityError(f"{storage.url}/{key} has other columns than this modos writes", _HINT)
    return data


def check_columns(storage: Storage, head: Head) -> None:
    """Check that the tables of digests, which are read later, have the columns that this modos writes; see `read_table`."""
    if head.columns != digest_columns():
        for snapshot in (head.base, head.delta):
            if snapshot:
                read_table(storage, snapshot, DIGESTS)


@cache
def digest_columns() -> str:
    """Return a digest of the columns that this modos writes."""
    return _digest(repr([[*map(str, pair)] for columns in (schema(), digest_schema()) for pair in columns.items()]).encode())


def missing_error(storage: Storage) -> IntegrityError:
    """Return the error for a head that names tables which are gone."""
    return IntegrityError(f"{storage.url}/{HEAD_KEY} is damaged: it names tables that are gone", _HINT)


def read_columns(data: bytes) -> dict[str, Any]:
    """Read the names and types of the columns of a table as Parquet; none where it is no such."""
    try:
        return dict(pl.read_parquet_schema(BytesIO(data)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return {}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _key(made: str, name: str) -> str:
    return f"{_TABLES}/{made}/{name}.parquet"
