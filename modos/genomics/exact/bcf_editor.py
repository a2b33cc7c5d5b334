"""Edit the records of a BCF to those of some regions, without what locates elsewhere, other samples and keys."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.genomics.exact.bcf_record import Record, Value, type_integers
from modos.genomics.exact.blocks import Batch
from modos.genomics.exact.permitted import Places
from modos.genomics.exact.read_editor import find_places, gather, join_parts
from modos.genomics.exact.variant_info import OF_EXTENT, Rules
from modos.genomics.exact.variant_places import LOCATING, PHASE_SETS, Site, is_phase_within, mask_site
from modos.genomics.exact.weaving import Edited

Array = npt.NDArray[Any]

_FIXED = np.dtype(
    {
        "names": ["shared", "individual", "contig", "position", "bases", "samples"],
        "formats": ["<u4", "<u4", "<i4", "<i4", "<i4", "<u4"],
        "offsets": [0, 4, 8, 12, 16, 28],
        "itemsize": 32,
    }
)
_SHARED = 24  # bytes of the shared part that every record has
_MISSING_BYTES = {1: b"\x80", 2: b"\x00\x80", 3: b"\x00\x00\x00\x80"}
_END_BYTES = {1: b"\x81", 2: b"\x01\x80", 3: b"\x01\x00\x00\x80"}
_TEXT = 7


class BcfEditor:
    """Says of batches of records what becomes of them.

    Parameters
    ----------
    contigs
        The names of contigs by their numbers.
    keys
        The keys of INFO and FORMAT by their numbers.
    samples
        How many the header has.
    regions
        The variants to give overlap these; None for all.
    allowed
        What points outside of these is taken away; None for nothing.
    rules
        What of each record is given.
    """

    def __init__(
        self,
        contigs: Mapping[int, str],
        keys: Mapping[int, bytes],
        samples: int,
        regions: Places | None,
        allowed: Places | None,
        rules: Rules,
    ):
        self._contigs, self._keys, self._samples = contigs, keys, samples
        self._regions, self._allowed, self._rules = regions, allowed, rules
        self._last = max(contigs, default=-1)
        names = set(keys.values())
        self._numbers = None if rules.samples is None else np.array(rules.samples, np.int64)
        self._has_extent = bool(names & OF_EXTENT)
        self._has_locating = bool(names & (LOCATING | PHASE_SETS))

    def edit(self, batch: Batch) -> Edited:
        """Edit a batch.

        Raises
        ------
        IntegrityError
            A record is damaged, or they are not sorted.
        """
        try:
            return self._edit(batch)
        except (ValueError, IndexError, KeyError, OverflowError, struct.error):
            _refuse()

    def _edit(self, batch: Batch) -> Edited:
        starts = np.array(batch.starts, np.int64)
        if len(starts) < 2:
            return Edited([], 0, [])
        begins, ends = starts[:-1], starts[1:]
        if (ends - begins < _FIXED.itemsize).any():
            _refuse()
        fields = gather(batch.data, _FIXED, begins)
        positions = fields["position"].astype(np.int64)
        formats, samples = fields["samples"] >> 24, fields["samples"] & 0xFFFFFF
        is_damaged = (
            (fields["shared"] < _SHARED)
            | (fields["contig"] < 0)
            | (fields["contig"] > self._last)
            | (positions < -1)
            | ((formats > 0) & (samples != self._samples))
        )
        if is_damaged.any():
            _refuse()
        kept = np.ones(len(begins), bool)
        if self._regions is not None:
            reaches = positions + np.maximum(fields["bases"], 0)
            kept = self._regions.find_overlapping(fields["contig"], positions, reaches)
        changes: dict[int, bytes] = {}
        for number in np.flatnonzero(kept & self._find_candidates(batch.data, begins, fields["shared"])).tolist():
            data = batch.data[begins[number] : ends[number]]
            changed = self._rewrite(data)
            if changed != data:
                changes[number] = changed
        places = find_places(fields["contig"], fields["position"]) if self._regions is not None else []
        records = int(kept.sum()) - list(changes.values()).count(b"")
        return Edited(join_parts(kept, begins, ends, changes), records, places)

    def _find_candidates(self, data: bytes, begins: Array, shared: Array) -> Array:
        """Find the records that are to be taken apart: all, or those with a bracket that may be one of a breakend."""
        if not self._rules.is_free or (self._allowed is not None and self._has_locating):
            return np.ones(len(begins), bool)
        if self._allowed is None:
            return np.zeros(len(begins), bool)
        bytes_at = np.frombuffer(data, np.uint8)
        brackets = np.flatnonzero((bytes_at == ord("[")) | (bytes_at == ord("]")))
        first, beyond = (np.searchsorted(brackets, begins + edge) for edge in (_FIXED.itemsize, 8 + shared.astype(np.int64)))
        return first < beyond

    def _rewrite(self, data: bytes) -> bytes:
        record, rules = Record.parse(data), self._rules
        if not record.alleles:
            raise ValueError
        extent = self._find_extent(record) if self._has_extent else []
        if self._allowed is not None:
            is_whole = self._mask(record, self._allowed)
            if not is_whole and not self._still_overlaps(record):
                return b""
        record.info = [value for value in record.info if rules.gives(self._keys[value.key])]
        if self._numbers is not None:
            for value in record.formats:
                value.data = _select_samples(value, self._numbers)
            record.samples = len(self._numbers)
            self._count_anew(record)
        if rules.formats is not None:
            record.formats = [value for value in record.formats if self._keys[value.key] in rules.formats]
        if extent and self._find_extent(record) != extent:
            record.bases = self._measure_reach(record)
        return record.to_bytes()

    def _find_extent(self, record: Record) -> list[tuple[bytes, bytes]]:
        """Find what says how far the record reaches, beside its bases: the keys, and their values as they are stored."""
        names = ((self._keys[value.key], value) for value in (*record.info, *record.formats))
        return [(name, value.head[-1:] + value.data) for name, value in names if name in OF_EXTENT]

    def _measure_reach(self, record: Record) -> int:
        """Return the bases of the reference that a record reaches by what is left of it."""
        found = [len(record.alleles[0])]
        is_symbolic = any(allele.startswith(b"<") and not allele.startswith(b"<INS") for allele in record.alleles[1:])
        for value in (*record.info, *record.formats):
            name = self._keys[value.key]
            if name == b"END" and (text := value.text()) is not None:
                found.append(int(text) - record.position)
            elif name == b"SVLEN" and is_symbolic:
                found += map(abs, value.known())
            elif name == b"LEN" and value in record.formats:
                found += value.known()
        return max(found)

    def _still_overlaps(self, record: Record) -> bool:
        """Return whether a record that lost its END, which was of another contig, overlaps the regions without it."""
        start = record.position
        return self._regions is None or self._regions.overlaps(record.contig, max(start, 0), start + len(record.alleles[0]))

    def _mask(self, record: Record, allowed: Places) -> bool:
        """Take away what locates elsewhere; return whether END, where there is one, stays."""
        values = {self._keys[value.key]: value for value in record.info}
        contig = self._contigs[record.contig]

        def read(key: bytes) -> bytes | None:
            return values[key].text() if key in values else None

        reference, *others = record.alleles
        alleles, dropped = mask_site(Site(contig, record.position, reference, others, read), values.keys(), allowed)
        record.alleles = [reference, *alleles]
        record.info = [value for value in record.info if self._keys[value.key] not in dropped]
        for value in record.formats:
            if self._keys[value.key] in PHASE_SETS:
                _mask_phases(value, self._keys[value.key], record.samples, contig, allowed)
        return b"END" not in dropped

    def _count_anew(self, record: Record) -> None:
        """Count the alleles of the samples that are left, where the record has the counts of all."""
        names = {value.key: self._keys[value.key] for value in record.info}
        if not any(map(self._rules.counts_anew, names.values())):
            return
        calls = next((value for value in record.formats if self._keys[value.key] == b"GT"), None)
        counts, total = _count_calls(calls, len(record.alleles) - 1) if calls else ([], 0)
        numbers = {b"AC": counts, b"AN": [total] if calls else []}
        anew = []
        for value in record.info:
            name = names[value.key]
            if not self._rules.counts_anew(name):
                anew.append(value)
            elif numbers[name]:
                anew.append(Value(value.key, _key_bytes(value) + type_integers(numbers[name]), 0, 0, b""))
        record.info = anew


def _key_bytes(value: Value) -> bytes:
    """Return the bytes of the key of a value."""
    return value.head[: 1 + {1: 1, 2: 2, 3: 4}[value.head[0] & 15]]


def _select_samples(value: Value, numbers: Array) -> bytes:
    return np.frombuffer(value.data, f"V{value.size}")[numbers].tobytes() if value.size else b""


def _count_calls(value: Value, alleles: int) -> tuple[list[int], int]:
    """Count the alleles of genotypes: how often each beside the reference is called, and how many calls there are."""
    called = (value.to_array() >> 1) - 1
    counts = np.bincount(called[called >= 0], minlength=alleles + 1)
    if len(counts) > alleles + 1:
        raise ValueError
    return counts[1:].tolist(), int(counts.sum())


def _mask_phases(value: Value, key: bytes, samples: int, contig: str, allowed: Places) -> None:
    """Take away the phase sets that are named by a position outside."""
    size, parts = value.size, []
    for number in range(samples):
        data = value.data[number * size : (number + 1) * size]
        if value.type == _TEXT:
            text = data.rstrip(b"\0")
            parts.append(data if is_phase_within(key, text, contig, allowed) else b".".ljust(size, b"\0"))
        elif value.type in _MISSING_BYTES:
            width = len(_MISSING_BYTES[value.type])
            least = int.from_bytes(_END_BYTES[value.type], "little", signed=True)
            numbers = [n for n in value.integers(data) if n > least + 6]
            is_within = all(is_phase_within(key, b"%d" % n, contig, allowed) for n in numbers)
            parts.append(data if is_within else _MISSING_BYTES[value.type] + _END_BYTES[value.type] * (size // width - 1))
        elif value.type == 0 or not value.count:
            parts.append(data)
        else:
            raise ValueError
    value.data = b"".join(parts)


def _refuse() -> NoReturn:
    raise IntegrityError("a record of the BCF is damaged: its fields do not fit into it", "the file is damaged: get it again")
