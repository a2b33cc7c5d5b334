"""Ask an OpenID provider for its keys and description, and remember them while it is away."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from modos.errors import ProtocolError
from modos.genomics.htsget.protocol import HtsgetError
from modos.remote.services import fetch_json
from modos.server.rules import Caller, Oidc
from modos.storage.http.reach import check_reach

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY = 60  # seconds that clocks may differ
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


class Issuer:
    """Signer of tokens: its public keys, and what it says of itself.

    Parameters
    ----------
    url
        As its tokens name it, and where it describes itself.
    jwks_url
        Its keys; where the description says, if it is None.
    """

    def __init__(self, url: str, jwks_url: str | None = None):
        self.url = url
        self._jwks_url = jwks_url
        self._description: Remembered[dict[str, Any]] = Remembered(f"what {url} says of itself", self._describe)
        self._keys: Remembered[dict[str | None, Any]] = Remembered(f"the keys of {url}", self._fetch_keys)

    async def prepare(self, number: str | None) -> None:
        """Fetch a key by its number (`kid`) where that may help.

        Keys that are at hand are used at once, and made anew beside the work
        once they are old; what has to wait is an unknown number, and the
        first one after a time without any.
        """
        if self._begin(number):
            await self._keys.wait(AGAIN)

    def wait(self, number: str | None) -> None:
        """Fetch a key as `prepare` does, in a thread that may be held."""
        if self._begin(number) and (running := self._keys.begin(AGAIN)):
            running.result()

    def find_key(self, number: str | None) -> Any:
        """Return a key that is known; KeyError if there is none, HtsgetError if that cannot be said."""
        keys = self._keys.value
        if keys is None or self._keys.age > OLDEST or (number not in keys and self._keys.is_failing):
            raise HtsgetError("InternalError", "the server cannot check tokens at the moment")
        return keys[number]

    async def fetch_description(self) -> dict[str, Any]:
        """Return the provider's description (OpenID Connect Discovery 1.0, section 4); nothing while it is away."""
        if self._description.value is None:
            await self._description.wait()
        elif self._description.age > _DESCRIPTION_KEPT:
            self._description.begin()
        return self._description.value or {}

    def find_address(self, name: str) -> str:
        """Return an address that the description has, in a thread that may be held.

        Raises
        ------
        ProtocolError
            It has none, or one that is more internal than its own.
        """
        if self._description.value is None and (running := self._description.begin()):
            running.result()
        url = (self._description.value or {}).get(name)
        if not isinstance(url, str):
            raise ProtocolError(f"{self.url} does not say where its {name} is")
        check_reach(url, self.url, "the issuer")
        return url

    @property
    def jwks_url(self) -> str:
        """Where its keys are; the errors are those of `find_address`."""
        return self._jwks_url or self.find_address("jwks_uri")

    def _begin(self, number: str | None) -> bool:
        """Begin to fetch keys that are old; return whether this one has to be waited for."""
        is_known = number in (self._keys.value or ())
        if is_known and self._keys.age < KEPT:
            return False
        if is_known and (self._keys.age < 2 * KEPT or self._keys.is_failing):
            self._keys.begin(AGAIN)
            return False
        return True

    def _fetch_keys(self) -> dict[str | None, Any]:
        from jwt import PyJWKSet

        end = time.monotonic() + DEADLINE
        url = self.jwks_url
        return {key.key_id: key for key in PyJWKSet.from_dict(fetch_json(url, deadline=max(end - time.monotonic(), 1))).keys}

    def _describe(self) -> dict[str, Any]:
        found = fetch_json(f"{self.url.rstrip('/')}/.well-known/openid-configuration", deadline=DEADLINE)
        if not isinstance(found, dict) or not isinstance(found.get("jwks_uri"), str):
            raise ProtocolError(f"{self.url} does not say where its keys are")
        return found


class Provider:
    """Checks the tokens of an OpenID provider with its public keys."""

    def __init__(self, oidc: Oidc):
        self._oidc = oidc
        self.issuer = Issuer(oidc.issuer, oidc.jwks_url)

    async def prepare(self, token: str) -> None:
        """Fetch the key of a token where that may help, see `Issuer.prepare`."""
        with suppress(HtsgetError):
            await self.issuer.prepare(read_header(token).get("kid"))

    def identify(self, token: str) -> Caller:
        """Identify the owner of a token, by the keys that are known; the errors are those of `read_claims`."""
        return self.caller_of(self.read_claims(token))

    def read_claims(self, token: str) -> dict[str, Any]:
        """Check a token, by the keys that are known, and return what it says.

        Raises
        ------
        HtsgetError
            It is nobody's; or that cannot be said, as the provider is away.
        """
        return read_claims(token, self.issuer, algorithms=ALGORITHMS, audience=self._oidc.audience, require=("exp", "iss", "aud"))

    def caller_of(self, claims: dict[str, Any]) -> Caller:
        """Return whom claims are of; raise HtsgetError if they have no name."""
        name = claims.get(self._oidc.name_claim)
        if not isinstance(name, str) or not name:
            raise HtsgetError("InvalidAuthentication", f"the token has no {self._oidc.name_claim}")
        behalf, purpose = (text_of(claims, claim) for claim in (self._oidc.behalf_claim, self._oidc.purpose_claim))
        return Caller(name, groups_of(claims, self._oidc.groups_claim), how="oidc", behalf=behalf, purpose=purpose)


def groups_of(claims: dict[str, Any], name: str) -> frozenset[str]:
    """Return the texts of a claim; none if it is no list."""
    groups = claims.get(name, ())
    return frozenset(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else frozenset()


def text_of(claims: dict[str, Any], name: str | None) -> str | None:
    """Return the text of a claim; None if it is none, or there is no such claim."""
    value = claims.get(name) if name else None
    return value if isinstance(value, str) else None


def read_header(token: str) -> dict[str, Any]:
    """Return the header of a token, which nobody has checked; raise HtsgetError if it has none."""
    import jwt

    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise HtsgetError("InvalidAuthentication", "the token is not valid") from None


def read_claims(
    token: str, issuer: Issuer, *, algorithms: Sequence[str], audience: str | None, require: Sequence[str]
) -> dict[str, Any]:
    """Check a token of an issuer, by the keys that are known, and return what it says.

    Parameters
    ----------
    audience
        For whom it has to be; None: for anybody, whatever it says.
    require
        Claims that it has to have.

    Raises
    ------
    HtsgetError
        It is not one of the issuer, or has ended; or that cannot be said, as the issuer is away.
    """
    import jwt

    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            issuer.find_key(read_header(token).get("kid")),
            algorithms=algorithms,
            audience=audience,
            issuer=issuer.url,
            leeway=LEEWAY,
            options={"require": list(require), "verify_aud": audience is not None},
        )
    except HtsgetError:
        raise
    except jwt.ExpiredSignatureError:
        raise HtsgetError("InvalidAuthentication", "the token has expired") from None
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
        raise HtsgetError("InvalidAuthentication", "the token is not valid") from None
    return claims
