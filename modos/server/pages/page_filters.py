"""Filters of the templates: how sizes, times, texts and addresses are written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from modos.errors.escaping import escape_text, is_plain

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_LINKED = ("http", "https")
_KINDS = {
    "AlignmentSet": ("alignment set", "alignment sets"),
    "Array": ("array", "arrays"),
    "Assay": ("assay", "assays"),
    "DataEntity": ("data set", "data sets"),
    "MassSpectrometryResults": ("mass spectrometry result", "mass spectrometry results"),
    "ReferenceGenome": ("reference genome", "reference genomes"),
    "ReferenceSequence": ("reference sequence", "reference sequences"),
    "Sample": ("sample", "samples"),
    "VariantSet": ("variant set", "variant sets"),
}  # one and several
_UNSAFE = re.compile(r"[^\x21-\x7e]")


def format_bytes(size: Any) -> str:
    """Format a number of bytes for people: `1.1 MB`; what is no number stays as it is."""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return str(size)
    value = float(size)
    for unit in _UNITS:
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError


def format_count(number: Any) -> str:
    """Format a number with commas; what is no number stays as it is."""
    return f"{number:,}" if isinstance(number, (int, float)) and not isinstance(number, bool) else str(number)


def format_moment(time: Any) -> str:
    """Format a time as `2025-01-15 10:00`, in its own zone; a date alone where it has no time, and what is no time as it is."""
    text = time.isoformat() if isinstance(time, datetime) else str(time)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    if found.time() == datetime.min.time() and found.tzinfo is None:
        return f"{found:%Y-%m-%d}"
    zone = "" if found.tzinfo is None else " UTC" if not found.utcoffset() else f" {found:%z}"
    return f"{found:%Y-%m-%d %H:%M}{zone}"


def name_kind(class_name: Any, count: int = 1) -> str:
    """Name a class of the schema for people, for one or several of it; another stays as it is."""
    one, several = _KINDS.get(str(class_name), (str(class_name),) * 2)
    return one if count == 1 else several


def find_slot(attributes: Mapping[str, Any], slot: str) -> Any:
    """Return the value of a slot; an empty text where there is none."""
    value = attributes.get(slot)
    return "" if value is None else value


def write_lines(text: Any) -> Any:
    """Write a text of several lines: line ends stay, and all else is made visible and escaped."""
    from markupsafe import escape

    return escape(escape_text(str(text)))


def write_marked(text: Any) -> Any:
    """Write a text in which code stands between backticks, as in docstrings."""
    from markupsafe import Markup, escape

    parts = escape_text(str(text)).split("`")
    if len(parts) % 2 == 0:  # one is not closed
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def make_sentence(text: Any) -> str:
    """Make a sentence of a message or a hint: with a capital and a full stop."""
    words = str(text).strip()
    return words and f"{words[0].upper()}{words[1:]}{'' if words.endswith(('.', '?', '!')) else '.'}"


def web_address(value: Any) -> str:
    """Return a value where it is an address that a page may lead to, with http or https; else nothing."""
    text = str(value)
    if _UNSAFE.search(text) or "\\" in text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme.lower() in _LINKED and parts.hostname else ""


def quote_path(path: Any) -> str:
    """Quote a key for the path of an address; slashes stay."""
    return quote(str(path).encode("utf-8", "surrogatepass"))


def quote_shell(word: Any) -> str:
    r"""Quote a word for bash; one with characters that are not shown is written as `$'\u001b'`."""
    text = str(word)
    if is_plain(text):
        return shlex.quote(text)
    escaped = "".join(
        f"\\{character}" if character in "\\'" else character if is_plain(character) else f"\\u{ord(character):04x}"
        for character in text
    )
    return f"$'{escaped}'"


FILTERS = {
    "bytes": format_bytes,
    "count": format_count,
    "moment": format_moment,
    "kind": name_kind,
    "marked": write_marked,
    "sentence": make_sentence,
    "lines": write_lines,
    "web": web_address,
    "path": quote_path,
    "shell": quote_shell,
    "slot": find_slot,
}
