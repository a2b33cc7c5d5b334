"""Heal the shards of arrays, and their lists of digests, from a copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.object import damage
from modos.object.array_checks import has_list, records_shards
from modos.object.document import Document
from modos.object.healing import Place
from modos.object.mending import ListMending
from modos.object.repair_plan import Copy, FileComparison, RepairPlan, stat_if_there
from modos.storage.base import Progress, count_readers
from modos.storage.part_digests import DigestList, split_list
from modos.storage.prefetch import fetch_ahead
from modos.tracks.shard_digests import digest_shards
from modos.tracks.shard_records import specs_of_nodes
from modos.tracks.zarr_layout import DIGEST_SLOT, ArraySpec


def examine_arrays(document: Document, copy: Copy, plan: RepairPlan, progress: Progress | None) -> None:
    """Compare the shards of all arrays with their digests; adds to a plan what a copy can heal, and what it cannot."""
    specs = {spec.path: spec for spec in specs_of_nodes(document.nodes)}
    plan.skipped += [path for path, node in document.nodes.items() if records_shards(node) and path not in specs]
    for spec in specs.values():
        if spec.layout.parts:
            _Examination(spec, copy, plan, progress).run()


@dataclass
class _Examination:
    """Comparison of the shards and the list of an array with its root, and with a copy."""

    spec: ArraySpec
    copy: Copy
    plan: RepairPlan
    progress: Progress | None

    def run(self) -> None:
        """Add to the plan what can be healed, and what cannot."""
        storage, spec = self.plan.storage, self.spec
        sources = list(self._find_sources())
        expected = self._find_expected(sources)
        if expected is None:
            told = "has the shards or the list of digests of the array as they are recorded"
            self.plan.left.append((spec.path, f"neither {storage.url} nor {self.copy.storage.url} {told}"))
            return
        own = split_list(expected)
        numbers = [number for number, size in enumerate(spec.sizes) if size]
        keys = [[source.key(number) for source in sources] for number in numbers]

        def compare(file: int, _: threading.Event) -> RepairPlan:
            return self._compare(spec.key(numbers[file]), keys[file], own[file])

        for found in fetch_ahead(compare, range(len(numbers)), count_readers(storage)):
            self.plan.mendings += found.mendings
            self.plan.left += found.left
        if expected.is_stored and not has_list(storage, spec):
            self.plan.mendings.append(ListMending(spec.path, spec.key(numbers[0]), expected, spec.list_key))

    def _find_sources(self) -> Iterator[ArraySpec]:
        """Find the arrays that may have the bytes: that of the same place, and those of the copy with the same digest."""
        yield self.spec
        root = self.spec.attributes[DIGEST_SLOT]
        for other in specs_of_nodes(self.copy.document.nodes) if self.copy.document else ():
            if (
                other.attributes[DIGEST_SLOT] == root
                and other.path != self.spec.path
                and len(other.shape) == len(self.spec.shape)
            ):
                yield replace(self.spec, path=other.path)

    def _find_expected(self, sources: list[ArraySpec]) -> DigestList | None:
        """Find the digests that are recorded: in a list, or by reading shards that are as they were."""
        places = [(self.plan.storage, self.spec), *((self.copy.storage, source) for source in sources)]
        for storage, spec in places if self.spec.layout.parts > 1 else ():
            try:
                return damage.read_list(storage, spec.list_key, spec.layout, spec.attributes[DIGEST_SLOT])
            except (IntegrityError, InvalidInputError):
                continue
        for storage, spec in places:
            try:
                return digest_shards(storage, spec)
            except (IntegrityError, NotFoundError, InvalidInputError):
                continue
            except ModosError:  # a disk does not give it
                if storage.is_remote:
                    raise
        return None

    def _compare(self, key: str, keys: list[str], expected: DigestList) -> RepairPlan:
        """Compare a shard with its digests; returns a plan for it alone."""
        storage, copy, plan = self.plan.storage, self.copy.storage, RepairPlan(self.plan.storage)
        info = stat_if_there(storage, key)
        named = [one for one in keys if self.copy.has(one)]
        places = [Place(copy, one) for one in named or self.copy.find_of_size(expected.layout.sizes[0])]
        own = [Place(storage, key)] if info else []
        comparison = FileComparison(plan, self.spec.path, key, info, b"", copy.url, self.progress)
        comparison.run(own, places, expected)
        return plan
