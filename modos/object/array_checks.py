"""Check the arrays of an object against what they record."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.formats import ZARR, is_array_path
from modos.object import damage
from modos.object.document import Document
from modos.object.findings import Finding, describe_ranges, join_ranges
from modos.storage import Storage
from modos.storage.base import ByteRange, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modos.tracks.shard_digests import ShardRange
    from modos.tracks.zarr_layout import ArraySpec

# compares the bytes of an array's shards, but for those that are known to be others, by their keys
CompareArray = Callable[["ArraySpec", Container[str]], Iterator[Finding]]


def check_arrays(storage: Storage, document: Document, sizes: dict[str, int], compare: CompareArray | None) -> Iterator[Finding]:
    """Check arrays that record which files they have, as those of tracks do.

    Parameters
    ----------
    compare
        Compares the bytes of an array with what is recorded; None if they are not read.
    """
    if not any(path.count("/") > 1 for path in document.nodes):
        return  # no array and no genome, and no need of what reads them
    from modos.object.tracks import find_misfits

    wrong = set()
    for path, node in document.nodes.items():
        if not records_shards(node):
            continue
        found = list(_check_array(path, node, sizes, compare))
        if any(not finding.fixable and not finding.harmless for finding in found):
            wrong.add(path.rpartition("/")[0])
        yield from found
    for element_id, message in find_misfits(storage, document):
        wrong.add(element_id)
        yield Finding("array", element_id, message)
    yield from _check_array_paths(document, wrong)


def records_shards(node: Mapping[str, Any]) -> bool:
    """Return whether a node is an array that records which shards it has."""
    return node.get("node_type") == "array" and "shard_sizes" in node.get("attributes", {})


def _check_array(path: str, node: Mapping[str, Any], sizes: Mapping[str, int], compare: CompareArray | None) -> Iterator[Finding]:
    from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec

    try:
        spec = ArraySpec.from_node(path, node)
    except InvalidInputError as error:
        yield Finding("array", path, error.message)
        return
    known = dict(find_missing(spec, sizes))
    yield from known.values()
    if spec.list_key in sizes and spec.list_key not in spec.files():
        why = "has no need of one: its root tells everything" if DIGEST_SLOT in spec.attributes else "records none"
        yield Finding("unknown", spec.list_key, f"is a list of digests, and {path} {why}")
    if compare and (DIGEST_SLOT in spec.attributes or not known):
        yield from compare(spec, known)


def find_missing(spec: ArraySpec, sizes: Mapping[str, int]) -> Iterator[tuple[str, Finding]]:
    """Find the shards of an array that are not there, or have other sizes: their keys, and what is wrong."""
    for key, size in ((spec.key(number), size) for number, size in enumerate(spec.sizes) if size):
        if sizes.get(key) != size:
            found = f"has {sizes[key]:,} bytes" if key in sizes else "is missing"
            yield (
                key,
                Finding("size" if key in sizes else "missing", spec.path, f"{key} {found}, recorded are {size:,}"),
            )


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
    if not all("shard_sizes" in own and own.keys() & {"shard_checksum", "shard_digest"} for own in arrays.values()):
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


def compare_all(storage: Storage, progress: Progress | None) -> CompareArray:
    """Return what reads all shards of an array, and compares them with its digests, or its checksum where it has none."""

    def compare(spec: ArraySpec, known: Container[str]) -> Iterator[Finding]:
        from modos.tracks.zarr_layout import DIGEST_SLOT

        if DIGEST_SLOT in spec.attributes:
            return _compare_digests(storage, spec, known, progress)
        return _compare_checksum(storage, spec, progress)

    return compare


def describe_damage(spec: ArraySpec, damaged: Iterable[ShardRange]) -> Iterator[Finding]:
    """Describe parts of shards that are not the recorded ones, shard by shard."""
    by_key: dict[str, list[ByteRange]] = {}
    for one in damaged:
        by_key.setdefault(one.key, []).append(ByteRange(one.start, one.end))
    for key, parts in by_key.items():
        ranges = tuple(join_ranges(parts))
        yield Finding("checksum", spec.path, f"{describe_ranges(ranges)} of {key} are not those that are recorded", ranges)


def _compare_digests(storage: Storage, spec: ArraySpec, known: Container[str], progress: Progress | None) -> Iterator[Finding]:
    """Find parts that are not those that were recorded, and in sound shards chunks that do not match their headers."""
    from modos.tracks.shard_digests import find_damaged_parts
    from modos.tracks.zarr_layout import DIGEST_SLOT

    chunks = _ChunkChecks(storage, spec)
    try:
        damaged = list(find_damaged_parts(storage, spec, progress, chunks.look))
        yield from describe_damage(spec, (one for one in damaged if one.key not in known))
        if spec.layout.parts > 1:
            damage.read_list(storage, spec.list_key, spec.layout, spec.attributes[DIGEST_SLOT])
    except IntegrityError as error:
        yield from _compare_without_list(storage, spec, error)
        return
    yield from chunks.findings()


def _compare_without_list(storage: Storage, spec: ArraySpec, wrong: IntegrityError) -> Iterator[Finding]:
    """Compare all shards with the root, where the list of digests is not the recorded one."""
    from modos.tracks.shard_digests import digest_shards

    chunks = _ChunkChecks(storage, spec)
    try:
        digest_shards(storage, spec, None, chunks.look)
    except (IntegrityError, NotFoundError):
        told = f"its shards do not have the recorded digest; where they differ cannot be told: {wrong.message}"
        yield Finding("checksum", spec.path, told)
    except ModosError as error:
        if storage.is_remote:
            raise
        yield Finding("checksum", spec.path, f"its shards cannot be read: {error.message}")
    else:
        if not has_list(storage, spec):
            told = f"is missing, or not the recorded list, and the shards of {spec.path} are what they were"
            yield Finding("list", spec.list_key, told)
        yield from chunks.findings()


def has_list(storage: Storage, spec: ArraySpec) -> bool:
    """Return whether the list of digests of an array is the recorded one."""
    from modos.tracks.zarr_layout import DIGEST_SLOT

    try:
        damage.read_list(storage, spec.list_key, spec.layout, spec.attributes[DIGEST_SLOT])
    except IntegrityError:
        return False
    return True


def _compare_checksum(storage: Storage, spec: ArraySpec, progress: Progress | None) -> Iterator[Finding]:
    """Compare the shards of an array of an older version with the checksum of all of them."""
    from modos.tracks.arrays import shard_checksum

    chunks = _ChunkChecks(storage, spec)
    if shard_checksum(storage, spec, progress, chunks.look) != spec.attributes.get("shard_checksum"):
        yield Finding("checksum", spec.path, "its files do not have the recorded checksum")
    else:
        yield from chunks.findings()


class _ChunkChecks:
    """Checks of the chunks in the shards of an array against their own headers."""

    def __init__(self, storage: Storage, spec: ArraySpec):
        from modos.tracks.sharded import Reader, ShardedArray

        self._spec = spec
        self._array = ShardedArray(Reader(storage, 0), spec)
        self._wrong: set[int] = set()

    def look(self, shard: int, data: bytes | memoryview) -> None:
        """Look at the chunks of a shard."""
        try:
            self._array.check_shard(shard, data)
        except IntegrityError:
            self._wrong.add(shard)

    def findings(self) -> Iterator[Finding]:
        """List the shards with a chunk that is damaged."""
        for shard in sorted(self._wrong):
            yield Finding("array", self._spec.path, f"{self._spec.key(shard)} has a chunk that is damaged")


def mend_lists(storage: Storage, document: Document, lists: Container[str], progress: Progress | None) -> Iterator[Finding]:
    """Write lists of digests of arrays anew; gives those whose shards are not the recorded ones."""
    if not any(records_shards(node) for node in document.nodes.values()):
        return
    from modos.object.part_lists import write_anew
    from modos.tracks.shard_digests import digest_shards
    from modos.tracks.shard_records import specs_of_nodes

    for spec in specs_of_nodes(document.nodes):
        if spec.list_key not in lists:
            continue
        try:
            digests = digest_shards(storage, spec, progress)
        except (IntegrityError, NotFoundError):
            told = "its shards do not have the recorded digest, and no list of digests to heal them by"
            yield Finding("checksum", spec.path, told)
        else:
            write_anew(storage, spec.list_key, digests, like=next(iter(spec.files())))
