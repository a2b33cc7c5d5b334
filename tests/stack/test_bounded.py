"""Who may read one region of an object, through the gateway: htsget-rs, S3 and the modos server behind it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError
from modos.server.drs import object_id

from .conftest import ALICE, DORA

pytestmark = pytest.mark.stack
REGION, READS = "chr1:20,001-25,000", 969


@pytest.fixture
def dora(monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", DORA)


def get(private, path, token=DORA, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(private.url + path, headers=headers | options.pop("headers", {}), timeout=30, **options)


def names(path):
    return subprocess.run(["samtools", "view", path], capture_output=True, text=True, check=True).stdout.splitlines()


def fetch(ticket, path):
    with open(path, "wb") as out:
        for block in ticket["htsget"]["urls"]:
            if block["url"].startswith("data:"):
                out.write(base64.b64decode(block["url"].partition(",")[2]))
                continue
            answer = requests.get(block["url"], headers=block.get("headers"), timeout=30)
            assert answer.status_code in (200, 206), answer.text
            out.write(answer.content)
    return path


def test_a_ticket_has_the_region_and_nothing_else(private, tmp_path):
    """htsget-rs behind the gateway would give the whole file: it is not asked."""
    answer = get(private, "/htsget/reads/lab-a/ex/demo2").json()
    assert len(answer["htsget"]["urls"]) == 1 and "/slices/reads/" in answer["htsget"]["urls"][0]["url"]
    assert len(names(fetch(answer, tmp_path / "out.bam"))) == READS
    whole = requests.get(
        f"{private.url}/htsget/reads/lab-a/ex/demo2", headers={"Authorization": f"Bearer {ALICE}"}, timeout=30
    ).json()
    assert "/slices/" not in str(whole) and "X-Amz-Signature" in str(whole)
    assert "modos:digests" not in str(whole), "htsget-rs answers whoever has no bounds"
    posted = requests.post(
        f"{private.url}/htsget/reads/lab-a/ex/demo2",
        json={
            "regions": [
                {"referenceName": "chr1", "start": 20000, "end": 21000},
                {"referenceName": "chr1", "start": 24000, "end": 25000},
            ]
        },
        headers={"Authorization": f"Bearer {DORA}"},
        timeout=30,
    ).json()
    assert 0 < len(names(fetch(posted, tmp_path / "posted.bam"))) < READS


@pytest.mark.parametrize(
    "path",
    [
        "/htsget/reads/lab-a/ex/demo2?referenceName=chr1&start=25000&end=26000",
        "/htsget/reads/lab-a/ex/demo2?referenceName=chr2",
        "/htsget/variants/lab-a/ex/calls?referenceName=chr2",
        "/htsget//reads/lab-a/ex/demo2?referenceName=chr2",
        "/htsget/reads//lab-a/ex/demo2?referenceName=chr2",
        "/htsget/reads/lab-a/ex/demo2/?referenceName=chr2",
        "/htsget/reads/lab-a/ex/%64emo2?referenceName=chr2",
        "/files/lab-a/ex/demo2.bam",
        "/files/lab-a/ex/demo2.bam.bai",
        "/modos-demo/lab-a/ex/demo2.bam",
        "/s3/modos-demo/lab-a/ex/demo2.bam",
        f"/ga4gh/drs/v1/objects/{object_id('lab-a/ex/demo2.bam')}/access/file",
        "/htsget/reads/lab-b/ex/demo2",
    ],
)
@pytest.mark.parametrize("more", [{}, {"Modos-Made": ""}, {"Modos-Made": "0"}])
def test_nothing_leads_beyond(private, path, more):
    answer = get(private, path, headers=more, allow_redirects=False)
    assert answer.status_code in (308, 400, 403, 404), answer.text
    assert "X-Amz-Signature" not in answer.text + str(answer.headers)


def test_no_credentials_are_given(private):
    for prefix in ("lab-a/ex", "lab-a", ""):
        answer = requests.post(
            f"{private.url}/credentials",
            json={"prefix": f"s3://modos-demo/{prefix}"},
            headers={"Authorization": f"Bearer {DORA}"},
            timeout=30,
        )
        assert answer.status_code == 403


def test_the_commands_work_within(private, dora):
    """The object is opened by its address on S3, as by everybody."""
    modo = MODO(path="s3://modos-demo/lab-a/ex", endpoint=private.url)
    for file in ("demo1.cram", "demo2.bam"):
        assert sum(1 for _ in modo.stream_genomics(file, REGION)) == READS
        with pytest.raises(AccessError):
            sum(1 for _ in modo.stream_genomics(file, "chr2:1-3,000"))
    words = ("--endpoint", private.url, "stream", "-c", "-r", REGION, "s3://modos-demo/lab-a/ex/demo1.cram")
    done = subprocess.run(
        [sys.executable, "-c", "from modos.cli import main; main()", *words],
        env=os.environ | {"MODOS_TOKEN": DORA},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"{READS}\n", done.stderr


def test_any_client_gets_exact_slices(private, tmp_path):
    """By the address alone, through the gateway, of a file that htsget-rs would give with neighbours."""
    at = "/htsget/reads/lab-a/ex/demo2?referenceName=chr1&start=22000&end=22010"
    exact = names(fetch(get(private, at + "&exact=true", ALICE).json(), tmp_path / "exact.bam"))
    more = names(fetch(get(private, at, ALICE).json(), tmp_path / "more.bam"))
    assert 0 < len(exact) < len(more) and set(exact) < set(more)
    by_header = get(private, at, ALICE, headers={"Modos-Exact": "true"}).json()
    assert names(fetch(by_header, tmp_path / "header.bam")) == exact
    assert "regions=" in by_header["htsget"]["urls"][0]["url"]
