"""Decode records of a BCF into Arrow arrays (BCFv2.2, sections 6.3 and 6.4 of VCFv4.5).

All records go on to their next value at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.storage.processes.forking import cached_property
from modos.tables import arrow
from modos.tables.bcf_values import SIZES, TEXT, Values, decode_genotypes, decode_values
from modos.tables.cells import Cells
from modos.tables.column_kinds import is_list
from modos.tables.declared import Declarations
from modos.tables.ragged import Block, Ints, view_at

_FIXED = np.dtype(
    [
        ("shared", "<u4"),
        ("own", "<u4"),
        ("contig", "<i4"),
        ("pos", "<i4"),
        ("length", "<i4"),
        ("qual", "<u4"),
        ("info", "<u2"),
        ("alleles", "<u2"),
        ("samples", "<u4"),
    ]
)
_NO_QUALITY = 0x7F800001


class _Typed(NamedTuple):
    """Typed values of some records: what they are, and where they begin."""

    types: Ints
    counts: Ints
    places: Ints

    @property
    def ends(self) -> Ints:
        return self.places + self.counts * SIZES[self.types]


class _Field(NamedTuple):
    """Values of one key, each of a record."""

    rows: Ints
    types: Ints
    counts: Ints
    places: Ints


class BcfRecords:
    """Some records of a BCF.

    Parameters
    ----------
    block
        They, in the bytes that a BCF has before it is compressed.
    declared
        What the header declares.
    contigs
        Names of the contigs, with the number that records have for them.

    Raises
    ------
    IntegrityError
        A record is damaged; also as columns are made.
    """

    def __init__(self, block: Block, declared: Declarations, contigs: Mapping[str, int]):
        self.data, begins = block.data, block.bounds[:-1]
        self._declared, self._contigs = declared, contigs
        fixed = view_at(self.data, f"V{_FIXED.itemsize}", begins).view(_FIXED)
        self._fixed = {name: fixed[name].astype(np.int64) for name in _FIXED.names or ()}
        self._places: Ints = begins + _FIXED.itemsize
        self._middles: Ints = begins + 8 + self._fixed["shared"]
        self._ends: Ints = self._middles + self._fixed["own"]
        self._samples = len(declared.samples)
        if (
            (self._ends != block.bounds[1:]).any()
            or (self._middles < self._places).any()
            or (self._fixed["samples"] & 0xFFFFFF > self._samples).any()
        ):
            raise _damage_error()

    def __len__(self) -> int:
        return len(self._places)

    def decode(self, name: str) -> Any:
        """Decode one of the fixed fields into an array of shape (records,)."""
        decoded: Any = getattr(self, f"_decode_{name}")()
        return decoded

    def _decode_chrom(self) -> Any:
        names: list[str | None] = [None] * (max(self._contigs.values(), default=-1) + 1)
        for name, number in self._contigs.items():
            names[number] = name
        if (self._fixed["contig"] < 0).any():
            raise _damage_error()
        return arrow.take_names(arrow.make_strings(names), self._fixed["contig"], "a record")

    def _decode_pos(self) -> Any:
        return arrow.make_numbers(self._fixed["pos"] + 1)

    def _decode_qual(self) -> Any:
        stored = self._fixed["qual"].astype(np.uint32)
        return arrow.make_numbers(stored.view(np.float32), stored == _NO_QUALITY)

    def _decode_id(self) -> Any:
        return self._cells(self._head[0]).to_texts("the ID of a record")

    def _decode_ref(self) -> Any:
        rows, cells = self._alleles
        first = np.searchsorted(rows, np.arange(len(self)))
        if (self._fixed["alleles"] == 0).any():
            raise _damage_error()
        return arrow.slice_texts(self.data, cells.starts[first], cells.lengths[first], what="REF of a record")

    def _decode_alt(self) -> Any:
        rows, cells = self._alleles
        is_other = np.diff(rows, prepend=-1) == 0
        texts = arrow.slice_texts(self.data, cells.starts[is_other], cells.lengths[is_other], what="ALT of a record")
        return arrow.make_lists(texts, np.bincount(rows[is_other], minlength=len(self)))

    def _decode_filter(self) -> Any:
        field = _Field(np.arange(len(self)), *self._head[1])
        numbers = self._decode_field(field, "integers", "FILTER")
        counts = np.where(field.types == 0, 0, field.counts)
        return arrow.make_lists(self._name_strings(numbers.flatten()), counts, counts == 0)

    def _name_strings(self, numbers: Any) -> Any:
        """Look names of filters up by their numbers."""
        found = arrow.view_numbers(numbers, "i8")
        known = np.array(sorted(self._declared.strings), np.int64)
        if not np.isin(found, known).all():
            raise _damage_error()
        names = arrow.make_strings(self._declared.strings[number] for number in known.tolist())
        return names.take(arrow.make_numbers(np.searchsorted(known, found)))

    def _cells(self, typed: _Typed) -> Cells:
        return Cells(self.data, typed.places, np.where(typed.counts == 0, -1, typed.counts))

    @cached_property
    def _head(self) -> tuple[_Typed, _Typed, Ints, list[tuple[Ints, _Typed]]]:
        """ID and FILTER, where INFO begins, and the alleles: the first ones, the second ones, and so on."""
        ids = self._read(self._places, self._middles)
        at, alleles = ids.ends, []
        for number in range(int(self._fixed["alleles"].max(initial=0))):
            rows = np.flatnonzero(self._fixed["alleles"] > number)
            typed = self._read(at[rows], self._middles[rows])
            at[rows] = typed.ends
            alleles.append((rows, typed))
        filters = self._read(at, self._middles)
        return ids, filters, filters.ends, alleles

    @cached_property
    def _alleles(self) -> tuple[Ints, Cells]:
        """The alleles of all records, in their order, each with the number of its record."""
        alleles = self._head[3]
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in alleles)])
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate([np.empty(0, np.int64), *(typed.places for _, typed in alleles)])
        counts = np.concatenate([np.empty(0, np.int64), *(typed.counts for _, typed in alleles)])
        return rows[order], Cells(self.data, starts[order], counts[order])

    def _read(self, at: Ints, ends: Ints, samples: int = 1) -> _Typed:
        """Read the descriptors of typed values."""
        first = view_at(self.data, "u1", np.minimum(at, ends)).astype(np.int64)
        types, counts, places = first & 15, first >> 4, at + 1
        (longer,) = np.nonzero(counts == 15)
        if len(longer):
            numbers, beyond = self._read_integer(places[longer])
            counts[longer], places[longer] = numbers, beyond
        typed = _Typed(types, counts, places)
        if (SIZES[types] < 0).any() or (counts < 0).any() or (places + counts * SIZES[types] * samples > ends).any():
            raise _damage_error()
        return typed

    def _read_integer(self, at: Ints) -> tuple[Ints, Ints]:
        """Read typed integers; returns them, and where they end."""
        types = view_at(self.data, "u1", np.minimum(at, len(self.data) - 1)).astype(np.int64)
        numbers = np.empty(len(at), np.int64)
        for type, kind in ((0x11, "i1"), (0x12, "<i2"), (0x13, "<i4")):
            these = types == type
            numbers[these] = view_at(self.data, kind, np.minimum(at[these] + 1, len(self.data) - 4))
        if not np.isin(types, (0x11, 0x12, 0x13)).all():
            raise _damage_error()
        return numbers, at + 1 + SIZES[types & 15]

    @cached_property
    def _info(self) -> dict[str, _Field]:
        return self._read_fields(self._head[2], self._middles, self._fixed["info"], 1)

    @cached_property
    def _formats(self) -> dict[str, _Field]:
        if not self._samples:
            return {}
        counts = self._fixed["samples"] >> 24
        if (self._fixed["samples"][counts > 0] & 0xFFFFFF != self._samples).any():
            raise _damage_error()
        return self._read_fields(self._middles, self._ends, counts, self._samples)

    def _read_fields(self, at: Ints, ends: Ints, counts: Ints, samples: int) -> dict[str, _Field]:
        """Read where the values of each key are."""
        at, found = at.copy(), []
        for number in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > number)
            if (at[rows] >= ends[rows]).any():
                raise _damage_error()
            keys, places = self._read_integer(at[rows])
            typed = self._read(places, ends[rows], samples)
            at[rows] = typed.places + typed.counts * SIZES[typed.types] * samples
            found.append((keys, rows, typed.types, typed.counts, typed.places))
        if not found:
            return {}
        keys, *columns = (np.concatenate(column) for column in zip(*found))
        fields = {}
        for key in np.unique(keys).tolist():
            if key not in self._declared.strings:
                raise _damage_error()
            (which,) = np.nonzero(keys == key)
            which = which[np.argsort(columns[0][which], kind="stable")]
            fields[self._declared.strings[key]] = _Field(*(column[which] for column in columns))
        return fields

    def info_keys(self) -> Iterable[str]:
        """Return the keys of INFO that records have."""
        return self._info

    def format_keys(self) -> Iterable[str]:
        """Return the keys of FORMAT that records have."""
        return self._formats

    def decode_info(self, key: str, kind: str) -> Any:
        """Decode a key of INFO into an array of a kind, shape (records,)."""
        field = self._info.get(key)
        if kind == "flag":
            has_key = np.zeros(len(self), bool)
            if field is not None:
                has_key[field.rows] = True
            return arrow.make_numbers(has_key)
        if field is None:
            return arrow.make_nulls(len(self), kind)
        _check_once(field, f"INFO/{key}")
        return self._decode_field(field, kind, f"INFO/{key}")

    def _decode_field(self, field: _Field, kind: str, name: str) -> Any:
        """Decode values of records; a key without any is an empty text or list."""
        parts = []
        is_empty = field.counts == 0
        if is_empty.any() and (kind == "text" or is_list(kind)):
            parts.append((arrow.make_empty(int(is_empty.sum()), kind), field.rows[is_empty]))
        for type in np.unique(field.types[~is_empty]).tolist():
            these = ~is_empty & (field.types == type)
            values = Values(field.types[these], field.counts[these], field.places[these])
            parts.append((decode_values(self.data, values, kind, name), field.rows[these]))
        return arrow.spread(parts, len(self)) if parts else arrow.make_nulls(len(self), kind)

    def decode_format(self, key: str, kind: str, samples: npt.NDArray[np.int64], *, by_record: bool) -> Any:
        """Decode a key of FORMAT into an array of a kind, shape (samples x records,), or (records x samples,) if `by_record`."""
        cells, field = len(self) * len(samples), self._formats.get(key)
        if field is None:
            return arrow.make_nulls(cells, kind)
        _check_once(field, f"FORMAT/{key}")
        parts = []
        for type, count in np.unique(np.stack((field.types, field.counts), 1), axis=0).tolist():
            these = (field.types == type) & (field.counts == count)
            rows, places = field.rows[these], field.places[these]
            at = places[:, None] + samples * (count * int(SIZES[type]))
            of = (
                rows[:, None] * len(samples) + np.arange(len(samples))
                if by_record
                else rows[:, None] + np.arange(len(samples)) * len(self)
            )
            if not by_record:
                at, of = at.T, of.T
            values = Values(np.full(at.size, type), np.full(at.size, count), at.ravel())
            decode = decode_genotypes if key == "GT" and type != TEXT else decode_values
            parts.append((decode(self.data, values, kind, f"FORMAT/{key}"), of.ravel()))
        return arrow.spread(parts, cells)


def _check_once(field: _Field, name: str) -> None:
    if (np.diff(field.rows) == 0).any():
        raise IntegrityError(f"a record has {name} twice", "leave this column out, or mend the file")


def _damage_error() -> IntegrityError:
    return IntegrityError("a record is damaged: its fields do not fit into it, or the header", "get the file again")
