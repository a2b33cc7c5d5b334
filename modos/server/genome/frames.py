"""Find the contigs that a view is drawn along, and their bases: of a reference, or of the header of a file."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from fastapi import Request

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.formats import format_of, is_array_path, is_compressed, is_encrypted, streamable_format
from modos.genomics import GenomicFile
from modos.genomics.planning import Planner
from modos.genomics.sources import StorageSource
from modos.object import tracks
from modos.object.cram_references import read_digests
from modos.object.part_lists import verified_files
from modos.reference.assembly import Assembly, StoredContig
from modos.reference.store import ReferenceStore
from modos.server.auth import Access, caller_of
from modos.server.genome.objects import Element, Objects
from modos.storage import ObjectInfo

if TYPE_CHECKING:
    from modos.reference.reference import Reference

MOST_CONTIGS = 200_000
UNKNOWN = 1 << 29  # bases of a contig whose length no header tells: as many as a TBI index reaches
_KEPT = 30.0  # seconds for which what a store has of an assembly is known
_MOST, _MOST_HEADERS = 32, 256  # frames, and headers of files, that are kept
_LOOKED = "modos.genome.headers"  # of files, in the scope of a request that has looked at them
_MOST_UNINDEXED = 64 << 20  # bytes of a FASTA without a .fai, all of which is read

ReadBases = Callable[[str, int, int], str]  # contig, start, end: 0-based half-open
Facts = Mapping[str, tuple["int | None", "str | None"]]  # of contigs of a file: length and MD5, where they are known


@dataclass(frozen=True)
class Frame:
    """Contigs that a view is drawn along.

    Parameters
    ----------
    path
        The element that it is of.
    name
        What to call it.
    contigs
        Their lengths in bases, in their order.
    aliases
        Contigs by their other names.
    assembly
        For annotations: contigs with lengths and names; its digest is empty where that is not known.
    read
        Gives bases; None where there are none.
    file_key
        The file of an object that bases are read from; None for a store.
    is_reference
        Whether it is a reference, and not the header of a file.
    """

    path: str
    name: str
    contigs: Mapping[str, int]
    assembly: Assembly
    aliases: Mapping[str, str] = field(default_factory=dict)
    read: ReadBases | None = None
    file_key: str | None = None
    is_reference: bool = True

    @cached_property
    def names(self) -> Mapping[str, object]:
        """All names of the contigs."""
        return {**self.aliases, **self.contigs}

    def resolve(self, contig: str) -> str | None:
        """Resolve any name of a contig to that which the frame has for it; None if there is none."""
        return contig if contig in self.contigs else self.aliases.get(contig)


class Frames:
    """Frames of elements, each kept for a while."""

    def __init__(self, catalog: Catalog, access: Access, planner: Planner, objects: Objects, references: ReferenceStore | None):
        self._catalog, self._access, self._planner = catalog, access, planner
        self._objects, self.references = objects, references
        self._known: OrderedDict[tuple[str, str | None], tuple[float, Frame]] = OrderedDict()
        self._headers: OrderedDict[str, tuple[tuple[ObjectInfo, ...], tuple[Facts, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, request: Request, element: Element) -> Frame:
        """Find the frame of an element: itself if it is a reference, else the one it is linked to, else the header of its file.

        Raises
        ------
        HtsgetError
            The caller may not read it.
        NotFoundError
            There is none: no reference is linked that this server can read, and it has no file with contigs.
        """
        found, wrong = self.find_linked(request, element)
        if found is not None:
            return found
        if has_records(element):
            return self._keep(element, partial(self._of_header, request))
        raise next(iter(wrong.values()), NotFoundError(f"{element.path} has no reference and no contigs of its own"))

    def find_linked(self, request: Request, element: Element) -> tuple[Frame | None, dict[str, ModosError]]:
        """Find the frame of the first reference that an element is, or is linked to, and why not that of those before it.

        The errors of a reference itself are raised, see `find`.
        """
        if element.id.startswith("reference/"):
            return self._find_reference(request, element), {}
        wrong: dict[str, ModosError] = {}
        for link in element.attributes.get("has_reference") or ():
            if link in element.of.metadata:
                try:
                    return self._find_reference(request, Element(element.of, link, element.of.metadata[link])), wrong
                except ModosError as error:
                    wrong[link] = error
        return None, wrong

    def _find_reference(self, request: Request, element: Element) -> Frame:
        if element.attributes.get("assembly") and self.references is not None:
            self._access.check_any(caller_of(request))
        elif element.file_key and not is_array_path(str(element.attributes["data_path"])):
            self._access.check(caller_of(request), "read", element.file_key)
        else:
            self._access.check(caller_of(request), "read", element.of.key_of(f"data.zarr/{element.id}"))
        return self._keep(element, self._of_reference)

    def _keep(self, element: Element, make: Callable[[Element], Frame]) -> Frame:
        key, now = (element.path, element.of.document.tag), time.monotonic()
        with self._lock:
            until, found = self._known.get(key, (0.0, None))
        if found is None or until < now:
            found = make(element)
            if len(found.contigs) > MOST_CONTIGS:
                raise InvalidInputError(f"{element.path} has {len(found.contigs):,} contigs: more than a view can have")
            with self._lock:
                self._known[key] = now + _KEPT, found
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return found

    def _of_reference(self, element: Element) -> Frame:
        attributes = element.attributes
        name, path = attributes.get("assembly"), str(attributes.get("data_path") or "")
        if name and self.references is not None:
            return self._of_assembly(element, str(name))
        if element.id in tracks.genome_ids(element.of.document) and not _is_plain_fasta(path):
            return _of_arrays(element)
        if _is_plain_fasta(path):
            return _of_fasta(element, path)
        raise NotFoundError(
            f"{element.path} names the assembly {name}, and this server has no reference store"
            if name
            else f"the sequence of {element.path} is encrypted"
            if is_encrypted(path)
            else f"{element.path} has no FASTA whose bases can be found by position"
        )

    def _of_assembly(self, element: Element, name: str) -> Frame:
        from modos.reference.cached_store import CachedStore
        from modos.reference.locate import open_assembly

        assert self.references is not None
        cached = CachedStore(self.references)
        assembly = cached.assembly(name)
        expected = element.attributes.get("seqcol_digest")
        if expected and expected != assembly.seqcol:
            raise NotFoundError(f"the assembly {name} of this server is another one than {element.path} was made with")
        return _make_frame(element, open_assembly(cached, assembly), name)

    def _of_header(self, request: Request, element: Element) -> Frame:
        contigs = {name: length or UNKNOWN for name, (length, _) in self.read_facts(request, element).items()}
        if not contigs:
            raise NotFoundError(f"the header of {element.path} has no contigs")
        stored = tuple(StoredContig(name, length, "", "") for name, length in contigs.items())
        return Frame(element.path, element.name, contigs, Assembly(element.name, stored, ""), is_reference=False)

    def read_facts(self, request: Request, element: Element) -> Facts:
        """Read lengths and MD5 of the contigs of a file of reads or variants, as far as its header has them."""
        return self._read_header(request, element)[0]

    def count_samples(self, request: Request, element: Element) -> int:
        """Return how many samples the header of a file of variants has; 0 of reads."""
        return self._read_header(request, element)[1]

    def _read_header(self, request: Request, element: Element) -> tuple[Facts, int]:
        """Read facts and samples of the header of a file, at which each request looks once."""
        key = str(element.file_key)
        looked: dict[str, tuple[Facts, int]] = request.scope.setdefault(_LOOKED, {})
        if key not in looked:
            with self._planner.looking_once():
                looked[key] = self._find_header(key)
        return looked[key]

    def _find_header(self, key: str) -> tuple[Facts, int]:
        infos = self._planner.identify(key)  # which reads header and index at the same time
        with self._lock:
            of, found = self._headers.get(key, ((), None))
        if found is None or of != infos:
            file = GenomicFile(StorageSource(self._catalog.files, key, self._planner))
            facts = file.contig_facts
            only_indexed = [name for name in self._planner.contigs(key) if name not in facts]
            found = (
                {**facts, **dict.fromkeys(only_indexed, (None, None))},
                len(file.header.samples) if file.format.kind == "variants" else 0,
            )
            with self._lock:
                self._headers[key] = infos, found
                while len(self._headers) > _MOST_HEADERS:
                    self._headers.popitem(last=False)
        return found


def has_records(element: Element) -> bool:
    """Return whether an element has a plain file of reads or variants."""
    path = str(element.attributes.get("data_path") or "")
    if not path or is_array_path(path) or is_encrypted(path):
        return False
    try:
        return bool(streamable_format(path))
    except InvalidInputError:
        return False


def _is_plain_fasta(path: str) -> bool:
    format = format_of(path) if path and not is_array_path(path) else None
    return format is not None and format.name == "FASTA" and not is_compressed(path) and not is_encrypted(path)


def _of_fasta(element: Element, path: str) -> Frame:
    from modos.reference.fasta_assembly import open_fasta

    files = verified_files(element.of.storage, element.of.metadata)
    own = element.id.partition("/")[2]
    digests = read_digests(element.of.metadata, element.attributes)
    reference = open_fasta(files, path, own, digests, most_unindexed=_MOST_UNINDEXED)
    if digests and reference.assembly.seqcol != element.attributes.get("seqcol_digest"):
        reference = open_fasta(
            files, path, own, most_unindexed=_MOST_UNINDEXED
        )  # those digests are of a FASTA that this one has replaced
    return _make_frame(element, reference, element.name, element.of.key_of(path))


def _make_frame(element: Element, reference: Reference, name: str, file_key: str | None = None) -> Frame:
    aliases = {alias: contig.name for alias, contig in reference.assembly.by_name.items() if alias != contig.name}
    aliases |= _own_aliases(element, reference.contigs)
    return Frame(element.path, name, reference.contigs, reference.assembly, aliases, reference.dna, file_key)


def _own_aliases(element: Element, contigs: Mapping[str, int]) -> dict[str, str]:
    """Return other names that the genome of an object has for contigs of the same lengths."""
    if element.id not in tracks.genome_ids(element.of.document):
        return {}
    known = tracks.contigs_of(element.of.document, element.id)
    pairs = {alias: name for alias, name in known.aliases.items() if alias not in contigs}
    return {alias: name for alias, name in pairs.items() if contigs.get(name) == known.lengths[name]}


def _of_arrays(element: Element) -> Frame:
    """Return the frame of a genome of an object that is kept as arrays."""
    from modos.tracks.genome import Genome

    document = element.of.document
    contigs = tracks.contigs_of(document, element.id)
    sequence = None
    if element.id not in document.sealed_arrays():
        from modos.tracks.sharded import Reader

        path = tracks.find_arrays(document, element.id).get("sequence")
        sequence = tracks.open_sequence(Reader(element.of.storage, 16 << 20), document.nodes, path, element.id, contigs)
    genome: Any = Genome(contigs, (), sequence)

    def read(contig: str, start: int, end: int) -> str:
        found: bytes = genome[contig].seq[start:end].tobytes()
        return found.decode("ascii").upper()

    stored = tuple(StoredContig(name, length, "", "") for name, length in contigs.lengths.items())
    return Frame(
        element.path,
        element.name,
        contigs.lengths,
        Assembly(element.name, stored, str(element.attributes.get("seqcol_digest") or "")),
        contigs.aliases,
        read if sequence is not None else None,
        element.of.key_of(f"data.zarr/{element.id}"),
    )


def match_names(frame: Frame, facts: Facts) -> dict[str, str]:
    """Match the contigs of a frame with those of a file: the file's names by those of the frame, of contigs that both have.

    Names that are the same, or other names of the same contig, match; so do `1` and `chr1`, `MT` and `chrM` where their
    lengths are known and equal.
    """
    found: dict[str, str] = {}
    for name, (length, _) in facts.items():
        own = frame.resolve(name) or next(
            (other for other in _spell(name) if other in frame.contigs and frame.contigs[other] == length), None
        )
        if own is not None:
            found.setdefault(own, name)
    return found


def _spell(name: str) -> tuple[str, ...]:
    """Return how else the contig of a chromosome may be called."""
    mitochondria = {"chrM": ("MT", "M"), "MT": ("chrM",), "M": ("chrM",)}
    if name in mitochondria:
        return mitochondria[name]
    return (name[3:],) if name.startswith("chr") else (f"chr{name}",)


def find_misfits(frame: Frame, names: Mapping[str, str], facts: Facts) -> list[str]:
    """Find the contigs that are not the same in a frame and in a file, in words."""
    md5s = {contig.name: contig.md5 for contig in frame.assembly.contigs if len(contig.md5) == 32}
    found = []
    for own, name in names.items():
        length, md5 = facts[name]
        if length is not None and length != frame.contigs[own]:
            found.append(f"{name} has {length:,} bases in the file and {frame.contigs[own]:,} in {frame.name}")
        elif md5 and own in md5s and md5.lower() != md5s[own]:
            found.append(f"{name} has another sequence (MD5) in the file than in {frame.name}")
    return found
