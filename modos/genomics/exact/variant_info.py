"""Say what of INFO and FORMAT may be given, and count alleles anew where samples are cut.

Of a cohort AC, AN, AF, DP and the like tell of the samples that are cut: of two,
what is not mine is the other's. So AC and AN are counted anew of the samples
that are left, as `bcftools view -s` does, and of other keys only those stay that
are known to be of the site and not of genotypes (`OF_SITE`), unless the bounds
name them. The list of sites, their alleles, QUAL and FILTER stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from modos.genomics.bounding import Bounds
from modos.genomics.exact.variant_places import LOCATING

COUNTS = (b"AC", b"AN")
OF_EXTENT = frozenset((b"END", b"SVLEN", b"LEN"))  # keys of INFO and FORMAT that say what a record reaches
_OF_SITE = (
    "END SVTYPE SVLEN SVCLAIM IMPRECISE CIPOS CIEND CILEN HOMLEN HOMSEQ EVENT EVENTTYPE MEINFO NOVEL INSSEQ INSLEN TYPE LEN",
    "CIGAR RUS RN RUC RB RUL STRANDS CT SVANN AA DB H2 H3 1000G VALIDATED RS RSPOS dbSNPBuildID SSR SAO VC GENEINFO",
    "ANN CSQ EFF LOF NMD BCSQ VEP Gene GENE gene_id FUNC AAChange CLNSIG CLNDN CLNDISDB CLNHGVS CLNREVSTAT CLNVC CLNVCSO",
    "CLNVI CLNACC CLNSRC CLNSIGCONF ALLELEID ORIGIN MC CADD CADD_RAW CADD_PHRED phyloP phastCons GERP REVEL SIFT PolyPhen",
)
OF_SITE = LOCATING | {key.encode() for line in _OF_SITE for key in line.split()}


class Rules(NamedTuple):
    """Rules for what of the variants of a file is given.

    Parameters
    ----------
    samples
        The numbers of the samples to give, in the file's order; None for all.
    all_samples
        How many the file has.
    info, formats
        The keys that may be given; None for all.
    is_by_sample
        Whether not everybody's samples may be given, also where those of this file may: a line has no others then.
    """

    samples: tuple[int, ...] | None
    all_samples: int
    info: frozenset[bytes] | None
    formats: frozenset[bytes] | None
    is_by_sample: bool = False

    @classmethod
    def from_bounds(cls, bounds: Bounds, names: tuple[str, ...]) -> Rules:
        """Derive the rules for a file with some samples."""
        kept = [number for number, name in enumerate(names) if bounds.samples is None or name in bounds.samples]
        info, formats = (
            None if keys is None else frozenset(key.encode() for key in keys) for keys in (bounds.info, bounds.formats)
        )
        given = None if len(kept) == len(names) else tuple(kept)
        return cls(given, len(names), info, formats, bounds.samples is not None)

    @property
    def is_free(self) -> bool:
        """Return whether all of each record is given."""
        return self.samples is None and self.info is None and self.formats is None

    def gives(self, key: bytes) -> bool:
        """Return whether a key of INFO is given."""
        if self.info is not None:
            return key in self.info
        return self.samples is None or key in OF_SITE or key in COUNTS

    def counts_anew(self, key: bytes) -> bool:
        """Return whether the value of a key of INFO is counted of the samples that are left."""
        return self.samples is not None and key in COUNTS


def count_alleles(calls: Iterable[Iterable[int]], alleles: int) -> tuple[list[int], int]:
    """Count the alleles of genotypes.

    Parameters
    ----------
    calls
        The numbers of the alleles of each sample, 0 for the reference; what is missing left out.
    alleles
        How many alleles beside the reference there are.

    Returns
    -------
    tuple
        How often each of them is called, and how many alleles are called (AC and AN).

    Raises
    ------
    ValueError
        There is no such allele.
    """
    counts = [0] * (alleles + 1)
    for call in calls:
        for allele in call:
            if not 0 <= allele <= alleles:
                raise ValueError
            counts[allele] += 1
    return counts[1:], sum(counts)
