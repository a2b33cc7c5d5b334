"""What of many cases is tried: all in `make test-all`, in `make test` a sample that its seed chooses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
ALL = os.environ.get("MODOS_ALL", "") not in ("", "0")  # read before a test's own environment hides it
SEED = os.environ.get("MODOS_SEED", "0")


def rank(name: str) -> bytes:
    """What to sort cases by: an order of each seed, the same in every process."""
    return hashlib.sha256(f"{SEED} {name}".encode()).digest()


def some(cases: Iterable[T], count: int) -> list[T]:
    """Some of the cases of a loop, so many, in their order; with MODOS_ALL all of them."""
    cases = list(cases)
    if ALL:
        return cases
    names = {number: f"{number} {os.environ.get('PYTEST_CURRENT_TEST', '')}" for number in range(len(cases))}
    chosen = set(sorted(names, key=lambda number: rank(names[number]))[:count])
    return [case for number, case in enumerate(cases) if number in chosen]


def most(whole: int, sample: int) -> int:
    """How many there are of what is made by the number, such as examples of hypothesis."""
    return whole if ALL else sample
