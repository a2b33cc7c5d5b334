"""Tune how the C library keeps and returns freed memory."""

from __future__ import annotations

import contextlib
from functools import cache

_LARGEST = (32 << 20) - (64 << 10)  # bytes: the most that glibc takes as a measure (mallopt(3), M_MMAP_THRESHOLD)


@cache
def keep_freed() -> None:
    """Keep freed blocks of megabytes for the next allocations.

    Else each is fetched from the system and given back, which takes longer
    than what is done with it. glibc goes by the largest block that was freed
    so far, and keeps twice as much; other libraries take no notice. Once is
    enough.
    """
    bytes(_LARGEST)  # which is not touched


def share_freed() -> None:
    """Make the threads of a long-running process share few heaps that give megabytes back; see mallopt(3)."""
    _ask_library("mallopt", -8, 4)  # M_ARENA_MAX
    _ask_library("mallopt", -1, 2 << 20)  # M_TRIM_THRESHOLD


def give_back_freed() -> None:
    """Give freed blocks of all threads back to the system, with glibc."""
    _ask_library("malloc_trim", 0)


def _ask_library(name: str, *words: int) -> None:
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), name)(*words)
