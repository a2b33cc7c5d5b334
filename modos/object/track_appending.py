"""Add contigs to a track that others may add contigs to at the same time.

The new contigs become a track of their own, once. It is joined with the track
as it is then, and joined again where somebody else commits in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from modos.errors import AlreadyExistsError, ConflictError, IntegrityError, NotFoundError, listing
from modos.formats import ZARR
from modos.object import commits
from modos.object.changes import Extend, merge
from modos.object.document import Document
from modos.object.tracks import contigs_of, find_arrays, open_track
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import Names, describe_arrays
from modos.tracks.data import Block
from modos.tracks.joining import TrackJoiner, is_large
from modos.tracks.loading import build_track
from modos.tracks.sharded import Reader
from modos.tracks.stored_track import StoredTrack
from modos.tracks.zarr_layout import ArraySpec

_CACHE = 32 << 20  # bytes
_GONE = (NotFoundError, IntegrityError, ConflictError)  # what is read of arrays that others replaced is gone
_JOINED = ("values", "runs", "zoom", "statistics")  # roles of the arrays that are written

Read = Callable[[Progress | None], Iterable[Block]]


class AppendedContigs:
    """Contigs that a track gets before the commit.

    Parameters
    ----------
    start
        The object as it is.
    read
        Reads the data of the contigs.
    options
        Of `modos.tracks.loading.build_track`.
    """

    replaces = False

    def __init__(
        self,
        storage: Storage,
        start: Document,
        name: str,
        element_id: str,
        genome_id: str,
        read: Read,
        options: Mapping[str, Any],
    ):
        self._storage, self._name, self._element_id, self._genome_id = storage, name, element_id, genome_id
        self._contigs = contigs_of(start, genome_id)
        self._start, self._read, self._options = start, read, options
        self._names, self._own_names = Names(element_id), Names(element_id)
        self._part: StoredTrack | None = None
        self._joiner: TrackJoiner | None = None
        self._log: WriteLog | None = None
        self._joined: tuple[dict[str, str], dict[str, Any]] = {}, {}  # arrays that were joined, and what they became
        self.change = Extend(element_id, {}, {}, self._extend)

    def keys(self) -> list[str]:
        """List the keys of single files: none."""
        return []

    def folders(self) -> list[str]:
        """List the folders of the arrays that are written: of the track, and of the new contigs alone."""
        return [*self._names.folders(), *self._own_names.folders()]

    def measure(self, storage: Storage) -> int | None:
        """Return None: how many bytes will be written is not known before."""
        return None

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the new contigs as a track of their own; returns nothing, as what they become is known at the commit."""
        base, known = self._look_at_track()
        specs = build_track(
            log,
            self._contigs,
            self._own_names,
            self._refuse_known(known, self._read(progress)),
            like=base.data.spec if is_large(base) else None,
            **self._options,
        )
        nodes = {spec.path: spec.to_node() for spec in specs}
        self._part = self._open_arrays(nodes, {path.rpartition("/")[2].partition("-")[0]: path for path in nodes})
        self._joiner, self._log = TrackJoiner(log, self._names), log
        return {}

    def _look_at_track(self) -> tuple[StoredTrack, set[str]]:
        """Open the track, and list the contigs that it has: as it is now, if it is not what it was at the start any more."""
        document = self._start
        while True:
            arrays = self._find_arrays(document)
            try:
                base = self._open(document)
                return base, set(base.loaded_contigs())
            except _GONE:
                document = self._find_newer(arrays)

    def _find_newer(self, arrays: Mapping[str, str]) -> Document:
        """Return the newest document if the track has other arrays in it; else raise the error that is being handled."""
        newest = commits.load(self._storage)
        if self._element_id in newest and find_arrays(newest, self._element_id) == arrays:
            raise  # noqa: PLE0704 - called where one is handled
        return newest

    def _refuse_known(self, known: set[str], blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks on, unless they are of a contig that the track has."""
        for block in blocks:
            name = self._contigs.resolve(block.data.contig)
            if name in known:
                raise self._known_error([name])
            yield block

    def _known_error(self, names: Iterable[str | None]) -> AlreadyExistsError:
        return AlreadyExistsError(
            f"the track {self._name} has {listing(map(str, names))} already",
            "nothing was changed: leave out what it has, or give the track other data (`modos track replace`)",
        )

    def _extend(self, document: Document) -> None:
        """Join the new contigs to the track that a document has; before they are written nothing happens."""
        if self._part is None or self._log is None:
            return
        arrays = self._find_arrays(document)
        if arrays != self._joined[0]:
            self._joined = arrays, self._join(document, arrays)
        nodes = self._joined[1]
        replaced = [path for role, path in arrays.items() if role in _JOINED]
        others = {path: document.nodes[path]["attributes"] for role, path in arrays.items() if role not in _JOINED}
        described = describe_arrays(others | {path: node["attributes"] for path, node in nodes.items()})
        self._log.replaces(f"{ZARR}/{path}" for path in replaced)
        document.set_nodes(replaced, nodes)
        document.set(self._element_id, merge(document.element(self._element_id), described))

    def _find_arrays(self, document: Document) -> dict[str, str]:
        """Find the arrays that a track has by now; raise ConflictError if contigs cannot be added to it any more."""
        if self._element_id not in document:
            raise ConflictError(f"{self._element_id} was removed by somebody else meanwhile", "nothing was changed")
        if self._element_id in document.sealed_arrays():
            raise ConflictError(
                f"the track {self._name} was encrypted by somebody else meanwhile, and contigs are added to plain tracks only",
                "nothing was changed: decrypt it first with `modos c4gh decrypt`, and encrypt it again afterwards",
            )
        arrays = find_arrays(document, self._element_id)
        known = self._genome_id in document.element(self._element_id).get("has_reference", ())
        if not known or not {"zoom", "statistics"} <= arrays.keys() or not {"values", "runs"} & arrays.keys():
            raise self._other_genome_error()
        if contigs_of(document, self._genome_id).to_attributes() != self._contigs.to_attributes():
            raise self._other_genome_error()
        return arrays

    def _other_genome_error(self) -> ConflictError:
        return ConflictError(
            f"the track {self._name} was put on another genome by somebody else meanwhile",
            "nothing was changed: look at it again, and repeat what still holds",
        )

    def _join(self, document: Document, arrays: Mapping[str, str]) -> dict[str, Any]:
        """Write the arrays of the joined track; returns their nodes by path."""
        assert self._part is not None and self._joiner is not None
        base = self._open(document)
        try:
            known = set(base.loaded_contigs())
            if taken := [name for name in self._part.loaded_contigs() if name in known]:
                raise self._known_error(taken)
            specs = self._joiner.join(base, self._part)
        except _GONE:
            self._find_newer(arrays)
            raise commits.Outdated from None
        order = max(int(document.nodes[path]["attributes"].get("order", 0)) for path in arrays.values())
        return {spec.path: _to_node(spec, order) for spec in specs}

    def _open(self, document: Document) -> StoredTrack:
        return self._open_arrays(document.nodes, find_arrays(document, self._element_id))

    def _open_arrays(self, nodes: Mapping[str, Any], arrays: Mapping[str, str]) -> StoredTrack:
        return open_track(Reader(self._storage, _CACHE), nodes, arrays, self._name, self._element_id, self._contigs)


def _to_node(spec: ArraySpec, order: int) -> dict[str, Any]:
    return replace(spec, attributes={**spec.attributes, **({"order": order} if order else {})}).to_node()
