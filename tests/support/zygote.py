"""Commands without start-up: a process that has loaded what modos needs, and forks for each command.

Each command is a process of its own, with its own pipes, folder, environment, exit code and signals. What a fork
cannot have (see `fits`) is left to a process of its own from the start.
"""

from __future__ import annotations

import array
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LOADED = [
    "aiobotocore.session",
    "aiohttp.web",
    "crypt4gh.lib",
    "cryptography.hazmat.primitives.asymmetric.x25519",
    "google_crc32c",
    "h5py",
    "jsonschema",
    "jwt",
    "linkml_runtime",
    "numcodecs",
    "numpy",
    "openpyxl",
    "pybigtools",
    "pysam",
    "pysam.bcftools",
    "pysam.samtools",
    "rapidfuzz",
    "rdflib",
    "requests",
    "s3fs",
    "typer.rich_utils",
    "uvicorn",
    "yaml",
    "zarr",
]
OPTIONS = {"bufsize", "close_fds", "cwd", "encoding", "env", "errors", "start_new_session", "stderr", "stdin", "stdout", "text"}
# Of the environment, what nothing reads as it is loaded (_RJEM_: polars sets it).
LATE = ("AWS_", "C4GH_", "COMP_", "MODOS_", "PYTEST_", "REF_", "XDG_", "_MODOS_", "_RJEM_")
LATE_NAMES = {"HOME", "PATH", "PWD", "TMPDIR"}
_HEAD = struct.Struct("=I")
_STATUS = struct.Struct("=i")
_zygote: socket.socket | None = None
_process: subprocess.Popen | None = None
_lock = threading.Lock()


def fits(options: dict) -> bool:
    """Whether a fork can have these options of `subprocess.Popen`, and is who we are now, with what is read at the start."""
    env = os.environ if options.get("env") is None else options["env"]
    if not hasattr(os, "memfd_create"):  # without_linux: what looks after forks asks for Linux
        return False
    return options.keys() <= OPTIONS and os.geteuid() == _USER and _early(env) == _early(_ENVIRONMENT)


def _early(env) -> dict:
    return {name: value for name, value in env.items() if not name.startswith(LATE) and name not in LATE_NAMES}


class Forked(subprocess.Popen):
    """A command of modos, forked by the zygote."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
        ends = p2cread, _, _, c2pwrite, _, errwrite = rest[3:9]
        new_session = rest[13]
        self._told, theirs = socket.socketpair()
        with theirs:
            fds = [n if end == -1 else end for n, end in enumerate((p2cread, c2pwrite, errwrite))]
            _send(theirs, fds)
        request = {
            "words": [os.fsdecode(word) for word in args],
            "cwd": os.fspath(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "session": new_session,
            "umask": int(re.search(r"Umask:\s+(\d+)", Path("/proc/self/status").read_text())[1], 8),
        }
        body = json.dumps(request).encode()
        self._told.sendall(_HEAD.pack(len(body)) + body)
        self.pid = _HEAD.unpack(_receive(self._told, _HEAD.size))[0]
        self._child_created = True
        self._close_pipe_fds(*ends)

    def _internal_poll(self, _deadstate=None, **_):
        if self.returncode is None and (self._told.fileno() < 0 or not _is_told(self._told, 0)):
            return _deadstate
        return self._wait(None)

    def _wait(self, timeout):
        with self._waitpid_lock:
            if self.returncode is None:
                if not _is_told(self._told, timeout):
                    raise subprocess.TimeoutExpired(self.args, timeout)
                self._handle_exitstatus(_STATUS.unpack(_receive(self._told, _STATUS.size))[0])
                self._told.close()
        return self.returncode


def _send(theirs: socket.socket, fds: list[int]) -> None:
    global _zygote, _process
    with _lock:
        if _zygote is None:
            _zygote, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            program = [sys.executable, "-c", Path(__file__).read_text(), str(end.fileno())]
            _process = subprocess.Popen(program, cwd="/", env=_ENVIRONMENT, pass_fds=[end.fileno()], stdin=subprocess.DEVNULL)
            end.close()
        socket.send_fds(_zygote, [b"."], [theirs.fileno(), *fds])


def _is_told(connection: socket.socket, timeout: float | None) -> bool:
    """Whether there is something to read, within some seconds."""
    poll = select.poll()  # any number of descriptors may be open
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout is None else 1000 * timeout))


def _receive(connection: socket.socket, size: int) -> bytes:
    """Read that many bytes."""
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise EOFError("the zygote is gone")
        found += piece
    return found


def serve(control: socket.socket) -> None:
    """Fork for each command that is asked for, and tell how it ended."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    assert len(os.listdir("/proc/self/task")) == 1, f"threads do not outlive a fork: {threading.enumerate()}"
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.collect()
    gc.freeze()
    running: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, woken], [], [])[0]
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
            _tell_ends(running)
        if control in ready:
            data, fds = _take(control)
            if not data:
                return
            asked = socket.socket(fileno=fds[0])
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, interrupt)
                _become(asked, fds[1:])
            for fd in fds[1:]:
                os.close(fd)
            running[pid] = asked
            with contextlib.suppress(OSError):
                asked.sendall(_HEAD.pack(pid))


def _load() -> None:
    """Load what commands load, but what starts threads: polars, and what is made with it."""
    for name in LOADED:
        importlib.import_module(name)
    import modos

    sys.modules["polars"] = None
    for found in pkgutil.walk_packages(modos.__path__, "modos.", onerror=lambda _: None):
        if found.name not in ("modos.__main__", "modos.demo.init"):
            with contextlib.suppress(ImportError):
                importlib.import_module(found.name)
    del sys.modules["polars"]
    import typer.main

    from modos.cli.app import app

    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(app)


def _take(control: socket.socket) -> tuple[bytes, array.array]:
    data, extra, _, _ = control.recvmsg(1, socket.CMSG_LEN(64))
    fds = array.array("i")
    for _, _, found in extra:
        fds.frombytes(found[: len(found) - len(found) % fds.itemsize])
    return data, fds


def _tell_ends(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as asked, contextlib.suppress(OSError):
            asked.sendall(_STATUS.pack(status))


def _become(asked: socket.socket, fds: array.array) -> None:
    """Be the command: never returns."""
    try:
        request = json.loads(_receive(asked, _HEAD.unpack(_receive(asked, _HEAD.size))[0]))
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2:
                with contextlib.suppress(OSError):
                    os.close(fd)
        os.chdir(request["cwd"])
        if request["session"]:
            os.setsid()
        os.umask(request["umask"])
        os.environ.clear()
        os.environ.update(request["env"])
        tempfile.tempdir = None
        sys.argv = ["-c", *request["words"]]
        sys.stdin, sys.stdout, sys.stderr = (
            _again(*of) for of in zip(range(3), (sys.stdin, sys.stdout, sys.stderr), strict=True)
        )
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
        from modos.cli import main

        main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def _again(number: int, stream):
    """A standard stream as Python opens it."""
    mode = "w" if number else "r"
    lines = number == 2 or os.isatty(number)
    return open(
        number, mode, buffering=1 if lines else -1, encoding=stream.encoding, errors=stream.errors, newline=None, closefd=False
    )


_ENVIRONMENT, _USER = dict(os.environ), os.geteuid()

if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no threads of its own
    serve(socket.socket(fileno=int(sys.argv[1])))
