"""The only writer to the terminal: data go to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

import typer

from modos.errors.escaping import escape_line, escape_text


class Where(TypedDict):
    """Where objects are, as keyword arguments of `MODO`."""

    endpoint: str | None
    s3_kwargs: dict[str, Any] | None


@dataclass
class Options:
    """Values of the global options."""

    endpoint: str | None = None
    anon: bool = False
    quiet: bool = False
    debug: bool = False
    progress: bool = True

    @property
    def s3_kwargs(self) -> dict[str, Any] | None:
        """Arguments for s3fs."""
        return {"anon": True} if self.anon else None

    @property
    def where(self) -> Where:
        """The endpoint, and the arguments for s3fs."""
        return {"endpoint": self.endpoint, "s3_kwargs": self.s3_kwargs}


options = Options()


def show(text: str) -> None:
    """Write data to stdout; characters that a terminal would obey are escaped."""
    text = escape_text(text)
    with translate_closed_pipe():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()


def show_lines(lines: Iterable[object]) -> None:
    """Write data of one line each to stdout: whatever names are in them, they stay as many lines."""
    if text := "".join(f"{escape_line(str(line))}\n" for line in lines):
        show(text)


def show_rows(rows: Iterable[Iterable[object]]) -> None:
    """Write a table for programs to stdout: a line for each row, with tabs between the cells."""
    if text := "".join("\t".join(escape_line(str(cell)) for cell in row) + "\n" for row in rows):
        show(text)


def show_table(rows: Iterable[Iterable[object]]) -> None:
    """Write a table for people to stdout: a line for each row, in columns."""
    cells = [[escape_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    show_lines("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


@contextmanager
def translate_closed_pipe() -> Iterator[None]:
    """Raise BrokenPipeError without its number: Typer takes the numbered one for a failure of its own."""
    try:
        yield
    except BrokenPipeError:
        raise BrokenPipeError from None


def show_json(data: Any) -> None:
    """Write data as JSON to stdout."""
    show(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def count(number: int, noun: str) -> str:
    """Write a number with its noun: `1 element`, `1,000 elements`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Write a line of status to stderr."""
    if not options.quiet:
        print(escape_line(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Write a warning to stderr, also where status is not wanted."""
    print(f"warning: {escape_line(text)}", file=sys.stderr, flush=True)


def text_file() -> Any:
    """Return the binary file for text that is written in pieces: stdout, escaped on a terminal."""
    return _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes) -> int:
        sys.stdout.write(escape_text(self._decoder.decode(data)))
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()


def guard_log() -> None:
    """Escape, on stderr, what libraries and modos log without being asked, so that no terminal obeys it; tracebacks, too."""
    if logging.lastResort:
        logging.lastResort.setFormatter(_Plain())
    format_warning = warnings.formatwarning
    warnings.formatwarning = lambda *given, **named: escape_text(format_warning(*given, **named))
    threading.excepthook = lambda told: show_traceback(told.exc_value)


def show_traceback(error: BaseException | None) -> None:
    """Write where an error comes from to stderr."""
    print(escape_text("".join(traceback.format_exception(error))), end="", file=sys.stderr, flush=True)


class _Plain(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        return escape_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return escape_text(super().format(record))


def show_log() -> None:
    """Write what modos logs to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(name)s: %(message)s"))
    logger = logging.getLogger("modos")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def show_error(message: str, hint: str | None) -> None:
    """Write an error: a line, and a line of what to do about it."""
    red, reset = ("\033[31m", "\033[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{red}error:{reset} {escape_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {escape_line(hint)}", file=sys.stderr)


def show_end(how: str) -> None:
    """Say on stderr that a command did not come to its end."""
    with contextlib.suppress(OSError):  # of a terminal that was closed
        print(f"{chr(10) if sys.stderr.isatty() else ''}{how}: what was under way was not finished", file=sys.stderr)


def is_usage(error: BaseException) -> bool:
    """Return whether an error is one of Typer, about a command line that it cannot read."""
    return isinstance(error, typer.Abort) or hasattr(error, "format_message")


def exit_code_of(error: Any) -> int:
    """Return the exit code of an error of Typer."""
    return 1 if isinstance(error, typer.Abort) else int(error.exit_code)


def show_usage(error: Any) -> None:
    """Show an error of Typer."""
    if isinstance(error, typer.Abort):
        print("Aborted.", file=sys.stderr)
        return
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        show(error.message)
        return
    if context := getattr(error, "ctx", None):
        print(escape_text(context.get_usage()), file=sys.stderr)
        print(f"Try '{escape_line(context.command_path)} {context.help_option_names[0]}' for help.", file=sys.stderr)
    if error.message:
        error.message = escape_line(error.message)
    show_error(error.format_message(), None)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None] | None]:
    """Give a counter of bytes on a terminal, with rate, and time left once the total is known (`expect`); None elsewhere."""
    if options.quiet or not options.progress or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        DownloadColumn(binary_units=False),
        TransferSpeedColumn(),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Shown(bar, bar.add_task(escape_line(title), total=total))


@contextmanager
def count_progress(title: str, noun: str) -> Iterator[Callable[[int], None] | None]:
    """Give a counter of things on a terminal, with their number a second; None elsewhere."""
    if options.quiet or not options.progress or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn(f"{{task.completed:,.0f}} {noun}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Shown(bar, bar.add_task(escape_line(title), total=None))


class _Shown:
    """Task of a progress bar: called with the bytes that are done; `expect` tells it how many there will be."""

    def __init__(self, bar: Any, task: Any):
        self._bar, self._task = bar, task

    def __call__(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def expect(self, total: int) -> None:
        self._bar.update(self._task, total=total)


@contextmanager
def defer_progress(title: str) -> Iterator[Callable[[int], None]]:
    """Give a counter as `progress` does, shown from the first byte on, so that questions can come before."""
    with ExitStack() as stack:
        yield _Later(lambda total: stack.enter_context(progress(title, total)))


class _Later:
    """Counter that is shown from the first byte on; it knows the total if `expect` was called."""

    def __init__(self, begin: Callable[[int | None], Callable[[int], None] | None]):
        self._begin = begin
        self._total: int | None = None
        self._lock = threading.Lock()
        self._shown: list[Callable[[int], None] | None] = []

    def __call__(self, count: int) -> None:
        with self._lock:
            if not self._shown:
                self._shown.append(self._begin(self._total))
        if self._shown[0] is not None:
            self._shown[0](count)

    def expect(self, total: int) -> None:
        self._total = total


def size(number: int) -> str:
    """Write a number of bytes: `12 bytes`, `3.4 GB`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < 4:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {('', 'kB', 'MB', 'GB', 'TB')[unit]}" if unit else count(number, "byte")


def wait_for_interrupt(told: str) -> None:
    """Say what is there until Ctrl-C, wait for that, and say that it came."""
    import threading

    try:
        say(told)
        while not threading.Event().wait(0.2):  # a signal that another thread takes wakes no wait without an end
            pass
    except KeyboardInterrupt:
        say("stopped")
