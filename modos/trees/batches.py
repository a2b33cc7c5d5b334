"""Gather the small files of a tree into batches, which are handled in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

SMALL = 4 << 20  # bytes of a file that is handled in one step
_MOST, _BATCH = 256, 1 << 20  # files, and their bytes


def gather_batches(files: Iterable[Item], size_of: Callable[[Item], int], *, one_by_one: bool = False) -> Iterator[list[Item]]:
    """Gather files that follow each other, as long as they are small together; a large one comes alone.

    Parameters
    ----------
    one_by_one
        Each comes alone, so that several are under way at once where the network waits.
    """
    batch: list[Item] = []
    length = 0
    for file in files:
        size = size_of(file)
        if batch and (one_by_one or len(batch) >= _MOST or length + size > _BATCH):
            yield batch
            batch, length = [], 0
        batch.append(file)
        length += size
    if batch:
        yield batch
