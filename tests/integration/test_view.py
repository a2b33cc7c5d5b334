"""`modos view` shows, to who has the token alone, an object as if what the key opens were plain."""

from __future__ import annotations

import base64
import html
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey, generate, load_secret_key
from modos.errors import InvalidInputError, NotFoundError
from modos.gateway import open_view
from modos.gateway.plain_view import OpenedObject, PlainView
from modos.object.address import ObjectAddress
from modos.object.commits import load
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.tracks import open_genome
from modos.server.pages.commands_shown import Writing
from modos.server.pages.own_object import OpenedData, OwnObject
from tests.support.commands import MODOS
from tests.support.genome_view import make_object, write_sources
from tests.support.waiting import wait_until

TIMEOUT = 60
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "me.sec", folder / "me.pub", None)
    return folder


@pytest.fixture(scope="module")
def objects(example, keys, tmp_path_factory):
    """The demo's object with a track, plain and sealed."""
    folder = tmp_path_factory.mktemp("objects")
    shutil.copytree(example / "ex", folder / "plain")
    modo = MODO.open(folder / "plain")
    modo.add_genome(example / "source/reference.fa", id="grid")
    lines = "".join(f"chr1\t{at}\t{at + 10}\t{at % 97}\n" for at in range(0, 50_000, 10))
    (folder / "signal.bedGraph").write_text(lines)
    modo.add_track("signal", folder / "signal.bedGraph")
    shutil.copytree(folder / "plain", folder / "sealed")
    MODO.open(folder / "sealed").encrypt(keys / "me.pub")
    return folder


@pytest.fixture(scope="module", params=["folder", "S3"])
def view(request, objects, keys):
    where = {"path": objects / "sealed"}
    if request.param == "S3":
        stack = request.getfixturevalue("stack")
        where = {"path": f"s3://{BUCKET}/viewed/sealed", "services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
        MODO.open(objects / "sealed").upload(where["path"], services=where["services"], s3_kwargs=CREDENTIALS)
    with open_view(**where, secret_key=keys / "me.sec") as opened:
        yield opened


@pytest.fixture
def session(view):
    """Somebody who came by the address."""
    session = requests.Session()
    session.get(view.address(), timeout=TIMEOUT).raise_for_status()
    return session


def test_only_the_token_lets_in_and_it_is_gone_from_the_address(view):
    for path in ("/", "/list", "/objects/sealed", "/files/sealed/demo2.bam", "/healthz", "/metrics", "/assets/pages.css"):
        assert requests.get(view.url + path, timeout=TIMEOUT).status_code == 403
        assert requests.get(f"{view.url}{path}?token=wrong", timeout=TIMEOUT).status_code == 403
    session = requests.Session()
    answer = session.get(view.address("demo1", "chr1:1-100"), timeout=TIMEOUT)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "token" not in answer.text
    lead = re.search(r'content="0;url=([^"]*)"', answer.text)[1].replace("&amp;", "&")
    assert lead == "/genome?element=sealed%2Fdata%2Fdemo1&locus=chr1%3A1-100"
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
    assert session.get(view.url + lead, headers=HTML, timeout=TIMEOUT).status_code == 200


def test_pages_of_others_are_refused_though_the_browser_has_the_cookie(view, session):
    for headers in (
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert session.get(view.url + "/list", headers=headers, timeout=TIMEOUT).status_code == 403
    assert session.get(view.url + "/list", headers={"Host": "evil.example"}, timeout=TIMEOUT).status_code == 421
    assert session.get(view.url + "/list", headers={"Origin": view.url, "Sec-Fetch-Site": "same-origin"}, timeout=TIMEOUT).ok


@pytest.mark.parametrize("other", ['x={"a":1}', "a b=c", "na[me=1", "consent", "=", "x=\xe9"])
def test_cookies_of_other_servers_of_this_machine_lock_nobody_out(view, session, other):
    (own,) = [f"{cookie.name}={cookie.value}" for cookie in session.cookies]
    for given, status in ((f"{other}; {own}", 200), (f"{own}; {other}", 200), (other, 403), (f"{own}; {own}x", 403)):
        headers = HTML | {"Cookie": given.encode("latin-1")}
        assert requests.get(f"{view.url}/objects/{view.name}", headers=headers, timeout=TIMEOUT).status_code == status


def test_files_are_plain_by_range_and_as_a_whole(view, session, example):
    for file in ("demo2.bam", "demo2.bam.bai", "reference.fa", "calls.vcf.gz"):
        data = (example / "source" / file).read_bytes()
        assert session.get(f"{view.url}/files/sealed/{file}", timeout=TIMEOUT).content == data
        part = session.get(f"{view.url}/files/sealed/{file}", headers={"Range": "bytes=20-99"}, timeout=TIMEOUT)
        assert (part.status_code, part.content) == (206, data[20:100])


@pytest.mark.skipif(not shutil.which("samtools"), reason="no samtools")
def test_regions_by_htsget_are_those_of_samtools(view, session, example, tmp_path):
    for kind, name, program in (
        ("reads", "demo2", "samtools"),
        ("reads", "demo1", "samtools"),
        ("variants", "calls", "bcftools"),
    ):
        url = f"{view.url}/htsget/{kind}/sealed/{name}?referenceName=chr1&start=20000&end=25000"
        ticket = session.get(url, timeout=TIMEOUT).json()["htsget"]
        body = b"".join(
            base64.b64decode(block["url"].partition(",")[2])
            if block["url"].startswith("data:")
            else session.get(block["url"], headers=block.get("headers"), timeout=TIMEOUT).content
            for block in ticket["urls"]
        )
        reference = ["-T", str(example / "source/reference.fa")] if program == "samtools" else []
        source = next(path for path in (example / "source").glob(f"{name}.*") if path.suffix in (".cram", ".bam", ".gz"))
        records, expected = (
            subprocess.run(
                [program, "view", *reference, place, *more], input=given, capture_output=True, check=True
            ).stdout.splitlines()
            for place, more, given in (
                ("-", [], body),
                (str(source), ["chr1:20001-25000"] if program == "samtools" else ["-r", "chr1:20001-25000", "-H"], b""),
            )
        )
        assert set(expected) <= set(records)


def test_the_metadata_are_those_of_a_plain_object(view, session, objects):
    document = Document.from_bytes(
        session.get(f"{view.url}/files/sealed/data.zarr/zarr.json", timeout=TIMEOUT).content, "", "the view"
    )
    attributes = document.element("data/demo2")
    assert attributes["data_path"] == "demo2.bam" and attributes["data_size"] == (objects / "plain/demo2.bam").stat().st_size
    assert not {"recipients", "seal_digest", "header_digests", "plain_size"} & set(attributes)
    assert not document.sealed_arrays()
    page = session.get(f"{view.url}/objects/sealed", headers=HTML, timeout=TIMEOUT)
    assert page.status_code == 200 and "demo2.bam" in page.text


def test_tracks_are_read_as_plain_ones(objects, keys):
    """The view has the arrays where a plain object has them: what opens those opens these."""
    key = load_secret_key(keys / "me.sec")
    sealed = PlainView(OpenedObject(OpenObject(ObjectAddress(objects / "sealed")), key), "sealed").child("sealed")
    expected = MODO.open(objects / "plain").genome["chr1"][100:2_000, "signal"]
    genome = open_genome(sealed, load(sealed))
    np.testing.assert_array_equal(genome["chr1"][100:2_000, "signal"], expected)
    assert len(np.unique(expected)) > 50


def test_nothing_that_is_decrypted_lies_on_a_disk(keys, tmp_path, monkeypatch):
    """Neither the sequences of a CRAM nor genes: what programs read by a path leads to memory."""
    for folder in ("sources", "tmp", "cache"):
        (tmp_path / folder).mkdir()
    write_sources(tmp_path / "sources")
    make_object(tmp_path / "ex", tmp_path / "sources")
    MODO.open(tmp_path / "ex").encrypt(keys / "me.pub")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("REF_PATH", raising=False)
    asked = {
        "coverage/ex/data/packed": {"region": "chr1:1-1000", "bins": "10"},
        "slices/reads/ex/packed": {"format": "BAM", "referenceName": "chr1", "start": "0", "end": "1000"},
        "features/ex/data/reads": {"region": "chr1:1-9000"},
        "genes": {"q": "name1", "element": "ex/data/reads"},
        "bins/ex/data/signal": {"region": "chr1:1-1000", "size": "8"},
        "elements/ex/data/signal": {},
    }
    with open_view(tmp_path / "ex", secret_key=keys / "me.sec") as view:
        session = requests.Session()
        session.get(view.address(), timeout=TIMEOUT).raise_for_status()
        for path, params in asked.items():
            session.get(f"{view.url}/{path}", params=params, timeout=TIMEOUT).raise_for_status()
        files = [path for folder in ("tmp", "cache") for path in (tmp_path / folder).rglob("*") if path.is_file()]
        assert [path for path in files if not path.is_symlink() and path.stat().st_size] == []
        assert {path.name.split(".")[0] for path in files} >= {"bases", "gene", "exon"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_it_leaves_nothing_however_it_ends(keys, tmp_path, number, code):
    """Neither the folder that leads to sequences in memory nor the page with the token; also where its terminal is closed."""
    for folder in ("sources", "tmp"):
        (tmp_path / folder).mkdir()
    write_sources(tmp_path / "sources")
    make_object(tmp_path / "ex", tmp_path / "sources")
    MODO.open(tmp_path / "ex").encrypt(keys / "me.pub")
    command = [*MODOS, "view", tmp_path / "ex", "--secret-key", keys / "me.sec"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "BROWSER": "true"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        address = process.stdout.readline().strip()
        while "until" not in process.stderr.readline():
            pass
        session = requests.Session()
        session.get(address, timeout=TIMEOUT).raise_for_status()
        asked = f"{address.partition('/objects')[0]}/coverage/ex/data/packed"
        session.get(asked, params={"region": "chr1:1-1000", "bins": "10"}, timeout=TIMEOUT).raise_for_status()
        assert any((tmp_path / "tmp").rglob("bases.fa"))
        process.send_signal(number)
        assert process.wait(TIMEOUT) == code
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture(scope="module")
def trees(keys, tmp_path_factory):
    """An object with two trees, one for the key and one for another, and the numbers in them."""
    zarr = pytest.importorskip("zarr")
    folder = tmp_path_factory.mktemp("trees")
    modo = MODO.create(folder / "ex", id="ex")
    numbers = np.random.default_rng(3).integers(0, 1000, (300, 70)).astype("float64")
    for id, recipient in (("mine", keys / "me.pub"), ("others", SecretKey.random().public)):
        tree = zarr.open_group(folder / f"{id}.zarr", mode="w")
        tree.create_array("deep/X", data=numbers, chunks=(64, 64))
        modo.add_element({"@type": "DataEntity", "id": id}, folder / f"{id}.zarr")
        modo.encrypt([recipient], elements=[f"data/{id}"])
    return folder / "ex"


def test_an_encrypted_tree_shows_its_shape_and_its_numbers(trees, keys, tmp_path):
    shutil.copytree(trees, tmp_path / "plain")
    MODO.open(tmp_path / "plain").decrypt(keys / "me.sec", elements=["data/mine"])
    expected = MODO.open(tmp_path / "plain")["data/mine"].to_zarr()["deep/X"][:12, :12]
    with open_view(trees, secret_key=keys / "me.sec") as view:
        session = requests.Session()
        session.get(view.address(), timeout=TIMEOUT)
        page = session.get(f"{view.url}/elements/ex/data/mine", headers=HTML, timeout=TIMEOUT).text
        assert "300 × 70" in page and 'class="heat-map"' in page and "your key opens them" in page
        shown = re.search(r'<table class="numbers">(.*?)</table>', page, re.DOTALL)[1]
        assert re.findall(r'<td class="number">([^<]*)</td>', shown) == [f"{number:.0f}" for number in expected.ravel()]
        assert session.get(f"{view.url}/files/ex/mine.zarr/deep/X/zarr.json", timeout=TIMEOUT).status_code == 404
        closed = session.get(f"{view.url}/elements/ex/data/others", headers=HTML, timeout=TIMEOUT).text
        assert "heat-map" not in closed and "stay closed here" in closed and "not sealed for this key" in closed
        assert list(view.closed) == ["others.zarr"]
    with open_view(trees) as view:
        session = requests.Session()
        session.get(view.address(), timeout=TIMEOUT)
        page = session.get(f"{view.url}/elements/ex/data/mine", headers=HTML, timeout=TIMEOUT).text
        assert "heat-map" not in page and "stay closed here: there is no key" in page
        assert set(view.closed) == {"mine.zarr", "others.zarr"}


def test_a_damaged_tree_is_said_to_be_one(trees, keys, tmp_path):
    shutil.copytree(trees, tmp_path / "ex")
    body = max((tmp_path / "ex").glob("mine.zarr*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(body.read_bytes())
    data[len(data) // 4] ^= 1
    body.write_bytes(data)
    with open_view(tmp_path / "ex", secret_key=keys / "me.sec") as view:
        session = requests.Session()
        session.get(view.address(), timeout=TIMEOUT)
        page = session.get(f"{view.url}/elements/ex/data/mine", headers=HTML, timeout=TIMEOUT).text
        assert "it is damaged" in page and "heat-map" not in page


def test_commands_are_those_of_the_object_as_it_was_given(objects, trees, keys, monkeypatch):
    for place, names in ((objects / "sealed", ("demo1", "demo2", "calls", "signal")), (trees, ("mine",))):
        monkeypatch.chdir(place.parent)
        with open_view(place.name, secret_key=keys / "me.sec") as view:
            session = requests.Session()
            session.get(view.address(), timeout=TIMEOUT)
            for name in (None, *names):
                address = view.address(name).partition("?")[0]
                page = session.get(address, headers=HTML, timeout=TIMEOUT).text
                shell, python = (
                    html.unescape(re.search(rf'<pre id="copy-{kind}"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
                    for kind in ("shell", "python")
                )
                assert "127.0.0.1" not in shell + python and "remote download" not in shell
                assert f"MODO('{place.name}')" in python
                for line in shell.splitlines():
                    command = line.replace("KEY", str(keys / "me.sec")).replace("REGION", "chr1:20,001-20,100")
                    done = subprocess.run([*MODOS, *shlex.split(command)[1:]], capture_output=True, timeout=TIMEOUT)
                    assert done.returncode == 0, (command, done.stderr)
                code = python.replace("'KEY'", repr(str(keys / "me.sec"))).replace("REGION", "chr1:20,001-20,100")
                exec(code, {})


def test_commands_name_the_endpoint_that_was_given():
    own = OwnObject("s3://bucket/ex", "http://server:8000", True, OpenedData)
    writing = Writing(None, None, "ex", None, own)
    assert writing.command == "modos --endpoint http://server:8000"
    assert writing.opening == "MODO('s3://bucket/ex', endpoint='http://server:8000')"


def test_a_commit_of_somebody_else_is_seen(objects, keys, tmp_path):
    shutil.copytree(objects / "sealed", tmp_path / "sealed")
    with open_view(tmp_path / "sealed", secret_key=keys / "me.sec") as view:
        session = requests.Session()
        session.get(view.address(), timeout=TIMEOUT)
        (tmp_path / "x.tsv").write_text("a\t1\n")
        MODO.open(tmp_path / "sealed").add_element(
            {"id": "more", "@type": "DataEntity", "data_format": "TSV", "data_path": "more.tsv"}, tmp_path / "x.tsv"
        )
        assert session.get(f"{view.url}/files/sealed/more.tsv", timeout=TIMEOUT).content == b"a\t1\n"
        assert "data/more" in session.get(f"{view.url}/meta", timeout=TIMEOUT).text


def test_what_the_key_does_not_open_stays_closed_and_is_named(objects):
    for key in (None, SecretKey.random()):
        with open_view(objects / "sealed", secret_key=key) as view:
            assert {"demo1.cram", "demo2.bam"} <= set(view.closed)
            session = requests.Session()
            session.get(view.address(), timeout=TIMEOUT)
            assert b"BAM" not in session.get(f"{view.url}/files/sealed/demo2.bam", timeout=TIMEOUT).content[:4]
            assert session.get(f"{view.url}/objects/sealed", headers=HTML, timeout=TIMEOUT).status_code == 200


def test_an_object_gives_its_own_view_and_gateway(objects, keys, example):
    modo = MODO.open(objects / "sealed")
    with modo.view(secret_key=keys / "me.sec") as view:
        session = requests.Session()
        session.get(view.address("demo2"), timeout=TIMEOUT).raise_for_status()
        assert session.get(f"{view.url}/files/sealed/demo2.bam", timeout=TIMEOUT).content[:2] == b"\x1f\x8b"
    with modo.gateway(secret_key=keys / "me.sec") as gateway:
        got = requests.get(gateway.addresses["demo2.bam"], timeout=TIMEOUT).content
    assert got == (example / "source/demo2.bam").read_bytes()


def test_addresses(view):
    assert "/objects/sealed?token=" in view.address()
    assert (
        "/elements/sealed/data/demo1?token=" in view.address("demo1") == view.address("data/demo1") == view.address("demo1.cram")
    )
    with pytest.raises(NotFoundError):
        view.address("nothing")
    with pytest.raises(InvalidInputError, match="of what"):
        view.address(None, "chr1:1-10")


BROWSER = """#!/bin/sh
echo "$@" > "$TOLD/words"
ls -l "${1#file://}" > "$TOLD/mode"
cp "${1#file://}" "$TOLD/page"
"""


@pytest.mark.parametrize("words", [[], ["--no-browser"]], ids=["browser", "no browser"])
def test_the_command_opens_the_browser_without_telling_it_the_token(objects, keys, tmp_path, words):
    browser = tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"BROWSER": f"{browser} %s", "TOLD": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    command = [*MODOS, "view", objects / "sealed/demo1", "-r", "chr1:20,001-25,000", "--secret-key", keys / "me.sec", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as running:
        address = running.stdout.readline().strip()
        token = address.rpartition("token=")[2]
        assert address.startswith("http://127.0.0.1:") and "/genome?element=sealed%2Fdata%2Fdemo1&locus=" in address
        assert token not in Path(f"/proc/{running.pid}/cmdline").read_text() if sys.platform == "linux" else True
        if not words:
            wait_until(lambda: (tmp_path / "page").exists() and token in (tmp_path / "page").read_text())
        assert requests.get(address, timeout=TIMEOUT).ok
        begin = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=TIMEOUT)
        assert time.monotonic() - begin < 9 and running.returncode == 0, said  # of ten after which it gives up
    assert (tmp_path / "words").exists() == (not words)
    if not words:
        assert token not in (tmp_path / "words").read_text() and token in (tmp_path / "page").read_text()
        assert (tmp_path / "mode").read_text().startswith("-rw-------")
    assert list((tmp_path / "tmp").iterdir()) == []
