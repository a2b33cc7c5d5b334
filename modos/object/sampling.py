"""Sample parts of files at random, and compare these alone."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.errors import IntegrityError, NotFoundError
from modos.formats import parts_name
from modos.object import damage
from modos.object.file_checks import Compare, compare_whole
from modos.object.findings import Finding, describe_ranges
from modos.object.part_lists import body_start
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.part_digests import Layout
from modos.storage.prefetch import fetch_ahead
from modos.storage.verified import StoredDigests

PARTS = 200  # of a file that are read: damage of 1 % of them is missed with a chance of 13 %
_REMOTE_WORKERS = 8
_SHARES = (0.001, 0.01, 0.1)


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
    """Comparison of some parts of each file, chosen at random.

    Parameters
    ----------
    parts
        Of a file that are read; all of one that has no more.

    Attributes
    ----------
    files, read, size
        Files that were looked at, parts that were read, and their bytes.
    is_whole
        Whether these were all parts.
    skipped
        Elements without digests of parts, which were not looked at.
    """

    parts: int = PARTS
    random: random.Random = field(default_factory=random.SystemRandom)
    files: int = 0
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
            chosen = sorted(self.random.sample(range(layout.parts), self.parts))
            digests = StoredDigests(storage, parts_name(path), layout, attributes["data_digest"])
            try:
                damaged = self._find_damaged(storage, path, layout, start, chosen, digests, progress)
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

    def _find_damaged(
        self,
        storage: Storage,
        path: str,
        layout: Layout,
        start: int,
        chosen: list[int],
        digests: StoredDigests,
        progress: Progress | None,
    ) -> list[int]:
        def look(number: int, _: threading.Event) -> tuple[int, int, bool]:
            low, high = number * layout.part, min((number + 1) * layout.part, layout.sizes[0])
            data, _info = storage.read_part(path, start + low, start + high)
            if progress:
                progress(len(data))
            return number, len(data), len(data) != high - low or bool(digests.find_differing(number, data))

        workers = _REMOTE_WORKERS if storage.is_remote else os.cpu_count() or 1
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
            "parts": self.read,
            "bytes": self.size,
            "not_sampled": self.skipped,
            "missed": [{"damaged": share, "chance": self.chance_missed(share)} for share in _SHARES],
        }
