"""Access files that change while a server uses them: what was withdrawn ends, whatever happens on the way."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest

from modos.errors import InvalidInputError
from modos.genomics.region import Region
from modos.server import access_file
from modos.server.auth import Access
from modos.server.rules import Caller

BOB, EVE = Caller("bob"), Caller("eve")
TOKEN = "a-token-of-somebody-1"


def rule(name, more=""):
    return f'tokens = "tokens"\n{more}\n[[rule]]\nwho = ["user:{name}"]\nread = ["ex"]\n'


@pytest.fixture
def path(tmp_path):
    (tmp_path / "tokens").write_text(f"bob {TOKEN}\n")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "access.toml").write_text(rule("bob"))
    return tmp_path / "access.toml"


def look(access):
    """Look as the next request of another second does."""
    access._file._looked = 0.0
    if access.is_due():
        access.refresh()


def settle(access, monkeypatch):
    """Let the files be no new ones, as after some seconds."""
    monkeypatch.setattr(access_file, "_NEW", 0.0)
    look(access)


def test_a_half_written_file_is_not_read(path, monkeypatch):
    """Rules without the bounds that stand in their last line would give everything: a file is read when it is left alone."""
    access = Access.from_file(path)
    monkeypatch.setattr(access_file, "_NEW", 60.0)
    monkeypatch.setattr(access_file, "_PATIENCE", 60.0)
    whole = rule("eve") + 'regions = ["chr1:1-10"]\n'
    with open(path, "w") as file:
        file.write(rule("eve"))
        file.flush()
        look(access)
        assert not access.allows(EVE, "read", "ex")
        file.write(whole.removeprefix(rule("eve")))
    look(access)
    assert not access.allows(EVE, "read", "ex")
    settle(access, monkeypatch)
    assert access.admit(EVE, "ex/reads.bam")[0].regions == (Region("chr1", 0, 10),)


def test_files_that_go_on_changing_are_read(path, monkeypatch):
    """Somebody who writes a file again and again does not keep a withdrawn right alive."""
    access = Access.from_file(path)
    monkeypatch.setattr(access_file, "_PATIENCE", 0.5)
    for _ in range(4):
        path.write_text(rule("eve"))
        look(access)
        time.sleep(0.3)
    assert not access.allows(BOB, "read", "ex")


def test_settings_of_the_log_that_change_are_said_to_wait(path, monkeypatch, caplog):
    """Nobody is to think that a log is required from now on when it is not."""
    access = Access.from_file(path)
    settle(access, monkeypatch)
    path.write_text(rule("bob") + '[log]\nplace = "log"\nkey = "dpo.pub"\nrequired = true\n')
    look(access)
    assert access.log is None and "when the server is started again" in caplog.text


@pytest.mark.parametrize("name", ["panel.bed", "panel.tsv"])
def test_a_table_of_regions_that_was_cut_off_gives_no_whole_contig(path, tmp_path, name):
    """A row of which only the contig is left is none."""
    (tmp_path / name).write_text("chr1\t10\t20\nchr2")
    path.write_text(rule("bob", f'[panel.a]\nbed = "{name}"'))
    with pytest.raises(InvalidInputError):
        Access.from_file(path)


def test_a_named_file_that_comes_later_is_waited_for(path, tmp_path, monkeypatch, caplog):
    """Rules that name a BED which is written a moment later are used then; the log has the fault once."""
    access = Access.from_file(path)
    settle(access, monkeypatch)
    path.write_text(rule("eve", '[panel.new]\nbed = "new.bed"'))
    look(access)
    look(access)
    assert access.allows(BOB, "read", "ex")
    (tmp_path / "new.bed").write_text("chr1\t0\t10\n")
    look(access)
    assert not access.allows(BOB, "read", "ex") and access.allows(EVE, "read", "ex")
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_a_token_file_whose_mode_is_mended_is_used(path, tmp_path, monkeypatch):
    """Tokens that others could read are not taken, and are once they cannot: chmod changes no time or size."""
    access = Access.from_file(path)
    settle(access, monkeypatch)
    (tmp_path / "new").write_text(f"eve {TOKEN}\n")
    (tmp_path / "new").chmod(0o644)
    os.rename(tmp_path / "new", tmp_path / "tokens")
    look(access)
    assert access.identify(f"Bearer {TOKEN}").name == "bob"
    (tmp_path / "tokens").chmod(0o600)
    look(access)
    assert access.identify(f"Bearer {TOKEN}").name == "eve"


def test_a_change_of_the_same_time_and_size_is_seen(path):
    """A second write within a tick of the clock, of as many bytes, is found at a later look."""
    access = Access.from_file(path)
    facts = os.stat(path)
    with open(path, "r+") as file:
        file.write(rule("eve"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    time.sleep(0.6)
    look(access)
    assert not access.allows(BOB, "read", "ex") and access.allows(EVE, "read", "ex")


def test_files_that_are_swapped_by_a_link_are_read(path, tmp_path):
    """A folder of settings that is replaced by a link to another one, as Kubernetes does it, is read again."""
    for name, who in (("one", "bob"), ("two", "eve")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "access.toml").write_text(rule(who))
        (tmp_path / name / "tokens").write_text(f"{who} {TOKEN}\n")
        (tmp_path / name / "tokens").chmod(0o600)
    (tmp_path / "now").symlink_to("one")
    access = Access.from_file(tmp_path / "now" / "access.toml")
    (tmp_path / "next").symlink_to("two")
    os.rename(tmp_path / "next", tmp_path / "now")
    time.sleep(0.6)
    look(access)
    assert access.identify(f"Bearer {TOKEN}").name == "eve" and access.allows(EVE, "read", "ex")


def test_a_slow_reading_does_not_undo_a_quicker_one(path, monkeypatch):
    """While a first change is still being read, a second one is not overtaken by it."""
    access = Access.from_file(path)
    settle(access, monkeypatch)
    began, goes_on = threading.Event(), threading.Event()
    read_access = access_file.read_access

    def read_slowly(*args):
        found = read_access(*args)
        if not began.is_set():
            began.set()
            assert goes_on.wait(20)
        return found

    monkeypatch.setattr(access_file, "read_access", read_slowly)
    path.write_text(rule("bob") + "# more\n")
    first = threading.Thread(target=look, args=(access,))
    first.start()
    assert began.wait(20)
    path.write_text(rule("eve") + "# and more\n")
    look(access)
    goes_on.set()
    first.join()
    look(access)
    assert not access.allows(BOB, "read", "ex") and access.allows(EVE, "read", "ex")


def test_requests_do_not_wait_for_a_disk_that_hangs(path, monkeypatch):
    """Whether it is time to look is told without the disk, as that is asked where all requests pass."""
    access = Access.from_file(path)
    access._file._looked = float("-inf")
    monkeypatch.setattr(access_file, "_LOOKS", 3600.0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda *_, **__: pytest.fail("it asks the disk"))
        assert access.is_due() and not access.is_due()


def test_files_that_are_gone_are_found_when_they_are_back(path, tmp_path, monkeypatch):
    """A token file that vanishes leaves what it said; when it is back, and says another thing, that counts."""
    access = Access.from_file(path)
    settle(access, monkeypatch)
    os.rename(tmp_path / "tokens", tmp_path / "away")
    look(access)
    assert access.identify(f"Bearer {TOKEN}").name == "bob"
    (tmp_path / "away").write_text(f"eve {TOKEN}\n")
    os.rename(tmp_path / "away", tmp_path / "tokens")
    look(access)
    assert access.identify(f"Bearer {TOKEN}").name == "eve"
