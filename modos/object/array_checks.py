"""Check the arrays of an object against what they record."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import ZARR, is_array_path
from modos.object.document import Document
from modos.object.findings import Finding
from modos.storage import Storage
from modos.storage.base import Progress

if TYPE_CHECKING:
    from modos.tracks.zarr_layout import ArraySpec


def check_arrays(
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
