"""Terms packed into arrays that can be searched, and mapped from a file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.codes.terms import LABEL
from modos.codes.words import split

Arrays = dict[str, npt.NDArray[Any]]
SECTIONS: dict[str, type[np.generic]] = {
    "first": np.int32,
    "kinds": np.uint8,
    "sizes": np.uint16,
    "uris": np.uint8,
    "uri_ends": np.int64,
    "names": np.uint8,
    "name_ends": np.int64,
    "words": np.uint8,
    "word_ends": np.int64,
    "posting_ends": np.int64,
    "postings": np.int32,
    "grams": np.uint32,
    "gram_ends": np.int64,
    "gram_words": np.int32,
}
_BEFORE, _BEHIND = 1, 2  # bytes that no word has
_NONE = np.empty(0, np.int32)


def make_arrays(terms: Iterable[tuple[str, list[tuple[str, int]]]]) -> Arrays:
    """Pack terms, in the order of their addresses, into the arrays that are searched, each of shape (n,) and an integer dtype.

    Texts lie one after another, with the place where each begins (and the
    last ends). Words are sorted, so that those with one beginning are
    neighbours; each leads to the names that have it, and three letters in
    a row lead to the words that have those.
    """
    uris, names, kinds = _Texts(), _Texts(), bytearray()
    first, sizes, counts, met = array("i", [0]), array("H"), bytearray(), array("i")
    words: dict[str, int] = {}
    for uri, named in terms:
        uris.add(uri.encode())
        seen = set()
        for name, kind in named:
            parts = tuple(split(name))
            if kind != LABEL and (parts in seen or not parts):
                continue
            seen.add(parts)
            names.add(name.encode("utf-8", "replace"))
            kinds.append(kind)
            sizes.append(sum(map(len, parts)) + len(parts))
            before = len(met)
            met.extend(words.setdefault(word, len(words)) for word in dict.fromkeys(parts))
            counts.append(len(met) - before)
        first.append(len(kinds))
    of_names = (np.frombuffer(met, np.int32), np.frombuffer(counts, np.uint8)) if kinds else (_NONE, _NONE)
    return {
        "first": np.array(first, np.int32),
        "kinds": np.array(kinds, np.uint8),
        "sizes": np.array(sizes, np.uint16),
        "uris": uris.array(),
        "uri_ends": uris.ends(),
        "names": names.array(),
        "name_ends": names.ends(),
        **_word_arrays(words, *of_names),
    }


class _Texts:
    """Texts, one behind the other."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])

    def add(self, text: bytes) -> None:
        """Add one text."""
        self._bytes += text
        self._ends.append(len(self._bytes))

    def array(self) -> npt.NDArray[np.uint8]:
        """Return their bytes."""
        return np.frombuffer(self._bytes, np.uint8)

    def ends(self) -> npt.NDArray[np.int64]:
        """Return where each text begins, and the last ends."""
        return np.array(self._ends, np.int64)


def _word_arrays(words: dict[str, int], met: npt.NDArray[np.int32], counts: npt.NDArray[np.uint8]) -> Arrays:
    """Build the arrays of words, and of what leads from them to names.

    Parameters
    ----------
    met
        The numbers of the words of all names, one name after the other.
    counts
        How many each name has.
    """
    texts = [word.encode() for word in words]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    rank = np.empty(len(texts), np.int32)
    rank[order] = np.arange(len(texts), dtype=np.int32)
    of_names = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    ends, postings = _group(rank[met], of_names, len(texts))
    in_order = _Texts()
    for at in order:
        in_order.add(texts[at])
    text, text_ends = in_order.array(), in_order.ends()
    keys, gram_ends, gram_words = _gram_arrays(text, text_ends)
    return {
        "words": text,
        "word_ends": text_ends,
        "posting_ends": ends,
        "postings": postings,
        "grams": keys,
        "gram_ends": gram_ends,
        "gram_words": gram_words,
    }


def _gram_arrays(
    text: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Find the words that have three bytes in a row, where a word has a byte before and behind it that no text has."""
    count, lengths = len(ends) - 1, np.diff(ends)
    padded = np.zeros(len(text) + 2 * count, np.uint32)
    word_of = np.repeat(np.arange(count, dtype=np.int32), lengths + 2)
    starts = ends[:-1] + 2 * np.arange(count)
    inner = np.ones(len(padded), bool)
    inner[starts] = inner[starts + lengths + 1] = False
    padded[inner] = text
    padded[starts] = _BEFORE
    padded[starts + lengths + 1] = _BEHIND
    keys = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:] if len(padded) > 2 else np.empty(0, np.uint32)
    whole = word_of[:-2] == word_of[2:]
    keys, of_words = keys[whole], word_of[:-2][whole]
    known, numbers = np.unique(keys, return_inverse=True)
    pairs = np.unique(numbers.astype(np.int64) << 32 | of_words)  # sorted, and each once
    numbers, of_words = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)
    gram_ends = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(known)))]).astype(np.int64)
    return known.astype(np.uint32), gram_ends, of_words


def grams_of(word: bytes) -> list[int]:
    """Return each three bytes in a row of a word, with those at its ends, as numbers."""
    padded = bytes([_BEFORE]) + word + bytes([_BEHIND])
    return list(dict.fromkeys(padded[at] << 16 | padded[at + 1] << 8 | padded[at + 2] for at in range(len(padded) - 2)))


def _group(
    groups: npt.NDArray[np.integer],
    values: npt.NDArray[np.integer],
    count: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Group values, in their order, and return where each group ends."""
    order = np.argsort(groups, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))]).astype(np.int64)
    return ends, values[order].astype(np.int32)
