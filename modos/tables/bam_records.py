"""Decode the fixed fields of BAM records into Arrow arrays (SAMv1 sections 1.4 and 4.2).

Values are those of SAM text: positions 1-based, qualities of bases as Phred+33.
What SAM writes as `*`, or as 0 for a position, is null; MAPQ stays 255 where
it is not known.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.storage.processes.forking import cached_property
from modos.tables import arrow
from modos.tables.ragged import Block, Bytes, Ints, join_slices, join_wide, view_at

FIELDS = ("qname", "flag", "rname", "pos", "mapq", "cigar", "rnext", "pnext", "tlen", "seq", "qual", "end")

_FIXED = np.dtype(
    [
        ("size", "<u4"),
        ("target", "<i4"),
        ("pos", "<i4"),
        ("name", "u1"),
        ("mapq", "u1"),
        ("bin", "<u2"),
        ("ops", "<u2"),
        ("flag", "<u2"),
        ("bases", "<i4"),
        ("next", "<i4"),
        ("pnext", "<i4"),
        ("tlen", "<i4"),
    ]
)
_BASES = "=ACMGRSVTWYHKDBN"
_PAIRS = np.array([ord(first) | ord(second) << 8 for first in _BASES for second in _BASES], np.uint16)  # by a byte of two bases
_OPERATIONS = np.frombuffer(b"MIDNSHP=X???????", np.uint8)
_ON_REFERENCE = np.array([name in b"MDN=X" for name in b"MIDNSHP=X???????"])
_CLIPPED, _SKIPPED = 4, 3  # S and N: the CIGAR of a read whose own is in its tag CG
_UNMAPPED = 4
_length = struct.Struct("<I").unpack_from


class BamRecords:
    """Some records of a BAM.

    Parameters
    ----------
    block
        They, in the bytes that a BAM has before it is compressed.
    contigs
        Names of the contigs, by their number: an Arrow array of strings.

    Raises
    ------
    IntegrityError
        A record is damaged; also as columns are made.
    """

    def __init__(self, block: Block, contigs: Any):
        self.data, self.starts = block.data, block.bounds[:-1]
        self._contigs = contigs
        fixed = view_at(self.data, f"V{_FIXED.itemsize}", self.starts).view(_FIXED)
        self._fixed = {name: fixed[name] for name in _FIXED.names or ()}
        self.ends: Ints = self.starts + 4 + self._fixed["size"]
        self._cigars: Ints = self.starts + _FIXED.itemsize + self._fixed["name"]
        self._bases: Ints = self._cigars + 4 * self._fixed["ops"].astype(np.int64)
        self._lengths: Ints = self._fixed["bases"].astype(np.int64)
        self._qualities: Ints = self._bases + (self._lengths + 1 >> 1)
        self.tags: Ints = self._qualities + self._lengths
        if (
            (self.ends != block.bounds[1:]).any()
            or (self._lengths < 0).any()
            or (self._fixed["name"] == 0).any()
            or (self.tags > self.ends).any()
        ):
            raise damage_error()

    def __len__(self) -> int:
        return len(self.starts)

    def decode(self, names: Iterable[str]) -> dict[str, Any]:
        """Decode some of the fields into arrays of shape (records,)."""
        return {name: getattr(self, f"_decode_{name}")() for name in names}

    @cached_property
    def hidden_cigars(self) -> npt.NDArray[np.intp]:
        """The numbers of the reads whose CIGAR is in their tag CG, as it has more than 65,535 operations: shape (n,), int64."""
        (twos,) = np.nonzero(self._fixed["ops"] == 2)
        first, second = (view_at(self.data, "<u4", self._cigars[twos] + at) for at in (0, 4))
        is_hidden = (first == (self._lengths[twos] << 4 | _CLIPPED)) & (second & 15 == _SKIPPED)
        found: npt.NDArray[np.intp] = twos[is_hidden]
        return found

    @cached_property
    def _operations(self) -> tuple[npt.NDArray[np.uint32], Ints]:
        """The operations of all CIGARs, uint32 as stored, and how many each read has."""
        counts = self._fixed["ops"].astype(np.int64)
        places, lengths = self._cigars, 4 * counts
        for number in self.hidden_cigars.tolist():
            found = self._find_cigar(number)
            if found is not None:
                places, lengths = places.copy(), lengths.copy()
                places[number], lengths[number] = found
        if (places + lengths > self.ends).any():
            raise damage_error()
        return join_slices(self.data, places, lengths).view("<u4"), lengths >> 2

    def _find_cigar(self, number: int) -> tuple[int, int] | None:
        """Find the CIGAR in the tag CG of a read: its place and its bytes."""
        from modos.tables.bam_tags import find_tag

        at = find_tag(self, number, b"CG")
        if at is None or self.data[at + 2 : at + 4] != b"BI":
            return None
        return at + 8, 4 * _length(self.data, at + 4)[0]

    def _decode_qname(self) -> Any:
        lengths = self._fixed["name"].astype(np.int64) - 1
        places = self.starts + _FIXED.itemsize
        is_star = (lengths == 1) & (view_at(self.data, "u1", places) == ord("*"))
        return arrow.slice_texts(self.data, places, lengths, is_star | (lengths == 0), "the name of a read")

    def _decode_flag(self) -> Any:
        return arrow.make_numbers(self._fixed["flag"])

    def _decode_rname(self) -> Any:
        return arrow.take_names(self._contigs, self._fixed["target"], "a read")

    def _decode_pos(self) -> Any:
        return _to_positions(self._fixed["pos"])

    def _decode_mapq(self) -> Any:
        return arrow.make_numbers(self._fixed["mapq"])

    def _decode_cigar(self) -> Any:
        operations, counts = self._operations
        texts, sizes = _format_operations(operations)
        ends = np.concatenate(([0], np.cumsum(sizes)))
        bounds = np.concatenate(([0], np.cumsum(counts)))
        lengths = np.diff(ends[bounds])
        return arrow.make_texts(texts, lengths, counts == 0)

    def _decode_rnext(self) -> Any:
        return arrow.take_names(self._contigs, self._fixed["next"], "a read")

    def _decode_pnext(self) -> Any:
        return _to_positions(self._fixed["pnext"])

    def _decode_tlen(self) -> Any:
        return arrow.make_numbers(self._fixed["tlen"])

    def _decode_seq(self) -> Any:
        packed = self._lengths + 1 >> 1
        bases = _unpack_bases(join_slices(self.data, self._bases, packed))
        if (self._lengths & 1).any():
            ends = 2 * np.cumsum(packed)
            kept = np.ones(len(bases), bool)
            kept[ends[self._lengths & 1 == 1] - 1] = False
            bases = bases[kept]
        return arrow.make_texts(bases, self._lengths, self._lengths == 0)

    def _decode_qual(self) -> Any:
        missing = (self._lengths == 0) | (view_at(self.data, "u1", self._qualities) == 0xFF)
        lengths = np.where(missing, 0, self._lengths)
        qualities = join_slices(self.data, self._qualities, lengths)
        if len(qualities) and qualities.max() > 93:
            raise IntegrityError("a read is damaged: it has a base quality above 93", "get the file again")
        return arrow.make_texts(qualities + np.uint8(33), lengths, missing)

    def _decode_end(self) -> Any:
        """Decode where reads end, 1-based: the last base; the position where none lies on the reference, as in htslib."""
        operations, counts = self._operations
        covered = np.where(_ON_REFERENCE[operations & 15], operations >> 4, 0).astype(np.int64)
        totals = np.concatenate(([0], np.cumsum(covered)))
        bounds = np.concatenate(([0], np.cumsum(counts)))
        spans = np.diff(totals[bounds])
        spans[(spans == 0) | (self._fixed["flag"] & _UNMAPPED > 0)] = 1
        return arrow.make_numbers(self._fixed["pos"].astype(np.int64) + spans, self._fixed["pos"] < 0)


def damage_error() -> IntegrityError:
    """Return the error for a read that its own fields do not fit into."""
    return IntegrityError("a read is damaged: its fields do not fit into it", "get the file again")


def _to_positions(stored: npt.NDArray[np.int32]) -> Any:
    """Make 1-based positions of 0-based ones; null where there is none."""
    return arrow.make_numbers(stored.astype(np.int64) + 1, stored < 0)


def _unpack_bases(packed: Bytes) -> Bytes:
    """Return the letters of packed bases: uint8, shape (2 * bytes,)."""
    even = np.append(packed, np.uint8(0)) if len(packed) & 1 else packed
    return np.take(_make_fours(), even.view(np.uint16)).view(np.uint8)[: 2 * len(packed)]


@cache
def _make_fours() -> npt.NDArray[np.uint32]:
    """Make the letters of four bases, by two bytes of them."""
    both = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return _PAIRS[both].view(np.uint32)


def _format_operations(operations: npt.NDArray[np.uint32]) -> tuple[Bytes, Ints]:
    """Format the operations of CIGARs as text: all bytes, and how many each operation has."""
    if not len(operations):
        return np.empty(0, np.uint8), np.empty(0, np.int64)
    wide, sizes = _short_operations()
    if operations.max() >= len(wide):
        return _format_any(operations)
    lengths = sizes[operations]
    return join_wide(wide[operations], lengths), lengths


@cache
def _short_operations() -> tuple[npt.NDArray[np.void], Ints]:
    """Format all operations of less than 4,096 bases: texts of 5 bytes, and how many of these each has."""
    texts, sizes = _format_any(np.arange(4096 << 4, dtype=np.uint32))
    padded = np.append(texts, np.zeros(5, np.uint8)).tobytes()
    return view_at(padded, "V5", np.cumsum(sizes) - sizes), sizes


def _format_any(operations: npt.NDArray[np.uint32]) -> tuple[Bytes, Ints]:
    lengths = operations >> 4
    sizes = np.ones(len(operations), np.int64)
    for power in range(1, 10):
        sizes += lengths >= 10**power
    ends = np.cumsum(sizes + 1)
    texts = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    texts[ends - 1] = _OPERATIONS[operations & 15]
    at, left = ends - 2, np.arange(len(operations))
    while len(left):
        texts[at] = lengths % 10 + ord("0")
        lengths = lengths // 10
        more = lengths > 0
        at, lengths, left = at[more] - 1, lengths[more], left[more]
    return texts, sizes + 1
