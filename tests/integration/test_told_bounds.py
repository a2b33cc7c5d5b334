"""What is less than was asked for is said: to who asks, and to the log of who reads what."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import zlib

import pytest
import requests

from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

NAMES = ("anna", "bert", "carl", "dora")
RULES = """
tokens = "tokens"

[log]
place = "log"
key = "dpo.pub"

[[rule]]
who = ["user:anna"]
read = ["ex"]
samples = ["SAMPLE2", "SAMPLE99"]

[[rule]]
who = ["user:bert"]
read = ["ex"]
fields = ["QNAME", "FLAG"]
tags = []

[[rule]]
who = ["user:carl"]
read = ["ex"]
regions = ["chr1:1-1,000"]

[[rule]]
who = ["user:dora"]
read = ["ex"]
samples = ["SAMPLE2"]
regions = ["chr1:1-1,000"]
formats = ["GT"]
"""


@pytest.fixture(scope="module")
def served(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    shutil.copytree(example / "ex", folder / "data" / "ex")
    (folder / "tokens").write_text("".join(f"{name} {token(name)}\n" for name in NAMES))
    (folder / "tokens").chmod(0o600)
    commands.run(("c4gh", "keygen", "--no-passphrase", folder / "dpo.sec", folder / "dpo.pub"), check=True)
    (folder / "access.toml").write_text(RULES)
    access = Access.from_file(folder / "access.toml")
    with BackgroundServer(create_app(open_storage(folder / "data"), access=access, read_log=access.log.open())) as server:
        yield server.url, folder


def token(name):
    return f"the-token-of-{name}"


def modos(name, *words):
    done = commands.run(words, env=os.environ | {"MODOS_TOKEN": token(name)}, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


def fetch(url, name, path, **params):
    return requests.get(url + path, params, headers={"Authorization": f"Bearer {token(name)}"}, timeout=30)


@pytest.mark.parametrize(
    ("name", "path", "region", "says"),
    [
        ("anna", "variants/ex/calls", (), "only samples SAMPLE2, SAMPLE99 of it"),
        ("anna", "variants/ex/calls", ("-r", "chr1:1-9,000"), "only samples SAMPLE2, SAMPLE99 of it"),
        ("bert", "reads/ex/demo2", (), "only fields QNAME, FLAG; tags none of it"),
        ("dora", "variants/ex/calls", (), "only chr1:1-1000; samples SAMPLE2; FORMAT keys GT of it"),
        ("dora", "variants/ex/calls", ("-r", "chr1:1-1,000"), "only samples SAMPLE2; FORMAT keys GT of it"),
    ],
)
def test_a_user_is_told_of_all_that_is_left_out(served, name, path, region, says):
    """Not of regions alone: samples, fields, tags and keys that are cut are named, also for a region that is allowed."""
    code, _, said = modos(name, "stream", *region, f"{served[0]}/htsget/{path}")
    assert code == 0 and f"you may read {says}, and that is all you get" in said


def test_reads_without_a_place_are_not_none(served):
    """Who may not see where reads lie can neither find out by regions, nor gets the count 0 for one that has reads."""
    code, out, said = modos("bert", "stream", "-c", "-r", "chr1:1-9,000", f"{served[0]}/htsget/reads/ex/demo2")
    assert code != 0 and out == b"" and "you may not read where the reads lie" in said
    for params in ({}, {"partial": "true"}):
        got = fetch(served[0], "bert", "/slices/reads/ex/demo2", referenceName="chr1", start=0, end=9000, **params)
        assert got.status_code == 403
    assert fetch(served[0], "bert", "/slices/variants/ex/calls", referenceName="chr1", start=0, end=9000).status_code == 200


@pytest.mark.parametrize(
    "entry", [[1, 0, 5], [["chr1"], 0, 5], ["chr1", True, 5], ["chr1", 0, 5.0], [None, 0, 5], ["chr1", 0, False]]
)
@pytest.mark.parametrize("name", ["anna", "carl"])
def test_regions_of_an_address_that_no_ticket_has_are_refused(served, name, entry):
    """Whatever is packed into an address, it is refused as the sender's mistake, and is none of the server's."""
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps([entry]).encode()))
    assert fetch(served[0], name, "/slices/reads/ex/demo2", regions=packed).status_code == 400


def test_a_short_address_does_not_keep_the_server_busy(served):
    """Regions that are the same a hundred thousand times pack well, and are looked at once."""
    packed = [
        base64.urlsafe_b64encode(zlib.compress(json.dumps([["chr1", 0, 500]] * count).encode())) for count in (40_000, 190_000)
    ]
    assert max(map(len, packed)) < 20_000
    began = time.process_time()  # of the server, too
    assert fetch(served[0], "carl", "/slices/reads/ex/demo2", regions=packed[0]).status_code == 200
    assert fetch(served[0], "carl", "/slices/reads/ex/demo2", regions=packed[1]).status_code == 400
    assert time.process_time() - began < 6


def test_the_log_finds_a_cut_slice_by_each_name_of_the_sample(served):
    """A slice that was cut to a sample is shown for its id, the last part of it, and its name, and not for another's."""
    url, folder = served
    got = fetch(url, "anna", "/slices/variants/ex/calls")
    names = subprocess.run(("bcftools", "query", "-l", "-"), input=got.content, capture_output=True, check=True)
    assert names.stdout.decode().split() == ["SAMPLE2"]
    number = got.headers["X-Request-ID"]
    for sample, found in (
        ("sample/sample2", True),
        ("sample2", True),
        ("SAMPLE2", True),
        ("sample/sample1", False),
        ("SAMPLE99", False),
    ):
        shown = commands.run(
            ("log", "show", "-s", folder / "dpo.sec", folder / "log", "--sample", sample), capture_output=True, text=True
        ).stdout
        assert (number in shown) == found, sample


def test_what_callers_say_is_one_word_of_a_line(served):
    """A purpose that looks like further columns is quoted, and a header alone is told from a file."""
    url, folder = served
    headers = {"Authorization": f"Bearer {token('carl')}", "Modos-Purpose": "x  behalf=clinic 7  id=1"}
    got = requests.get(f"{url}/slices/reads/ex/demo2?class=header", headers=headers, timeout=30)
    shown = commands.run(("log", "show", "-s", folder / "dpo.sec", folder / "log"), capture_output=True, text=True).stdout
    line = next(line for line in shown.splitlines() if got.headers["X-Request-ID"] in line)
    assert '  purpose="x  behalf=clinic 7  id=1"  ' in line and "  only=header  " in line


def test_the_log_tells_nothing_from_everything(served):
    """An answer that had no region in it does not look like one of the whole file."""
    url, folder = served
    got = fetch(url, "carl", "/slices/reads/ex/demo2", referenceName="chr2", start=0, end=100, partial="true")
    shown = commands.run(("log", "show", "-s", folder / "dpo.sec", folder / "log"), capture_output=True, text=True).stdout
    line = next(line for line in shown.splitlines() if got.headers["X-Request-ID"] in line)
    assert "ex/demo2.bam  no region  " in line
