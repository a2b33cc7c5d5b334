"""Terms of terminologies, with their addresses and codes, and the results of a search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from modos.errors.escaping import is_plain
from modos.metadata.model.schema import tables

OBO = "http://purl.obolibrary.org/obo/"
EFO = "http://www.ebi.ac.uk/efo/"
LABEL, EXACT, RELATED = range(3)  # what a name of a term is
MAX_NAME = 1000  # characters
_MAX_URI = 500
_CURIE = re.compile(r"([A-Za-z][A-Za-z0-9._-]*):([A-Za-z0-9._~-]+)")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f\x7f-\x9f]+", re.IGNORECASE)
_LOCAL = re.compile(r"([A-Za-z][A-Za-z]*)_[A-Za-z0-9]+")


@dataclass(frozen=True)
class Term:
    """A term as a file has it.

    Parameters
    ----------
    names
        Its label and synonyms, each with `LABEL`, `EXACT` or `RELATED`.
    is_obsolete
        Whether it is not to be used any more.
    """

    uri: str
    names: tuple[tuple[str, int], ...]
    is_obsolete: bool = False


@dataclass(frozen=True)
class Code:
    """A term that was found.

    Parameters
    ----------
    value
        What the metadata of an element have for it.
    score
        How well it fits, up to 1; None where a server does not say.
    synonym
        The name by which it was found, where that is not its label.
    """

    value: str
    label: str
    uri: str
    score: float | None = None
    synonym: str | None = None


def is_uri(text: str) -> bool:
    """Return whether a text can stand as the address of a term."""
    return len(text) <= _MAX_URI and is_plain(text) and bool(_URI.fullmatch(text))


def is_code(text: str) -> bool:
    """Return whether a text is a code or an address, rather than words."""
    return (bool(re.match(r"https?://", text)) and is_uri(text)) or bool(_CURIE.fullmatch(text))


def prefix_of(uri: str) -> str | None:
    """Return the ontology prefix of a term: CL for http://purl.obolibrary.org/obo/CL_0000084."""
    for base in (OBO, EFO):
        if uri.startswith(base) and (found := _LOCAL.fullmatch(uri, len(base))):
            return found[1]
    return None


def uri_of(code: str, spaces: dict[str, str] | None = None) -> str:
    """Return the address of a term by its code; an address stays as it is.

    Parameters
    ----------
    spaces
        What prefixes stand for, where it is not what OBO has.
    """
    found = _CURIE.fullmatch(code)
    if not found or found[1].lower() in ("http", "https", "urn"):
        return code
    prefix, local = found.groups()
    base = (spaces or {}).get(prefix) or _prefixes().get(prefix) or f"{EFO if prefix == 'EFO' else OBO}{prefix}_"
    return base + local


def value_of(uri: str) -> str:
    """Return the value that metadata have for a term: a code where the schema knows the prefix, else the address."""
    for prefix, base in _prefixes().items():
        if uri.startswith(base) and _CURIE.fullmatch(f"{prefix}:{uri[len(base) :]}"):
            return f"{prefix}:{uri[len(base) :]}"
    return uri


@cache
def _prefixes() -> dict[str, str]:
    return dict(tables()["prefixes"])
