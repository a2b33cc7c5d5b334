"""Build an index of codes from files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modos.codes.packed import make_arrays
from modos.codes.reading import read_terms
from modos.codes.slots import slot_of
from modos.codes.storing import Stored, write
from modos.codes.terms import EXACT, LABEL, Term, prefix_of
from modos.errors import AlreadyExistsError, InvalidInputError, ModosError, NewerFormatError, NotFoundError, listing
from modos.metadata.model.schema import ONTOLOGIES
from modos.storage.given import describe_source

MAX_TERMS = 5_000_000
MAX_NAMES = 15_000_000
_SLOT = re.compile(r"([a-z_]+)=(.+)", re.DOTALL)


@dataclass
class Terms:
    """The terms of a slot, those that several files have once.

    A term that any of the files calls obsolete is left out.
    """

    labels: dict[str, str] = field(default_factory=dict)
    synonyms: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    names: int = 0

    def add(self, term: Term) -> None:
        """Take a term in; raise InvalidInputError if there are too many."""
        (label, _), *synonyms = term.names
        if self.labels.setdefault(term.uri, label) != label:
            synonyms.append((label, EXACT))
        if synonyms:
            known = self.synonyms.setdefault(term.uri, [])
            known += [name for name in synonyms if name not in known]
        self.names += len(term.names)
        if len(self.labels) > MAX_TERMS or self.names > MAX_NAMES:
            raise InvalidInputError(f"there are more than {MAX_TERMS:,} terms, or {MAX_NAMES:,} names, for one slot")

    def iter_sorted(self, obsolete: set[str]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """Iterate over the addresses in order, each with the label and then the synonyms."""
        for uri in sorted(self.labels.keys() - obsolete, key=str.encode):
            yield uri, [(self.labels[uri], LABEL), *self.synonyms.get(uri, ())]


@dataclass(frozen=True)
class Source:
    """Facts of a source file: what was taken of it.

    Parameters
    ----------
    slot
        What all of its terms are for; None where their ontologies say it.
    terms, obsolete, others
        How many were taken, are not to be used any more, and are for no slot.
    """

    name: str
    slot: str | None
    terms: int
    obsolete: int
    others: int


def build(files: Sequence[str | Path], output: Path, replace: bool = False, told: Callable[[Source], Any] | None = None) -> Path:
    """Make an index of OBO and OWL files.

    Parameters
    ----------
    files
        Paths, or `SLOT=PATH` for a file of which all terms are for one slot.
        Of others those of the slots' own ontologies are taken.
    output
        Where it is written.
    replace
        Whether an index that was made of other files, too, may be replaced.
    told
        Called for each file that was read.

    Raises
    ------
    InvalidInputError
        A file that is no good, or has no terms for any slot.
    NotFoundError
        A file that is not there.
    AlreadyExistsError
        What is there is of other files, or is no index.
    """
    named = [_split_slot(file) for file in files]
    if not named:
        raise InvalidInputError("no files are given", "name OBO or OWL files")
    lost = find_lost(files, output)
    if lost and not replace:
        raise AlreadyExistsError(
            f"{output} was made of other files, too: {listing(lost)}", "name them as well, or replace it: --yes"
        )
    terms: dict[str, Terms] = {}
    obsolete: set[str] = set()
    sources = []
    for slot, path in named:
        sources.append(_take(slot, path, terms, obsolete))
        if told:
            told(sources[-1])
    collections = {slot: make_arrays(terms[slot].iter_sorted(obsolete)) for slot in ONTOLOGIES if slot in terms}
    counts = {slot: {"terms": len(arrays["first"]) - 1, "names": len(arrays["kinds"])} for slot, arrays in collections.items()}
    write(output, collections, {"sources": [vars(source) for source in sources], "slots": counts})
    return output


def find_lost(files: Iterable[str | Path], output: Path) -> list[str]:
    """Find the files that an existing index was built from and that a new one would leave out, or use for other slots."""
    try:
        known = [(source.get("slot"), source["name"]) for source in Stored(output).facts["sources"]]
    except NotFoundError:
        return []
    except (ModosError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, NewerFormatError):
            raise
        if isinstance(error, InvalidInputError):
            raise AlreadyExistsError(
                f"{output} is there, and is no index of codes", "choose another place with --output"
            ) from None
        return []  # it is damaged
    names = {(slot, describe_source(path)) for slot, path in map(_split_slot, files)}
    return [f"{slot}={name}" if slot else name for slot, name in known if (slot, name) not in names]


def _split_slot(file: str | Path) -> tuple[str | None, str]:
    found = _SLOT.fullmatch(str(file))
    if not found:
        return None, str(file)
    if found[1] not in ONTOLOGIES and not Path(str(file)).exists():
        raise InvalidInputError(f"there are no codes for {found[1]}", f"write SLOT=FILE with one of {listing(ONTOLOGIES)}")
    return (found[1], found[2]) if found[1] in ONTOLOGIES else (None, str(file))


def _take(slot: str | None, path: str, terms: dict[str, Terms], obsolete: set[str]) -> Source:
    taken = gone = others = 0
    for term in read_terms(path):
        if term.is_obsolete:
            obsolete.add(term.uri)
            gone += 1
        elif (place := slot or slot_of(prefix_of(term.uri))) is not None:
            terms.setdefault(place, Terms()).add(term)
            taken += 1
        else:
            others += 1
        if len(obsolete) > MAX_TERMS:
            raise InvalidInputError(f"there are more than {MAX_TERMS:,} obsolete terms")
    if not taken:
        known = f" of {listing(prefix for prefixes in ONTOLOGIES.values() for prefix in prefixes)}" if others else ""
        raise InvalidInputError(f"{path} has no terms{known}", "say what they are for: SLOT=FILE" if others else None)
    return Source(describe_source(path), slot, taken, gone, others)
