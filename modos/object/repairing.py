"""Heal the files of an object from a copy: the parts that do not fit, and these alone.

What is taken is decided by the digests that the object records, and by nothing
that the copy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.encryption.header import Header
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.formats import index_names, is_array_path, is_encrypted, parts_name
from modos.formats.crypt4gh import part_size
from modos.object import commits, damage, journal
from modos.object.document import Document
from modos.object.findings import describe_ranges
from modos.object.healing import PartSource, Place
from modos.object.mending import FileMending, IndexMending, ListMending, Mending
from modos.object.part_lists import digest_stored
from modos.storage import ObjectInfo, Storage
from modos.storage.base import Progress
from modos.storage.part_digests import DigestList, Layout

Attributes = Mapping[str, Any]


@dataclass
class RepairPlan:
    """Plan of what is healed from a copy, and of what cannot be.

    Attributes
    ----------
    mendings
        Files, indexes and lists of digests that are healed.
    left
        Element and what cannot be healed of it, in words.
    skipped
        Elements without digests, of which nothing can be healed.
    compared
        Elements whose files were compared with their digests, and fit.
    """

    storage: Storage
    mendings: list[Mending] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)

    def heal(self, progress: Progress | None = None) -> list[Mending]:
        """Heal it; returns what was healed. What fails is added to `left`."""
        if not self.mendings:
            return []
        healed = []
        journal.recover(self.storage)
        with journal.keep_record(self.storage, [mending.key for mending in self.mendings], ()):
            for mending in self.mendings:
                try:
                    mending.heal(self.storage, progress)
                except (IntegrityError, NotFoundError) as error:
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
    """A place that may have the bytes that are missing, an object or not."""

    def __init__(self, storage: Storage):
        self.storage = storage
        self._document = _load(storage)
        self._infos: list[ObjectInfo] = list(storage.iter_files()) if storage.can_list else []
        if self._document is None and storage.can_list and not self._infos:
            raise NotFoundError(f"there is nothing at {storage.url} to repair from", "check the path")

    def find_keys(self, attributes: Attributes) -> list[str]:
        """Find the files that may be an element's: the likeliest first."""
        path, size = attributes["data_path"], attributes.get("data_size")
        elements = map(self._document.element, self._document.ids()) if self._document else ()
        keys = [
            one["data_path"] for one in elements if one.get("data_path") and one.get("data_digest") == attributes["data_digest"]
        ]
        keys.append(path)
        keys += [info.key for info in self._infos if info.size == size]
        return [key for key in dict.fromkeys(keys) if is_encrypted(key) == is_encrypted(path)]


def plan_repair(storage: Storage, copy: Storage, progress: Progress | None = None) -> RepairPlan:
    """Compare the files of an object with their digests, and look which of the parts that do not fit a copy has.

    Raises
    ------
    NotFoundError
        There is no object, or nothing at all at the place of the copy.
    """
    document, source, plan = commits.load(storage), Copy(copy), RepairPlan(storage)
    seen: set[str] = set()
    for element_id in document.ids():
        attributes = document.element(element_id)
        path = attributes.get("data_path")
        if not path or is_array_path(path) or path in seen:
            continue
        seen.add(path)
        if not attributes.get("data_digest"):
            plan.skipped.append(element_id)
            continue
        _Examination(storage, source, element_id, attributes, plan, progress).run()
    return plan


@dataclass
class _Examination:
    """Comparison of an element's file, its indexes and its list with their digests, and with a copy."""

    storage: Storage
    copy: Copy
    element_id: str
    attributes: Attributes
    plan: RepairPlan
    progress: Progress | None

    def run(self) -> None:
        """Add to the plan what can be healed, and what cannot."""
        path = self.attributes["data_path"]
        try:
            keys = self.copy.find_keys(self.attributes)
            self._examine_file(path, keys)
            self._examine_indexes(path, keys)
        except (IntegrityError, InvalidInputError) as error:
            self._leave(error.message)

    def _leave(self, message: str) -> None:
        self.plan.left.append((self.element_id, message))

    def _examine_file(self, path: str, keys: list[str]) -> None:
        info = _stat(self.storage, path)
        places = [place for key in keys if (place := _find_place(self.copy.storage, key))]
        header = _find_header(self.storage, path, self.copy.storage, keys, SealRecord.from_attributes(self.attributes).headers)
        if header is None:
            self._leave(f"the header of {path} is not the recorded one, and {self.copy.storage.url} does not have that")
            return
        layout = damage.layout_of(self.attributes, len(header), info.size if info else len(header))
        own = self._find_own(path, info, len(header), len(header) + layout.sizes[0])
        expected = _find_expected([*own, *places], layout, self.attributes["data_digest"])
        if expected is None:
            self._leave(
                f"neither {self.storage.url} nor {self.copy.storage.url} has {path} or its list of digests as they are recorded"
            )
            return
        mending = self._compare(path, info, own, places, header, expected)
        if mending.is_sound:
            self.plan.compared.add(self.element_id)
        elif mending.is_possible:
            self.plan.mendings.append(mending)
        if expected.is_stored and not damage.has_list(self.storage, path, expected):
            self.plan.mendings.append(ListMending(self.element_id, path, expected, parts_name(path)))

    def _find_own(self, path: str, info: ObjectInfo | None, header: int, size: int) -> list[Place]:
        """Find where the parts are in the file as it is."""
        if info is None:
            return []
        own = _find_place(self.storage, path) if info.size != size else None
        return [own or Place(self.storage, path, header)]

    def _compare(
        self, path: str, info: ObjectInfo | None, own: list[Place], places: list[Place], header: bytes, expected: DigestList
    ) -> FileMending:
        """Compare the parts of a file, and look for those that do not fit; returns how it is healed."""
        layout, lacking = expected.layout, []
        damaged, found = list(range(layout.parts)), PartSource(expected, places)
        if own:
            damaged = damage.find_damaged(self.storage, path, expected, own[0].start, self.progress)
            lacking = found.find_lacking(damaged)
        elif not places:
            lacking = damaged
        if lacking:
            told = describe_ranges(damage.ranges_of(lacking, layout, len(header)))
            self._leave(f"{told} of {path}: {self.copy.storage.url} does not have them, either")
        return FileMending(
            self.element_id,
            path,
            info,
            header,
            own[0].start if own else 0,
            bool(own) and (not header or self.storage.read_part(path, 0, len(header))[0] == header),
            PartSource(expected, [*own, *places], self.progress),
            tuple(damaged),
            tuple(lacking),
            tuple(found.used) or tuple(str(place) for place in places[:1] if not own),
        )

    def _examine_indexes(self, path: str, keys: list[str]) -> None:
        recorded, headers = damage.recorded_indexes(self.attributes), SealRecord.from_index_attributes(self.attributes).headers
        lacking = set(recorded)
        for name in index_names(path):
            lacking.discard(_root_of_index(self.storage, name, headers))
        for key in keys if lacking else ():
            for name, target in zip(index_names(key), index_names(path)):
                root = _root_of_index(self.copy.storage, name, ())
                if root not in lacking:
                    continue
                header = _find_header(self.storage, target, self.copy.storage, [name], headers)
                place = _find_place(self.copy.storage, name)
                if header is not None and place is not None:
                    lacking.discard(root)
                    layout = Layout((self.copy.storage.stat(name).size - place.start,), part_size(target))
                    self.plan.mendings.append(IndexMending(self.element_id, target, header, place, layout, root, path))
        if lacking:
            self._leave(f"an index of {path} is not the recorded one, and {self.copy.storage.url} does not have that")


def _load(storage: Storage) -> Document | None:
    try:
        return commits.load(storage)
    except (NotFoundError, IntegrityError, InvalidInputError):
        return None


def _stat(storage: Storage, key: str) -> ObjectInfo | None:
    try:
        return storage.stat(key)
    except NotFoundError:
        return None


def _read_header(storage: Storage, key: str) -> Header | None:
    try:
        return read_stored_header(storage, key)[0]
    except (NotFoundError, DecryptError):
        return None


def _find_place(storage: Storage, key: str) -> Place | None:
    """Return where the parts of a file begin; None if it is not there, or has no header where it should."""
    if _stat(storage, key) is None:
        return None
    if not is_encrypted(key):
        return Place(storage, key)
    header = _read_header(storage, key)
    return Place(storage, key, header.size) if header else None


def _find_header(storage: Storage, key: str, copy: Storage, keys: list[str], recorded: tuple[str, ...]) -> bytes | None:
    """Find the header of an encrypted file that is recorded, here or in a copy; empty of a plain file."""
    if not is_encrypted(key):
        return b""
    for place, name in ((storage, key), *((copy, name) for name in keys)):
        header = _read_header(place, name)
        if header and (not recorded or header.digest in recorded):
            return header.to_bytes()
    return None


def _find_expected(places: list[Place], layout: Layout, root: str) -> DigestList | None:
    """Find the digests that are recorded: in a list beside a file, or by reading one that is as it was."""
    for place in places if layout.parts > 1 else ():
        try:
            return damage.load_list(place.storage, place.key, layout, root)
        except IntegrityError:
            continue
    for place in places:
        found = _digest(place)
        if found and found.root == root:
            return found
    return None


def _digest(place: Place) -> DigestList | None:
    try:
        return digest_stored(place.storage, place.key)
    except IntegrityError:
        return None
    except ModosError:
        if place.storage.is_remote:
            raise
        return None


def _root_of_index(storage: Storage, key: str, headers: tuple[str, ...]) -> str:
    """Return the root of an index; empty if it is not there, or does not have one of some headers."""
    if _stat(storage, key) is None:
        return ""
    if is_encrypted(key):
        header = _read_header(storage, key)
        if header is None or (headers and header.digest not in headers):
            return ""
    found = _digest(Place(storage, key))
    return found.root if found else ""
