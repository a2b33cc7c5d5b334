"""Rows of a catalogue: one for each element of an object, and back to its metadata without a loss."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError
from modos.errors.missing import load_late
from modos.formats import Metadata
from modos.metadata.model.schema import slots_of, tables

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

OBJECT, ELEMENT, CLASS = "object", "element", "class"
REMOVED = "removed"  # problem of an object that is gone, among what changed
OWN = (OBJECT, ELEMENT, CLASS, "revision", "tag", "problem", "other")  # columns that are no slots
_CHUNK = 4096  # rows that become a table at once
_MOST = 1 << 63
_MOST_TEXT = 1 << 20  # characters of a text in a column of its own
_UNIQUE = frozenset(
    (
        "cuts_checksum",
        "data_checksum",
        "data_digest",
        "header_digests",
        "index_digests",
        "index_recipients",
        "plain_checksum",
        "plain_digest",
        "recipients",
        "refget_digest",
        "seal_digest",
        "sender",
        "seqcol_digest",
        "sequence_md5",
    )
)  # slots whose values hardly repeat: they lie in a table of their own
Row = dict[str, Any]


@cache
def schema() -> dict[str, Any]:
    """Return the columns of the table of elements and their types of polars; each slot of the schema is one, but for digests."""
    return _own_schema() | {name: type for name, type in _slot_types().items() if name not in _UNIQUE}


@cache
def digest_schema() -> dict[str, Any]:
    """Return the columns of the table of digests and their types of polars."""
    return {OBJECT: pl.String, ELEMENT: pl.String} | {name: type for name, type in _slot_types().items() if name in _UNIQUE}


def _own_schema() -> dict[str, Any]:
    return dict.fromkeys(OWN, pl.String) | {"revision": pl.UInt32}


@cache
def _slot_types() -> dict[str, Any]:
    types: dict[str, Any] = {"integer": pl.Int64, "datetime": pl.Datetime("us")}
    found: dict[str, Any] = {}
    for described in tables()["classes"].values():
        for name, slot in described["slots"].items():
            type = types.get(slot["range"], pl.String)
            found[name] = pl.List(type) if slot["multivalued"] else type
    found.pop("id")
    return dict(sorted(found.items()))


class Rows:
    """Rows of some objects, gathered; some thousands at a time become tables, as objects of Python are slow to keep."""

    def __init__(self) -> None:
        self._elements: list[Row] = []
        self._digests: list[Row] = []
        self._made: list[tuple[pl.DataFrame, pl.DataFrame]] = []

    @property
    def count(self) -> int:
        """Number of the rows of elements."""
        return len(self._elements) + sum(elements.height for elements, _ in self._made)

    def add(self, key: str, object_id: str, metadata: Metadata, revision: int, tag: str) -> None:
        """Add an object.

        Parameters
        ----------
        key
            Of the object below the root of the catalogue.
        object_id
            Its own id, under which the metadata have what is of itself.
        metadata
            Attributes by element id, in full form.
        revision
            Number of its commits; 0 where it is not counted.
        tag
            Of its root document.

        Raises
        ------
        IntegrityError
            An id is no text that can be written.
        """
        for element_id, attributes in metadata.items():
            own: Row = {
                OBJECT: key,
                ELEMENT: "" if element_id == object_id else _check_text(element_id),
                "revision": revision,
                "tag": tag,
            }
            digests: Row = {}
            other = _fill(own, digests, attributes)
            if element_id == object_id and (object_id != _name_of(key) or "id" not in attributes):
                other["id"] = [object_id, "id" in attributes]
            if other:
                own["other"] = json.dumps(other)
            self._elements.append(own)
            if digests:
                self._digests.append({OBJECT: key, ELEMENT: own[ELEMENT]} | digests)
        if len(self._elements) >= _CHUNK:
            self._make_frames()

    def add_problem(self, key: str, problem: str, tag: str = "") -> None:
        """Add an object that cannot be read, and why."""
        self._elements.append({OBJECT: key, ELEMENT: "", "tag": tag, "problem": problem})

    def add_removed(self, key: str) -> None:
        """Add the mark of an object that is gone."""
        self._elements.append({OBJECT: key, ELEMENT: "", "problem": REMOVED})

    def to_frames(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return both tables, sorted by object; the order of an object's elements stays."""
        self._make_frames()
        elements, digests = (pl.concat(frames).sort(OBJECT, maintain_order=True) for frames in zip(*self._made))
        return elements, digests

    def _make_frames(self) -> None:
        self._made.append((_frame(self._elements, schema()), _frame(self._digests, digest_schema())))
        self._elements, self._digests = [], []


def _frame(rows: Sequence[Row], types: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series([row.get(name) for row in rows], dtype=type) for name, type in types.items()})


def _check_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise IntegrityError(f"an id is no text: {text!r}") from None
    return text


def _fill(own: Row, digests: Row, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Put attributes into their columns; returns those that have none, or do not come back from it as they are."""
    other: dict[str, Any] = {}
    kinds = _kinds()
    is_own = own[ELEMENT] == ""
    for name, value in attributes.items():
        if is_own and name == "id":
            continue
        kind, column = (_text, CLASS) if name == "@type" else (kinds.get(name), name)
        converted = kind(value) if kind else None
        if converted is None:
            other[name] = value
        elif name in _UNIQUE:
            digests[name] = converted
        else:
            own[column] = converted
            if type(converted) is datetime and converted.isoformat() != value:
                other[name] = value
    return other


@cache
def _kinds() -> dict[str, Any]:
    """Return how the value of each slot is brought into its column; None comes back for one that does not fit."""
    single: dict[Any, Any] = {pl.Int64: _integer, pl.Datetime("us"): _time, pl.String: _text}
    several: dict[Any, Any] = {pl.Int64: _integers, pl.String: _texts}
    found: dict[str, Any] = {}
    for name, type in _slot_types().items():
        inner = type.inner if isinstance(type, pl.List) else None
        found[name] = several[inner] if inner is not None else single[type]
    return found


def _text(value: Any) -> str | None:
    if type(value) is not str or len(value) > _MOST_TEXT:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -_MOST <= value < _MOST else None


def _texts(value: Any) -> list[str] | None:
    return value if type(value) is list and all(_text(item) is not None for item in value) else None


def _integers(value: Any) -> list[int] | None:
    return value if type(value) is list and all(_integer(item) is not None for item in value) else None


def _time(value: Any) -> datetime | None:
    """Return a time, by UTC where it has a zone; the text is kept beside it where it would not come back."""
    if type(value) is not str:
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except (ValueError, OverflowError):
        return None


def to_metadata(key: str, rows: Iterable[Row], digests: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Return the metadata of one object from its rows: attributes by element id, and those of the object by its own.

    Parameters
    ----------
    key
        Of the object.
    rows, digests
        Of both tables, as polars gives them by name.
    """
    unique = {row[ELEMENT]: row for row in digests}
    return dict(_restore(key, row, unique.get(row[ELEMENT], {})) for row in rows)


def _restore(key: str, row: Row, digests: Row) -> tuple[str, dict[str, Any]]:
    other = json.loads(row["other"]) if row["other"] else {}
    element_id, attributes = row[ELEMENT], {} if row[CLASS] is None else {"@type": row[CLASS]}
    if element_id == "":
        element_id, has_id = other.pop("id", (_name_of(key), True))
        attributes |= {"id": element_id} if has_id else {}
    known = row | digests
    for name in (*slots_of(row[CLASS]), *_slot_types()):
        value = known.get(name)
        if value is not None and name not in attributes:
            attributes[name] = value.isoformat() if type(value) is datetime else value
    return element_id, attributes | other


def _name_of(key: str) -> str:
    return key.rpartition("/")[2]


def group_by_object(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Iterate over the rows of each object of a table that is sorted by them."""
    starts = [0, *(frame[OBJECT].rle().struct.field("len").cum_sum().to_list() if frame.height else [])]
    for start, end in pairwise(starts):
        yield frame[OBJECT][start], frame[start:end]
