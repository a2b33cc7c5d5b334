"""Match the names that people write in sheets with slots and values of the schema.

A name that differs only in case, spaces, `_` and `-` is accepted and reported;
one that is merely near is asked about, or settled beforehand (`--map`); nothing
else is accepted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from modos.errors import InvalidInputError, did_you_mean, listing
from modos.metadata import model
from modos.metadata.model.schema import slots_of, tables
from modos.storage.base import Progress

Ask = Callable[[str, Sequence[str], Sequence[str]], "str | None"]
"""A question, what may be meant, and all that may be answered, to the answer; None where there is none."""

ARGUMENTS = ("source_file", "part_of")
LEFT_OUT = "-"
_MAX_ASKED = 20  # questions about a sheet
_WORDS = {  # what slots are called elsewhere; only ever asked about
    "gender": "sex",
    "species": "taxon_id",
    "organism": "taxon_id",
    "taxon": "taxon_id",
    "taxonomy": "taxon_id",
    "tissue": "source_material",
    "material": "source_material",
    "celltype": "cell_type",
    "file": "source_file",
    "filename": "source_file",
    "path": "source_file",
    "filepath": "source_file",
    "title": "name",
    "label": "name",
    "comment": "description",
    "comments": "description",
    "notes": "description",
    "format": "data_format",
    "identifier": "id",
    "type": "@type",
    "class": "@type",
    "parent": "part_of",
    "omics": "omics_type",
    "collectedby": "collector",
    "treatment": "sample_processing",
    "processing": "sample_processing",
    "url": "source_uri",
    "uri": "source_uri",
    "md5": "sequence_md5",
}

logger = logging.getLogger(__name__)


def fold_name(text: str) -> str:
    """Reduce a name to what people write alike: without case, spaces, `_` and `-`."""
    return re.sub(r"[\s_-]+", "", text).casefold()


def find_same(text: str, names: Iterable[str]) -> str | None:
    """Find the one name that is this text, or the same once both are folded (`fold_name`); else None."""
    names = list(names)
    if text in names:
        return text
    same = [name for name in names if fold_name(name) == fold_name(text)]
    return same[0] if len(same) == 1 else None


def find_near_values(text: str, values: Iterable[str]) -> list[str]:
    """Find the values that a text may be short for, or a misspelling of."""
    values, word = list(values), fold_name(text)
    begun = [value for value in values if word and fold_name(value).startswith(word)]
    guess = did_you_mean(text, values)
    return begun or ([guess] if guess else [])


@dataclass
class Matcher:
    """Rules for reading the headers and cells of sheets.

    Parameters
    ----------
    mapping
        Names and their meaning: a header and its slot (`{"Sample ID": "id"}`;
        an empty one leaves the column out), a slot with a text and the value
        (`{"sex:F": "Female"}`).
    ask
        Asks about other names; None where nobody can be asked.
    tell
        Gets a sentence for each name that was read as something else.
    watch
        Shows how far the reading of a file is: called with what is done and
        the number of bytes, to a context manager that gives a counter of
        bytes, or None.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    ask: Ask | None = None
    tell: Callable[[str], object] = logger.warning
    watch: Callable[[str, int], AbstractContextManager[Progress | None]] = lambda title, size: nullcontext()
    _asked: int = 0
    _used: set[str] = field(default_factory=set)
    _values: dict[tuple[str, str], str | None] = field(default_factory=dict)
    _taken: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._of_values: dict[str, dict[str, str]] = {}
        for key in self.mapping:
            slot, colon, value = key.partition(":")
            if colon:
                self._of_values.setdefault(fold_name(slot), {})[value] = key

    def slot_of(self, header: str, known: Sequence[str], free: Sequence[str], class_name: str | None) -> str | None:
        """Find the slot that a column is of: `-` where it is left out, None if that is not known.

        Parameters
        ----------
        known
            All names of columns.
        free
            Those that are not taken by another column.
        class_name
            The class of the rows, where they are all of one.
        """
        key = find_same(header, self.mapping)
        if key is not None:
            self._used.add(key)
            return self._settle_slot(header, self.mapping[key], known)
        same = find_same(header, known)
        if same is not None:
            if same != header:
                self.tell(f"column {header} is read as {same}")
            return same
        answer = self._put_question(
            f"column {header} is no slot; which one is meant? ({LEFT_OUT} leaves it out)",
            self.find_near_slots(header, free, class_name),
            [*free, LEFT_OUT],
        )
        if answer:
            self.tell(f"column {header} is left out" if answer == LEFT_OUT else f"column {header} is read as {answer}")
        return answer

    def _settle_slot(self, header: str, target: str, known: Sequence[str]) -> str:
        if target in ("", LEFT_OUT):
            self.tell(f"column {header} is left out")
            return LEFT_OUT
        slot = find_same(target, known)
        if slot is None:
            near = did_you_mean(target, known)
            raise InvalidInputError(
                f"the column {header} cannot be {target}: there is no such slot",
                f"did you mean {near}?" if near else f"there are {listing(known, 40)}",
            )
        self.tell(f"column {header} is read as {slot}")
        return slot

    def find_near_slots(self, header: str, free: Sequence[str], class_name: str | None) -> list[str]:
        """Find the slots that a header may mean, best first."""
        word = fold_name(header)
        own = set(model.describe(class_name)["slots"]) | {*ARGUMENTS, "@type"} if class_name else set(free)
        nouns = {fold_name(class_name), model.group_of(class_name) or ""} - {""} if class_name else set()
        found = [slot for slot in free if slot in own and any(word == noun + fold_name(slot) for noun in nouns)]
        found += [
            slot
            for slot in free
            if slot in own
            and slot.startswith("has_")
            and word.removesuffix("name").removesuffix("id").rstrip("s") == fold_name(slot[4:])
        ]
        found += [slot for slot in [_WORDS.get(word)] if slot and slot in own and slot in free]
        guess = did_you_mean(header, [slot for slot in free if slot in own])
        return list(dict.fromkeys([*found, *([guess] if guess else [])]))

    def value_of(self, slot: str, text: str, class_name: str | None) -> str:
        """Read a cell as one of the slot's values, if it is known which; else as the text that it is."""
        known = self._of_values.get(fold_name(slot), {})
        mapped = known.get(find_same(text, known) or "") if known else None
        if mapped is not None:
            self._used.add(mapped)
        values = values_of(slot, class_name)
        if mapped is None and (not values or text in values):
            return text
        key = (slot, text)
        if key not in self._values:
            self._values[key] = self._settle_value(slot, text, mapped, values)
        meant = self._values[key]
        if meant is None:
            return text
        self._taken[(slot, text, meant)] = self._taken.get((slot, text, meant), 0) + 1
        return meant

    def _settle_value(self, slot: str, text: str, mapped: str | None, values: Sequence[str]) -> str | None:
        if mapped is not None:
            target = self.mapping[mapped]
            meant = find_same(target, values) if values else target
            if not meant:
                raise InvalidInputError(
                    f"{slot} {text} cannot be {target or 'nothing'}: it has no such value", f"it is one of {', '.join(values)}"
                )
            return meant
        same = find_same(text, values)
        near = find_near_values(text, values)
        return same or (self._put_question(f"{slot} {text} is no value; which one is meant?", near, values) if near else None)

    def tell_values(self) -> None:
        """Report the cells that were read as something else, and the entries of `mapping` that had no effect."""
        for (slot, text, meant), count in self._taken.items():
            self.tell(f"{slot} {text} is read as {meant} ({count:,} cell{'s' if count > 1 else ''})")
        self._taken.clear()

    def tell_unused(self) -> None:
        """Report the entries of `mapping` that had no effect."""
        for key in self.mapping.keys() - self._used:
            self.tell(f"nothing is called {key}: its --map has no effect")

    def use(self, key: str) -> str | None:
        """Return what a name is mapped to, by the whole of the name; None if it is not mapped."""
        if key not in self.mapping:
            return None
        self._used.add(key)
        return self.mapping[key]

    def _put_question(self, question: str, near: Sequence[str], allowed: Sequence[str]) -> str | None:
        if self.ask is None or self._asked >= _MAX_ASKED:
            return None
        self._asked += 1
        return self.ask(question, near, allowed)


def values_of(slot: str, class_name: str | None) -> list[str]:
    """List the values that a slot can have, where the schema lists them."""
    if slot == "@type":
        return model.class_names()
    described = slots_of(class_name).get(slot)
    return list(tables()["enums"].get(described["range"], ())) if described else []


def parse_mapping(texts: Iterable[str]) -> dict[str, str]:
    """Parse `Sample ID=id` and `sex:F=Female` into a mapping; a name with nothing after `=` is left out.

    Raises
    ------
    InvalidInputError
        There is no `=`, or the same is said twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, target = text.rpartition("=")
        if not equals or not name.strip():
            raise InvalidInputError(f"--map {text} does not say what something means", "write HEADER=SLOT, or SLOT:VALUE=VALUE")
        if found.setdefault(name.strip(), target.strip()) != target.strip():
            raise InvalidInputError(f"--map says twice what {name.strip()} means", "say it once")
    return found
