"""How the C library treats memory that is freed."""

from __future__ import annotations

_LARGEST = (32 << 20) - (64 << 10)  # bytes: the most that glibc takes as a measure (mallopt(3), M_MMAP_THRESHOLD)


def keep_freed() -> None:
    """Have freed blocks of megabytes kept for the next ones.

    Else each is fetched from the system and given back, which takes longer
    than what is done with it. glibc goes by the largest block that was freed
    so far, and keeps twice as much; other libraries take no notice.
    """
    bytearray(_LARGEST)
