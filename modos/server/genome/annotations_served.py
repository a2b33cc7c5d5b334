"""Find annotations of the references that views are drawn along: of a file of the object, or of the store."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fastapi import Request

from modos.errors import InvalidInputError, ModosError, NotFoundError, listing
from modos.formats import is_encrypted, is_file_path
from modos.object.part_lists import verified_files
from modos.reference.assembly import Assembly
from modos.reference.store import ReferenceStore
from modos.server.admitting import BusyError
from modos.server.auth import Access, caller_of
from modos.server.genome.frames import Frame
from modos.server.genome.objects import Element

if TYPE_CHECKING:
    from modos.reference.annotations.annotation import Annotation

MOST_BYTES = 1 << 30  # of a file of an object that an annotation is built of
_MOST_BUILT = 4
_MOST_WAITING = 8  # requests that wait for one to be built: each keeps a thread from others
_KEPT = 30.0  # seconds for which what a store has is known


class Source(NamedTuple):
    """Where an annotation is: its name, and the key of the file of an object; None for one of the store."""

    name: str
    file_key: str | None = None


class Annotations:
    """Annotations that are open, of the store and of files of objects."""

    def __init__(self, access: Access, references: ReferenceStore | None):
        self._access, self._references = access, references
        self._built: OrderedDict[tuple[str, str, str], Annotation] = OrderedDict()
        self._opened: dict[tuple[str, str], tuple[object, Annotation]] = {}
        self._listed: tuple[float, dict[str, str]] = (0.0, {})
        self._building, self._waiting = threading.Lock(), threading.BoundedSemaphore(_MOST_WAITING)

    def list(self, request: Request, element: Element, frame: Frame) -> list[Source]:
        """List the annotations of a frame that a caller may read: those of the object's files first."""
        caller = caller_of(request)
        reference = frame.path.removeprefix(element.of.key_of(""))
        found = [Source(id, element.of.key_of(path)) for id, path in _list_files(element, reference)]
        found = [source for source in found if self._access.allows(caller, "read", str(source.file_key))]
        return found + [Source(name) for name, assembly in self._list_stored().items() if _is_of(assembly, frame)]

    def open(self, request: Request, element: Element, frame: Frame, name: str | None) -> tuple[Source, Annotation]:
        """Open an annotation of a frame, the first where none is named.

        Raises
        ------
        NotFoundError
            There is none, or none of the name.
        InvalidInputError
            The file cannot be read as an annotation.
        BusyError
            Too many wait for one to be read.
        """
        known = self.list(request, element, frame)
        source = next((source for source in known if name in (None, source.name)), None)
        if source is None:
            raise NotFoundError(
                f"{frame.name} has no annotation" + (f" {name[:100]}" if name else ""),
                f"there are {listing(source.name for source in known)}" if known else "add one with `modos reference add --gff3`",
            )
        if source.file_key is None:
            return source, self._open_stored(source.name, frame.assembly)
        return source, self._find_built(element, source, frame)

    def _list_stored(self) -> dict[str, str]:
        """List the annotations of the store, and the digests of their assemblies."""
        until, known = self._listed
        if self._references is not None and until < time.monotonic():
            try:
                known = {name: str(facts["seqcol"]) for name, facts in self._references.annotations().items()}
            except ModosError:
                known = {}
            self._listed = time.monotonic() + _KEPT, known
        return known

    def _open_stored(self, name: str, assembly: Assembly) -> Annotation:
        from modos.reference.annotation_store import find_manifest, open_annotation
        from modos.reference.cached_store import CachedStore

        assert self._references is not None
        cached = CachedStore(self._references)
        manifest = find_manifest(cached, name)
        identity = manifest.seqcol, dict(manifest.tables)
        known = self._opened.get((name, assembly.seqcol))
        if known is None or known[0] != identity:
            known = self._opened[name, assembly.seqcol] = identity, open_annotation(cached, name, assembly)
        return known[1]

    def _find_built(self, element: Element, source: Source, frame: Frame) -> Annotation:
        from modos.reference.annotation_store import build_annotation
        from modos.reference.whole_files import open_here

        path = str(source.file_key).removeprefix(element.of.key_of(""))
        files = verified_files(element.of.storage, element.of.metadata)
        info = files.stat(path)
        if info.size > MOST_BYTES:
            raise InvalidInputError(f"{source.name} has {info.size:,} bytes: too many to look for genes in")
        key = str(source.file_key), info.etag, frame.path
        if built := self._built.get(key):
            with suppress(KeyError):  # another one took its place meanwhile
                self._built.move_to_end(key)
            return built
        if not self._waiting.acquire(blocking=False):
            raise BusyError("the server reads genes for others: ask again in a while")
        try:
            with self._building:
                if key not in self._built:
                    with open_here(files, path) as here:
                        self._built[key] = build_annotation(source.name, frame.assembly, str(here))
                    while len(self._built) > _MOST_BUILT:
                        self._built.popitem(last=False)
                return self._built[key]
        finally:
            self._waiting.release()


def _is_of(seqcol: str, frame: Frame) -> bool:
    return bool(frame.assembly.seqcol) and seqcol == frame.assembly.seqcol


def _list_files(element: Element, reference: str) -> list[tuple[str, str]]:
    """List the GFF3 files of an object that are linked to a reference: ids of their elements, and paths."""
    return [
        (id, str(attributes["data_path"]))
        for id, attributes in element.of.metadata.items()
        if attributes.get("data_format") == "GFF3"
        and attributes.get("data_path")
        and is_file_path(str(attributes["data_path"]))
        and not is_encrypted(str(attributes["data_path"]))
        and reference in (attributes.get("has_reference") or ())
    ]
