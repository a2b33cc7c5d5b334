"""The record of a change: what it writes and removes, whether it is under way, and who cleaned up.

The record lives at `.modos/<mark>.json`. Its writer renews it now and then.
A cleanup of an abandoned change first claims the record, on condition that it
is as it was read, and only then deletes files. The writer looks at its record
right before it replaces the root; a change whose record was claimed is not
committed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modos.errors import ConflictError, InvalidInputError, ModosError, NotFoundError
from modos.formats import ZARR
from modos.storage import ObjectInfo, Storage, check_key
from modos.storage.processes import ownership

FOLDER = ".modos"
_MAX_RECORD = 256 << 20  # bytes; a million names take less
_SLACK = 2.0  # seconds by which times of files may be coarse


class Record:
    """Record of a change that this process makes.

    Parameters
    ----------
    new, old
        Keys of the files that are written, and that become superfluous.
    folders
        Of arrays that are written or become superfluous.
    """

    def __init__(self, storage: Storage, new: Iterable[str], old: Iterable[str], folders: Iterable[str]):
        self._storage = storage
        self.mark = ownership.new_mark()
        self.key = f"{FOLDER}/{self.mark}.json"
        new = sorted(set(new))
        self._content: dict[str, Any] = {"place": "", "files": sorted({*old, *new}), "new": new, "folders": sorted(set(folders))}
        self._tag, self._renewals, self._started = "", 0, time.monotonic()
        self._lock, self._ended = threading.Lock(), threading.Event()

    def begin(self) -> None:
        """Write the record, and renew it from now on."""
        self._content |= {"place": self._storage.identify_place(make=True), "time": time.time()}
        self._tag = self._storage.write(self.key, json.dumps(self._content).encode())
        threading.Thread(target=self._keep_renewing, name="modos-record", daemon=True).start()

    def leave(self) -> None:
        """Put what was written on record once more, for anyone to clean up, after somebody has cleaned up too early."""
        began = self._content.get("began") or self._storage.now() - (time.monotonic() - self._started)
        mark = ownership.new_mark()
        ownership.release(mark)
        content = self._content | {"began": began, "files": self._content["new"]}
        self._storage.write(f"{FOLDER}/{mark}.json", json.dumps(content).encode())

    def end(self) -> None:
        """Say that the change has ended, well or not; the record stays where it is not deleted."""
        self._ended.set()
        with self._lock:
            ownership.release(self.mark)

    def delete(self) -> None:
        """Remove the record: the change has ended, and nothing of it is left."""
        self._ended.set()
        with self._lock:
            self._storage.delete(self.key)

    def renew(self) -> None:
        """Say that the change is under way; raise ConflictError if somebody took it for abandoned."""
        with self._lock:
            if not self._ended.is_set():
                self._write_anew()

    def extend(self, folders: Iterable[str]) -> None:
        """Add folders of arrays that become superfluous, too; raise ConflictError if somebody took the change for abandoned."""
        with self._lock:
            self._content["folders"] = sorted({*self._content["folders"], *folders})
            if not self._write_anew():
                self._write_anew()

    def _write_anew(self) -> bool:
        """Write the record once more; returns whether it is certainly there."""
        self._renewals += 1
        if "began" not in self._content:
            self._content["began"] = self._storage.stat(self.key).modified
        data = json.dumps(self._content | {"renewals": self._renewals, "time": time.time()}).encode()
        try:
            self._tag = self._storage.write(self.key, data, if_match=self._tag)
        except (ConflictError, NotFoundError):
            self._tag = self._check()  # an answer may have been lost
            return False
        return True

    def check(self) -> None:
        """Check that the record is there, unclaimed.

        Raises
        ------
        ConflictError
            Somebody took the change for abandoned.
        """
        self._check()

    def _check(self) -> str:
        try:
            data, tag = self._storage.read(self.key)
            if "claimed" not in json.loads(data):
                return tag
        except (NotFoundError, ValueError, TypeError):
            pass
        raise ConflictError(
            f"somebody took this change of {self._storage.url} for abandoned, and removed its files",
            "nothing was changed: try again",
        )

    def _keep_renewing(self) -> None:
        while not self._ended.wait(ownership.RENEWED_EVERY):
            with suppress(ModosError):
                self.renew()


@dataclass(frozen=True)
class Entry:
    """Change on record, under way or left.

    Attributes
    ----------
    key
        Of the record.
    files, folders
        What the change is about: files, and folders of arrays.
    new
        Those of the files that it writes.
    began
        When it began, by the storage's clock.
    abandoned
        Whether it was left.
    has_ended
        Whether its process is known to run no more.
    is_ours
        Whether the record was written at this place, rather than brought here
        with other files.
    content, tag
        Of the record as it was read.
    """

    key: str
    files: frozenset[str]
    folders: tuple[str, ...]
    new: frozenset[str]
    began: float
    abandoned: bool
    has_ended: bool
    is_ours: bool
    content: dict[str, Any]
    tag: str

    def covers(self, key: str) -> bool:
        """Return whether the change is about a file."""
        return key in self.files or self._in_folder(key)

    def may_delete(self, info: ObjectInfo) -> bool:
        """Return whether a file that belongs to no element was certainly written, or to be removed, by this change.

        A file that the change was to write, and that is older, is somebody
        else's. A record from elsewhere proves nothing.
        """
        if not self.is_ours or not self.covers(info.key):
            return False
        return info.key not in self.new or (info.modified is not None and info.modified >= self.began - _SLACK)

    def claim(self, storage: Storage, mark: str) -> bool:
        """Claim the change, to clean up after it; False where somebody else has, or it goes on."""
        if not self.tag:
            return False
        data = json.dumps(self.content | {"began": self.began, "claimed": mark}).encode()
        try:
            storage.write(self.key, data, if_match=self.tag)
        except (ConflictError, NotFoundError):
            return False
        return True

    def _in_folder(self, key: str) -> bool:
        return any(key.startswith(f"{folder}/") for folder in self.folders)


def entries(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[Entry]:
    """List the changes on record."""
    infos = [info for info in storage.iter_files(FOLDER) if "/" not in info.key.removeprefix(f"{FOLDER}/")]
    if not infos:
        return []
    now, here = storage.now(), storage.identify_place()
    found = (_read_entry(storage, info, now, here, limit) for info in infos)
    return [entry for entry in found if entry is not None]


def _read_entry(storage: Storage, info: ObjectInfo, now: float, here: str, limit: float) -> Entry | None:
    try:
        content, tag = _read_content(storage, info)
    except NotFoundError:
        return None
    try:
        files, new, folders = (
            frozenset(filter(_is_of_one_object, content.get(name, ()))) for name in ("files", "new", "folders")
        )
        if not all(folder.startswith(f"{ZARR}/") for folder in folders):
            raise ValueError
        said: Any = content.get("began", info.modified)
        began = float(said)
    except (ValueError, TypeError, AttributeError, InvalidInputError):
        content, files, new, folders, began = {}, frozenset(), frozenset(), frozenset(), now
    writer = info.key.removeprefix(f"{FOLDER}/").removesuffix(".json")
    claimed = content.get("claimed")
    mark = claimed if isinstance(claimed, str) else writer
    age = now - (info.modified if info.modified is not None else now)
    return Entry(
        info.key,
        files,
        tuple(folders),
        new,
        began,
        ownership.is_abandoned(mark, age, limit),
        all(ownership.is_at_work(one) is False for one in (writer, mark)),
        bool(here) and content.get("place") == here,
        content,
        tag,
    )


def _read_content(storage: Storage, info: ObjectInfo) -> tuple[dict[str, Any], str]:
    """Read a record and its tag; the content is empty if it is no record."""
    if info.size > _MAX_RECORD:
        return {}, ""
    data, tag = storage.read(info.key)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return {}, tag
    return content if isinstance(content, dict) else {}, tag


def _is_of_one_object(key: str) -> bool:
    """Return whether a change of an object may write a key: it is no record, and not of another object below it."""
    parts = check_key(key).split("/")
    return FOLDER not in parts and ZARR not in parts[1:]
