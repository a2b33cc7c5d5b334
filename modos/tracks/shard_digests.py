"""Compare the shards of arrays with the digests of their parts, and compute these for arrays that have none."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from modos.errors import ChecksumMismatch, ModosError, NotFoundError
from modos.formats import ZARR
from modos.storage import Storage
from modos.storage.base import Progress, count_readers, report
from modos.storage.part_digests import PART, DigestList, PartHasher, join_lists, root_of
from modos.storage.prefetch import fetch_ahead
from modos.storage.stored_digests import StoredDigests
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import combine_checksums, write_list
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec

_PIECE = 64 * PART  # bytes that are read at once

Look = Callable[[int, bytes | memoryview], None]  # is given a shard: its number, and its bytes, which it must not keep


class ShardRange(NamedTuple):
    """Bytes [start, end) of a shard; at most a part."""

    shard: int
    key: str
    start: int
    end: int


def locate_part(spec: ArraySpec, number: int) -> ShardRange:
    """Return where a part of an array is, by its number among those of all shards."""
    layout = spec.layout
    file = bisect_right(layout.first_parts, number) - 1
    shard = [shard for shard, size in enumerate(spec.sizes) if size][file]
    start = (number - layout.first_parts[file]) * PART
    return ShardRange(shard, spec.key(shard), start, min(start + PART, layout.sizes[file]))


def find_damaged_parts(
    storage: Storage, spec: ArraySpec, progress: Progress | None = None, look: Look | None = None
) -> Iterator[ShardRange]:
    """Read the shards of an array on all cores, and find the parts that do not fit its list of digests, in order.

    A shard that is missing or too short lacks parts, as does one that a disk
    does not give; what follows the end of one is not looked at. An array
    without `shard_digest` has nothing to be compared with.

    Parameters
    ----------
    look
        Gets each shard that fits, by its number; one at a time is in memory.

    Raises
    ------
    IntegrityError
        The list is missing, or is not the recorded one; `digest_shards` tells
        whether the shards are, and makes it anew.
    """
    root = spec.attributes.get(DIGEST_SLOT)
    if root is None:
        return
    find_differing = _comparison(storage, spec, root)

    def compare(place: tuple[int, int, int], _: threading.Event) -> tuple[list[ShardRange], bytes]:
        shard, start, end = place
        key, first, beyond = spec.key(shard), start // PART, -(-end // PART)
        data = _read(storage, key, start, end)
        if data is None and end - start > PART:
            single = [compare((shard, at, min(at + PART, end)), _)[0] for at in range(start, end, PART)]
            return [one for found in single for one in found], b""
        data = data or b""
        if progress:
            progress(len(data))
        wrong = [*find_differing(shard, first, data), *range(first - (-len(data) // PART), beyond)]
        damaged = (ShardRange(shard, key, number * PART, min((number + 1) * PART, spec.sizes[shard])) for number in wrong)
        return list(damaged), data if look else b""

    places = [(shard, at, min(at + _PIECE, size)) for shard, size in enumerate(spec.sizes) for at in range(0, size, _PIECE)]
    shard_bytes, is_sound = bytearray(max(spec.sizes, default=0) if look else 0), True
    for (shard, start, end), (found, data) in zip(places, fetch_ahead(compare, places, count_readers(storage)), strict=True):
        yield from found
        is_sound &= not found
        if look and is_sound:
            shard_bytes[start:end] = data
        if end == spec.sizes[shard]:
            if look and is_sound:
                look(shard, memoryview(shard_bytes)[:end])
            is_sound = True


def _read(storage: Storage, key: str, start: int, end: int) -> bytes | None:
    """Read bytes of a shard; nothing if it is not there, None if a disk does not give them."""
    try:
        return storage.read_part(key, start, end)[0]
    except NotFoundError:
        return b""
    except ModosError:
        if storage.is_remote:
            raise
        return None


def _comparison(storage: Storage, spec: ArraySpec, root: str) -> Callable[[int, int, bytes], list[int]]:
    """Return what finds those of some parts of a shard that are not recorded: its number, that of the first part, the bytes."""
    if spec.layout.parts == 1:
        return lambda shard, first, data: [first] if data and root_of(data) != root else []
    digests = StoredDigests(storage, spec.list_key, spec.layout, root)

    def find_differing(shard: int, first: int, data: bytes) -> list[int]:
        record = spec.part_record(shard)
        assert record is not None
        base = spec.layout.first_parts[record.file]
        return [number - base for number in digests.find_differing(base + first, data)] if data else []

    return find_differing


def digest_shards(storage: Storage, spec: ArraySpec, progress: Progress | None = None, look: Look | None = None) -> DigestList:
    """Read the shards of an array on all cores, and compute the list of digests of their parts.

    Parameters
    ----------
    look
        Gets each shard, by its number; one for each thread is in memory.

    Raises
    ------
    ChecksumMismatch
        The shards are not those that `shard_digest` or, where there is none,
        `shard_checksum` was computed of.
    NotFoundError, TruncatedStream
        One is missing, or too short.
    """
    root, checksum = (spec.attributes.get(slot) for slot in (DIGEST_SLOT, "shard_checksum"))
    by_checksum = root is None and checksum is not None

    def digest_shard(shard: int, _: threading.Event) -> tuple[DigestList, str]:
        parts, whole, pieces = PartHasher(), hashlib.blake2b(), []
        for piece in report(storage.iter_range(spec.key(shard), 0, spec.sizes[shard]), progress):
            parts.update(piece)
            if by_checksum:
                whole.update(piece)
            if look:
                pieces.append(piece)
        if look:
            look(shard, b"".join(pieces))
        return parts.finish(), whole.hexdigest()

    shards = [shard for shard, size in enumerate(spec.sizes) if size]
    found = dict(zip(shards, fetch_ahead(digest_shard, shards, count_readers(storage))))
    digests = join_lists(digests for digests, _ in found.values())
    sums = {shard: (spec.sizes[shard], own) for shard, (_, own) in found.items()}
    if (root not in (None, digests.root)) or (by_checksum and combine_checksums(sums) != checksum):
        raise ChecksumMismatch(f"{storage.url}/{ZARR}/{spec.path} has other shards than recorded", "restore them from a copy")
    return digests


def record_digests(log: WriteLog, spec: ArraySpec, progress: Progress | None = None) -> ArraySpec:
    """Write the list of digests of an array that has none, or whose list is damaged; returns the array with its root.

    Raises
    ------
    ChecksumMismatch, NotFoundError, TruncatedStream
        The shards are not what is recorded of them; nothing is written.
    """
    digests = digest_shards(log.storage, spec, progress)
    write_list(log, spec, digests)
    return replace(spec, attributes={**spec.attributes, DIGEST_SLOT: digests.root})
