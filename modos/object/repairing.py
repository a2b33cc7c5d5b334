"""Heal the files of an object from a copy: the parts that do not fit, and these alone.

What is taken is decided by the digests that the object records, and by nothing
that the copy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modos.encryption.header import Header
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.formats import index_names, is_encrypted, is_file_path, parts_name, read_roots
from modos.formats.crypt4gh import part_size
from modos.object import commits, damage
from modos.object.document import Document
from modos.object.healing import Place
from modos.object.mending import IndexMending, ListMending
from modos.object.part_lists import digest_stored
from modos.object.repair_plan import Copy, FileComparison, RepairPlan, stat_if_there
from modos.storage import ObjectInfo, Storage
from modos.storage.base import Progress
from modos.storage.part_digests import DigestList, Layout

Attributes = Mapping[str, Any]


def plan_repair(storage: Storage, copy: Storage, progress: Progress | None = None) -> RepairPlan:
    """Compare files, trees and arrays of an object with their digests, and look which of the parts that do not fit a copy has.

    Raises
    ------
    NotFoundError
        There is no object, or nothing at all at the place of the copy.
    """
    document, source, plan = commits.load(storage), Copy(copy), RepairPlan(storage)
    _examine_arrays(document, source, plan, progress)
    _examine_trees(document, source, plan, progress)
    seen: set[str] = set()
    for element_id in document.ids():
        attributes = document.element(element_id)
        path = attributes.get("data_path")
        if not path or not is_file_path(path) or path in seen:
            continue
        seen.add(path)
        if not attributes.get("data_digest"):
            plan.skipped.append(element_id)
            continue
        _Examination(storage, source, element_id, attributes, plan, progress).run()
    return plan


def _examine_arrays(document: Document, copy: Copy, plan: RepairPlan, progress: Progress | None) -> None:
    if not any(node.get("node_type") == "array" for node in document.nodes.values()):
        return
    from modos.object.array_repairs import examine_arrays

    examine_arrays(document, copy, plan, progress)


def _examine_trees(document: Document, copy: Copy, plan: RepairPlan, progress: Progress | None) -> None:
    if not document.tree_folders():
        return
    from modos.object.tree_repairs import examine_trees

    examine_trees(document, copy, plan, progress)


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
        info = stat_if_there(self.storage, path)
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
        comparison = FileComparison(self.plan, self.element_id, path, info, header, self.copy.storage.url, self.progress)
        if comparison.run(own, places, expected).is_sound:
            self.plan.compared.add(self.element_id)
        if expected.is_stored and not damage.has_list(self.storage, path, expected):
            self.plan.mendings.append(ListMending(self.element_id, path, expected, parts_name(path)))

    def _find_own(self, path: str, info: ObjectInfo | None, header: int, size: int) -> list[Place]:
        """Find where the parts are in the file as it is."""
        if info is None:
            return []
        own = _find_place(self.storage, path) if info.size != size else None
        return [own or Place(self.storage, path, header)]

    def _examine_indexes(self, path: str, keys: list[str]) -> None:
        recorded, headers = (
            read_roots(self.attributes, "index_digests"),
            SealRecord.from_index_attributes(self.attributes).headers,
        )
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


def _read_header(storage: Storage, key: str) -> Header | None:
    try:
        return read_stored_header(storage, key)[0]
    except (NotFoundError, DecryptError):
        return None


def _find_place(storage: Storage, key: str) -> Place | None:
    """Return where the parts of a file begin; None if it is not there, or has no header where it should."""
    if stat_if_there(storage, key) is None:
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
    if stat_if_there(storage, key) is None:
        return ""
    if is_encrypted(key):
        header = _read_header(storage, key)
        if header is None or (headers and header.digest not in headers):
            return ""
    found = _digest(Place(storage, key))
    return found.root if found else ""
