"""Keep the user's bearer tokens by server, in the system's keyring or in a private file."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

from modos.errors import AccessError, ModosError, ProtocolError, TransportError
from modos.storage.http.asking import ask, read_json, transport_reason
from modos.storage.user_folders import config_folder

_SERVICE = "modos"
_LONGEST = 1e11  # seconds that a time may have
_EARLY = 60  # seconds before its end when a token is renewed
_TIMEOUT = (10, 30)  # seconds to connect, to answer
_DEADLINE = 60.0  # seconds for all of an answer
_MAX_ANSWER = 1 << 20  # bytes


@dataclass(frozen=True)
class Login:
    """A token, and what it takes to get the next one.

    Parameters
    ----------
    expires
        Seconds since 1970; None where it is not known.
    """

    token: str
    expires: float | None = None
    refresh_token: str | None = None
    token_endpoint: str | None = None
    client_id: str | None = None

    @classmethod
    def from_answer(cls, answer: dict[str, Any], token_endpoint: str, client_id: str, refresh_token: str | None) -> Login:
        """Make a login of the answer of a token endpoint (RFC 6749, section 5.1)."""
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise ProtocolError(f"{token_endpoint} gives no token")
        if isinstance(seconds, (int, float)) and not 0 <= seconds < _LONGEST:
            raise ProtocolError(f"{token_endpoint} gives a token for {str(seconds)[:20]} seconds")
        expires = time.time() + seconds if isinstance(seconds, (int, float)) else None
        return cls(token, expires, answer.get("refresh_token") or refresh_token, token_endpoint, client_id)


def token_of(server: str) -> str | None:
    """Return the user's token for a server, renewed if it is about to expire; None if there is none.

    Raises
    ------
    AccessError
        It has ended, and no other is to be had.
    """
    login = load(server)
    if login is None or login.expires is None or login.expires - time.time() > _EARLY:
        return login.token if login else None
    if not login.refresh_token or not login.token_endpoint:
        raise AccessError(f"the login at {server} has expired", "log in again with `modos login`")
    fields = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": login.client_id or ""}
    status, answer = post_form(login.token_endpoint, fields)
    if status != 200:
        raise AccessError(
            f"the login at {server} has expired ({answer.get('error', f'HTTP {status}')})", "log in again with `modos login`"
        )
    renewed = Login.from_answer(answer, login.token_endpoint, login.client_id or "", login.refresh_token)
    save(server, renewed)
    return renewed.token


def post_form(
    url: str,
    fields: dict[str, str],
    *,
    basic: tuple[str, str] | None = None,
    deadline: float = _DEADLINE,
    has_answer: bool = True,
) -> tuple[int, dict[str, Any]]:
    """POST a form that has secrets in it; return the status and the JSON of the answer.

    Parameters
    ----------
    basic
        A client's id and secret (RFC 6749, section 2.3.1).
    deadline
        Seconds for all of the answer.
    has_answer
        Whether there has to be JSON; what is none counts as empty else.

    Raises
    ------
    ProtocolError
        The address is not safe, or the answer is no JSON object.
    TransportError
        Nothing answers there, or not in time.
    """
    import requests
    from urllib3.exceptions import HTTPError

    try:
        parts = urlsplit(url)
    except ValueError:
        raise ProtocolError(f"{url} is not an address") from None
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ProtocolError(f"{url} is not safe: secrets are sent over https alone")
    try:
        status, body = ask(
            "POST",
            url,
            limit=_MAX_ANSWER,
            timeout=_TIMEOUT,
            deadline=deadline,
            data=fields,
            auth=lambda request: _as_client(request, basic),
        )
    except ModosError:
        raise
    except (requests.RequestException, HTTPError, OSError) as error:
        raise TransportError(f"cannot reach {url}: {transport_reason(error)}", "is the network there?") from None
    try:
        answer = read_json(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        if has_answer:
            raise ProtocolError(f"{url} answers HTTP {status}, and no JSON object")
        answer = {}
    return status, answer


def _as_client(request: Any, basic: tuple[str, str] | None) -> Any:
    """Add a client's id and secret to a request; without them nothing, so that no other password is sent along."""
    if basic:
        words = ":".join(map(quote_plus, basic)).encode()
        request.headers["Authorization"] = f"Basic {base64.b64encode(words).decode()}"
    return request


def load(server: str) -> Login | None:
    """Load the login that is stored for a server."""
    keyring = _keyring()
    text = keyring.get_password(_SERVICE, server) if keyring else None
    try:
        found = json.loads(text) if text else _read_file().get(server)
        return _check(Login(**found)) if found else None
    except (ValueError, TypeError, RecursionError):
        return None


def _check(login: Login) -> Login:
    """Raise ValueError if what was kept is nothing that was written."""
    texts = (login.token, login.refresh_token or "", login.token_endpoint or "", login.client_id or "")
    if (
        not all(isinstance(text, str) for text in texts)
        or not isinstance(login.expires, (int, float, type(None)))
        or (login.expires is not None and not 0 <= login.expires < _LONGEST)
    ):
        raise ValueError
    return login


def save(server: str, login: Login) -> None:
    """Keep it."""
    keyring = _keyring()
    if keyring:
        keyring.set_password(_SERVICE, server, json.dumps(asdict(login)))
    else:
        _write_file(_read_file() | {server: asdict(login)})


def remove(server: str) -> bool:
    """Forget it; whether there was any."""
    known = load(server) is not None
    keyring = _keyring()
    if keyring and keyring.get_password(_SERVICE, server):
        keyring.delete_password(_SERVICE, server)
    kept = _read_file()
    if kept.pop(server, None):
        _write_file(kept)
    return known


def token_file() -> Path:
    """Return the path of the file with the tokens."""
    return config_folder() / "tokens.json"


def _read_file() -> dict[str, Any]:
    path = token_file()
    try:
        if path.stat().st_mode & 0o077:
            raise AccessError(f"others can read {path}, which holds your tokens", f"chmod 600 {path}; then log in again")
        kept = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, AccessError):
            raise
        return {}
    return kept if isinstance(kept, dict) else {}


def _write_file(kept: dict[str, Any]) -> None:
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".tokens.")  # of mode 0600
    try:
        with open(descriptor, "w") as file:
            json.dump(kept, file)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _keyring() -> Any:
    """Return the system's keyring, if the package is installed and finds an open one; keyrings in files do not count."""
    if os.environ.get("MODOS_CONFIG_DIR"):
        return None
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    backend = keyring.get_keyring()
    for candidate in [backend] if "PYTHON_KEYRING_BACKEND" in os.environ else getattr(backend, "backends", [backend]):
        try:
            if candidate.priority >= 1 or "PYTHON_KEYRING_BACKEND" in os.environ:
                candidate.get_password(_SERVICE, "probe")
                return candidate
        except (KeyringError, RuntimeError, OSError):
            continue
    return None
