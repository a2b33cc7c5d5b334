"""A command that is forked for a test is one that is started: the same output, exit code, signals, folder and environment."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import commands, zygote
from tests.support.waiting import wait_until_read

OPTIONS = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}


def forked(words, **options):
    return zygote.Forked([str(word) for word in words], **OPTIONS, **options)


def started(words, **options):
    return subprocess.Popen([*commands.MODOS, *map(str, words)], **OPTIONS, **options)


@pytest.fixture(params=[forked, started], ids=["forked", "started"])
def start(request):
    return request.param


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["show", "ex", "--json"],
        ["stream", "-c", "-r", "chr1:1-9,000", "ex/demo2.bam"],
        ["stream", "-r", "chr1:1-9,000", "ex/demo2.bam"],
        ["show", "nowhere"],
        ["stream", "--nonsense"],
        ["query", "ex", "@-"],
    ],
    ids=lambda words: " ".join(words),
)
def test_both_say_and_return_the_same(example, words):
    told = []
    for start in (forked, started):
        with start(words, cwd=example) as process:
            told.append((*process.communicate(b"SELECT ?s WHERE { ?s a ?t }", timeout=60), process.returncode))
    assert told[0] == told[1]


def test_it_has_its_own_folder_session_and_environment_and_no_files_of_others(start, example):
    with open(os.devnull) as ours, start(["query", "ex", "@-"], cwd=example, start_new_session=True) as process:
        wait_until_read(process, b"#\n")
        place = Path(f"/proc/{process.pid}")
        assert (place / "cwd").resolve() == example.resolve() and os.getsid(process.pid) == process.pid
        assert os.readlink(f"/proc/self/fd/{ours.fileno()}") not in {os.readlink(fd) for fd in (place / "fd").iterdir()}
    with start(["remote", "list"], env=os.environ | {"MODOS_ENDPOINT": "http://127.0.0.1:9"}) as process:
        assert b"127.0.0.1:9" in process.communicate(timeout=60)[1]


@pytest.mark.sweep(2)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_reach_it(start, example, number, code):
    with start(["query", example / "ex", "@-"]) as process:
        wait_until_read(process, b"#\n")
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == code


def test_what_a_fork_cannot_have_is_started():
    import polars  # noqa: F401 - which sets a variable of its own

    assert zygote.fits({"env": os.environ | {"MODOS_ENDPOINT": "x", "HOME": "/"}, "cwd": "/"})
    for options in ({"env": {"LC_ALL": "C"}}, {"env": os.environ | {"PYTHONUTF8": "0"}}, {"user": 1}, {"preexec_fn": print}):
        assert not zygote.fits(options)
