"""Evaluate the conditions of GA4GH visas (Passport 1.2, "conditions")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modos.errors import InvalidInputError

_MOST_ALTERNATIVES, _MOST_CLAUSES = 20, 20
_LONGEST = 255  # characters of a text to compare with
_CLAIMS = ("value", "source", "by")

Known = Sequence[tuple[Mapping[str, str], float]]


def find_end(conditions: Any, known: Known) -> float:
    """Return till when conditions are fulfilled (seconds since 1970).

    Parameters
    ----------
    conditions
        As a visa has them: a list of alternatives, each a list of clauses, which all have to be fulfilled.
    known
        What the other visas of the same person claim, and when these end.

    Raises
    ------
    InvalidInputError
        They are fulfilled at no time, or not as the specification has them.
    """
    _check(conditions)
    end = max(min(_find_clause_end(clause, known) for clause in clauses) for clauses in conditions)
    if not end:
        raise InvalidInputError("its conditions are not fulfilled")
    return end


def matches(text: str, wanted: str) -> bool:
    """Return whether a text is what a clause wants: `const:`, `pattern:` or `split_pattern:`, and what that is."""
    kind, _, pattern = wanted.partition(":")
    if kind == "const":
        return text == pattern
    if kind == "pattern":
        return _compile(pattern).fullmatch(text) is not None
    if kind == "split_pattern":
        compiled = _compile(pattern)
        return any(compiled.fullmatch(part) for part in text.split(";"))
    return False


def _check(conditions: Any) -> None:
    """Refuse conditions that are no such lists: among them the empty alternative, which would always be fulfilled."""
    if not isinstance(conditions, list) or not 0 < len(conditions) <= _MOST_ALTERNATIVES:
        raise InvalidInputError("its conditions are no list of alternatives, or too many")
    for clauses in conditions:
        if not isinstance(clauses, list) or not 0 < len(clauses) <= _MOST_CLAUSES:
            raise InvalidInputError("its conditions have an alternative that is no list of clauses, or too many")
        for clause in clauses:
            if (
                not isinstance(clause, dict)
                or not all(isinstance(wanted, str) and len(wanted) <= _LONGEST for wanted in clause.values())
                or "type" not in clause
                or len(clause) < 2
                or clause.keys() & {"conditions", "asserted"}
            ):
                raise InvalidInputError("its conditions have a clause that is not as the specification has it")


def _find_clause_end(clause: Mapping[str, str], known: Known) -> float:
    """Return till when there is one visa that has all of it; 0 if there is none."""
    wanted = {name: text for name, text in clause.items() if name != "type"}
    if wanted.keys() - set(_CLAIMS):
        return 0
    return max(
        (
            end
            for claims, end in known
            if claims["type"] == clause["type"] and all(matches(claims[name], text) for name, text in wanted.items())
        ),
        default=0,
    )


def _compile(pattern: str) -> re.Pattern[str]:
    """Compile a pattern with `?` and `*`; what `*` has taken is never given back, so that no text takes long."""
    first, *others = ["".join("." if one == "?" else re.escape(one) for one in part) for part in pattern.split("*")]
    if not others:
        return re.compile(first, re.DOTALL)
    return re.compile(first + "".join(f"(?>.*?{part})" for part in others[:-1]) + ".*" + others[-1], re.DOTALL)
