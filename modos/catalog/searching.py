"""Parse search terms for the metadata of objects: words, and values of slots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modos.errors import InvalidInputError, did_you_mean, listing
from modos.formats import Metadata
from modos.metadata import model

_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')
_TERM = re.compile(r"(?P<slot>[^=~\"]*)(?P<sign>[=~])(?P<value>.*)", re.DOTALL)
_SHOWN = 200  # characters of a word that errors show


@dataclass(frozen=True)
class Term:
    """Condition on an object: one thing that it has to have, in upper or lower case.

    Parameters
    ----------
    slot
        Where it has to stand; in an id or in any slot where it is empty.
    value
        Is the whole value, or a part of it.
    whole
        Which of them.
    """

    slot: str
    value: str
    whole: bool = False

    def is_in(self, metadata: Metadata) -> bool:
        """Return whether an object or one of its elements has it."""
        found = (value.casefold() for value in self._values(metadata))
        return any(value == self.value for value in found) if self.whole else any(self.value in value for value in found)

    def _values(self, metadata: Metadata) -> Iterator[str]:
        for element_id, attributes in metadata.items():
            if self.slot in ("", "id"):
                yield element_id
            for name, value in attributes.items():
                if self.slot in ("", name):
                    yield from _texts(value)


def parse_search(text: str) -> list[Term]:
    """Parse a search into terms: `WORD`, `SLOT=VALUE` and `SLOT~PART`; a value with blanks is written in `"`.

    Raises
    ------
    InvalidInputError
        A slot that no class has, a term without a value, or a `"` that is not closed.
    """
    if text.count('"') % 2:
        raise InvalidInputError(f'the search {text} has a " that is not closed', 'write a value with blanks as SLOT="two words"')
    return [_term(word) for word in _WORD.findall(text)]


def _term(text: str) -> Term:
    match = _TERM.fullmatch(text)
    slot, value = (match["slot"], match["value"]) if match else ("", text)
    value = value.replace('"', "").casefold()
    if (match and not value) or (match and not slot):
        raise InvalidInputError(
            f"{text[:_SHOWN]} is not SLOT=VALUE or SLOT~PART",
            f"""to find these characters themselves write '"{text[:_SHOWN]}"'""",
        )
    return Term(_slot(slot, text) if match else "", value, whole=match is not None and match["sign"] == "=")


def _slot(name: str, text: str) -> str:
    known = {slot.casefold(): slot for slot in ("@type", *sorted(model.slots()))}
    if name.casefold() not in known:
        near = did_you_mean(name, known.values())
        raise InvalidInputError(
            f"there is no slot {name}, which {text} asks for",
            f"did you mean {near}?" if near else f"there are {listing(known.values(), 60)}",
        )
    return known[name.casefold()]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _texts(part)
    else:
        yield str(value)
