"""Decode typed values of a BCF into Arrow arrays (BCFv2.2 section 6.3.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.tables import arrow
from modos.tables.cells import Cells, decode_cells
from modos.tables.column_kinds import is_list, kind_of_values
from modos.tables.ragged import Ints, join_slices, number_within

TEXT, _REAL = 7, 5
_INTEGERS = {1: "i1", 2: "<i2", 3: "<i4"}
SIZES = np.full(16, -1, np.int64)  # bytes of a value by its type; 0 is that of no value
SIZES[[0, 1, 2, 3, _REAL, TEXT]] = 0, 1, 2, 4, 4, 1
_NO_REAL, _END_REAL = 0x7F800001, 0x7F800002


class Values(NamedTuple):
    """Values at places of a buffer, as many of a type at each: arrays of shape (n,), the types all the same."""

    types: Ints
    counts: Ints
    places: Ints


def decode_values(data: bytes, values: Values, kind: str, name: str) -> Any:
    """Decode values into an array of a kind, shape (n,); null where they are missing.

    Raises
    ------
    IntegrityError
        They do not have this kind.
    """
    type = int(values.types[0]) if len(values.types) else 0
    if type == 0:
        return arrow.make_nulls(len(values.types), kind)
    if type == TEXT:
        return decode_cells(_strip(data, values), kind, name)
    if kind in ("text", "texts"):
        raise IntegrityError(f"{name} is a number in a record, and is declared as text", "leave the column out")
    numbers, missing, ends = _read_numbers(data, values, type)
    if type == _REAL and kind in ("integer", "integers"):
        raise IntegrityError(f"{name} is a real number in a record, and is declared as integer", "leave the column out")
    return (
        _make_lists(numbers, missing, ends, values.counts, kind)
        if is_list(kind)
        else _make_single(numbers, missing, ends, values.counts, kind, name)
    )


def _strip(data: bytes, values: Values) -> Cells:
    """Return texts without the zeros that they end in."""
    lengths, joined = values.counts, join_slices(data, values.places, values.counts)
    if (joined == 0).any():
        of = np.repeat(np.arange(len(lengths)), lengths)
        number = number_within(lengths)
        firsts = lengths.copy()
        at = np.flatnonzero(joined == 0)
        np.minimum.at(firsts, of[at], number[at])
        lengths = firsts
    return Cells(data, values.places, np.where(values.counts == 0, -1, lengths))


def _read_numbers(
    data: bytes, values: Values, type: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Read all numbers: they, which are missing, and which are none as the vector has ended."""
    size = int(SIZES[type])
    raw = join_slices(data, values.places, values.counts * size)
    if type == _REAL:
        bits = raw.view("<u4")
        return raw.view("<f4"), bits == _NO_REAL, bits == _END_REAL
    numbers = raw.view(_INTEGERS[type])
    low = np.iinfo(numbers.dtype).min
    return numbers.astype(np.int64), numbers == low, numbers == low + 1


def _make_lists(
    numbers: npt.NDArray[Any], missing: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_], counts: Ints, kind: str
) -> Any:
    of = np.repeat(np.arange(len(counts)), counts)
    lengths = np.bincount(of[~ends], minlength=len(counts))
    is_one_missing = (lengths == 1) & (np.bincount(of[~ends & missing], minlength=len(counts)) == 1)
    kept = ~ends & ~is_one_missing[of]
    listed = arrow.make_numbers(numbers[kept], missing[kept]).cast(arrow.type_of(kind_of_values(kind)))
    is_missing = is_one_missing | (lengths == 0)
    return arrow.make_lists(listed, np.where(is_missing, 0, lengths), is_missing)


def _make_single(
    numbers: npt.NDArray[Any], missing: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_], counts: Ints, kind: str, name: str
) -> Any:
    of = np.repeat(np.arange(len(counts)), counts)
    lengths = np.bincount(of[~ends], minlength=len(counts))
    if (lengths > 1).any():
        raise IntegrityError(
            f"{name} has several numbers in a record, which the header declares as one",
            f"leave the column out, or have a list: {name}:Integer[] or {name}:Float[]",
        )
    found, is_missing = np.zeros(len(counts), numbers.dtype), np.ones(len(counts), bool)
    is_value = ~ends & ~missing
    found[of[is_value]], is_missing[of[is_value]] = numbers[is_value], False
    return arrow.make_numbers(found, is_missing).cast(arrow.type_of(kind))


def decode_genotypes(data: bytes, values: Values, kind: str, name: str) -> Any:
    """Decode genotypes into texts as a VCF has them (`0|1`); null for `.` alone."""
    type, count = int(values.types[0]), int(values.counts[0])
    if type not in _INTEGERS or not count:
        return decode_values(data, values, kind, name)
    size = count * int(SIZES[type])
    cells = join_slices(data, values.places, values.counts * int(SIZES[type]))
    if size <= 2:
        codes = cells.view(f"<u{size}")
        present = np.flatnonzero(np.bincount(codes))
        numbers = np.zeros(1 << 8 * size, np.int32)
        numbers[present] = np.arange(len(present))
        alleles = present.astype(f"<u{size}").view(_INTEGERS[type]).reshape(-1, count)
        order = numbers[codes]
    else:
        unique, order = np.unique(cells.view(f"V{size}"), return_inverse=True)
        alleles = unique.view(_INTEGERS[type]).reshape(-1, count)
    texts = arrow.make_strings(map(_format_genotype, alleles.tolist()))
    return texts.take(arrow.make_numbers(order.astype(np.int32)))


def _format_genotype(alleles: list[int]) -> str | None:
    text = ""
    for number, allele in enumerate(allele for allele in alleles if allele not in (-127, -32767, -(1 << 31) + 1)):
        text += ("|" if allele & 1 else "/") if number else ""
        text += "." if allele >> 1 <= 0 else str((allele >> 1) - 1)
    return None if text in ("", ".") else text
