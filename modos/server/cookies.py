"""Read and write cookies that hold sealed texts, in pieces where they are long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

PIECE = 3_800  # characters: with its name and attributes a browser takes 4,096 (RFC 6265, section 6.1)
MOST = 6  # pieces; a server takes 64 KiB of headers
_TEXT = re.compile(r"[A-Za-z0-9_.-]*")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class CookieName:
    """Name of a cookie and of its pieces.

    Parameters
    ----------
    text
        Of the first piece; the others have a number behind it.
    is_secure
        Whether the server is reached by https: the cookie is then sent over https
        alone, and nobody but this host can set it (the prefix `__Host-`, RFC 6265bis).
    """

    text: str
    is_secure: bool

    @classmethod
    def of(cls, purpose: str, base: str) -> CookieName:
        """Return the name for a purpose at a server; over http it has the port, as cookies are shared by all ports of a host."""
        parts = urlsplit(base)
        if parts.scheme == "https":
            return cls(f"__Host-modos-{purpose}", True)
        return cls(f"modos-{purpose}-{parts.port or 80}", False)

    @property
    def pieces(self) -> list[str]:
        """The names of all pieces that there may be."""
        return [self.text, *(f"{self.text}-{number}" for number in range(1, MOST))]

    def read(self, scope: Scope) -> str | None:
        """Return the text of a cookie of a request; None if there is none, and an empty one if it is not whole or there twice.

        Two of one name are of two makers, of which one may be a page of another host that shares a domain with this one.
        """
        found = read_cookies(Headers(scope=scope).getlist("Cookie"), set(self.pieces))
        if not found:
            return None
        first = found.get(self.text, [])
        count, dot, begin = (first[0] if len(first) == 1 else "").partition(".")
        if not dot or count not in map(str, range(1, MOST + 1)):
            return ""
        rest = [found.get(name, []) for name in self.pieces[1 : int(count)]]
        return begin + "".join(one[0] for one in rest) if all(len(one) == 1 for one in rest) else ""

    def write(self, text: str, scope: Scope, seconds: int | None = None) -> list[str]:
        """Return values of `Set-Cookie` for a text of at most `PIECE * MOST` characters; pieces of before are removed.

        Parameters
        ----------
        seconds
            How long it is kept; until the browser is closed where it is None.
        """
        cut = [text[at : at + PIECE] for at in range(0, len(text), PIECE)] or [""]
        if len(cut) > MOST:
            raise ValueError(f"a cookie of {len(text)} characters")
        values = [f"{len(cut)}.{cut[0]}", *cut[1:]]
        made = [self._make(name, value, seconds) for name, value in zip(self.pieces, values, strict=False)]
        return made + self._remove(scope, self.pieces[len(cut) :])

    def remove(self, scope: Scope) -> list[str]:
        """Return values of `Set-Cookie` that remove all pieces that a request has."""
        return self._remove(scope, self.pieces)

    def _remove(self, scope: Scope, names: Sequence[str]) -> list[str]:
        found = read_cookies(Headers(scope=scope).getlist("Cookie"), set(names))
        return [self._make(name, "", 0) for name in names if name in found]

    def _make(self, name: str, value: str, seconds: int | None) -> str:
        age = "" if seconds is None else f"; Max-Age={seconds}"
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{'; Secure' if self.is_secure else ''}"


def is_fit(base: str) -> bool:
    """Return whether cookies may be sent to a server: over https, or to this machine."""
    parts = urlsplit(base)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK or str(parts.hostname).endswith(".localhost")


def read_cookies(headers: Iterable[str], names: set[str]) -> dict[str, list[str]]:
    """Return the values of some names in headers `Cookie`, whatever else is there; what no server sealed is empty."""
    found: dict[str, list[str]] = {}
    for header in headers:
        for pair in header.split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if name in names:
                found.setdefault(name, []).append(value if _TEXT.fullmatch(value) else "")
    return found
