"""Objects on S3 for those who have a token of a modos server, and no keys of S3."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

from modos.config import Services, fetch_json, token_for
from modos.errors import AccessError, ModosError, ProtocolError
from modos.storage import Storage, open_storage
from modos.storage.connecting import has_credentials
from modos.storage.served import ServedStorage

_FIELDS = ("access_key", "secret_key", "session_token", "expires")

logger = logging.getLogger(__name__)


def open_remote(url: Any, services: Services, given: dict | None) -> Storage:
    """The storage at an `s3://` URL.

    What is given (arguments of s3fs) stands. Else a server that gives
    credentials is asked for some, for this URL alone, and again before they
    end. One that can give none signs addresses to read from; those are for
    people who have no keys where the AWS tools have them.
    """
    options = s3_options(url, services, given)
    if options is None and services.credentials and token_for(services.credentials, services.endpoint) \
            and not has_credentials(custom_server=services.s3 is not None):
        if not services.root or not str(url).startswith(services.root + "/"):
            raise AccessError(f"{services.endpoint} gives no access to all of {url}",
                              "`modos whoami` shows what you may read, and `modos remote list` the objects")
        key = quote(str(url).removeprefix(services.root + "/"))
        return ServedStorage(str(url), f"{str(services.endpoint).rstrip('/')}/files/{key}",
                             lambda: token_for(str(services.credentials), services.endpoint))
    return open_storage(url, s3_url=services.s3, s3_kwargs=options)


def s3_options(url: Any, services: Services, given: dict | None) -> dict | None:
    """The arguments of s3fs for an `s3://` URL: what is given, or how to ask the server for credentials; or None."""
    if given or not services.credentials or not services.endpoint:
        return given
    if token_for(services.credentials, services.endpoint) is None:
        return given
    for write in (True, False):
        try:
            pending = [_ask(services, str(url), write)]
        except ModosError as error:
            logger.info("no credentials to %s %s: %s", "write" if write else "read", url, error)
            if not isinstance(error, AccessError):
                break
            continue
        return {"renew": lambda: pending.pop() if pending else _ask(services, str(url), write)}
    return given


def check_no_secrets(given: dict | None) -> None:
    """Refuse arguments of s3fs that are not to be in a pickle.

    Raises
    ------
    AccessError
        There are secrets in them.
    """
    names = {str(name).lower() for part in (given or {}, (given or {}).get("client_kwargs") or {}) for name in part}
    if any(word in name for name in names for word in ("secret", "token", "password", "session", "renew")):
        raise AccessError("an object that was opened with keys of S3 is not pickled: they would be in the pickle",
                          "open it without s3_kwargs, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which the "
                          "processes inherit that are started")


def _ask(services: Services, url: str, write: bool) -> dict[str, str]:
    assert services.credentials
    token = token_for(services.credentials, services.endpoint)
    answer = fetch_json(services.credentials, token=token, post={"prefix": url, "write": write})
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in _FIELDS):
        raise ProtocolError(f"{services.credentials} gives no credentials")
    return {"access_key": answer["access_key"], "secret_key": answer["secret_key"], "token": answer["session_token"],
            "expiry_time": answer["expires"]}
