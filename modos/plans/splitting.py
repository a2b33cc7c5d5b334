"""Split the partitions of a plan that cost much, by the indexes of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from modos.errors.missing import load_late
from modos.genomics.region import Region
from modos.object.address import ObjectAddress
from modos.plans.partition import Partition, Reading
from modos.plans.running import attempt, choose_workers, raise_failures
from modos.plans.scan_plan import Plan, Stretch
from modos.storage.prefetch import fetch_ahead

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

Planned = tuple[int, Stretch, int]


def split_large(
    files: pl.DataFrame, find_address: Callable[[str], ObjectAddress], reading: Reading, partitions: Iterable[Planned], most: int
) -> Iterator[Planned]:
    """Split those of the planned partitions that may have more than some bytes; the indexes of these alone are read.

    Coverage and tracks in bins are not split, as a bin is one row.

    Raises
    ------
    PartitionError
        An index cannot be read.
    """
    planned = list(partitions)
    is_row = reading.kind in ("coverage", "tracks") and reading.bins is not None
    large = [] if is_row else [one for one in planned if one[2] > most]
    if not large:
        yield from planned
        return
    plan = Plan.make(files, find_address, reading, large)
    workers = choose_workers(str(plan[0].file.address.path))
    outcomes = list(fetch_ahead(lambda partition, _: attempt(_Split(most), partition), plan, workers))
    raise_failures([(outcome.name, outcome.error) for outcome in outcomes if outcome.error is not None], len(outcomes), None)
    found = iter(outcomes)
    for number, stretch, cost in planned:
        if cost <= most:
            yield number, stretch, cost
            continue
        for piece, size in next(found).result or [(stretch, cost)]:
            yield number, piece, size


class _Split:
    """Function that splits a partition by the index of its file."""

    def __init__(self, most: int):
        self._most = most

    def __call__(self, partition: Partition) -> list[tuple[Stretch, int]]:
        if partition.reading.kind == "tracks":
            return list(self._split_track(partition))
        from modos.genomics.cutting import cut_regions

        file, regions = partition.open_file(), partition.resolve()
        if partition.reading.kind == "coverage" and regions is None:
            regions = tuple(file.whole_contigs())
        pieces = cut_regions(file, regions, self._most)
        return [(Stretch(piece.regions, piece.after), piece.size or partition.cost) for piece in pieces]

    def _split_track(self, partition: Partition) -> Iterator[tuple[Stretch, int]]:
        """Yield equal parts of each region of a track."""
        lengths = partition.open_track().contigs.lengths
        regions = partition.resolve() or [Region(name, 0, length) for name, length in lengths.items()]
        total = sum(region.limit - region.start for region in regions)
        for region in regions:
            length = region.limit - region.start
            parts = min(max(-(-partition.cost * length // (total * self._most)), 1), length)
            for part in range(parts):
                low, high = (region.start + length * at // parts for at in (part, part + 1))
                yield Stretch((Region(region.contig, low, high),)), partition.cost * (high - low) // total
