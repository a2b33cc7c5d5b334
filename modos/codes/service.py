"""A client for servers that speak the API of fuzon, as ours does.

API: github.com/sdsc-ordes/fuzon, fuzon-http: `GET /codes/top` and `GET /collections`.
Some versions take the number of codes as `num`, others as `top`; each ignores the other name.
"""

from __future__ import annotations

import re
from typing import Any

from modos.codes.term_index import MAX_COUNT, check_question
from modos.codes.terms import MAX_NAME, Code, is_uri, value_of
from modos.errors import NotFoundError, ProtocolError, listing
from modos.remote.services import fetch_json, is_texts, token_for

_LITERAL = re.compile(r'"(.*)"(?:@[A-Za-z0-9-]+|\^\^<[^>]*>)?', re.DOTALL)
_WHAT = "a server of codes"


class Service:
    """A server that finds codes.

    Parameters
    ----------
    url
        To which `/codes/top` is added.
    endpoint
        The modos server that named it.
    """

    def __init__(self, url: str, endpoint: str | None = None):
        self.url, self._endpoint = url, endpoint

    def search(self, slot: str, words: str, num: int = 10) -> list[Code]:
        """Find the terms that the server considers most like some words, the best first.

        Raises
        ------
        NotFoundError
            It has no codes for the slot.
        InvalidInputError
            No words, or more are wanted than are given.
        TransportError, AccessError, ProtocolError
            It is away, wants a token, or answers nonsense.
        """
        words = check_question(slot, words, num)
        try:
            answer = self._get("codes/top", {"collection": slot, "query": words, "num": str(num), "top": str(num)})
        except ProtocolError:
            if slot not in (known := self.slots):
                raise NotFoundError(
                    f"{self.url} has no codes for {slot}", f"it has {listing(known)}" if known else None
                ) from None
            raise
        entries = answer.get("codes") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise ProtocolError(f"{self.url} is not {_WHAT}: it gives none")
        return [_code(self.url, entry) for entry in entries[: min(num, MAX_COUNT)]]

    @property
    def slots(self) -> list[str]:
        """The slots that it has codes for."""
        answer = self._get("collections")
        known = answer.get("collections") if isinstance(answer, dict) else None
        if not is_texts(known):
            raise ProtocolError(f"{self.url} is not {_WHAT}: it does not say what it has")
        return known or []

    def _get(self, path: str, params: dict[str, str] | None = None) -> Any:
        return fetch_json(f"{self.url}/{path}", params, token_for(self.url, self._endpoint), what=_WHAT)


def _code(url: str, entry: Any) -> Code:
    """Parse a code of an answer: fuzon writes addresses as `<http://...>`, and wrote labels as `"T cell"@en`."""
    label, uri, score, synonym = (
        entry.get(name) if isinstance(entry, dict) else None for name in ("label", "uri", "score", "synonym")
    )
    if not isinstance(label, str) or not isinstance(uri, str):
        raise ProtocolError(f"{url} answers nonsense: a code without label and uri")
    uri = uri[1:-1] if uri.startswith("<") and uri.endswith(">") else uri
    if not is_uri(uri):
        raise ProtocolError(f"{url} answers nonsense: {uri[:100]!r} is no address of a term")
    literal = _LITERAL.fullmatch(label)
    label = re.sub(r"\\(.)", r"\1", literal[1]) if literal else label
    score = float(score) if isinstance(score, (int, float)) and not isinstance(score, bool) and abs(score) <= 1 else None
    return Code(value_of(uri), _one_line(label), uri, score, _one_line(synonym) if isinstance(synonym, str) else None)


def _one_line(name: str) -> str:
    """Remove from a name what would end its table cell or its line."""
    return " ".join(name.split())[:MAX_NAME]
