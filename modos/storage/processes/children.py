"""Run libraries that may crash, hang or flood stderr on damaged data in a child process.

They are new processes, not forks of one that may have threads. One that works
on request is started when it is first needed, kept for the next, and ends by
itself: after a minute without work, or when its parent is gone.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from modos import errors
from modos.errors import IntegrityError, ModosError
from modos.storage.processes import forking
from modos.storage.system import end_before_others, taken_pages

_IDLE = 60.0  # seconds
_LOOK = 5.0  # seconds after which a child looks whether its parent is there
_MAX_LINE = 1 << 20  # bytes of an answer
_FOLDER = str(Path(__file__).parent.parent)
_READY, _RESTORE = b"{}\n", "restore it from its source"
_SERVE = "import sys; sys.path.append(sys.argv[1]); from modos.storage.processes.children import serve; serve(*sys.argv[2:])"


def start(program: str, *arguments: str, stderr: IO[bytes], stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Run a program in Python, without what lies in the working directory; it reads what is written to its `stdin`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, *arguments], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
    )


class Child:
    """A process that calls a function, which may end it, with one text after the other.

    Parameters
    ----------
    module, function
        Of modos; it takes a text and gives nothing.
    memory
        Bytes that it may take beyond those that it has once the module is imported.
    seconds
        That a call may take.
    """

    def __init__(self, module: str, function: str, memory: int, seconds: int):
        self._arguments = module, function, str(memory), str(seconds)
        self._seconds = seconds
        forking.begin(self, Child._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # that of the parent is not this one's
        self._code = 0

    def call(self, text: str, name: object) -> None:
        """Call the function in the child.

        Parameters
        ----------
        name
            Of what it looks at, for messages.

        Raises
        ------
        IntegrityError
            The process ended: by what it looked at.
        ModosError
            What the function raised; no process can be started.
        """
        with self._lock:
            answer = self._ask(text)
            if answer is None and self._end() != -signal.SIGALRM:  # it may have ended before: of idleness, or by somebody else
                answer = self._ask(text)
            if answer is None:
                raise self._reason(name)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"], answer["hint"])

    def _ask(self, text: str) -> dict[str, Any] | None:
        """Ask the process; return None if there is none any more."""
        try:
            process = self._process or self._start()
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(text).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(_MAX_LINE)
        except OSError:
            return None
        except BaseException:  # Control-C: its answer would be taken for that of the next call
            self.close()
            raise
        return json.loads(line) if line.endswith(b"\n") else None

    def _start(self) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as messages:  # what a library says where it gives up is told in our words
            try:
                self._process = start(_SERVE, _FOLDER, *self._arguments, str(_IDLE), stderr=messages)
            except OSError as error:
                raise ModosError(
                    f"no process can be started for what may be damaged: {error.strerror}", "are there too many?"
                ) from None
            assert self._process.stdout
            if self._process.stdout.readline(_MAX_LINE) != _READY:
                self._end()
                messages.seek(0)
                said = messages.read(_MAX_LINE).decode("utf-8", "replace").split("\n")
                raise ModosError(
                    "no process can be started for what may be damaged: "
                    f"{next((line for line in reversed(said) if line), '')[:300]}"
                )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._end()

    def _end(self) -> int:
        """End the process and describe how it ended."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin and process.stdout
            with suppress(OSError):
                process.stdin.close()
            process.stdout.close()
            self._code = process.wait()
        return self._code

    def _reason(self, name: object) -> IntegrityError:
        code = self._end()
        if code == -signal.SIGALRM:
            return IntegrityError(f"{name} is damaged: to read it takes more than {self._seconds} s", _RESTORE)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return IntegrityError(
            f"{name} is damaged, or takes more memory than there is: a process that read it ended {how}", _RESTORE
        )


def serve(module: str, function: str, memory: str, seconds: str, idle: str) -> None:
    """Answer the calls of a `Child`: what runs in it."""
    parent, answers = os.getppid(), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent
    work = getattr(import_module(module), function)
    _limit(int(memory))
    answers.write(_READY)
    calls = os.fdopen(0, "rb", 0)
    waited, look = 0.0, min(_LOOK, float(idle))
    while waited < float(idle) and os.getppid() == parent:
        if not select.select([calls], [], [], look)[0]:
            waited += look
            continue
        waited, line = 0.0, calls.readline()
        if not line:
            break
        signal.alarm(int(seconds))
        answer = _answer(work, json.loads(line))
        signal.alarm(0)
        answers.write(json.dumps(answer).encode() + b"\n")
    os._exit(0)


def _answer(work: Callable[[str], None], text: str) -> dict[str, str | None]:
    try:
        work(text)
    except ModosError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except MemoryError:
        return {"error": "IntegrityError", "message": f"{text} is damaged, or takes more memory than it may", "hint": _RESTORE}
    return {}


def _limit(memory: int) -> None:
    """Limit memory, have this process ended before others if there is none left, and write no cores."""
    end_before_others()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if (taken := taken_pages()) is not None:
            most = taken * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
