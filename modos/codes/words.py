"""Normalise names to words that can be compared."""

from __future__ import annotations

import re
import unicodedata

_MAX_WORDS = 64
_MAX_LENGTH = 64  # characters of a word
_WORD = re.compile(r"[^\W_]+")


def split(text: str) -> list[str]:
    """Split a text into words, in lower case and without accents; `T-cell` has two."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return [word[:_MAX_LENGTH] for word in _WORD.findall(text.casefold())[:_MAX_WORDS]]
