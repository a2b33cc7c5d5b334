"""No file of one object is given out under the name of another, and no server answers under a stranger's name."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess

import pytest
import requests

from modos.api import MODO
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands


@pytest.fixture(scope="module")
def root(tmp_path_factory, example):
    """Objects `secret/ex` and `open/ex`; links of the second lead to the first, to itself, and out of the folder."""
    folder = tmp_path_factory.mktemp("linked")
    for name in ("secret", "open"):
        shutil.copytree(example / "ex", folder / name / "ex")
    mine = folder / "open/ex"
    (mine / "demo2.bam").rename(mine / "kept.bam")
    os.symlink("kept.bam", mine / "demo2.bam")
    for name in ("demo1.cram", "demo1.cram.crai"):
        (mine / name).unlink()
        os.symlink(folder / "secret/ex" / name, mine / name)
    os.symlink("../secret/ex", folder / "open/alias")
    (folder / "open/root").mkdir()
    os.symlink("../../secret/ex/data.zarr", folder / "open/root/data.zarr")
    return folder


@pytest.fixture(scope="module")
def url(root):
    rules = Rules((Rule(frozenset({"anyone"}), read=("open",)),))
    with BackgroundServer(create_app(open_storage(root), access=Access(rules=rules))) as server:
        yield server.url


@pytest.mark.parametrize(
    "path",
    [
        "/files/open/ex/demo1.cram",
        "/files/open/ex/demo1.cram.crai",
        "/files/open/alias/demo1.cram",
        "/files/open/alias/demo2.bam",
        "/files/open/alias/data.zarr/zarr.json",
        "/files/open/root/data.zarr/zarr.json",
        "/files/open/root/demo2.bam",
        "/htsget/reads/open/ex/demo1",
        "/htsget/reads/open/ex/demo1?referenceName=chr1",
        "/htsget/reads/open/alias/demo2",
        "/htsget/reads/open/root/demo2",
    ],
)
def test_links_do_not_lead_into_another_object(url, path):
    answer = requests.get(url + path, timeout=20)
    assert answer.status_code == 404, answer.text[:200]
    assert "secret" not in answer.text


def test_links_within_an_object_are_followed(url, root):
    assert requests.get(f"{url}/files/open/ex/demo2.bam", timeout=20).content == (root / "open/ex/kept.bam").read_bytes()
    assert requests.get(f"{url}/htsget/reads/open/ex/demo2?referenceName=chr1", timeout=20).status_code == 200


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    os.symlink(root / "open", tmp_path / "served")
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:
        assert requests.get(f"{server.url}/files/ex/demo2.bam", timeout=20).status_code == 200


def test_a_served_object_may_have_links_of_its_own(root):
    with BackgroundServer(create_app(open_storage(root / "open/ex"))) as server:
        assert requests.get(f"{server.url}/files/demo2.bam", timeout=20).status_code == 200
        assert requests.get(f"{server.url}/files/demo1.cram", timeout=20).status_code == 404


def test_what_is_linked_is_not_listed(url):
    paths = [item["path"] for item in requests.get(f"{url}/meta", timeout=20).json()["data"]]
    assert paths == ["open/ex"]


@pytest.mark.sweep(5)
@pytest.mark.parametrize(
    ("host", "status"),
    [
        (None, 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("x.localhost", 200),
        ("modos.example.org", 200),
        ("modos.example.org:443", 200),
        ("evil.example.org", 421),
        ("evil.example.org:8080", 421),
        ("localhost.evil.example.org", 421),
        ("127.0.0.1.evil.org", 421),
        ("", 421),
        ("0.0.0.0:80", 200),
        ("10.0.0.1", 200),
        ("[::ffff:127.0.0.1]:80", 200),
        ("[evil]", 421),
        ("localhost@evil.org", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/list", "/files/ex/data.zarr/zarr.json", "/metrics"])
def test_a_page_whose_name_leads_here_gets_nothing(tmp_path, host, status, path):
    MODO.create(tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path), public_url="https://modos.example.org")) as server:
        answer = requests.get(server.url + path, headers={} if host is None else {"Host": host}, timeout=20)
    assert answer.status_code == status
    if status != 200:
        assert "public-url" in answer.json()["message"] and "ex" not in answer.json().get("data", "")


def test_the_machine_is_known_by_its_own_name(tmp_path):
    name = socket.gethostname()
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        found = [
            requests.get(server.url, headers={"Host": host}, timeout=20).status_code
            for host in (name, f"{name.upper()}:8080", name.partition(".")[0], f"{name}.evil.org", f"x.{name}")
        ]
    assert found == [200, 200, 200, 421, 421]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("listening", ["127.0.0.1", "::", "0.0.0.0"])
def test_a_server_on_all_addresses_knows_the_loopback_one(tmp_path, listening):
    """Also where a socket of IPv6 takes what comes by IPv4; and it answers at the address that it says it has."""
    served = commands.start(
        ["serve", tmp_path, "--host", listening, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = re.search(r"http://\S+:(\d+)", served.stderr.readline())
        for address in ("127.0.0.1", "[::1]") if listening == "::" else ("127.0.0.1",):
            here = f"http://{address}:{url[1]}/list"
            assert requests.get(here, timeout=20).status_code == 200
            assert requests.get(here, headers={"Host": "evil.example.org"}, timeout=20).status_code == 421, address
        assert requests.get(f"{url[0]}/list", timeout=20).status_code == 200
    finally:
        served.terminate()
        served.wait(60)
        served.stderr.close()
