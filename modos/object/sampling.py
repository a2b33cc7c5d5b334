"""Sample parts of files at random, and compare these alone."""

from __future__ import annotations

import random
import threading
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, NotFoundError
from modos.formats import parts_name
from modos.object import damage
from modos.object.array_checks import CompareArray, compare_all, describe_damage
from modos.object.file_checks import Compare, compare_whole
from modos.object.findings import Finding, describe_ranges
from modos.object.part_lists import body_start
from modos.object.tree_checks import CompareTree, compare_all_files, describe_damaged
from modos.storage import Storage
from modos.storage.base import Progress, count_readers
from modos.storage.part_digests import Layout
from modos.storage.prefetch import fetch_ahead
from modos.storage.stored_digests import KnownDigests, StoredDigests
from modos.trees.manifest import Manifest

if TYPE_CHECKING:
    from modos.tracks.zarr_layout import ArraySpec

PARTS = 200  # of a file or an array that are read: damage of 1 % of them is missed with a chance of 13 %
_SHARES = (0.001, 0.01, 0.1)

_Place = tuple[str, int, int]  # a key, and bytes [start, end)


def chance_missed(share: float, parts: int) -> float:
    """Return the chance, at most, that none of some parts of a file that are chosen at random is damaged.

    Parameters
    ----------
    share
        Of the file's parts that are damaged.
    """
    return float((1 - share) ** parts)


@dataclass
class Sampler:
    """Comparison of some parts of each file and of each array, chosen at random.

    Parameters
    ----------
    parts
        Of a file, or of all shards of an array or files of a tree, that are read; all if there are no more.

    Attributes
    ----------
    files, arrays, trees, read, size
        Files, arrays and trees that were looked at, parts that were read, and their bytes.
    is_whole
        Whether these were all parts.
    skipped
        Elements and arrays without digests of parts, which were not looked at.
    """

    parts: int = PARTS
    random: random.Random = field(default_factory=random.SystemRandom)
    files: int = 0
    arrays: int = 0
    trees: int = 0
    read: int = 0
    size: int = 0
    is_whole: bool = True
    skipped: list[str] = field(default_factory=list)

    def compare(self, storage: Storage, progress: Progress | None = None) -> Compare:
        """Return what compares parts of a file of a storage with their digests."""
        whole = compare_whole(storage, progress)

        def compare(element_id: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
            path = attributes["data_path"]
            if not attributes.get("data_digest"):
                self.skipped.append(element_id)
                return
            start, size = body_start(storage, path), storage.stat(path).size
            layout = damage.layout_of(attributes, start, size)
            self.files += 1
            if layout.parts <= self.parts:
                self.read += layout.parts
                self.size += layout.sizes[0]
                yield from whole(element_id, attributes)
                return
            self.is_whole = False
            bounds = ((number, start + number * layout.part) for number in self._choose(layout))
            chosen = {number: (path, low, min(low + layout.part, start + layout.sizes[0])) for number, low in bounds}
            digests = StoredDigests(storage, parts_name(path), layout, attributes["data_digest"])
            try:
                damaged = self._find_damaged(storage, chosen, digests, progress)
            except IntegrityError as error:
                yield Finding("list", parts_name(path), f"{error.message}: nothing of {path} was compared")
                return
            except NotFoundError:
                yield Finding("missing", element_id, f"there is no file {path}: it was removed meanwhile")
                return
            if damaged:
                ranges = damage.ranges_of(damaged, layout, start)
                yield Finding(
                    "checksum", element_id, f"{describe_ranges(ranges)} of {path} are not those that are recorded", ranges
                )

        return compare

    def compare_array(self, storage: Storage, progress: Progress | None = None) -> CompareArray:
        """Return what compares parts of the shards of an array of a storage with their digests."""
        whole = compare_all(storage, progress)

        def compare(spec: ArraySpec, known: Container[str]) -> Iterator[Finding]:
            from modos.tracks.shard_digests import locate_part
            from modos.tracks.zarr_layout import DIGEST_SLOT

            root, layout = spec.attributes.get(DIGEST_SLOT), spec.layout
            if root is None:
                self.skipped.append(spec.path)
                return
            self.arrays += 1
            if layout.parts <= self.parts:
                self.read += layout.parts
                self.size += sum(layout.sizes)
                yield from whole(spec, known)
                return
            self.is_whole = False
            places = [(number, locate_part(spec, number)) for number in self._choose(layout)]
            digests = StoredDigests(storage, spec.list_key, layout, root)
            chosen = {number: (place.key, place.start, place.end) for number, place in places if place.key not in known}
            try:
                damaged = self._find_damaged(storage, chosen, digests, progress)
            except IntegrityError as error:
                yield Finding("list", spec.list_key, f"{error.message}: nothing of {spec.path} was compared")
                return
            except NotFoundError:
                yield Finding("missing", spec.path, "has lost a shard: it was removed meanwhile")
                return
            yield from describe_damage(spec, (place for number, place in places if number in damaged))

        return compare

    def compare_tree(self, storage: Storage, progress: Progress | None = None) -> CompareTree:
        """Return what compares parts of the files of a tree of a storage with their digests."""
        whole = compare_all_files(storage, progress)

        def compare(element_id: str, manifest: Manifest, known: Container[str]) -> Iterator[Finding]:
            layout = manifest.digests.layout
            self.trees += 1
            if layout.parts <= self.parts:
                self.read += layout.parts
                self.size += manifest.size
                yield from whole(element_id, manifest, known)
                return
            self.is_whole = False
            chosen, places = {}, {}
            for number in self._choose(layout):
                name, at = manifest.locate_part(number)
                if name is not None and name not in known:
                    places[number] = name, at
                    start = at * layout.part
                    chosen[number] = f"{manifest.key}/{name}", start, min(start + layout.part, manifest.sizes[name])
            try:
                damaged = self._find_damaged(storage, chosen, KnownDigests(manifest.digests), progress)
            except NotFoundError:
                yield Finding("missing", element_id, f"{manifest.key} has lost a file: it was removed meanwhile")
                return
            by_name: dict[str, list[int]] = {}
            for number in damaged:
                by_name.setdefault(places[number][0], []).append(places[number][1])
            for name, parts in by_name.items():
                yield describe_damaged(element_id, manifest, name, parts)

        return compare

    def _choose(self, layout: Layout) -> list[int]:
        return sorted(self.random.sample(range(layout.parts), self.parts))

    def _find_damaged(
        self, storage: Storage, chosen: Mapping[int, _Place], digests: StoredDigests | KnownDigests, progress: Progress | None
    ) -> list[int]:
        """Read some parts, of which it is known where they are, and find those that are not the recorded ones."""

        def look(number: int, _: threading.Event) -> tuple[int, int, bool]:
            key, start, end = chosen[number]
            data, _info = storage.read_part(key, start, end)
            if progress:
                progress(len(data))
            return number, len(data), len(data) != end - start or bool(digests.find_differing(number, data))

        workers = count_readers(storage)
        damaged = []
        for number, length, differs in fetch_ahead(look, chosen, workers):
            self.read += 1
            self.size += length
            damaged += [number] if differs else []
        return damaged

    def chance_missed(self, share: float) -> float:
        """Return the chance, at most, that damage of a share of the parts of a file was missed."""
        return 0.0 if self.is_whole else chance_missed(share, self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return what was read, and what may have been missed, as JSON has it."""
        return {
            "parts_per_file": self.parts,
            "files": self.files,
            "arrays": self.arrays,
            "trees": self.trees,
            "parts": self.read,
            "bytes": self.size,
            "not_sampled": self.skipped,
            "missed": [{"damaged": share, "chance": self.chance_missed(share)} for share in _SHARES],
        }
