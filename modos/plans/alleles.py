"""Count the alleles of variants in groups of samples, over the files of many objects."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, listing
from modos.errors.missing import load_late
from modos.genomics.region import Region
from modos.plans.partition import Partition
from modos.plans.partition_tables import list_header_samples
from modos.plans.scanning import Catalogue, RegionsGiven, list_samples, scan

if TYPE_CHECKING:
    import polars as pl

    from modos.reference.annotations.annotation import Annotation
else:
    pl = load_late("polars")

logger = logging.getLogger(__name__)

Site = tuple[str, int, str]  # contig, start (0-based), REF
Sample = tuple[str, str]  # key of an object, id of the element of a sample there
_WINDOW = 10_000  # bases whose depth is measured at once


@dataclass
class Counts:
    """Alleles that were counted at one site.

    Parameters
    ----------
    alleles
        By ALT and group, the number of times that it was called.
    called
        By group, the number of called alleles.
    samples
        Those that have a record of the site.
    """

    alleles: dict[str, dict[str | None, int]] = field(default_factory=dict)
    called: dict[str | None, int] = field(default_factory=dict)
    samples: set[Sample] = field(default_factory=set)

    def add(self, other: Counts) -> None:
        """Add what was counted in another file."""
        for alt, counts in other.alleles.items():
            _add(self.alleles.setdefault(alt, {}), counts)
        _add(self.called, other.called)
        self.samples |= other.samples


@dataclass
class FileCounts:
    """Alleles that were counted in some files, by site; and the element that each sample was counted in."""

    sites: dict[Site, Counts] = field(default_factory=dict)
    elements: dict[Sample, str] = field(default_factory=dict)

    def add(self, other: FileCounts) -> FileCounts:
        """Add another file, or another part of one; raise InvalidInputError if it has a sample again."""
        for sample, element in other.elements.items():
            known = self.elements.setdefault(sample, element)
            if known != element:
                raise InvalidInputError(
                    f"{sample[1]} of {sample[0] or 'the object'} is in {known} and {element}: alleles would count twice",
                    f"choose one with where=, such as \"element = '{known}'\" or \"data_format = 'VCF'\"",
                )
        for site, counts in other.sites.items():
            self.sites.setdefault(site, Counts()).add(counts)
        return self


def allele_counts(
    catalogue: Catalogue,
    regions: RegionsGiven,
    *,
    group: str | Mapping[str, str] | None = None,
    allele_number: str = "genotypes",
    min_depth: int = 10,
    ploidy: int = 2,
    where: str | None = None,
    annotation: Annotation | None = None,
    secret_key: str | os.PathLike[str] | None = None,
    missing: str = "error",
    client: Any = None,
    workers: int | None = None,
) -> pl.DataFrame:
    """Count the alleles of variants in groups of samples: AC, and AN with the samples that have no record of a site.

    Variants are the same where contig, position, REF and ALT are: normalise
    files that write them in different ways (`bcftools norm`).

    Parameters
    ----------
    group
        A slot of the samples, such as `sex`, or the group of each sample by its name.
    allele_number
        `genotypes`: AN are the alleles that are called in records of the
        site. `depth`: samples that have no record of the site, and
        `min_depth` reads over each of its bases in a BAM or CRAM of their
        object, are taken for `ploidy` reference alleles, too.
    where, annotation, secret_key, missing
        As for `scan`; `where` chooses the files of variants.
    client, workers
        As for `Plan.map`.

    Returns
    -------
    polars.DataFrame
        A row for each variant and group, by place: `contig`, `start` (0-based), `ref`,
        `alt`, `group`, `ac`, `an` and `af`. The group is null for samples that the
        catalogue does not link to the file.

    Raises
    ------
    InvalidInputError
        A sample has variants in several files; choose some with `where`.
    PartitionError
        Files could not be read, or have not the contigs.
    """
    if allele_number not in ("genotypes", "depth"):
        raise InvalidInputError(f"allele_number is {allele_number!r}", "it is 'genotypes' or 'depth'")
    groups = SampleGroups.of(catalogue, group)
    given: dict[str, Any] = {"annotation": annotation, "secret_key": secret_key, "missing": missing}
    run: dict[str, Any] = {"client": client, "workers": workers}
    plan = scan(catalogue, "variants", regions, where=where, **given)
    found = plan.reduce(FileCounts.add, FileCounts(), each=_CountAlleles(groups), **run)
    if allele_number == "depth" and found.sites:
        _add_covered(catalogue, found, groups, _FindCovered(tuple(sorted(found.sites)), min_depth), ploidy, secret_key, run)
    _refuse_two_namings(found.sites)
    return _to_frame(found, groups)


@dataclass(frozen=True)
class SampleGroups:
    """Groups of the samples of a catalogue.

    Parameters
    ----------
    elements
        The id of each sample's element, by the object and each name of the sample.
    groups
        By the object and this id.
    """

    elements: Mapping[Sample, str]
    groups: Mapping[Sample, str | None]

    @classmethod
    def of(cls, catalogue: Catalogue, group: str | Mapping[str, str] | None) -> SampleGroups:
        """Group samples by the value of a slot, or by what is given for their names; all together where it is None."""
        elements: dict[Sample, str] = {}
        groups: dict[Sample, str | None] = {}
        table = list_samples(catalogue, group if isinstance(group, str) else None)
        for key, element, name, value in table.select("object", "element", "name", "group").iter_rows():
            short = element.partition("/")[2]
            for one in (name, short):
                elements.setdefault((key, one), element)
            given = group.get(name, group.get(short)) if isinstance(group, Mapping) else value
            groups[key, element] = ", ".join(map(str, given)) if isinstance(given, list) else given and str(given)
        return cls(elements, groups)

    def identify(self, object_key: str, name: str) -> Sample:
        """Return the sample of an object that a file calls by a name: by its element, or this name where there is none."""
        return object_key, self.elements.get((object_key, name), name)


def _add(counts: dict[str | None, int], more: Mapping[str | None, int]) -> None:
    for group, number in more.items():
        counts[group] = counts.get(group, 0) + number


@dataclass(frozen=True)
class _CountAlleles:
    """Function that counts the alleles of the samples of one file, by their groups."""

    groups: SampleGroups

    def __call__(self, partition: Partition) -> FileCounts:
        samples = [self.groups.identify(partition.file.object, name) for name in self._name_samples(partition)]
        groups = [self.groups.groups.get(sample) for sample in samples]
        counted = FileCounts(elements=dict.fromkeys(samples, partition.file.element))
        numbers: dict[Site, list[int]] = {}
        for record in partition.iter_records():
            site = record.chrom, record.start, record.ref or ""
            counts, called = counted.sites.setdefault(site, Counts()), numbers.setdefault(site, [0] * len(samples))
            alts = record.alts or ()
            for alt in alts:
                counts.alleles.setdefault(alt, {})
            for place, call in enumerate(record.samples.values()):
                present = [allele for allele in call.allele_indices or () if allele is not None]
                called[place] = max(called[place], len(present))  # a site may have a record for each ALT
                counts.samples.add(samples[place])
                for allele in present:
                    if allele:
                        _add(counts.alleles[alts[allele - 1]], {groups[place]: 1})
        for site, called in numbers.items():
            for group, number in zip(groups, called):
                _add(counted.sites[site].called, {group: number})
        return counted

    def _name_samples(self, partition: Partition) -> Sequence[str]:
        """Name the samples of the columns: as the header does; a single one as the catalogue links it, if it has another name."""
        names = list_header_samples(partition.open_file())
        linked = partition.file.samples
        if len(names) == len(linked) == 1 and (partition.file.object, names[0]) not in self.groups.elements:
            return linked
        return names


@dataclass(frozen=True)
class _FindCovered:
    """Function that finds the sites at which each base of REF is deep enough in a file of the reads of one sample."""

    sites: tuple[Site, ...]
    min_depth: int

    def __call__(self, partition: Partition) -> tuple[str, Sequence[str], list[Site]]:
        file = partition.open_file()
        names = partition.file.samples or list_header_samples(file)
        covered: list[Site] = []
        for window in _iter_windows(self.sites if len(names) == 1 else ()):
            first = window[0][1]
            depth = file.coverage(Region(window[0][0], first, max(start + len(ref) for _, start, ref in window)))
            covered += [
                site for site in window if depth[site[1] - first : site[1] - first + len(site[2])].min() >= self.min_depth
            ]
        return partition.file.object, names, covered


def _iter_windows(sites: Sequence[Site]) -> Iterator[list[Site]]:
    """Group sites, in their order, whose depth is measured at once."""
    window: list[Site] = []
    for site in sites:
        if window and (site[0] != window[0][0] or site[1] - window[0][1] > _WINDOW):
            yield window
            window = []
        window.append(site)
    if window:
        yield window


def _add_covered(
    catalogue: Catalogue,
    found: FileCounts,
    groups: SampleGroups,
    find: _FindCovered,
    ploidy: int,
    secret_key: str | os.PathLike[str] | None,
    run: dict[str, Any],
) -> None:
    """Add the reference alleles of samples that have reads at a site, and no record of it."""
    plan = scan(catalogue, "coverage", secret_key=secret_key)
    objects = {object_key for object_key, _ in found.elements}
    chosen = [number for number, key in enumerate(plan.objects) if key in objects]
    covered: dict[Sample, set[Site]] = {}
    for object_key, names, sites in plan.choose(chosen).map(find, **run):
        if len(names) == 1:
            covered.setdefault(groups.identify(object_key, names[0]), set()).update(sites)
    without = [f"{name} of {key or 'the object'}" for key, name in found.elements if (key, name) not in covered]
    if without:
        logger.warning("no reads of %s: they do not count at sites without a record", listing(without, 3))
    for sample in found.elements:
        for site in covered.get(sample, ()):
            if sample not in found.sites[site].samples:
                _add(found.sites[site].called, {groups.groups.get(sample): ploidy})


def _refuse_two_namings(sites: Iterable[Site]) -> None:
    """Raise InvalidInputError where files call a contig `chr1` and `1`: their variants would not meet."""
    names = {contig for contig, *_ in sites}
    both = sorted(name for name in names if f"chr{name}" in names)
    if both:
        raise InvalidInputError(
            f"some files call a contig {both[0]} and others chr{both[0]}, so that their variants would count apart",
            "choose files of one naming with where=, or rename the contigs (`bcftools annotate --rename-chrs`)",
        )


def _to_frame(found: FileCounts, groups: SampleGroups) -> pl.DataFrame:
    names = sorted({groups.groups.get(sample) for sample in found.elements}, key=lambda name: (name is None, name or ""))
    rows = [
        (
            *site,
            alt,
            name,
            counts.alleles[alt].get(name, 0),
            number,
            counts.alleles[alt].get(name, 0) / number if number else None,
        )
        for site, counts in sorted(found.sites.items())
        for alt in sorted(counts.alleles)
        for name in names
        for number in [counts.called.get(name, 0)]
    ]
    types = {"contig": pl.String, "start": pl.Int64, "ref": pl.String, "alt": pl.String, "group": pl.String}
    return pl.DataFrame(rows, schema=types | {"ac": pl.Int64, "an": pl.Int64, "af": pl.Float64}, orient="row")
