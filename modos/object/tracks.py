"""Open the genomes and tracks of an object, as its root document has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, Protocol

from modos.errors import IntegrityError, InvalidInputError, NotFoundError, listing, make_locked_error
from modos.object import commits
from modos.object.document import FORMAT_VERSION, GENOME, Document
from modos.storage import Storage
from modos.tracks import bounds
from modos.tracks.contigs import Contigs
from modos.tracks.damaged import DamagedTrack, LockedTrack
from modos.tracks.genome import Genome, Write
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.stored_track import StoredTrack
from modos.tracks.track import Track
from modos.tracks.zarr_layout import ArraySpec

logger = logging.getLogger(__name__)

_CACHE = 160 << 20  # bytes of chunks that are kept


class OpenSealed(Protocol):
    """Opens what is encrypted, with a key, when it is first read."""

    def find_track(self, name: str, element_id: str, contigs: Contigs) -> Track:
        """Return a track."""

    def find_sequence(self, genome_id: str, contigs: Contigs) -> Callable[[], ShardedArray]:
        """Return what opens the sequence of a genome."""


def genome_ids(document: Document) -> list[str]:
    """List the references that have contigs."""
    return [
        path.removesuffix(f"/{GENOME}")
        for path in document.nodes
        if path.endswith(f"/{GENOME}") and path.startswith("reference/") and path.count("/") == 2
    ]


def find_genome(document: Document, genome: str | None = None) -> str:
    """Find a genome by its name; the only reference with contigs if none is named.

    Raises
    ------
    NotFoundError
        There is none, or it has no contigs.
    InvalidInputError
        There are several.
    """
    known = genome_ids(document)
    if genome is not None:
        found = document.find(genome if genome.startswith("reference/") else f"reference/{genome}")
        if found not in known:
            raise NotFoundError(
                f"{found} has no contigs", f"give it some with `modos genome init --id {found.partition('/')[2]}`"
            )
        return found
    if len(known) == 1:
        return known[0]
    if known:
        raise InvalidInputError(f"the object has several genomes: {listing(known)}", "say which (--genome)")
    raise NotFoundError(f"no genome in {document.object_id}", "make one with `modos genome init`")


def contigs_of(document: Document, genome_id: str) -> Contigs:
    """Return the contigs of a genome."""
    return Contigs.from_attributes(document.nodes[f"{genome_id}/{GENOME}"].get("attributes", {}))


def find_arrays(document: Document, element_id: str) -> dict[str, str]:
    """Find the paths of the arrays of an element, by what each is: `values-1a2b` is `values`."""
    return _arrays(document).get(element_id, {})


def _arrays(document: Document) -> dict[str, dict[str, str]]:
    return _group_by_element(document.nodes)


def roles_of(nodes: Mapping[str, Mapping[str, Any]], element_id: str) -> dict[str, str]:
    """Return the paths of those of some arrays that are an element's, by what each is."""
    return _group_by_element(nodes).get(element_id, {})


def is_track(nodes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the arrays of an element are those of a track."""
    return any(_are_of_track(element_id, roles) for element_id, roles in _group_by_element(nodes).items())


def _are_of_track(element_id: str, roles: Mapping[str, str]) -> bool:
    return bool({"values", "runs"} & roles.keys()) and element_id.startswith("data/") and "zoom" in roles


def _group_by_element(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path, node in nodes.items():
        if node.get("node_type") == "array":
            element_id, _, name = path.rpartition("/")
            found.setdefault(element_id, {})[name.partition("-")[0]] = path
    return found


def sealed_tracks(document: Document) -> dict[str, int]:
    """Return the places among all tracks of those that are encrypted, by their elements."""
    orders = ((i, told.get("order")) for i, told in document.sealed_arrays().items() if told.get("kept_as") == "track")
    return {element_id: order if type(order) is int else 0 for element_id, order in orders}


def tracks_of(document: Document, genome_id: str | None = None) -> dict[str, str]:
    """Return the ids of the elements that are tracks, by the tracks' names, in their order; of one genome or of all."""
    found: dict[str, str] = {}

    def place(arrays: Mapping[str, str]) -> int:
        orders = [document.nodes[path].get("attributes", {}).get("order") for path in arrays.values()]
        return max(order if type(order) is int else 0 for order in orders)

    places = {i: place(arrays) for i, arrays in _arrays(document).items() if _are_of_track(i, arrays)}
    places |= sealed_tracks(document)
    for element_id in sorted(places, key=lambda i: (places[i], i)):
        if element_id not in document.nodes:
            raise IntegrityError(f"the arrays of {element_id} have no element", "see what is wrong with `modos check`")
        attributes = document.nodes[element_id].get("attributes", {})
        links = attributes.get("has_reference") or []
        if genome_id is None or genome_id in ([links] if isinstance(links, str) else links):
            name = attributes.get("name") or element_id.partition("/")[2]
            found[name if name not in found else element_id] = element_id
    return found


def find_track(document: Document, name: str) -> str:
    """Find the element that is a track, given its name or its id; raise NotFoundError if there is none."""
    known = tracks_of(document)
    if name in known:
        return known[name]
    if name in known.values():
        return name
    from modos.errors import did_you_mean

    near = did_you_mean(name, known)
    raise NotFoundError(
        f"no track {name} in {document.object_id}",
        f"did you mean {near}?" if near else f"there are {listing(known)}" if known else "add one with `modos track add`",
    )


def open_track(
    reader: Reader, nodes: Mapping[str, Any], arrays: Mapping[str, str], name: str, element_id: str, contigs: Contigs
) -> StoredTrack:
    """Open a track of an object; raise IntegrityError if its arrays do not fit its genome."""

    def array(role: str) -> ShardedArray | None:
        path = arrays.get(role)
        return ShardedArray(reader, ArraySpec.from_node(path, nodes[path])) if path else None

    data, zoom, statistics, mask = array("values") or array("runs"), array("zoom"), array("statistics"), array("mask")
    if (
        data is None
        or zoom is None
        or statistics is None
        or not (
            (bounds.fits_runs if "origins" in data.spec.attributes else bounds.fits_values)(data.spec, contigs)
            and bounds.fits_zoom(zoom.spec, contigs)
            and bounds.fits_statistics(statistics.spec, contigs)
            and (mask is None or bounds.fits_mask(mask.spec, contigs))
        )
    ):
        raise IntegrityError(f"the arrays of {element_id} do not fit its genome", "see what is wrong with `modos check`")
    return StoredTrack(name, element_id, contigs, data, zoom, statistics, mask)


def _open_any(
    reader: Reader, nodes: Mapping[str, Any], arrays: Mapping[str, str], name: str, element_id: str, contigs: Contigs
) -> Track:
    try:
        return open_track(reader, nodes, arrays, name, element_id, contigs)
    except (IntegrityError, InvalidInputError) as error:
        logger.warning("the track %s cannot be read: %s", name, error.message)
        return DamagedTrack(name, element_id, contigs, error)


def find_misfits(storage: Storage, document: Document) -> Iterator[tuple[str, str]]:
    """Find the genomes and tracks whose contigs or arrays cannot be theirs: element, and what is wrong."""
    arrays, sealed, reader = _arrays(document), sealed_tracks(document), Reader(storage, 0)
    for genome_id in genome_ids(document):
        try:
            contigs = contigs_of(document, genome_id)
            open_sequence(reader, document.nodes, arrays.get(genome_id, {}).get("sequence"), genome_id, contigs)
        except (IntegrityError, InvalidInputError) as error:
            yield genome_id, error.message
            continue
        for name, element_id in tracks_of(document, genome_id).items():
            if element_id in sealed:
                continue
            try:
                open_track(reader, document.nodes, arrays[element_id], name, element_id, contigs)
            except (IntegrityError, InvalidInputError) as error:
                yield element_id, error.message


def open_sequence(
    reader: Reader, nodes: Mapping[str, Any], path: str | None, genome_id: str, contigs: Contigs
) -> ShardedArray | None:
    """Open the sequence of a genome, if it has one; raise IntegrityError if it does not fit the contigs."""
    sequence = ShardedArray(reader, ArraySpec.from_node(path, nodes[path])) if path else None
    if sequence and not bounds.fits_sequence(sequence.spec, contigs):
        raise IntegrityError(f"the sequence of {genome_id} does not fit its contigs", "see what is wrong with `modos check`")
    return sequence


def open_genome(
    storage: Storage,
    document: Document | None = None,
    genome: str | None = None,
    write: Write | None = None,
    reopen: Callable[[], Genome] | None = None,
    tracks: Iterable[str] | None = None,
    sealed: OpenSealed | None = None,
) -> Genome:
    """Open a genome of an object with its tracks; a track that does not fit is a warning here, and an error when it is read.

    So is an encrypted one without a key: an error when it is read.

    Parameters
    ----------
    genome
        Its reference's id; the only one where it is None.
    tracks
        Names of those that are wanted; all where it is None.
    sealed
        Opens what is encrypted; None if there is no key.
    """
    document = document or commits.load(storage)
    genome_id = find_genome(document, genome)
    contigs, reader, arrays = contigs_of(document, genome_id), Reader(storage, _CACHE), _arrays(document)
    known = tracks_of(document, genome_id)
    wanted = known if tracks is None else {name: known[name] for name in tracks}
    encrypted = sealed_tracks(document)
    opened = [
        _find_sealed(sealed, storage, name, element_id, contigs)
        if element_id in encrypted
        else _open_any(reader, document.nodes, arrays[element_id], name, element_id, contigs)
        for name, element_id in wanted.items()
    ]
    sequence = _find_sequence(sealed, reader, document, genome_id, contigs)
    version = document.state.get("format_version", FORMAT_VERSION)
    return Genome(contigs, opened, sequence, write, reopen, genome_id.partition("/")[2], version)


def _find_sealed(sealed: OpenSealed | None, storage: Storage, name: str, element_id: str, contigs: Contigs) -> Track:
    if sealed:
        return sealed.find_track(name, element_id, contigs)
    return LockedTrack(name, element_id, contigs, make_locked_error(f"the track {name} in {storage.url}"))


def _find_sequence(
    sealed: OpenSealed | None, reader: Reader, document: Document, genome_id: str, contigs: Contigs
) -> ShardedArray | Callable[[], ShardedArray] | None:
    if genome_id not in document.sealed_arrays():
        return open_sequence(reader, document.nodes, find_arrays(document, genome_id).get("sequence"), genome_id, contigs)
    if sealed:
        return sealed.find_sequence(genome_id, contigs)

    def refuse() -> NoReturn:
        raise make_locked_error(f"the sequence of {genome_id} in {reader.storage.url}")

    return refuse
