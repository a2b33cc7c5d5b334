"""The command line, which has every command of `modos`.

In: arguments, answers on a terminal, files and stdin. Out: data on stdout, all
else on stderr (`output` is the only writer), and an exit code. `main` is the one
place that turns errors into words and exit codes. Modules are named after the
commands they have; those that ask people are `input`, `secrets` and `suggesting`.

It may import everything, late: a command loads what it needs when it is called.
Nothing imports it. Typer and Rich are used nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
from typing import Any

from modos.storage.processes.memory import keep_freed

_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # terminated; its terminal closed
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def __getattr__(name: str) -> Any:
    """Return `cli`, the name that sdsc-ordes modos has for the application."""
    if name == "cli":
        from modos.cli.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; never returns."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop_at_once)
    gc.set_threshold(100_000, 20, 50)  # a short life makes little garbage
    keep_freed()
    from modos.cli.app import app
    from modos.cli.completion import join_words
    from modos.cli.output import exit_code_of, guard_log, is_usage, options, show_end, show_error, show_traceback, show_usage
    from modos.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_TERMINATED, IntegrityError, ModosError
    from modos.errors.missing import explain
    from modos.storage.processes.panics import is_panic

    guard_log()
    signal.signal(signal.SIGINT, interrupt)
    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:  # and not one that outlives its terminal, by nohup
            signal.signal(number, lambda *_: sys.exit(EXIT_TERMINATED))  # so that partial results are removed
    try:
        with join_words():
            code = app(prog_name="modos", standalone_mode=False) or 0  # Typer turns Ctrl-C into its code
        if code == EXIT_INTERRUPTED:
            show_end("interrupted")
        _leave(code)
    except SystemExit as done:
        if done.code == EXIT_TERMINATED:
            show_end("terminated")
        if isinstance(done.__context__, BrokenPipeError):  # so Typer ends where nobody reads its help
            _leave(EXIT_BROKEN_PIPE)
        _leave(done.code if isinstance(done.code, int) else int(done.code is not None))
    except ModosError as error:
        show_traceback(error) if options.debug else show_error(error.message, error.hint)
        _leave(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(EXIT_BROKEN_PIPE)
    except KeyboardInterrupt:
        show_end("interrupted")
        _leave(EXIT_INTERRUPTED)
    except BaseException as error:
        if is_usage(error):
            with contextlib.suppress(Exception):  # nobody reads what is said
                show_usage(error)
            _leave(exit_code_of(error))
        if options.debug:
            show_traceback(error)
            _leave(1)
        if isinstance(error, ModuleNotFoundError) and (missing := explain(error)):
            show_error(missing.message, missing.hint)
            _leave(missing.exit_code)
        if is_panic(error):
            show_error(f"what was read is damaged: {error}", "--debug shows where; copy it again")
            _leave(IntegrityError.exit_code)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            show_error(f"cannot write: {error.strerror}", "what was written is not whole")
        else:  # a defect of ours: still one line
            show_error(f"{type(error).__name__}: {error}", "this is a defect of modos; --debug shows where")
        _leave(1)


def _stop_at_once(*_: Any) -> None:
    """End while modos is still being loaded."""
    try:
        os.write(sys.stderr.fileno(), b"interrupted: nothing was begun\n")
    finally:
        os._exit(130)


def _leave(code: int) -> None:
    """Exit at once, without waiting for threads that wait for the network."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if memory := sys.modules.get("modos.storage.memory_files"):
        memory.remove_folders()
    os._exit(code)
