"""Objects of a modos server: on S3, for those who have its token and no keys of S3, and in the folder that it serves."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from modos.errors import AccessError, InvalidInputError, ModosError, ProtocolError
from modos.remote.served import ServedStorage
from modos.remote.services import (
    Services,
    check_url,
    endpoint_from_environment,
    fetch_json,
    resolve_services,
    token_for,
)
from modos.storage import Storage, open_storage
from modos.storage.connecting import has_credentials
from modos.storage.http.reach import origin
from modos.storage.s3_arguments import anonymous_arguments

_FIELDS = ("access_key", "secret_key", "session_token", "expires")

_SERVED = re.compile(r"(?P<server>https?://(?:(?!/(?:reads|variants)/).)+?)/files(?:/(?P<key>.*))?", re.IGNORECASE)

logger = logging.getLogger(__name__)


def is_remote(path: Any) -> bool:
    """Return whether an object is at S3 or at a modos server, and not in a folder of this machine."""
    return str(path).startswith("s3://") or bool(_SERVED.fullmatch(str(path)))


def served_url(endpoint: str, key: str) -> str:
    """Return the URL of a key in the folder that a server gives out; `.` is the folder itself."""
    return f"{endpoint.rstrip('/')}/files" + (f"/{quote(key)}" if key != "." else "")


def services_of(path: Any, endpoint: str | None, given: Mapping[str, Any] | None) -> Services:
    """Return the services around an object; those of its server for an object at a server.

    Raises
    ------
    InvalidInputError
        It is at another server than the endpoint: the user's token is not meant for it.
    """
    served = _SERVED.fullmatch(str(path))
    if not served:
        return resolve_services(endpoint, given)
    server, named = check_url(served["server"], "a modos server"), endpoint or endpoint_from_environment()
    if named and origin(check_url(named, "a modos server")) != origin(server):
        raise InvalidInputError(f"{path} is not at the endpoint {named}", f"leave the endpoint out, or give --endpoint {server}")
    return replace(resolve_services(server, given), root=f"{server}/files", endpoint=server)


def open_remote(url: Any, services: Services, given: dict[str, Any] | None) -> Storage:
    """Open the storage at an `s3://` URL, or at `/files/` of a modos server.

    What is given (arguments of s3fs) stands. Else a server that gives
    credentials is asked for some, for this URL alone, and again before they
    end. One that can give none signs addresses to read from; those are for
    people who have no keys where the AWS tools have them.
    """
    if served := _SERVED.fullmatch(str(url)):
        server, key = served["server"], unquote(served["key"] or "").strip("/")
        return ServedStorage(f"{server}/files/{key}".rstrip("/"), served_url(server, key or "."), lambda: token_for(server, None))
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
            lambda: token_for(str(services.credentials), services.endpoint),
        )
    return open_storage(url, s3_url=services.s3, s3_kwargs=options)


def s3_options(url: Any, services: Services, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments of s3fs for an `s3://` URL: those given, or how to ask the server for credentials; or None."""
    if given or not services.credentials or not services.endpoint:
        return given
    if token_for(services.credentials, services.endpoint) is None:
        return given
    for write in (True, False):
        try:
            first = _ask(services, str(url), write)
        except ModosError as error:
            logger.info("no credentials to %s %s: %s", "write" if write else "read", url, error)
            if not isinstance(error, AccessError):
                break
            continue
        return {"renew": _renewing(first, partial(_ask, services, str(url), write))}
    return given


def _renewing(first: dict[str, str], ask: Callable[[], dict[str, str]]) -> Callable[[], dict[str, str]]:
    """Return what gives the first credentials once, and asks for others after that."""
    pending = [first]
    return lambda: pending.pop() if pending else ask()


def check_no_secrets(given: dict[str, Any] | None) -> None:
    """Refuse arguments of s3fs that are not to be in a pickle.

    Raises
    ------
    AccessError
        There are secrets in them.
    """
    names = {str(name).lower() for part in (given or {}, (given or {}).get("client_kwargs") or {}) for name in part}
    if any(word in name for name in names for word in ("secret", "token", "password", "session", "renew")):
        raise AccessError(
            "an object that was opened with keys of S3 is not pickled: they would be in the pickle",
            "open it without s3_kwargs, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which the "
            "processes inherit that are started",
        )


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
