"""Name sequences by their content (GA4GH refget v2 and refget sequence collections)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_MD5 = re.compile(r"[0-9a-f]{32}")
_TRUNC512 = re.compile(r"[0-9a-f]{48}")
_SHA512T24U = re.compile(r"(?:ga4gh:)?(?:SQ\.)?([A-Za-z0-9_-]{32})")


class Digests(NamedTuple):
    """Digests of an upper-case sequence: MD5 in hexadecimal digits, and `ga4gh` as `SQ.` with 32 letters (sha512t24u)."""

    md5: str
    ga4gh: str

    @property
    def trunc512(self) -> str:
        """The name of refget v1: the first 24 bytes of SHA-512 in hexadecimal digits."""
        return trunc512_of(self.ga4gh)


class SequenceHash:
    """The digests of a sequence that comes in pieces."""

    def __init__(self) -> None:
        self._md5, self._sha = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        self.length = 0

    def update(self, bases: bytes) -> None:
        """Add upper-case bases."""
        self._md5.update(bases)
        self._sha.update(bases)
        self.length += len(bases)

    def digests(self) -> Digests:
        """Return the digests of all that was added."""
        return Digests(self._md5.hexdigest(), "SQ." + _letters(self._sha.digest()))


def sha512t24u(data: bytes) -> str:
    """Return the first 24 bytes of SHA-512 in the letters of base64url."""
    return _letters(hashlib.sha512(data).digest())


def _letters(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:24]).decode()


def trunc512_of(ga4gh: str) -> str:
    """Return `SQ.` with 32 letters as 48 hexadecimal digits."""
    return base64.urlsafe_b64decode(ga4gh.removeprefix("SQ.")).hex()


def parse_name(name: str) -> str | None:
    """Parse a name in any of refget's forms as an MD5, or as `SQ.` with 32 letters; return None if it is none."""
    text = name.removeprefix("md5:")
    if _MD5.fullmatch(text.lower()):
        return text.lower()
    text = name.removeprefix("trunc512:")
    if _TRUNC512.fullmatch(text.lower()):
        return "SQ." + base64.urlsafe_b64encode(bytes.fromhex(text)).decode()
    found = _SHA512T24U.fullmatch(name)
    return f"SQ.{found[1]}" if found else None


def seqcol_digest(contigs: Sequence[Mapping[str, Any]]) -> str:
    """Compute the digest of a collection of sequences, by their names, lengths and content in their order.

    Refget sequence collections 1.0, sections 3 to 5: the digests of the three
    arrays, each written as canonical JSON (RFC 8785), as canonical JSON.
    """
    arrays = {
        "lengths": [c["length"] for c in contigs],
        "names": [c["name"] for c in contigs],
        "sequences": [c["ga4gh"] for c in contigs],
    }
    return sha512t24u(_canonical({name: sha512t24u(_canonical(values)) for name, values in arrays.items()}))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
