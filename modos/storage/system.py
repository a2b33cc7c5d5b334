"""Use what only some systems have, or do without it.

Linux has files in memory, what it says of processes in /proc, extended attributes by os, advice on
pages, wide pipes, and the sockets of others; macOS has a call of its own for what is to be on the
disk. Nothing else in modos uses these; each function says what it does where they are missing.

It imports nothing of modos.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")


def count_cores() -> int:
    """Return the number of cores that this process may run on, which `taskset` or a container can make fewer than there are.

    Elsewhere than on Linux it is the number that there are.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_in_memory(name: str) -> int | None:
    """Open a new file in memory, which no folder has; returns its descriptor, or None where the system has no such files."""
    return os.memfd_create(name[:200]) if hasattr(os, "memfd_create") else None


def path_of_descriptor(descriptor: int) -> str:
    """Return a path that opens an open file of this process once more; what `open_in_memory` gave has no other."""
    return f"{_PROCESSES}/self/fd/{descriptor}"


def forget_pages(descriptor: int, start: int, end: int) -> None:
    """Let the system forget bytes [start, end) of a file that it has in memory; elsewhere than on Linux it keeps them."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def widen_pipe(descriptor: int, size: int) -> None:
    """Let a pipe hold more, where the system can; other descriptors stay as they are."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)


def read_into(descriptor: int, buffer: memoryview, start: int) -> int:
    """Read bytes of a file from `start` on into a buffer; returns how many there are, at most as many as it has room for."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], start)
    data = os.pread(descriptor, len(buffer), start)
    buffer[: len(data)] = data
    return len(data)


def sync_file(descriptor: int) -> None:
    """Wait until what was written to a file, or changed in a folder, is on the disk.

    The fsync of macOS leaves it in the memory of the disk; F_FULLFSYNC, which some file systems of others lack, does not.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def read_attribute(target: int | Path, name: str) -> bytes | None:
    """Read an extended attribute of a file; None if it has none, or the system has no such attributes."""
    try:
        return os.getxattr(target, name)
    except (OSError, AttributeError):
        return None


def write_attribute(descriptor: int, name: str, value: bytes | None) -> bool:
    """Write an extended attribute, or remove it for None; returns whether that was done."""
    with suppress(OSError, AttributeError):
        if value is None:
            os.removexattr(descriptor, name)
        else:
            os.setxattr(descriptor, name, value)
        return True
    return False


def boot_id() -> str | None:
    """Return what identifies the time since the machine was started; None where nothing does."""
    with suppress(OSError):
        return (_PROCESSES / "sys/kernel/random/boot_id").read_text().strip()
    return None


def process_namespace() -> str:
    """Return what identifies the processes that this one knows by the same numbers; empty where all do."""
    with suppress(OSError):
        return str(os.stat(_PROCESSES / "self/ns/pid").st_ino)
    return ""


def sees_own_processes() -> bool:
    """Return whether `describe_process` takes the numbers that this process knows others by."""
    with suppress(OSError):
        return os.readlink(_PROCESSES / "self") == str(os.getpid())
    return False


def describe_process(pid: int | str) -> list[str] | None:
    """Return fields 3 and on of what Linux says of a process (/proc/PID/stat); None elsewhere, or where there is none."""
    with suppress(OSError):
        return (_PROCESSES / f"{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def end_before_others() -> None:
    """Ask that this process is ended before others where memory runs out; elsewhere than on Linux nothing is asked."""
    with suppress(OSError):
        (_PROCESSES / "self/oom_score_adj").write_text("1000")


def taken_pages() -> int | None:
    """Return the number of pages of addresses that this process has taken; None where the system does not say."""
    with suppress(OSError):
        return int((_PROCESSES / "self/statm").read_text().split()[0])
    return None
