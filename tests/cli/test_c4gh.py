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
    assert modos("c4gh", "recipients", "-s", keys / "her.sec", ex).stdout.count("\n  SHA256:") == 8
    assert "whole" in modos("c4gh", "verify", "-s", keys / "her.sec", ex).stderr
    modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", ex, code=6)
    modos("c4gh", "revoke", "--rotate", "-s", keys / "me.sec", "-p", keys / "me.pub", ex, code=2)
    assert "4 files" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert "nothing to do" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert sorted(contents(ex).values()) == sorted(before.values())
    modos("check", ex)


def test_what_is_said_of_packets_that_nobody_can_tell_whose_they_are(ex, keys, example):
    """Here one more than the recipients in the metadata, and all of them of a file that somebody else has sealed."""
    theirs = ex.parent / "theirs.bam.c4gh"
    package = [sys.executable, "-m", "crypt4gh", "encrypt", "--recipient_pk", keys / "me.pub", "--recipient_pk", keys / "her.pub"]
    theirs.write_bytes(subprocess.run(package, input=(example / "ex/demo2.bam").read_bytes(), capture_output=True, check=True).stdout)
    shutil.copy(example / "ex/demo2.bam.bai", ex.parent / "theirs.bam.bai")
    described = ("-e", '{"id": "theirs", "@type": "AlignmentSet"}', "-s", theirs)
    refused = modos("add", ex, "data", *described, code=4)
    assert "theirs.bam.bai is not sealed" in refused.stderr and "--secret-key" in refused.stderr
    modos("add", ex, "data", *described, "--secret-key", keys / "me.sec")
    assert (ex / "theirs.bam.bai.c4gh").is_file() and not (ex / "theirs.bam.bai").exists()
    told = modos("c4gh", "recipients", ex).stdout
    assert told == "data/theirs: 2 packets, 0 recorded recipients; whose 2 are cannot be said\n"
    told = modos("c4gh", "recipients", "-s", keys / "me.sec", ex).stdout
    assert told.startswith("data/theirs: 2 packets, 0 recorded recipients; whose 1 is cannot be said  (the key opens it)\n")
    entry = json.loads(modos("c4gh", "recipients", "-s", keys / "me.sec", "--json", ex).stdout)["data/theirs"]
    assert (entry["packets"], entry["opened_packets"], entry["unknown_packets"], entry["sender"]) == (2, 1, 1, None)
    modos("c4gh", "keygen", "--no-passphrase", keys / "third.sec")
    shared = modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "third.pub", ex, "data/theirs").stderr
    assert "1 packet of an unknown recipient stays" in shared and "shared 1 file" in shared
    revoked = modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    assert "1 packet of an unknown recipient was removed as well" in revoked and "revoked for 1 file" in revoked
    again = modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    assert "every packet is of a recorded recipient" in again
    modos("c4gh", "verify", "-s", keys / "third.sec", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", ex, code=6)
    modos("check", ex)


def test_a_sender_is_asked_for_on_every_way(ex, keys):
    modos("c4gh", "encrypt", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    by_me, by_her = ("--sender", keys / "me.pub"), ("--sender", keys / "her.pub")
    reading = ("--secret-key", keys / "her.sec")
    for command in (("stream", "-c", *reading), ("stream", "-c", "-r", "chr1:1-9,000", *reading), ("stream", "-H", *reading),
                    ("coverage", "-r", "chr1:1-9,000", *reading)):
        modos(*command, *by_me, ex / "demo2.bam")
        modos(*command, *by_her, *by_me, ex / "demo2.bam")
        refused = modos(*command, *by_her, ex / "demo2.bam", code=6)
        assert "by that sender, but by SHA256:" in refused.stderr
    modos("c4gh", "verify", "-s", keys / "her.sec", *by_me, ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", *by_her, ex, code=6)
    told = modos("c4gh", "recipients", "-s", keys / "her.sec", ex).stdout
    assert told.count("encrypted by SHA256:") == told.count("your packet was written by SHA256:") == 4
    modos("c4gh", "decrypt", "-s", keys / "her.sec", *by_her, ex, code=6)
    modos("c4gh", "decrypt", "-s", keys / "her.sec", *by_her, *by_me, ex)
    assert "nothing says who sent it" in modos("stream", "-c", *by_me, ex / "demo2.bam", code=6).stderr


def test_another_file_in_the_place_of_a_sealed_one(ex, keys):
    """Of the same size, for the same recipient, by whoever can write there."""
    modos("c4gh", "encrypt", "-p", keys / "me.pub", ex)
    plain = modos("stream", "--raw", "--secret-key", keys / "me.sec", ex / "demo2.bam", text=False).stdout
    package = [sys.executable, "-m", "crypt4gh", "encrypt", "--recipient_pk", keys / "me.pub"]
    (ex / "demo2.bam.c4gh").write_bytes(subprocess.run(package, input=plain, capture_output=True, check=True).stdout)
    for what in ((), ("-r", "chr1:1-9,000"), ("-H",)):
        refused = modos("stream", *what, "--secret-key", keys / "me.sec", ex / "demo2.bam", code=6, text=False)
        assert b"header that is recorded" in refused.stderr and refused.stdout == b""
    assert "demo2.bam.c4gh does not have the recorded" in modos("check", ex, code=6).stdout


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
