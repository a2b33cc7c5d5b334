"""Run the event loop of fsspec in a thread, one per process."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from modos.storage.processes import forking


class _Running:
    """An event loop under way, once it was asked for."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: list[asyncio.AbstractEventLoop] = []
        forking.begin(self, _Running._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        if self._loop is not None:
            _let_go(self._selector)
            self._loop.set_exception_handler(lambda loop, context: None)  # that connections were not closed is no error here
            self._left.append(self._loop)
        self._loop = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._selector = selectors.DefaultSelector()
                self._loop = asyncio.SelectorEventLoop(self._selector)
                threading.Thread(target=self._loop.run_forever, name="fsspec-modos", daemon=True).start()
            return self._loop


def _let_go(selector: Any) -> None:
    """Let go, in a child, of the parent's connections and its selector.

    What closes them here (the garbage collector does) would say goodbye to
    the servers in the parent's name, and take them off the parent's list.
    """
    null, fresh = os.open(os.devnull, os.O_RDWR), selectors.DefaultSelector()
    for key in selector.get_map().values():
        os.dup2(null, key.fd, inheritable=False)
    os.dup2(fresh.fileno(), selector.fileno(), inheritable=False)
    os.close(null)
    fresh.close()


_running = _Running()


class Filesystem:
    """A filesystem of fsspec, of which each process has its own.

    Parameters
    ----------
    open
        Opens it, on an event loop.
    """

    def __init__(self, open: Callable[[asyncio.AbstractEventLoop], Any]):
        self._open = open
        self._opened: Any = None
        self._left: list[Any] = []
        forking.begin(self, Filesystem._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        if self._opened is not None:
            self._left.append(self._opened)
        self._opened = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what opens it."""
        return Filesystem, (self._open,)

    def get(self) -> Any:
        """Return what is opened, and open it if it is not."""
        if (opened := self._opened) is not None:
            return opened
        with self._lock:
            if self._opened is None:
                opened = self._open(_running.get())
                if hasattr(opened, "close_session"):
                    opened.close_session = partial(_close_at_home, os.getpid(), opened.close_session)
                self._opened = opened
            return self._opened


def _close_at_home(home: int, close: Callable[..., Any], *what: Any) -> None:
    """Close connections in the process that made them."""
    if os.getpid() == home:
        close(*what)
