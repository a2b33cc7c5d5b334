"""Name terms for people: the label of a code, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from modos.codes.slots import enumerations, meanings
from modos.codes.term_index import Index
from modos.codes.terms import is_code, uri_of, value_of
from modos.errors import ModosError
from modos.metadata.model.schema import tables
from modos.server.pages.page_filters import web_address

_ORGANISMS = {
    "3702": "Arabidopsis thaliana",
    "4932": "Saccharomyces cerevisiae",
    "6239": "Caenorhabditis elegans",
    "7227": "Drosophila melanogaster",
    "7955": "Danio rerio",
    "9031": "Gallus gallus",
    "9606": "Homo sapiens",
    "9615": "Canis lupus familiaris",
    "9823": "Sus scrofa",
    "9913": "Bos taurus",
    "10090": "Mus musculus",
    "10116": "Rattus norvegicus",
    "2697049": "SARS-CoV-2",
}  # what is met most, by its number at NCBI, for servers without an index of codes
_TAXON = "NCBITaxon:"
_KEPT = 10_000  # labels


@dataclass(frozen=True)
class ShownTerm:
    """Value of a slot as pages show it.

    Parameters
    ----------
    label
        For people; the value itself where no label is known.
    address
        Where it leads, with http or https; empty if nowhere.
    is_named
        Whether the label differs from the value.
    """

    value: str
    label: str
    address: str = ""
    is_named: bool = False


class Labels:
    """Labels of terms, of an index of codes where there is one."""

    def __init__(self, index: Index | None = None):
        self._index = index
        self._known: dict[tuple[str, str], ShownTerm] = {}

    def show(self, slot: str, value: Any) -> ShownTerm:
        """Return how the value of a slot is shown."""
        text = str(value)
        key = slot, text
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._find(slot, text)
        return self._known[key]

    def _find(self, slot: str, text: str) -> ShownTerm:
        if slot in enumerations():
            for code, _ in meanings(slot):
                if code.value == text:
                    return ShownTerm(text, text, web_address(code.uri))
        if _range_of(slot) != "uriorcurie":
            return ShownTerm(text, text)
        address = web_address(uri_of(text) if is_code(text) else text)
        label = self._look_up(slot, text) or (_ORGANISMS.get(value_of(text).removeprefix(_TAXON)) if slot == "taxon_id" else None)
        return ShownTerm(text, label or text, address, bool(label))

    def _look_up(self, slot: str, text: str) -> str | None:
        if self._index is None or slot not in self._index.slots or not is_code(text):
            return None
        try:
            found = self._index.search(slot, text, 1)
        except ModosError:
            return None
        return next((code.label for code in found if code.uri == uri_of(text)), None)


def _range_of(slot: str) -> str | None:
    return _ranges().get(slot)


@cache
def _ranges() -> dict[str, str]:
    return {name: slot["range"] for described in tables()["classes"].values() for name, slot in described["slots"].items()}
