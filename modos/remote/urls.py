"""URLs of what a modos server gives out, and of objects in one file at any other."""

from __future__ import annotations

import re
from urllib.parse import quote

SERVED = re.compile(r"(?P<server>https?://(?:(?!/(?:reads|variants)/).)+?)/files(?:/(?P<key>.*))?", re.IGNORECASE)

PACKED = re.compile(r"(?P<file>https?://[^/?#]+(?=/)(?:(?!/(?:reads|variants)/)[^?#])+?\.zip)(?P<inner>/[^?#]*)?", re.IGNORECASE)


def served_url(endpoint: str, key: str) -> str:
    """Return the URL of a key in the folder that a server gives out; `.` is the folder itself."""
    return f"{endpoint.rstrip('/')}/files" + (f"/{quote(key)}" if key != "." else "")
