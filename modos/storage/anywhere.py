"""Files wherever fsspec reads: over HTTP, and at the services that it has packages for. They are read, not written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from modos.config import transport_reason
from modos.errors import AccessError, InvalidInputError, NotFoundError, ProtocolError, TransportError
from modos.storage.base import MAX_READ, ObjectInfo, Partial, Storage, check_key, piece_size, pieces_ahead

_CHUNK = 4 << 20  # bytes per piece when a file is read as a stream
_WORKERS = 4


class AnywhereStorage(Storage):
    """Files below a URL of fsspec; nothing can be listed or written.

    Parameters
    ----------
    url
        `https://host/path`, or one of another scheme that fsspec knows.
    headers
        That are sent with every request, over HTTP.

    Raises
    ------
    InvalidInputError
        fsspec knows no such scheme, or lacks the package that it takes.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None):
        import fsspec

        self._url = url.rstrip("/")
        scheme, _, rest = self._url.partition("://")
        self._is_http = scheme in ("http", "https")
        options: dict[str, Any] = {"client_kwargs": {"headers": {"Accept-Encoding": "identity", **(headers or {})}}} if self._is_http else {}
        try:
            self._fs = fsspec.filesystem(scheme, **options)
        except (ValueError, ImportError) as error:
            raise InvalidInputError(f"{url} cannot be read: {error}", "give a folder, s3://bucket/prefix or https://host/path") from None
        self._root = self._url if self._is_http else rest
        self._sizes: dict[str, int] = {}

    @property
    def url(self) -> str:
        return self._url

    @property
    def path(self) -> Path:
        return Path(self._url.partition("://")[2])

    def child(self, prefix: str) -> AnywhereStorage:
        other = AnywhereStorage.__new__(AnywhereStorage)
        other.__dict__ |= {**vars(self), "_url": f"{self._url}/{check_key(prefix)}", "_root": f"{self._root}/{prefix}", "_sizes": {}}
        return other

    def stat(self, key: str) -> ObjectInfo:
        info = self._ask(key, "info")
        size = info.get("size")
        if not isinstance(size, int):
            raise ProtocolError(f"{self._url}/{key}: the server does not say how large it is")
        self._sizes[key] = size
        return ObjectInfo(key, size, str(info.get("ETag") or info.get("mtime") or size))

    def read(self, key: str) -> tuple[bytes, str]:
        data = self._ask(key, "cat_file", end=MAX_READ) if not self._is_http else self._ask(key, "cat_file")
        return data, str(len(data))

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        info = ObjectInfo(key, self._sizes[key], "") if key in self._sizes and not if_match else self.stat(key)
        end = min(end, info.size)
        if end <= start:
            return b"", info
        data = self._ask(key, "cat_file", start=start, end=end)
        if len(data) != end - start:
            raise ProtocolError(f"{self._url}/{key}: {end - start:,} bytes were asked for, and {len(data):,} came", "the server may lack ranges")
        return data, info

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        return pieces_ahead(self, key, start, end, piece_size(_CHUNK, unit), _WORKERS)

    def _ask(self, key: str, method: str, **options: Any) -> Any:
        check_key(key)
        where = f"{self._root}/{quote(key) if self._is_http else key}"
        try:
            return getattr(self._fs, method)(where, **options)
        except FileNotFoundError:
            raise NotFoundError(f"no file {self._url}/{key}") from None
        except PermissionError:
            raise AccessError(f"no access to {self._url}/{key}", "see `modos whoami`") from None
        except Exception as error:  # each service has its own
            status = getattr(error, "status", None)
            if status in (401, 403):
                raise AccessError(f"no access to {self._url}/{key}: HTTP {status}", "log in with `modos login`") from None
            cause = getattr(error, "os_error", error)  # aiohttp's own words tell less
            reason = f"HTTP {status}" if status else "connection refused" if isinstance(cause, ConnectionRefusedError) else transport_reason(cause)
            raise TransportError(f"cannot read {self._url}/{key}: {reason}",
                                 "is the server running?") from None

    def presign(self, key: str, expires: int) -> str | None:
        return f"{self._root}/{quote(check_key(key))}" if self._is_http else None

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._refuse("list")

    def find(self, name: str) -> Iterator[ObjectInfo]:
        self._refuse("list")

    def list_folders(self, prefix: str = "") -> list[str]:
        self._refuse("list")

    def partial_writes(self) -> list[Partial]:
        return []

    def drop_partial(self, partial: Partial) -> None:
        self._refuse("change")

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, durable: bool = True) -> str:
        self._refuse("change")

    def write_stream(self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False) -> None:
        self._refuse("change")

    def delete(self, key: str) -> None:
        self._refuse("change")

    def _refuse(self, what: str) -> NoReturn:
        raise AccessError(f"cannot {what} {self._url}: it is only read", "give a folder, or s3://bucket/prefix")
