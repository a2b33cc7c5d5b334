"""Generate variants of two samples: SNVs, small indels and one long deletion.

They are left-aligned and lie too far apart to overlap. The genotypes are
phased, so that reads can be drawn from either copy of the genome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

SAMPLES = ("SAMPLE1", "SAMPLE2")
LONG_DELETION = 200

_SPACING = 500  # one variant in every 500 bases
_MARGIN = 20
_TRANSITION = {"A": "G", "G": "A", "C": "T", "T": "C"}
_GENOTYPES = [
    ((0, 1), (0, 0)),
    ((1, 0), (0, 0)),
    ((0, 0), (0, 1)),
    ((0, 1), (1, 0)),
    ((1, 1), (0, 1)),
    ((0, 1), (1, 1)),
    ((1, 1), (1, 1)),
    ((0, 0), (1, 1)),
]


@dataclass(frozen=True)
class Variant:
    """A variant with its calls.

    Parameters
    ----------
    contig, start
        Where its reference allele begins, 0-based.
    ref, alt
        The alleles, as in VCF.
    genotypes
        Phased alleles, one pair for each of `SAMPLES`.
    depths, qualities
        Read depth (DP) and Phred-scaled genotype quality (GQ) by sample.
    """

    contig: str
    start: int
    ref: str
    alt: str
    genotypes: tuple[tuple[int, int], ...]
    depths: tuple[int, ...]
    qualities: tuple[int, ...]

    @property
    def stop(self) -> int:
        """End of the reference allele, exclusive."""
        return self.start + len(self.ref)

    @property
    def allele_frequency(self) -> float:
        """Fraction of the called alleles that are the alternate one."""
        return sum(map(sum, self.genotypes)) / (2 * len(self.genotypes))


def make_variants(rng: Random, genome: dict[str, str]) -> list[Variant]:
    """Draw about one variant in every 500 bases, in the order of the genome.

    The middle of the first contig has the long deletion, which both samples
    carry on one copy.
    """
    variants = []
    for contig, sequence in genome.items():
        middle = len(sequence) // 2 // _SPACING * _SPACING
        for window in range(0, len(sequence), _SPACING):
            if contig == next(iter(genome)) and window == middle:
                draw, genotypes = _long_deletion, ((0, 1), (1, 0))
            else:
                draw, genotypes = rng.choices([_snv, _insertion, _deletion], [8, 1, 1])[0], rng.choice(_GENOTYPES)
            alleles = _place(rng, sequence, window, draw)
            if alleles:
                variants.append(Variant(contig, *alleles, genotypes, *_call_statistics(rng)))
    return variants


def _place(
    rng: Random, sequence: str, window: int, draw: Callable[[Random, str, int], tuple[str, str]]
) -> tuple[int, str, str] | None:
    """Return start, REF and ALT in the first half of the window; None if a gap leaves no room."""
    for _ in range(50):
        start = window + rng.randrange(_MARGIN, _SPACING // 2)
        ref, alt = draw(rng, sequence, start)
        if "N" not in sequence[start - _MARGIN : start + len(ref) + _MARGIN] and _is_left_aligned(ref, alt):
            return start, ref, alt
    return None


def _is_left_aligned(ref: str, alt: str) -> bool:
    """Return whether the alleles differ in their last base: else they could shift to the left."""
    return ref[-1] != alt[-1]


def _snv(rng: Random, sequence: str, start: int) -> tuple[str, str]:
    ref = sequence[start]
    if rng.random() < 2 / 3 and ref in _TRANSITION:
        return ref, _TRANSITION[ref]
    return ref, rng.choice([base for base in "ACGT" if base not in (ref, _TRANSITION.get(ref))])


def _insertion(rng: Random, sequence: str, start: int) -> tuple[str, str]:
    return sequence[start], sequence[start] + "".join(rng.choices("ACGT", k=rng.randint(1, 8)))


def _deletion(rng: Random, sequence: str, start: int) -> tuple[str, str]:
    return sequence[start : start + 1 + rng.randint(1, 8)], sequence[start]


def _long_deletion(rng: Random, sequence: str, start: int) -> tuple[str, str]:
    return sequence[start : start + 1 + LONG_DELETION], sequence[start]


def _call_statistics(rng: Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    depths = tuple(max(4, round(rng.gauss(20, 4))) for _ in SAMPLES)
    return depths, tuple(min(99, 3 * depth + rng.randint(0, 30)) for depth in depths)
