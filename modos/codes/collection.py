"""Search the terms of one slot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modos.codes.packed import Arrays, grams_of
from modos.codes.terms import LABEL, RELATED
from modos.codes.words import split
from modos.errors.missing import need

MAX_QUERY = 200  # characters
_MAX_WORDS = 8
_MAX_NEAR = 2000  # words that are compared letter by letter
_MAX_WORD_HITS = 300
_MAX_COMPARED = 400  # names that are compared as a whole
_EXACT, _BEGINS, _NEAR, _WITHIN = (
    1.0,
    0.85,
    0.8,
    0.6,
)  # what a word is worth that is, begins like, is like or has in it one of the query
_WORDS, _WHOLE = 0.6, 0.4  # what the words of a name are worth, and the name as a whole
_WORST = 0.3
_at_once = threading.BoundedSemaphore(2)  # each takes some bytes for every name


@dataclass(frozen=True)
class Found:
    """A term that fits, and the name by which it does.

    Parameters
    ----------
    synonym
        None where it is the label.
    """

    uri: str
    label: str
    score: float
    synonym: str | None


class Collection:
    """The terms of a slot, as arrays; see `arrays`."""

    def __init__(self, arrays: Arrays):
        self._arrays = arrays
        self._names = len(arrays["kinds"])

    def __len__(self) -> int:
        return len(self._arrays["first"]) - 1

    def search(self, text: str, count: int) -> list[Found]:
        """Find the terms whose names are like some words, the best first."""
        need("rapidfuzz")
        words = list(dict.fromkeys(split(text[:MAX_QUERY])))[:_MAX_WORDS]
        if not words or not self._names:
            return []
        with _at_once:
            scores = self._score(words)
            return self._rank(" ".join(words), scores, count)

    def lookup(self, uri: str) -> Found | None:
        """Look up the term with an address."""
        at = self._find_place("uris", uri.encode())
        if at < len(self) and self._text("uris", at) == uri.encode():
            return Found(uri, self._label(at), 1.0, None)
        return None

    def _score(self, words: list[str]) -> npt.NDArray[np.float32]:
        """Score how well the words of each name fit, from 0 to 1: rare words count for more."""
        total, scores = 0.0, np.zeros(self._names, np.float32)
        for number, word in enumerate(words):
            hits = sorted(self._hits(word.encode(), whole=len(words) == 1), key=lambda hit: hit[0])
            part = np.zeros(self._names, np.float32) if number else scores
            weight = self._weight(hits)
            for worth, start, stop in hits:
                part[self._arrays["postings"][start:stop]] = worth * weight
            if number:
                scores += part
            total += weight
        scores /= total
        return scores

    def _weight(self, hits: list[tuple[float, int, int]]) -> float:
        """Weigh a word of the query by how many names have it."""
        exact = [stop - start for worth, start, stop in hits if worth == _EXACT]
        return float(np.log1p(self._names / max(1, sum(exact or [stop - start for _, start, stop in hits]))))

    def _hits(self, word: bytes, whole: bool) -> Iterator[tuple[float, int, int]]:
        """Find words like one of the query: their scores, and the positions of the names that contain them."""
        ends = self._arrays["posting_ends"]
        low = self._find_place("words", word)
        high = self._find_place("words", word + b"\xff")
        if high > low and self._text("words", low) == word:
            yield _EXACT, int(ends[low]), int(ends[low + 1])
        if high > low and (len(word) > 1 or whole):
            yield _BEGINS, int(ends[low]), int(ends[high])
        if len(word) > 3:
            for worth, at in self._find_near(word):
                yield worth, int(ends[at]), int(ends[at + 1])

    def _find_near(self, word: bytes) -> Iterator[tuple[float, int]]:
        """Find words that differ by a letter or two, or that contain the whole word."""
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import cdist

        distance = 1 if len(word) < 8 else 2
        grams = self._postings(grams_of(word))[: 4 * distance + 1]
        candidates = self._frequent(grams, len(word), distance)
        texts = self._texts("words", candidates)
        if texts:
            distances = cdist([word], texts, scorer=OSA.distance, score_cutoff=distance, dtype=np.uint8)[0]
            near = np.flatnonzero((distances <= distance) & (distances > 0))
            for at in near[np.argsort(distances[near], kind="stable")][:_MAX_WORD_HITS]:
                yield _NEAR * (1 - float(distances[at]) / len(word)), int(candidates[at])
        inner = self._postings(grams_of(word)[1:-1])
        if inner and len(inner) == len(word) - 2:
            yield from ((_WITHIN, int(at)) for at in self._find_containing(inner, word))

    def _postings(self, grams: list[int]) -> list[npt.NDArray[np.int32]]:
        """Return, for each known sequence of three letters, the words that have it, the rarest first."""
        keys, ends = self._arrays["grams"], self._arrays["gram_ends"]
        found = [
            at
            for gram, at in zip(grams, np.searchsorted(keys, np.array(grams, np.uint32)))
            if at < len(keys) and keys[at] == gram
        ]
        return sorted((self._arrays["gram_words"][ends[at] : ends[at + 1]] for at in found), key=len)

    def _frequent(self, grams: list[npt.NDArray[np.int32]], length: int, distance: int) -> npt.NDArray[np.int64]:
        """Find the words that have most of some three-letter sequences, and about as many in all."""
        if not grams:
            return np.empty(0, np.int64)
        counts = np.bincount(np.concatenate(grams), minlength=len(self._arrays["word_ends"]) - 1)
        found: npt.NDArray[np.int64] = np.flatnonzero(counts > 0)  # faster than of the numbers themselves
        ends = self._arrays["word_ends"]
        found = found[np.abs(ends[found + 1] - ends[found] - length) <= distance]
        if len(found) > _MAX_NEAR:
            found = found[np.argpartition(-counts[found], _MAX_NEAR)[:_MAX_NEAR]]
        return found

    def _find_containing(self, inner: list[npt.NDArray[np.int32]], word: bytes) -> list[int]:
        """Find words that contain another one, not at their beginning."""
        found = inner[0]
        for other in inner[1:3]:
            found = (
                found[np.isin(found, other, assume_unique=True)]
                if len(found) * 20 > len(other)
                else found[_in_sorted(found, other)]
            )
        found = found[:_MAX_NEAR]
        return [at for at, text in zip(found, self._texts("words", found)) if word in text[1:]][:_MAX_WORD_HITS]

    def _rank(self, query: str, scores: npt.NDArray[np.float32], count: int) -> list[Found]:
        """Rank the names that fit best, compared as a whole; keep the best of each term."""
        from rapidfuzz import fuzz
        from rapidfuzz.process import cdist

        hits = np.flatnonzero(scores > 0)
        rank = scores[hits] - self._arrays["sizes"][hits] * np.float32(1e-4)
        if len(hits) > _MAX_COMPARED:
            hits = hits[np.argpartition(-rank, _MAX_COMPARED)[:_MAX_COMPARED]]
        if not len(hits):
            return []
        names = [name.decode() for name in self._texts("names", hits)]
        terms = np.searchsorted(self._arrays["first"], hits.astype(np.int32), side="right") - 1
        compared = [" ".join(split(name)) for name in names]
        alike = (
            0.009 * cdist([query], compared, scorer=fuzz.token_sort_ratio)[0]
            + 0.001 * cdist([query], compared, scorer=fuzz.ratio)[0]
        )
        kinds = self._arrays["kinds"][hits]
        total = _WORDS * scores[hits] + _WHOLE * alike - 0.01 * (kinds != LABEL) - 0.04 * (kinds == RELATED)
        order = np.lexsort((hits, self._arrays["sizes"][hits], -total))
        found: dict[int, Found] = {}
        for at in order:
            term = int(terms[at])
            if total[at] < _WORST:
                break
            if term not in found:
                found[term] = Found(
                    self._text("uris", term).decode(),
                    self._label(term),
                    round(float(total[at]), 3),
                    names[at] if kinds[at] != LABEL else None,
                )
            if len(found) == count:
                break
        return list(found.values())

    def _label(self, term: int) -> str:
        return self._text("names", int(self._arrays["first"][term])).decode()

    def _text(self, what: str, at: int) -> bytes:
        ends = self._arrays[f"{what[:-1]}_ends"]
        return self._arrays[what][ends[at] : ends[at + 1]].tobytes()

    def _texts(self, what: str, at: npt.NDArray[np.integer]) -> list[bytes]:
        ends, view = self._arrays[f"{what[:-1]}_ends"], memoryview(self._arrays[what])
        return [view[start:stop].tobytes() for start, stop in zip(ends[at].tolist(), ends[at + 1].tolist())]

    def _find_place(self, what: str, text: bytes) -> int:
        """Find where a text is, or would be, among sorted ones."""
        low, high = 0, len(self._arrays[f"{what[:-1]}_ends"]) - 1
        while low < high:
            middle = (low + high) // 2
            if self._text(what, middle) < text:
                low = middle + 1
            else:
                high = middle
        return low


def _in_sorted(values: npt.NDArray[np.integer], others: npt.NDArray[np.integer]) -> npt.NDArray[np.bool]:
    """Return which values are among others that are sorted: bool, of the shape of the values."""
    at = np.searchsorted(others, values)
    at[at == len(others)] = 0
    same: npt.NDArray[np.bool] = others[at] == values
    return same
