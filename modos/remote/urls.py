"""URLs of what a modos server gives out, and of objects in one file at any other."""

from __future__ import annotations

import re
from urllib.parse import quote

SERVED = re.compile(r"(?P<server>https?://(?:(?!/(?:reads|variants)/).)+?)/files(?:/(?P<key>.*))?", re.IGNORECASE)

_QUERY = r"(?:\?[^/#]*)?"  # a signature, say, of S3: it stands behind the name of the file, or at the end
PACKED = re.compile(
    rf"(?P<file>https?://[^/?#]+(?=/)(?:(?!/(?:reads|variants)/)[^?#])+?\.zip)(?P<query>{_QUERY})(?P<inner>/[^?#]*)?(?P<last>{_QUERY})",
    re.IGNORECASE,
)


def settle_query(text: str) -> str:
    """Return the URL of what is in an object in one file with its query behind the name of that file."""
    packed = PACKED.fullmatch(text)
    if not packed or not packed["last"]:
        return text
    return f"{packed['file']}{packed['query'] or packed['last']}{packed['inner'] or ''}"


def served_url(endpoint: str, key: str) -> str:
    """Return the URL of a key in the folder that a server gives out; `.` is the folder itself."""
    return f"{endpoint.rstrip('/')}/files" + (f"/{quote(key)}" if key != "." else "")
