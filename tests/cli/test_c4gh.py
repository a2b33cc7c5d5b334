"""`modos c4gh` as people use it: keys are safe, mistakes cost nothing, and what is printed is to the point."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import shutil
import stat
import subprocess
import sys

import pytest
import typer.main

import modos as modos_package
from modos.cli.app import app

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
    (tmp_path / "passphrase").chmod(0o600)
    refused = modos("c4gh", "keygen", tmp_path / "locked.sec", code=2)
    assert "C4GH_PASSPHRASE" in refused.stderr and not (tmp_path / "locked.sec").exists()
    modos("c4gh", "keygen", "--passphrase-file", tmp_path / "passphrase", tmp_path / "locked.sec")
    assert stat.S_IMODE(os.stat(tmp_path / "locked.sec").st_mode) == 0o600
    modos("c4gh", "encrypt", "-p", tmp_path / "locked.pub", ex, "data/demo2")
    for environment, code in (({}, 4), ({"C4GH_PASSPHRASE": "wrong"}, 4), ({"C4GH_PASSPHRASE": "correct horse"}, 0)):
        result = modos("stream", "-c", "--secret-key", tmp_path / "locked.sec", ex / "demo2.bam", code=code, **environment)
        assert "correct horse" not in result.stderr and "wrong\n" not in result.stderr
    modos("c4gh", "decrypt", "-s", tmp_path / "locked.sec", "--passphrase-file", tmp_path / "passphrase", ex)


def test_a_passphrase_file_goes_wherever_a_secret_key_does(ex, tmp_path):
    phrase, key = tmp_path / "passphrase", tmp_path / "me.sec"
    phrase.write_text("correct horse\n")
    phrase.chmod(0o600)
    modos("c4gh", "keygen", "--passphrase-file", phrase, key)
    wanted = {command: modos(*command, ex / "demo2.bam").stdout for command in (("stream", "-c"), ("coverage",))}
    modos("c4gh", "encrypt", "-p", tmp_path / "me.pub", ex)
    unlock = "--secret-key", key, "--passphrase-file", phrase
    for command, told in wanted.items():
        assert modos(*command, *unlock, ex / "demo2.bam").stdout == told
    modos("check", *unlock, ex)
    refused = modos("c4gh", "recipients", "--passphrase-file", phrase, ex, code=2)
    assert "--secret-key" in refused.stderr
    for path in (phrase, key):
        path.chmod(0o644)
        refused = modos("stream", "-c", *unlock, ex / "demo2.bam", code=4)
        assert "0644" in refused.stderr and f"hint: chmod 600 {path}" in refused.stderr and refused.stdout == ""
        path.chmod(0o600)


def test_every_command_with_a_secret_key_takes_a_passphrase_file():
    def walk(command, name=()):
        for word, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*name, word))
        yield name, {p.name for p in command.params}

    everything = dict(walk(typer.main.get_command(app)))
    assert not any("passphrase" in names for names in everything.values()), "everybody can see what is on a command line"
    commands = {name: names for name, names in everything.items() if "secret_key" in names}
    assert len(commands) >= 9
    assert [name for name, names in commands.items() if "passphrase_file" not in names] == []


def test_every_function_with_a_secret_key_takes_a_passphrase():
    """Where the key may be given as its file."""
    found = {}
    for module in pkgutil.walk_packages(modos_package.__path__, "modos."):
        for name, thing in vars(importlib.import_module(module.name)).items():
            for label, function in ([(name, thing), *((f"{name}.{n}", f) for n, f in vars(thing).items())]
                                    if inspect.isclass(thing) else [(name, thing)]):
                if (inspect.isfunction(function) and not function.__module__.startswith("modos.cli")
                        and not label.rpartition(".")[2].startswith("_")):
                    keys = [p for p in inspect.signature(function).parameters.values()
                            if "SecretKey" in str(p.annotation) and "Path" in str(p.annotation)]
                    if keys:
                        found[label] = "passphrase" in inspect.signature(function).parameters
    assert {"EncryptedFiles.share", "MODO.find_problems", "as_secret_key"} <= {*found} and len(found) >= 10
    assert [name for name, has in found.items() if not has] == []


@pytest.mark.parametrize(("typed", "environment", "words"), [
    (["", ""], None, "empty"), (["a", "b"], None, "differ"), ([], "", "empty"),
])
def test_no_passphrase_has_to_be_said(typed, environment, words, monkeypatch):
    """Enter alone on the terminal, or an empty variable, makes no open key."""
    from modos.cli import secrets
    from modos.errors import InvalidInputError

    monkeypatch.delenv("C4GH_PASSPHRASE", raising=False)
    if environment is not None:
        monkeypatch.setenv("C4GH_PASSPHRASE", environment)
    monkeypatch.setattr(secrets, "is_terminal", lambda: True)
    monkeypatch.setattr(secrets.getpass, "getpass", lambda prompt: typed.pop(0))
    with pytest.raises(InvalidInputError, match=words) as caught:
        secrets.new_passphrase(None)
    assert words != "empty" or "--no-passphrase" in caught.value.hint
    assert secrets.new_passphrase(None, none=True) is None


def test_no_passphrase_has_to_be_said_in_a_file_too(tmp_path):
    (tmp_path / "empty").touch(0o600)
    for more, words in (((), "--no-passphrase"), (("--no-passphrase",), "do not go together")):
        refused = modos("c4gh", "keygen", "--passphrase-file", tmp_path / "empty", *more, tmp_path / "me.sec", code=2)
        assert words in refused.stderr
    assert "--no-passphrase" in modos("c4gh", "keygen", tmp_path / "me.sec", code=2, C4GH_PASSPHRASE="").stderr
    assert not (tmp_path / "me.sec").exists()


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
