"""A read-only Zarr store over an object, for zarr-python."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store

from modos.errors import NotFoundError
from modos.formats import ZARR
from modos.object.document import Document, group_node
from modos.object.marks import OWN_NODE
from modos.storage import Storage
from modos.trees.tree_store import refuse_code

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

_METADATA = "zarr.json"
_OLD_METADATA = (".zgroup", ".zattrs", ".zarray")


def open_arrays(storage: Storage, document: Document, path: str = "") -> Any:
    """Open the groups and arrays of an object, or those at a path, as a zarr.Group or a zarr.Array, read-only."""
    store = DocumentStore(storage, document)
    group = zarr.open_group(store, mode="r", zarr_format=2 if store.is_old else 3, use_consolidated=False)
    return group[path] if path else group


class DocumentStore(Store):  # noqa: PLW1641 - a store is not hashed
    """Zarr store, read-only: groups and arrays of a document, and the chunks in the storage.

    Of an object in the layout of Zarr v2 it is a store of Zarr v2.

    Parameters
    ----------
    storage
        The object's.
    document
        Its root document.
    """

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, storage: Storage, document: Document):
        super().__init__(read_only=True)
        self._storage = storage
        self.is_old = document.zarr_format == 2
        nodes = {"": group_node(document.attributes), **document.nodes}
        self._nodes = {
            path: {name: value for name, value in node.items() if name != "consolidated_metadata"}
            for path, node in nodes.items()
            if path != OWN_NODE
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DocumentStore) and (self._storage.url, self._nodes) == (other._storage.url, other._nodes)

    def with_read_only(self, read_only: bool = False) -> Store:
        """Return the store itself; raise ValueError if it should be writable."""
        if not read_only:
            raise ValueError("an object is changed by its own methods: add_element, update_element, remove_element")
        return self

    async def get(self, key: str, prototype: BufferPrototype, byte_range: Any = None) -> Buffer | None:
        """Read a value or a part of it; None if there is none."""
        data = await asyncio.to_thread(self._read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _read(self, key: str, wanted: Any) -> bytes | None:
        path, _, name = key.rpartition("/")
        if name == _METADATA:
            return json.dumps(self._nodes[path]).encode() if path in self._nodes and not self.is_old else None
        if self.is_old and name.startswith(".z"):
            return self._read_old(path, name)
        try:
            if wanted is None:
                return self._storage.read(f"{ZARR}/{key}")[0]
            start, end = self._span(key, wanted)
            return self._storage.read_part(f"{ZARR}/{key}", start, end)[0]
        except NotFoundError:
            return None

    def _read_old(self, path: str, name: str) -> bytes | None:
        if path not in self._nodes or name not in _OLD_METADATA:
            return None
        try:
            data = self._storage.read(f"{ZARR}/{path}/{name}" if path else f"{ZARR}/{name}")[0]
        except NotFoundError:
            return None
        refuse_code(f"{self._storage.url}/{ZARR}/{path}", data)
        return data

    def _span(self, key: str, wanted: Any) -> tuple[int, int]:
        """Return where a part of a chunk begins and ends."""
        if isinstance(wanted, RangeByteRequest):
            return wanted.start, wanted.end
        size = self._storage.stat(f"{ZARR}/{key}").size
        return (wanted.offset if isinstance(wanted, OffsetByteRequest) else max(size - wanted.suffix, 0)), size

    async def get_partial_values(self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, Any]]) -> list[Buffer | None]:
        """Read parts of several values."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is a value at a key."""
        path, _, name = key.rpartition("/")
        if name == _METADATA:
            return path in self._nodes and not self.is_old
        return await asyncio.to_thread(self._storage.exists, f"{ZARR}/{key}")

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        self._check_writable()

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the groups and arrays directly below one."""
        place = prefix.strip("/")
        for path in self._nodes:
            parent, _, name = path.rpartition("/")
            if path and parent == place:
                yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the files below a group or an array."""
        place = prefix.strip("/")
        for info in await asyncio.to_thread(lambda: list(self._storage.iter_files(f"{ZARR}/{place}".rstrip("/")))):
            yield info.key.removeprefix(f"{ZARR}/")

    def list(self) -> AsyncIterator[str]:
        """List all files."""
        return self.list_prefix("")
