"""Announce commits to the catalogues that an object is in.

A commit puts one small file below the catalogue's folder, after it was made:
`changed/OBJECT/COMMIT`, where both are written as parts of a URL. Whoever
refreshes the catalogue reads the objects that are named so, and removes the
files. It is the best that can be done: where somebody may not write there, the
change is found when all objects are looked at.
"""

from __future__ import annotations

import logging
import uuid
from urllib.parse import quote, unquote

from modos.errors import ModosError
from modos.storage import Storage

CATALOG_FOLDER = ".modos-catalog"
HEAD_KEY = f"{CATALOG_FOLDER}/head.json"
CHANGED = f"{CATALOG_FOLDER}/changed"
_DEPTH = 8  # folders above an object where a catalogue is looked for

logger = logging.getLogger(__name__)


def announce(storage: Storage) -> None:
    """Announce that an object was changed, made or removed, to each catalogue above it; a failure is only logged."""
    above, parts = storage.as_file(), list[str]()
    while above is not None and len(parts) < _DEPTH:
        place, name = above
        parts.insert(0, name)
        try:
            if place.exists(HEAD_KEY):
                place.write(f"{CHANGED}/{quote('/'.join(parts), safe='')}/{uuid.uuid4().hex}", b"", durable=False)
        except ModosError as error:
            logger.info("%s is not told that %s has changed: %s", place.url, "/".join(parts), error)
        above = place.as_file()


def list_announcements(storage: Storage) -> dict[str, list[str]]:
    """List the keys of announcements below a catalogue's root, by the objects that they name."""
    found: dict[str, list[str]] = {}
    for info in storage.iter_files(CHANGED):
        quoted, _, commit = info.key[len(CHANGED) + 1 :].partition("/")
        if commit:
            found.setdefault(unquote(quoted), []).append(info.key)
    return found
