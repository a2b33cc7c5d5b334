"""Stream terms from OWL and SKOS files in RDF/XML.

Nothing that a file names is fetched, and what it can make of few bytes is
bounded: entities are short and hold no others, and no tag is larger than
a megabyte. (An RDF library would keep the whole graph in memory.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from modos.codes.terms import EXACT, LABEL, MAX_NAME, RELATED, Term, is_uri
from modos.errors import InvalidInputError, ModosError
from modos.storage.given import Given

_PIECE = 1 << 16
_MAX_TAG = 1 << 20  # bytes
_MAX_DEPTH = 1000
_MAX_ENTITIES, _MAX_ENTITY = 1000, 128  # characters
_MAX_NAMES = 10_000  # of a term

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_OWL = "http://www.w3.org/2002/07/owl#"
_SKOS = "http://www.w3.org/2004/02/skos/core#"
_XML = "http://www.w3.org/XML/1998/namespace "
_OIO = "http://www.geneontology.org/formats/oboInOwl#"
_RDFS = "http://www.w3.org/2000/01/rdf-schema#"
_CLASSES = {f"{_OWL}Class", f"{_SKOS}Concept", f"{_RDFS}Class"}
_PREFERRED = f"{_SKOS} prefLabel"
_NAMES = {
    f"{_RDFS} label": LABEL,
    _PREFERRED: LABEL,
    f"{_OIO} hasExactSynonym": EXACT,
    f"{_SKOS} altLabel": EXACT,
    "http://purl.obolibrary.org/obo/ IAO_0000118": EXACT,
    "http://www.ebi.ac.uk/efo/ alternative_term": EXACT,
    f"{_OIO} hasRelatedSynonym": RELATED,
    f"{_OIO} hasNarrowSynonym": RELATED,
    f"{_OIO} hasBroadSynonym": RELATED,
    f"{_SKOS} hiddenLabel": RELATED,
}
_DEPRECATED = f"{_OWL} deprecated"


def read_terms(file: Given) -> Iterator[Term]:
    """Read the terms of a file, one after the other.

    Raises
    ------
    InvalidInputError
        It is not RDF/XML, is damaged, or has what no ontology has.
    """
    reader = _Reader(file)
    fed = 0
    while True:
        piece = file.read(_PIECE)
        fed += len(piece)
        reader.feed(piece)
        if fed - max(reader.parser.CurrentByteIndex, 0) > _MAX_TAG + _PIECE and piece:
            raise reader.refusal("a tag or a comment is larger than a megabyte")
        yield from reader.terms
        reader.terms.clear()
        if not piece:
            return


class _Reader:
    """Parser events, turned into terms."""

    def __init__(self, file: Given):
        self.file = file
        self.terms: list[Term] = []
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = None
        parser.EntityDeclHandler = self._declare
        parser.ExternalEntityRefHandler = self._refuse_external
        self._depth = self._entities = 0
        self._base = ""
        self._forget()

    def feed(self, piece: bytes) -> None:
        """Go on with the next bytes; none are the end."""
        try:
            self.parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise self.refusal(f"{expat.ErrorString(error.code)} at line {error.lineno:,}") from None
        except ModosError:
            raise
        except (ValueError, LookupError):  # an encoding that Python does not know, or that has more than a byte a character
            raise self.refusal("its encoding is not one that is read", "convert it to UTF-8") from None

    def refusal(self, reason: str, hint: str | None = None) -> InvalidInputError:
        """Make the error for a file that is not read."""
        return InvalidInputError(f"{self.file} is not read as OWL: {reason}", hint)

    def _forget(self) -> None:
        self._uri: str | None = None
        self._is_class = self._is_obsolete = False
        self._names: list[tuple[str, str, str]] = []
        self._property: str | None = None

    def _declare(self, name: str, is_parameter: bool, value: str | None, *_: Any) -> None:
        """Accept entities that stand for a namespace, as ontologies have them; refuse others."""
        self._entities += 1
        if value is None or is_parameter:
            raise self.refusal("it names an entity outside of it", "what a file names is not fetched")
        if len(value) > _MAX_ENTITY or "&" in value or "%" in value or self._entities > _MAX_ENTITIES:
            raise self.refusal("it has entities that no ontology needs: long, nested, or very many")

    def _refuse_external(self, *_: Any) -> int:
        raise self.refusal("it names an entity outside of it", "what a file names is not fetched")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            if tag != f"{_RDF}RDF":
                raise self.refusal("it is XML, and no RDF/XML", "convert it: robot convert -i FILE -o terms.owl, or terms.obo")
            self._base = attributes.get(f"{_XML}base", "")
        elif self._depth == 2:
            self._begin_subject(tag, attributes)
        elif self._depth == 3 and self._uri:
            self._begin_property(tag, attributes)
        elif self._depth > _MAX_DEPTH:
            raise self.refusal(f"its tags are nested more than {_MAX_DEPTH:,} deep")

    def _begin_subject(self, tag: str, attributes: dict[str, str]) -> None:
        self._forget()
        about = attributes.get(f"{_RDF}about")
        if about is None and f"{_RDF}ID" in attributes:
            about = f"#{attributes[f'{_RDF}ID']}"
        if about is None:
            return
        name = tag.replace(" ", "", 1)
        self._is_class = name in _CLASSES
        if self._is_class or name == f"{_RDF.strip()}Description":
            self._uri = about if is_uri(about) else self._resolve(about)

    def _resolve(self, reference: str) -> str | None:
        try:
            found = urljoin(self._base, reference) if not reference.startswith("#") else self._base.partition("#")[0] + reference
        except ValueError:
            return None
        return found if is_uri(found) else None

    def _begin_property(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == f"{_RDF}type" and attributes.get(f"{_RDF}resource") in _CLASSES:
            self._is_class = True
        if tag in _NAMES or tag == _DEPRECATED:
            self._property, self._language = tag, attributes.get(f"{_XML}lang", "").lower()
            self._text: list[str] = []
            self._size = 0
            self.parser.CharacterDataHandler = self._add_text

    def _add_text(self, text: str) -> None:
        self._size += len(text)
        if self._size <= 2 * MAX_NAME:
            self._text.append(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == 2 and self._property:
            self.parser.CharacterDataHandler = None
            self._end_property("".join(self._text).strip(), self._property)
            self._property = None
        elif self._depth == 1:
            self._end_subject()

    def _end_property(self, text: str, tag: str) -> None:
        if tag == _DEPRECATED:
            self._is_obsolete = self._is_obsolete or text in ("true", "1")
        elif text and self._size <= MAX_NAME:
            if len(self._names) >= _MAX_NAMES:
                raise self.refusal(f"a term has more than {_MAX_NAMES:,} names")
            self._names.append((tag, self._language, " ".join(text.split())))

    def _end_subject(self) -> None:
        if self._uri and self._is_class and (self._names or self._is_obsolete):
            names = self._best_label()
            if names or self._is_obsolete:
                self.terms.append(Term(self._uri, names, self._is_obsolete))
        self._uri = None

    def _best_label(self) -> tuple[tuple[str, int], ...]:
        """Choose one label, in English if there is one; labels in other languages become synonyms."""
        labels = [name for name in self._names if _NAMES[name[0]] == LABEL]
        if not labels:
            return ()
        label = min(labels, key=lambda name: (not _is_english(name[1]), name[1] != "", name[0] == _PREFERRED))
        others = [
            (text, max(_NAMES[tag], EXACT if _is_english(language) or not language else RELATED))
            for tag, language, text in self._names
            if text != label[2]
        ]
        return ((label[2], LABEL), *others)


def _is_english(language: str) -> bool:
    return language == "en" or language.startswith("en-")
