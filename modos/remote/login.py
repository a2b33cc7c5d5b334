"""Log in to a modos server, with the OAuth 2.0 device flow (RFC 8628) or with a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from modos.errors import AccessError, InvalidInputError, ProtocolError
from modos.remote import services, tokens
from modos.remote.tokens import Login, post_form

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_LONGEST_PAUSE, _LONGEST_LOGIN = 300.0, 3600.0  # seconds
_SCOPE = "openid profile offline_access"  # where the server does not say another one


def discover_login(endpoint: str) -> dict[str, Any]:
    """Ask a server how to log in: a `type`, `oidc` or `token`, and more.

    Raises
    ------
    InvalidInputError
        It wants none.
    """
    found = services.fetch_json(services.check_url(endpoint, "a modos server") + "/")
    auth = found.get("auth") if isinstance(found, dict) else None
    if not isinstance(auth, dict):
        raise InvalidInputError(f"{endpoint} asks nobody to log in", "go on without")
    return auth


def log_in_by_device(endpoint: str, auth: dict[str, Any], show: Callable[[str, str], Any]) -> Login:
    """Let a person confirm on a page, with any device, that this program may act for them.

    Parameters
    ----------
    show
        Told the address of the page and the code to enter there.

    Raises
    ------
    AccessError
        The person refuses, or takes too long.
    """
    device_url, token_url = auth.get("device_authorization_endpoint"), auth.get("token_endpoint")
    if not isinstance(device_url, str) or not isinstance(token_url, str):
        raise ProtocolError(
            f"the login provider of {endpoint} has no device flow", f"get a token another way and set {services.TOKEN_VARIABLE}"
        )
    client = str(auth.get("client_id"))
    scope, audience = auth.get("scope"), auth.get("audience")
    asked = {"client_id": client, "scope": scope if isinstance(scope, str) else _SCOPE, "audience": str(audience or "")}
    status, answer = post_form(device_url, asked)
    if status != 200 or "device_code" not in answer:
        raise ProtocolError(f"{device_url} answers {answer.get('error', f'HTTP {status}')}")
    show(str(answer.get("verification_uri_complete") or answer.get("verification_uri")), str(answer.get("user_code")))
    try:
        pause, longest = float(answer.get("interval", 5)), float(answer.get("expires_in", 600))
    except (TypeError, ValueError, OverflowError):
        pause, longest = -1.0, 0.0
    if not (0 <= pause <= _LONGEST_PAUSE and longest >= 0):
        raise ProtocolError(f"{device_url} does not say how long a login may take")
    end = time.monotonic() + min(longest, _LONGEST_LOGIN)
    while time.monotonic() < end:
        time.sleep(pause)
        status, given = post_form(token_url, {"grant_type": _GRANT, "device_code": answer["device_code"], "client_id": client})
        if status == 200:
            return Login.from_answer(given, token_url, client, None)
        if given.get("error") == "slow_down":
            pause += 5
        elif given.get("error") != "authorization_pending":
            raise AccessError(f"the login was not granted: {given.get('error_description') or given.get('error')}")
    raise AccessError("nobody confirmed the login in time", "try again")


def save_login(endpoint: str, login: Login) -> dict[str, Any]:
    """Keep a token once the server has taken it; returns who the server says that it is.

    Raises
    ------
    AccessError
        The server does not take it.
    """
    caller = services.fetch_caller(endpoint, login.token)
    tokens.save(services.server_name(endpoint), login)
    return caller
