"""Plan what is healed of the files of an object, and do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line, hide_secrets
from modos.formats import is_encrypted
from modos.object import commits, damage, journal
from modos.object.document import Document
from modos.object.findings import describe_ranges
from modos.object.healing import PartSource, Place
from modos.object.mending import FileMending, Mending
from modos.storage import ObjectInfo, Storage
from modos.storage.base import Progress, ProgressLike
from modos.storage.part_digests import DigestList
from modos.storage.progress_bars import show_progress

Attributes = Mapping[str, Any]


@dataclass
class RepairPlan:
    """Plan of what is healed from a copy, and of what cannot be.

    Attributes
    ----------
    mendings
        Files, indexes, shards and lists of digests that are healed.
    left
        Element or array, and what cannot be healed of it, in words.
    skipped
        Elements and arrays without digests, of which nothing can be healed.
    compared
        Elements whose files were compared with their digests, and fit.
    """

    storage: Storage
    mendings: list[Mending] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        counts = f"{len(self.mendings):,} to heal, {len(self.left):,} cannot be, {len(self.skipped):,} without digests"
        return escape_line(hide_secrets(f"<repair of {self.storage.url}: {counts}>"))

    @show_progress
    def heal(self, progress: ProgressLike | None = None) -> list[Mending]:
        """Heal it; returns what was healed. What fails is added to `left`."""
        if not self.mendings:
            return []
        healed = []
        journal.recover(self.storage)
        with journal.keep_record(self.storage, [mending.key for mending in self.mendings], ()):
            for mending in self.mendings:
                try:
                    mending.heal(self.storage, progress)
                except (IntegrityError, InvalidInputError, NotFoundError) as error:
                    self.left.append((mending.element_id, f"{mending.key} could not be healed: {error.message}"))
                    self.compared.discard(mending.element_id)
                    continue
                healed.append(mending)
                if mending.is_complete:
                    self.compared.add(mending.element_id)
        return healed

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "repairs": [mending.to_dict() for mending in self.mendings],
            "left": [{"where": element_id, "message": message} for element_id, message in self.left],
            "without_digests": self.skipped,
        }


class Copy:
    """A place that may have the bytes that are missing, an object or not.

    Attributes
    ----------
    document
        The object's; None if it is none.
    """

    def __init__(self, storage: Storage):
        self.storage = storage
        self.document = _load(storage)
        self._keys: set[str] = set()
        self._by_size: dict[int, list[str]] = {}
        for info in storage.iter_files() if storage.can_list else ():
            self._keys.add(info.key)
            self._by_size.setdefault(info.size, []).append(info.key)
        if self.document is None and storage.can_list and not self._keys:
            raise NotFoundError(f"there is nothing at {storage.url} to repair from", "check the path")

    def find_keys(self, attributes: Attributes) -> list[str]:
        """Find the files that may be an element's: the likeliest first."""
        path, size = attributes["data_path"], attributes.get("data_size")
        keys = self.find_paths(attributes)
        keys += self.find_of_size(size) if isinstance(size, int) else []
        return [key for key in dict.fromkeys(keys) if is_encrypted(key) == is_encrypted(path)]

    def find_paths(self, attributes: Attributes) -> list[str]:
        """Find the paths of data that may be an element's: those with the same digest, and the same path."""
        elements = map(self.document.element, self.document.ids()) if self.document else ()
        digest = attributes["data_digest"]
        return [
            *(one["data_path"] for one in elements if one.get("data_path") and one.get("data_digest") == digest),
            attributes["data_path"],
        ]

    def find_of_size(self, size: int) -> list[str]:
        """Find the files that have so many bytes."""
        return self._by_size.get(size, [])

    def has(self, key: str) -> bool:
        """Return whether a file is there."""
        return key in self._keys if self.storage.can_list else self.storage.exists(key)


@dataclass(frozen=True)
class FileComparison:
    """Comparison of a file with its digests.

    Parameters
    ----------
    plan
        Gets what is healed of it, and what cannot be.
    info
        The file as it is; None if it is missing.
    header
        The recorded one, of an encrypted file.
    copy
        Where the copy is, in words.
    """

    plan: RepairPlan
    element_id: str
    path: str
    info: ObjectInfo | None
    header: bytes
    copy: str
    progress: Progress | None

    def run(self, own: list[Place], places: list[Place], expected: DigestList) -> FileMending:
        """Compare the parts of the file, look for those that do not fit, and plan how it is healed; returns that.

        Parameters
        ----------
        own
            Where the parts are in the file as it is, if they are anywhere.
        places
            Where they may be in the copy.
        """
        storage, layout, lacking = self.plan.storage, expected.layout, []
        damaged, found = list(range(layout.parts)), PartSource(expected, places)
        if own:
            damaged = damage.find_damaged(storage, self.path, expected, own[0].start, self.progress)
            lacking = found.find_lacking(damaged)
        elif not places:
            lacking = damaged
        if lacking:
            told = describe_ranges(damage.ranges_of(lacking, layout, len(self.header)))
            self.plan.left.append((self.element_id, f"{told} of {self.path}: {self.copy} does not have them, either"))
        mending = FileMending(
            self.element_id,
            self.path,
            self.info,
            self.header,
            own[0].start if own else 0,
            bool(own) and (not self.header or storage.read_part(self.path, 0, len(self.header))[0] == self.header),
            PartSource(expected, [*own, *places], self.progress),
            tuple(damaged),
            tuple(lacking),
            tuple(found.used) or tuple(str(place) for place in places[:1] if not own),
        )
        if mending.is_possible and not mending.is_sound:
            self.plan.mendings.append(mending)
        return mending


def _load(storage: Storage) -> Document | None:
    try:
        return commits.load(storage)
    except (NotFoundError, IntegrityError, InvalidInputError):
        return None


def stat_if_there(storage: Storage, key: str) -> ObjectInfo | None:
    """Look at a file; None if it is not there."""
    try:
        return storage.stat(key)
    except NotFoundError:
        return None
