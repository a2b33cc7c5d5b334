"""`modos c4gh` as people use it: keys are safe, mistakes cost nothing, and what is printed is to the point."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]


def modos(*arguments, code=0, text=True, **environment):
    env = {k: v for k, v in os.environ.items() if k != "C4GH_PASSPHRASE"} | environment
    result = subprocess.run([*MODOS, *map(str, arguments)], capture_output=True, text=text, timeout=120,
                            stdin=subprocess.DEVNULL, env=env)
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture
def ex(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    return tmp_path / "ex"


@pytest.fixture
def keys(tmp_path):
    for name in ("me", "her"):
        modos("c4gh", "keygen", "--no-passphrase", tmp_path / f"{name}.sec")
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_from_keys_to_a_region_and_back(ex, keys):
    before = contents(ex)
    wanted = modos("stream", "-c", "-r", "chr1:1-9,000", ex / "demo1.cram").stdout
    assert "4 files" in modos("c4gh", "encrypt", "-p", keys / "me.pub", ex).stderr
    assert "nothing to do" in modos("c4gh", "encrypt", "-p", keys / "me.pub", ex).stderr
    assert not {name for name in contents(ex) if name.endswith((".cram", ".bam", ".bcf", ".vcf.gz"))}
    assert modos("stream", "-c", "-r", "chr1:1-9,000", "--secret-key", keys / "me.sec", ex / "demo1.cram").stdout == wanted
    refused = modos("stream", "-c", "-r", "chr1", ex / "demo1.cram", code=4)
    assert "encrypted" in refused.stderr and "--secret-key" in refused.stderr
    modos("stream", "-c", "-r", "chr1", "--secret-key", keys / "her.sec", ex / "demo1.cram", code=6)
    assert "4 files" in modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    told = json.loads(modos("c4gh", "recipients", "-s", keys / "her.sec", "--json", ex).stdout)
    assert {name: (entry["packets"], entry["opens"]) for name, entry in told.items()} == {
        f"data/{name}": (2, True) for name in ("calls", "cohort", "demo1", "demo2")}
    assert modos("c4gh", "recipients", "-s", keys / "her.sec", ex).stdout.count("SHA256:") == 8
    assert "whole" in modos("c4gh", "verify", "-s", keys / "her.sec", ex).stderr
    modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", ex, code=6)
    modos("c4gh", "revoke", "--rotate", "-s", keys / "me.sec", "-p", keys / "me.pub", ex, code=2)
    assert "4 files" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert "nothing to do" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert sorted(contents(ex).values()) == sorted(before.values())
    modos("check", ex)


def test_a_key_with_a_passphrase(ex, keys, tmp_path):
    (tmp_path / "passphrase").write_text("correct horse\n")
    refused = modos("c4gh", "keygen", tmp_path / "locked.sec", code=2)
    assert "C4GH_PASSPHRASE" in refused.stderr and not (tmp_path / "locked.sec").exists()
    modos("c4gh", "keygen", "--passphrase-file", tmp_path / "passphrase", tmp_path / "locked.sec")
    assert stat.S_IMODE(os.stat(tmp_path / "locked.sec").st_mode) == 0o600
    modos("c4gh", "encrypt", "-p", tmp_path / "locked.pub", ex, "data/demo2")
    for environment, code in (({}, 4), ({"C4GH_PASSPHRASE": "wrong"}, 4), ({"C4GH_PASSPHRASE": "correct horse"}, 0)):
        result = modos("stream", "-c", "--secret-key", tmp_path / "locked.sec", ex / "demo2.bam", code=code, **environment)
        assert "correct horse" not in result.stderr and "wrong\n" not in result.stderr
    modos("c4gh", "decrypt", "-s", tmp_path / "locked.sec", "--passphrase-file", tmp_path / "passphrase", ex)


@pytest.mark.parametrize(("arguments", "code", "word"), [
    (("keygen", "--no-passphrase", "me.sec"), 1, "exists already"), (("encrypt", "ex"), 2, "no recipient"),
    (("encrypt", "-p", "me.sec", "ex"), 2, "secret key"), (("encrypt", "-p", "none.pub", "ex"), 3, "none.pub"),
    (("encrypt", "-p", "me.pub", "nowhere"), 3, "nowhere"), (("encrypt", "-p", "me.pub", "ex", "data/none"), 3, "data/none"),
    (("encrypt", "-p", "me.pub", "ex", "sample/sample1"), 3, "no file"), (("decrypt", "ex"), 2, "secret-key"),
    (("decrypt", "-s", "me.pub", "ex"), 2, "public key"), (("share", "-s", "me.sec", "ex"), 2, "public-key"),
    (("encrypt", "-p", "ex/reference.fa", "ex"), 2, "not a public key"),
])
def test_mistakes_change_nothing(ex, keys, arguments, code, word, monkeypatch):
    monkeypatch.chdir(keys)
    before = contents(ex), contents(keys)
    result = modos("c4gh", *arguments, code=code)
    assert word in result.stderr and "Traceback" not in result.stderr and result.stdout == ""
    assert (contents(ex), contents(keys)) == before


def test_help_has_examples():
    for command in ("keygen", "encrypt", "decrypt", "share", "revoke", "recipients", "verify"):
        assert modos("c4gh", command, "--help").stdout.count("modos c4gh") >= 2
