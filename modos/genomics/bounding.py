"""Bound what of a file somebody may have, to some regions, samples, fields and tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modos.genomics.region import MAX_POSITION, UNMAPPED, Region, Regions, settle


@dataclass(frozen=True)
class Bounds:
    """Bounds of what may be given out of a file.

    Parameters
    ----------
    regions
        Of the records (0-based half-open); None for all, also the reads without a position.
    samples
        Of a VCF or BCF the columns, of reads the `SM` of their read groups; None for all. Where some are cut, only
        those keys of INFO stay that are known not to be computed of genotypes, and AC and AN, which are counted anew.
    fields, tags, notags
        SAM fields that may be given, empty for all; tags that may be given, None for all; and tags that may not.
    info, formats
        Keys of INFO and FORMAT of variants that may be given; None for all, of INFO where no sample is cut. What is
        named in `info` is given as it is in the file, also where it tells of samples that are cut, but for AC and AN.
    is_masking
        Whether what points outside of the regions is taken away: mates, other alignments, breakends.
    """

    regions: Regions | None = None
    samples: frozenset[str] | None = None
    fields: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    notags: tuple[str, ...] = ()
    info: frozenset[str] | None = None
    formats: frozenset[str] | None = None
    is_masking: bool = True

    def cut(self, wanted: Iterable[Region] | None) -> Regions | None:
        """Return what of some regions, or of a whole file where they are None, lies within; None for the whole file."""
        if self.regions is None or wanted is None:
            rest = self.regions if wanted is None else wanted
            return None if rest is None else settle(rest)
        return settle(part for one in wanted for allowed in self.regions if (part := _intersect(one, allowed)))


def _intersect(one: Region, other: Region) -> Region | None:
    """Return what two regions share; None if that is nothing."""
    if one.contig != other.contig:
        return None
    if one.contig == UNMAPPED:
        return one
    start, end = max(one.start, other.start), min(one.limit, other.limit)
    return Region(one.contig, start, None if end == MAX_POSITION else end) if start < end else None
