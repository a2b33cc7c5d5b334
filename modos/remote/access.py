"""Open objects of a modos server: on S3 with its credentials, or in the folder that it serves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError, ProtocolError
from modos.remote.served import ServedStorage
from modos.remote.services import (
    Services,
    check_url,
    endpoint_from_environment,
    fetch_json,
    resolve_services,
    token_for,
)
from modos.remote.urls import PACKED, SERVED, served_url
from modos.storage import Storage, open_storage
from modos.storage.connecting import has_credentials
from modos.storage.http.reach import origin
from modos.storage.s3_arguments import anonymous_arguments

_FIELDS = ("access_key", "secret_key", "session_token", "expires")

logger = logging.getLogger(__name__)


def services_of(path: Any, endpoint: str | None, given: Mapping[str, Any] | None) -> Services:
    """Return the services around an object; those of its server for an object at a server.

    Raises
    ------
    InvalidInputError
        It is at another server than the endpoint: the user's token is not meant for it.
    """
    served = SERVED.fullmatch(str(path))
    if not served:
        return resolve_services(endpoint, given)
    server, named = check_url(served["server"], "a modos server"), endpoint or endpoint_from_environment()
    if named and origin(check_url(named, "a modos server")) != origin(server):
        raise InvalidInputError(f"{path} is not at the endpoint {named}", f"leave the endpoint out, or give --endpoint {server}")
    return replace(resolve_services(server, given), root=f"{server}/files", endpoint=server)


def open_remote(url: Any, services: Services, given: dict[str, Any] | None) -> Storage:
    """Open the storage at an `s3://` URL, at `/files/` of a modos server, or in a zip file at these or at any server.

    A URL that ends with `.zip` is asked for once: where there is no such file, it is a folder's.
    """
    text = str(url)
    if (packed := PACKED.fullmatch(text)) and not SERVED.fullmatch(text):
        return _open_packed(packed["file"], packed["inner"], packed["query"] or packed["last"])
    storage = _open_place(url, services, given)
    place = storage.as_file() if text.lower().endswith(".zip") else None
    if place is None:
        return storage
    from modos.storage.zipped import open_zipped

    try:
        return open_zipped(*place, storage.url) or storage
    except AccessError:  # of S3, where it does not tell what is not there
        return storage


def _open_packed(file: str, inner: str | None, query: str) -> Storage:
    """Open a zip file at a server; NotFoundError for what lies in it."""
    from modos.storage.url import AnywhereStorage
    from modos.storage.zipped import ZippedStorage

    if inner and inner.strip("/"):
        raise NotFoundError(f"no MODO at {file}{inner}", f"the object is {file}")
    folder, _, name = file.rpartition("/")
    return ZippedStorage(AnywhereStorage(folder, query=query), unquote(name), file)


def _open_place(url: Any, services: Services, given: dict[str, Any] | None) -> Storage:
    """Open the storage at an `s3://` URL, or at `/files/` of a modos server.

    What is given (arguments of s3fs) stands. Else a server that gives
    credentials is asked for some, for this URL alone, and again before they
    end. One that can give none signs addresses to read from; those are for
    people who have no keys where the AWS tools have them.
    """
    if served := SERVED.fullmatch(str(url)):
        server, key = served["server"], unquote(served["key"] or "").strip("/")
        return ServedStorage(
            f"{server}/files/{key}".rstrip("/"), served_url(server, key or "."), partial(token_for, server, None)
        )
    options = s3_options(url, services, given or anonymous_arguments())
    if (
        options is None
        and services.credentials
        and token_for(services.credentials, services.endpoint)
        and not has_credentials(custom_server=services.s3 is not None)
    ):
        if not services.root or not str(url).startswith(services.root + "/"):
            raise AccessError(
                f"{services.endpoint} gives no access to all of {url}",
                "`modos whoami` shows what you may read, and `modos remote list` the objects",
            )
        key = quote(str(url).removeprefix(services.root + "/"))
        return ServedStorage(
            str(url),
            f"{str(services.endpoint).rstrip('/')}/files/{key}",
            partial(token_for, str(services.credentials), services.endpoint),
        )
    return open_storage(url, s3_url=services.s3, s3_kwargs=options)


def s3_options(url: Any, services: Services, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments of s3fs for an `s3://` URL: those given, or how to ask the server for credentials; or None."""
    if given or not services.credentials or not services.endpoint:
        return given
    if token_for(services.credentials, services.endpoint) is None:
        return given
    for write in (True, False):
        renewal = _Renewal(services, str(url), write)
        try:
            renewal.begin()
        except ModosError as error:
            logger.info("no credentials to %s %s: %s", "write" if write else "read", url, error)
            if not isinstance(error, AccessError):
                break
            continue
        return {"renew": renewal}
    return given


class _Renewal:
    """Credentials of a server for a URL: at first those that it gave, then others. Its pickle has none, but asks anew."""

    is_pickled_without_secrets = True

    def __init__(self, services: Services, url: str, write: bool):
        self._arguments = services, url, write
        self._first: dict[str, str] | None = None

    def begin(self) -> None:
        """Ask for the first ones."""
        self._first = _ask(*self._arguments)

    def __call__(self) -> dict[str, str]:
        first, self._first = self._first, None
        return first or _ask(*self._arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Renewal, self._arguments


def _ask(services: Services, url: str, write: bool) -> dict[str, str]:
    assert services.credentials
    token = token_for(services.credentials, services.endpoint)
    answer = fetch_json(services.credentials, token=token, post={"prefix": url, "write": write})
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in _FIELDS):
        raise ProtocolError(f"{services.credentials} gives no credentials")
    if not _is_time(answer["expires"]):
        raise ProtocolError(f"{services.credentials} does not say until when its credentials are good")
    return {
        "access_key": answer["access_key"],
        "secret_key": answer["secret_key"],
        "token": answer["session_token"],
        "expiry_time": answer["expires"],
    }


def _is_time(text: str) -> bool:
    """Return whether a text is a time of ISO 8601 that says of which zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
