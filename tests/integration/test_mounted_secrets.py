"""Secrets as a cluster mounts them: files of root's for the group of the service, behind links that are replaced all at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from modos.encryption.keys import generate
from modos.encryption.text_seal import TextSeal
from modos.errors import AccessError
from modos.server import access_file
from modos.server.access_file import read_tokens
from modos.server.auth import Access
from modos.server.rules import Caller
from modos.server.run import load_served_key
from tests.support.people import open_way, run_as

SERVICE = 61_010  # user and group
TOKEN, OTHER = "alices-token-of-many-letters", "another-token-of-many-letters"
RULES = 'tokens = "tokens"\n[oidc]\nissuer = "https://login.example.org"\naudience = "modos"\nclient_id = "modos"\n'
RULES += 'client_secret_file = "client-secret"\n[[rule]]\nwho = ["user:alice"]\nread = ["%s"]\n'
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to a service")


def mount(folder: Path, files: dict[str, str], mode: int = 0o440, owner: int = 0) -> None:
    """Have files in a folder as the kubelet does: data, a link to it that is replaced, and links through that."""
    folder.mkdir(exist_ok=True)
    data = folder / f"..{len(list(folder.iterdir()))}"
    data.mkdir()
    for name, text in files.items():
        (data / name).write_text(text)
        os.chown(data / name, owner, SERVICE)
        (data / name).chmod(mode)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(data.name)
    (folder / "..new").rename(folder / "..data")
    for one in (folder, data):
        os.chown(one, 0, SERVICE)
        one.chmod(0o2750)


@pytest.fixture
def folder(tmp_path) -> Path:
    open_way(tmp_path)
    return tmp_path / "mounted"


def test_the_service_reads_what_root_gives_to_its_group(folder, tmp_path):
    files = {"access.toml": RULES % "lab", "tokens": f"alice {TOKEN}\n", "client-secret": "s3cret\n", "session-key": "a" * 64}
    generate(tmp_path / "server.sec", tmp_path / "server.pub", None)
    mount(folder, files | {"server.sec": (tmp_path / "server.sec").read_text()})

    def serve() -> None:
        access = Access.from_file(folder / "access.toml")
        assert access.identify(f"Bearer {TOKEN}") == Caller("alice")
        assert TextSeal.from_file(folder / "session-key") and load_served_key(str(folder / "server.sec"), None)

    run_as(SERVICE, serve)


@pytest.mark.parametrize(
    ("mode", "owner"),
    [(0o444, 0), (0o460, 0), (0o644, 0), (0o442, 0), (0o440, SERVICE), (0o640, SERVICE), (0o404, SERVICE)],
    ids=lambda value: oct(value) if value != SERVICE else "own",
)
def test_tokens_that_others_can_read_are_refused(folder, mode, owner):
    """Also its own file for its group: nobody but root gives a file to a service."""
    mount(folder, {"tokens": f"alice {TOKEN}\n"}, mode, owner)

    def read() -> None:
        with pytest.raises(AccessError, match=re.escape(f"others can read the token file {folder}/tokens")):
            read_tokens(folder / "tokens")

    run_as(SERVICE, read)


def test_root_itself_is_given_nothing(folder):
    mount(folder, {"tokens": f"alice {TOKEN}\n"})
    with pytest.raises(AccessError):
        read_tokens(folder / "tokens")


def test_what_is_replaced_is_read_anew_and_all_at_once(folder, monkeypatch):
    monkeypatch.setattr(access_file, "_NEW", 0.0)
    files = {"access.toml": RULES % "lab", "tokens": f"alice {TOKEN}\n", "client-secret": "s3cret\n"}
    mount(folder, files)

    def serve() -> None:
        access = Access.from_file(folder / "access.toml")
        into.write("read")
        into.flush()
        assert replaced.read(1) == "y"
        access._file._looked = 0.0
        assert access.is_due()
        access.refresh()
        assert access.identify(f"Bearer {OTHER}") == Caller("alice")
        assert access.allows(Caller("alice"), "read", "elsewhere") and not access.allows(Caller("alice"), "read", "lab")

    told, telling = os.pipe()
    waiting, done = os.pipe()
    with open(told) as came, open(telling, "w") as into, open(waiting) as replaced, open(done, "w") as replacing:
        child = os.fork()
        if child == 0:
            try:
                run_as(SERVICE, serve)
                os._exit(0)
            finally:
                os._exit(1)
        assert came.read(4) == "read"
        mount(folder, files | {"access.toml": RULES % "elsewhere", "tokens": f"alice {OTHER}\n"})
        replacing.write("y")
        replacing.flush()
        assert os.waitpid(child, 0)[1] == 0
