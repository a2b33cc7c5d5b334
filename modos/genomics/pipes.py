"""Create pipes, write into them, and let children of the process release them."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import termios
import time
from contextlib import suppress

from modos.storage.system import widen_pipe

PIPE_BYTES = 1 << 20
_PAUSE = 0.005  # seconds

_open_ends: set[int] = set()  # of pipes between threads of this process


def open_pipe() -> tuple[int, int]:
    """Open a wide pipe between threads of this process; return its ends to read from and to write into.

    A child that is forked has no part in it: else its end to write into
    would keep the reader waiting for the end, and its end to read from would
    keep the writer waiting for a reader.
    """
    ends = os.pipe()
    _open_ends.update(ends)
    widen(ends[1])
    return ends


def forget_end(descriptor: int) -> None:
    """Say that an end of a pipe is closed, or about to be."""
    _open_ends.discard(descriptor)


def _leave() -> None:
    """Put /dev/null in a child where the pipes were: other owners of the numbers may still close them."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in _open_ends:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _open_ends.clear()


os.register_at_fork(after_in_child=_leave)


def widen(descriptor: int) -> None:
    """Let a pipe hold more, where the system can; other descriptors stay as they are."""
    widen_pipe(descriptor, PIPE_BYTES)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of some bytes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_parts(descriptor: int, parts: list[bytes | memoryview]) -> None:
    """Write all of some parts, one after the other; at most 1,024, as the system has it."""
    size = sum(map(len, parts))
    written = os.writev(descriptor, parts)
    if written < size:
        write_all(descriptor, b"".join(parts)[written:])


def wait_until_empty(descriptor: int) -> None:
    """Wait until a pipe has been read to its end so far, or nobody reads it any more; what is no pipe counts as empty."""
    with suppress(OSError):
        looks = 0 if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else 2
        while looks < 2 and not is_closed_pipe(descriptor):  # who waits for room comes between the looks
            waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
            looks = 0 if any(waiting) else looks + 1
            time.sleep(_PAUSE)


def is_closed_pipe(descriptor: int) -> bool:
    """Return whether nobody reads a pipe any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
