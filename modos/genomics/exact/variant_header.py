"""Cut what names other samples out of the header of variants (VCFv4.5 section 1.4)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from modos.genomics.index.file_header import header_fields

_COMMAND = re.compile(rb"##[^=]*(?:command|cmd)[^=]*=", re.IGNORECASE)
_DEFINITION = re.compile(rb"##(?:INFO|FORMAT|FILTER|ALT|contig)=<")
_DICTIONARY = re.compile(rb"^##(?:INFO|FORMAT|FILTER)=<([^\n]*)", re.MULTILINE)
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LONG = 4  # characters of a name that is no part of another word by chance
_FORMAT_LINE = b"##fileformat="


def cut_text(text: bytes, names: Sequence[str], kept: Sequence[int]) -> bytes:
    """Return the header of a VCF with the columns of some samples only.

    Lines that name another sample go, and all command lines; where a text in
    the definition of a key names one, the text goes.

    Parameters
    ----------
    names
        All samples.
    kept
        The numbers of those to keep.
    """
    lines = text.rstrip(b"\r\n").split(b"\n")
    columns = lines.pop().rstrip(b"\r").split(b"\t")
    staying = {names[number].encode("utf-8", "backslashreplace") for number in kept}
    encoded = (name.encode("utf-8", "backslashreplace") for name in names)
    found = _NamesOf([name for name in encoded if any(name in line for line in lines)], staying)
    cut = [line for line in (_cut_line(line, found) for line in lines) if line is not None]
    return b"\n".join([*cut, b"\t".join([*columns[:9], *(columns[9 + number] for number in kept)]), b""])


class _NamesOf:
    """Finds names of samples in text, also within longer ones: NA1 in `NA1_lib.bam`; short ones not within a word."""

    def __init__(self, names: Sequence[bytes], staying: Collection[bytes]):
        longest = map(_find_name, sorted(names, key=len, reverse=True))
        self._find = re.compile(b"(?=(" + (b"|".join(longest) or rb"\Z\A.") + b"))").finditer
        self._staying = staying

    def has_other(self, text: bytes) -> bool:
        """Return whether a name that does not stay is there, which is not the beginning of a longer one that does."""
        return any(match[1] not in self._staying for match in self._find(text))


def _find_name(name: bytes) -> bytes:
    found = re.escape(name)
    return found if len(name) >= _LONG else rb"(?<![A-Za-z0-9])" + found + rb"(?![A-Za-z0-9])"


def _cut_line(line: bytes, names: _NamesOf) -> bytes | None:
    if line.startswith(_FORMAT_LINE):
        return line
    if _COMMAND.match(line):
        return None
    if not _DEFINITION.match(line):
        return None if names.has_other(line) else line
    return _TEXT.sub(lambda match: b'""' if names.has_other(match[0]) else match[0], line)


def number_keys(text: bytes) -> dict[int, bytes]:
    """Return the keys of INFO, FORMAT and FILTER by the numbers that a BCF has for them (VCFv4.5 section 6.2.1)."""
    numbers: dict[bytes, int] = {b"PASS": 0}
    following = 1
    for line in _DICTIONARY.findall(text):
        fields = header_fields(line)
        key = fields.get("ID", "").encode("utf-8", "backslashreplace")
        if key in numbers:
            continue
        given = fields.get("IDX", "")
        numbers[key] = int(given) if given.isdigit() and len(given) < 10 else following
        following = max(following, numbers[key] + 1)
    return {number: key for key, number in numbers.items()}
