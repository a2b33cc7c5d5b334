"""Look at the files that an object says to have, where a storage does not tell which there are."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from modos.errors import IntegrityError, NotFoundError
from modos.object import journal
from modos.object.document import Document
from modos.object.stored_trees import load_manifest
from modos.storage import ObjectInfo, Storage
from modos.storage.prefetch import fetch_ahead

_WORKERS = 16


def look_at_files(storage: Storage, document: Document) -> Iterator[ObjectInfo]:
    """Ask for each file of elements, arrays and trees by its key; gives those that are there."""

    def look(key: str, _: threading.Event) -> ObjectInfo | None:
        try:
            return storage.stat(key)
        except NotFoundError:
            return None

    keys = sorted({*journal.files_of(document), *_keys_of_arrays(document), *_keys_of_trees(storage, document)})
    return (info for info in fetch_ahead(look, keys, _WORKERS, 4 * _WORKERS) if info)


def _keys_of_arrays(document: Document) -> Iterator[str]:
    if not document.array_folders():
        return
    from modos.tracks.shard_records import specs_of_nodes

    for spec in specs_of_nodes(document.nodes):
        yield from spec.files()


def _keys_of_trees(storage: Storage, document: Document) -> Iterator[str]:
    for path, element_id in document.data_paths().items():
        if path in document.tree_folders():
            try:
                yield from load_manifest(storage, document.element(element_id)).keys()
            except IntegrityError:  # a check tells it
                continue
