"""Rules of who may read and write what, from one TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from modos.errors import InvalidInputError
from modos.formats import name_of
from modos.genomics.bounding import Bounds
from modos.genomics.region import settle
from modos.readlog.log_settings import LogSettings
from modos.server.client_secrets import read_client_secret
from modos.server.panels import PANEL_KEYS, FindGenes, Panels, no_genes, read_bounds
from modos.server.toml_tables import check_keys, read_flag, read_text, read_texts
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
    """Sender of a request; an anonymous one has an empty name.

    Parameters
    ----------
    how
        How they are known, such as `token` or `oidc`.
    behalf, purpose
        On whose behalf and for what they ask, as their token has it.
    """

    name: str = ""
    groups: frozenset[str] = frozenset()
    visas: tuple[Visa, ...] = field(default=(), kw_only=True)
    how: str = field(default="", compare=False, kw_only=True)
    behalf: str | None = field(default=None, compare=False, kw_only=True)
    purpose: str | None = field(default=None, compare=False, kw_only=True)


ANYONE = Caller()


@dataclass(frozen=True)
class Rule:
    """Some people, and the places that they may read or write; writing includes reading.

    A place is a key below what is served, and all that is below it; the empty
    one is everything.

    Parameters
    ----------
    bounds
        What of the reads and variants there may be read, exactly that; all where it is None.
    shows_metadata
        Whether the metadata may be read, where there are bounds.
    """

    who: frozenset[str]
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    bounds: Bounds | None = None
    shows_metadata: bool = True

    def concerns(self, caller: Caller) -> bool:
        """Return whether a caller is one of its people."""
        names = {"anyone"} | {f"group:{group}" for group in caller.groups} | {f"visa:{visa.value}" for visa in caller.visas}
        return bool(self.who & (names | {f"user:{caller.name}"} if caller.name else names))

    def places(self, action: Action) -> tuple[str, ...]:
        """Return the places where the action is allowed, without bounds."""
        if self.bounds is not None:
            return ()
        return self.write if action == "write" else self.read + self.write


@dataclass(frozen=True)
class Rules:
    """All rules: what no rule allows is not allowed."""

    rules: tuple[Rule, ...]
    _united: dict[tuple[int, ...], tuple[Bounds, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def places(self, caller: Caller, action: Action) -> tuple[str, ...]:
        """Return the places where somebody may do something, without bounds."""
        return tuple(dict.fromkeys(place for rule in self.rules if rule.concerns(caller) for place in rule.places(action)))

    def bounded(self, caller: Caller) -> tuple[Rule, ...]:
        """Return the rules by which somebody may read something within bounds."""
        return tuple(rule for rule in self.rules if rule.bounds is not None and rule.concerns(caller))

    def bounds(self, caller: Caller, key: str) -> tuple[Bounds, ...]:
        """Return the bounds within which somebody may read a key: those of several rules side by side.

        Rules that differ in nothing but their regions are taken together.
        """
        found = tuple(
            number
            for number, rule in enumerate(self.rules)
            if rule.bounds is not None and rule.concerns(caller) and any(covers(place, key) for place in rule.read)
        )
        if found not in self._united:
            self._united[found] = self._unite(found)
        return self._united[found]

    def _unite(self, numbers: Iterable[int]) -> tuple[Bounds, ...]:
        alike: dict[Bounds, list[Bounds]] = {}
        for bounds in (self.rules[number].bounds for number in numbers):
            if bounds is not None:
                alike.setdefault(replace(bounds, regions=None), []).append(bounds)
        return tuple(map(_unite, alike.values()))


def _unite(bounds: Sequence[Bounds]) -> Bounds:
    """Return the bounds that have the regions of all, which differ in nothing else."""
    regions = [one.regions for one in bounds]
    united = None if None in regions else settle(region for part in regions for region in part or ())
    return replace(bounds[0], regions=united)


@dataclass(frozen=True)
class Oidc:
    """An OpenID provider whose tokens are taken (OpenID Connect Core 1.0, RFC 7519).

    Parameters
    ----------
    issuer, audience
        What a token has to say; the first is also where the provider describes itself.
    client_id
        What `modos login` and the log-in in a browser call themselves there.
    jwks_url
        The provider's keys; where the issuer says, if it is None.
    name_claim, groups_claim
        The claims with a person's name, and with the groups.
    behalf_claim, purpose_claim
        The claims that say on whose behalf and for what somebody reads, for the read log.
    scopes
        What people who log in are asked for; None: `openid profile`, and `offline_access` where the provider has it.
    client_secret_file
        Where the client's secret is, for the log-in in a browser; None for a public client.
    """

    issuer: str
    audience: str
    client_id: str = "modos"
    jwks_url: str | None = None
    name_claim: str = "sub"
    groups_claim: str = "groups"
    behalf_claim: str | None = None
    purpose_claim: str | None = None
    scopes: str | None = None
    client_secret_file: Path | None = None


@dataclass(frozen=True)
class AccessFile:
    """Contents of an access file.

    Parameters
    ----------
    partial
        Whether a request that reaches out of somebody's bounds gets what is within; it is refused else.
    files
        The other files that it names and that were read.
    """

    rules: Rules
    oidc: Oidc | None = None
    tokens: Path | None = None
    passport: Passport | None = None
    partial: bool = False
    log: LogSettings | None = None
    files: tuple[Path, ...] = field(default=(), compare=False)


def read_access(path: str | Path, find_genes: FindGenes = no_genes) -> AccessFile:
    """Read an access file.

    Parameters
    ----------
    find_genes
        Finds the places of genes in an annotation by its name, for panels.

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
    check_keys(document, {"log", "oidc", "passport", "rule", "tokens", "panel", "partial"}, str(path))
    panels = Panels(path, document.get("panel", {}), find_genes)
    tables = document.get("rule", [])
    if not isinstance(tables, list):
        raise InvalidInputError(f"{path}: rule is not a list of tables", "begin each rule with [[rule]]")
    rules = [_rule(table, f"{path}: rule {number}", panels) for number, table in enumerate(tables, 1)]
    tokens = document.get("tokens")
    return AccessFile(
        Rules(tuple(rules)),
        _oidc(document.get("oidc"), path),
        None if tokens is None else path.parent / read_text(tokens, f"{path}: tokens"),
        read_passport(document.get("passport"), path),
        read_flag(document.get("partial", False), f"{path}: partial"),
        LogSettings.from_table(document["log"], path.parent, str(path)) if "log" in document else None,
        panels.files,
    )


def _rule(table: Mapping[str, Any], where: str, panels: Panels) -> Rule:
    check_keys(table, {"who", "read", "write", "metadata", *PANEL_KEYS}, where)
    who = read_texts(table.get("who"), f"{where}: who")
    if unknown := [name for name in who if not _WHO.fullmatch(name)]:
        raise InvalidInputError(f"{where}: {unknown[0]!r} is nobody", "write anyone, user:NAME, group:NAME or visa:URL")
    read, write = (
        tuple(_place(text, where) for text in read_texts(table.get(name, []), f"{where}: {name}")) for name in ("read", "write")
    )
    if write and "anyone" in who:
        raise InvalidInputError(f"{where}: anyone may write", "name users or groups")
    bounds = read_bounds(table, where, panels)
    if bounds is not None and write:
        raise InvalidInputError(f"{where}: what is bounded cannot be written", "bounds are for places to read")
    if bounds is None and "metadata" in table:
        raise InvalidInputError(f"{where}: metadata is said of a rule without bounds", "who may read all reads them, too")
    return Rule(frozenset(who), read, write, bounds, read_flag(table.get("metadata", bounds is None), f"{where}: metadata"))


def covers(place: str, key: str) -> bool:
    """Return whether a key is a place, or that of a file which is called so, or lies below it."""
    return is_below(place, key) or place in (key, name_of(key))


def is_below(place: str, key: str) -> bool:
    """Return whether a key lies below a place."""
    return not place or key.startswith(f"{place}/")


def _place(text: str, where: str) -> str:
    place = text.strip("/")
    try:
        return check_key(place) if place else ""
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error.message}", "write a folder below what is served, or / for all") from None


def _oidc(table: Any, path: Path) -> Oidc | None:
    if table is None:
        return None
    check_keys(table, set(Oidc.__dataclass_fields__), f"{path}: oidc")
    values: dict[str, Any] = {name: read_text(value, f"{path}: oidc.{name}") for name, value in table.items()}
    if missing := {"issuer", "audience"} - values.keys():
        raise InvalidInputError(f"{path}: oidc has no {' and no '.join(sorted(missing))}")
    if "client_secret_file" in values:
        values["client_secret_file"] = path.parent / values["client_secret_file"]
        read_client_secret(values["client_secret_file"])
    return Oidc(**values)


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
