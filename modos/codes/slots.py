"""The slots that take codes, with their ontologies and the meanings of the schema's own values."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modos.codes.terms import EXACT, LABEL, Code, Term
from modos.errors import NotFoundError, did_you_mean, listing
from modos.metadata.model.schema import ONTOLOGIES, tables

_SLOTS = {prefix: slot for slot, prefixes in ONTOLOGIES.items() for prefix in prefixes}


def slot_of(prefix: str | None) -> str | None:
    """The slot that terms of an ontology are for."""
    return _SLOTS.get(prefix or "")


@cache
def enumerations() -> dict[str, str]:
    """The slots that have one of a few values, with the name of the schema's list of them."""
    found = {
        name: slot["range"]
        for described in tables()["classes"].values()
        for name, slot in described["slots"].items()
        if slot["range"] in tables()["enums"]
    }
    return dict(sorted(found.items()))


def check_slot(slot: str) -> str:
    """A slot whose values are codes; NotFoundError for another."""
    known = [*ONTOLOGIES, *enumerations()]
    if slot not in known:
        near = did_you_mean(slot, known)
        raise NotFoundError(
            f"there are no codes for {slot[:100]}", f"did you mean {near}?" if near else f"there are codes for {listing(known)}"
        )
    return slot


@cache
def meanings(slot: str) -> tuple[tuple[Code, Term], ...]:
    """The values of a slot that has one of a few, each with what it means."""
    rows = files("modos.codes").joinpath("meanings.tsv").read_text(encoding="utf-8").splitlines()
    fields = [row.split("\t") for row in rows[1:]]
    return tuple(
        (Code(value, label, uri), Term(uri, ((value, LABEL), *((name, EXACT) for name in (label, *names.split("|")) if name))))
        for enumeration, value, uri, label, names in fields
        if enumeration == enumerations()[slot]
    )
