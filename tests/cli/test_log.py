"""`modos log` as an officer uses it: what is found, what is refused, and that each look leaves a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from modos.encryption.keys import generate
from modos.readlog.log_verification import verify
from modos.readlog.read_log import ReadLog
from modos.storage import open_storage
from tests.support import commands
from tests.support.read_logs import entry

pytestmark = pytest.mark.sweep(10)


def modos(*arguments, code=0):
    done = commands.run(
        [str(one) for one in arguments],
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        env=dict(os.environ),
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    public = generate(folder / "dpo.sec", folder / "dpo.pub", None)
    generate(folder / "other.sec", folder / "other.pub", None)
    log = ReadLog(open_storage(folder / "logs"), public, is_required=True)
    log.write(entry(1, caller="alice", samples=["sample/s1"], names=["S1"], object="ex", file="ex/a.bam", regions=[["c", 9, 20]]))
    log.write(entry(2, event="sent", caller="bob", samples=["sample/s2"], object="ex", file="ex/b.bam"))
    log.write_later({"event": "ended", "id": "2", "time": "2026-11-27T19:30:00.000000Z", "bytes": 12345})
    log.close()
    return folder


@pytest.fixture
def place(made, tmp_path):
    for name in ("dpo.sec", "other.sec"):
        shutil.copy(made / name, tmp_path / name)
    shutil.copytree(made / "logs", tmp_path / "logs")
    return tmp_path


def test_verify_prints_heads_alone_and_the_rest_on_stderr(place):
    done = modos("log", "verify", place / "logs")
    head = verify(open_storage(place / "logs")).chains[0].head
    assert done.stdout == f"{head}\n" and "seals were not looked at" in done.stderr
    done = modos("log", "verify", place / "logs", "-s", place / "dpo.sec", "--head", head)
    assert "3 entries, closed" in done.stderr
    found = json.loads(modos("log", "verify", place / "logs", "--json").stdout)
    assert found["problems"] == [] and found["chains"][0]["head"] == str(head)


def test_verify_ends_with_its_own_code_where_something_is_wrong(place):
    path = next((place / "logs").rglob("*.log"))
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    done = modos("log", "verify", place / "logs", code=6)
    assert "warning: chain" in done.stderr and "is not whole" in done.stderr
    assert json.loads(modos("log", "verify", place / "logs", "--json", code=6).stdout)["problems"]
    done = modos("log", "show", place / "logs", "-s", place / "dpo.sec", code=6)
    assert "alice" in done.stdout, "what can be read is shown"


@pytest.mark.parametrize("command", [("verify",), ("show",), ("export", "-o", "x")])
def test_another_key_opens_nothing_and_is_told_so(place, command):
    done = modos("log", *command, place / "logs", "-s", place / "other.sec", code=4)
    assert "is sealed for SHA256:" in done.stderr and not done.stdout


def test_a_place_without_a_log_is_not_a_log_without_problems(place):
    for command in (("verify",), ("show", "-s", place / "dpo.sec")):
        assert "there is no read log" in modos("log", *command, place / "none", code=3).stderr


def test_show_tells_who_read_what_of_a_sample(place):
    lines = modos("log", "show", place / "logs", "-s", place / "dpo.sec", "--sample", "S1").stdout.splitlines()
    assert len(lines) == 1 and "alice  ex/a.bam  c:10-20  sample/s1" in lines[0]
    lines = modos("log", "show", place / "logs", "-s", place / "dpo.sec", "--sample", "s2", "--json").stdout.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["sent", "ended"]
    lines = modos("log", "show", place / "logs", "-s", place / "dpo.sec").stdout
    assert lines.count("  shown  ") == 3 and "wanted=sample S1" in lines


def test_export_writes_lines_of_json_and_logs_itself(place):
    out = place / "reads.jsonl"
    modos("log", "export", place / "logs", "-s", place / "dpo.sec", "-o", out, "--user", "alice")
    assert [json.loads(line)["caller"] for line in out.read_text().splitlines()] == ["alice"]
    assert out.stat().st_mode & 0o077 == 0 and [path.name for path in place.iterdir() if path.name.endswith(".part")] == []
    modos("log", "export", place / "logs", "-s", place / "dpo.sec", "-o", place / "none/x", code=3)
    shown = modos("log", "show", place / "logs", "-s", place / "dpo.sec", "--json").stdout
    assert [one["event"] for one in map(json.loads, shown.splitlines())].count("exported") == 1


def test_what_cannot_be_logged_is_not_shown(place, monkeypatch):
    from modos.encryption.keys import load_secret_key
    from modos.errors import StorageFullError
    from modos.readlog.chain_writer import ChainWriter
    from modos.readlog.log_contents import Look
    from modos.readlog.read_entries import SHOWN
    from modos.readlog.read_log import UnloggedError

    def fail(*_):
        raise StorageFullError("full")

    monkeypatch.setattr(ChainWriter, "append", fail)
    with pytest.raises(UnloggedError, match="nothing is shown"):
        Look(open_storage(place / "logs"), load_secret_key(place / "dpo.sec"), SHOWN)
