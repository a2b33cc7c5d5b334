"""Partitions of a plan: some regions of one file of one object, which go to other processes and are read there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modos.errors import ConflictError, InvalidInputError, ModosError, NotFoundError, listing
from modos.genomics.region import Region, RegionLike
from modos.object.address import ObjectAddress, is_remote
from modos.plans.opened import find_secret, open_file, open_object

if TYPE_CHECKING:
    import pyarrow

    from modos.genomics import GenomicFile
    from modos.object.document import Document
    from modos.object.modo import MODO
    from modos.tracks.track import Track

Regions = tuple[RegionLike, ...] | None


@dataclass(frozen=True, slots=True)
class Version:
    """State of an element's data that a plan is for.

    Parameters
    ----------
    data_path, data_size, data_digest, data_checksum
        As the element records them.
    revision, tag
        Of the object's root document, where neither digest nor checksum is
        recorded: its number, or its tag where it has no number.
    """

    data_path: str
    data_size: int | None = None
    data_digest: str | None = None
    data_checksum: str | None = None
    revision: int | None = None
    tag: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Version:
        """Take what the row of a catalogue has."""
        content = row["data_path"], row["data_size"], row["data_digest"], row["data_checksum"]
        if row["data_digest"] or row["data_checksum"]:
            return cls(*content)
        return cls(*content, row["revision"] or None, None if row["revision"] else row["tag"])

    def find_changes(self, document: Document, element: str) -> list[str]:
        """Find which of these are others now: their names."""
        attributes = document.element(element)
        slots = ("data_path", "data_size", "data_digest", "data_checksum")
        changed = [slot for slot in slots if (getattr(self, slot) or None) != (attributes.get(slot) or None)]
        if self.revision is not None and self.revision != document.state.get("revision", 0):
            changed.append("revision")
        return [*changed, "root document"] if self.tag is not None and self.tag != document.tag else changed


def locate_from_anywhere(address: ObjectAddress) -> ObjectAddress:
    """Return an address as a process in another folder has to have it."""
    return address if is_remote(address.path) else replace(address, path=os.path.abspath(address.path))


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """File, or track, of an object that a plan reads.

    Parameters
    ----------
    address
        Of the object; its pickle has no secret.
    object
        Key of the object below the place of the catalogue.
    element
        Full id.
    samples
        Names of the samples that the element is linked to.
    """

    address: ObjectAddress
    object: str
    element: str
    version: Version
    samples: tuple[str, ...] = ()

    def open(self) -> MODO:
        """Open the object, and see that the element's data are those that were planned for.

        Raises
        ------
        ConflictError
            They were changed or removed since.
        """
        opened = open_object(self.address)
        document = opened.object.document
        if self.element not in document:
            raise ConflictError(f"{self.element} of {self.address.path} was removed since the plan was made", "scan again")
        changed = self.version.find_changes(document, self.element)
        if changed:
            raise ConflictError(
                f"{self.element} of {self.address.path} was changed since the plan was made: its {listing(changed)}", "scan again"
            )
        return opened.modo


@dataclass(frozen=True, slots=True)
class Reading:
    """Options by which the partitions of a plan are read.

    Parameters
    ----------
    kind
        reads, variants, tracks or coverage.
    columns
        Of the table; all where it is None.
    bins
        Of coverage and tracks: equal parts of each region; None for runs of equal values.
    secret_key
        Path of the key that encrypted data are read with; never the key itself.
    skips_missing
        Whether a region on no contig of a file is left out and told, instead of an error.
    """

    kind: str
    columns: tuple[str, ...] | None = None
    bins: int | None = 1
    secret_key: str | None = None
    skips_missing: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """Some regions of a file or track of one object, with how they are read.

    It is pickled with neither keys nor passwords: the process that reads it
    has those of its environment, profile or token file.

    Parameters
    ----------
    file
        What it is of.
    regions
        Text is 1-based inclusive, or the name of a gene; a Region is 0-based
        half-open. None for all of the file.
    after
        The region before them that another partition reads, and whose
        records are not given again.
    cost
        Bytes to be read, as far as the catalogue or the index tells.
    """

    file: ScannedFile
    regions: Regions
    reading: Reading
    after: Region | None = None
    cost: int = 0

    @property
    def name(self) -> str:
        """Object, element and regions, as messages name them."""
        where = "" if self.regions is None else f" {listing(map(str, self.regions), 3)}"
        return f"{self.file.object or self.file.address.path} {self.file.element}{where}"

    def to_arrow(self) -> pyarrow.Table:
        """Read the partition as a table; the columns `object`, `element` and `sample` come first.

        Raises
        ------
        ConflictError
            The data were changed since the plan was made.
        NotFoundError
            The file has not the contig, and there is no such gene.
        AccessError, RemoteError, IntegrityError
            It cannot be read.
        """
        from modos.plans.partition_tables import read_table

        return read_table(self)

    def open_file(self) -> GenomicFile:
        """Open the file, as the plan has it; errors as of `ScannedFile.open`."""
        if self.reading.kind == "tracks":
            raise InvalidInputError(f"{self.name} is a track, and no file", "open it with open_track")
        self.file.open()
        return open_file(self.file.address, self.file.version, self.file.version.data_path, self.reading.secret_key)

    def open_track(self) -> Track:
        """Open the track; raise NotFoundError if the element is none."""
        modo = self.file.open()
        links = modo.metadata[self.file.element].get("has_reference") or ()
        genome = modo.open_genome(next(iter(links), None), secret_key=find_secret(self.reading.secret_key))
        found = [track for track in genome.tracks.values() if getattr(track, "element_id", None) == self.file.element]
        if not found:
            raise NotFoundError(f"{self.file.element} of {self.file.address.path} is no track", "leave it out with where=...")
        return found[0]

    def resolve(self) -> tuple[Region, ...] | None:
        """Resolve the regions, also names of genes, to places on contigs as they are named there; None for all.

        Those of reads and variants are united where they meet; those of
        coverage and tracks stay as they are, in their order.

        Raises
        ------
        NotFoundError
            There is no such contig, nor such a gene.
        """
        if self.regions is None:
            return None
        if self.reading.kind == "tracks":
            track = self.open_track()
            return tuple(resolve_on_track(self, track, region) for region in self.regions)
        file = self.open_file()
        if self.reading.kind == "coverage":
            return tuple(found for region in self.regions for found in file.resolve(region) or ())
        return file.resolve(self.regions)

    def leave_out_missing(self) -> tuple[Partition | None, list[str]]:
        """Leave out regions that the file has no contig for; returns the rest, None if nothing is left, and why."""
        if self.regions is None:
            return self, []
        kept, missing = [], []
        for region in self.regions:
            try:
                replace(self, regions=(region,)).resolve()
            except NotFoundError as error:
                self._check_readable(error)
                missing.append(error.message)
            else:
                kept.append(region)
        return (replace(self, regions=tuple(kept)) if kept else None), missing

    def _check_readable(self, error: NotFoundError) -> None:
        """Raise the error, unless the file is there and has contigs, so that it is the region that is not found."""
        try:
            there = self.open_track().contigs if self.reading.kind == "tracks" else self.open_file().contigs
        except ModosError:
            raise error from None
        if not there:
            raise error

    def iter_records(self) -> Iterator[Any]:
        """Iterate over the records of reads or variants, of pysam; each is in one partition of a plan."""
        after = self.after
        for record in self.open_file().fetch(self.regions):
            if after is None or not starts_within(record, after):
                yield record


def starts_within(record: Any, after: Region) -> bool:
    """Return whether a record that overlaps what comes after a region starts before the end of that region, and overlaps both."""
    if hasattr(record, "alleles"):
        return bool(record.chrom == after.contig and record.start < after.limit)
    return bool(record.reference_name == after.contig and record.reference_start < after.limit)


def resolve_on_track(partition: Partition, track: Track, region: RegionLike) -> Region:
    """Resolve a region, or the name of a gene, on the contigs of a track; its end is known then."""
    try:
        contig, start, end = track.contigs.place(region)
    except NotFoundError:
        found = _find_gene(partition, track, region) if isinstance(region, str) else None
        if found is None:
            raise
        contig, start, end = track.contigs.place(found)
    return Region(contig.name, start, end)


def _find_gene(partition: Partition, track: Track, name: str) -> Region | None:
    from modos.object.finding import make_gene_finder

    modo = partition.file.open()
    endpoint = partition.file.address.endpoint
    find = make_gene_finder(modo.storage, modo.metadata, partition.file.version.data_path, endpoint)
    return find(name, {contig: (length, None) for contig, length in track.contigs.lengths.items()})
