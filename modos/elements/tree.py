"""An object's groups and arrays, as zarr-python reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from modos.elements.document import ROOT_KEY, ZARR, Document
from modos.errors import NotFoundError
from modos.storage import Storage

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

_ROOT = ROOT_KEY.removeprefix(f"{ZARR}/")


class DocumentStore(Store):
    """What a document says of groups and arrays, and the chunks that the storage has; read, not written.

    Parameters
    ----------
    storage
        The object's.
    document
        Its root document.
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, storage: Storage, document: Document):
        super().__init__(read_only=True)
        self._storage = storage
        self._root = document.to_bytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DocumentStore) and (self._storage.url, self._root) == (other._storage.url, other._root)

    def with_read_only(self, read_only: bool = False) -> Store:
        if not read_only:
            raise ValueError("an object is changed by its own methods: add_element, update_element, remove_element")
        return self

    async def get(self, key: str, prototype: BufferPrototype, byte_range: Any = None) -> Buffer | None:
        data = self._root if key == _ROOT else await asyncio.to_thread(self._read, key)
        return None if data is None else prototype.buffer.from_bytes(_part(data, byte_range))

    def _read(self, key: str) -> bytes | None:
        try:
            return self._storage.read(f"{ZARR}/{key}")[0]
        except NotFoundError:
            return None

    async def get_partial_values(self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, Any]]) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return key == _ROOT or await asyncio.to_thread(self._storage.exists, f"{ZARR}/{key}")

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()

    async def delete(self, key: str) -> None:
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError("the root tells what there is")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("the root tells what there is")

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError("the root tells what there is")


def _part(data: bytes, wanted: Any) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        return data[wanted.start:wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return data[wanted.offset:]
    if isinstance(wanted, SuffixByteRequest):
        return data[-wanted.suffix:] if wanted.suffix else b""
    return data
