"""Find leftovers of interrupted changes in an object, and mirrors for other Zarr tools that are not current."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from modos.errors import NotFoundError
from modos.formats import ROOT_KEYS, ZARR
from modos.object import commits, journal
from modos.object.commits import has_mirror, mirror_key, write_mirrors
from modos.object.document import ROOT_KEY, Document
from modos.object.findings import Finding
from modos.object.record import FOLDER, Entry, entries
from modos.storage import ObjectInfo, Partial, Storage
from modos.storage.processes import ownership


def find_leftovers(storage: Storage, document: Document | None, infos: Iterable[ObjectInfo], limit: float) -> Iterator[Finding]:
    """Find files that belong to no element, and what changes that were interrupted have left."""
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
    for partial in find_left_partials(storage, records, limit, document is not None or is_object(storage)):
        yield Finding("leftover", partial.name, "a file whose writing was interrupted")


def find_left_partials(storage: Storage, records: Iterable[Entry], limit: float, is_place: bool) -> Iterator[Partial]:
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
    return is_place and not any(is_object(storage, "/".join(folders[:depth]) + "/") for depth in range(1, len(folders) + 1))


def is_object(storage: Storage, prefix: str = "") -> bool:
    """Return whether a folder has an object, or one that was being made, copied or removed."""
    return (
        any(storage.exists(f"{prefix}{root}") for root in ROOT_KEYS)
        or next(storage.iter_files(f"{prefix}{FOLDER}"), None) is not None
    )


def check_mirrors(storage: Storage, document: Document, sizes: dict[str, int]) -> Iterator[Finding]:
    """Find mirrors of groups and arrays that are not what the root says."""
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


def remove_leftovers(storage: Storage, limit: float) -> None:
    """Remove what interrupted changes left."""
    is_place = is_object(storage)
    journal.recover(storage, limit)
    for partial in find_left_partials(storage, entries(storage, limit), limit, is_place):
        storage.drop_partial(partial)


def mend_mirrors(storage: Storage, mirrors: Iterable[str]) -> None:
    """Write mirrors anew, and remove those of what is not there."""
    document = commits.load(storage)
    for key in mirrors:
        path = key.removeprefix(f"{ZARR}/").removesuffix("/zarr.json")
        if path in document.nodes:
            write_mirrors(storage, document, [path])
        else:
            storage.delete(key)
