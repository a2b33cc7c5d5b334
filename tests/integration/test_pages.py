"""Pages of the server: who gets one and who JSON, with the rights of all other answers, and what they say of objects."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import numpy as np
import pytest
import requests

from modos import codes
from modos.api import MODO
from modos.catalog.overview import Overview
from modos.catalog.refreshing import rebuild
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import PublicKey, SecretKey
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_store
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.pages import data_looked_at, object_page
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.pages import BROWSER, Page
from tests.support.read_logs import entries, make_key
from tests.support.waiting import Arrivals, wait_until

ALICE, BOB, CAROL, DAVE = ("the-token-of-alice", "the-token-of-bobby", "the-token-of-carol", "the-token-of-david")
RULES = """
tokens = "tokens"

[[rule]]
who = ["user:alice"]
read = ["/"]

[[rule]]
who = ["user:bob", "user:carol"]
read = ["other"]

[[rule]]
who = ["user:bob"]
read = ["ex"]
regions = ["chr1:1-1,000"]

[[rule]]
who = ["user:carol"]
read = ["ex"]
regions = ["chr1:1-1,000"]
samples = ["SAMPLE1"]
metadata = true

[log]
place = "log"
key = "dpo.pub"
"""
HEAD = ("Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options")


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    """The demo's object, and another one with a tree, an encrypted file and a sample of its own."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(example / "ex", folder / "ex")
    modo = MODO.create(folder / "other", id="other", name="Another one", description="Of mice.")
    modo.add_element(
        {"@type": "Sample", "id": "mouse", "sex": "Male", "taxon_id": ["NCBITaxon:10090"], "cell_type": "CL:0000182"}
    )
    source = tmp_path_factory.mktemp("source")
    tree = pytest.importorskip("zarr").open_group(source / "counts.zarr", mode="w")
    tree.create_array("X", data=np.arange(2000.0).reshape(40, 50))
    modo.add_element({"@type": "DataEntity", "id": "counts", "has_sample": ["mouse"]}, source / "counts.zarr")
    modo.add_element({"@type": "AlignmentSet", "id": "reads", "data_format": "BAM"}, example / "ex/demo2.bam")
    modo.encrypt([SecretKey.random().public, SecretKey.random().public], elements=["data/reads"])
    return folder


@pytest.fixture(scope="module")
def url(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


class Ruled:
    def __init__(self, server, folder, secret):
        self.url, self.folder, self.secret = server.url, folder, secret


@pytest.fixture
def ruled(root, tmp_path):
    secret = make_key(tmp_path)
    (tmp_path / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\ncarol {CAROL}\ndave {DAVE}\n")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "access.toml").write_text(RULES)
    access = Access.from_file(tmp_path / "access.toml")
    app = create_app(open_storage(root), access=access, read_log=access.log.open())
    app.state.login_url = "/login"
    with BackgroundServer(app) as server:
        yield Ruled(server, tmp_path, secret)


def ask(url, path, token=None, accept=BROWSER):
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
    return requests.get(url + path, headers=headers, timeout=60, allow_redirects=False)


def look(url, path, token=None, status=200):
    answer = ask(url, path, token)
    assert answer.status_code == status, answer.text
    assert all(answer.headers.get(name) for name in HEAD) and "Accept" in answer.headers["Vary"]
    return Page(answer.text)


def objects_on(page):
    return [link.removeprefix("/objects/") for link in page.links("/objects/")]


# --- pages and JSON ---


def test_programs_get_the_json_as_before(url):
    for accept in ("*/*", "application/json", ""):
        answer = ask(url, "/", accept=accept)
        assert answer.json()["status"] == "success" and answer.headers["Vary"] == "Accept"
        assert set(answer.json()) == {
            "status",
            "auth",
            "s3",
            "htsget",
            "credentials",
            "fuzon",
            "kms",
            "refget",
            "references",
            "root",
        }
    assert ask(url, "/?x=1", accept="*/*").status_code == 400, "a parameter that is not known"
    assert ask(url, "/list").json() == {"data": ["ex", "other"]}, "what has no page stays JSON for browsers, too"
    for path in ("/nothing", "/objects/nothing", "/files/nothing"):
        assert ask(url, path, accept="*/*").json()["error"] == "not_found"
        assert "There is nothing here" in look(url, path, status=404).text


def test_there_is_no_page_that_loads_from_others(url):
    page = look(url, "/docs")
    assert {"/list", "/whoami", "/htsget/reads/{file_id}"} <= {one.text for one in page.elements if one.tag == "code"}
    assert requests.get(f"{url}/openapi.json", timeout=60).json()["openapi"].startswith("3.")
    assert requests.get(f"{url}/redoc", timeout=60).status_code == 404
    for path in ("/", "/docs", "/objects/ex", "/elements/ex/data/demo1"):
        page = look(url, path)
        loaded = [
            one.attributes.get("src") or one.attributes["href"] for one in page.elements if one.tag in ("script", "link", "img")
        ]
        assert loaded and all(address.startswith("/assets/") for address in loaded), loaded
        for address in loaded:
            answer = requests.get(url + address, timeout=60)
            assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
            again = requests.get(url + address.partition("?")[0], timeout=60, headers={"If-None-Match": answer.headers["ETag"]})
            assert again.status_code == 304 and "immutable" not in again.headers["Cache-Control"]


def test_a_prefix_that_a_gateway_takes_away_stands_before_all_addresses(root):
    with BackgroundServer(create_app(open_storage(root), public_url="https://lab.example.org/modos")) as server:
        for path in ("/", "/objects/ex", "/elements/ex/data/demo1", "/docs", "/nothing"):
            page = Page(ask(server.url, path).text)
            own = [address for address in page.iter_addresses() if not address.startswith(("http", "#"))]
            assert own and all(address.startswith("/modos/") for address in own), own
        assert "https://lab.example.org/modos/files/ex" in Page(ask(server.url, "/objects/ex").text).text


# --- the catalogue ---


def test_the_catalogue_lists_searches_and_filters(url):
    page = look(url, "/")
    assert objects_on(page) == ["ex", "other"] and "Mus musculus" in page.text
    assert objects_on(look(url, "/?search=mice")) == ["other"]
    assert objects_on(look(url, "/?search=sex%3DFemale")) == objects_on(look(url, "/?sex=Female"))
    assert objects_on(look(url, "/?organism=NCBITaxon:10090&sex=Male")) == ["other"]
    assert objects_on(look(url, "/?format=CRAM")) == ["ex"]
    assert objects_on(look(url, "/?class=Sample&search=nothing-at-all")) == []
    assert "There is no slot seks" in look(url, "/?search=seks%3DMale").text
    part = look(url, "/?search=mice&part=found")
    assert objects_on(part) == ["other"] and not [one for one in part.elements if one.tag in ("html", "script", "head")]


def test_a_form_does_without_scripts(url):
    page = look(url, "/?sex=Male&search=a")
    form = next(one for one in page.elements if one.tag == "form")
    assert form.attributes["method"] == "get" and form.attributes["action"] == "/"
    fields = {one.attributes.get("name"): one.attributes.get("value") for one in page.elements if one.tag == "input"}
    assert fields == {"sex": "Male", "search": "a"}


def test_pages_follow_each_other_and_hold_every_object_once(tmp_path):
    for number in range(120):
        MODO.create(tmp_path / f"group{number % 3}/o{number:03}", id=f"o{number:03}").add_element(
            {"@type": "Sample", "id": "s", "sex": ("Male", "Female")[number % 2]}
        )
    storage = open_storage(tmp_path)
    for is_kept in (False, True):
        if is_kept:
            rebuild(storage)
        with BackgroundServer(create_app(storage)) as server:
            seen, path = [], "/?sex=Female"
            while path:
                page = look(server.url, path)
                assert "60 objects" in page.text
                seen += objects_on(page)
                path = next((one.attributes["href"] for one in page.elements if one.attributes.get("rel") == "next"), None)
            listed = ask(server.url, "/list?search=sex%3DFemale").json()["data"]
            assert seen == sorted(listed) and len(seen) == 60


# --- an object and its elements ---


def test_an_object_says_what_is_in_it(url):
    page = look(url, "/objects/ex")
    metadata = ask(url, "/meta").json()["data"][0]["meta"]
    elements = [element_id for element_id in metadata if element_id != "ex"]
    assert {f"/elements/ex/{element_id}" for element_id in elements} <= set(page.links())
    for attributes in metadata.values():
        for slot in ("data_checksum", "data_digest"):
            assert attributes.get(slot, "") in page.text
    assert "/files/ex/demo1.cram" in page.links() and "716 kB" in page.text
    assert f"MODO('{url}/files/ex')" in page.text and f"modos show {url}/files/ex" in page.text
    assert f"/genome?element={quote('ex/data/calls', safe='')}" in "".join(page.links("/genome"))


def test_what_stands_on_an_object_to_be_copied_runs(url, tmp_path):
    """The lines of Python are run as they are shown."""
    page = look(url, "/objects/ex")
    text = next(one for one in page.elements if one.attributes.get("id") == "copy-python")
    code = "".join(text.texts).replace("REGION", "chr1:1-500")
    done: dict = {}
    exec(compile(code, "page", "exec"), done)
    assert done["modo"].list_samples()


def test_metadata_are_given_to_download(url, root):
    crate = requests.get(f"{url}/objects/ex?format=ro-crate", timeout=60)
    assert (
        crate.json() == json.loads(json.dumps(MODO.open(root / "ex").ro_crate()))
        and "ro-crate-metadata.json" in crate.headers["Content-Disposition"]
    )
    rdflib = pytest.importorskip("rdflib")
    graphs = [
        rdflib.Graph().parse(data=requests.get(f"{url}/objects/ex?format={name}", timeout=60).text, format=name)
        for name in ("turtle", "json-ld")
    ]
    expected = MODO.open(root / "ex").knowledge_graph(f"{url}/files/ex")
    assert all(set(graph) == set(expected) for graph in graphs)


def test_an_element_says_what_it_is_and_what_it_belongs_to(url):
    page = look(url, "/elements/ex/data/demo1")
    assert {
        "/elements/ex/sample/sample1",
        "/elements/ex/reference/reference1",
        "/elements/ex/assay/assay1",
        "/objects/ex",
    } <= set(page.links())
    assert "http://edamontology.org/format_3462" in page.links(), "the term of its format"
    sample = look(url, "/elements/other/sample/mouse")
    assert "Mus musculus" in sample.text and {
        "http://purl.obolibrary.org/obo/NCBITaxon_10090",
        "http://purl.obolibrary.org/obo/CL_0000182",
    } <= set(sample.links())
    assert look(url, "/elements/ex/data/nothing", status=404) and look(url, "/elements/ex", status=404)


def test_an_encrypted_file_says_for_whom(url, root):
    page = look(url, "/elements/other/data/reads")
    keys = MODO.open(root / "other").metadata["data/reads"]["recipients"]
    assert {one.text for one in page.elements if one.tag == "li" and "SHA256:" in one.text} == {
        PublicKey.parse(key).fingerprint for key in keys
    }
    assert "/genome" not in "".join(page.links())


def test_a_tree_is_shown_with_its_shape_and_a_corner(url):
    page = look(url, "/elements/other/data/counts")
    assert "40 × 50" in page.text
    numbers = [one.text for one in page.elements if one.tag == "td" and one.attributes.get("class") == "number"]
    assert numbers[: 12 * 12] == [f"{row * 50 + column}" for row in range(12) for column in range(12)]
    page = look(url, "/elements/other/data/counts?array=nothing")
    assert "It is not shown" in page.text


# --- rights ---


def test_a_table_is_counted_where_it_is_small_whatever_the_metadata_say(tmp_path, monkeypatch):
    table, place = tmp_path / "ms.mztab", tmp_path / "root/ex"
    table.write_text("MTD\tmzTab-version\t1.0.0\nPRH\tx\nPRT\ty\n")
    MODO.create(place, id="ex").add_element({"@type": "MassSpectrometryResults", "id": "ms", "data_format": "mzTab"}, table)
    root = place / "data.zarr/zarr.json"
    document = json.loads(root.read_text())
    slots = document["consolidated_metadata"]["metadata"]["_modos"]["attributes"]["slots"]["data/ms"]
    slots["data_size"], _ = 5, slots.pop("data_digest")
    root.write_text(json.dumps(document))
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        assert "sections-title" in ask(server.url, "/elements/ex/data/ms").text
        monkeypatch.setattr(data_looked_at, "_MOST_TEXT", table.stat().st_size - 1)
        assert "The file is not read: it is larger" in look(server.url, "/elements/ex/data/ms").text


def test_who_is_not_known_is_asked_to_log_in(ruled):
    for path in (
        "/",
        "/objects/ex",
        "/elements/ex/data/demo1",
        "/objects/nothing",
        "/objects/ex?format=turtle",
        "/files/ex/demo2.bam",
    ):
        page = look(ruled.url, path, status=403)
        assert page.links("/login?next=") and "Please log in" in page.text
        assert "demo" not in page.text.lower().replace("ex/demo", "")
        told = ask(ruled.url, path, accept="application/json").json()
        assert path == "/" or told["htsget"]["error"] == "PermissionDenied"
    assert ask(ruled.url, "/", accept="*/*").json()["auth"] == {"type": "token"}
    assert ask(ruled.url, "/", "a-token-of-nobody-at-all").status_code == 401


def test_a_page_shows_what_its_caller_may_see(ruled):
    assert objects_on(look(ruled.url, "/", ALICE)) == ["ex", "other"]
    assert "alice" in look(ruled.url, "/", ALICE).text
    nothing = look(ruled.url, "/", DAVE)
    assert objects_on(nothing) == [] and "no objects here that you may see" in nothing.text
    for path in ("/objects/ex", "/elements/ex/data/demo1", "/objects/nothing", "/elements/nothing/data/x"):
        page = look(ruled.url, path, DAVE, status=403)
        assert "This is not for you to see" in page.text and "Log in as somebody else" in page.text


def test_a_bounded_caller_without_metadata_sees_a_name(ruled):
    page = look(ruled.url, "/", BOB)
    assert objects_on(page) == ["ex", "other"] and "Simulated" not in page.text and "and not its metadata" in page.text
    facets = {one.attributes["href"] for one in page.elements if one.attributes.get("href", "").startswith("/?")}
    assert not [facet for facet in facets if "CRAM" in facet or "9606" in facet], "nothing is counted that may not be read"
    for query in ("search=Simulated", "search=sex%3DFemale", "format=CRAM", "class=VariantSet", "search=sample1"):
        assert objects_on(look(ruled.url, f"/?{query}", BOB)) == [], query
    for path in ("/objects/ex", "/elements/ex/data/demo1", "/elements/ex/data/nothing"):
        page = look(ruled.url, path, BOB)
        assert "and not its metadata" in page.text and "reference1" not in page.text and not page.links("/elements/")
    for name in ("turtle", "ro-crate", "json-ld"):
        assert ask(ruled.url, f"/objects/ex?format={name}", BOB).status_code == 403


def test_a_bounded_caller_with_metadata_sees_them_and_the_bounds(ruled):
    assert objects_on(look(ruled.url, "/?format=CRAM", CAROL)) == ["ex"]
    page = look(ruled.url, "/objects/ex", CAROL)
    assert "chr1:1-1000" in page.text and "SAMPLE1" in page.text and not page.links("/files/")
    assert ask(ruled.url, "/objects/ex?format=turtle", CAROL).status_code == 200
    assert look(ruled.url, "/elements/ex/data/demo1", CAROL).links("/genome")


def test_what_a_page_reads_of_data_is_in_the_read_log(ruled):
    look(ruled.url, "/objects/other", ALICE), look(ruled.url, "/elements/other/sample/mouse", ALICE), look(ruled.url, "/", ALICE)
    before = [entry for entry in entries(ruled.folder / "log", ruled.secret) if entry["event"] == "sent"]
    assert before == [], "metadata are no data of a person's genome"
    look(ruled.url, "/elements/other/data/counts", ALICE)
    found = [entry for entry in entries(ruled.folder / "log", ruled.secret) if entry["event"] == "sent"]
    assert [(entry["caller"], entry["file"]) for entry in found] == [("alice", "other/counts.zarr")]


def test_a_crowd_gets_the_same_page(url):
    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(lambda _: ask(url, "/?search=sample").text, range(40)))
    assert len(texts) == 1


def test_a_crowd_that_searches_keeps_no_thread_from_others(root, monkeypatch):
    event, find = threading.Event(), Overview.find

    def wait(self, *given):
        assert event.wait(180)
        return find(self, *given)

    monkeypatch.setattr(Overview, "find", wait)
    app = Arrivals(create_app(open_storage(root)))
    with BackgroundServer(app) as server, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, server.url, f"/?search=word{number}") for number in range(60)]
        wait_until(lambda: app.count == 60)
        time.sleep(1)
        assert requests.get(f"{server.url}/list", timeout=60).status_code == 200
        event.set()
        assert {one.result().status_code for one in asked} == {200}


def test_a_crowd_that_wants_exports_keeps_no_thread_from_others(root, monkeypatch):
    event, export = threading.Event(), object_page._export

    def wait(*given):
        assert event.wait(180)
        return export(*given)

    monkeypatch.setattr(object_page, "_export", wait)
    app = Arrivals(create_app(open_storage(root)))
    with BackgroundServer(app) as server, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, server.url, "/objects/ex?format=turtle") for _ in range(60)]
        wait_until(lambda: app.count == 60)
        time.sleep(1)
        assert ask(server.url, "/objects/ex").status_code == 200
        event.set()
        assert {one.result().status_code for one in asked} <= {200, 503} and asked[0].result().status_code == 200


def test_over_s3_all_is_read_from_there(root, stack):
    storage = open_storage(f"s3://{BUCKET}/pages", s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    for path in root.rglob("*"):
        if path.is_file():
            storage.write(str(path.relative_to(root)), path.read_bytes())
    for is_kept in (False, True):
        if is_kept:
            rebuild(storage)
        with BackgroundServer(create_app(storage, max_age=5)) as server:
            page = look(server.url, "/")
            while "being read" in page.text:
                page = look(server.url, "/")
            assert objects_on(page) == ["ex", "other"]
            page = look(server.url, "/objects/other")
            assert f"s3://{BUCKET}/pages/other" in page.text
            assert f"modos --endpoint {server.url} show s3://{BUCKET}/pages/other" in page.text
            assert "40 × 50" in look(server.url, "/elements/other/data/counts").text
            assert f"<s3://{BUCKET}/pages/ex/data/demo1>" in ask(server.url, "/objects/ex?format=turtle").text


# --- what a server has beside its objects ---


@pytest.fixture(scope="module")
def referred(example, tmp_path_factory):
    """A server with an annotated assembly, an object that names it, and an index of codes."""
    folder = tmp_path_factory.mktemp("referred")
    fasta = "".join(f">{name}\n{'ACGT' * 5000}\n" for name in ("chr1", "chr2"))
    (folder / "made.fa").write_text(fasta)
    lines = ["##gff-version 3"]
    for number in range(60):
        start = 100 * number + 1
        name = f"GENE{number}" if number else "<b>first</b>"
        for kind, attributes in (
            ("gene", f"ID=gene:g{number:03};Name={name.replace('<', '%3C').replace('>', '%3E')};biotype=protein_coding"),
            ("mRNA", f"ID=transcript:t{number:03};Parent=gene:g{number:03}"),
            ("exon", f"ID=e{number:03};Parent=transcript:t{number:03}"),
        ):
            lines.append(f"chr1\tmade\t{kind}\t{start}\t{start + 50}\t.\t+\t.\t{attributes}")
    (folder / "genes.gff3").write_text("\n".join(lines) + "\n")
    store = open_store(folder / "store")
    assembly = add_files(store, "made", [str(folder / "made.fa")])
    add_annotation(store, "genes", assembly, str(folder / "genes.gff3"))
    modo = MODO.create(folder / "data/ex", id="ex")
    modo.add_element({"@type": "ReferenceGenome", "id": "made", "assembly": "made"})
    modo.add_element({"@type": "Sample", "id": "s", "cell_type": "CL:0000182"})
    (folder / "cl.obo").write_text("format-version: 1.2\nontology: cl\n\n[Term]\nid: CL:0000182\nname: hepatocyte <i>\n")
    index = codes.build([folder / "cl.obo"], folder / "codes.index")
    with BackgroundServer(create_app(open_storage(folder / "data"), references=store, index=index)) as server:
        yield server.url


def test_a_reference_genome_shows_its_genes(referred):
    page = look(referred, "/elements/ex/reference/made")
    assert "60 genes" in page.text and "The first 50 of 60" in page.text and "<b>first</b>" in page.text
    rows = [one.text for one in page.elements if one.tag == "tr" and "chr1:" in one.text]
    assert len(rows) == 50 and "chr1:101-151" in rows[1], "1-based and inclusive, as the GFF3 has it"
    page = look(referred, "/elements/ex/reference/made?gene=GENE59")
    assert next(one.text for one in page.elements if one.tag == "tr" and "chr1:" in one.text).startswith("GENE59")
    assert "chr1:5,901-5,951" in page.text
    missing = look(referred, "/elements/ex/reference/made?gene=GENEX")
    assert "no gene" in missing.text.lower() and not [one for one in missing.elements if one.tag == "tr"]


def test_terms_have_the_labels_of_the_index(referred):
    page = look(referred, "/elements/ex/sample/s")
    link = next(one for one in page.elements if one.attributes.get("href") == "http://purl.obolibrary.org/obo/CL_0000182")
    assert link.text == "hepatocyte <i>" and "CL:0000182" in page.text


def test_links_that_are_not_in_the_table_are_counted(tmp_path):
    """Also where one element alone has more than the table."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    with modo.transaction() as transaction:
        for number in range(250):
            transaction.add_element({"@type": "Sample", "id": f"s{number}"})
    modo.add_element(
        {
            "@type": "Assay",
            "id": "assay",
            "omics_type": ["GENOMICS"],
            "has_sample": [f"sample/s{number}" for number in range(250)],
        }
    )
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        text = requests.get(f"{server.url}/objects/ex", headers={"Accept": "text/html"}, timeout=60).text
    assert "and 50 more links" in text
