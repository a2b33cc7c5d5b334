"""Read the variants of a region as lollipops with place, height and type, thinned where they are too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from modos.genomics import GenomicFile
    from modos.genomics.region import Region

TYPES = ("SNV", "insertion", "deletion", "substitution", "structural", "other")
MEASURES = {"AF": "allele frequency", "QUAL": "QUAL", "count": "alleles counted"}
_MOST = 2000  # that are drawn one by one
_PARTS = 400  # of the region, where they are thinned
_NO_ALLELE = (None, ".", "<*>", "<NON_REF>")


class Lollipop(NamedTuple):
    """One alternate allele.

    `position` is 1-based, that of its record; `end` the last base of the
    record (1-based inclusive). The measures are NaN where they are not known.
    """

    position: int
    end: int
    type: str
    label: str
    frequency: float
    quality: float
    called: float

    def measure(self, name: str) -> float:
        """Return its height by a measure: `AF`, `QUAL` or `count`."""
        return self.frequency if name == "AF" else self.quality if name == "QUAL" else self.called


@dataclass(frozen=True)
class Lollipops:
    """The alleles that are drawn.

    Parameters
    ----------
    measure
        What their height is: `AF`, `QUAL`, `count`; None where nothing is known of any.
    drawn
        By position.
    total
        As many as the region has.
    """

    name: str
    measure: str | None
    drawn: tuple[Lollipop, ...]
    total: int

    @property
    def note(self) -> str:
        """Tell in a sentence what was left out; empty if nothing was."""
        if len(self.drawn) == self.total:
            return ""
        return f"{len(self.drawn):,} of {self.total:,} alleles: the highest of each type in each of {_PARTS} parts"


def read_lollipops(file: GenomicFile, region: Region, heights: str, name: str) -> Lollipops:
    """Read the variants that overlap a region; memory does not grow with their number."""
    kept = _Kept(region, ("AF", "QUAL", "count") if heights == "auto" else (heights,))
    for record in file.fetch(region):
        for allele in _alleles_of(record, heights == "count"):
            kept.add(allele)
    measure, drawn = kept.choose()
    return Lollipops(name, measure if heights == "auto" else heights, tuple(sorted(drawn)), kept.total)


class _Kept:
    """Keeps all alleles while they are few; later, by each measure, the highest of each type in each part of the region."""

    def __init__(self, region: Region, measures: tuple[str, ...]):
        self._start, self._length = region.start, region.limit - region.start
        self._all: list[Lollipop] = []
        self._best: dict[str, dict[tuple[int, str], Lollipop]] = {measure: {} for measure in measures}
        self._known = dict.fromkeys(measures, 0)
        self.total = 0

    def add(self, allele: Lollipop) -> None:
        self.total += 1
        if self.total <= _MOST:
            self._all.append(allele)
        part = min(max(allele.position - 1 - self._start, 0) * _PARTS // self._length, _PARTS - 1)
        for measure, best in self._best.items():
            height = allele.measure(measure)
            self._known[measure] += isfinite(height)
            other = best.get((part, allele.type))
            if other is None or _rank(height) > _rank(other.measure(measure)):
                best[part, allele.type] = allele

    def choose(self) -> tuple[str | None, list[Lollipop]]:
        """Choose the measure that most alleles have, the first of equals, and what is drawn by it."""
        measure = max(self._known, key=lambda one: self._known[one])
        drawn = self._all if self.total <= _MOST else list(self._best[measure].values())
        return (measure if self._known[measure] else None), drawn


def _rank(height: float) -> float:
    return height if isfinite(height) else -1.0


def _alleles_of(record: Any, counted: bool) -> Iterator[Lollipop]:
    """Yield each alternate allele of a record of pysam; counted, also where the record has the frequencies."""
    reference = record.ref or ""
    alternates = [(number, alt) for number, alt in enumerate(record.alts or (), 1) if alt not in _NO_ALLELE]
    if not alternates:
        return
    quality = nan if record.qual is None else float(record.qual)
    frequencies = _per_allele(record, "AF")
    is_told = len(frequencies) >= len(record.alts) and all(map(isfinite, frequencies))
    counts, called = ({}, 0) if is_told and not counted else _count_alleles(record)
    for number, alternate in alternates:
        frequency = frequencies[number - 1] if number <= len(frequencies) else nan
        if not isfinite(frequency) and called:
            frequency = counts.get(number, 0) / called
        count = float(counts.get(number, 0)) if called else nan
        label = record.id.split(";")[0] if record.id else f"{_shorten(reference)}>{_shorten(alternate)}"
        kind = classify(reference, alternate)
        yield Lollipop(record.pos, max(record.stop, record.pos), kind, label, frequency, quality, count)


def _per_allele(record: Any, key: str) -> list[float]:
    """Return the values of an INFO key that has one for each alternate allele, NaN where one is missing."""
    try:
        value = record.info[key]
        values = value if isinstance(value, tuple) else (value,)
        return [nan if one is None else float(one) for one in values]
    except (KeyError, TypeError, ValueError):
        return []


def _count_alleles(record: Any) -> tuple[dict[int, int], int]:
    """Count the alleles by their numbers, and all that are called: by INFO (AC, AN), else by the genotypes."""
    counts, called = _per_allele(record, "AC"), _per_allele(record, "AN")
    if counts and called and isfinite(called[0]) and called[0] > 0 and all(map(isfinite, counts)):
        return {number: int(count) for number, count in enumerate(counts, 1)}, int(called[0])
    found: dict[int, int] = {}
    total = 0
    for sample in record.samples.values():
        for allele in sample.get("GT") or ():
            if allele is not None:
                found[allele] = found.get(allele, 0) + 1
                total += 1
    return found, total


def classify(reference: str, alternate: str) -> str:
    """Classify an alternate allele, by what it is without the bases that it shares with the reference.

    `SNV`, `insertion`, `deletion`, `substitution` (of several bases),
    `structural` (symbolic alleles and breakends, VCF 4.3 sections 1.4.5 and
    5.4), or `other` (`*`).
    """
    if alternate.startswith("<") or "[" in alternate or "]" in alternate or alternate[:1] == "." or alternate[-1:] == ".":
        return "structural"
    old, new = reference.upper(), alternate.upper()
    if not (old + new).isalpha() or old == new:
        return "other"
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    if len(old) == len(new):
        return "SNV" if len(old) == 1 else "substitution"
    if not old:
        return "insertion"
    return "substitution" if new else "deletion"


def _shorten(allele: str) -> str:
    return allele if len(allele) <= 8 else f"{allele[:4]}…{len(allele)}"
