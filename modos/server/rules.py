"""Rules of who may read and write what, from one TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modos.errors import InvalidInputError
from modos.server.trusting import Passport, read_passport
from modos.storage import check_key
from modos.storage.given import read_given

Action = Literal["read", "write"]
_MAX_RULES = 16 << 20  # bytes of a file
_WHO = re.compile(r"anyone|(user|group):.+|visa:[A-Za-z][A-Za-z0-9+.-]*:\S{1,254}")


@dataclass(frozen=True)
class Visa:
    """Right to a data set that somebody has given (a GA4GH visa of the type ControlledAccessGrants), checked.

    Parameters
    ----------
    value
        The data set, as a URL.
    ends
        Seconds since 1970.
    """

    value: str
    ends: float


@dataclass(frozen=True)
class Caller:
    """Sender of a request; an anonymous one has an empty name."""

    name: str = ""
    groups: frozenset[str] = frozenset()
    visas: tuple[Visa, ...] = field(default=(), kw_only=True)


ANYONE = Caller()


@dataclass(frozen=True)
class Rule:
    """Some people, and the places that they may read or write; writing includes reading.

    A place is a key below what is served, and all that is below it; the empty
    one is everything.
    """

    who: frozenset[str]
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    def concerns(self, caller: Caller) -> bool:
        """Return whether a caller is one of its people."""
        names = {"anyone"} | {f"group:{group}" for group in caller.groups} | {f"visa:{visa.value}" for visa in caller.visas}
        return bool(self.who & (names | {f"user:{caller.name}"} if caller.name else names))

    def places(self, action: Action) -> tuple[str, ...]:
        """Return the places where the action is allowed."""
        return self.write if action == "write" else self.read + self.write


@dataclass(frozen=True)
class Rules:
    """All rules: what no rule allows is not allowed."""

    rules: tuple[Rule, ...]

    def places(self, caller: Caller, action: Action) -> tuple[str, ...]:
        """Return the places where somebody may do something."""
        return tuple(dict.fromkeys(place for rule in self.rules if rule.concerns(caller) for place in rule.places(action)))


@dataclass(frozen=True)
class Oidc:
    """An OpenID provider whose tokens are taken (OpenID Connect Core 1.0, RFC 7519).

    Parameters
    ----------
    issuer, audience
        What a token has to say; the first is also where the provider describes itself.
    client_id
        What `modos login` calls itself there.
    jwks_url
        The provider's keys; where the issuer says, if it is None.
    name_claim, groups_claim
        The claims with a person's name, and with the groups.
    """

    issuer: str
    audience: str
    client_id: str = "modos"
    jwks_url: str | None = None
    name_claim: str = "sub"
    groups_claim: str = "groups"


@dataclass(frozen=True)
class AccessFile:
    """Contents of an access file."""

    rules: Rules
    oidc: Oidc | None = None
    tokens: Path | None = None
    passport: Passport | None = None


def read_access(path: str | Path) -> AccessFile:
    """Read an access file.

    Raises
    ------
    NotFoundError
        There is none.
    InvalidInputError
        It is not TOML, or says what is not known; the message names the place.
    """
    path = Path(path)
    try:
        document = tomllib.loads(read_given(path, _MAX_RULES).decode().replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:  # TOML or UTF-8 that is none, or a number of 5,000 digits
        raise InvalidInputError(f"{path} is not TOML: {error}") from None
    _check_keys(document, {"oidc", "passport", "rule", "tokens"}, str(path))
    tables = document.get("rule", [])
    if not isinstance(tables, list):
        raise InvalidInputError(f"{path}: rule is not a list of tables", "begin each rule with [[rule]]")
    rules = [_rule(table, f"{path}: rule {number}") for number, table in enumerate(tables, 1)]
    tokens = document.get("tokens")
    return AccessFile(
        Rules(tuple(rules)),
        _oidc(document.get("oidc"), str(path)),
        None if tokens is None else path.parent / _string(tokens, f"{path}: tokens"),
        read_passport(document.get("passport"), str(path)),
    )


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    _check_keys(table, {"who", "read", "write"}, where)
    who = _strings(table.get("who"), f"{where}: who")
    if unknown := [name for name in who if not _WHO.fullmatch(name)]:
        raise InvalidInputError(f"{where}: {unknown[0]!r} is nobody", "write anyone, user:NAME, group:NAME or visa:URL")
    read, write = (
        tuple(_place(text, where) for text in _strings(table.get(name, []), f"{where}: {name}")) for name in ("read", "write")
    )
    if write and "anyone" in who:
        raise InvalidInputError(f"{where}: anyone may write", "name users or groups")
    return Rule(frozenset(who), read, write)


def _place(text: str, where: str) -> str:
    place = text.strip("/")
    try:
        return check_key(place) if place else ""
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}", "write a folder below what is served, or / for all") from None


def _oidc(table: Any, where: str) -> Oidc | None:
    if table is None:
        return None
    _check_keys(table, set(Oidc.__dataclass_fields__), f"{where}: oidc")
    values = {name: _string(value, f"{where}: oidc.{name}") for name, value in table.items()}
    if missing := {"issuer", "audience"} - values.keys():
        raise InvalidInputError(f"{where}: oidc has no {' and no '.join(sorted(missing))}")
    return Oidc(**values)


def _check_keys(table: Any, known: set[str], where: str) -> None:
    if not isinstance(table, Mapping):
        raise InvalidInputError(f"{where}: this is not a table")
    if unknown := sorted(table.keys() - known):
        raise InvalidInputError(f"{where}: {unknown[0]} is not known", f"there are {', '.join(sorted(known))}")


def _strings(value: Any, where: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInputError(f"{where} is not a list of texts")
    return value


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{where} is not a text")
    return value


def is_public(setting: Mapping[str, str]) -> bool:
    """Return whether everybody may read the bucket: what MODOS_PUBLIC_READ says, else whether there are no rules.

    Raises
    ------
    InvalidInputError
        Rules, and a bucket that is read past them; or something else than 0 and 1.
    """
    rules, said = setting.get("MODOS_ACCESS", ""), setting.get("MODOS_PUBLIC_READ", "")
    if said not in ("", "0", "1"):
        raise InvalidInputError(f"MODOS_PUBLIC_READ is {said!r}", "it is 0 or 1")
    if said == "1" and rules:
        raise InvalidInputError(
            f"MODOS_PUBLIC_READ=1 lets anybody read the bucket, whatever {rules} (MODOS_ACCESS) says",
            'leave MODOS_PUBLIC_READ out; what is for everybody gets a rule: who = ["anyone"]',
        )
    return said == "1" or (not said and not rules)
