"""Compare the shards of arrays with the digests of their parts, and compute these for arrays that have none."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from modos.errors import ChecksumMismatch, NotFoundError
from modos.formats import ZARR
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.part_digests import PART, DigestList, PartHasher, join_lists, root_of
from modos.storage.prefetch import fetch_ahead
from modos.storage.verified import StoredDigests
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import combine_checksums, write_list
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec

_PIECE = 64 * PART  # bytes that are read at once
_REMOTE_WORKERS = 8


class DamagedRange(NamedTuple):
    """Bytes [start, end) of a shard that are not the recorded ones, or not there; at most a part."""

    shard: int
    key: str
    start: int
    end: int


def find_damaged_parts(storage: Storage, spec: ArraySpec, progress: Progress | None = None) -> Iterator[DamagedRange]:
    """Read the shards of an array on all cores, and find the parts that do not fit its list of digests, in order.

    A shard that is missing or too short lacks parts; what follows the end of
    one is not looked at. An array without `shard_digest` has nothing to be
    compared with.

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

    def look(place: tuple[int, int, int], _: threading.Event) -> list[DamagedRange]:
        shard, start, end = place
        key, first, beyond = spec.key(shard), start // PART, -(-end // PART)
        try:
            data = storage.read_part(key, start, end)[0]
        except NotFoundError:
            data = b""
        if progress:
            progress(len(data))
        wrong = [*find_differing(shard, first, data), *range(first - (-len(data) // PART), beyond)]
        return [DamagedRange(shard, key, number * PART, min((number + 1) * PART, spec.sizes[shard])) for number in wrong]

    places = (
        (shard, at, min(at + _PIECE, size)) for shard, size in enumerate(spec.sizes) if size for at in range(0, size, _PIECE)
    )
    for found in fetch_ahead(look, places, _workers(storage)):
        yield from found


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


def digest_shards(storage: Storage, spec: ArraySpec, progress: Progress | None = None) -> DigestList:
    """Read the shards of an array on all cores, and compute the list of digests of their parts.

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
        parts, whole = PartHasher(), hashlib.blake2b()
        for piece in report(storage.iter_range(spec.key(shard), 0, spec.sizes[shard]), progress):
            parts.update(piece)
            if by_checksum:
                whole.update(piece)
        return parts.finish(), whole.hexdigest()

    shards = [shard for shard, size in enumerate(spec.sizes) if size]
    found = dict(zip(shards, fetch_ahead(digest_shard, shards, _workers(storage))))
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


def _workers(storage: Storage) -> int:
    return _REMOTE_WORKERS if storage.is_remote else os.cpu_count() or 1
