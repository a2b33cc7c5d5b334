"""Who may read some regions gets the records of these from the server, and nothing else by any door."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pysam
import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError, InvalidInputError
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.query import Query
from modos.genomics.region import Region
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.rules import read_access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

pytestmark = pytest.mark.sweep(20)

ALICE, BOB, CAROL = ("the-token-of-alice", "the-token-of-bobby", "the-token-of-carol")
BED = "chr1\t20000\t25000\nchr2\t0\t3000\n"
ALLOWED = ("chr1:20,001-25,000", "chr2:1-3,000")
RULES = """
tokens = "tokens"

[panel.cardio]
bed = "cardio.bed"

[[rule]]
who = ["user:alice"]
read = ["/"]

[[rule]]
who = ["user:bob"]
read = ["ex"]
panels = ["cardio"]

[[rule]]
who = ["user:carol"]
read = ["ex"]
regions = ["chr1:20,001-25,000"]
metadata = true
"""


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    root = tmp_path_factory.mktemp("bounded")
    shutil.copytree(example / "ex", root / "ex")
    shutil.copytree(example / "ex", root / "other")
    return root


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "cardio.bed").write_text(BED)
    (tmp_path / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\ncarol {CAROL}\n")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "access.toml").write_text(RULES)
    return tmp_path / "access.toml"


@pytest.fixture
def url(root, rules):
    with BackgroundServer(create_app(open_storage(root), access=Access.from_file(rules))) as server:
        yield server.url


def ask(url, path, token=BOB, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(url + path, headers=headers | options.pop("headers", {}), timeout=60, allow_redirects=False, **options)


def fetch(url, path, query, out, file_id="ex/demo2", kind="reads"):
    client = HtsgetClient(f"{url}/htsget", token=BOB)
    out.write_bytes(b"".join(client.iter_bytes(client.fetch_ticket(kind, file_id, query))))
    return out


def reads_of(path, *regions):
    """Names, flags and places of reads, and their bases: what no masking changes; without the flags about mates."""
    words = ["samtools", "view", *(["-M"] if regions else []), str(path), *(region.replace(",", "") for region in regions)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return [(row[0], int(row[1]) & ~0x2A, *(row[n] for n in (2, 3, 4, 5, 9, 10))) for row in rows]


def calls_of(path, *regions):
    words = ["bcftools", "view", "-H", str(path), *([",".join(r.replace(",", "") for r in regions)] if regions else [])]
    if regions:
        words[3:] = ["-r", words[-1], str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_file_is_what_is_allowed_of_it(url, root, tmp_path):
    """Judged by samtools and bcftools."""
    out = fetch(url, root, Query("BAM"), tmp_path / "out.bam")
    assert reads_of(out) == reads_of(root / "ex/demo2.bam", *ALLOWED) != []
    ticket = ask(url, "/htsget/reads/ex/demo2").json()["htsget"]
    assert ticket["allowed"] == [
        {"name": "chr1", "format": "BAM", "start": 20000, "end": 25000},
        {"name": "chr2", "format": "BAM", "start": 0, "end": 3000},
    ]
    assert len(ticket["urls"]) == 1 and ticket["urls"][0]["url"].startswith(f"{url}/slices/reads/ex/demo2")
    calls = fetch(url, root, Query("VCF"), tmp_path / "out.vcf.gz", "ex/calls", "variants")
    subprocess.run(["bcftools", "index", calls], check=True)
    assert calls_of(calls) == calls_of(root / "ex/calls.vcf.gz", *ALLOWED) != []


@pytest.mark.parametrize("region", [Region("chr1", 21_000, 22_000), Region("chr1", 20_000, 25_000), Region("chr2", 2_999, 3_000)])
def test_a_region_within_has_no_neighbours(url, root, tmp_path, region):
    out = fetch(url, root, Query("BAM", (region,)), tmp_path / "out.bam")
    assert reads_of(out) == reads_of(root / "ex/demo2.bam", str(region)) != []
    assert subprocess.run(["samtools", "quickcheck", "-v", out]).returncode == 0


@pytest.mark.parametrize(
    ("params", "only"),
    [
        ("referenceName=chr1&start=24000&end=26000", "chr1:24001-25000"),
        ("referenceName=chr1", "chr1:20001-25000"),
        ("referenceName=chr1&start=30000&end=31000", "nothing"),
        ("referenceName=chr1&start=25000&end=25001", "nothing"),
        ("referenceName=*", "nothing"),
    ],
)
def test_what_reaches_beyond_is_refused_or_cut_as_asked(url, root, tmp_path, params, only):
    """In silence nobody gets less than they asked for."""
    refused = ask(url, f"/htsget/reads/ex/demo2?{params}")
    assert refused.status_code == 403 and refused.json()["htsget"]["error"] == "PermissionDenied"
    assert only in refused.json()["htsget"]["message"]
    assert ask(url, f"/slices/reads/ex/demo2?{params}").status_code == 403
    for way in ({"params": {"partial": "true"}}, {"headers": {"Modos-Partial": "true"}}):
        ticket = ask(url, f"/htsget/reads/ex/demo2?{params}", **way).json()["htsget"]
        (block,) = ticket["urls"]
        answer = requests.get(block["url"], headers=block["headers"], timeout=60)
        assert answer.status_code == 200, answer.text
        (tmp_path / "out.bam").write_bytes(answer.content)
        expected = [] if only == "nothing" else reads_of(root / "ex/demo2.bam", only)
        assert reads_of(tmp_path / "out.bam") == expected
        assert len(ticket["allowed"]) == (only != "nothing")


def test_several_regions_by_post(url, root, tmp_path):
    body = {
        "format": "BAM",
        "regions": [{"referenceName": "chr1", "start": 20500, "end": 21000}, {"referenceName": "chr2", "end": 500}],
    }
    headers = {"Authorization": f"Bearer {BOB}"}
    answer = requests.post(f"{url}/htsget/reads/ex/demo2", json=body, headers=headers, timeout=60)
    (block,) = answer.json()["htsget"]["urls"]
    (tmp_path / "out.bam").write_bytes(requests.get(block["url"], headers=block["headers"], timeout=60).content)
    assert reads_of(tmp_path / "out.bam") == reads_of(root / "ex/demo2.bam", "chr1:20501-21000", "chr2:1-500") != []
    body["regions"].append({"referenceName": "chr1", "start": 30000})
    assert requests.post(f"{url}/htsget/reads/ex/demo2", json=body, headers=headers, timeout=60).status_code == 403
    allowed = requests.post(
        f"{url}/htsget/reads/ex/demo2", json=body, headers=headers | {"Modos-Partial": "1"}, timeout=60
    ).json()["htsget"]["allowed"]
    assert [(one["name"], one["start"], one["end"]) for one in allowed] == [("chr1", 20500, 21000), ("chr2", 0, 500)]
    for way, status in (("partial=true", 200), ("exact=true", 403), ("format=BAM", 400), ("partial", 400)):
        answer = requests.post(f"{url}/htsget/reads/ex/demo2?{way}", json=body, headers=headers, timeout=60)
        assert answer.status_code == status, (way, answer.text)


def test_reads_of_a_cram_come_as_bam_or_as_cram(url, root, tmp_path):
    ticket = ask(url, "/htsget/reads/ex/demo1").json()["htsget"]
    assert ticket["format"] == "BAM"
    (block,) = ticket["urls"]
    answer = requests.get(block["url"], headers=block["headers"], timeout=60)
    assert answer.status_code == 200, answer.text
    (tmp_path / "out.bam").write_bytes(answer.content)
    whole = subprocess.run(
        [
            "samtools",
            "view",
            "-T",
            root / "ex/reference.fa",
            "-b",
            "-o",
            tmp_path / "all.bam",
            "--write-index",
            root / "ex/demo1.cram",
        ]
    )
    assert whole.returncode == 0
    assert reads_of(tmp_path / "out.bam") == reads_of(tmp_path / "all.bam", *ALLOWED) != []
    block = ask(url, "/htsget/reads/ex/demo1?format=CRAM").json()["htsget"]["urls"][0]
    (tmp_path / "out.cram").write_bytes(requests.get(block["url"], headers=block["headers"], timeout=60).content)
    assert (tmp_path / "out.cram").read_bytes()[:4] == b"CRAM"
    assert reads_of(tmp_path / "out.cram") == reads_of(tmp_path / "out.bam")


@pytest.mark.parametrize(
    "path",
    [
        "/files/ex/demo2.bam",
        "/files/ex/demo2.bam.bai",
        "/files/ex/demo1.cram",
        "/files/ex/demo1.cram.crai",
        "/files/ex/calls.vcf.gz",
        "/files/ex/data.zarr/zarr.json",
        "/files/ex",
        "/files/ex.zip",
        "/files//ex//demo2.bam",
        "/files/ex/demo2.bam/",
        "/htsget/data/ex/demo2.bam?tag=x&chunks=1-2&fields=SEQ",
        f"/ga4gh/drs/v1/objects/{object_id('ex/demo2.bam')}",
        f"/ga4gh/drs/v1/objects/{object_id('ex/demo2.bam')}/access/file",
        f"/ga4gh/drs/v1/objects/{object_id('ex')}",
        "/htsget/reads/other/demo2",
        "/slices/reads/other/demo2",
        "/slices/reads/ex",
        "/htsget/reads/ex",
    ],
)
def test_other_doors_are_shut(url, path):
    answer = ask(url, path)
    assert answer.status_code in (403, 404), answer.text
    assert len(answer.content) < 500 and "token-of" not in answer.text


def test_no_credentials_are_given(url):
    for prefix in ("ex", "ex/demo2.bam", ""):
        answer = requests.post(
            f"{url}/credentials", json={"prefix": prefix}, headers={"Authorization": f"Bearer {BOB}"}, timeout=60
        )
        assert answer.status_code in (400, 403)


def test_metadata_are_shown_where_the_rule_says_so(url):
    assert ask(url, "/list").json()["data"] == ["ex"] and ask(url, "/meta").json()["data"] == []
    assert ask(url, "/list?search=demo").json()["data"] == [] and ask(url, "/find").json()["data"] == []
    assert ask(url, "/list?search=demo", CAROL).json()["data"] == ["ex"]
    assert [one["path"] for one in ask(url, "/meta", CAROL).json()["data"]] == ["ex"]
    assert ask(url, "/files/ex/data.zarr/zarr.json", CAROL).status_code == 200
    assert ask(url, "/files/other/data.zarr/zarr.json", CAROL).status_code == 403
    assert ask(url, "/files/ex/demo2.bam", CAROL).status_code == 403


def test_whoami_tells_the_bounds(url):
    done = commands.run(
        ["--endpoint", url, "whoami"], env=os.environ | {"MODOS_TOKEN": BOB}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "bob\nreads: nothing\nreads a part of ex: regions chr1:20001-25000, chr2:1-3000\nwrites: nothing\n"
    told = ask(url, "/whoami").json()
    assert told["read"] == [] and told["bounded"] == [
        {"read": ["ex"], "metadata": False, "regions": ["chr1:20001-25000", "chr2:1-3000"]}
    ]


def test_any_client_gets_exact_slices(url, root, tmp_path):
    """samtools knows nothing of it: `exact=true` in the address does it."""
    (tmp_path / "token").write_text(ALICE)
    (tmp_path / "token").chmod(0o600)
    environment = os.environ | {
        "HTS_AUTH_LOCATION": str(tmp_path / "token"),
        "HTS_ALLOW_UNENCRYPTED_AUTHORIZATION_HEADER": "I understand the risks",
    }
    at = f"{url}/htsget/reads/ex/demo2?referenceName=chr1&start=21000&end=21010"
    for more, is_exact in (("", False), ("&exact=true", True)):
        done = subprocess.run(["samtools", "view", "-c", at + more], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert (int(done.stdout) == len(reads_of(root / "ex/demo2.bam", "chr1:21001-21010"))) == is_exact
    assert ask(url, "/htsget/reads/ex/demo2?referenceName=chr1&exact=perhaps", ALICE).status_code == 400


def test_a_slice_is_a_file_at_an_address(url, root, tmp_path):
    answer = ask(url, "/slices/variants/ex/calls?referenceName=chr1&start=20000&end=21000", ALICE)
    (tmp_path / "out.vcf.gz").write_bytes(answer.content)
    assert calls_of(tmp_path / "out.vcf.gz") == calls_of(root / "ex/calls.vcf.gz", "chr1:20001-21000")


def until(is_so):
    """Ask until something is so, for 5 seconds and what the answers take; a second is what the pages say."""
    for _ in range(50):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to that")


def test_a_right_that_is_withdrawn_ends_in_seconds(url, rules, caplog):
    def follow():
        return requests.get(block["url"], headers=block["headers"], timeout=60).status_code

    def tell():
        allowed = ask(url, "/htsget/reads/ex/demo2").json()["htsget"].get("allowed", ())
        return [(one["start"], one["end"]) for one in allowed]

    block = ask(url, "/htsget/reads/ex/demo2").json()["htsget"]["urls"][0]
    assert follow() == 200
    rules.write_text(RULES.replace("user:bob", "user:bart"))
    until(lambda: follow() == 403)
    assert ask(url, "/htsget/reads/ex/demo2").status_code == 403
    rules.write_text("[[rule")
    until(lambda: ask(url, "/list", ALICE).status_code == 200 and "the rules of before hold" in caplog.text)
    assert ask(url, "/htsget/reads/ex/demo2").status_code == 403 and ask(url, "/list", ALICE).status_code == 200
    (rules.parent / "cardio.bed").write_text("chr1\t20000\t21000\n")
    rules.write_text(RULES)
    until(lambda: tell() == [(20_000, 21_000)])
    assert follow() == 403, "less than the ticket said would come in silence"


def modos(*words):
    done = commands.run(words, env=os.environ | {"MODOS_TOKEN": BOB}, capture_output=True, text=True)
    return int(done.stdout), done.stderr


def test_modos_tells_its_user_that_there_is_more(url, root):
    count, said = modos("stream", "-c", f"{url}/htsget/reads/ex/demo2")
    assert count == len(reads_of(root / "ex/demo2.bam", *ALLOWED))
    assert "you may read only chr1:20001-25000, chr2:1-3000 of it" in said
    count, said = modos("stream", "-c", "-r", "chr1:21,001-22,000", f"{url}/htsget/reads/ex/demo2")
    assert count == len(reads_of(root / "ex/demo2.bam", "chr1:21,001-22,000")) and said == ""


def test_an_object_of_which_a_part_may_be_read(url, root, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", CAROL)
    modo = MODO(f"{url}/files/ex")
    assert len(list(modo.stream_genomics("demo2.bam", "chr1:20,001-25,000"))) == len(
        reads_of(root / "ex/demo2.bam", "chr1:20001-25000")
    )
    with pytest.raises(AccessError, match="you may read"):
        list(modo.stream_genomics("demo2.bam", "chr1:24,001-26,000"))
    monkeypatch.setenv("MODOS_TOKEN", BOB)
    with pytest.raises(AccessError):
        MODO(f"{url}/files/ex")


def test_rules_side_by_side(root, tmp_path):
    """Regions of like rules are taken together; rights without bounds count wherever they are."""
    (tmp_path / "access.toml").write_text(
        '[[rule]]\nwho = ["anyone"]\nread = ["ex/demo2.bam"]\nregions = ["chr1:1-1,000"]\n'
        '[[rule]]\nwho = ["anyone"]\nread = ["ex"]\nregions = ["chr2:1-1,000"]\n'
        '[[rule]]\nwho = ["anyone"]\nread = ["ex"]\nregions = ["chr1:5,001-6,000"]\nfields = ["QNAME", "POS", "RNAME", "FLAG", "CIGAR"]\n'
        '[[rule]]\nwho = ["anyone"]\nread = ["other"]\n'
    )
    with BackgroundServer(create_app(open_storage(root), access=Access.from_file(tmp_path / "access.toml"))) as server:
        told = ask(server.url, "/htsget/reads/ex/demo2", None).json()["htsget"]["allowed"]
        assert [(one["name"], one["end"]) for one in told] == [("chr1", 1000), ("chr2", 1000)]
        assert ask(server.url, "/htsget/variants/ex/calls?referenceName=chr1&start=0&end=10", None).status_code == 403
        assert ask(server.url, "/htsget/reads/ex/demo2?referenceName=chr1&start=5000&end=6000", None).status_code == 200
        assert "allowed" not in ask(server.url, "/htsget/reads/other/demo2", None).json()["htsget"]
        assert ask(server.url, "/files/other/demo2.bam", None).status_code == 200


def test_a_place_beside_a_file_does_not_tell_whether_there_is_one(root, tmp_path):
    """Who may read a part of `ex/demo2.old` learns nothing of `ex/demo2`, which is refused as one that is not there."""
    (tmp_path / "access.toml").write_text(
        '[[rule]]\nwho = ["anyone"]\nread = ["ex/demo2.old", "ex/demo99.old"]\nregions = ["chr1:1-1,000"]\n'
    )
    with BackgroundServer(create_app(open_storage(root), access=Access.from_file(tmp_path / "access.toml"))) as server:
        for door in ("htsget", "slices"):
            there, gone = (ask(server.url, f"/{door}/reads/ex/{name}", None) for name in ("demo2", "demo99"))
            assert (there.status_code, there.text) == (403, gone.text.replace("demo99", "demo2"))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("regions = []", "regions is empty"),
        ('regions = ["chr1:5-1"]', "regions"),
        ('panels = ["cardio"]', "no panel 'cardio'"),
        ("mask = false", "mask alone"),
        ('regions = ["chr1"]\nwrite = ["ex"]', "cannot be written"),
        ("metadata = true", "without bounds"),
        ('fields = ["SEQUENCE"]', "no field SEQUENCE"),
        ('samples = "NA1"', "not a list"),
        ('regions = ["chr1"]\nmask = 1', "not true or false"),
    ],
)
def test_rules_that_cannot_be_meant(tmp_path, rule, says):
    (tmp_path / "access.toml").write_text(f'[[rule]]\nwho = ["user:a"]\nread = ["ex"]\n{rule}\n')
    with pytest.raises(InvalidInputError, match=says):
        read_access(tmp_path / "access.toml")


def test_a_place_that_is_a_file_is_what_is_called_so(root, tmp_path):
    """A file that is replaced is stored beside; who may read it by its name still may, with and without bounds."""
    shutil.copytree(root / "ex", tmp_path / "served/ex")
    for name in ("demo2.bam", "demo2.bam.bai"):
        shutil.copy(root / "ex" / name, tmp_path / name)
    with pysam.AlignmentFile(tmp_path / "demo2.bam") as old, pysam.AlignmentFile(tmp_path / "new.bam", "wb", template=old) as new:
        for read in old:
            read.query_name = f"new-{read.query_name}"
            new.write(read)
    pysam.index(str(tmp_path / "new.bam"))
    MODO(tmp_path / "served/ex").update_element("data/demo2", {}, tmp_path / "new.bam")
    (tmp_path / "access.toml").write_text(
        'tokens = "tokens"\n[[rule]]\nwho = ["user:alice"]\nread = ["ex/demo2.bam"]\n'
        '[[rule]]\nwho = ["user:bob"]\nregions = ["chr1:20,001-25,000"]\nread = ["ex/demo2.bam"]\n'
    )
    (tmp_path / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\n")
    (tmp_path / "tokens").chmod(0o600)
    access = Access.from_file(tmp_path / "access.toml")
    with BackgroundServer(create_app(open_storage(tmp_path / "served"), access=access)) as server:
        assert ask(server.url, "/files/ex/demo2.bam", ALICE).status_code == 200
        assert ask(server.url, "/files/ex/demo1.cram", ALICE).status_code == 403
        out = fetch(server.url, root, Query("BAM"), tmp_path / "out.bam")
        names = {row[0] for row in reads_of(out)}
        assert len(reads_of(out)) == 969 and all(name.startswith("new-") for name in names)
        assert ask(server.url, "/htsget/reads/ex/demo1").status_code in (403, 404)
