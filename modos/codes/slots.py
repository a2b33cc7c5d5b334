"""The slots that take codes, with their ontologies and the meanings of the schema's own values."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modos.codes.terms import EXACT, LABEL, Code, Term
from modos.errors import NotFoundError, did_you_mean, listing
from modos.metadata.model.schema import ONTOLOGIES, tables

_SLOTS = {prefix: slot for slot, prefixes in ONTOLOGIES.items() for prefix in prefixes}


def slot_of(prefix: str | None) -> str | None:
    """Return the slot that an ontology's terms are for."""
    return _SLOTS.get(prefix or "")


@cache
def enumerations() -> dict[str, str]:
    """Return the slots whose enumerated values have meanings, and the name of the schema's enumeration for each."""
    coded = {enumeration for enumeration, *_ in _rows()}
    found = {
        name: slot["range"]
        for described in tables()["classes"].values()
        for name, slot in described["slots"].items()
        if slot["range"] in coded
    }
    return dict(sorted(found.items()))


def check_slot(slot: str) -> str:
    """Return a slot whose values are codes; raise NotFoundError for another."""
    known = [*ONTOLOGIES, *enumerations()]
    if slot not in known:
        near = did_you_mean(slot, known)
        raise NotFoundError(
            f"there are no codes for {slot[:100]}", f"did you mean {near}?" if near else f"there are codes for {listing(known)}"
        )
    return slot


@cache
def meanings(slot: str) -> tuple[tuple[Code, Term], ...]:
    """Return the values of a slot with enumerated values, each with its meaning."""
    return tuple(
        (Code(value, label, uri), Term(uri, ((value, LABEL), *((name, EXACT) for name in (label, *names.split("|")) if name))))
        for enumeration, value, uri, label, names in _rows()
        if enumeration == enumerations()[slot]
    )


@cache
def _rows() -> list[list[str]]:
    """Read the table of meanings: enumeration, value, URI, label, and other names."""
    rows = files("modos.codes").joinpath("meanings.tsv").read_text(encoding="utf-8").splitlines()
    return [row.split("\t") for row in rows[1:]]
