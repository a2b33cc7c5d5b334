"""Simulate paired reads of one sample, aligned to the demo genome.

Fragments are drawn from the two copies of the sample's genome. The position of
every base is known, so the alignment follows from it: no aligner is run. Where
a real one would lose track (near the end of a read, across a long deletion),
bases are soft-clipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from modos.demo.variants import Variant

READ_LENGTH = 100
COVERAGE = 20
INSERT_MEAN, INSERT_DEVIATION = 350, 50
READ_GROUP = "lane1"

PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE, MATE_REVERSE, FIRST, LAST = (1 << bit for bit in range(8))
DUPLICATE = 0x400

_DUPLICATE_RATE, _ADAPTER_RATE, _ONE_LOST_RATE, _BOTH_LOST_RATE = 0.01, 0.01, 0.005, 0.003
_OFF_REFERENCE = -1  # in place of the position of a base that the reference does not have
_SHORTEST_ANCHOR = 10  # an aligner clips a shorter match beyond a gap
_LONGEST_GAP = 50
_QUALITIES = (37, 25, 12, 2)  # the bins of a current sequencer
_ERROR_RATE = {quality: 10 ** (-quality / 10) for quality in _QUALITIES}
_QUALITY_PROFILES = 400


class Haplotype(NamedTuple):
    """Copy of a contig, and the reference position (0-based) of each of its bases."""

    contig: str
    bases: str
    positions: list[int]


class Block(NamedTuple):
    """A stretch of a read that matches the reference base by base; starts are 0-based."""

    read_start: int
    start: int
    length: int


@dataclass
class Read:
    """A read in the order and strand of the reference; `blocks` is empty where it is unmapped."""

    bases: str
    qualities: list[int]
    flag: int
    blocks: list[Block]

    @property
    def start(self) -> int:
        """First aligned reference position, 0-based."""
        return self.blocks[0].start

    @property
    def end(self) -> int:
        """End of the alignment on the reference, exclusive."""
        return self.blocks[-1].start + self.blocks[-1].length

    @property
    def cigar(self) -> str:
        """CIGAR string; `*` where unmapped."""
        if not self.blocks:
            return "*"
        first, last = self.blocks[0], self.blocks[-1]
        operations = [(first.read_start, "S"), (first.length, "M")]
        for before, block in zip(self.blocks, self.blocks[1:]):
            operations += [(_count_inserted(before, block), "I"), (_count_deleted(before, block), "D"), (block.length, "M")]
        operations.append((len(self.bases) - last.read_start - last.length, "S"))
        return "".join(f"{length}{operation}" for length, operation in operations if length)


class Sequencer:
    """Draws pairs of reads from a genome with the variants of one sample.

    Parameters
    ----------
    rng
        Source of all chance.
    genome
        Sequences by contig name.
    variants
        In the order of the genome, not overlapping.
    sample
        Which of the variants' genotypes to take.
    """

    def __init__(self, rng: Random, genome: dict[str, str], variants: list[Variant], sample: int = 0):
        self._rng = rng
        self._genome = genome
        self._copies = {
            contig: [_haplotype(contig, sequence, variants, sample, copy) for copy in (0, 1)]
            for contig, sequence in genome.items()
        }
        self._profiles = [self._quality_profile() for _ in range(_QUALITY_PROFILES)]

    def sam_lines(self) -> list[str]:
        """Return all reads as SAM lines, sorted by coordinate, those without one at the end."""
        order = {contig: rank for rank, contig in enumerate(self._genome)} | {"*": len(self._genome)}
        records = [record for contig in self._genome for record in self._contig_records(contig)]
        records.sort(key=lambda record: (order[record[2]], int(record[3])))
        return ["\t".join(record) for record in records]

    def _contig_records(self, contig: str) -> Iterator[list[str]]:
        pairs = COVERAGE * len(self._genome[contig]) // (2 * READ_LENGTH)
        for number in range(pairs):
            haplotype = self._rng.choice(self._copies[contig])
            fragment = self._fragment(haplotype)
            name = f"DEMO:1:{contig}:{1101 + number // 500}:{number % 500}"
            yield from self._pair_records(name, contig, self._sequence_pair(haplotype, *fragment))
            if self._rng.random() < _DUPLICATE_RATE:
                copies = self._sequence_pair(haplotype, *fragment)
                for read in copies:
                    read.flag |= DUPLICATE
                yield from self._pair_records(f"{name}d", contig, copies)

    def _fragment(self, haplotype: Haplotype) -> tuple[int, int]:
        """Choose start and end on the haplotype of a fragment whose reads do not touch a gap of N."""
        while True:
            length = max(READ_LENGTH, round(self._rng.gauss(INSERT_MEAN, INSERT_DEVIATION)))
            start = self._rng.randrange(len(haplotype.bases) - length + 1)
            end = start + length
            ends = haplotype.bases[start : start + READ_LENGTH] + haplotype.bases[end - READ_LENGTH : end]
            if "N" not in ends:
                return start, end

    def _sequence_pair(self, haplotype: Haplotype, start: int, end: int) -> tuple[Read, Read]:
        """Make the two mates of a fragment, the left one first; some lose their place."""
        first, last = self._rng.choice([(FIRST, LAST), (LAST, FIRST)])
        left = self._sequence(haplotype, start, PAIRED | MATE_REVERSE | first)
        right = self._sequence(haplotype, end - READ_LENGTH, PAIRED | REVERSE | last)
        chance = self._rng.random()
        if chance < _BOTH_LOST_RATE:
            self._lose(left, right)
            self._lose(right, left)
        elif chance < _BOTH_LOST_RATE + _ONE_LOST_RATE:
            self._lose(*self._rng.choice([(left, right), (right, left)]))
        else:
            left.flag |= PROPER
            right.flag |= PROPER
        return left, right

    def _sequence(self, haplotype: Haplotype, start: int, flag: int) -> Read:
        """Read 100 bases from `start`, with errors as frequent as the qualities say."""
        qualities = self._rng.choice(self._profiles)
        if flag & REVERSE:
            qualities = qualities[::-1]
        bases = list(haplotype.bases[start : start + READ_LENGTH])
        positions = haplotype.positions[start : start + READ_LENGTH]
        if self._rng.random() < _ADAPTER_RATE:
            self._read_into_adapter(bases, positions, at_start=bool(flag & REVERSE))
        for i, quality in enumerate(qualities):
            if self._rng.random() < _ERROR_RATE[quality]:
                bases[i] = self._rng.choice("ACGT".replace(bases[i], ""))
        return Read("".join(bases), qualities, flag, align(positions))

    def _read_into_adapter(self, bases: list[str], positions: list[int], at_start: bool) -> None:
        length = self._rng.randint(10, 30)
        tail = slice(0, length) if at_start else slice(READ_LENGTH - length, READ_LENGTH)
        bases[tail] = self._rng.choices("ACGT", k=length)
        positions[tail] = [_OFF_REFERENCE] * length

    def _lose(self, read: Read, mate: Read) -> None:
        """Make a read one of foreign sequence that maps nowhere."""
        read.bases = "".join(self._rng.choices("ACGT", k=READ_LENGTH))
        read.blocks = []
        read.flag = read.flag & ~REVERSE | UNMAPPED
        mate.flag = mate.flag & ~MATE_REVERSE | MATE_UNMAPPED

    def _quality_profile(self) -> list[int]:
        """Make qualities that fall off towards the end of the read."""
        profile: list[int] = []
        for cycle in range(READ_LENGTH):
            poor = 0.02 + 0.12 * (cycle / READ_LENGTH) ** 2
            profile += self._rng.choices(_QUALITIES, [1 - poor, poor * 0.75, poor * 0.24, poor * 0.01])
        return profile

    def _pair_records(self, name: str, contig: str, pair: tuple[Read, Read]) -> Iterator[list[str]]:
        left, right = pair
        mapped = [read for read in pair if read.blocks]
        place = contig if mapped else "*"
        span = max(left.end, right.end) - min(left.start, right.start) if len(mapped) == 2 else 0
        leftmost = left if span and left.start <= right.start else right
        for read, mate in ((left, right), (right, left)):
            start, mate_start = ((each.start if each.blocks else mapped[0].start) + 1 if mapped else 0 for each in (read, mate))
            yield [
                name,
                str(read.flag),
                place,
                str(start),
                str(self._mapping_quality(read)),
                read.cigar,
                "=" if mapped else "*",
                str(mate_start),
                str(span if read is leftmost else -span),
                read.bases,
                "".join(chr(33 + quality) for quality in read.qualities),
                *self._tags(read, mate, contig),
                f"RG:Z:{READ_GROUP}",
            ]

    def _mapping_quality(self, read: Read) -> int:
        if not read.blocks:
            return 0
        return 60 if self._rng.random() < 0.95 else self._rng.randrange(60)

    def _tags(self, read: Read, mate: Read, contig: str) -> Iterator[str]:
        if mate.blocks:
            yield f"MC:Z:{mate.cigar}"
        if read.blocks:
            distance, mismatches = compare(read, self._genome[contig])
            yield f"MD:Z:{mismatches}"
            yield f"NM:i:{distance}"


def align(positions: list[int]) -> list[Block]:
    """Return the blocks of a read whose bases have these reference positions, as an aligner would keep them."""
    first = positions[0]
    if first != _OFF_REFERENCE and positions == list(range(first, first + len(positions))):
        return [Block(0, first, len(positions))]
    blocks: list[Block] = []
    for i, position in enumerate(positions):
        if position == _OFF_REFERENCE:
            continue
        last = blocks[-1] if blocks else None
        if last and (last.read_start + last.length, last.start + last.length) == (i, position):
            blocks[-1] = last._replace(length=last.length + 1)
        else:
            blocks.append(Block(i, position, 1))
    return _keep_anchored(blocks)


def compare(read: Read, sequence: str) -> tuple[int, str]:
    """Edit distance and mismatch string of a mapped read, as the tags NM and MD have them.

    The definitions are those of the SAM optional fields specification.
    """
    distance, matched, text = 0, 0, ""
    before = None
    for block in read.blocks:
        if before:
            deleted = _count_deleted(before, block)
            distance += _count_inserted(before, block) + deleted
            if deleted:
                text += f"{matched}^{sequence[block.start - deleted : block.start]}"
                matched = 0
        expected = sequence[block.start : block.start + block.length]
        for base, reference in zip(read.bases[block.read_start :], expected):
            if base == reference:
                matched += 1
            else:
                text += f"{matched}{reference}"
                matched = 0
                distance += 1
        before = block
    return distance, f"{text}{matched}"


def _keep_anchored(blocks: list[Block]) -> list[Block]:
    """Return the longest run of blocks without a long gap, less short blocks at its ends."""
    runs = [[blocks[0]]]
    for before, block in itertools.pairwise(blocks):
        if _count_deleted(before, block) > _LONGEST_GAP:
            runs.append([])
        runs[-1].append(block)
    kept = max(runs, key=lambda run: sum(block.length for block in run))
    while kept[0].length < _SHORTEST_ANCHOR:
        kept.pop(0)
    while kept[-1].length < _SHORTEST_ANCHOR:
        kept.pop()
    return kept


def _count_inserted(before: Block, block: Block) -> int:
    return block.read_start - before.read_start - before.length


def _count_deleted(before: Block, block: Block) -> int:
    return block.start - before.start - before.length


def _haplotype(contig: str, sequence: str, variants: list[Variant], sample: int, copy: int) -> Haplotype:
    bases: list[str] = []
    positions: list[int] = []
    done = 0
    for variant in variants:
        if variant.contig != contig or not variant.genotypes[sample][copy]:
            continue
        shared = min(len(variant.ref), len(variant.alt))
        bases += [sequence[done : variant.start], variant.alt]
        positions += range(done, variant.start + shared)
        positions += [_OFF_REFERENCE] * (len(variant.alt) - shared)
        done = variant.stop
    bases.append(sequence[done:])
    positions += range(done, len(sequence))
    return Haplotype(contig, "".join(bases), positions)
