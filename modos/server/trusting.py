"""Read from the access file whose passports and visas are taken (GA4GH Passport 1.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modos.errors import InvalidInputError
from modos.server.client_secrets import read_client_secret

SCOPES = "openid ga4gh_passport_v1 offline_access"
AUTHORITIES = ("dac", "so", "system")  # who may give access: neither the person nor a peer


def check_address(url: str) -> str:
    """Return a URL to which secrets may go: https, or this machine; raise ValueError for another."""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))
    except ValueError:
        is_safe = False
    if not is_safe or not parts.hostname or "@" in parts.netloc or "#" in url:
        raise ValueError("this is no https address")
    return url


def _read_issuer(value: Any) -> Any:
    return {"issuer": value} if isinstance(value, str) else value


Address = Annotated[str, Field(max_length=255), AfterValidator(check_address)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VisaIssuer(_Table):
    """Somebody who signs visas.

    Parameters
    ----------
    issuer
        As visas name it (`iss`).
    jwks_url
        Its keys, which visas have to name (`jku`); where its description says, if it is None.
    subjects_of
        The broker whose names of people (`sub`) it uses, so that nothing else has to link these.
    """

    issuer: Address
    jwks_url: Address | None = None
    subjects_of: Address | None = None


class Broker(_Table):
    """Somebody who hands passports over.

    Parameters
    ----------
    issuer
        As its tokens and passports name it (`iss`).
    jwks_url, userinfo_url
        Its keys, and where visas are asked for; where its description says, if they are None.
    """

    issuer: Address
    jwks_url: Address | None = None
    userinfo_url: Address | None = None


class Grant(_Table):
    """Those who may give access to a data set.

    Parameters
    ----------
    value
        The data set, as visas name it.
    sources
        Who has to have said so, such as a committee; anybody if it is None.
    by
        In which office.
    """

    value: str
    sources: tuple[str, ...] | None = None
    by: tuple[str, ...] = AUTHORITIES


class Passport(_Table):
    """Table `passport` of an access file.

    Parameters
    ----------
    issuers, brokers
        Those who are trusted.
    grants
        Who may give access to what; to other data sets any source may, by `AUTHORITIES`.
    audience
        What tokens and passports have to be for; None: for anybody.
    client_id, scopes
        What `modos login` and the log-in in a browser call themselves at the first broker, and ask for.
    client_secret_file
        Where the client's secret is, for the log-in in a browser; None for a public client.
    groups_claim
        The claim of the brokers' tokens with groups; None: they tell of none.
    """

    issuers: tuple[Annotated[VisaIssuer, BeforeValidator(_read_issuer)], ...] = Field(min_length=1)
    brokers: tuple[Annotated[Broker, BeforeValidator(_read_issuer)], ...] = Field(min_length=1)
    grants: tuple[Grant, ...] = ()
    audience: str | None = None
    client_id: str = "modos"
    scopes: str = SCOPES
    client_secret_file: Path | None = None
    groups_claim: str | None = None


def read_passport(table: Any, path: Path) -> Passport | None:
    """Read the table `passport` of an access file; None if there is none.

    Parameters
    ----------
    table
        As TOML has it.
    path
        The access file, for messages, and beside which other files are.

    Raises
    ------
    InvalidInputError
        It says what is not known; the message names the place.
    """
    if table is None:
        return None
    try:
        found = Passport.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["passport", *map(str, first["loc"])])
        raise InvalidInputError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ').lower()}") from None
    for names in ([one.issuer for one in found.issuers], [one.issuer for one in found.brokers]):
        if len(set(names)) < len(names):
            raise InvalidInputError(f"{path}: passport names somebody twice")
    if found.client_secret_file:
        secret = path.parent / found.client_secret_file
        read_client_secret(secret)
        found = found.model_copy(update={"client_secret_file": secret})
    return found
