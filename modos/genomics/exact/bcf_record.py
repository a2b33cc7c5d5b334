"""Take the records of a BCF apart and put them together again (VCFv4.5 section 6.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_HEAD = struct.Struct("<IIiiifII")  # lengths, contig, position, bases of the reference, quality, counts
_SIZES = {0: 0, 1: 1, 2: 2, 3: 4, 5: 4, 7: 1}
_INTEGERS = {1: "b", 2: "h", 3: "i"}
_TEXT = 7
_MANY = 15
_MISSING = {1: -128, 2: -(1 << 15), 3: -(1 << 31)}


@dataclass
class Value:
    """A key with a value, as it is stored, without what belongs to a sample.

    Parameters
    ----------
    head
        The bytes of the key and the type.
    type, count
        Of the value, of FORMAT for a sample.
    data
        The value; of FORMAT those of all samples.
    """

    key: int
    head: bytes
    type: int
    count: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of the value, of FORMAT for a sample."""
        return _SIZES[self.type] * self.count

    def integers(self, data: bytes | None = None) -> tuple[int, ...]:
        """Return the numbers of the value, or of one of a sample; ValueError if they are none."""
        if self.type not in _INTEGERS:
            raise ValueError
        return struct.unpack(f"<{self.count}{_INTEGERS[self.type]}", self.data if data is None else data)

    def to_array(self) -> npt.NDArray[Any]:
        """Return the numbers of all samples, int64, shape (samples * count,); ValueError if they are none."""
        if self.type not in _INTEGERS:
            raise ValueError
        return np.frombuffer(self.data, f"<i{_SIZES[self.type]}").astype(np.int64)

    def known(self) -> list[int]:
        """Return the numbers of all samples that are not missing; none for what has no numbers."""
        if self.type not in _INTEGERS:
            return []
        return [number for number in self.to_array().tolist() if number > _MISSING[self.type] + 7]

    def text(self) -> bytes | None:
        """Return a text or a single number as text; None for others."""
        if self.type == _TEXT:
            return self.data.rstrip(b"\0")
        if self.type in _INTEGERS and self.count == 1 and self.integers()[0] > _MISSING[self.type] + 7:
            return b"%d" % self.integers()[0]
        return None


@dataclass
class Record:
    """A variant of a BCF; positions are 0-based."""

    contig: int
    position: int
    bases: int
    quality: bytes
    id: bytes
    alleles: list[bytes]
    filter: bytes
    info: list[Value]
    formats: list[Value]
    samples: int

    @classmethod
    def parse(cls, data: bytes) -> Record:
        """Parse the bytes of one record; raise ValueError, IndexError or struct.error if its fields do not fit."""
        shared, individual, contig, position, bases, _, counts, format_counts = _HEAD.unpack_from(data)
        end = 8 + shared
        if end + individual != len(data):
            raise ValueError
        alleles, infos = counts >> 16, counts & 0xFFFF
        formats, samples = format_counts >> 24, format_counts & 0xFFFFFF
        at = _end_of_value(data, start := _HEAD.size, end)
        id, found = data[start:at], []
        for _ in range(alleles):
            type, count, begin = _read_type(data, at, end)
            at = begin + _SIZES[type] * count
            if (type != _TEXT and count) or at > end:
                raise ValueError
            found.append(data[begin:at])
        filter_at = at
        at = _end_of_value(data, at, end)
        filter, info = data[filter_at:at], []
        for _ in range(infos):
            value, at = _read_keyed(data, at, end, 1)
            info.append(value)
        if at != end:
            raise ValueError
        stored = []
        for _ in range(formats):
            value, at = _read_keyed(data, at, len(data), samples)
            stored.append(value)
        if at != len(data):
            raise ValueError
        return cls(contig, position, bases, data[20:24], id, found, filter, info, stored, samples)

    def to_bytes(self) -> bytes:
        """Return the record as it is stored."""
        shared = b"".join(
            (
                self.id,
                *map(_type_text, self.alleles),
                self.filter,
                *(part for value in self.info for part in (value.head, value.data)),
            )
        )
        individual = b"".join(part for value in self.formats for part in (value.head, value.data))
        counts = len(self.alleles) << 16 | len(self.info), len(self.formats) << 24 | self.samples
        head = struct.pack("<IIiii", 24 + len(shared), len(individual), self.contig, self.position, self.bases)
        return b"".join((head, self.quality, struct.pack("<II", *counts), shared, individual))


def type_integers(numbers: list[int]) -> bytes:
    """Return a typed vector of numbers that are not negative."""
    most = max(numbers)
    kind, code = (1, "b") if most < 1 << 7 else (2, "h") if most < 1 << 15 else (3, "i")
    return _type_head(kind, len(numbers)) + struct.pack(f"<{len(numbers)}{code}", *numbers)


def _type_text(text: bytes) -> bytes:
    return _type_head(_TEXT, len(text)) + text


def _type_head(kind: int, count: int) -> bytes:
    return bytes((count << 4 | kind,)) if count < _MANY else bytes((_MANY << 4 | kind,)) + type_integers([count])


def _read_type(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Read a type: its number, the count, and where the value begins."""
    if at >= end:
        raise ValueError
    type, count = data[at] & 15, data[at] >> 4
    at += 1
    if count == _MANY:
        kind = data[at]
        if kind not in (0x11, 0x12, 0x13):
            raise ValueError
        size = _SIZES[kind & 15]
        count = int.from_bytes(data[at + 1 : at + 1 + size], "little", signed=True)
        at += 1 + size
    if type not in _SIZES or count < 0 or at > end:
        raise ValueError
    return type, count, at


def _end_of_value(data: bytes, at: int, end: int) -> int:
    type, count, at = _read_type(data, at, end)
    at += _SIZES[type] * count
    if at > end:
        raise ValueError
    return at


def _read_keyed(data: bytes, at: int, end: int, times: int) -> tuple[Value, int]:
    start = at
    type, count, at = _read_type(data, at, end)
    if type not in _INTEGERS or count != 1:
        raise ValueError
    key = int.from_bytes(data[at : at + _SIZES[type]], "little", signed=True)
    type, count, begin = _read_type(data, at + _SIZES[type], end)
    following = begin + _SIZES[type] * count * times
    if following > end:
        raise ValueError
    return Value(key, data[start:begin], type, count, data[begin:following]), following
