"""The read log of a server: each answer that gives data is in it before its first byte, with who, what and why."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pysam
import pytest
import requests

from modos.api import MODO
from modos.errors import InvalidInputError, StorageFullError
from modos.readlog.chain_writer import ChainWriter
from modos.readlog.log_contents import Look, Wanted
from modos.readlog.log_settings import LogSettings
from modos.readlog.read_entries import SHOWN
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.rules import read_access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.read_logs import entries, make_key, problems
from tests.support.waiting import wait_until

ALICE, BOB = "alice-has-a-long-token", "bob-has-another-token"
WHY = {"Modos-On-Behalf-Of": "clinic 7", "Modos-Purpose": "diagnosis"}


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(example / "ex", folder / "ex")
    MODO.open(folder / "ex").pack(folder / "packed.zip")
    return folder


class Logged:
    """A server with a log, and who may open it."""

    def __init__(self, folder, storage, **settings):
        self.place, self.secret = folder / "log", make_key(folder)
        (folder / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\n")
        (folder / "tokens").chmod(0o600)
        rows = [
            'tokens = "tokens"',
            '[[rule]]\nwho = ["user:alice"]\nread = ["/"]',
            '[log]\nplace = "log"\nkey = "dpo.pub"',
            *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
        ]
        (folder / "access.toml").write_text("\n".join(rows) + "\n")
        access = Access.from_file(folder / "access.toml")
        self.server = BackgroundServer(create_app(storage, access=access, read_log=access.log.open()))

    def get(self, path, token=ALICE, method="GET", **headers):
        address = f"{self.server.url}{path}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, address, headers={"Authorization": f"Bearer {token}"} | headers, timeout=30)

    def entries(self, least=0):
        """What the log has now, without what came before the last call; so many at least, each with its end."""
        before = getattr(self, "_seen", 0)

        def is_whole():
            found = entries(self.place, self.secret)
            sent, ended = ({one["id"] for one in found if one["event"] == event} for event in ("sent", "ended"))
            self._seen, self._new = len(found), found[before:]
            return sent <= ended and len(self._new) >= least

        wait_until(is_whole)
        return self._new


@pytest.fixture(scope="module")
def logged(root, tmp_path_factory):
    made = Logged(tmp_path_factory.mktemp("logged"), open_storage(root), required=True, refused=True)
    yield made
    made.server.stop()
    assert problems(made.place, made.secret) == []


def test_a_ticket_is_granted_with_all_that_is_known(logged):
    answer = logged.get("/htsget/reads/ex/demo1?referenceName=chr1&start=100&end=2000", X_Request_ID="r-1", **WHY)
    assert answer.status_code == 200
    (found,) = logged.entries()
    expected = {
        "event": "granted",
        "request": "r-1",
        "caller": "alice",
        "how": "token",
        "client": "127.0.0.1",
        "method": "GET",
        "route": "/htsget/reads/{file_id:path}",
        "behalf": "clinic 7",
        "purpose": "diagnosis",
        "object": "ex",
        "file": "ex/demo1.cram",
        "regions": [["chr1", 100, 2000]],
        "samples": ["sample/sample1"],
        "names": ["SAMPLE1"],
        "via": "ticket",
    }
    assert {name: found.get(name) for name in expected} == expected and found["bytes"] == found["inline"] > 1000
    assert "proven" not in found and "unknown" not in found


def test_regions_of_a_post_and_the_samples_of_variants(logged):
    body = {"regions": [{"referenceName": "chr1", "start": 5, "end": 9}, {"referenceName": "chr2"}]}
    address = f"{logged.server.url}/htsget/variants/ex/calls"
    assert requests.post(address, json=body, headers={"Authorization": f"Bearer {ALICE}"}, timeout=30).status_code == 200
    (found,) = logged.entries()
    assert found["regions"] == [["chr1", 5, 9], ["chr2", 0, None]]
    assert found["samples"] == ["sample/sample1", "sample/sample2"]


def test_a_whole_file_has_no_regions_and_a_header_says_so(logged):
    logged.get("/htsget/reads/ex/demo2")
    logged.get("/htsget/reads/ex/demo2?class=header")
    whole, header = logged.entries()
    assert "regions" not in whole and "only" not in whole and header["only"] == "header"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=10-99"}])
def test_files_are_sent_and_their_end_has_the_bytes(logged, headers):
    answer = logged.get("/files/ex/demo2.bam", **headers)
    sent, ended = logged.entries()
    assert (sent["event"], sent["file"], sent["samples"]) == ("sent", "ex/demo2.bam", ["sample/sample1"])
    assert sent.get("range") == headers.get("Range")
    assert (ended["event"], ended["id"], ended["bytes"]) == ("ended", sent["id"], len(answer.content))
    assert "broken" not in ended


def test_indexes_packed_objects_and_made_reads_are_data_as_well(logged, root):
    assert logged.get("/files/ex/demo2.bam.bai").status_code == 200
    assert logged.get("/files/packed.zip").status_code == 200
    ticket = logged.get("/htsget/reads/ex/demo2?fields=QNAME,POS").json()["htsget"]["urls"]
    made = next(one["url"] for one in ticket if "/htsget/data/" in one["url"])
    size = len(logged.get(made.removeprefix(logged.server.url)).content)
    found = logged.entries()
    sent = [one for one in found if one["event"] == "sent"]
    assert [one["file"] for one in sent] == ["ex/demo2.bam.bai", "packed.zip", "ex/demo2.bam"]
    assert sent[0]["samples"] == ["sample/sample1"]
    assert "samples" in sent[1]["unknown"]
    assert sent[2]["unknown"] == ["regions"] and sent[2]["only"] == {"fields": ["QNAME", "POS"]}
    last = [one for one in found if one["event"] == "ended"][-1]
    with pysam.AlignmentFile(root / "ex/demo2.bam") as file:
        assert (last["bytes"], last["records"]) == (size, file.count(until_eof=True))


def test_an_answer_that_a_client_breaks_off_has_fewer_bytes(logged, root):
    size = (root / "ex/demo2.bam").stat().st_size
    with requests.get(
        f"{logged.server.url}/files/ex/demo2.bam", headers={"Authorization": f"Bearer {ALICE}"}, stream=True, timeout=30
    ) as answer:
        answer.raw.read(10)
    sent, ended = logged.entries()
    assert sent["event"] == "sent" and ended["bytes"] <= size


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/list",
        "/meta",
        "/whoami",
        "/get?query=ex",
        "/files/ex/data.zarr/zarr.json",
        "/htsget/reads/service-info",
        "/healthz",
    ],
)
def test_what_gives_no_data_is_not_logged(logged, path):
    assert logged.get(path).status_code == 200
    assert logged.entries() == []


def test_nor_is_what_has_no_body(logged):
    tag = logged.get("/files/ex/demo2.bam", method="HEAD").headers["ETag"]
    assert logged.get("/files/ex/demo2.bam", If_None_Match=tag).status_code == 304
    assert logged.get("/files/ex/none.bam").status_code == 404
    assert logged.entries() == []


def test_refusals_are_logged_where_that_is_wanted(logged):
    assert logged.get("/htsget/reads/ex/demo1", BOB).status_code == 403
    (found,) = logged.entries(1)  # it is written later
    assert (found["event"], found["caller"], found["path"]) == ("refused", "bob", "/htsget/reads/ex/demo1")


def test_what_somebody_says_of_themselves_has_bounds_and_harms_no_terminal(logged):
    assert logged.get("/htsget/reads/ex/demo1", **{"Modos-Purpose": "x" * 1001}).status_code == 400
    assert logged.get("/htsget/reads/ex/demo1", **{"Modos-Purpose": "\x9b2J"}).status_code == 200
    (found,) = logged.entries()
    assert found["purpose"] == "\x9b2J"


def test_an_address_of_drs_leads_to_what_is_logged(logged):
    answer = logged.get(f"/ga4gh/drs/v1/objects/{object_id('ex/demo2.bam')}/access/file").json()
    assert logged.entries() == []  # it opens nothing by itself: the server gives the bytes, and logs that
    logged.get(answer["url"].removeprefix(logged.server.url))
    assert [one["event"] for one in logged.entries()] == ["sent", "ended"]


@pytest.mark.parametrize("path", ["/htsget/reads/ex/demo1", "/files/ex/demo2.bam"])
def test_what_cannot_be_logged_is_refused_before_any_byte(root, tmp_path, monkeypatch, path):
    made = Logged(tmp_path, open_storage(root), required=True)
    try:
        assert made.get(path).status_code == 200

        def fail(*_):
            raise StorageFullError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(ChainWriter, "append", fail)
            answer = made.get(path)
            assert answer.status_code == 503 and "log" in answer.text and answer.headers["Retry-After"] == "5"
            assert "full" not in answer.text and made.get("/list").status_code == 200
        assert made.get(path).status_code == 200
    finally:
        made.server.stop()


def test_where_the_log_is_not_required_it_is_served_and_the_server_says_so(root, tmp_path, monkeypatch, caplog):
    made = Logged(tmp_path, open_storage(root))
    try:

        def fail(*_):
            raise StorageFullError("the disk is full")

        monkeypatch.setattr(ChainWriter, "append", fail)
        assert made.get("/files/ex/demo2.bam", X_Request_ID="r-2").status_code == 200
        assert "request r-2 is answered and not logged" in caplog.text
    finally:
        monkeypatch.undo()
        made.server.stop()


def test_over_s3_what_is_granted_is_logged_as_such(stack, tmp_path):
    """Signed addresses of tickets, files and DRS, and credentials: each an entry, and the log in a bucket of its own."""
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.storage.s3 import S3Storage

    storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS)
    made = Logged(tmp_path, storage, required=True)
    try:
        made.get("/htsget/reads/ex/demo2")
        assert made.get("/files/ex/demo2.bam").status_code in (200, 307)
        url = made.get(f"/ga4gh/drs/v1/objects/{object_id('ex/demo2.bam')}/access/file").json()["url"]
        assert "Signature" in url
        ticket, file, drs = made.entries()
        assert {one["event"] for one in (ticket, file, drs)} == {"granted"}
        assert ticket["via"] == file["via"] == drs["via"] == "s3" and drs["file"] == "ex/demo2.bam"
        answer = requests.post(
            f"{made.server.url}/credentials",
            json={"prefix": "ex"},
            headers={"Authorization": f"Bearer {ALICE}"},
            timeout=30,
        )
        if answer.status_code == 200:
            (granted,) = made.entries()
            assert (granted["event"], granted["below"]) == ("granted", "ex")
            assert granted["samples"] == ["sample/sample1", "sample/sample2"]
    finally:
        made.server.stop()


def test_what_a_gateway_passes_on_is_granted(logged):
    def ask(uri, method="GET"):
        return logged.get("/authorize", X_Forwarded_Uri=uri, X_Forwarded_Method=method).status_code

    assert ask("/htsget/reads/ex/demo1?referenceName=chr1&start=5&end=9") == 200
    assert ask("/htsget/reads/ex/demo1", "POST") == 200
    assert ask("/htsget/reads/ex/demo1?start=5") == 200
    assert ask("/htsget/reads/service-info") == 200
    by_get, by_post, odd = logged.entries()
    assert (by_get["event"], by_get["via"], by_get["regions"]) == ("granted", "gateway", [["chr1", 5, 9]])
    assert by_get["samples"] == ["sample/sample1"] and by_get["object"] == "ex"
    assert by_post["unknown"] == ["regions"] == odd["unknown"]


def test_several_processes_write_chains_of_their_own_and_end_them(root, tmp_path):
    secret = make_key(tmp_path)
    line = [sys.executable, "-m", "modos", "serve", str(root), "--port", "0", "--workers", "2"]
    line += ["--read-log", str(tmp_path / "log"), "--read-log-key", str(tmp_path / "dpo.pub"), "--read-log-required"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stderr
        url = process.stderr.readline().split(" at ")[1].split()[0]
        for _ in range(20):
            assert requests.get(f"{url}/htsget/reads/ex/demo1", timeout=60, headers={"Connection": "close"}).status_code == 200
        wait_until(lambda: len(list((tmp_path / "log").iterdir())) == 2)  # one may have answered all before the other began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert len(entries(tmp_path / "log", secret)) == 20 and problems(tmp_path / "log", secret) == []
    assert len(list((tmp_path / "log").iterdir())) == 2


def test_a_look_is_logged_and_finds_what_concerns_a_sample(logged):
    logged.get("/htsget/reads/ex/demo1?referenceName=chr1")
    logged.get("/htsget/variants/ex/calls")
    logged.get("/files/ex/reference.fa")
    logged.entries()
    storage = open_storage(logged.place)

    def look(**wanted):
        return list(Look(storage, logged.secret, SHOWN, Wanted(**wanted)))

    files = {one["file"] for one in look(sample="SAMPLE2") if "file" in one}
    assert "ex/calls.vcf.gz" in files and "ex/demo1.cram" not in files and "ex/reference.fa" not in files
    assert {one.get("caller") for one in look(user="alice") if one["event"] != "ended"} == {"alice"}
    assert all(one["file"].startswith("ex/demo1") for one in look(object="ex/demo1.cram"))
    shown = [one for one in look() if one["event"] == "shown"]
    assert {"sample": "SAMPLE2"} in [one.get("wanted") for one in shown] and "@" in shown[0]["caller"]
    times = [one["time"] for one in look()]
    assert times == sorted(times) and not look(since="2100-01-01") and not look(until="2000-01-01")
    with pytest.raises(InvalidInputError):
        Wanted(since="yesterday")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log = 1", "not a table"),
        ('[log]\nplace = "x"', "no key"),
        ('[log]\nplace = "x"\nkey = "k"\nrequired = 1', "neither true nor false"),
        ('[log]\nplace = "x"\nkey = "k"\nkeep = "12"', "no age"),
        ('[log]\nplace = "x"\nkey = "k"\nkeep = "1h"', "too short"),
        ('[log]\nplace = "x"\nkey = "k"\nsegment_size = "1kB"', "no size"),
        ('[log]\nplace = "x"\nkey = "k"\nplaces = "1"', "places is not known"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, text, said):
    (tmp_path / "access.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        read_access(tmp_path / "access.toml")


def test_settings_of_an_access_file_begin_at_its_folder(tmp_path):
    (tmp_path / "a.toml").write_text('[log]\nplace = "log"\nkey = "dpo.pub"\nkeep = "2y"\nsegment_size = "1MB"\nrefused = true\n')
    found = read_access(tmp_path / "a.toml").log
    assert found == LogSettings(
        str(tmp_path / "log"), str(tmp_path / "dpo.pub"), refused=True, keep=2 * 365 * 86400.0, segment_size=10**6
    )


def test_claims_of_a_token_say_why_before_headers_do(root, tmp_path, monkeypatch):
    from modos.server import auth
    from modos.server.rules import Caller

    made = Logged(tmp_path, open_storage(root))
    caller = Caller("carol", frozenset({"panel"}), how="oidc", behalf="clinic 9")
    try:
        monkeypatch.setattr(auth.Access, "identify", lambda *_: caller)
        monkeypatch.setattr(auth.Access, "allows", lambda *_, **__: True)
        made.get("/htsget/reads/ex/demo1", **WHY)
        (found,) = made.entries()
        assert (found["how"], found["groups"], found["behalf"], found["purpose"]) == ("oidc", ["panel"], "clinic 9", "diagnosis")
        assert found["proven"] == ["behalf"] and found["said"] == {"behalf": "clinic 7", "purpose": "diagnosis"}
    finally:
        made.server.stop()


def test_a_key_that_is_none_ends_the_server_at_its_start(tmp_path):
    (tmp_path / "dpo.pub").write_text("x")
    with pytest.raises(InvalidInputError, match="public key"):
        LogSettings(str(tmp_path / "log"), str(tmp_path / "dpo.pub")).open()
