"""Look up codes in an index and among the schema's own values."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

from modos.codes.collection import MAX_QUERY, Collection, Found
from modos.codes.packed import make_arrays
from modos.codes.slots import check_slot, enumerations, meanings
from modos.codes.storing import Stored
from modos.codes.terms import Code, is_code, uri_of, value_of
from modos.errors import IntegrityError, InvalidInputError, NotFoundError, listing
from modos.metadata.model.schema import ONTOLOGIES
from modos.storage.given import refuse_pipe

MAX_COUNT = 100  # codes at once


class Index:
    """Codes that are searched by words, synonyms, misspellings and codes; for use by many threads.

    Parameters
    ----------
    path
        What `modos.codes.build` wrote; without it there are the values of
        the schema alone.
    mapped
        Whether it stays on disk; else it is read into memory.
    """

    def __init__(self, path: str | Path | None = None, mapped: bool = True):
        if path:
            refuse_pipe(path, "an index of codes is looked at here and there", "give it as a file")
        self.path = Path(path) if path else None
        self._stored = Stored(self.path, mapped) if self.path else None
        self._collections: dict[str, Collection] = {}
        self._lock = threading.Lock()

    @property
    def slots(self) -> list[str]:
        """List the slots that have codes."""
        return [*(self._stored.slots if self._stored else ()), *enumerations()]

    @property
    def facts(self) -> dict[str, Any]:
        """The files that it was made of, and how many terms and names each slot has."""
        return self._stored.facts if self._stored else {"sources": [], "slots": {}}

    def search(self, slot: str, words: str, num: int = 10) -> list[Code]:
        """Find the terms that are most like some words, the best first; or the one term whose code they are.

        Parameters
        ----------
        slot
            Such as `cell_type`.
        num
            How many, at most.

        Raises
        ------
        NotFoundError
            There are no codes for the slot.
        InvalidInputError
            No words, more than are looked for, or more are wanted than are given.
        IntegrityError
            The index is damaged.
        """
        words = check_question(slot, words, num)
        if slot in enumerations():
            own = {term.uri: code for code, term in meanings(slot)}
            return [
                Code(own[found.uri].value, own[found.uri].label, found.uri, found.score, found.synonym)
                for found in _search(_own_values(slot), slot, words, num)
            ]
        return [
            Code(value_of(found.uri), found.label, found.uri, found.score, found.synonym)
            for found in _search(self._collection(slot), slot, words, num)
        ]

    def check(self) -> Index:
        """Return the index after comparing every slot with its checksums; raise IntegrityError if it is damaged."""
        for slot in self._stored.slots if self._stored else ():
            self._collection(slot)
        return self

    def _collection(self, slot: str) -> Collection:
        if self._stored is None or slot not in self._stored.slots:
            where = f"{self.path} has no codes for {slot}" if self.path else f"there is no index of codes for {slot}"
            raise NotFoundError(
                where,
                f"it has {listing(self.slots)}; build it of more files: modos codes build FILE..."
                if self.path
                else "build one: modos codes build FILE...; or name a server that has one: --endpoint",
            )
        with self._lock:
            if slot not in self._collections:
                self._collections[slot] = Collection(self._stored.arrays(slot))
            return self._collections[slot]


def check_question(slot: str, words: str, num: int) -> str:
    """Strip blanks around a search; raise InvalidInputError if it cannot be asked, NotFoundError for the slot."""
    check_slot(slot)
    words = words.strip()
    if not words:
        raise InvalidInputError("there are no words to look for")
    if len(words) > MAX_QUERY:
        raise InvalidInputError(f"a search has at most {MAX_QUERY} characters")
    if not 1 <= num <= MAX_COUNT:
        raise InvalidInputError(f"{num} codes cannot be given", f"ask for 1 to {MAX_COUNT}")
    return words


def _search(collection: Collection, slot: str, words: str, num: int) -> list[Found]:
    try:
        exact = [found for code in _as_codes(words, ONTOLOGIES.get(slot, ())) if (found := collection.lookup(uri_of(code)))]
        if exact and not words.isalnum():
            return exact
        others = collection.search(words, num)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InvalidInputError):  # a package is missing
            raise
        raise IntegrityError(f"the index of codes is damaged: {error}", "build it again: modos codes build") from None
    return [*exact, *(found for found in others if found.uri not in {term.uri for term in exact})][:num]


def _as_codes(words: str, prefixes: tuple[str, ...]) -> list[str]:
    """Return the codes that words may be: CL:0000084, also written CL_0000084, cl:0000084 or 0000084."""
    before, mark, local = words.replace("_", ":", 1).partition(":")
    if own := [f"{prefix}:{local}" for prefix in prefixes if mark and prefix.casefold() == before.casefold()]:
        return own
    return [words] if is_code(words) else [f"{prefix}:{words}" for prefix in prefixes if words.isascii() and words.isalnum()]


@cache
def _own_values(slot: str) -> Collection:
    terms = sorted((term for _, term in meanings(slot)), key=lambda term: term.uri)
    return Collection(make_arrays((term.uri, list(term.names)) for term in terms))
