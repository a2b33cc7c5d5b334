"""Read terms from OBO files.

Format: OBO Flat File Format 1.2 and 1.4 (owlcollab.github.io/oboformat).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from modos.codes.terms import EXACT, LABEL, MAX_NAME, OBO, RELATED, Term, is_uri, uri_of
from modos.errors import InvalidInputError
from modos.storage.given import Given

MAX_LINE = 1 << 20  # bytes
_MAX_NAMES = 10_000  # of a term
_PIECE = 1 << 20
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WHITE = {"n": " ", "W": " ", "t": " "}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Za-z]*)')
_COMMENT = re.compile(r"(?<!\\)(?:\\\\)*\s!\s?.*$|^!.*$", re.DOTALL)
_MAX_TERM = 4 << 20  # characters of its names
_TAGS = {"id", "name", "synonym", "is_obsolete", "exact_synonym", "related_synonym", "narrow_synonym", "broad_synonym"}


def read_terms(file: Given) -> Iterator[Term]:
    """Read the terms of a file, one after the other.

    Raises
    ------
    InvalidInputError
        A line or a term that is too long, or what is not text in UTF-8.
    """
    spaces: dict[str, str] = {}
    ontology, stanza = "", ""
    fields: list[tuple[str, str]] = []
    size = 0
    for number, line in _lines(file):
        if line.startswith("[") and line.rstrip().endswith("]"):
            yield from _terms(stanza, fields, spaces, ontology)
            stanza, fields, size = line.strip()[1:-1], [], 0
            continue
        tag, _, value = line.partition(":")
        tag, value = tag.strip(), value.strip()
        if not stanza:
            if tag == "idspace":
                prefix, _, rest = value.partition(" ")
                spaces[prefix] = rest.split()[0] if rest.split() else ""
            elif tag == "ontology":
                ontology = _clean_value(value)
        elif stanza == "Term" and tag in _TAGS:
            fields.append((tag, value))
            size += len(value)
            if len(fields) > _MAX_NAMES or size > _MAX_TERM:
                raise InvalidInputError(
                    f"{file} is no good: the term at line {number:,} has more than {_MAX_NAMES:,} names, "
                    "or longer ones than any has"
                )
    yield from _terms(stanza, fields, spaces, ontology)


def _terms(stanza: str, fields: Iterable[tuple[str, str]], spaces: dict[str, str], ontology: str) -> Iterator[Term]:
    """Yield the term that a stanza describes; none if it has no id or no name, like parts of other ontologies."""
    if stanza != "Term":
        return
    uri, label, is_obsolete, synonyms = "", "", False, []
    for tag, value in fields:
        if tag == "id" and not uri:
            code = _clean_value(value)
            uri = uri_of(code, spaces) if ":" in code else f"{OBO}{ontology or 'obo'}#{code}"
        elif tag == "name":
            label = label or _clean_value(value)
        elif tag == "is_obsolete":
            is_obsolete = _clean_value(value) == "true"
        elif tag.endswith("synonym") and (found := _QUOTED.match(value)):
            scope = found[2].upper() if tag == "synonym" else tag.partition("_")[0].upper()
            synonyms.append((_unescape(found[1]), EXACT if scope == "EXACT" else RELATED))
    if is_uri(uri) and (label or is_obsolete):
        names = [(name, kind) for name, kind in ((label, LABEL), *synonyms) if name and len(name) <= MAX_NAME]
        yield Term(uri, tuple(names), is_obsolete)


def _clean_value(value: str) -> str:
    """Return the value of a tag without comment and modifiers."""
    if "!" in value:
        value = _COMMENT.sub("", value)
    return _unescape(_strip_modifiers(value.rstrip())).strip()


def _strip_modifiers(value: str) -> str:
    """Strip `{name="value"}` from the end of a value."""
    begin = value.rfind("{")
    inside = value[begin + 1 : -1]
    is_one = value.endswith("}") and begin > 0 and value[begin - 1].isspace() and "=" in inside and "}" not in inside
    return value[:begin] if is_one else value


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: _WHITE.get(found[1], found[1]), text) if "\\" in text else text


def _lines(file: Given) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, joined where a backslash continues them, without blank lines and comments."""
    rest, number, held = b"", 0, b""
    if file.peek(3) == b"\xef\xbb\xbf":
        file.read(3)
    while True:
        piece = file.read(_PIECE)
        *lines, rest = (rest + piece).split(b"\n") if piece else (*([rest] if rest else []), b"")
        for line in lines:
            number += 1
            line = line.rstrip(b"\r")
            if (len(line) - len(line.rstrip(b"\\"))) % 2:
                held += line[:-1]
            else:
                line, held = held + line, b""
                if line and line[:1] != b"!":
                    yield number, _text(file, line, number)
            if len(held) > MAX_LINE or len(line) > MAX_LINE:
                raise InvalidInputError(f"{file} is no OBO file: line {number:,} is longer than {MAX_LINE >> 20} MiB")
        if len(rest) > MAX_LINE:
            raise InvalidInputError(f"{file} is no OBO file: line {number + 1:,} is longer than {MAX_LINE >> 20} MiB")
        if not piece:
            if held:
                yield number, _text(file, held, number)
            return


def _text(file: Given, line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is not text in UTF-8: line {number:,}", "convert it: iconv -f latin1 -t utf8") from None
