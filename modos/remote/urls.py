"""Places of objects: in a folder, at S3, or at a modos server, as they are written."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

SERVED = re.compile(r"(?P<server>https?://(?:(?!/(?:reads|variants)/).)+?)/files(?:/(?P<key>.*))?", re.IGNORECASE)


def is_remote(path: Any) -> bool:
    """Return whether an object is at S3 or at a modos server, and not in a folder of this machine."""
    return str(path).startswith("s3://") or bool(SERVED.fullmatch(str(path)))


def served_url(endpoint: str, key: str) -> str:
    """Return the URL of a key in the folder that a server gives out; `.` is the folder itself."""
    return f"{endpoint.rstrip('/')}/files" + (f"/{quote(key)}" if key != "." else "")
