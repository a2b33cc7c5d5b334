"""Collect reads, variants, tracks and annotations to be plotted, each with the contigs that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modos.errors import InvalidInputError, NotFoundError, RegionError
from modos.genomics import GenomicFile
from modos.genomics.region import UNMAPPED, Region, RegionLike

if TYPE_CHECKING:
    from modos.figures.gene_models import LooseTables
    from modos.reference.annotations.annotation import Annotation
    from modos.tracks.track import Track

Contigs = Mapping[str, tuple["int | None", "str | None"]]  # length in bases and MD5, where they are known
FindAnnotation = Callable[[Contigs, "str | None"], "Annotation | LooseTables | None"]


@dataclass(frozen=True)
class Plotted:
    """One thing to plot.

    Parameters
    ----------
    name
        As figures show it.
    place
        Of what it is a part, such as the name of its object: shown where two have the same name.
    content
        A track, a file of reads or variants, or an annotation.
    unit
        Of its numbers.
    find_annotation
        Gives an annotation of its reference, by name, or the one that there
        is: for contigs whose lengths and digests are given; None if there is none.
    """

    name: str
    content: Track | GenomicFile | Annotation
    place: str = ""
    unit: str | None = None
    find_annotation: FindAnnotation | None = None

    @property
    def kind(self) -> str:
        """`track`, `reads`, `variants` or `annotation`."""
        if isinstance(self.content, GenomicFile):
            return self.content.format.kind or "variants"  # of a VCF Zarr
        return "track" if hasattr(self.content, "zoom") else "annotation"

    @cached_property
    def contigs(self) -> Contigs:
        """Length in bases and MD5 of its contigs, None where they are not known."""
        content: Any = self.content
        if self.kind == "track":
            return {name: (length, None) for name, length in content.contigs.lengths.items()}
        if self.kind == "annotation":
            return {name: (length, None) for name, length in content.lengths.items()}
        facts: Contigs = content.contig_facts
        return facts

    def length_of(self, contig: str) -> int | None:
        """Return the length of a contig in bases; None if it is not known, or there is no such contig."""
        return self.contigs.get(contig, (None, None))[0]

    def names_of(self, contig: str) -> list[str]:
        """Return all names that it has for a contig, given one of them; none if it has no such contig."""
        content: Any = self.content
        if self.kind == "track":
            own = content.contigs.resolve(contig)
            return [own, *(alias for alias, name in content.contigs.aliases.items() if name == own)] if own else []
        if self.kind == "annotation":
            code = content.codes.get(contig)
            return [] if code is None else [name for name, other in content.codes.items() if other == code]
        return [contig] if contig in self.contigs else []

    def locate(self, region: RegionLike) -> Region:
        """Return a region on its own contig, its end known if the contig's is.

        Raises
        ------
        NotFoundError
            It has no such contig, and knows no such gene.
        RegionError
            The region is beyond its contig.
        """
        content: Any = self.content
        if self.kind == "track":
            contig, start, end = content.contigs.place(region)
            return Region(contig.name, start, end)
        if self.kind == "annotation":
            return self._locate_in_annotation(region)
        regions = content.resolve(region)
        if len(regions) != 1 or regions[0].contig == UNMAPPED:
            raise InvalidInputError(f"{region} is no place that can be plotted", "give a region of a contig: chr1:1-1,000")
        found: Region = regions[0]
        length = self.length_of(found.contig)
        if length is None:
            return found
        if found.start >= length:
            raise RegionError(f"the region {found} is beyond the {length:,} bases of {found.contig}")
        return Region(found.contig, found.start, min(found.limit, length))

    def _locate_in_annotation(self, region: RegionLike) -> Region:
        content: Any = self.content
        if isinstance(region, str):
            try:
                region = Region.parse(region, content.codes)
            except NotFoundError as error:
                try:
                    found: Region = content.gene(region).region
                except NotFoundError:
                    raise error from None
                return found
        if region.contig not in content.codes:
            raise NotFoundError(f"the annotation {content.name} has no contig {region.contig}")
        return region


@runtime_checkable
class Plottable(Protocol):
    """Thing that can be plotted once it is opened: an element of an object."""

    def open_plotted(self, **options: Any) -> list[Plotted]:
        """Open it; options are the keys, and the FASTA of a CRAM."""


def collect(things: Any, **options: Any) -> list[Plotted]:
    """Collect what is to be plotted from elements, tracks, genomes, files and annotations, one or several.

    Raises
    ------
    InvalidInputError
        Something is none of them, or there is nothing.
    """
    if isinstance(things, (str, bytes)):
        raise InvalidInputError(f"{things!r} is a text, and nothing to plot", "open it first: MODO(...)['data/demo1']")
    single = _is_one(things) or not isinstance(things, Iterable)
    found = [one for thing in ([things] if single else things) for one in _open(thing, options)]
    if not found:
        raise InvalidInputError("there is nothing to plot", "give an element, a track, a genome, a file or an annotation")
    return _name_apart(found)


def _is_one(thing: Any) -> bool:
    return isinstance(thing, (Plotted, Plottable, GenomicFile)) or hasattr(thing, "tracks") or hasattr(thing, "zoom")


def _open(thing: Any, options: Mapping[str, Any]) -> list[Plotted]:
    if isinstance(thing, Plotted):
        return [thing]
    if isinstance(thing, Plottable):
        return thing.open_plotted(**options)
    if isinstance(thing, GenomicFile):
        if options.get("secret_key") is not None:
            raise InvalidInputError(f"{thing.name} was opened already", "give the key where it is opened")
        return [Plotted(thing.name.rsplit("/", 1)[-1], thing)]
    if isinstance(getattr(thing, "tracks", None), Mapping):
        return [Plotted(track.name, track, thing.id) for track in thing.check_tracks()]
    if hasattr(thing, "zoom") and hasattr(thing, "contigs"):
        return [Plotted(thing.name, thing)]
    if hasattr(thing, "codes") and hasattr(thing, "transcripts"):
        return [Plotted(thing.name, thing)]
    raise InvalidInputError(
        f"a {type(thing).__name__} cannot be plotted", "give an element, a track, a genome, a file or an annotation"
    )


def _name_apart(found: list[Plotted]) -> list[Plotted]:
    """Add the place to the names that several have."""
    names = [one.name for one in found]
    return [replace(one, name=f"{one.place} {one.name}") if one.place and names.count(one.name) > 1 else one for one in found]
