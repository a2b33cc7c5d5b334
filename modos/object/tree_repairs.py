"""Heal the files of Zarr trees, their lists and their headers from a copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import files_name, header_key, is_encrypted, is_tree_path, parts_name
from modos.object.document import Document
from modos.object.healing import Place
from modos.object.mending import ContentMending
from modos.object.repair_plan import Copy, FileComparison, RepairPlan
from modos.object.tree_lists import TreePlace, find_manifest, read_list
from modos.storage import ObjectInfo, Storage
from modos.storage.base import Progress, count_readers
from modos.storage.part_digests import DigestList, split_list
from modos.storage.prefetch import fetch_ahead
from modos.trees.manifest import Manifest
from modos.trees.tree_roots import ROOTS


def examine_trees(document: Document, copy: Copy, plan: RepairPlan, progress: Progress | None) -> None:
    """Compare the files of all trees with their manifests; adds to a plan what a copy can heal, and what it cannot."""
    for path, element_id in sorted(document.data_paths().items()):
        if not is_tree_path(path):
            continue
        attributes = document.element(element_id)
        if attributes.get("data_digest"):
            _Examination(element_id, attributes, copy, plan, progress).run()
        else:
            plan.skipped.append(element_id)


@dataclass
class _Examination:
    """Comparison of the files, the lists and the header of a tree with what is recorded, and with a copy."""

    element_id: str
    attributes: Mapping[str, Any]
    copy: Copy
    plan: RepairPlan
    progress: Progress | None

    def run(self) -> None:
        """Add to the plan what can be healed, and what cannot."""
        path = self.attributes["data_path"]
        folders = list(self._find_folders(path))
        try:
            if is_encrypted(path):
                self._examine_header(path, folders)
            places: list[TreePlace] = [(self.plan.storage, path), *((self.copy.storage, folder) for folder in folders)]
            manifest = find_manifest(path, self.attributes["data_digest"], places, self.progress)
            if manifest is None:
                told = f"has the files of {path}, or the lists of them, as they are recorded"
                self._leave(f"neither {self.plan.storage.url} nor {self.copy.storage.url} {told}")
                return
            self._examine_lists(manifest)
            self._examine_files(manifest, folders)
        except (IntegrityError, InvalidInputError) as error:
            self._leave(error.message)

    def _leave(self, message: str) -> None:
        self.plan.left.append((self.element_id, message))

    def _find_folders(self, path: str) -> Iterator[str]:
        """Find the folders of the copy that may be the tree; its root, an empty one, if that is a tree itself."""
        yield from (
            one for one in dict.fromkeys(self.copy.find_paths(self.attributes)) if is_encrypted(one) == is_encrypted(path)
        )
        if not is_encrypted(path) and any(map(self.copy.has, ROOTS)):
            yield ""

    def _examine_header(self, path: str, folders: list[str]) -> None:
        key, storage = header_key(self.attributes), self.copy.storage
        beside = [f"{folder}{key.removeprefix(path)}" for folder in folders]
        if self._read_header(self.plan.storage, key) is not None:
            return
        found = next((head for name in beside if (head := self._read_header(storage, name)) is not None), None)
        if found is None:
            self._leave(f"the header of {path} is not the recorded one, and {storage.url} does not have that")
            return
        self.plan.mendings.append(ContentMending(self.element_id, key, found, "header", "the header"))

    def _read_header(self, storage: Storage, key: str) -> bytes | None:
        """Read a header; None if it is not the recorded one."""
        try:
            header, _, info = read_stored_header(storage, key)
        except (NotFoundError, DecryptError):
            return None
        is_recorded = header.digest in SealRecord.from_attributes(self.attributes).headers and info.size == header.size
        return header.to_bytes() if is_recorded else None

    def _examine_lists(self, manifest: Manifest) -> None:
        path, digests = manifest.key, manifest.digests.to_bytes()
        for name, content, what in (
            (files_name(path), manifest.listed, "the list of files"),
            (parts_name(path), digests, "the list of digests"),
        ):
            if read_list(self.plan.storage, name) != content:
                self.plan.mendings.append(ContentMending(self.element_id, name, content, "list", what))

    def _examine_files(self, manifest: Manifest, folders: list[str]) -> None:
        storage = self.plan.storage
        there = {info.key: info for info in storage.iter_files(manifest.key)}

        def compare(file: tuple[str, DigestList], _: threading.Event) -> RepairPlan:
            key = f"{manifest.key}/{file[0]}"
            return self._compare(key, file[0], there.get(key), folders, file[1])

        files = zip(manifest.names, split_list(manifest.digests)[1:], strict=True)
        workers = count_readers(storage)
        for found in fetch_ahead(compare, files, workers, 4 * workers):
            self.plan.mendings += found.mendings
            self.plan.left += found.left

    def _compare(self, key: str, name: str, info: ObjectInfo | None, folders: list[str], expected: DigestList) -> RepairPlan:
        """Compare a file with its digests; returns a plan for it alone."""
        storage, copy, plan = self.plan.storage, self.copy.storage, RepairPlan(self.plan.storage)
        keys = [f"{folder}/{name}" if folder else name for folder in folders]
        places = [Place(copy, one) for one in keys if info or self.copy.has(one)]
        own = [Place(storage, key)] if info else []
        FileComparison(plan, self.element_id, key, info, b"", copy.url, self.progress).run(own, places, expected)
        return plan
