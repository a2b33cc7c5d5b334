"""A process that writes the read log is killed at every call that writes, and at any time: what it acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from modos.readlog.log_verification import verify
from modos.storage import open_storage
from tests.support.read_logs import entries, make_key, problems, write_chain

pytestmark = pytest.mark.sweep(20)
WRITER = [sys.executable, "-m", "tests.support.read_logs"]


def run(place, key, at, how):
    """Run a writer that kills itself at its call of that number; return which entries it acknowledged."""
    done = subprocess.run([*WRITER, str(place), str(key), str(at), how], capture_output=True, text=True, timeout=60)
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr
    return done.stdout.split(), done.returncode == 0


def check(place, secret, acknowledged):
    """What was acknowledged is there, in order, at most one entry more, and nothing looks like a forgery."""
    assert problems(place) == [] and problems(place, secret) == []
    found = [one["id"] for one in entries(place, secret)]
    numbers = [word for word in acknowledged if word != "closed"]
    assert found[: len(numbers)] == numbers and len(found) <= len(numbers) + 1


@pytest.mark.parametrize("how", ["before", "within", "after"])
def test_a_writer_is_killed_at_every_call(tmp_path, how):
    """Also in the middle of a frame and of a head: `before`, `within` and `after` each call that changes the file system."""
    secret, at, ended = make_key(tmp_path), 0, False
    while not ended:
        at += 1
        place = tmp_path / f"{at}"
        acknowledged, ended = run(place, tmp_path / "dpo.pub", at, how)
        check(place, secret, acknowledged)
    assert at > 40 and acknowledged[-1] == "closed"


def test_the_next_writer_goes_on_beside_a_killed_one_and_vouches_for_it(tmp_path):
    secret, place = make_key(tmp_path), tmp_path / "log"
    acknowledged, _ = run(place, tmp_path / "dpo.pub", 20, "within")
    write_chain(place, secret, 3, first=100)
    check_all = [one["id"] for one in entries(place, secret)]
    assert check_all[: len(acknowledged)] == acknowledged and check_all[-3:] == ["100", "101", "102"]
    assert problems(place, secret) == []
    states = sorted((chain.state, chain.torn > 0) for chain in verify(open_storage(place)).chains)
    assert states in ([("closed", False), ("open", True)], [("closed", False), ("open", False)])
    killed = next(chain.name for chain in verify(open_storage(place)).chains if chain.state == "open")
    path = max((place / killed).glob("*.log"))
    path.write_bytes(path.read_bytes()[:-200])
    assert problems(place), "what is cut off from a chain that a kill has left open is found all the same"


SERVER = """
import sys, threading
from modos.encryption.keys import load_public_key
from modos.readlog.chain_writer import Limits
from modos.readlog.read_log import ReadLog
from modos.storage import open_storage
log = ReadLog(open_storage(sys.argv[1]), load_public_key(sys.argv[2]), Limits(20_000))
lock = threading.Lock()
def work(first):
    for number in range(first, 1 << 30, 8):
        log.write({"event": "sent", "id": str(number), "time": ""})
        with lock:
            print(number, flush=True)
for first in range(8):
    threading.Thread(target=work, args=(first,), daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("number", range(4))
def test_a_writer_with_many_threads_is_killed_at_any_time(tmp_path, number):
    secret = make_key(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "log"), str(tmp_path / "dpo.pub")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(random.Random(number).uniform(0.0, 0.6))
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = {*(first + process.stdout.read()).split()}
    process.wait()
    found = {one["id"] for one in entries(tmp_path / "log", secret)}
    assert problems(tmp_path / "log", secret) == []
    assert {one for one in acknowledged if one.isdecimal()} - found <= set(), "an acknowledged entry is lost"
