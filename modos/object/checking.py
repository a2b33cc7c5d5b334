"""Check an object against its metadata, and find what interrupted changes left in it."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.encryption.keys import SecretKey
from modos.encryption.recorded import SealRecord, has_no_index
from modos.encryption.structure import find_damage
from modos.errors import DecryptError, IntegrityError, InvalidInputError, ModosError, NotFoundError, SchemaError
from modos.formats import ROOT_KEYS, ZARR, format_of, index_names, is_array_path, is_compressed, is_encrypted, plain_name
from modos.genomics import indexer
from modos.metadata import model
from modos.object import commits, journal, transfer
from modos.object.commits import has_mirror, mirror_key, write_mirrors
from modos.object.document import ROOT_KEY, Document
from modos.object.old_layout import OLD_ROOT_KEY
from modos.object.record import FOLDER, Entry, entries
from modos.object.references import iter_mismatches
from modos.reference.fai import check_fai
from modos.storage import ObjectInfo, Partial, Storage
from modos.storage.base import Progress, Readable, expect
from modos.storage.processes import ownership

if TYPE_CHECKING:
    from modos.tracks.zarr_layout import ArraySpec


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Parameters
    ----------
    kind
        `missing`, `size`, `seal`, `checksum`, `index`, `path`, `schema`,
        `link`, `sequence`, `array`: the object is not what it says. `leftover`, `mirror`: what an interrupted
        change left; `fix` mends these. `unknown`: a file that no element
        names, or a reference or an index that cannot be
        compared; it stays.
    where
        The element, or the file.
    message
        What is wrong.
    """

    kind: str
    where: str
    message: str

    @property
    def fixable(self) -> bool:
        """Return whether `fix` mends it."""
        return self.kind in ("leftover", "mirror")

    @property
    def harmless(self) -> bool:
        """Return whether the object is whole all the same."""
        return self.fixable or self.kind == "unknown"

    def __str__(self) -> str:
        return f"{self.kind:<9}{self.where}: {self.message}"


def find_problems(
    storage: Storage,
    *,
    checksums: bool = True,
    thorough: bool = False,
    limit: float = ownership.ABANDONED_AFTER,
    progress: Progress | None = None,
    endpoint: str | None = None,
    secret: SecretKey | None = None,
) -> Iterator[Finding]:
    """Compare an object with its metadata.

    Parameters
    ----------
    checksums
        Read every file and compare its checksum.
    thorough
        Go through the records of every file and check that its index leads to
        each; else check some places of it.
    limit
        Seconds after which a change under way on another machine counts as
        abandoned.
    endpoint
        The server whose reference store may be asked.
    secret
        A key to decrypt encrypted files with; without it their indexes are not
        checked.

    Raises
    ------
    NotFoundError, IntegrityError
        There is no object, or its root is damaged.
    """
    document = commits.load(storage)
    yield from _check_elements(document)
    infos = list(storage.iter_files())
    sizes = {info.key: info.size for info in infos}
    sound: list[tuple[str, str]] = []
    if checksums and not thorough:
        paths, arrays = document.data_paths(), f"{ZARR}/"
        expect(
            progress,
            sum(size for key, size in sizes.items() if key in paths or (key.startswith(arrays) and not key.endswith(".json"))),
        )
    yield from _check_data(storage, document, sizes, checksums, sound, progress)
    yield from _check_indexes(storage, sound, sizes, thorough, secret, progress)
    yield from _check_arrays(storage, document, sizes, checksums, progress)
    yield from _check_references(storage, document, endpoint)
    yield from _find_leftovers(storage, document, infos, limit)
    if document.zarr_format == 3:
        if OLD_ROOT_KEY in sizes:
            yield Finding(
                "unknown", OLD_ROOT_KEY, "was written by a program that reads Zarr v2 alone; `modos upgrade` removes it"
            )
        yield from _check_mirrors(storage, document, sizes)


def find_rest(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[Finding]:
    """Find what interrupted changes left if there is no object: it was being made, copied or removed.

    Raises
    ------
    ConflictError
        A change is under way, or may be.
    """
    journal.refuse_busy(storage, entries(storage, limit))
    return [finding for finding in _find_leftovers(storage, None, storage.iter_files(), limit) if finding.fixable]


def fix(storage: Storage, findings: Iterable[Finding], limit: float = ownership.ABANDONED_AFTER) -> None:
    """Remove what interrupted changes left, and write the mirrors anew; nothing else is touched."""
    is_place = _is_object(storage)
    journal.recover(storage, limit)
    for partial in _find_left_partials(storage, entries(storage, limit), limit, is_place):
        storage.drop_partial(partial)
    mirrors = [finding.where for finding in findings if finding.kind == "mirror"]
    if mirrors:
        _mend_mirrors(storage, mirrors)
    storage.tidy()


def _mend_mirrors(storage: Storage, mirrors: Iterable[str]) -> None:
    document = commits.load(storage)
    for key in mirrors:
        path = key.removeprefix(f"{ZARR}/").removesuffix("/zarr.json")
        if path in document.nodes:
            write_mirrors(storage, document, [path])
        else:
            storage.delete(key)


def _check_elements(document: Document) -> Iterator[Finding]:
    for element_id in (document.object_id, *document.ids()):
        attributes = document.element(element_id)
        try:
            model.validate(attributes, element_id)
        except SchemaError as error:
            yield Finding("schema", element_id, error.message.removeprefix(f"{element_id}: "))
        for slot in model.link_slots(attributes.get("@type")):
            for link in attributes.get(slot, ()):
                if link not in document:
                    yield Finding("link", element_id, f"{slot} links to {link}, which is not there")


def _check_data(
    storage: Storage,
    document: Document,
    sizes: dict[str, int],
    checksums: bool,
    sound: list[tuple[str, str]],
    progress: Progress | None,
) -> Iterator[Finding]:
    """Check the files of elements; those with nothing wrong are put into `sound`."""
    seen: dict[str, str] = {}
    for element_id in document.ids():
        attributes = document.element(element_id)
        path = attributes.get("data_path")
        if path == "" and attributes.get("data_checksum"):
            yield Finding("path", element_id, "the checksum of a file is recorded, and no file")
        if not path or is_array_path(path):
            continue
        if path in seen:
            yield Finding("path", element_id, f"its file {path} belongs to {seen[path]} too")
            continue
        seen[path] = element_id
        try:
            size = storage.stat(path).size
        except NotFoundError:
            yield Finding("missing", element_id, f"there is no file {path}")
            continue
        except ModosError as error:
            yield Finding("path", element_id, error.message)
            continue
        if attributes.get("data_size", size) != size:
            yield Finding("size", element_id, f"{path} has {size:,} bytes, recorded are {attributes['data_size']:,}")
        elif damage := find_damage(storage, path, SealRecord.from_attributes(attributes)):
            yield Finding("seal", element_id, damage)
        elif checksums and attributes.get("data_checksum") not in (
            None,
            transfer.measure(storage, path, progress, whole=transfer.counts_whole(attributes))[1],
        ):
            yield Finding("checksum", element_id, f"{path} does not have the recorded checksum")
        else:
            sound.append((element_id, path))
        indexes, format = [name for name in index_names(path) if name in sizes], format_of(plain_name(path))
        yield from (
            Finding("seal", element_id, damage)
            for name in indexes
            if (damage := find_damage(storage, name, SealRecord.from_index_attributes(attributes)))
        )
        if indexes and is_encrypted(path) and has_no_index(attributes):
            yield Finding(
                "unknown",
                element_id,
                f"no digest of the header of {indexes[0]} is recorded: it may be another index, "
                "which leaves out records (`modos check --secret-key` looks at it, `modos c4gh "
                "revoke --rotate` records one)",
            )
        if plain := _plain_index(path, sizes, attributes):
            yield Finding(
                "unknown",
                element_id,
                f"{path} is encrypted, and its index {plain} is not: `modos c4gh revoke --rotate` encrypts it",
            )
        elif format and format.streamable and not indexes:
            yield Finding("index", element_id, f"{path} has no index")


def _plain_index(path: str, sizes: Mapping[str, int], attributes: Mapping[str, Any]) -> str | None:
    """Find the plain index of an encrypted file that has no encrypted one and had none."""
    if (
        not is_encrypted(path)
        or SealRecord.from_index_attributes(attributes).headers
        or any(name in sizes for name in index_names(path))
    ):
        return None
    return next((name for name in index_names(plain_name(path)) if name in sizes), None)


def _check_indexes(
    storage: Storage,
    files: Iterable[tuple[str, str]],
    sizes: dict[str, int],
    thorough: bool,
    secret: SecretKey | None,
    progress: Progress | None,
) -> Iterator[Finding]:
    """Find indexes that do not belong to their files."""
    for element_id, path in files:
        format, view = format_of(plain_name(path)), _open_plain(storage, path, secret)
        if view is None or not format or not (format.streamable or format.name == "FASTA"):
            continue
        for name in (name for name in index_names(path) if name in sizes):
            try:
                if format.streamable:
                    indexer.check_index(view, plain_name(path), plain_name(name), thorough=thorough, progress=progress)
                elif plain_name(name).endswith(".fai") and not is_compressed(plain_name(path)):
                    _check_fai(view, plain_name(path), plain_name(name), thorough)
            except DecryptError as error:
                yield Finding("unknown", element_id, error.message)
            except IntegrityError as error:
                yield Finding("index", element_id, error.message)


def _check_fai(files: Readable, key: str, index_key: str, thorough: bool) -> None:
    index, _ = files.read_part(index_key, 0, files.stat(index_key).size)
    try:
        check_fai(lambda start, end: files.read_part(key, start, end)[0], files.stat(key).size, index, thorough=thorough)
    except IntegrityError as error:
        raise IntegrityError(f"{index_key} does not fit {key}: {error.message}") from None


def _open_plain(storage: Storage, path: str, secret: SecretKey | None) -> Readable | None:
    """Return the storage that a file is read through; None for an encrypted one without a key."""
    if not is_encrypted(path):
        return storage
    if secret is None:
        return None
    from modos.encryption.view import DecryptedView

    return DecryptedView(storage, secret)


def _check_references(storage: Storage, document: Document, endpoint: str | None) -> Iterator[Finding]:
    for element_id, message, certain in iter_mismatches(storage, {id: document.element(id) for id in document.ids()}, endpoint):
        yield Finding("sequence" if certain else "unknown", element_id, message)


def _check_arrays(
    storage: Storage, document: Document, sizes: dict[str, int], checksums: bool, progress: Progress | None
) -> Iterator[Finding]:
    """Check arrays that record which files they have, as those of tracks do."""
    if not any(path.count("/") > 1 for path in document.nodes):
        return  # no array and no genome, and no need of what reads them
    from modos.object.tracks import find_misfits
    from modos.tracks.zarr_layout import ArraySpec

    wrong = set()
    for path, node in document.nodes.items():
        if node.get("node_type") != "array" or "shard_sizes" not in node.get("attributes", {}):
            continue
        try:
            spec = ArraySpec.from_node(path, node)
        except InvalidInputError as error:
            wrong.add(path.rpartition("/")[0])
            yield Finding("array", path, error.message)
            continue
        damaged = False
        for number, size in enumerate(spec.sizes):
            key = spec.key(number)
            if size and sizes.get(key) != size:
                damaged = True
                found = f"has {sizes[key]:,} bytes" if key in sizes else "is missing"
                yield Finding("size" if key in sizes else "missing", path, f"{key} {found}, recorded are {size:,}")
        for finding in _check_shards(storage, spec, progress) if checksums and not damaged else ():
            damaged = True
            yield finding
        if damaged:
            wrong.add(path.rpartition("/")[0])
    for element_id, message in find_misfits(storage, document):
        wrong.add(element_id)
        yield Finding("array", element_id, message)
    yield from _check_array_paths(document, wrong)


def _check_array_paths(document: Document, wrong: Container[str]) -> Iterator[Finding]:
    """Find elements whose data_path leads to no arrays or to another one's, or that record others than they have.

    Of those in `wrong` it is known already that their arrays are not what they say.
    """
    owners = set(document.ids())
    for element_id in document.ids():
        attributes = document.element(element_id)
        path = attributes.get("data_path")
        if not path or not is_array_path(path) or path == ZARR:
            continue
        node = path.removeprefix(f"{ZARR}/")
        owner = "/".join(node.split("/")[:2])
        if node not in document.nodes:
            yield Finding("missing", element_id, f"there are no arrays {path}")
        elif owner != element_id and owner in owners:
            yield Finding("path", element_id, f"its arrays {path} belong to {owner}")
        elif node == element_id and element_id not in wrong:
            yield from _check_recorded(document, element_id, attributes)


def _check_recorded(document: Document, element_id: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    from modos.tracks.arrays import describe_arrays

    arrays = {
        path: node.get("attributes", {})
        for path, node in document.nodes.items()
        if node.get("node_type") == "array" and path.rpartition("/")[0] == element_id
    }
    if not all("shard_checksum" in own and "shard_sizes" in own for own in arrays.values()):
        return
    if not arrays:
        if element_id.startswith("data/") and attributes.get("data_checksum"):
            yield Finding("missing", element_id, "the checksum of arrays is recorded, and there are none")
        return
    found = describe_arrays(arrays)
    if attributes.get("data_size", found["data_size"]) != found["data_size"]:
        yield Finding(
            "size", element_id, f"its arrays have {found['data_size']:,} bytes, recorded are {attributes['data_size']:,}"
        )
    elif attributes.get("data_checksum") not in (None, found["data_checksum"]):
        yield Finding("checksum", element_id, "its arrays do not have the recorded checksum")


def _check_shards(storage: Storage, spec: ArraySpec, progress: Progress | None) -> Iterator[Finding]:
    """Find files that are not those that were recorded, and in the others chunks that do not match their headers."""
    from modos.tracks.arrays import shard_checksum
    from modos.tracks.sharded import Reader, ShardedArray

    wrong: list[str] = []
    array = ShardedArray(Reader(storage, 0), spec)

    def look(number: int, data: bytes) -> None:
        try:
            array.check_shard(number, data)
        except IntegrityError:
            wrong.append(f"{spec.key(number)} has a chunk that is damaged")

    if shard_checksum(storage, spec, progress, look) != spec.attributes.get("shard_checksum"):
        yield Finding("checksum", spec.path, "its files do not have the recorded checksum")
    else:
        yield from (Finding("array", spec.path, message) for message in wrong)


def _find_leftovers(storage: Storage, document: Document | None, infos: Iterable[ObjectInfo], limit: float) -> Iterator[Finding]:
    records = entries(storage, limit)
    is_owned = journal.ownership_of(document)
    under_way = [record for record in records if not record.abandoned]
    left = [record for record in records if record.abandoned]
    for record in left:
        yield Finding("leftover", record.key, "the record of a change that was interrupted")
    for info in infos:
        key = info.key
        if is_owned(key) or key.startswith(f"{FOLDER}/") or any(record.covers(key) for record in under_way):
            continue
        if any(record.may_delete(info) for record in left):
            yield Finding("leftover", key, "written or to be removed by a change that was interrupted")
        elif any(record.covers(key) for record in left):
            yield Finding("unknown", key, "belongs to no element; that a change left it is on record, but not certain")
        elif not key.startswith(f"{ZARR}/") or not key.endswith("/zarr.json"):
            yield Finding("unknown", key, "belongs to no element")
    for partial in _find_left_partials(storage, records, limit, document is not None or _is_object(storage)):
        yield Finding("leftover", partial.name, "a file whose writing was interrupted")


def _find_left_partials(storage: Storage, records: Iterable[Entry], limit: float, is_place: bool) -> Iterator[Partial]:
    """Find partial files that nobody writes any more; during a change, what cannot be looked up may be part of it."""
    if any(not record.abandoned for record in records):
        limit = math.inf
    return (
        partial
        for partial in storage.partial_writes()
        if ownership.is_abandoned(partial.mark, partial.age, limit)
        and _is_own(storage, partial.name.rpartition("?uploadId=")[0] or partial.name, is_place)
    )


def _is_own(storage: Storage, key: str, is_place: bool) -> bool:
    """Return whether a partial file is of the object that is here, or was to be, and not of one in a folder below."""
    folders = key.split("/")[:-1]
    if folders[:1] == [FOLDER]:
        return True
    return is_place and not any(_is_object(storage, "/".join(folders[:depth]) + "/") for depth in range(1, len(folders) + 1))


def _is_object(storage: Storage, prefix: str = "") -> bool:
    """Return whether a folder has an object, or one that was being made, copied or removed."""
    return (
        any(storage.exists(f"{prefix}{root}") for root in ROOT_KEYS)
        or next(storage.iter_files(f"{prefix}{FOLDER}"), None) is not None
    )


def _check_mirrors(storage: Storage, document: Document, sizes: dict[str, int]) -> Iterator[Finding]:
    for path in filter(has_mirror, document.nodes):
        key = mirror_key(path)
        if key not in sizes or not _is_current(storage, key, document.mirror(path)):
            yield Finding("mirror", key, "is not what the root says, for other Zarr tools")
    for key in sizes:
        is_element = key.startswith(f"{ZARR}/") and key.endswith("/zarr.json") and key != ROOT_KEY
        if is_element and key.removeprefix(f"{ZARR}/").removesuffix("/zarr.json") not in document.nodes:
            yield Finding("mirror", key, "is of an element that is not there")


def _is_current(storage: Storage, key: str, node: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(storage.read(key)[0])["attributes"] == node.get("attributes", {}))
    except (ValueError, KeyError, TypeError, NotFoundError):
        return False
