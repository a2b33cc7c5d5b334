"""`modos c4gh` as people use it: keys are safe, mistakes cost nothing, and what is printed is to the point."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import os
import pkgutil
import pty
import shutil
import stat
import subprocess
import sys

import pytest
import typer.main

import modos as modos_package
from modos.cli.app import app
from modos.encryption.keys import PublicKey, load_public_key
from tests.support import commands

pytestmark = pytest.mark.sweep(20)


def modos(*arguments, code=0, text=True, **environment):
    env = {k: v for k, v in os.environ.items() if k != "C4GH_PASSPHRASE"} | environment
    result = commands.run(arguments, capture_output=True, text=text, timeout=120, stdin=subprocess.DEVNULL, env=env)
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


@pytest.mark.core
def test_from_keys_to_a_region_and_back(ex, keys):
    before = contents(ex)
    wanted = modos("stream", "-c", "-r", "chr1:1-9,000", ex / "demo1.cram").stdout
    assert "5 files" in modos("c4gh", "encrypt", "-p", keys / "me.pub", ex).stderr
    assert "nothing to do" in modos("c4gh", "encrypt", "-p", keys / "me.pub", ex).stderr
    assert not {name for name in contents(ex) if name.endswith((".cram", ".bam", ".bcf", ".vcf.gz"))}
    assert modos("stream", "-c", "-r", "chr1:1-9,000", "--secret-key", keys / "me.sec", ex / "demo1.cram").stdout == wanted
    refused = modos("stream", "-c", "-r", "chr1", ex / "demo1.cram", code=4)
    assert "encrypted" in refused.stderr and "--secret-key" in refused.stderr
    modos("stream", "-c", "-r", "chr1", "--secret-key", keys / "her.sec", ex / "demo1.cram", code=6)
    assert "5 files" in modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    told = json.loads(modos("c4gh", "recipients", "-s", keys / "her.sec", "--json", ex).stdout)
    assert {name: (entry["packets"], entry["opens"]) for name, entry in told.items()} == dict.fromkeys(
        ["data/calls", "data/cohort", "data/demo1", "data/demo2", "reference/reference1"], (2, True)
    )
    assert modos("c4gh", "recipients", "-s", keys / "her.sec", ex).stdout.count("\n  SHA256:") == 10
    assert "whole" in modos("c4gh", "verify", "-s", keys / "her.sec", ex).stderr
    modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", ex, code=6)
    modos("c4gh", "revoke", "--rotate", "-s", keys / "me.sec", "-p", keys / "me.pub", ex, code=2)
    assert "5 files" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert "nothing to do" in modos("c4gh", "decrypt", "-s", keys / "me.sec", ex).stderr
    assert sorted(contents(ex).values()) == sorted(before.values())
    modos("check", ex)


def test_what_is_said_of_packets_that_nobody_can_tell_whose_they_are(ex, keys, example):
    """Here one more than the recipients in the metadata, and all of them of a file that somebody else has sealed."""
    theirs = ex.parent / "theirs.bam.c4gh"
    package = [sys.executable, "-m", "crypt4gh", "encrypt", "--recipient_pk", keys / "me.pub", "--recipient_pk", keys / "her.pub"]
    theirs.write_bytes(
        subprocess.run(package, input=(example / "ex/demo2.bam").read_bytes(), capture_output=True, check=True).stdout
    )
    shutil.copy(example / "ex/demo2.bam.bai", ex.parent / "theirs.bam.bai")
    described = ("-e", '{"id": "theirs", "@type": "AlignmentSet"}', "-s", theirs)
    refused = modos("add", ex, "data", *described, code=4)
    assert "theirs.bam.bai is not sealed" in refused.stderr and "--secret-key" in refused.stderr
    modos("add", ex, "data", *described, "--secret-key", keys / "me.sec")
    assert (ex / "theirs.bam.bai.c4gh").is_file() and not (ex / "theirs.bam.bai").exists()
    told = modos("c4gh", "recipients", ex).stdout
    assert told == "data/theirs: 2 packets, 0 recorded recipients; it cannot be said whose 2 of them are\n"
    told = modos("c4gh", "recipients", "-s", keys / "me.sec", ex).stdout
    assert told.startswith(
        "data/theirs: 2 packets, 0 recorded recipients; it cannot be said whose one of them is  (the key opens it)\n"
    )
    entry = json.loads(modos("c4gh", "recipients", "-s", keys / "me.sec", "--json", ex).stdout)["data/theirs"]
    assert (entry["packets"], entry["opened_packets"], entry["unknown_packets"], entry["sender"]) == (2, 1, 1, None)
    modos("c4gh", "keygen", "--no-passphrase", keys / "third.sec")
    shared = modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "third.pub", ex, "data/theirs").stderr
    assert "1 packet of an unknown recipient stays" in shared and "shared 1 file" in shared
    revoked = modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    assert "1 packet of an unknown recipient was removed as well" in revoked and "revoked for 1 file" in revoked
    again = modos("c4gh", "revoke", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr
    assert "every packet is yours or of a recorded recipient" in again
    modos("c4gh", "verify", "-s", keys / "third.sec", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", ex, code=6)
    modos("check", ex)


def test_what_is_plain_is_said_to_be(ex, keys):
    """Nobody is told that they are recipients of it, or that it is of a sender."""
    modos("c4gh", "encrypt", "-p", keys / "me.pub", ex, "demo1")
    for command in (("share", "-p", keys / "her.pub"), ("revoke", "-p", keys / "her.pub"), ("decrypt",), ("verify",)):
        assert f"not encrypted in {ex}: demo2" in modos("c4gh", *command, "-s", keys / "me.sec", ex, "demo2").stderr
    by_me = ("--sender", keys / "me.pub")
    assert "nothing says who sent it" in modos("c4gh", "verify", "-s", keys / "me.sec", *by_me, ex, "demo2", code=6).stderr
    modos("c4gh", "decrypt", "-s", keys / "me.sec", ex)
    assert "nothing says who sent it" in modos("c4gh", "verify", "-s", keys / "me.sec", *by_me, ex, code=6).stderr
    assert "no file of" in modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "her.pub", ex).stderr


def test_files_are_encrypted_anew_without_anybody_being_taken_off(ex, keys):
    """As the hints of `check` and `stream` have it."""
    modos("c4gh", "encrypt", "-p", keys / "me.pub", "-p", keys / "her.pub", ex)
    body = (ex / "demo2.bam.c4gh").read_bytes()[-28:]
    assert "no recipient to take off" in modos("c4gh", "revoke", "-s", keys / "me.sec", ex, code=2).stderr
    assert "encrypted anew 5 files" in modos("c4gh", "revoke", "--rotate", "-s", keys / "me.sec", ex).stderr
    assert (ex / "demo2~2.bam.c4gh").read_bytes()[-28:] != body
    modos("c4gh", "verify", "-s", keys / "her.sec", "--sender", keys / "me.pub", ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", "--sender", keys / "her.pub", ex, code=6)
    assert "is whole" in modos("check", ex).stderr


def test_a_sender_is_asked_for_on_every_way(ex, keys):
    modos("c4gh", "encrypt", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    by_me, by_her = ("--sender", keys / "me.pub"), ("--sender", keys / "her.pub")
    reading = ("--secret-key", keys / "her.sec")
    for command in (
        ("stream", "-c", *reading),
        ("stream", "-c", "-r", "chr1:1-9,000", *reading),
        ("stream", "-H", *reading),
        ("coverage", "-r", "chr1:1-9,000", *reading),
    ):
        modos(*command, *by_me, ex / "demo2.bam")
        modos(*command, *by_her, *by_me, ex / "demo2.bam")
        refused = modos(*command, *by_her, ex / "demo2.bam", code=6)
        assert "by that sender, but by SHA256:" in refused.stderr
    modos("c4gh", "verify", "-s", keys / "her.sec", *by_me, ex)
    modos("c4gh", "verify", "-s", keys / "her.sec", *by_her, ex, code=6)
    told = modos("c4gh", "recipients", "-s", keys / "her.sec", ex).stdout
    assert told.count("encrypted by SHA256:") == told.count("your packet was written by SHA256:") == 5
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
    assert "demo2.bam.c4gh does not have the header that is recorded" in modos("check", ex, code=6).stdout


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
            for label, function in (
                [(name, thing), *((f"{name}.{n}", f) for n, f in vars(thing).items())]
                if inspect.isclass(thing)
                else [(name, thing)]
            ):
                if (
                    inspect.isfunction(function)
                    and not function.__module__.startswith("modos.cli")
                    and not label.rpartition(".")[2].startswith("_")
                ):
                    keys = [
                        p
                        for p in inspect.signature(function).parameters.values()
                        if "SecretKey" in str(p.annotation) and "Path" in str(p.annotation)
                    ]
                    if keys:
                        found[label] = "passphrase" in inspect.signature(function).parameters
    assert {"EncryptedFiles.share", "Health.find_problems", "as_secret_key"} <= {*found} and len(found) >= 10
    assert [name for name, has in found.items() if not has] == []


@pytest.mark.parametrize(
    ("typed", "environment", "words"),
    [
        (["", ""], None, "empty"),
        (["a", "b"], None, "differ"),
        ([], "", "empty"),
    ],
)
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


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("keygen", "--no-passphrase", "me.sec"), 1, "exists already"),
        (("encrypt", "ex"), 2, "no recipient"),
        (("encrypt", "-p", "me.sec", "ex"), 2, "secret key"),
        (("encrypt", "-p", "none.pub", "ex"), 3, "none.pub"),
        (("encrypt", "-p", "me.pub", "nowhere"), 3, "nowhere"),
        (("encrypt", "-p", "me.pub", "ex", "data/none"), 3, "data/none"),
        (("encrypt", "-p", "me.pub", "ex", "sample/sample1"), 3, "no file"),
        (("decrypt", "ex"), 2, "secret-key"),
        (("decrypt", "-s", "me.pub", "ex"), 2, "public key"),
        (("share", "-s", "me.sec", "ex"), 2, "public-key"),
        (("encrypt", "-p", "ex/reference.fa", "ex"), 2, "not a public key"),
    ],
)
def test_mistakes_change_nothing(ex, keys, arguments, code, word, monkeypatch):
    monkeypatch.chdir(keys)
    before = contents(ex), contents(keys)
    result = modos("c4gh", *arguments, code=code)
    assert word in result.stderr and "Traceback" not in result.stderr and result.stdout == ""
    assert (contents(ex), contents(keys)) == before


def at_terminal(*arguments, answers="", **environment):
    """Run where somebody sits at a terminal; returns the exit code and what was shown."""
    master, slave = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "C4GH_PASSPHRASE"} | environment
    process = commands.start(arguments, stdin=slave, stderr=slave, stdout=subprocess.DEVNULL, env=env, close_fds=True)
    os.close(slave)
    os.write(master, answers.encode())
    shown = b""
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:  # Linux, when the other end is closed
            break
    os.close(master)
    return process.wait(timeout=60), shown.decode()


@pytest.fixture
def away(keys):
    """The public keys without the secret ones beside them."""
    (keys / "away").mkdir()
    for name in ("me", "her"):
        shutil.copy(keys / f"{name}.pub", keys / "away")
    return keys / "away"


def all_of(folder):
    """Every file and folder, with when it was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


ASKED = "Encrypt all the same?"


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_who_would_lock_themselves_out_is_asked_first(ex, away, answer, goes_on, tmp_path):
    before = all_of(ex)
    code, shown = at_terminal("c4gh", "encrypt", "-p", away / "her.pub", ex, answers=answer, HOME=str(tmp_path))
    assert "warning: no key at hand opens" in shown and ASKED in shown
    assert code == (0 if goes_on else 130) and "Traceback" not in shown
    assert (all_of(ex) == before) is not goes_on


def test_nothing_is_written_before_the_answer(ex, away, tmp_path):
    before, (master, slave) = all_of(ex), pty.openpty()
    process = commands.start(
        ["c4gh", "encrypt", "-p", away / "her.pub", ex],
        stdin=slave,
        stderr=slave,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    os.close(slave)
    shown = b""
    while ASKED.encode() not in shown:
        shown += os.read(master, 4096)
    assert all_of(ex) == before
    os.write(master, b"y\n")
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    assert process.wait(timeout=60) == 0 and b"encrypted 5 files" in shown and all_of(ex) != before


@pytest.mark.parametrize("options", [["--yes"], ["--keep"], ["-s", "me.sec"]])
def test_nobody_is_asked_where_that_is_settled(ex, away, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, shown = at_terminal("c4gh", "encrypt", "-p", away / "her.pub", *options, ex, HOME=str(tmp_path))
    assert code == 0 and ASKED not in shown and ("warning" in shown) is (options == ["--yes"])


def test_in_a_script_it_is_a_warning(ex, away, tmp_path):
    told = modos("c4gh", "encrypt", "-p", away / "her.pub", ex, HOME=str(tmp_path)).stderr
    assert "warning: no key at hand opens" in told and "--also-me" in told and "for 1 recipient\n" in told
    told = modos("c4gh", "encrypt", "-p", away / "her.pub", ex, HOME=str(tmp_path)).stderr
    assert "warning" not in told and "nothing to do" in told


def test_a_warning_is_no_status(ex, away, tmp_path):
    assert modos("-q", "c4gh", "encrypt", "-p", away / "her.pub", ex, HOME=str(tmp_path)).stderr.startswith("warning: ")


def place_key(keys, where, locked):
    """Put a key of mine somewhere, and say what the environment is then."""
    home, config = keys / "home", keys / "settings"
    folder = {
        "variable": keys / "elsewhere",
        "c4gh": home / ".c4gh",
        "modos": config / "keys",
        "xdg": home / "xdg/modos/keys",
        "beside": keys / "away",
    }[where]
    folder.mkdir(parents=True, exist_ok=True)
    if locked:
        modos("c4gh", "keygen", folder / "mine.sec", C4GH_PASSPHRASE="correct horse")
    else:
        modos("c4gh", "keygen", "--no-passphrase", folder / "mine.sec")
        if where != "beside":
            (folder / "mine.pub").rename(keys / "mine.pub")
    if locked or where == "beside":
        shutil.copy(folder / "mine.pub", keys / "mine.pub")
    settings = {"HOME": str(home), "MODOS_CONFIG_DIR": "" if where == "xdg" else str(config)}
    if where == "xdg":
        settings["XDG_CONFIG_HOME"] = str(home / "xdg")
    if where == "variable":
        settings["MODOS_SECRET_KEY"] = str(folder / "mine.sec")
    return folder / "mine.pub" if where == "beside" else keys / "mine.pub", settings


@pytest.mark.sweep(2)
@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("where", ["variable", "c4gh", "modos", "xdg", "beside"])
def test_a_key_at_hand_is_found_and_no_passphrase_asked(ex, away, keys, where, locked):
    public, settings = place_key(keys, where, locked)
    code, shown = at_terminal("c4gh", "encrypt", "-p", public, "-p", away / "her.pub", ex, "data/demo2", **settings)
    assert code == 0 and "warning" not in shown and "assphrase" not in shown and "2 recipients, you among them" in shown
    code, shown = at_terminal("c4gh", "encrypt", "-p", away / "her.pub", ex, "data/demo1", answers="n\n", **settings)
    assert code == 130 and ASKED in shown
    if where == "beside":
        return
    code, shown = at_terminal("c4gh", "encrypt", "-p", away / "her.pub", "--also-me", ex, "data/demo1", **settings)
    assert code == 0 and "warning" not in shown and "2 recipients, you among them" in shown
    told = json.loads(modos("show", "--json", ex, "data/demo1").stdout)["data/demo1"]["recipients"]
    assert load_public_key(keys / "mine.pub") in [PublicKey(base64.b64decode(key)) for key in told] and len(told) == 2


def test_a_locked_key_without_its_public_half_tells_nothing(ex, away, keys):
    public, settings = place_key(keys, "modos", True)
    (keys / "settings/keys/mine.pub").unlink()
    assert "warning" in modos("c4gh", "encrypt", "-p", public, ex, "data/demo1", **settings).stderr
    assert "no key is at hand" in modos("c4gh", "encrypt", "--also-me", ex, code=3, **settings).stderr
    settings["MODOS_SECRET_KEY"] = str(keys / "nowhere.sec")
    assert "nowhere.sec" in modos("c4gh", "encrypt", "--also-me", ex, code=3, **settings).stderr


def test_of_several_keys_none_is_taken(ex, keys):
    folder = keys / "home/.c4gh"
    folder.mkdir(parents=True)
    for name in ("me", "her"):
        shutil.copy(keys / f"{name}.sec", folder)
    before = contents(ex)
    assert "several keys" in modos("c4gh", "encrypt", "--also-me", ex, code=2, HOME=str(keys / "home")).stderr
    assert contents(ex) == before


def test_the_senders_key_is_a_recipients_key_too(ex, away, keys):
    modos("c4gh", "encrypt", "-p", away / "her.pub", "-s", keys / "me.sec", ex, "data/demo1")
    modos("c4gh", "verify", "-s", keys / "me.sec", ex)
    told = modos(
        "c4gh", "encrypt", "-p", away / "her.pub", "-s", keys / "me.sec", "--no-also-me", ex, "data/demo2", HOME=str(keys)
    ).stderr
    assert "warning" in told and "for 1 recipient\n" in told
    opens = json.loads(modos("c4gh", "recipients", "-s", keys / "me.sec", "--json", ex).stdout)
    assert (opens["data/demo1"]["opens"], opens["data/demo2"]["opens"]) == (True, False)
    assert "for 1 recipient, you\n" in modos("c4gh", "encrypt", "-s", keys / "me.sec", ex, "data/calls").stderr


def test_what_is_encrypted_for_others_is_shared_not_encrypted(ex, keys):
    modos("c4gh", "encrypt", "-p", keys / "me.pub", ex, "data/demo1")
    before = contents(ex)
    refused = modos("c4gh", "encrypt", "-p", keys / "her.pub", ex, code=2).stderr
    assert "data/demo1" in refused and "modos c4gh share" in refused and contents(ex) == before
    assert "encrypted 4 files" in modos("c4gh", "encrypt", "-p", keys / "me.pub", ex).stderr
    modos("c4gh", "encrypt", "-p", keys / "her.pub", ex, code=2)
    modos("c4gh", "share", "-s", keys / "me.sec", "-p", keys / "her.pub", ex)
    assert "nothing to do" in modos("c4gh", "encrypt", "-p", keys / "her.pub", ex).stderr


def test_an_update_says_what_became_of_the_file(ex, keys, example):
    modos("c4gh", "encrypt", "-p", keys / "me.pub", "-p", keys / "her.pub", ex)
    before = contents(ex)
    same = modos("update", ex, "demo2", "-s", example / "ex/demo2.bam").stderr
    assert same.startswith("nothing to change: data/demo2") and contents(ex) == before
    told = modos("update", ex, "demo2", "-s", example / "ex/demo1.cram", "-e", '{"data_path": "other.cram"}').stderr
    assert "encrypted for its 2 recipients" in told and not list(ex.glob("*.cram")) and not list(ex.glob("*.crai"))
    modos("check", "--thorough", "--secret-key", keys / "her.sec", ex)
    assert "encrypted" not in modos("update", ex, "demo2", "--plain", "-s", example / "ex/demo2.bam").stderr
    assert (ex / "demo2.bam").read_bytes() == (example / "ex/demo2.bam").read_bytes()
    assert "--source" in modos("update", ex, "demo2", "--plain", "-e", "{}", code=2).stderr
    (keys / "x.bam.c4gh").write_bytes(b"no such thing")
    assert "no whole Crypt4GH file" in modos("add", ex, "data", "-e", '{"id": "x"}', "-s", keys / "x.bam.c4gh", code=6).stderr
    (ex / "demo1.cram.c4gh").write_bytes(b"crypt4gh" + bytes((ex / "demo1.cram.c4gh").stat().st_size - 8))
    assert "seal     data/demo1" in modos("check", ex, code=6).stdout


def test_help_has_examples():
    for command in ("keygen", "encrypt", "decrypt", "share", "revoke", "recipients", "verify"):
        assert modos("c4gh", command, "--help").stdout.count("modos c4gh") >= 2
