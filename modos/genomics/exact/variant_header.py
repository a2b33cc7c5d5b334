"""Cut what names other samples out of the header of variants (VCFv4.5 section 1.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    the definition of a key names one, the text goes. Names count also in longer
    ones, as those of files (`S2_sorted.bam`); short ones not within a word.

    Parameters
    ----------
    names
        All samples.
    kept
        The numbers of those to keep.
    """
    staying = set(kept)
    others = [name.encode("utf-8", "backslashreplace") for number, name in enumerate(names) if number not in staying]
    named = [
        re.escape(name) if len(name) >= _LONG else rb"(?<![A-Za-z0-9])" + re.escape(name) + rb"(?![A-Za-z0-9])"
        for name in others
        if name in text
    ]
    pattern = re.compile(b"|".join(named or [rb"\Z\A."]))
    lines = text.rstrip(b"\r\n").split(b"\n")
    columns = lines.pop().rstrip(b"\r").split(b"\t")
    cut = [line for line in (_cut_line(line, pattern) for line in lines) if line is not None]
    return b"\n".join([*cut, b"\t".join([*columns[:9], *(columns[9 + number] for number in kept)]), b""])


def _cut_line(line: bytes, others: re.Pattern[bytes]) -> bytes | None:
    if line.startswith(_FORMAT_LINE):
        return line
    if _COMMAND.match(line):
        return None
    if not _DEFINITION.match(line):
        return None if others.search(line) else line
    return _TEXT.sub(lambda match: b'""' if others.search(match[0]) else match[0], line)


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
