r"""Escape characters that a terminal obeys or hides.

Control characters (C0, DEL, C1) move the cursor and change settings; those
for bidirectional text let a line be read as another; separators of lines
break what is one line. `escape_text` writes them as `\u001b`.
"""

from __future__ import annotations

import re

_HIDDEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_HIDDEN}]")
_IN_LINE = re.compile(f"[\t\n{_HIDDEN}]")

_USER = re.compile(r"(https?://)[^/\s?#]*@", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?#]*)\?[^\s/>]*", re.IGNORECASE)


def is_plain(text: str) -> bool:
    """Return whether a text has none of these characters, and is one line without tabs."""
    return (text.isascii() and text.isprintable()) or not _IN_LINE.search(text)


def escape_text(text: str) -> str:
    """Escape these characters in a text of lines; keep tabs and line ends."""
    return _IN_TEXT.sub(_escape_match, text)


def escape_line(text: str) -> str:
    """Escape a text as one line, tabs and line ends as well."""
    return text if is_plain(text) else _IN_LINE.sub(_escape_match, text)


def escape_xml(text: str) -> str:
    """Escape these characters in a text of XML as references."""
    return _IN_TEXT.sub(lambda match: f"&#x{ord(match[0]):x};", text)


def replace_hidden(text: str, character: str) -> str:
    """Replace each of these characters, tabs and line ends among them, by one character."""
    return _IN_LINE.sub(character, text)


def hide_secrets(text: str) -> str:
    """Return a text whose URLs show neither a password nor a query, which may be a signature."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1", text)) if "://" in text else text


def _escape_match(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
