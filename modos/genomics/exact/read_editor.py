"""Edit the reads of a BAM to those of some regions and read groups, without what locates elsewhere.

The fields of all reads of a batch are looked at at once; only reads in which
something changes are taken apart one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError
from modos.genomics.blanking import Blanking, iter_tags
from modos.genomics.exact.blocks import Batch
from modos.genomics.exact.elsewhere import LOCATING, MATE_TAGS, mask_read
from modos.genomics.exact.permitted import Places
from modos.genomics.exact.tag_walk import Tags, code_of, table_of, walk_tags
from modos.genomics.exact.weaving import Edited, Part

Array = npt.NDArray[Any]

_FIXED = np.dtype(
    {
        "names": ["size", "target", "position", "name", "operations", "flag", "bases", "next", "next_position", "length"],
        "formats": ["<u4", "<i4", "<i4", "u1", "<u2", "<u2", "<i4", "<i4", "<i4", "<i4"],
        "offsets": [0, 4, 8, 12, 16, 18, 20, 24, 28, 32],
        "itemsize": 36,
    }
)
_CONSUMES = np.array([0b110001101 >> code & 1 for code in range(16)], np.int64)  # M, D, N, =, X
_OPERATIONS = 9
_UNMAPPED = 4
_GROUP = code_of("RG")


class ReadEditor:
    """Says of batches of reads what becomes of them.

    Parameters
    ----------
    contigs
        How many the header has.
    regions
        The reads to give overlap these; None for all.
    allowed
        What points outside of these is taken away; None for nothing.
    groups
        The read groups whose reads are given; None for all.
    is_sorted
        Whether they must be, as an index found them.
    is_blind
        Whether the place of reads is not to be told.
    gives_ungrouped
        Whether reads without a read group are given.
    blanking
        What of the reads is left out; None for nothing.
    """

    def __init__(
        self,
        contigs: int,
        regions: Places | None,
        allowed: Places | None,
        groups: Collection[bytes] | None,
        *,
        gives_ungrouped: bool = False,
        blanking: Blanking | None = None,
        is_sorted: bool = True,
        is_blind: bool = False,
    ):
        self._contigs = contigs
        self._regions, self._allowed, self._groups = regions, allowed, groups
        self._is_sorted = is_sorted
        self._gives_ungrouped, self._blanking, self._is_blind = gives_ungrouped, blanking, is_blind
        self._is_masking = allowed is not None or is_blind
        self._locating, self._of_mate = table_of(LOCATING), table_of(MATE_TAGS)
        self._group = table_of(frozenset(("RG",)))
        wanted = np.zeros(1 << 16, bool)
        if self._is_masking:
            wanted |= self._locating | self._of_mate
        self._wanted = wanted | self._group if groups is not None else wanted

    def edit(self, batch: Batch) -> Edited:
        """Edit a batch.

        Raises
        ------
        IntegrityError
            A read is damaged, or they are not sorted.
        """
        try:
            return self._edit(batch)
        except (ValueError, IndexError, KeyError, OverflowError, struct.error):
            _refuse()

    def _edit(self, batch: Batch) -> Edited:
        starts = np.array(batch.starts, np.int64)
        if len(starts) < 2:
            return Edited([], 0, [])
        data = np.frombuffer(batch.data, np.uint8)
        begins, ends = starts[:-1], starts[1:]
        if (ends - begins < _FIXED.itemsize).any():
            _refuse()
        fields = gather(batch.data, _FIXED, begins)
        places = find_places(fields["target"], fields["position"]) if self._is_sorted else []
        tags_at, reaches = self._measure(data, fields, begins, ends)
        kept = self._select(fields, reaches)
        numbers = np.flatnonzero(kept)
        tags = walk_tags(data, tags_at[numbers], ends[numbers], self._wanted)
        tags = tags._replace(reads=numbers[tags.reads])
        if self._groups is not None:
            self._select_groups(batch.data, tags.named(self._group), kept)
        changes = self._mask(batch.data, fields, begins, tags_at, ends, tags, kept) if self._is_masking else {}
        parts = join_parts(kept, begins, ends, changes)
        if self._blanking:
            parts = [self._blanking.apply(b"".join(p if isinstance(p, bytes) else batch.data[p[0] : p[1]] for p in parts))]
        return Edited(parts, int(kept.sum()), places)

    def _measure(self, data: Array, fields: Array, begins: Array, ends: Array) -> tuple[Array, Array]:
        """Find where the tags of each read begin, and the base after the last one that it reaches."""
        bases, operations = fields["bases"].astype(np.int64), fields["operations"].astype(np.int64)
        cigar_at = begins + _FIXED.itemsize + fields["name"]
        tags_at = cigar_at + 4 * operations + (bases + 1 >> 1) + bases
        contigs = self._contigs
        is_damaged = (
            (bases < 0)
            | (tags_at > ends)
            | (fields["name"] < 1)
            | (data[np.minimum(cigar_at, len(data)) - 1] != 0)
            | (fields["target"] < -1)
            | (fields["target"] >= contigs)
            | (fields["next"] < -1)
            | (fields["next"] >= contigs)
            | (fields["position"] < -1)
            | (fields["next_position"] < -1)
        )
        if is_damaged.any():
            _refuse()
        reaches = np.ones(len(begins), np.int64)
        if (total := int(operations.sum())) > 0:
            counted = np.cumsum(operations)
            at = np.repeat(cigar_at - 4 * (counted - operations), operations) + 4 * np.arange(total)
            codes = data[at] & 15
            if (codes >= _OPERATIONS).any():
                _refuse()
            lengths = data[at] >> 4 | sum(data[at + n].astype(np.int64) << 8 * n - 4 for n in (1, 2, 3))
            sums = np.concatenate(([0], np.cumsum(lengths * _CONSUMES[codes])))
            taken = sums[counted] - sums[counted - operations]
            reaches = np.where((fields["flag"] & _UNMAPPED) != 0, 1, np.maximum(taken, 1))
        return tags_at, fields["position"] + reaches

    def _select(self, fields: Array, reaches: Array) -> Array:
        if self._regions is None:
            return np.ones(len(fields), bool)
        kept = self._regions.find_overlapping(fields["target"], fields["position"], reaches)
        return kept | (fields["target"] == -1) if self._regions.has_unplaced else kept

    def _select_groups(self, data: bytes, tags: Tags, kept: Array) -> None:
        """Keep of the reads those of the groups; one that names two must have both in them."""
        groups, grouped = self._groups or (), np.zeros(len(kept), bool)
        for read, at, end in zip(tags.reads.tolist(), tags.starts.tolist(), tags.ends.tolist()):
            grouped[read] = True
            if data[at + 2] != ord("Z") or data[at + 3 : end - 1] not in groups:
                kept[read] = False
        if not self._gives_ungrouped:
            kept &= grouped

    def _mask(
        self, data: bytes, fields: Array, begins: Array, tags_at: Array, ends: Array, tags: Tags, kept: Array
    ) -> dict[int, bytes]:
        """Return the reads that change, by their numbers."""
        allowed = self._allowed
        has_tag = np.zeros(len(begins), bool)
        has_tag[tags.named(self._locating).reads] = True
        if allowed is not None:
            nexts = fields["next_position"].astype(np.int64)
            outside = ~allowed.find_overlapping(fields["next"], nexts, nexts + 1)
            has_mate_tag = np.zeros(len(begins), bool)
            has_mate_tag[tags.named(self._of_mate).reads] = True
            tells = (fields["next"] != -1) | (nexts != -1) | (fields["length"] != 0) | has_mate_tag
            has_tag |= outside & tells
        changes = {}
        for read in np.flatnonzero(has_tag & kept).tolist():
            start, end = int(begins[read]), int(ends[read])
            found = list(iter_tags(data, int(tags_at[read]), end))
            masked = mask_read(data, start, found, end, allowed, self._is_blind)
            if masked != data[start:end]:
                changes[read] = masked
        return changes


def gather(data: bytes, fields: np.dtype[Any], starts: Array) -> Array:
    """Gather structures of fixed size that start at some bytes of the data, all of them within."""
    anywhere: Array = np.ndarray((len(data) - fields.itemsize + 1,), f"V{fields.itemsize}", data, strides=(1,))
    return anywhere[starts].view(fields)


def find_places(contigs: Array, positions: Array) -> list[tuple[int | str, int, int]]:
    """Return of each stretch of records on one contig the contig, and the first and last position.

    Raises
    ------
    IntegrityError
        They are not sorted.
    """
    changes = np.flatnonzero(contigs[1:] != contigs[:-1])
    backwards = (positions[1:] < positions[:-1]) & (contigs[1:] == contigs[:-1]) & (contigs[1:] >= 0)
    if backwards.any():
        raise unsorted_error()
    firsts, lasts = [0, *(changes + 1).tolist()], [*changes.tolist(), len(contigs) - 1]
    return [(int(contigs[a]), int(positions[a]), int(positions[b])) for a, b in zip(firsts, lasts)]


def unsorted_error() -> IntegrityError:
    """Make the error for records out of order."""
    return IntegrityError(
        "the records are not sorted by contig and position, so that regions cannot be given out",
        "sort the file (samtools sort, bcftools sort), and make its index again",
    )


class Order:
    """Sees that the records of batches follow each other by contig and position."""

    def __init__(self) -> None:
        self._last: tuple[int | str, int] = (-2, -1)
        self._passed: set[int | str] = set()

    def follow(self, edited: Edited) -> None:
        """Look at a batch; raise IntegrityError where it is out of order."""
        for contig, first, last in edited.places:
            if contig != self._last[0]:
                if contig in self._passed:
                    raise unsorted_error()
                self._passed.add(contig)
            elif first < self._last[1] and contig != -1:
                raise unsorted_error()
            self._last = (contig, last)


def join_parts(kept: Array, begins: Array, ends: Array, changes: dict[int, bytes]) -> list[Part]:
    """Join the records that stay, and stand beside each other, to one part."""
    whole = kept.copy()
    whole[list(changes)] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([0], whole.view(np.int8), [0]))))
    stretches: list[tuple[int, Part]] = [
        (first, (int(begins[first]), int(ends[beyond - 1]))) for first, beyond in edges.reshape(-1, 2).tolist()
    ]
    stretches += changes.items()
    return [part for _, part in sorted(stretches, key=lambda pair: pair[0])]


def _refuse() -> NoReturn:
    raise IntegrityError("a read is damaged: its fields do not fit into it", "the file is damaged: get it again")
