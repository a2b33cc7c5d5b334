"""Change genomes and tracks within a transaction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import AlreadyExistsError, InvalidInputError
from modos.formats import ZARR, is_array_path
from modos.metadata import model
from modos.metadata.ids import format_id
from modos.object.changes import Add, SetArrays, Update
from modos.object.document import GENOME, Document, group_node
from modos.object.transaction import Transaction
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog

if TYPE_CHECKING:
    import numpy as np

    from modos.tracks.arrays import Names
    from modos.tracks.conditions import Condition
    from modos.tracks.contigs import Contigs
    from modos.tracks.fitting import LoadReport
    from modos.tracks.loading import Source
    from modos.tracks.mask_files import MaskFile
    from modos.tracks.masking import Patch
    from modos.tracks.runs import Spans
    from modos.tracks.stored_track import StoredTrack
    from modos.tracks.zarr_layout import ArraySpec

_CACHE = 32 << 20  # bytes

Bases = Callable[[Progress | None], Iterable[tuple[str, bytes]]]
Write = Callable[["Names", WriteLog, Progress | None], "list[ArraySpec]"]


@dataclass
class StagedArrays:
    """Arrays of an element that are written before the commit.

    Parameters
    ----------
    change
        Of what the element says.
    arrays
        Those that are replaced, and those that replace them.
    write
        Writes them.
    order
        Place of a track among the others.
    kept
        The arrays that stay, by path.
    replaces
        Whether a file that the element had goes.
    """

    change: Add | Update
    arrays: SetArrays
    write: Write
    order: int = 0
    kept: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    replaces: bool = False

    def keys(self) -> list[str]:
        """List the keys of single files: none."""
        return []

    def __post_init__(self) -> None:
        from modos.tracks.arrays import Names

        self._names = Names(self.change.element_id)

    def folders(self) -> list[str]:
        """List the folders of the new arrays."""
        return self._names.folders()

    def measure(self, storage: Storage) -> int | None:
        """Return None: how many bytes will be written is not known before."""
        return None

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the arrays; returns what the element says of them."""
        from modos.tracks.arrays import describe_arrays

        specs = self.write(self._names, log, progress)
        nodes = {spec.path: spec.to_node() for spec in specs}
        for node in nodes.values():
            node["attributes"] |= {"order": self.order} if self.order else {}
        self.arrays.nodes |= nodes
        if not is_array_path((self.change.attributes | getattr(self.change, "base", {})).get("data_path", ZARR)):
            return {}  # its checksum is that of its file
        return describe_arrays({path: node["attributes"] for path, node in (dict(self.kept) | nodes).items()})


class TrackChanges:
    """Changes of genomes and tracks that are committed together; get one from `MODO.track_changes()`.

    Attributes
    ----------
    transaction
        For changes of other elements in the same commit.
    reports
        After the commit, by the name of a track: which contigs were loaded.
    """

    def __init__(self, transaction: Transaction):
        self.transaction = transaction
        self.reports: dict[str, LoadReport] = {}
        self._added = 0
        self._patches: dict[str, tuple[StoredTrack, list[Patch]]] = {}

    def __repr__(self) -> str:
        return f"<changes of tracks, with {self.transaction!r}>"

    @property
    def _view(self) -> Document:
        return self.transaction.view

    def add_genome(
        self, contigs: Contigs, sequence: Bases | None = None, id: str = "genome", attributes: Mapping[str, Any] | None = None
    ) -> str:
        """Give the object a genome, or contigs to a reference that is there; returns the reference's id.

        Parameters
        ----------
        contigs
            See `modos.tracks.contig_files` for those of files.
        sequence
            Gives pieces of the sequence of all of them, in their order.
        attributes
            Slots of a new reference.

        Raises
        ------
        AlreadyExistsError
            The reference has contigs already.
        """
        from modos.object.track_sequence import write_sequence
        from modos.object.tracks import genome_ids

        element_id = format_id("reference", id)
        if element_id in genome_ids(self._view):
            raise AlreadyExistsError(f"{element_id} has contigs already", "choose another id (--id)")
        node = group_node(contigs.to_attributes())
        arrays = SetArrays(element_id, frozenset(), {f"{element_id}/{GENOME}": node})
        if element_id in self._view:
            change: Add | Update = Update(element_id, dict(attributes or {}), self._view.element(element_id))
        else:
            change = Add(element_id, self._prepare(element_id, "ReferenceGenome", attributes))

        def write(names: Names, log: WriteLog, progress: Progress | None) -> list[ArraySpec]:
            return write_sequence(log, contigs, names, sequence(progress)) if sequence else []

        self.transaction.set_arrays(change, arrays, StagedArrays(change, arrays, write))
        return element_id

    def add(
        self,
        name: str,
        source: Source,
        genome: str | None = None,
        *,
        part_of: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        mask: str | None = None,
        keep: str | None = None,
        strict: bool = False,
        clip: bool = False,
    ) -> str:
        """Add a track; returns the id of its element.

        Parameters
        ----------
        name
            Of the track; its id follows from it.
        source
            A file (wiggle, bedGraph, BED with a score, bigWig; plain or
            compressed; `-` for stdin), several, or arrays by contig.
        genome
            The reference it is on; the only one with contigs where it is None.
        part_of
            An element that links to it, such as an assay.
        attributes
            Slots of the element.
        mask, keep
            Files of places (BED, wiggle, bigWig): values there are left out;
            only values there are taken.
        strict
            Whether a contig that the genome does not have is an error.
        clip
            Whether values past the end of a contig or in a gap of the genome
            are left out and counted (`reports`); else they are an error.

        Raises
        ------
        AlreadyExistsError
            There is a track of that name.
        """
        from modos.object.tracks import find_genome, tracks_of

        if not name or name in tracks_of(self._view):
            raise (
                AlreadyExistsError(f"there is a track {name} already", "replace it, or choose another name")
                if name
                else InvalidInputError("a track needs a name")
            )
        genome_id = find_genome(self._view, genome)
        element_id = self._free_id(name)
        given = dict(attributes or {}) | {"name": name, "has_reference": [genome_id]}
        change = Add(element_id, self._prepare(element_id, "Array", given))
        self._load(change, name, genome_id, source, {}, mask=mask, keep=keep, strict=strict, clip=clip)
        if part_of:
            self.transaction.link(part_of, element_id)
        return element_id

    def append(
        self,
        name: str,
        source: Source,
        *,
        mask: str | None = None,
        keep: str | None = None,
        strict: bool = False,
        clip: bool = False,
    ) -> str:
        """Add contigs to a track, for `add`'s parameters; several writers may at the same time. Returns its id.

        A contig that the source has counts as the track's from then on, even
        if no value of it is taken. The track's mask, if there is one, covers
        the new contigs, too.

        Raises
        ------
        AlreadyExistsError
            The track has such a contig; by now, or when the changes are
            committed.
        InvalidInputError
            The track is encrypted.
        """
        from modos.object.track_appending import AppendedContigs
        from modos.tracks.fitting import LoadReport
        from modos.tracks.loading import read_source

        element_id, genome_id, _ = self._find_track(name)
        report = self.reports[name] = LoadReport()
        options = {"mask": mask, "keep": keep, "strict": strict, "clip": clip, "report": report}
        read = partial(read_source, source, clip=clip)
        storage, start = self.transaction.storage, self.transaction.start
        staged = AppendedContigs(storage, start, name, element_id, genome_id, read, options)
        self.transaction.extend_arrays(staged.change, staged)
        return element_id

    def replace(
        self,
        name: str,
        source: Source,
        *,
        mask: str | None = None,
        keep: str | None = None,
        strict: bool = False,
        clip: bool = False,
    ) -> str:
        """Give a track other data, for `add`'s parameters; its name and links stay. Returns its id."""
        element_id, genome_id, arrays = self._find_track(name)
        change = Update(element_id, {}, self._view.element(element_id))
        self._load(change, name, genome_id, source, arrays, mask=mask, keep=keep, strict=strict, clip=clip)
        return element_id

    def remove(self, name: str) -> str:
        """Remove a track; returns the id that it had."""
        return self.transaction.remove_element(self._find(name))

    def rename(self, name: str, new: str) -> str:
        """Give a track another name; its id stays, and is returned."""
        from modos.object.tracks import tracks_of

        if new in tracks_of(self._view):
            raise AlreadyExistsError(f"there is a track {new} already", "choose another name")
        return self.transaction.update_element(self._find(name), {"name": new})

    def mask(
        self,
        name: str,
        where: str | Path | MaskFile | Condition | Spans | None = None,
        *,
        scores: Condition | None = None,
        hard: bool = False,
    ) -> str:
        """Mask places of a track, which have no value then, until `unmask`.

        Parameters
        ----------
        where
            A file (BED, wiggle, bigWig), or a condition on the track's
            values, or places as `modos.tracks.masking.spans_of` gives them;
            None for those that are masked already.
        scores
            Of a file only the places whose score in that file is so: column 5
            of BED, the value of wiggle and bigWig.
        hard
            Remove the values for good, with those that were masked before.
        """
        from modos.tracks import masking
        from modos.tracks.mask_files import NOTHING, MaskFile

        if scores is not None:
            if not isinstance(where, (str, Path)):
                raise InvalidInputError("scores are those of a mask file, and none is given", "give its path")
            where = MaskFile(where, scores)
        element_id, genome_id, arrays = self._find_track(name)
        track = self._open(element_id, genome_id)
        if where is None and not (hard and track.is_masked):
            raise InvalidInputError("nothing says what is to be masked", "give a file of places or a condition")
        spans = NOTHING if where is None else masking.spans_of(track, where)
        if hard:
            self._rewrite(track, genome_id, arrays, lambda: masking.iter_blanked(track, spans))
        else:
            self._set_mask(element_id, arrays, track, masking.unite_mask(track, spans))
        return element_id

    def unmask(self, name: str) -> str:
        """Let a track have all of its values again."""
        from modos.tracks.mask_files import NOTHING

        element_id, genome_id, arrays = self._find_track(name)
        track = self._open(element_id, genome_id)
        if not track.is_masked:
            raise InvalidInputError(f"the track {name} has no mask")
        self._set_mask(element_id, arrays, track, NOTHING)
        return element_id

    def write(self, name: str, contig: str, start: int, values: np.ndarray) -> str:
        """Change values of a track from a position (0-based) on; NaN removes them. May be repeated.

        Raises
        ------
        RegionError
            The contig has no such positions, or is a gap there and they are not NaN.
        """
        from modos.tracks import masking

        if name not in self._patches:
            element_id, genome_id, arrays = self._find_track(name)
            track = self._open(element_id, genome_id)
            patches: list[Patch] = []
            if track.is_masked:
                raise InvalidInputError(f"the track {name} has a mask", "take it off first (`modos track unmask`)")
            masking.check_patch(track, contig, start, values)
            self._rewrite(track, genome_id, arrays, lambda: masking.iter_patched(track, patches))
            self._patches[name] = track, patches
        track, patches = self._patches[name]
        patches.append(masking.check_patch(track, contig, start, values))
        return track.element_id

    def names(self, genome: str | None = None) -> list[str]:
        """List the tracks as they would be after the commit; of one genome or of all."""
        from modos.object.tracks import find_genome, tracks_of

        return list(tracks_of(self._view, find_genome(self._view, genome) if genome else None))

    def _find(self, name: str) -> str:
        """Find the element that is a track."""
        from modos.object.tracks import find_track, tracks_of

        if name not in tracks_of(self._view) and any(
            name in (i, self._view.element(i).get("name")) for i in (file.change.element_id for file in self.transaction.staged)
        ):
            raise InvalidInputError(f"the track {name} is changed twice in one transaction", "make the changes one after another")
        return find_track(self._view, name)

    def _find_track(self, name: str) -> tuple[str, str, dict[str, str]]:
        """Find a track's element, its genome, and its arrays."""
        from modos.object.tracks import find_arrays, find_genome, genome_ids, sealed_tracks

        element_id = self._find(name)
        if element_id in sealed_tracks(self._view):
            raise InvalidInputError(
                f"the track {name} is encrypted, and only plain tracks are changed",
                "decrypt it first with `modos c4gh decrypt`, and encrypt it again afterwards",
            )
        known = set(genome_ids(self._view))
        links = [link for link in self._view.element(element_id).get("has_reference", ()) if link in known]
        return element_id, find_genome(self._view, links[0] if links else None), find_arrays(self._view, element_id)

    def open_track(self, name: str) -> StoredTrack:
        """Open a track as it was before the transaction."""
        element_id, genome_id, _ = self._find_track(name)
        return self._open(element_id, genome_id)

    def _open(self, element_id: str, genome_id: str) -> StoredTrack:
        from modos.object.tracks import contigs_of, find_arrays, open_track
        from modos.tracks.sharded import Reader

        start = self.transaction.start
        return open_track(
            Reader(self.transaction.storage, _CACHE),
            start.nodes,
            find_arrays(start, element_id),
            element_id,
            element_id,
            contigs_of(start, genome_id),
        )

    def _load(
        self, change: Add | Update, name: str, genome_id: str, source: Source, replaced: Mapping[str, str], **options: Any
    ) -> None:
        from modos.object.tracks import contigs_of
        from modos.tracks.fitting import LoadReport
        from modos.tracks.loading import build_track, read_source

        contigs, report = contigs_of(self._view, genome_id), LoadReport()
        self.reports[name] = report

        def write(names: Names, log: WriteLog, progress: Progress | None) -> list[ArraySpec]:
            return build_track(
                log,
                contigs,
                names,
                read_source(source, progress, options.get("clip", False)),
                report=report,
                **options,
            )

        arrays = SetArrays(change.element_id, frozenset(replaced.values()))
        self.transaction.set_arrays(change, arrays, StagedArrays(change, arrays, write, self._order(replaced)))

    def _rewrite(self, track: StoredTrack, genome_id: str, arrays: Mapping[str, str], blocks: Callable[[], Any]) -> None:
        """Write a track anew from what is there."""
        from modos.object.tracks import contigs_of
        from modos.tracks.loading import build_track

        contigs, element_id, empty = contigs_of(self._view, genome_id), track.element_id, track.empty_contigs
        change = Update(element_id, {}, self._view.element(element_id))

        def write(names: Names, log: WriteLog, progress: Progress | None) -> list[ArraySpec]:
            return build_track(log, contigs, names, blocks(), may_be_empty=True, empty=empty)

        replaced = SetArrays(element_id, frozenset(arrays.values()))
        self.transaction.set_arrays(change, replaced, StagedArrays(change, replaced, write, self._order(arrays)))

    def _set_mask(self, element_id: str, arrays: Mapping[str, str], track: StoredTrack, spans: np.ndarray) -> None:
        from modos.tracks import masking

        data = arrays.get("values") or arrays["runs"]
        change = Update(element_id, {}, self._view.element(element_id))
        replaced = SetArrays(element_id, frozenset(arrays.values()) - {data})

        def write(names: Names, log: WriteLog, progress: Progress | None) -> list[ArraySpec]:
            return masking.write_mask(log, track, spans, names, progress)

        self.transaction.set_arrays(
            change, replaced, StagedArrays(change, replaced, write, self._order(arrays), {data: self._view.nodes[data]})
        )

    def _order(self, arrays: Mapping[str, str]) -> int:
        """Return the place of a track among the others: that of its arrays, or the next one."""
        if arrays:
            return max(int(self._view.nodes[path]["attributes"].get("order", 0)) for path in arrays.values())
        known = [node.get("attributes", {}).get("order", 0) for node in self._view.nodes.values()]
        self._added += 1
        return max(known, default=0) + self._added

    def _prepare(self, element_id: str, class_name: str, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        given = dict(attributes or {}) | {"@type": class_name, "data_path": f"{ZARR}/{element_id}", "data_format": "Zarr"}
        given.pop("id", None)
        prepared = model.normalise(model.to_attributes(given))
        model.validate(prepared, element_id)
        return prepared

    def _free_id(self, name: str) -> str:
        stem = re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("._") or "track"
        names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
        return next(f"data/{name}" for name in names if f"data/{name}" not in self._view)
