"""Announce commits to the catalogues that an object is in.

A commit puts one small file below the catalogue's folder, after it was made:
`changed/OBJECT/COMMIT`, where OBJECT is written as a part of a URL, and as
several folders where it is longer than the name of a file may be. Whoever
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
_MOST = 200  # characters of the name of a folder

logger = logging.getLogger(__name__)


def announce(storage: Storage) -> None:
    """Announce that an object was changed, made or removed, to each catalogue above it; a failure is only logged."""
    above, parts = storage.as_file(), list[str]()
    while above is not None:
        place, name = above
        parts.insert(0, name)
        try:
            if place.exists(HEAD_KEY):
                place.write(f"{CHANGED}/{_write_folders('/'.join(parts))}/{uuid.uuid4().hex}", b"", durable=False)
        except ModosError as error:
            logger.info("%s is not told that %s has changed: %s", place.url, "/".join(parts), error)
        above = place.as_file()


def _write_folders(key: str) -> str:
    quoted = quote(key, safe="")
    return "/".join(quoted[at : at + _MOST] for at in range(0, len(quoted), _MOST))


def list_announcements(storage: Storage) -> dict[str, list[str]]:
    """List the keys of announcements below a catalogue's root, by the objects that they name."""
    found: dict[str, list[str]] = {}
    for info in storage.iter_files(CHANGED):
        folders = info.key[len(CHANGED) + 1 :].split("/")[:-1]
        if folders:
            found.setdefault(unquote("".join(folders)), []).append(info.key)
    return found
