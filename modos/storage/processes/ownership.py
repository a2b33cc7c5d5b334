"""Mark work under way, so that others can tell whether its process still runs.

A mark is such as `9f3a01c25be0c1d2-4711-a07f33c1129221a`: where the process
runs (machine, time it was started, namespace of process numbers), its number,
a random part of 8 digits, and when the process was started. One that was made
elsewhere, or in another form, cannot be looked into: then its age decides.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import uuid
from functools import cache
from hashlib import blake2b

from modos.storage.system import boot_id, describe_process, process_namespace, sees_own_processes

ABANDONED_AFTER = 24 * 3600.0  # seconds after which what cannot be looked into counts as abandoned
RENEWED_EVERY = 600.0  # seconds after which a change under way says again that it is


_MARK = re.compile(r"(?P<place>[0-9a-f]{16})-(?P<pid>[1-9]\d{0,8})-[0-9a-f]{8}(?P<start>[0-9a-f]*)", re.ASCII)

_active: set[str] = set()


def new_mark() -> str:
    """Make a mark of this process."""
    pid = os.getpid()
    mark = f"{_place(pid)}-{pid}-{secrets.token_hex(4)}{_own_start(pid)}"
    _active.add(mark)
    return mark


def release(mark: str) -> None:
    """Say that what a mark was for has ended, well or not."""
    _active.discard(mark)


def is_at_work(mark: str) -> bool | None:
    """Return whether the process that made a mark is still at what it was for; None if it cannot be looked into."""
    match, own = _MARK.fullmatch(mark), os.getpid()
    if match is None or match["place"] != _place(own):
        return None
    pid, start = int(match["pid"]), match["start"]
    if pid == own:
        return mark in _active
    return _is_running(pid, start)


def is_abandoned(mark: str, age: float, limit: float = ABANDONED_AFTER) -> bool:
    """Return whether nobody works on what has this mark any more.

    Parameters
    ----------
    age
        Seconds since it was made or renewed.
    limit
        Seconds after which a mark that cannot be looked into is abandoned.
    """
    at_work = is_at_work(mark)
    return age >= limit if at_work is None else not at_work


@cache
def _place(pid: int) -> str:
    """Identify where this process runs: processes with the same place see each other by their numbers."""
    started = boot_id() or f"{uuid.getnode():x}"
    return blake2b("\0".join((socket.gethostname(), started, process_namespace())).encode(), digest_size=8).hexdigest()


@cache
def _own_start(pid: int) -> str:
    stat = describe_process("self")
    return f"{int(stat[19]):x}" if stat else ""


def _is_running(pid: int, start: str) -> bool | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    stat = describe_process(str(pid)) if sees_own_processes() else None
    if not stat or not start:
        return None  # there is such a process; it may be another one
    return stat[0] not in ("Z", "X") and f"{int(stat[19]):x}" == start  # Z: killed, and not yet waited for
