"""A server that ends at once says nothing, whatever is under way, and lets the application end in order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
import requests

from tests.support.commands import MODOS

TIMEOUT = 120
SERVED = """
import sys, threading, time
from contextlib import asynccontextmanager
import requests
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from modos.server import connections
from modos.server.run import BackgroundServer

connections.LINGERING = 60  # longer than `stop` waits
reached, released = threading.Event(), threading.Event()

@asynccontextmanager
async def live(app):
    yield
    print("ended in order")

app = FastAPI(lifespan=live)

@app.get("/waits")
def wait():
    reached.set()
    released.wait(60)

@app.get("/streams")
def stream():
    def pieces():
        while True:
            yield b"x" * 1000
            reached.set()
            time.sleep(0.01)
    return StreamingResponse(pieces())

@app.get("/")
def answer():
    return {}

server = BackgroundServer(app)
session = requests.Session()
session.get(server.url)  # a connection that stays
def ask():
    try:
        list(requests.get(server.url + sys.argv[1], stream=True, timeout=60).iter_content(1000))
        print("whole")
    except requests.RequestException:
        print("cut")
asking = threading.Thread(target=ask)
asking.start()
if sys.argv[1] == "/":
    asking.join()
else:
    assert reached.wait(60)
server.stop(at_once=True)
assert not server._thread.is_alive(), "it goes on after ten seconds"
released.set()
asking.join()
"""


@pytest.mark.parametrize(("path", "told"), [("/", "whole"), ("/waits", "cut"), ("/streams", "cut")])
def test_it_is_silent_and_the_application_ends_in_order(path, told):
    ended = subprocess.run([sys.executable, "-c", SERVED, path], capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert sorted(ended.stdout.splitlines()) == sorted(["ended in order", told])


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
@pytest.mark.parametrize("wait", [0.0, 0.5])
@pytest.mark.parametrize("command", [("view", "--no-browser"), ("gateway",)], ids=["view", "gateway"])
def test_ctrl_c_in_a_terminal_says_that_it_stopped_and_nothing_else(example, tmp_path, command, wait):
    import pty

    shutil.copytree(example / "ex", tmp_path / "ex")
    main, terminal = pty.openpty()
    with subprocess.Popen(
        [*MODOS, command[0], tmp_path / "ex", *command[1:]], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=_take_terminal,
    ) as running:  # fmt: skip
        os.close(terminal)
        said = _read_until(main, b"until Ctrl-C")
        address = next(word for word in said.decode().split() if word.startswith("http://"))
        if wait:
            answer = requests.get(address, stream=True, timeout=TIMEOUT)
            assert answer.status_code == 200
        time.sleep(wait)
        os.write(main, b"\x03")
        rest = _read_until(main, None)
        assert running.wait(TIMEOUT) == 0, rest
    assert rest.replace(b"^C", b"").split() == [b"stopped"], rest


def _take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(main, end):
    said = b""
    while end is None or end not in said:
        try:
            more = os.read(main, 4096)
        except OSError:  # the other side is closed
            more = b""
        if not more:
            break
        said += more
    if end is None:
        os.close(main)
    return said.rpartition(end)[0] if end else said
