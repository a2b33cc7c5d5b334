"""Decode the tags of BAM records into Arrow arrays (SAMv1 section 4.2.4).

All records go on to their next tag at once. The kind of a column is one for all
values that it has, whatever types they are stored in: see `modos.tables.column_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.tables import arrow
from modos.tables.bam_records import BamRecords, damage_error
from modos.tables.column_kinds import KINDS, cast_column, join_kinds
from modos.tables.ragged import Ints, find_byte, join_slices, number_within, view_at

_NUMBERS = {ord(code): kind for code, kind in zip("cCsSiIfd", ("i1", "u1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8"))}
_SIZES = np.zeros(256, np.int64)  # bytes of a value by its type
_SIZES[[*b"AcCsSiIfd"]] = 1, 1, 1, 2, 2, 4, 4, 4, 8
_ARRAY, _CHARACTER = ord("B"), ord("A")
_IS_TEXT = np.isin(np.arange(256), [*b"ZH"])
_KINDS = np.zeros(256, np.uint8)  # by the type of a tag
for _codes, _kind in ((b"cCsSiI", "integer"), (b"f", "real"), (b"d", "double"), (b"AZH", "text")):
    _KINDS[[*_codes]] = KINDS.index(_kind)
_INTEGERS, _REALS = KINDS.index("integers"), KINDS.index("reals")


class Tags(NamedTuple):
    """All tags of some records, those of each name together: arrays of shape (tags,)."""

    names: npt.NDArray[np.uint16]
    types: npt.NDArray[np.uint8]
    rows: Ints
    places: Ints  # of the values
    sizes: Ints  # bytes of the values

    def iter_names(self) -> Iterator[tuple[str, Tags]]:
        """Yield each name with its tags."""
        bounds = [0, *(np.flatnonzero(self.names[1:] != self.names[:-1]) + 1).tolist(), len(self.names)]
        for low, high in pairwise(bounds if len(self.names) else []):
            yield bytes(divmod(int(self.names[low]), 256)).decode("latin-1"), self.select(slice(low, high))

    def select(self, which: Any) -> Tags:
        """Select some of the tags by a slice, numbers or a mask."""
        return Tags(*(column[which] for column in self))


def find_tags(records: BamRecords, wanted: frozenset[str] | None = None) -> Tags:
    """Find the tags of some names, or all; but not the CIGAR that is in a tag.

    Raises
    ------
    IntegrityError
        A record is damaged.
    """
    found = list(_walk(records, np.arange(len(records))))
    if not found:
        return Tags(*(np.empty(0, kind) for kind in ("u2", "u1", "i8", "i8", "i8")))
    tags = Tags(*(np.concatenate(columns) for columns in zip(*found)))
    if wanted is not None:
        tags = tags.select(np.isin(tags.names, [int.from_bytes(name.encode("latin-1"), "big") for name in wanted]))
    if len(records.hidden_cigars):
        tags = tags.select((tags.names != int.from_bytes(b"CG", "big")) | ~np.isin(tags.rows, records.hidden_cigars))
    return tags.select(np.argsort(tags.names, kind="stable"))


def find_tag(records: BamRecords, number: int, name: bytes) -> int | None:
    """Find a tag of one record: the place where its name is."""
    for step in _walk(records, np.array([number])):
        if step.names[0] == int.from_bytes(name, "big"):
            return int(step.places[0]) - 3
    return None


def _walk(records: BamRecords, rows: Ints) -> Iterator[Tags]:
    """Yield the first tags of some records, then the second ones, and so on."""
    data, at, ends = records.data, records.tags[rows], records.ends[rows]
    zeros: Ints | None = None
    while True:
        left = at < ends
        rows, at, ends = rows[left], at[left], ends[left]
        if not len(rows):
            return
        names, types = view_at(data, ">u2", at).astype(np.uint16), view_at(data, "u1", at + 2)
        places = at + 3
        sizes = _SIZES[types]
        is_text, is_array = _IS_TEXT[types], types == _ARRAY
        if is_text.any():
            zeros = find_byte(data, 0) if zeros is None else zeros
            texts = places[is_text]
            sizes[is_text] = zeros[np.searchsorted(zeros, texts).clip(max=len(zeros) - 1)] - texts + 1
        if is_array.any():
            arrays = places[is_array]
            each = _SIZES[view_at(data, "u1", arrays)]
            sizes[is_array] = np.where(each > 0, 5 + each * view_at(data, "<u4", arrays + 1).astype(np.int64), 0)
        at = places + sizes
        if (sizes <= 0).any() or (at > ends).any():
            raise damage_error()
        yield Tags(names, types, rows, places, sizes)


def decode_tag(records: BamRecords, tags: Tags, name: str) -> tuple[str, Any]:
    """Decode the tags of one name: the kind of the column, and an array of shape (records,) with nulls where there is none.

    Raises
    ------
    IntegrityError
        A record has the tag twice.
    """
    if (np.diff(tags.rows) <= 0).any() and len(np.unique(tags.rows)) < len(tags.rows):
        raise IntegrityError(f"a read has the tag {name} twice", "leave this column out, or mend the file")
    kinds = _KINDS[tags.types]
    is_array = tags.types == _ARRAY
    kinds[is_array] = np.where(view_at(records.data, "u1", tags.places[is_array]) == ord("f"), _REALS, _INTEGERS)
    found = _present(kinds)
    kind = join_kinds(KINDS[number] for number in found)
    parts = []
    for number in found:
        part = tags.select(kinds == number) if len(found) > 1 else tags
        column = cast_column(_DECODERS[KINDS[number]](records.data, part, name), KINDS[number], kind)
        parts.append((column, part.rows))
    return kind, arrow.spread(parts, len(records))


def _present(codes: npt.NDArray[Any]) -> list[int]:
    """Return which small numbers occur."""
    return np.flatnonzero(np.bincount(codes, minlength=1)).tolist()


def _decode_numbers(data: bytes, tags: Tags, kind: str) -> Any:
    present = _present(tags.types)
    if len(present) == 1:
        return arrow.make_numbers(view_at(data, _NUMBERS[present[0]], tags.places).astype(kind))
    values = np.empty(len(tags.rows), kind)
    for type in present:
        these = tags.types == type
        values[these] = view_at(data, _NUMBERS[type], tags.places[these])
    return arrow.make_numbers(values)


def _decode_texts(data: bytes, tags: Tags, name: str) -> Any:
    lengths = np.where(tags.types == _CHARACTER, 1, tags.sizes - 1)
    return arrow.slice_texts(data, tags.places, lengths, what=f"the tag {name} of a read")


def _decode_lists(data: bytes, tags: Tags, kind: str) -> Any:
    types, counts = view_at(data, "u1", tags.places), view_at(data, "<u4", tags.places + 1).astype(np.int64)
    begins = np.cumsum(counts) - counts
    values = np.empty(int(counts.sum()), kind)
    for type in _present(types):
        these = types == type
        at = np.repeat(begins[these], counts[these]) + number_within(counts[these])
        stored = join_slices(data, tags.places[these] + 5, tags.sizes[these] - 5)
        values[at] = stored.view(_NUMBERS[type])
    return arrow.make_lists(arrow.make_numbers(values), counts)


_DECODERS: dict[str, Callable[[bytes, Tags, str], Any]] = {
    "integer": lambda data, tags, name: _decode_numbers(data, tags, "i8"),
    "real": lambda data, tags, name: _decode_numbers(data, tags, "f4"),
    "double": lambda data, tags, name: _decode_numbers(data, tags, "f8"),
    "text": _decode_texts,
    "integers": lambda data, tags, name: _decode_lists(data, tags, "i8"),
    "reals": lambda data, tags, name: _decode_lists(data, tags, "f4"),
}
