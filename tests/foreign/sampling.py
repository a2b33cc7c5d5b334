"""How much is compared: everything where MODOS_ALL is set, else a sample that is the same each time."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

from .files import Foreign

Item = TypeVar("Item")
_OF_A_FOLDER = 3
_LARGE = 200_000  # bytes of a file that is for everything only


ALL = os.environ.get("MODOS_ALL", "") not in ("", "0")  # read before a test's own environment hides it


def some(items: Sequence[Item], count: int) -> list[Item]:
    """All, or some of them in their order."""
    if ALL or len(items) <= count:
        return list(items)
    chosen = set(random.Random(len(items)).sample(range(len(items)), count))
    return [item for number, item in enumerate(items) if number in chosen]


def some_files(files: Sequence[Foreign]) -> list[Foreign]:
    """All, or some of each folder and kind."""
    groups: dict[tuple[str, str], list[Foreign]] = {}
    for file in files:
        if not ALL and file.path.stat().st_size > _LARGE:
            continue
        groups.setdefault((file.name.rpartition("/")[0], file.kind), []).append(file)
    return [file for group in groups.values() for file in some(group, _OF_A_FOLDER)]
