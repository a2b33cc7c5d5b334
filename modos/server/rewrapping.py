"""Ask a key service for the header of an encrypted file, made for somebody who is no recipient of the file."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from modos.encryption.header import Header, read_header
from modos.encryption.keys import PublicKey
from modos.errors import DecryptError, InvalidInputError, ModosError, RemoteError, TransportError
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER, HtsgetError
from modos.remote.services import check_url
from modos.storage.http.asking import ask, read_json, transport_reason

LARGEST = 1 << 20  # bytes of a header
TIMEOUT, DEADLINE = (3, 10), 15.0  # seconds to connect, without a byte, and in all
_MOST = 16  # requests to the service at once: each takes a thread of the server, which has 40 for all
_PATIENCE = 1.0  # seconds to wait for one of these to end
_PASSED_ON = ("PermissionDenied", "InvalidAuthentication", "NotFound", "InvalidInput")  # errors that are the client's


class KeyService:
    """A key service, as a server of encrypted files asks it.

    Parameters
    ----------
    url
        Of the service. What callers are known by is sent there: https, unless
        it is on this machine or has a name without a dot, as in a network of containers.

    Raises
    ------
    InvalidInputError
        It is not such a URL.
    """

    def __init__(self, url: str):
        self.url = check_url(url, "--rewrap").rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not _is_near(parts.hostname or ""):
            raise InvalidInputError(
                f"--rewrap {self.url}: the tokens of callers are sent there, and would be read on the way",
                "use https; http is for this machine and a network of containers",
            )
        self._places = threading.BoundedSemaphore(_MOST)
        self._is_failing = False

    def fetch_header(self, key: str, header: Header, reader: PublicKey, authorization: str | None) -> Header:
        """Fetch a header for a reader.

        Parameters
        ----------
        key
            Of the encrypted file.
        authorization
            The caller's header of that name.

        Raises
        ------
        HtsgetError
            The service refuses the caller.
        RemoteError
            It does not answer, or with something else than such a header.
        """
        headers = {PUBLIC_KEY_HEADER: str(reader), "Content-Type": "application/octet-stream"}
        headers |= {"Authorization": authorization} if authorization else {}
        with self._place():
            status, answer = self._ask(key, header, headers)
        if status != 200:
            raise self._refusal(status, answer)
        try:
            found = read_header(lambda start, end: answer[start:end])
        except DecryptError as error:
            raise RemoteError(f"the key service {self.url} answers with no header: {error.message}") from None
        if found.size != len(answer):
            raise RemoteError(f"the key service {self.url} answers with more than a header")
        return found

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take a place for a request; while the service fails and all are taken, there is no waiting for one.

        Those who need no header made are served by the same threads.
        """
        if not self._places.acquire(timeout=0 if self._is_failing else _PATIENCE):
            self._is_failing = True
            raise TransportError(f"the key service {self.url} does not answer {_MOST} requests that came before")
        try:
            yield
        except TransportError:
            self._is_failing = True
            raise
        else:
            self._is_failing = False
        finally:
            self._places.release()

    def _ask(self, key: str, header: Header, headers: dict[str, str]) -> tuple[int, bytes]:
        import requests
        from urllib3.exceptions import HTTPError

        try:
            return ask(
                "POST",
                f"{self.url}/rewrap/{quote(key)}",
                limit=LARGEST,
                timeout=TIMEOUT,
                deadline=DEADLINE,
                data=header.to_bytes(),
                headers=headers,
                auth=lambda request: request,  # no netrc
                proxies=None if self.url.startswith("https:") else {"http": None, "all": None},  # would read the token
            )
        except ModosError:
            raise
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TransportError(f"the key service {self.url} cannot be reached: {transport_reason(error)}") from None

    def _refusal(self, status: int, answer: bytes) -> ModosError:
        try:
            told = read_json(answer)["htsget"]
            name, message = str(told["error"]), str(told["message"])[:300]
        except (ValueError, KeyError, TypeError):
            name, message = "", ""
        if status < 500 and name in _PASSED_ON:
            return HtsgetError(name, f"the key service refuses it: {message}")
        return RemoteError(f"the key service {self.url} failed (HTTP {status})")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host
