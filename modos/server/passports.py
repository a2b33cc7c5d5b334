"""Know callers by GA4GH passports: by a broker's token or a passport, and the visas with it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from modos.errors import AccessError, ProtocolError, TransportError
from modos.genomics.htsget.protocol import HtsgetError
from modos.remote.services import fetch_json
from modos.server import provider as providers
from modos.server.provider import LEEWAY, Issuer, Provider, Remembered, groups_of, read_claims, read_header
from modos.server.rules import Caller, Oidc, Visa
from modos.server.trusting import Broker, Passport, check_address
from modos.server.visas import ALGORITHMS, HOUR, MOST_VISAS, Checker, read_unchecked

SCOPE = CLAIM = "ga4gh_passport_v1"
_VISA = "ga4gh_visa_v1"
_PASSPORT_TYPE = "vnd.ga4gh.passport+jwt"
_TOKEN_TYPES = ("jwt", "at+jwt")
_LONGEST_NAME = 255  # characters of a `sub` (OpenID Connect Core 1.0, section 2)
_AT_ONCE = 16  # questions to a broker, and passports that are checked
_AT_LEAST = 1.0  # seconds for which what was checked is known
_SOONEST, _INCOMPLETE = 60.0, 300.0  # seconds until a broker is asked again, and until visas of an issuer that was away are
_DOWN = 5.0  # seconds for which a broker that cannot be reached is asked for nobody
_MOST_HELD = 64 << 20  # bytes of tokens whose visas are known

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """Visas that somebody has.

    Parameters
    ----------
    visas
        Those that count.
    until
        Seconds since 1970 when they are to be asked for anew.
    refusal
        Why the token is not taken; None if it is.
    """

    visas: tuple[Visa, ...]
    until: float
    refusal: str | None = None


@dataclass
class Known:
    """A token that was checked.

    Parameters
    ----------
    number, key
        Those with which it was.
    caller
        Whose it is, without visas.
    ends
        Seconds since 1970.
    size
        Its characters.
    has_visas, is_asked
        Whether visas may come with it, and whether the broker is asked for them.
    held
        The visas; None if none may come with it.
    """

    broker: TrustedBroker
    number: str | None
    key: Any
    caller: Caller
    ends: float
    size: int
    has_visas: bool
    is_asked: bool
    held: Remembered[Held] | None = None

    @property
    def is_sound(self) -> bool:
        """Return whether nothing has changed since."""
        try:
            return self.broker.issuer.find_key(self.number) is self.key and time.time() < self.ends
        except (HtsgetError, KeyError):
            return False

    @property
    def is_due(self) -> bool:
        """Return whether visas are to be asked for."""
        return self.held is not None and (self.held.value is None or time.time() >= self.held.value.until)


class TrustedBroker:
    """Checks the tokens and passports of a broker, and asks it for visas.

    Parameters
    ----------
    broker, passport
        What the access file says.
    provider
        The one that checks its tokens, where it is the site's OpenID provider as well.
    """

    def __init__(self, broker: Broker, passport: Passport, provider: Provider | None):
        self._broker = broker
        self._passport = passport
        self._provider = provider
        self.issuer = provider.issuer if provider else Issuer(broker.issuer, broker.jwks_url)
        self.asking = asyncio.Semaphore(_AT_ONCE)
        self._down_until = 0.0

    def read(self, token: str) -> dict[str, Any]:
        """Check an access token or a passport, and return what it says; the errors are those of `read_claims`."""
        header = read_header(token)
        kind = str(header.get("typ", "JWT")).lower().removeprefix("application/")
        if (kind != _PASSPORT_TYPE and kind not in _TOKEN_TYPES) or "crit" in header or "b64" in header:
            raise _invalid("it is of another kind")
        if self._provider and kind != _PASSPORT_TYPE:
            claims = self._provider.read_claims(token)
        else:
            required = ["exp", "iat", "iss", "sub"] + ["aud"] * bool(self._passport.audience)
            claims = read_claims(token, self.issuer, algorithms=ALGORITHMS, audience=self._passport.audience, require=required)
        if _VISA in claims:
            raise _invalid("it is a visa")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_NAME:
            raise _invalid("it does not say of whom it is")
        if kind == _PASSPORT_TYPE:
            self._check_passport(claims)
        elif not self._provider and CLAIM not in claims and SCOPE not in _scopes(claims):
            raise _invalid(f"its scope has no {SCOPE}")
        return claims

    def admit(self, token: str) -> Known:
        """Check an access token or a passport, and return whose it is; the errors are those of `read`."""
        claims, number = self.read(token), read_header(token).get("kid")
        ends = float(claims["exp"])
        if is_passport(token):
            ends = min(ends, claims["iat"] + HOUR)
        if self._provider and not is_passport(token):
            caller = self._provider.caller_of(claims)
        else:
            groups = groups_of(claims, self._passport.groups_claim) if self._passport.groups_claim else frozenset()
            caller = Caller(f"{claims['iss']}#{claims['sub']}", groups, how="passport")
        is_asked = CLAIM not in claims and SCOPE in _scopes(claims)
        has_visas = CLAIM in claims or is_asked
        return Known(self, number, self.issuer.find_key(number), caller, ends + LEEWAY, len(token), has_visas, is_asked)

    def gather(self, token: str, checker: Checker) -> Held:
        """Ask for the visas of somebody, and check them; in a thread that may be held."""
        claims, now = self.read(token), time.time()
        latest = min(float(claims["exp"]), now + HOUR)
        if CLAIM in claims:
            if not isinstance(claims.get("iat"), (int, float)):
                return Held((), latest, "the token does not say when it was made")
            latest = min(latest, claims["iat"] + HOUR)
            texts = claims[CLAIM]
        else:
            try:
                texts = self._ask(token, claims["sub"])
            except AccessError:
                return Held((), now + _INCOMPLETE, "the broker does not take the token any more")
        if not isinstance(texts, list) or len(texts) > MOST_VISAS:
            logger.info("what %s says of visas is no list of at most %d", self.issuer.url, MOST_VISAS)
            return Held((), latest, f"the passport is no list of at most {MOST_VISAS} visas")
        visas, is_complete = checker.check(texts, (claims["sub"], claims["iss"]))
        visas = tuple(Visa(visa.value, min(visa.ends, latest)) for visa in visas)
        soonest = _SOONEST
        if CLAIM in claims:  # nobody is asked again for what is checked again
            latest, soonest = min(latest, now + providers.KEPT), _AT_LEAST
        until = min([latest, *(visa.ends for visa in visas), *([] if is_complete else [now + _INCOMPLETE])])
        return Held(visas, max(until, now + soonest))

    def _check_passport(self, claims: Mapping[str, Any]) -> None:
        if CLAIM not in claims:
            raise _invalid("it is a passport without visas")
        if not isinstance(claims["iat"], (int, float)) or claims["iat"] + HOUR + LEEWAY < time.time():
            raise HtsgetError("InvalidAuthentication", "the passport is more than an hour old: get another one")

    def _ask(self, token: str, subject: str) -> Any:
        """Ask the broker for visas (OpenID Connect Core 1.0, section 5.3); an empty list if it tells of none."""
        if time.monotonic() < self._down_until:
            raise TransportError(f"{self.issuer.url} could not be reached a moment ago")
        end = time.monotonic() + providers.DEADLINE
        try:
            url = self._broker.userinfo_url or check_address(self.issuer.find_address("userinfo_endpoint"))
            answer = fetch_json(url, token=token, deadline=max(end - time.monotonic(), 1), what="a broker")
        except ValueError:
            raise ProtocolError(f"{self.issuer.url} wants tokens sent where it is not safe") from None
        except TransportError:
            self._down_until = time.monotonic() + _DOWN
            raise
        if not isinstance(answer, dict) or answer.get("sub") != subject:
            raise ProtocolError(f"{url} tells of somebody else than the token")
        return answer.get(CLAIM, [])


class Passports:
    """Callers of the brokers that an access file trusts, and what is known of their visas.

    Parameters
    ----------
    passport
        What it says.
    oidc, provider
        The site's OpenID provider: where it is a broker, too, its people have the names that they have without visas.
    """

    def __init__(self, passport: Passport, oidc: Oidc | None = None, provider: Provider | None = None):
        self.passport = passport
        self._brokers = {
            one.issuer: TrustedBroker(one, passport, provider if oidc and oidc.issuer == one.issuer else None)
            for one in passport.brokers
        }
        self._checker = Checker(passport, {name: one.issuer for name, one in self._brokers.items()})
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._size = 0
        self._checking = asyncio.Semaphore(_AT_ONCE)

    @property
    def first(self) -> Issuer:
        """The broker at which people log in."""
        return self._brokers[self.passport.brokers[0].issuer].issuer

    def takes(self, token: str) -> bool:
        """Return whether a token says that it is of one of the brokers."""
        return _digest(token) in self._known or self._find(token) is not None

    def owns(self, name: str) -> bool:
        """Return whether a name is one of those that only brokers give."""
        issuer, number, _ = name.partition("#")
        return bool(number) and self.has_broker(issuer)

    def has_broker(self, issuer: str) -> bool:
        """Return whether somebody is a broker."""
        return issuer in self._brokers

    async def prepare(self, token: str) -> None:
        """Fetch what it takes to identify the owner of a token: keys, and visas where they are not known."""
        known = self._known.get(_digest(token))
        broker = known.broker if known else self._find(token)
        if broker is None:
            return
        try:
            await broker.issuer.prepare(known.number if known else read_header(token).get("kid"))
            known = self._admit(broker, token)
        except HtsgetError:
            return  # `identify` says so
        if known.is_due:
            async with broker.asking if known.is_asked else self._checking:
                if known.is_due and known.held:
                    await known.held.wait()

    def identify(self, token: str) -> Caller:
        """Identify the owner of a token or passport of a broker, and the visas that count now, by what is known.

        Raises
        ------
        HtsgetError
            It is nobody's; or that cannot be said, as the broker is away.
        """
        broker = self._find(token) if _digest(token) not in self._known else self._known[_digest(token)].broker
        if broker is None:
            raise _invalid("it is of no broker")
        known = self._admit(broker, token)
        if not known.held:
            return known.caller
        held = known.held.value
        if held is None or known.is_due:
            raise HtsgetError("InternalError", "the server cannot check visas at the moment")
        if held.refusal:
            raise HtsgetError("InvalidAuthentication", held.refusal)
        now = time.time() - LEEWAY
        return replace(known.caller, visas=tuple(visa for visa in held.visas if visa.ends > now))

    async def identify_all(self, texts: Sequence[str]) -> list[tuple[str, Caller]]:
        """Identify the owner of each of some passports; the errors are those of `identify`."""
        found = []
        for text in texts:
            if not is_passport(text):
                raise HtsgetError("InvalidAuthentication", "this is no passport")
            await self.prepare(text)
            found.append((text, self.identify(text)))
        return found

    def _find(self, token: str) -> TrustedBroker | None:
        try:
            issuer = read_unchecked(token).get("iss")
        except HtsgetError:
            return None
        return self._brokers.get(issuer) if isinstance(issuer, str) else None

    def _admit(self, broker: TrustedBroker, token: str) -> Known:
        """Check a token, or find that it was checked with the key of now; what was not asked for longest is forgotten."""
        key = _digest(token)
        known = self._known.get(key)
        if known is None or not known.is_sound:
            before, known = known, broker.admit(token)
            if known.has_visas:
                gather = partial(broker.gather, token, self._checker)
                name = f"the visas of somebody at {broker.issuer.url}"
                known.held = before.held if before else Remembered(name, gather)
            self._size += known.size - (before.size if before else 0)
            self._known[key] = known
        self._known.move_to_end(key)
        while self._size > _MOST_HELD and len(self._known) > 1:
            self._size -= self._known.popitem(last=False)[1].size
        return known


def is_passport(token: str) -> bool:
    """Return whether a token says that it is a passport."""
    try:
        kind = read_header(token).get("typ")
    except HtsgetError:
        return False
    return isinstance(kind, str) and kind.lower().removeprefix("application/") == _PASSPORT_TYPE


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    scope = claims.get("scope")
    return scope.split() if isinstance(scope, str) else []


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _invalid(reason: str) -> HtsgetError:
    return HtsgetError("InvalidAuthentication", f"the token is not valid: {reason}")
