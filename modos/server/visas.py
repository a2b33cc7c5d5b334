"""Check GA4GH visas (Passport 1.2, AAI OpenID Connect profile 1.2): by whom, of whom, how long."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from modos.errors import InvalidInputError, ModosError
from modos.errors.escaping import escape_line
from modos.genomics.htsget.protocol import HtsgetError
from modos.server.provider import LEEWAY, Issuer, read_claims, read_header
from modos.server.rules import Visa
from modos.server.trusting import AUTHORITIES, Passport
from modos.server.visa_conditions import find_end

ALGORITHMS = ("RS256", "ES256")  # AAI profile, "Signing Algorithms"
MOST_VISAS = 200
HOUR = 3600.0  # seconds that is believed what nobody can be asked about
_LONGEST = 16_384  # characters of a visa
_MOST_LINKS = 100
_SHORTEST_RSA = 2048  # bits (RFC 7518, section 3.3)
_GRANT, _LINK = "ControlledAccessGrants", "LinkedIdentities"
_URL_TYPES = (_GRANT, "AcceptedTermsAndPolicies", "ResearcherStatus")  # whose value is a URL
_TYPES = (*_URL_TYPES, _LINK, "AffiliationAndRole")
_NEED_BY = (_GRANT, "AcceptedTermsAndPolicies")
_BY = (*AUTHORITIES, "self", "peer")
_URL = re.compile(r"(?=.{,255}\Z)[A-Za-z][A-Za-z0-9+.-]*:\S+")
_MEDIA_TYPES = ("vnd.ga4gh.visa+jwt", "jwt", "at+jwt")

_REASONS = {
    "the token is not valid": "its signature, its times or its form are not good",
    "the token has expired": "it has ended",
    "the server cannot check tokens at the moment": "the keys of its issuer cannot be read at the moment",
}

Identity = tuple[str, str]  # sub and iss
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assertion:
    """Statement of a visa, whose signature and form are good.

    Parameters
    ----------
    identities
        Whom it is of: `sub` and `iss`, and the same at the broker whose names the issuer uses.
    claims
        `type`, `value`, `source` and `by` (empty if there is none).
    conditions
        As they are signed; None if there are none.
    ends
        Seconds since 1970.
    """

    identities: tuple[Identity, ...]
    claims: Mapping[str, str]
    conditions: Any
    ends: float


class Checker:
    """Checks visas by what an access file trusts.

    Parameters
    ----------
    passport
        What it says.
    known
        Those whose keys are at hand already, by their names.
    """

    def __init__(self, passport: Passport, known: Mapping[str, Issuer]):
        self._trusted = {one.issuer: one for one in passport.issuers}
        self._issuers = {
            one.issuer: known[one.issuer] if one.issuer in known and not one.jwks_url else Issuer(one.issuer, one.jwks_url)
            for one in passport.issuers
        }
        self._grants = {one.value: one for one in passport.grants}

    def check(self, texts: Sequence[Any], holder: Identity) -> tuple[tuple[Visa, ...], bool]:
        """Return which rights visas give to somebody, and whether all of them could be checked.

        The log has why a visa does not count. It may take a while, as keys are fetched.

        Parameters
        ----------
        texts
            The visas, at most `MOST_VISAS` of them.
        holder
            `sub` and `iss` of the passport or token that they come with.
        """
        read, is_complete = [], True
        for text in texts:
            try:
                read.append(self._read(text))
            except HtsgetError as error:
                is_complete &= error.name != "InternalError"
                _log(text, _REASONS.get(error.message, error.message))
            except ModosError as error:
                is_complete &= isinstance(error, InvalidInputError)
                _log(text, error.message)
        linked = find_links(read, holder)
        own = []
        for one in read:
            end = min(one.ends, max(linked.get(identity, 0) for identity in one.identities))
            if end:
                own.append((one, end))
            else:
                _log(one, "it is of somebody else, and no LinkedIdentities visa says that this is the same person")
        found: dict[str, float] = {}
        for one, end in own:
            try:
                value, end = one.claims["value"], min(end, self._find_grant_end(one, own))
            except InvalidInputError as error:
                _log(one, error.message)
                continue
            if one.claims["type"] == _GRANT:
                found[value] = max(end, found.get(value, 0))
        return tuple(Visa(value, end) for value, end in sorted(found.items())), is_complete

    def _find_grant_end(self, one: Assertion, own: Iterable[tuple[Assertion, float]]) -> float:
        """Return how long something counts by its conditions; raise InvalidInputError if it does not at all."""
        if one.claims["type"] != _GRANT:
            return one.ends
        grant = self._grants.get(one.claims["value"])
        if one.claims["by"] not in (grant.by if grant else AUTHORITIES):
            raise InvalidInputError(f"{one.claims['by']} may not give this access")
        if grant and grant.sources is not None and one.claims["source"] not in grant.sources:
            raise InvalidInputError(f"{one.claims['source']} may not give this access")
        if one.conditions is None:
            return one.ends
        return find_end(one.conditions, [(other.claims, end) for other, end in own if other.conditions is None])

    def _read(self, text: Any) -> Assertion:
        """Read a visa; InvalidInputError if it is not good, another error if that cannot be said."""
        if not isinstance(text, str) or len(text) > _LONGEST or text.count(".") != 2:
            raise InvalidInputError("it is no signed text (JWS), or too long")
        header, said = read_header(text), read_unchecked(text)
        issuer = self._issuers.get(str(said.get("iss")))
        if issuer is None:
            raise InvalidInputError("its issuer is not trusted")
        _check_header(header)
        scope = said.get("scope", "")
        if not isinstance(scope, str):
            raise InvalidInputError("its scope is no text")
        is_token = "openid" in scope.split()
        if is_token == ("jku" in header):
            raise InvalidInputError("it is neither a document token (with jku) nor an access token (with the scope openid)")
        if not is_token and header["jku"] != issuer.jwks_url:  # before anything is fetched
            raise InvalidInputError("its keys are elsewhere than those of its issuer (jku)")
        issuer.wait(header["kid"])
        _check_key(issuer, header)
        claims = read_claims(text, issuer, algorithms=[header["alg"]], audience=None, require=("iss", "sub", "iat", "exp"))
        return self._parse(claims, is_token)

    def _parse(self, claims: Mapping[str, Any], is_token: bool) -> Assertion:
        if "aud" in claims:
            raise InvalidInputError("it is for somebody else (aud)")
        ends, issued = (_read_time(claims, name) for name in ("exp", "iat"))
        if is_token:
            ends = min(ends, issued + HOUR)
            if ends + LEEWAY <= time.time():
                raise InvalidInputError("it is an access token of more than an hour, about which its issuer is not asked")
        if not claims["sub"]:
            raise InvalidInputError("it is of nobody (sub)")
        identity = (claims["sub"], claims["iss"])
        names = self._trusted[claims["iss"]].subjects_of
        parsed = parse_visa(claims.get("ga4gh_visa_v1"))
        conditions = claims["ga4gh_visa_v1"].get("conditions", [])
        if conditions is None or (parsed["type"] == _LINK and conditions != []):
            raise InvalidInputError("its conditions are nothing that can be evaluated")
        identities = (identity, (claims["sub"], names)) if names else (identity,)
        return Assertion(identities, parsed, None if conditions == [] else conditions, ends)


def parse_visa(visa: Any) -> dict[str, str]:
    """Check the claim `ga4gh_visa_v1`, and return its `type`, `value`, `source` and `by` (empty if there is none).

    Raises
    ------
    InvalidInputError
        It is not as the specification has it, of an unknown type, or asserted in the future.
    """
    if not isinstance(visa, dict):
        raise InvalidInputError("it has no ga4gh_visa_v1")
    found: dict[str, str] = {}
    for name in ("type", "value", "source", "by"):
        text = visa.get(name, "" if name == "by" else None)
        if not isinstance(text, str) or not (text or name == "by"):
            raise InvalidInputError(f"its {name} is no text")
        found[name] = text
    if found["type"] not in _TYPES:
        raise InvalidInputError("its type is not known here")
    if not _URL.fullmatch(found["source"]):
        raise InvalidInputError("its source is no URL")
    if found["type"] in _URL_TYPES and not _URL.fullmatch(found["value"]):
        raise InvalidInputError("its value is no URL")
    if (found["by"] or found["type"] in _NEED_BY or "by" in visa) and found["by"] not in _BY:
        raise InvalidInputError("it does not say by whom, in words of the specification")
    if _read_time(visa, "asserted") > time.time() + LEEWAY:
        raise InvalidInputError("it is asserted in the future")
    return found


def parse_links(value: str) -> list[Identity]:
    """Return `sub` and `iss` of each identity in the value of a LinkedIdentities visa; none if it is no list of them."""
    parts = [part.split(",") for part in value.split(";")]
    if len(parts) > _MOST_LINKS or any(len(part) != 2 or not all(part) for part in parts):
        return []
    try:
        return [(unquote(sub, errors="strict"), unquote(iss, errors="strict")) for sub, iss in parts]
    except UnicodeDecodeError:
        return []


def find_links(read: Sequence[Assertion], holder: Identity) -> dict[Identity, float]:
    """Return all identities that are known to be of somebody, and till when that is known (seconds since 1970)."""
    found = {holder: float("inf")}
    links = [({*one.identities, *parse_links(one.claims["value"])}, one.ends) for one in read if one.claims["type"] == _LINK]
    is_growing = True
    while is_growing:
        is_growing = False
        for identities, ends in links:
            end = min(ends, max(found.get(identity, 0) for identity in identities))
            for identity in identities:
                if found.get(identity, 0) < end:
                    found[identity], is_growing = end, True
    return found


def read_unchecked(token: str) -> dict[str, Any]:
    """Return what a token says, which nobody has checked; raise HtsgetError if it says nothing."""
    import jwt

    try:
        found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
        raise HtsgetError("InvalidAuthentication", "the token is not valid") from None
    return found


def _check_header(header: Mapping[str, Any]) -> None:
    kind, number = header.get("typ", "JWT"), header.get("kid")
    if header.get("alg") not in ALGORITHMS:
        raise InvalidInputError("it is signed neither with RS256 nor with ES256")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _MEDIA_TYPES:
        raise InvalidInputError("it is of another kind (typ)")
    if not isinstance(number, str) or "crit" in header or "b64" in header:
        raise InvalidInputError("its header has no kid, or what is not known here")


def _check_key(issuer: Issuer, header: Mapping[str, Any]) -> None:
    """Raise an error if the key is for other signatures than the header says: a public key is no secret."""
    try:
        key = issuer.find_key(header["kid"])
    except KeyError:
        raise InvalidInputError("its key is not one of its issuer") from None
    if key.algorithm_name != header["alg"] or key.public_key_use not in (None, "sig"):
        raise InvalidInputError("its key is for something else")
    if header["alg"] == "RS256" and key.key.key_size < _SHORTEST_RSA:
        raise InvalidInputError("its key is too short")


def _read_time(claims: Mapping[str, Any], name: str) -> float:
    """Return a time in seconds since 1970."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise InvalidInputError(f"its {name} is no time")
    return float(value)


def _log(visa: Any, reason: str) -> None:
    """Log why a visa does not count, without the visa itself."""
    kind: Any
    value: Any
    issuer: Any
    if isinstance(visa, Assertion):
        kind, value, issuer = visa.claims["type"], visa.claims["value"], visa.identities[0][1]
    else:
        try:
            said = read_unchecked(visa) if isinstance(visa, str) and len(visa) <= _LONGEST else {}
        except HtsgetError:
            said = {}
        claim, issuer = said.get("ga4gh_visa_v1"), said.get("iss")
        kind, value = (claim.get("type"), claim.get("value")) if isinstance(claim, dict) else (None, None)
    what = [escape_line(str(text))[:200] for text in (kind, value, issuer)]
    logger.info("a visa %s for %s of %s does not count: %s", *what, escape_line(reason)[:500])
