"""Suggest codes for words that somebody types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from modos.cli.input import read_answer
from modos.cli.output import options, say, warn

if TYPE_CHECKING:
    from modos.codes.service import Service
    from modos.codes.term_index import Index
    from modos.codes.terms import Code

    Find = Callable[[str], list[Code]]

_SHOWN = 10


def has_codes(slot: str) -> bool:
    """Return whether there are ontologies for a slot, and codes of them at hand."""
    from modos.metadata.model.schema import ONTOLOGIES

    return slot in ONTOLOGIES and slot in _at_hand().slots


def suggest(slot: str, value: Any) -> Any:
    """Replace words by the codes that somebody chooses for them; what is a code already stays."""
    if isinstance(value, list):
        return [chosen for text in value if (chosen := _suggest_one(slot, text))]
    return _suggest_one(slot, value) if value else value


def browse(slot: str, find: Find) -> Code:
    """Ask for a code after one or more searches; Ctrl-C, or the end of input, ends it."""
    while True:
        text = read_answer(f"words for {slot}")
        if text and (chosen := _choose(slot, text, find, f"{slot}: a number, or other words")) and not isinstance(chosen, str):
            return chosen


def _suggest_one(slot: str, text: str) -> str:
    from modos.codes.terms import is_code
    from modos.errors import ModosError, TransportError

    if is_code(text) or not has_codes(slot):
        return text
    try:
        chosen = _choose(
            slot,
            text,
            lambda words: _at_hand().codes.search(slot, words, _SHOWN),
            f"{slot}: a number, a code or other words; = keeps what you typed, nothing leaves it out",
        )
    except ModosError as error:
        warn(f"{text} was not looked up: {error.message}")
        if isinstance(error, TransportError):  # each answer would wait for it
            _at_hand().slots = frozenset()
        return text
    return chosen if isinstance(chosen, str) else chosen.value


def _choose(slot: str, text: str, find: Find, question: str) -> Code | str:
    """Ask for a choice among what is found; a text where it is none of it."""
    from modos.codes.terms import is_code

    words = text
    while True:
        found = find(words)
        if len(found) == 1 and is_code(words):
            return found[0]
        say(
            "\n".join(
                f"{number:>3}  {code.label}{f' ({code.synonym})' if code.synonym else ''}  {code.value}"
                for number, code in enumerate(found, 1)
            )
            or f"nothing of {slot} is like {words}"
        )
        answer = read_answer(question)
        if answer in ("", "="):
            return text if answer else ""
        if answer.isascii() and answer.isdecimal() and 1 <= int(answer[:9]) <= len(found):
            return found[int(answer) - 1]
        if is_code(answer):
            return answer
        words = answer


@dataclass
class _AtHand:
    """Codes to search in, and the slots that they are for."""

    codes: Index | Service
    slots: frozenset[str]


@cache
def _at_hand() -> _AtHand:
    """Open the codes at hand, and list their slots; once."""
    from modos import codes
    from modos.codes.term_index import Index
    from modos.errors import ModosError
    from modos.errors.missing import need
    from modos.metadata.model.schema import ONTOLOGIES

    try:
        found = codes.open(endpoint=options.endpoint)
        slots = frozenset(found.slots).intersection(ONTOLOGIES)
        if slots and isinstance(found, Index):
            need("rapidfuzz")
        return _AtHand(found, slots)
    except ModosError as error:
        warn(f"codes are not suggested: {error}")
        return _AtHand(Index(), frozenset())
