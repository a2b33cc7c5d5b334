"""Keep tracks of objects open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from modos.errors import NotFoundError, listing
from modos.object import tracks
from modos.server.genome.objects import Element
from modos.server.known_objects import KnownObject

if TYPE_CHECKING:
    from modos.tracks.sharded import Reader
    from modos.tracks.track import Track

_CACHE = 16 << 20  # bytes of chunks that are kept of an object
_MOST_OPEN = 16  # objects whose tracks are kept open


class OpenTracks:
    """Tracks of objects, kept open for as long as their objects have not changed."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, element: Element, name: str | None = None) -> tuple[str, Track]:
        """Find a track: that which an element is, or one of a reference by its name; with the id of its element.

        Raises
        ------
        NotFoundError
            The element is no track, or is encrypted; the reference has no such track.
        IntegrityError
            The arrays do not fit the genome; also when it is read.
        """
        document = element.of.document
        if element.id.startswith("reference/"):
            known = tracks.tracks_of(document, element.id)
            if name is None or name not in known:
                raise NotFoundError(
                    f"{element.path} has no track {name}" if name else f"{element.path} is a reference: name one of its tracks",
                    f"it has {listing(known)}" if known else "it has none",
                )
            return known[name], self._open(element.of, known[name], name)
        names = {element_id: label for label, element_id in tracks.tracks_of(document).items()}
        if element.id not in names or name is not None:
            raise NotFoundError(f"{element.path} is no track")
        return element.id, self._open(element.of, element.id, names[element.id])

    def _open(self, of: KnownObject, element_id: str, name: str) -> Track:
        with self._lock:
            known = self._known.get(of.key)
            if known is None or known.of.document is not of.document:
                known = self._known[of.key] = _Opened(of)
            self._known.move_to_end(of.key)
            while len(self._known) > _MOST_OPEN:
                self._known.popitem(last=False)
        return known.find(element_id, name)


class _Opened:
    """Tracks of an object that were opened, which share what is kept of their chunks."""

    def __init__(self, of: KnownObject):
        from modos.tracks.sharded import Reader

        self.of = of
        self._reader = Reader(of.storage, _CACHE)
        self._tracks: dict[str, Track] = {}

    def find(self, element_id: str, name: str) -> Track:
        found = self._tracks.get(element_id)
        return found or self._tracks.setdefault(element_id, _open_track(self._reader, self.of, element_id, name))


def _open_track(reader: Reader, of: KnownObject, element_id: str, name: str) -> Track:
    if element_id in of.document.sealed_arrays():
        raise NotFoundError(f"the track {name} is encrypted, and this server has no key for it", "look at it with `modos view`")
    linked = of.document.element(element_id).get("has_reference") or []
    genomes = [one for one in tracks.genome_ids(of.document) if one in linked]
    if not genomes:
        raise NotFoundError(f"the track {name} has no genome")
    contigs = tracks.contigs_of(of.document, genomes[0])
    arrays = tracks.find_arrays(of.document, element_id)
    return tracks.open_track(reader, of.document.nodes, arrays, name, element_id, contigs)
