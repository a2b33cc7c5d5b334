"""Credentials of S3 for those who have a token of a modos server and none of S3."""

from __future__ import annotations

import logging
from typing import Any

from modos.config import Services, fetch_json, token_for
from modos.errors import AccessError, ModosError, ProtocolError

_FIELDS = ("access_key", "secret_key", "session_token", "expires")

logger = logging.getLogger(__name__)


def s3_options(url: Any, services: Services, given: dict | None) -> dict | None:
    """The arguments of s3fs for an `s3://` URL.

    What is given stands. Else a server that gives credentials is asked for
    some, for this URL alone, and again before they end; where it gives none,
    they come from where the AWS tools have them.
    """
    if given or not services.credentials or not services.endpoint:
        return given
    token = token_for(services.credentials, services.endpoint)
    if token is None:
        return given
    try:
        first = _ask(services, str(url), write=True)
        write = True
    except AccessError:
        try:
            first, write = _ask(services, str(url), write=False), False
        except AccessError as error:
            logger.info("no credentials for %s: %s", url, error)
            return given
    except ModosError as error:
        logger.info("no credentials for %s: %s", url, error)
        return given
    pending = [first]

    def renew() -> dict[str, str]:
        return pending.pop() if pending else _ask(services, str(url), write)

    return {"renew": renew}


def _ask(services: Services, url: str, write: bool) -> dict[str, str]:
    assert services.credentials
    token = token_for(services.credentials, services.endpoint)
    answer = fetch_json(services.credentials, token=token, post={"prefix": url, "write": write})
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in _FIELDS):
        raise ProtocolError(f"{services.credentials} gives no credentials")
    return {"access_key": answer["access_key"], "secret_key": answer["secret_key"], "token": answer["session_token"],
            "expiry_time": answer["expires"]}
