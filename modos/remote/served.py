"""Read objects through a modos server, by addresses that it signs or from the server itself."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import quote, urljoin, urlsplit

from modos.errors import (
    AccessError,
    ConflictError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    TransportError,
)
from modos.formats import STORED_KEY_HEADER
from modos.storage.base import MAX_READ, ObjectInfo, check_key, piece_size, pieces_ahead
from modos.storage.http.reach import check_reach
from modos.storage.processes import forking
from modos.storage.readonly import ReadOnlyStorage

_CHUNK = 4 << 20  # bytes per piece when a file is read as a stream
_WORKERS = 4
_TIMEOUT = (10, 60)  # seconds to connect, between two bytes
_PATIENCE = 300.0  # seconds for an answer, however slowly it trickles
_KEPT = 600.0  # seconds for which a signed address is used; it is good for an hour


class ServedStorage(ReadOnlyStorage):
    """Files below `s3://bucket/prefix`, or in a folder, that a server gives out; nothing can be listed or written.

    Parameters
    ----------
    url
        The `s3://` URL, or that of the server.
    files_url
        Where the server has what is below it.
    token
        Gives the bearer token for the server, and for it alone.
    """

    def __init__(self, url: str, files_url: str, token: Callable[[], str | None]):
        super().__init__(url)
        self._files_url = files_url.rstrip("/")
        self._token = token
        self._signed: dict[str, tuple[str, float]] = {}
        self._is_direct = False
        forking.begin(self, ServedStorage._start)

    def _start(self) -> None:
        import requests

        from modos.storage.http.redirects import mount

        self._session = mount(requests.Session(), self._files_url)
        self._session.auth = lambda request: request  # no netrc: the token is the only credential
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the URLs, and without a token: unpickling asks for it anew."""
        return ServedStorage, (self._url, self._files_url, self._token)

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""
        return True

    def child(self, prefix: str) -> ServedStorage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        return ServedStorage(f"{self._url}/{check_key(prefix)}", f"{self._files_url}/{quote(prefix)}", self._token)

    def as_file(self) -> tuple[ServedStorage, str]:
        """Return the storage above this one, and the key of the root in it; see `Storage.as_file`."""
        (url, _, key), files_url = self._url.rpartition("/"), self._files_url.rpartition("/")[0]
        return ServedStorage(url, files_url, self._token), key

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        with self._ask("HEAD", key) as answer:
            size = answer.headers.get("Content-Length", "")
            if not re.fullmatch("[0-9]{1,18}", size):
                raise ProtocolError(f"{self._url}/{key}: the server does not say how large it is")
            return ObjectInfo(key, int(size), answer.headers.get("ETag", ""))

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        with self._get(key, {}) as answer:
            data = self._body(answer, key, MAX_READ)
            return data, answer.headers.get("ETag", "")

    def read_changed(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """Read a file if its tag has changed; see `Storage.read_changed`."""
        with self._get(key, {"If-None-Match": tag}) as answer:
            if answer.status_code == 304:
                return None
            data, now = self._body(answer, key, MAX_READ), answer.headers.get("ETag", "")
            return None if now == tag else (data, now)

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        if end <= start:
            return b"", self.stat(key)
        conditions = {"If-Match": if_match} if if_match else {}
        with self._get(key, {"Range": f"bytes={start}-{end - 1}"} | conditions) as answer:
            if answer.status_code == 416:
                return b"", self.stat(key)
            if answer.status_code != 206:
                raise ProtocolError(f"{self._url}/{key}: a range was asked for, and the server answers HTTP {answer.status_code}")
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if not re.fullmatch("[0-9]{1,18}", total):
                raise ProtocolError(f"{self._url}/{key}: the server does not say which bytes it sends")
            tag = answer.headers.get("ETag", "")
            if if_match and tag != if_match:
                raise ConflictError(f"{self._url}/{key} was changed while it was read")
            return self._body(answer, key, end - start), ObjectInfo(key, int(total), tag)

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; see `Storage.iter_range`."""
        return pieces_ahead(self, key, start, end, piece_size(_CHUNK, unit), _WORKERS)

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        return None

    def _refuse(self, what: str) -> NoReturn:
        if not self._url.startswith("s3://"):
            raise AccessError(f"cannot {what} {self._url}: a server is only read", "do that where its folder is")
        raise AccessError(
            f"cannot {what} {self._url}: its server gives no credentials of S3, only addresses to read from",
            "for that, get keys of S3 and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )

    def _get(self, key: str, headers: dict[str, str]) -> Any:
        """Get the answer of S3 at an address that the server has signed, renewed if it has expired; or the server's own."""
        for again in (True, False):
            address = None if self._is_direct else self._address(key)
            if address is None:
                return self._ask("GET", key, headers)
            answer = self._send("GET", address, headers)
            if answer.status_code == 403 and again:
                answer.close()
                self._signed.pop(key, None)
                continue
            self._check(answer, key)
            return answer
        raise AssertionError

    def _address(self, key: str) -> str | None:
        """Return where a file is on S3; None if the server itself sends it."""
        with self._lock:
            url, until = self._signed.get(key, ("", 0.0))
            if time.monotonic() < until:
                return url
        with self._ask("GET", key) as answer:
            location: str | None = answer.headers.get("Location")
        if not location and answer.status_code == 200:
            self._is_direct = True
            return None
        if not location:
            raise ProtocolError(f"{self._files_url} signs no address for {key}")
        try:
            url = urljoin(self._files_url, location)
        except ValueError:
            raise ProtocolError(f"{self._files_url} leads to what is no address for {key}: {location[:100]}") from None
        check_reach(url, self._files_url, "the modos server")
        with self._lock:
            self._signed[key] = url, time.monotonic() + _KEPT
        return url

    def _ask(self, method: str, key: str, headers: Mapping[str, str] | None = None) -> Any:
        token = self._token()
        answer = self._send(
            method,
            f"{self._files_url}/{quote(check_key(key))}",
            {STORED_KEY_HEADER: "1", **(headers or {})} | ({"Authorization": f"Bearer {token}"} if token else {}),
        )
        self._check(answer, key)
        return answer

    def _send(self, method: str, url: str, headers: dict[str, str]) -> Any:
        import requests

        try:
            return self._session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity"} | headers,
                stream=True,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except ModosError:
            raise
        except (requests.RequestException, OSError) as error:
            raise TransportError(f"cannot reach {_server_of(url)}: {type(error).__name__}", "is the server running?") from None

    def _check(self, answer: Any, key: str) -> None:
        status = answer.status_code
        if status < 400 or status == 416:
            return
        answer.close()
        where, server = f"{self._url}/{key}", _server_of(answer.url)
        if status == 404:
            raise NotFoundError(f"no file {where}")
        if status == 412:
            raise ConflictError(f"{where} was changed while it was read")
        if status in (401, 403):
            raise AccessError(f"{server} refuses access to {where} (HTTP {status})", "see what you may read with `modos whoami`")
        if status == 400:
            raise InvalidInputError(f"{server} does not take {where}")
        raise RemoteError(f"{server} failed on {where}: HTTP {status}")

    def _body(self, answer: Any, key: str, most: int) -> bytes:
        from urllib3.exceptions import HTTPError

        data, end = bytearray(), time.monotonic() + _PATIENCE
        try:
            while len(data) <= most and time.monotonic() < end and (piece := answer.raw.read1(most + 1 - len(data))):
                data += piece
        except (HTTPError, OSError) as error:
            raise TransportError(f"the connection broke on {self._url}/{key}: {type(error).__name__}") from None
        if time.monotonic() >= end:
            answer.close()
            raise TransportError(
                f"the answer to {self._url}/{key} timed out: {len(data):,} bytes came in {_PATIENCE:.0f} s", "try again later"
            )
        if len(data) > most:
            raise RemoteError(f"{self._url}/{key} has more bytes than were asked for")
        return bytes(data)


def _server_of(url: str) -> str:
    """Name the server that was asked, without the path, which for S3 carries a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
