"""Compare the records of a VCF with those that a VCF Zarr gives back.

VCF Zarr has no order of INFO and FORMAT fields, and does not tell a value that
is missing from one that is not there. Beyond that a record comes back as it
was, or it is not what a reader of the tree gets.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest

from modos.genomics import GenomicFile
from modos.genomics.region import Region
from modos.trees.vcf_zarr_lengths import VariantLengths

_FILTER, _INFO, _FORMAT = 6, 7, 8  # columns
_NAMES = ("contig", "position", "ID", "REF", "ALT", "QUAL", "FILTER")
_NO_CALL = re.compile(r"\.(?:[/|]\.)*")
_FLOAT = re.compile(r"[.eE]|nan|inf", re.IGNORECASE)


@dataclass
class Comparison:
    """Numbers of records, and of those that come back otherwise, and what the first such one has lost."""

    records: int = 0
    differing: int = 0
    first: str | None = None

    def add(self, place: str, difference: str | None) -> None:
        """Count a record."""
        self.records += 1
        if difference is not None:
            self.differing += 1
            self.first = self.first or f"{place}: {difference}"


def compare_records(source: GenomicFile, lines: Iterable[str], lengths: VariantLengths) -> Iterator[Comparison]:
    """Compare a file with the lines of its tree, whose contigs may have another order; yields how it is after each record.

    Parameters
    ----------
    lengths
        Of the tree; they are compared as well, and to be mended afterwards.
    """
    found = Comparison()
    for contig, of_tree in groupby(lines, key=lambda line: line.partition("\t")[0]):
        for record, other in zip_longest(source.fetch(Region(contig)), of_tree):
            one = None if record is None else str(record).rstrip("\n")
            if other is not None:
                lengths.compare(None if record is None else record.rlen)
            place = ":".join((one or other or "").split("\t", 2)[:2])
            found.add(place, find_difference(one, other))
            yield found
    if missing := source.count() - found.records:
        found.differing += abs(missing)
        found.first = found.first or f"it has {missing:,} records less"
        yield found


def find_difference(one: str | None, other: str | None) -> str | None:
    """Return what differs between a record of a file and that of its tree; None if they are the same."""
    if one == other:
        return None
    if one is None or other is None:
        return "a record more" if one is None else "a record less"
    first, second = one.split("\t"), other.split("\t")
    for name, before, after in zip(_NAMES, first[:_FILTER], second):
        if not _is_same(before, after):
            return f"{name} {before} is {after}"
    if set(first[_FILTER].split(";")) != set(second[_FILTER].split(";")):
        return f"FILTER {first[_FILTER]} is {second[_FILTER]}"
    told = _differ("INFO", _read_info(first[_INFO]), _read_info(second[_INFO]))
    return told or _compare_calls(first[_FORMAT:], second[_FORMAT:])


def _compare_calls(first: list[str], second: list[str]) -> str | None:
    if first == second:
        return None
    if len(first) != len(second):
        return "it has other samples"
    keys, other_keys = (first[0].split(":"), second[0].split(":")) if first else ([], [])
    for one, other in zip(first[1:], second[1:]):
        if (keys != other_keys or one != other) and (
            told := _differ("FORMAT", _read_call(keys, one), _read_call(other_keys, other))
        ):
            return told
    return None


def _read_info(text: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in text.split(";") if field != ".")
    return {name: value if sign else "set" for name, sign, value in pairs if not sign or _trim(value)}


def _read_call(keys: list[str], text: str) -> dict[str, str]:
    values = dict(zip(keys, text.split(":")))
    return {key: value for key, value in values.items() if not (_NO_CALL.fullmatch(value) if key == "GT" else not _trim(value))}


def _differ(what: str, first: dict[str, str], second: dict[str, str]) -> str | None:
    for name in first.keys() | second.keys():
        before, after = first.get(name), second.get(name)
        if before is None or after is None or not _is_same(before, after):
            return f"{what} {name} {before or 'missing'} is {after or 'missing'}"
    return None


def _trim(value: str) -> list[str]:
    """Return the values of a field without the missing ones at its end."""
    values = value.split(",")
    while values and values[-1] == ".":
        values.pop()
    return values


def _is_same(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = _trim(one), _trim(other)
    return len(first) == len(second) and all(map(_is_same_value, first, second))


def _is_same_value(one: str, other: str) -> bool:
    if one == other or not _FLOAT.search(one + other):
        return one == other
    number = _as_float32(one)
    return number is not None and number == _as_float32(other)


def _as_float32(text: str) -> str | None:
    """Return a number as htslib writes it, which holds it in 32 bits; None if it is none."""
    try:
        return f"{struct.unpack('f', struct.pack('f', float(text)))[0]:g}"
    except (ValueError, OverflowError):
        return None
