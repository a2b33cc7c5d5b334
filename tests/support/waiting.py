"""Wait for what comes in its own time, however busy the machine is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import termios
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from modos.server.run import BackgroundServer

T = TypeVar("T")


def wait_until(
    is_so: Callable[[], T], seconds: float = 60.0, tell: Callable[[], object] = lambda: "it did not come to that"
) -> T:
    """Wait until something is so, and return what it gives; fail with what `tell` gives where that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, tell()
        time.sleep(0.01)
    return found


def wait_until_read(process: subprocess.Popen, data: bytes) -> None:
    """Write bytes to the standard input of a process, and wait until it has read them all."""
    process.stdin.write(data)
    process.stdin.flush()
    unread = array("i", [1])
    wait_until(lambda: fcntl.ioctl(process.stdin, termios.FIONREAD, unread) == 0 and unread[0] == 0)


def wait_for_threads(*names: str) -> None:
    """Wait until no thread of these names runs in this process; those of servers in other tests may."""
    wait_until(lambda: not any(thread.name in names for thread in threading.enumerate()), tell=threading.enumerate)


def wait_for_requests(server: BackgroundServer, count: int) -> None:
    """Wait until a server of this process has so many requests under way."""
    wait_until(lambda: len(server._server.server_state.tasks) >= count)


class Arrivals:
    """An application of which it is counted how many requests have come to it."""

    def __init__(self, app: Any):
        self._app = app
        self.count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += scope["type"] == "http"
        await self._app(scope, receive, send)


def list_open() -> set[tuple[str, str]]:
    """List the files, pipes and pieces of memory that this process has open, but not its sockets: servers have these come and go."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile, as the one of the listing is
            place = os.readlink(f"/proc/self/fd/{number}")
            found |= {(number, place)} if not place.startswith("socket:") else set()
    return found
