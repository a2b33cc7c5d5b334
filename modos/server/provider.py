"""Ask an OpenID provider for its keys and description, and remember them while it is away."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from modos.errors import ProtocolError
from modos.genomics.htsget.protocol import HtsgetError
from modos.remote.services import fetch_json
from modos.server.rules import Caller, Oidc

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY = 60  # seconds that clocks may differ
DEADLINE = 10.0  # seconds that an answer may take, all in all
KEPT, AGAIN = 300.0, 10.0  # seconds until keys are fetched anew, and between two fetches for unknown ones
OLDEST = 24 * 3600.0  # seconds for which keys are used while the provider is away
_SHORTEST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds after the first failure, and after many
_DESCRIPTION_KEPT = 3600.0

Value = TypeVar("Value")
logger = logging.getLogger(__name__)


class Remembered(Generic[Value]):
    """Value from elsewhere, fetched by one thread at a time; nobody who asks for it has to wait.

    Parameters
    ----------
    what
        Its name, for the log.
    fetch
        Fetches it, in a time of its own; whatever it raises is a failure.
        Each failure doubles the pause before the next attempt, and what was
        fetched before stays.
    """

    def __init__(self, what: str, fetch: Callable[[], Value]):
        self._what = what
        self._fetch = fetch
        self._lock = threading.Lock()
        self._known: tuple[float, Value] | None = None
        self._running: Future[None] | None = None
        self._ended = -math.inf
        self._failures = 0

    @property
    def value(self) -> Value | None:
        """Value that was fetched last; None if nothing was."""
        return self._known[1] if self._known else None

    @property
    def age(self) -> float:
        """Seconds since it was fetched."""
        return time.monotonic() - self._known[0] if self._known else math.inf

    @property
    def is_failing(self) -> bool:
        """Return whether the last attempt failed."""
        return self._failures > 0

    def begin(self, pause: float = 0) -> Future[None] | None:
        """Begin to fetch it, or join the attempt under way; None if the last one ended less than a pause ago."""
        with self._lock:
            if self._running is None:
                if self._failures:
                    pause = min(_SHORTEST_PAUSE * 2 ** min(self._failures - 1, 16), _LONGEST_PAUSE)
                if time.monotonic() < self._ended + pause:
                    return None
                self._running = Future()
                self._running.set_running_or_notify_cancel()
                threading.Thread(target=self._attempt, args=(self._running,), name="modos-provider", daemon=True).start()
            return self._running

    async def wait(self, pause: float = 0) -> None:
        """Fetch it, and wait until that went well, or has failed, without holding a thread."""
        running = self.begin(pause)
        if running:
            await asyncio.wait([asyncio.wrap_future(running)])

    def _attempt(self, running: Future[None]) -> None:
        known, failures = self._known, 0
        try:
            known = (time.monotonic(), self._fetch())
        except Exception as error:
            logger.error("%s cannot be read: %s", self._what, error)
            failures = self._failures + 1
        with self._lock:
            self._known, self._failures, self._ended, self._running = known, failures, time.monotonic(), None
        running.set_result(None)


class Provider:
    """Checks the tokens of an OpenID provider with its public keys."""

    def __init__(self, oidc: Oidc):
        self._oidc = oidc
        self._description: Remembered[dict[str, Any]] = Remembered(f"what {oidc.issuer} says of itself", self._describe)
        self._keys: Remembered[dict[str | None, Any]] = Remembered(f"the keys of {oidc.issuer}", self._fetch_keys)

    async def prepare(self, token: str) -> None:
        """Fetch the key of a token where that may help.

        Keys that are at hand are used at once, and made anew beside the work
        once they are old; what has to wait is a token of an unknown key, and
        the first one after a time without any.
        """
        import jwt

        try:
            number = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError):
            return
        is_known = number in (self._keys.value or ())
        if is_known and self._keys.age < KEPT:
            return
        if is_known and (self._keys.age < 2 * KEPT or self._keys.is_failing):
            self._keys.begin(AGAIN)
        else:
            await self._keys.wait(AGAIN)

    def identify(self, token: str) -> Caller:
        """Identify the owner of a token, by the keys that are known.

        Raises
        ------
        HtsgetError
            It is nobody's; or that cannot be said, as the provider is away.
        """
        import jwt

        try:
            number = jwt.get_unverified_header(token).get("kid")
            key = self._known_keys(number)[number]
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._oidc.audience,
                issuer=self._oidc.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except HtsgetError:
            raise
        except jwt.ExpiredSignatureError:
            raise HtsgetError("InvalidAuthentication", "the token has expired") from None
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            raise HtsgetError("InvalidAuthentication", "the token is not valid") from None
        name, groups = claims.get(self._oidc.name_claim), claims.get(self._oidc.groups_claim, ())
        if not isinstance(name, str) or not name:
            raise HtsgetError("InvalidAuthentication", f"the token has no {self._oidc.name_claim}")
        behalf, purpose = (claims.get(claim) if claim else None for claim in (self._oidc.behalf_claim, self._oidc.purpose_claim))
        return Caller(
            name,
            frozenset(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else frozenset(),
            "oidc",
            behalf if isinstance(behalf, str) else None,
            purpose if isinstance(purpose, str) else None,
        )

    async def fetch_description(self) -> dict[str, Any]:
        """Return the provider's description (OpenID Connect Discovery 1.0, section 4); nothing while it is away."""
        if self._description.value is None:
            await self._description.wait()
        elif self._description.age > _DESCRIPTION_KEPT:
            self._description.begin()
        return self._description.value or {}

    def _known_keys(self, number: str | None) -> dict[str | None, Any]:
        """Return all keys; raise HtsgetError if none is known because the provider is down."""
        keys = self._keys.value
        if keys is None or self._keys.age > OLDEST or (number not in keys and self._keys.is_failing):
            raise HtsgetError("InternalError", "the server cannot check tokens at the moment")
        return keys

    def _fetch_keys(self) -> dict[str | None, Any]:
        from jwt import PyJWKSet

        url, end = self._oidc.jwks_url, time.monotonic() + DEADLINE
        if url is None:
            if self._description.value is None and (running := self._description.begin()):
                running.result()
            url = (self._description.value or {}).get("jwks_uri")
            if url is None:
                raise ProtocolError(f"{self._oidc.issuer} does not say where its keys are")
        return {key.key_id: key for key in PyJWKSet.from_dict(fetch_json(url, deadline=max(end - time.monotonic(), 1))).keys}

    def _describe(self) -> dict[str, Any]:
        found = fetch_json(f"{self._oidc.issuer.rstrip('/')}/.well-known/openid-configuration", deadline=DEADLINE)
        if not isinstance(found, dict) or not isinstance(found.get("jwks_uri"), str):
            raise ProtocolError(f"{self._oidc.issuer} does not say where its keys are")
        return found
