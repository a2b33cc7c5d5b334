"""Do work ahead in a few threads, and hand out the results in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from modos.storage.processes.forking import check_same_process

Item = TypeVar("Item")
Other = TypeVar("Other")
Result = TypeVar("Result")


def fetch_ahead(
    work: Callable[[Item, threading.Event], Result],
    items: Iterable[Item],
    workers: int,
    depth: int | None = None,
    *,
    wait: bool = False,
) -> Iterator[Result]:
    """Yield results of `work` for each item, in order; at most `depth` are in progress or wait to be taken.

    Threads are started as they are needed. They are daemons, and end when
    the results are exhausted or not wanted any more.

    Parameters
    ----------
    work
        Called with an item and an event that is set when its result is not
        wanted any more.
    workers
        Number of threads.
    depth
        As many as `workers` where it is None.
    wait
        At an error, wait for what is in progress.

    Raises
    ------
    ModosError
        It was begun before a fork, and is gone on with by the child, which
        has none of the threads.
    """
    stop, home = threading.Event(), os.getpid()
    tasks: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
    pending: deque[Future[Result]] = deque()
    threads: list[threading.Thread] = []
    try:
        for item in items:
            future: Future[Result] = Future()
            tasks.put((item, future))
            pending.append(future)
            if len(threads) < workers:
                threads.append(threading.Thread(target=_run, args=(work, tasks, stop), name="modos-fetch", daemon=True))
                threads[-1].start()
            if len(pending) >= (depth or workers) or pending[0].done():
                yield pending.popleft().result()
                check_same_process(home)
        while pending:
            yield pending.popleft().result()
            check_same_process(home)
    finally:
        stop.set()
        for _ in threads:
            tasks.put(None)
        if wait:
            for thread in threads:
                thread.join()


def _run(
    work: Callable[[Item, threading.Event], Result], tasks: SimpleQueue[tuple[Item, Future[Result]] | None], stop: threading.Event
) -> None:
    while (task := tasks.get()) is not None:
        item, future = task
        if stop.is_set():
            continue
        try:
            future.set_result(work(item, stop))
        except BaseException as error:
            future.set_exception(error)
        del task, item, future  # hold no result while waiting for the next task


def call_at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Make calls that wait for the network at once; returns their results, or raises the first error in their order."""
    return list(fetch_ahead(lambda call, _: call(), calls, len(calls)))


def call_both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """Make two calls at once and return their results, as `call_at_once`."""
    results: list[Any] = call_at_once([first, second])
    return results[0], results[1]
