"""Let people log in at an OpenID provider with their browser: the authorization code flow.

Follows OpenID Connect Core 1.0 (section 3.1), RFC 6749, PKCE (RFC 7636), the
best current practice RFC 9700, and RFC 9207 (`iss` of an answer). Nothing is
kept here: what a log-in has to remember is an `Attempt`, which the browser
keeps sealed.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from modos.errors import AccessError, InvalidInputError, ProtocolError
from modos.genomics.htsget.protocol import HtsgetError
from modos.remote.tokens import post_form
from modos.server import provider as providers
from modos.server.client_secrets import read_client_secret
from modos.server.provider import ALGORITHMS, Issuer, read_claims, read_header
from modos.server.trusting import check_address
from modos.storage.http.reach import check_reach

SCOPE = "openid profile"
_RENEWABLE = "offline_access"
_LONGEST_WORDS = 300  # characters of what a provider says of an error
_LONGEST_LIFE = 1e9  # seconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Client:
    """Client of a provider: this server.

    Parameters
    ----------
    audience
        What tokens have to be for; None: for anybody.
    scope
        What is asked for; `openid profile` where it is None, and `offline_access` where the provider has it.
    secret_file
        Has the client's secret; None for a public client.
    """

    issuer: Issuer
    client_id: str
    audience: str | None = None
    scope: str | None = None
    secret_file: Path | None = None


@dataclass(frozen=True)
class Attempt:
    """A log-in that has begun, as the browser keeps it.

    Parameters
    ----------
    state, nonce, verifier
        Random texts: of the answer, of the ID token, and for PKCE.
    issuer, redirect_uri
        Where it was begun, and where the answer goes.
    next
        The path to go to in the end.
    began
        Seconds since 1970.
    """

    state: str
    next: str
    began: float
    nonce: str = ""
    verifier: str = ""
    issuer: str = ""
    redirect_uri: str = ""


@dataclass(frozen=True)
class Grant:
    """Tokens that a provider gives.

    Parameters
    ----------
    tokens
        Those by which this server may know the person: the access token, then the ID token.
    seconds
        How long the access token is good for; None where it does not say.
    """

    tokens: tuple[str, ...]
    seconds: float | None = None
    refresh_token: str | None = None


def begin_attempt(next_path: str, **known: str) -> Attempt:
    """Begin a log-in with new random texts (256 bits each)."""
    return Attempt(
        secrets.token_urlsafe(32), next_path, time.time(), secrets.token_urlsafe(32), secrets.token_urlsafe(48), **known
    )


class CodeFlow:
    """Log-in at one provider.

    Parameters
    ----------
    described
        What the provider says of itself; see `describe`.
    """

    def __init__(self, client: Client, described: Mapping[str, Any]):
        self._client = client
        self._described = described

    @classmethod
    async def describe(cls, client: Client) -> CodeFlow:
        """Ask a provider what it says of itself.

        Raises
        ------
        ProtocolError
            It cannot be reached, is called otherwise, or has no page to log in.
        """
        described = await client.issuer.fetch_description()
        host = urlsplit(client.issuer.url).hostname
        if not described:
            raise ProtocolError(f"{host} cannot be reached at the moment", "try again in a while")
        if described.get("issuer") != client.issuer.url:  # OpenID Connect Discovery 1.0, section 4.3
            logger.error("%s calls itself %r: oidc.issuer has to be that", client.issuer.url, described.get("issuer"))
            raise ProtocolError(f"{host} calls itself otherwise than this server knows it", "tell who runs this server")
        if not isinstance(described.get("authorization_endpoint"), str):
            raise ProtocolError(f"{host} has no page to log in", "log in with `modos login`")
        return cls(client, described)

    def make_address(self, attempt: Attempt, *, anew: bool = False) -> str:
        """Return the address of the provider's page; `anew` asks for a password also of who is logged in there.

        Raises
        ------
        ProtocolError
            It is not safe.
        """
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": self.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        asked |= {"audience": self._client.audience} if self._client.audience else {}
        asked |= {"prompt": "login"} if anew else {}
        page = self._find("authorization_endpoint")
        return f"{page}{'&' if '?' in page else '?'}{urlencode(asked)}"

    @property
    def scope(self) -> str:
        """Scopes that are asked for, with blanks between them."""
        if self._client.scope:
            return self._client.scope
        known = self._described.get("scopes_supported")
        return f"{SCOPE} {_RENEWABLE}" if not isinstance(known, list) or _RENEWABLE in known else SCOPE

    def read_answer(self, given: Mapping[str, str], attempt: Attempt) -> str:
        """Return the code that a provider's answer has, whose state is that of an attempt.

        Raises
        ------
        InvalidInputError
            It may be another provider's (a mix-up, RFC 9700, section 4.4), or is none.
        AccessError
            The log-in was refused.
        """
        issuer = given.get("iss")
        is_announced = self._described.get("authorization_response_iss_parameter_supported") is True
        if attempt.issuer != self._client.issuer.url or (issuer is None and is_announced) or issuer not in (None, attempt.issuer):
            raise InvalidInputError("the answer may not be of the provider that was asked", "begin again")
        if "error" in given:
            words = given.get("error_description") or given["error"]
            raise AccessError(f"the log-in was not granted: {words[:_LONGEST_WORDS]}", "try again, or log in as somebody else")
        if not given.get("code"):
            raise InvalidInputError("the answer has no code", "begin again")
        return given["code"]

    def exchange(self, code: str, attempt: Attempt) -> Grant:
        """Exchange a code for tokens, in a thread that may be held.

        Raises
        ------
        AccessError
            The provider does not take it.
        RemoteError
            It cannot be reached, or answers nonsense.
        """
        return self._ask(
            grant_type="authorization_code", code=code, redirect_uri=attempt.redirect_uri, code_verifier=attempt.verifier
        )

    def renew(self, refresh_token: str) -> Grant:
        """Exchange a refresh token for tokens (RFC 6749, section 6); see `exchange`."""
        return self._ask(refresh_token, grant_type="refresh_token", refresh_token=refresh_token)

    def revoke(self, refresh_token: str) -> None:
        """End a refresh token (RFC 7009), in a thread that may be held; what keeps it from ending is logged."""
        if not isinstance(self._described.get("revocation_endpoint"), str):
            return
        fields = {"token": refresh_token, "token_type_hint": "refresh_token"}
        try:
            self._post("revocation_endpoint", fields, has_answer=False)
        except (OSError, ValueError) as error:  # RemoteError, AccessError and InvalidInputError
            logger.warning("a refresh token may not have ended at %s: %s", self._client.issuer.url, error)

    def find_logout(self, back: str) -> str | None:
        """Return where to log out of the provider (OpenID Connect RP-Initiated Logout 1.0), if anywhere."""
        if not isinstance(self._described.get("end_session_endpoint"), str):
            return None
        try:
            page = self._find("end_session_endpoint")
        except ProtocolError:
            return None
        asked = urlencode({"client_id": self._client.client_id, "post_logout_redirect_uri": back})
        return f"{page}{'&' if '?' in page else '?'}{asked}"

    async def check_nonce(self, grant: Grant, attempt: Attempt) -> None:
        """Check the ID token, if there is one: of this provider, for this client and this attempt (section 3.1.3.7).

        Raises
        ------
        HtsgetError
            It is another one.
        """
        if len(grant.tokens) < 2:
            return
        token, client_id = grant.tokens[1], self._client.client_id
        await self._client.issuer.prepare(read_header(token).get("kid"))
        claims = read_claims(
            token, self._client.issuer, algorithms=ALGORITHMS, audience=client_id, require=("exp", "iat", "iss", "sub", "aud")
        )
        is_ours = claims.get("azp", client_id) == client_id and (
            isinstance(claims["aud"], str) or len(claims["aud"]) == 1 or "azp" in claims
        )
        if not is_ours or not secrets.compare_digest(str(claims.get("nonce")).encode(), attempt.nonce.encode()):
            raise HtsgetError("InvalidAuthentication", "the ID token is not for this log-in")

    def _ask(self, before: str | None = None, **fields: str) -> Grant:
        answer = self._post("token_endpoint", fields)
        tokens = tuple(token for name in ("access_token", "id_token") if isinstance(token := answer.get(name), str) and token)
        if not tokens or tokens[0] != answer.get("access_token") or str(answer.get("token_type", "")).lower() != "bearer":
            raise ProtocolError(f"{self._client.issuer.url} gives no token")
        seconds, refresh = answer.get("expires_in"), answer.get("refresh_token")
        lasts = float(seconds) if isinstance(seconds, (int, float)) and 0 <= seconds < _LONGEST_LIFE else None
        return Grant(tokens, lasts, refresh if isinstance(refresh, str) and refresh else before)

    def _post(self, endpoint: str, fields: dict[str, str], *, has_answer: bool = True) -> dict[str, Any]:
        """POST a form to an endpoint, as the client that this server is (RFC 6749, section 2.3.1)."""
        url, basic = self._find(endpoint), None
        check_reach(url, self._client.issuer.url, "the provider")
        fields = {"client_id": self._client.client_id, **fields}
        if self._client.secret_file:
            secret = self._read_secret(self._client.secret_file)
            ways = self._described.get("token_endpoint_auth_methods_supported")
            if isinstance(ways, list) and "client_secret_basic" not in ways and "client_secret_post" in ways:
                fields["client_secret"] = secret
            else:
                basic = (self._client.client_id, secret)
        status, answer = post_form(url, fields, basic=basic, deadline=providers.DEADLINE, has_answer=has_answer)
        if status != 200:
            raise AccessError(f"{self._client.issuer.url} gives no token: {str(answer.get('error', f'HTTP {status}'))[:100]}")
        return answer

    def _read_secret(self, path: Path) -> str:
        try:
            return read_client_secret(path)
        except (OSError, LookupError, ValueError) as error:  # AccessError, NotFoundError and InvalidInputError
            logger.error("the client secret cannot be read: %s", error)
            raise ProtocolError("this server is not set up for log-ins", "tell who runs it") from None

    def _find(self, endpoint: str) -> str:
        """Return an address of the description to which secrets may go."""
        try:
            return check_address(str(self._described.get(endpoint)))
        except ValueError:
            logger.error("%s names no https address as its %s", self._client.issuer.url, endpoint)
            raise ProtocolError(f"{urlsplit(self._client.issuer.url).hostname} has no safe {endpoint}") from None
