"""The only writer to the terminal: data to stdout, all else to stderr."""

from __future__ import annotations

import codecs
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from modos.hidden import shown, shown_line


@dataclass
class Options:
    """What the global options say."""

    endpoint: str | None = None
    anon: bool = False
    quiet: bool = False
    debug: bool = False
    progress: bool = True

    @property
    def s3_kwargs(self) -> dict[str, Any] | None:
        """Arguments for s3fs."""
        return {"anon": True} if self.anon else None


options = Options()


def show(text: str) -> None:
    """Data, to stdout; what a terminal would obey is written out."""
    text = shown(text)
    with closed_pipe_told():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()


@contextmanager
def closed_pipe_told() -> Iterator[None]:
    """Raise BrokenPipeError without its number: Typer takes the numbered one for a failure of its own."""
    try:
        yield
    except BrokenPipeError:
        raise BrokenPipeError from None


def show_json(data: Any) -> None:
    """Data as JSON, to stdout."""
    show(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def count(number: int, noun: str) -> str:
    """`1 element`, `1,000 elements`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Status, to stderr."""
    if not options.quiet:
        print(shown(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """What may be lost otherwise, to stderr, also where status is not wanted."""
    print(f"warning: {shown_line(text)}", file=sys.stderr, flush=True)


def text_file() -> Any:
    """Where the bytes of text go that is written in pieces: stdout, and on a terminal only what that does not obey."""
    return _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes) -> int:
        sys.stdout.write(shown(self._decoder.decode(data)))
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()


def guard_log() -> None:
    """Have what libraries and modos note without being asked, on stderr, bring nothing to a terminal that it obeys."""
    if logging.lastResort:
        logging.lastResort.setFormatter(_Plain())


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def show_log() -> None:
    """What modos notes on its way, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(name)s: %(message)s"))
    logger = logging.getLogger("modos")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def show_error(message: str, hint: str | None) -> None:
    """An error: a line, and a line of what to do about it."""
    red, reset = ("\033[31m", "\033[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{red}error:{reset} {shown_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {shown(hint)}", file=sys.stderr)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None] | None]:
    """A counter of bytes on a terminal, with the rate, and where the total is known with the time left; None elsewhere."""
    if options.quiet or not options.progress or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    left = (BarColumn(), TimeRemainingColumn()) if total else ()
    columns = (TextColumn("{task.description}"), DownloadColumn(binary_units=False), TransferSpeedColumn(), *left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(shown_line(title), total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def progress_later(title: str) -> Iterator[Callable[[int], None]]:
    """As `progress`, shown once there is something to count: what comes before may ask and tell."""
    lock, started = threading.Lock(), []
    with ExitStack() as stack:
        def advance(count: int) -> None:
            with lock:
                if not started:
                    started.append(stack.enter_context(progress(title)))
            if started[0] is not None:
                started[0](count)

        yield advance


def size(number: int) -> str:
    """`12 bytes`, `3.4 GB`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < 4:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {('', 'kB', 'MB', 'GB', 'TB')[unit]}" if unit else count(number, "byte")
