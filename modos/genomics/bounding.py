"""Bound what of a file somebody may have, to some regions, samples, fields and tags."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

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

    @property
    def hides_places(self) -> bool:
        """Return whether it is not to be told where reads lie."""
        return bool(self.fields) and not {"RNAME", "POS"} <= {*self.fields}

    def cut(self, wanted: Iterable[Region] | None) -> Regions | None:
        """Return what of some regions, or of a whole file where they are None, lies within; None for the whole file."""
        if self.regions is None or wanted is None:
            return self._settled if wanted is None else settle(wanted)
        return settle(part for one in wanted for part in self._parts_within(one))

    @cached_property
    def _settled(self) -> Regions | None:
        return None if self.regions is None else settle(self.regions)

    @cached_property
    def _by_contig(self) -> dict[str, tuple[list[int], list[int]]]:
        """First bases and ends of the regions of each contig, which are apart and in order."""
        found: dict[str, tuple[list[int], list[int]]] = {}
        for region in self._settled or ():
            starts, limits = found.setdefault(region.contig, ([], []))
            starts.append(region.start)
            limits.append(region.limit)
        return found

    def _parts_within(self, wanted: Region) -> Iterator[Region]:
        starts, limits = self._by_contig.get(wanted.contig, ((), ()))
        if wanted.contig == UNMAPPED and starts:
            yield wanted
            return
        for number in range(bisect_right(limits, wanted.start), bisect_left(starts, wanted.limit)):
            start, end = max(wanted.start, starts[number]), min(wanted.limit, limits[number])
            yield Region(wanted.contig, start, None if end == MAX_POSITION else end)
