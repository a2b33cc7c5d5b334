"""Take from Python what macOS lacks: with this folder on PYTHONPATH, for a process and its children in Python.

What htslib, polars and other native code ask the kernel for stays, and AF_PACKET, which psutil looks for on Linux.
"""

import errno
import fcntl
import os
import resource
import select
import signal
import socket
import sys

_GONE = {
    os: (
        "copy_file_range",
        "eventfd",
        "eventfd_read",
        "eventfd_write",
        "getrandom",
        "getxattr",
        "listxattr",
        "memfd_create",
        "O_DIRECT",
        "O_LARGEFILE",
        "O_NOATIME",
        "O_PATH",
        "O_RSYNC",
        "O_TMPFILE",
        "pidfd_open",
        "posix_fadvise",
        "posix_fallocate",
        "preadv2",
        "pwritev2",
        "removexattr",
        "sched_getaffinity",
        "sched_setaffinity",
        "setns",
        "setxattr",
        "splice",
        "timerfd_create",
        "unshare",
    ),
    fcntl: ("F_GETPIPE_SZ", "F_SETPIPE_SZ", "F_ADD_SEALS", "F_OFD_SETLK"),
    resource: ("prlimit", "RUSAGE_THREAD"),
    select: ("epoll",),
    signal: ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo"),
    socket: ("AF_NETLINK", "AF_VSOCK", "AF_ALG", "SO_PEERCRED", "TCP_QUICKACK", "TCP_USER_TIMEOUT", "MSG_NOSIGNAL"),
}
for _module, _names in _GONE.items():
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)


_MAY = ("/psutil/", "/tests/support/zygote.py")  # which the servers and the processes of tests are made with
_DEEP = 8  # calls between one of these and the file


def _is_linux_only(path: object) -> bool:
    if isinstance(path, (str, bytes, os.PathLike)):
        text = os.fsdecode(path)
        if text in ("/proc", "/sys") or text.startswith(("/proc/", "/sys/")):
            return not any(may in name for name in _callers() for may in _MAY)
    return False


def _callers() -> list[str]:
    frame, found = sys._getframe(1), []
    while frame is not None and len(found) < _DEEP:
        found.append(frame.f_code.co_filename)
        frame = frame.f_back
    return found


def _refuse(path: object) -> None:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _on_event(event: str, words: tuple) -> None:
    if event in ("open", "os.listdir", "os.scandir") and words and _is_linux_only(words[0]):
        _refuse(words[0])


def _guard(name: str) -> None:
    call = getattr(os, name)

    def guarded(path, *words, **options):
        if _is_linux_only(path):
            _refuse(path)
        return call(path, *words, **options)

    setattr(os, name, guarded)
    for group in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
        if call in group:
            group.add(guarded)


sys.addaudithook(_on_event)
for _name in ("stat", "lstat", "readlink"):
    _guard(_name)
