"""`modos view` and `modos gateway` in a real Chromium: sealed reads, variants and tracks on the screen are those of the files."""

from __future__ import annotations

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import files
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import expect

from modos.api import MODO
from modos.encryption.keys import generate
from modos.gateway import open_gateway, open_view
from modos.gateway.browser import PrivatePage
from tests.support.browsing import Served
from tests.support.genome_view import make_object, write_sources
from tests.support.igv_view import held, settle

START, END = 10_000, 20_000  # of chr1, 0-based half-open
LOCUS = "chr1:10,001-20,000"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder)
    return folder


@pytest.fixture(scope="module")
def sealed(source, tmp_path_factory):
    """An object all of whose data are encrypted, and the key."""
    folder = tmp_path_factory.mktemp("sealed")
    generate(folder / "me.sec", folder / "me.pub", None)
    make_object(folder / "ex", source)
    MODO.open(folder / "ex").encrypt(folder / "me.pub")
    assert not list((folder / "ex").glob("*.bam"))
    return folder


@pytest.fixture(scope="module")
def view(sealed):
    with open_view(sealed / "ex", secret_key=sealed / "me.sec") as opened:
        yield opened


def path_of(address):
    return "/" + address.split("/", 3)[3]


def reads_in_view(source):
    words = ["samtools", "view", "-F", "0x604", source / "reads.bam", f"chr1:{START + 1}-{END}"]
    rows = [line.split("\t") for line in subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()]
    return {(row[0], int(row[3]) - 1, row[9], row[5]) for row in rows if START <= int(row[3]) - 1 < END}


def test_sealed_reads_by_the_address(view, source, visit, screenshot):
    visitor = visit(Served(view.url, ""), path_of(view.address("data/reads", LOCUS)))
    page = visitor.page
    settle(page)
    assert "token" not in page.url and page.evaluate("document.cookie") == ""
    found = {tuple(one) for one in held(page, "alignment", "reads")}
    assert {one for one in found if START <= one[1] < END} == reads_in_view(source) and len(found) > 500
    assert not [url for _, url in visitor.requests[1:] if "token" in url]
    screenshot(page, "view-sealed-reads")


def test_a_sealed_track(view, source, visit):
    page = visit(Served(view.url, ""), path_of(view.address("data/signal", LOCUS))).page
    settle(page)
    values = np.full(END, np.nan)
    for line in (source / "signal.bedGraph").read_text().splitlines():
        name, first, last, value = line.split("\t")
        if name == "chr1":
            values[int(first) : int(last)] = np.float32(value)
    found = [one for one in held(page, "wig", "signal") if one["start"] >= START and one["end"] <= END]
    assert len(found) > 10
    for one in found:
        assert one["value"] == pytest.approx(np.nanmean(values[one["start"] : one["end"]]), rel=1e-5)


def test_the_pages_of_a_sealed_object(view, visit, screenshot):
    visitor = visit(Served(view.url, ""), path_of(view.address()))
    visitor.page.wait_for_selector("h1")
    screenshot(visitor.page, "view-sealed-object")
    visitor.page.goto(view.url + "/")
    expect(visitor.page.get_by_role("main").get_by_role("link", name="ex").first).to_be_visible()


def test_the_private_page_leads_in_though_it_is_of_another_site(view, visit):
    visitor = visit(Served(view.url, ""), None)
    with PrivatePage(view.address()) as page:
        visitor.allows(f"file://{page.path}")
        visitor.page.goto(f"file://{page.path}")
        visitor.page.wait_for_url(f"{view.url}/objects/ex")
        visitor.page.wait_for_selector("h1")
    assert not page.path.exists()


def test_another_person_does_not_get_in(view, visit):
    visitor = visit(Served(view.url, ""), None).expects("answer 403", "403")
    answer = visitor.page.goto(view.url + "/objects/ex")
    assert answer.status == 403


PAGE = """<!doctype html><meta charset="utf-8"><div id="genome-box"></div><script src="/igv.min.js"></script><script>
const options = JSON.parse(decodeURIComponent(location.hash.slice(1)));
igv.createBrowser(document.getElementById("genome-box"), options).then(made => { window.modosBrowser = made; document.getElementById("genome-box").dataset.ready = 1; });
</script>"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("key", [True, False], ids=["sealed", "plain"])
def test_igv_reads_the_gateway_by_range(sealed, source, visit, tmp_path, key):
    """An igv.js of a page at another origin, given addresses of the gateway."""
    place = sealed / "ex"
    if not key:
        make_object(tmp_path / "plain", source)
        place = tmp_path / "plain"
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text(PAGE)
    (tmp_path / "web/igv.min.js").write_bytes(read_igv())
    (tmp_path / "web/favicon.ico").write_bytes(b"")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open_gateway(place, secret_key=sealed / "me.sec") as gateway:
        at = gateway.addresses
        options = {
            "loadDefaultGenomes": False,
            "reference": {"id": "x", "fastaURL": at["bases.fa"], "indexURL": at["bases.fa.fai"]},
            "locus": f"chr1:{START + 1}-{END}",
            "tracks": [
                {"type": "alignment", "name": "reads", "url": at["reads.bam"], "indexURL": at["reads.bam.bai"]},
                {"type": "variant", "name": "calls", "url": at["calls.vcf.gz"], "indexURL": at["calls.vcf.gz.tbi"]},
            ],
        }
        url = f"http://127.0.0.1:{server.server_port}"
        visitor = visit(Served(url, "", (gateway.url,)), f"/#{quote(json.dumps(options))}")
        settle(visitor.page)
        reads = {tuple(one) for one in held(visitor.page, "alignment", "reads")}
        assert {one for one in reads if START <= one[1] < END} == reads_in_view(source) and len(reads) > 500
        words = ["bcftools", "view", "-H", source / "calls.vcf.gz", f"chr1:{START + 1}-{END}"]
        rows = [
            line.split("\t") for line in subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()
        ]
        calls = {(one["pos"], one["alt"]) for one in held(visitor.page, "variant", "calls")}
        assert {one for one in calls if START < one[0] <= END} == {(int(row[1]), row[4]) for row in rows if int(row[1]) > START}
    server.shutdown()


def read_igv():
    found = next(file for file in files("igv-notebook") if file.name == "igv.min.js")
    return found.locate().read_bytes()
