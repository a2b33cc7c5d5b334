"""Read files from any URL that fsspec reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from modos.errors import AccessError, ConflictError, InvalidInputError, ModosError, NotFoundError, ProtocolError, TransportError
from modos.storage.base import ObjectInfo, check_key, piece_size, pieces_ahead
from modos.storage.event_loop import Filesystem
from modos.storage.http.asking import transport_reason
from modos.storage.readonly import ReadOnlyStorage

_CHUNK = 4 << 20  # bytes per piece when a file is read as a stream
_WORKERS = 4
_MAX_WHOLE = 256 << 20  # bytes of a file that is read at once
_PATIENCE, _MAX_PATIENCE = 60.0, 300.0  # seconds for an answer without bytes, and for any
_SLOWEST = 50_000  # bytes in a second


def _no_token() -> None:
    """Give no token."""


class AnywhereStorage(ReadOnlyStorage):
    """Files below a URL of fsspec; nothing can be listed or written.

    Parameters
    ----------
    url
        `https://host/path`, or one of another scheme that fsspec knows.
    token
        Gives the bearer token that is sent with every request, over HTTP.
    query
        What follows the path of every file, over HTTP: `?` and a signature, say, which no message tells.

    Raises
    ------
    InvalidInputError
        fsspec knows no such scheme, or lacks the package that it takes.
    """

    def __init__(self, url: str, token: Callable[[], str | None] = _no_token, *, query: str = ""):
        super().__init__(url)
        self._token = token
        self._query = query
        scheme, _, rest = self._url.partition("://")
        self._is_http = scheme in ("http", "https")
        self._filesystem = Filesystem(partial(_open_filesystem, url, token if self._is_http else None, bool(query)))
        try:
            self._filesystem.get()
        except ModosError:
            raise
        except Exception as error:  # each service has its own
            raise InvalidInputError(
                f"{url} cannot be read: {error}", "give a folder, s3://bucket/prefix or https://host/path"
            ) from None
        self._root = self._url if self._is_http else rest
        self._infos: dict[str, ObjectInfo] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the URL, without a token, for which unpickling asks anew; AccessError if it has a password or a signature."""
        if urlsplit(self._url).password or self._query:
            what = "signature" if self._query else "password"
            raise AccessError(f"a URL with a {what} is not pickled: it would be in the pickle", "open it in each process")
        return AnywhereStorage, (self._url, self._token)

    @property
    def _fs(self) -> Any:
        return self._filesystem.get()

    def child(self, prefix: str) -> AnywhereStorage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        other = AnywhereStorage.__new__(AnywhereStorage)
        other.__dict__ |= {
            **vars(self),
            "_url": f"{self._url}/{check_key(prefix)}",
            "_root": f"{self._root}/{prefix}",
            "_infos": {},
        }
        return other

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        info = self._ask(key, "info")
        size = info.get("size")
        if not isinstance(size, int):
            raise ProtocolError(f"{self._url}/{key}: the server does not say how large it is")
        tag = info.get("ETag") or info.get("Last-Modified") or info.get("mtime") or size
        found = self._infos[key] = ObjectInfo(key, size, str(tag))
        return found

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        info = self.stat(key)
        if info.size > _MAX_WHOLE:
            raise ProtocolError(f"{self._url}/{key} has {info.size:,} bytes, which is too much for it")
        data = self._read(info, 0, info.size)
        return data, str(len(data))

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        info = self._infos.get(key)
        if info is None or (if_match is not None and (info.etag != if_match or not self._is_http)):
            info = self.stat(key)
        if if_match is not None and info.etag != if_match:
            raise _changed_error(f"{self._url}/{key}")
        end = min(end, info.size)
        return (self._read(info, start, end, is_pinned=if_match is not None) if end > start else b""), info

    def _read(self, info: ObjectInfo, start: int, end: int, *, is_pinned: bool = False) -> bytes:
        """Read bytes [start, end), and never more, whatever a server sends."""
        headers = {"Range": f"bytes={start}-{end - 1}"} if start or end < info.size else {}
        data: bytes = self._ask(info.key, "open", start, end, headers, info if is_pinned else None)
        if len(data) != end - start:
            raise ProtocolError(f"{self._url}/{info.key}: {end - start:,} bytes were asked for, and {len(data):,} came")
        return data

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; see `Storage.iter_range`."""
        return pieces_ahead(self, key, start, end, piece_size(_CHUNK, unit), _WORKERS)

    def _ask(
        self,
        key: str,
        what: str,
        start: int = 0,
        end: int = 0,
        headers: Mapping[str, str] | None = None,
        expected: ObjectInfo | None = None,
    ) -> Any:
        check_key(key)
        where = f"{self._root}/{quote(key)}{self._query}" if self._is_http else f"{self._root}/{key}"
        try:
            if what == "info":
                return self._fs.info(where)
            if self._is_http:
                return self._get(where, f"{self._url}/{key}", end - start, headers or {}, expected)
            with self._fs.open(where, "rb") as file:
                file.seek(start)
                return file.read(end - start)
        except Exception as error:  # each service has its own
            hidden = error.__cause__ if isinstance(error, FileNotFoundError) else None  # over HTTP any failure may be one
            raise self._explain(key, hidden or error) from None

    def _get(self, url: str, name: str, size: int, headers: Mapping[str, str], expected: ObjectInfo | None) -> bytes:
        data = bytearray()
        with self._fs.open(
            url, "rb", block_size=0, size=size, headers={"Accept-Encoding": "identity", **headers}, timeout=_timeout(size)
        ) as file:
            if headers and file.r.status != 206:
                raise ProtocolError(
                    f"{name}: a range was asked for, and the server answers HTTP {file.r.status}", "it has to support ranges"
                )
            if expected and not _is_of(file.r.headers, expected):
                raise _changed_error(name)
            while len(data) < size and (piece := file.read(size - len(data))):
                data += piece
        return bytes(data)

    def _explain(self, key: str, error: BaseException) -> ModosError:
        cause = getattr(error, "os_error", error)  # aiohttp's own words tell less
        if isinstance(cause, ModosError):
            return cause
        where, status = f"{self._url}/{key}", getattr(error, "status", None)
        if isinstance(error, FileNotFoundError) or status in (404, 410):
            return NotFoundError(f"no file {where}")
        if isinstance(error, PermissionError) or status in (401, 403):
            return AccessError(f"no access to {where}{f': HTTP {status}' if status else ''}", "log in with `modos login`")
        known = {ConnectionRefusedError: "connection refused", TimeoutError: "timed out"}
        reason = f"HTTP {status}" if status else next((words for kind, words in known.items() if isinstance(cause, kind)), None)
        reason = reason or transport_reason(cause)
        return TransportError(f"cannot read {where}: {reason}", "is the server running?")

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        return f"{self._root}/{quote(check_key(key))}{self._query}" if self._is_http else None

    def _refuse(self, what: str) -> NoReturn:
        raise AccessError(f"cannot {what} {self._url}: it is only read", "give a folder, or s3://bucket/prefix")


def _is_of(headers: Mapping[str, str], info: ObjectInfo) -> bool:
    """Return whether an answer is of the file in the state in which it was looked at, as far as the answer says."""
    tag, total = headers.get("ETag") or headers.get("Last-Modified"), headers.get("Content-Range", "").rpartition("/")[2]
    return (not tag or tag == info.etag) and (not total.isdecimal() or int(total) == info.size)


def _changed_error(where: str) -> ConflictError:
    return ConflictError(f"{where} was changed while it was read", "open it again")


def _open_filesystem(url: str, token: Callable[[], str | None] | None, is_encoded: bool, loop: Any) -> Any:
    """Open fsspec's filesystem for a URL: over HTTP with a token, and with limits to redirects and times."""
    import fsspec

    options = {} if token is None else _http_options(url, token(), is_encoded, loop)
    return fsspec.filesystem(url.partition("://")[0], skip_instance_cache=True, **options)


def _http_options(url: str, token: str | None, is_encoded: bool, loop: Any) -> dict[str, Any]:
    """Return the options of fsspec's HTTP: where the server may lead to, how long it may take, whether URLs stay as they are."""
    from modos.storage.watched import open_client

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {
        "loop": loop,
        "encoded": is_encoded,
        "get_client": partial(open_client, url),
        "client_kwargs": {"headers": {"Accept-Encoding": "identity", **headers}, "timeout": _timeout(0)},
    }


def _timeout(size: int) -> Any:
    """Return how many seconds an answer of so many bytes may take, however slowly they trickle."""
    from aiohttp import ClientTimeout

    return ClientTimeout(total=min(_PATIENCE + size / _SLOWEST, _MAX_PATIENCE))
