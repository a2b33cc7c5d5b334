"""Tell how many processor cores this process may use."""

from __future__ import annotations

import os


def count_cores() -> int:
    """Return the number of cores that this process may run on, which `taskset` or a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
