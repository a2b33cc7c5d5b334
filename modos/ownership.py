"""Marks on things under way, that tell whether the process that made them is still at it."""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from hashlib import blake2b
from pathlib import Path

ABANDONED_AFTER = 24 * 3600.0  # seconds after which a mark of another machine counts as abandoned

_active: set[str] = set()


def new_mark() -> str:
    """A mark of this process: machine, process and a random part, such as `9f3a01c2-4711-5be0c1d2`."""
    mark = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    _active.add(mark)
    return mark


def release(mark: str) -> None:
    """Say that what a mark was for has ended, well or not."""
    _active.discard(mark)


def is_abandoned(mark: str, age: float, limit: float = ABANDONED_AFTER) -> bool:
    """Whether nobody works on what has this mark any more.

    Parameters
    ----------
    age
        Seconds since the mark was made.
    limit
        Seconds after which a mark that cannot be looked into is abandoned:
        that of another machine, or of an unknown form.
    """
    machine, _, rest = mark.partition("-")
    pid = rest.partition("-")[0]
    if machine != _machine() or not pid.isdigit():
        return age >= limit
    if int(pid) == os.getpid():
        return mark not in _active
    return not _is_running(int(pid))


@cache
def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    name = socket.gethostname() + (boot.read_text() if boot.exists() else "")
    return blake2b(name.encode(), digest_size=4).hexdigest()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:  # a process that was killed and not yet waited for
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
