"""The genome browser in a real Chromium: what igv.js holds is what samtools, bcftools and the files have."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from urllib.parse import quote

import numpy as np
import pysam
import pytest
from playwright.sync_api import expect

from modos.api import MODO
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.browsing import NARROW, Served, tab_to, width_of
from tests.support.genome_view import CONTIGS, GENES, make_object, write_sources
from tests.support.igv_view import held, moving, settle

START, END = 10_000, 20_000  # of chr1, 0-based half-open
LOCUS = "chr1:10,001-20,000"
ALL = ("ex/data/reads", "ex/data/packed", "ex/data/calls", "ex/data/cohort", "ex/data/signal")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return folder, write_sources(folder)


@pytest.fixture(scope="module")
def root(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewed")
    make_object(folder / "ex", source[0])
    make_object(folder / "other", source[0])
    return folder


@pytest.fixture(scope="module")
def served(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield Served(server.url, str(root))


def address(*elements, locus=LOCUS):
    return "/genome?" + "&".join(f"element={one}" for one in elements) + (f"&locus={locus}" if locus else "")


def lines_of(*words):
    return [
        line.split("\t")
        for line in subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()
        if line[0] != "#"
    ]


def asked(visitor, *paths):
    """The requests for data so far."""
    return [
        url
        for method, url in visitor.requests
        if any(f"/{path}/" in url for path in paths or ("slices", "bins", "coverage", "features"))
    ]


def test_reads_variants_tracks_and_genes_are_those_of_the_files(served, source, visit, screenshot):
    page = visit(served, address(*ALL)).page
    settle(page)
    wide = f"chr1:1-{END + END - START}"  # igv.js holds a screen on both sides
    for name, file in (("reads", "reads.bam"), ("packed", "packed.cram")):
        rows = lines_of("samtools", "view", "-F", "0x604", "-T", source[0] / "bases.fa", source[0] / file, wide)
        wanted = sorted((row[0], int(row[3]) - 1, row[9], row[5]) for row in rows)  # as igv.js shows them
        found = sorted(tuple(one) for one in held(page, "alignment", name))
        assert len(found) > 1000
        assert {one for one in found if one[1] >= START and one[1] < END} == {one for one in wanted if START <= one[1] < END}
    for name, file in (("calls", "calls.vcf.gz"), ("cohort", "cohort.bcf")):
        rows = lines_of("bcftools", "view", "-H", source[0] / file, f"chr1:{START + 1}-{END}")
        wanted = Counter((int(row[1]), row[4]) for row in rows if int(row[1]) > START)
        found = Counter((one["pos"], one["alt"]) for one in held(page, "variant", name) if START < one["pos"] <= END)
        assert found == wanted and len(found) > 30
    genes = {one["name"] for one in held(page, "annotation", "Genes") if one["start"] < END and one["end"] > START}
    assert genes == {
        f"Name{n}" for n, (contig, start, end) in enumerate(GENES) if contig == "chr1" and start < END and end > START
    }
    assert page.locator("#failures").inner_text() == ""
    assert page.locator("#status").inner_text() == LOCUS
    screenshot(page, "genome")


@pytest.mark.parametrize("locus", [LOCUS, "chr1:1-400,000", "chr2:1-300"])
def test_a_track_and_the_depth_are_drawn_as_their_values_are(served, source, visit, locus):
    page = visit(served, address("ex/data/reads", "ex/data/signal", locus=locus)).page
    settle(page)
    contig, span = locus.replace(",", "").split(":")
    start, end = int(span.split("-")[0]) - 1, int(span.split("-")[1])
    values = np.full(CONTIGS[contig], np.nan)
    for line in (source[0] / "signal.bedGraph").read_text().splitlines():
        name, first, last, value = line.split("\t")
        if name == contig:
            values[int(first) : int(last)] = np.float32(value)
    depth = np.zeros(CONTIGS[contig])
    for row in lines_of("samtools", "depth", "-a", "-r", contig, source[0] / "reads.bam"):
        depth[int(row[1]) - 1] = int(row[2])
    for name, wanted in (("signal", values), ("Depth", depth)):
        found = [one for one in held(page, "wig", name) if one["start"] < end and one["end"] > start]
        assert found
        for one in found:
            assert one["value"] == pytest.approx(np.nanmean(wanted[one["start"] : one["end"]]), rel=1e-5), (name, one)
        covered = sum(one["end"] - one["start"] for one in found)
        assert covered >= 0.8 * (end - start)


def test_panning_asks_for_nothing_twice(served, visit):
    visitor = visit(served, address(*ALL))
    page = visitor.page
    settle(page)
    for step in ("right", "right", "right"):
        with moving(page):
            page.locator(f"[data-step={step}]").click()
    there = len(asked(visitor))
    for step in ("left", "left", "left"):
        with moving(page):
            page.locator(f"[data-step={step}]").click()
    settle(page, LOCUS)
    assert len(asked(visitor)) == there and there > 10
    for way in (1, -1):
        with moving(page):
            page.mouse.move(800, 400)
            page.mouse.down()
            for number in range(10):
                page.mouse.move(800 - way * 50 * number, 400)
            page.mouse.up()
    assert all(count == 1 for count in Counter(url for _, url in visitor.requests if "/assets/" not in url).values())


def test_a_view_is_a_link_and_a_gene_is_jumped_to_by_keyboard_alone(served, visit):
    visitor = visit(served, address("ex/data/reads"))
    page = visitor.page
    settle(page)
    tab_to(page, "Gene or region")
    page.keyboard.press("Control+A")
    page.keyboard.type("name4", delay=20)
    expect(page.get_by_role("option").first).to_have_text(re.compile("^Name4 "))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    _, start, end = GENES[4]
    settle(page, f"chr1:{start - 599:,}-{end + 600:,}")
    for key in ("ArrowRight", "-"):  # the view has the keyboard now
        with moving(page):
            page.keyboard.press(key)
    again = visit(served, page.url.removeprefix(served.url)).page
    settle(again)
    assert again.locator("#status").inner_text() == page.locator("#status").inner_text()
    assert width_of(again) <= 1280


def test_what_is_no_place_is_said(served, visit):
    page = visit(served, address("ex/data/reads", locus="NOPE")).page
    settle(page)
    assert "neither a region nor a gene NOPE" in page.locator("#failures").inner_text()
    page.locator("#locus").fill("chr2:1,001-2,000")
    page.get_by_role("button", name="Go").click()
    settle(page, "chr2:1,001-2,000")
    assert page.locator("#failures").inner_text() == ""


def test_elements_of_another_object_are_added_and_removed(served, visit):
    page = visit(served, address("ex/data/signal")).page
    settle(page)
    page.get_by_label("Add an element").fill("other/data/calls")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**element=other/data/calls&locus=chr1:10,001-20,000")
    settle(page)
    assert len(held(page, "variant", "calls (other)")) > 30
    page.get_by_role("link", name="Remove signal").click()
    page.wait_for_url("**/genome?element=other/data/calls&locus=chr1:10,001-20,000")
    settle(page)


def test_a_narrow_window(served, visit):
    page = visit(served, address("ex/data/reads", "ex/data/calls"), viewport=NARROW).page
    settle(page)
    assert width_of(page) <= 375 and len(held(page, "alignment", "reads")) > 500


def test_a_server_that_goes_away_is_said_and_the_view_comes_back(root, visit):
    with BackgroundServer(create_app(open_storage(root))) as server:
        visitor = visit(server.url, address("ex/data/reads", "ex/data/signal"))
        settle(visitor.page)
    page = visitor.page
    page.locator("#locus").fill("chr1:200,001-210,000")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("#failures")).to_contain_text("the server does not answer")
    visitor.expects("failed: GET ", "console error")


# Whether a track holds some values, all of them one number; it holds none before it is read anew
VALUES_ARE = """([name, value]) => {
    const held = modosBrowser.trackViews.find(one => one.track.type === "wig" && one.track.name.includes(name)).viewports[0].featureCache;
    return held?.features.length && held.features.every(one => one.value === value);
}"""


def test_what_is_changed_while_it_is_looked_at_is_read_anew(source, visit, tmp_path):
    """Pieces that were drawn before are not mixed with those of the new object: all of them are of the new one."""
    make_object(tmp_path / "ex", source[0])
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        page = visit(server.url, address("ex/data/signal", locus="chr1:1-8,000")).page
        settle(page)
        assert any(one["value"] != 77 for one in held(page, "wig", "signal"))
        modo = MODO.open(tmp_path / "ex")
        values = "".join(f"{contig}\t0\t{length}\t77\n" for contig, length in CONTIGS.items())
        (tmp_path / "new.bedGraph").write_text(values)
        modo.replace_track("signal", tmp_path / "new.bedGraph")
        for locus in ("chr1:6,001-14,000", "chr1:1-8,000"):
            page.locator("#locus").fill(locus)
            page.get_by_role("button", name="Go").click()
            settle(page, locus)
        expect(page.locator("#status")).to_contain_text("changed since")
        page.wait_for_function(VALUES_ARE, arg=["signal", 77])  # which are read anew a little later
        page.goto("about:blank")  # what is still to be drawn finds no server


@pytest.mark.parametrize(
    ("locus", "contig", "address"),
    [
        ("chr1:1-900", "chr1", "chr1:1-900"),
        ("1:1-900", "1", "1:1-900"),
        ("{c}:1-100", "c", "{c}:1-100"),
        ("c:1-100", "c:1-100", "c:1-100:1-1,000"),
        ("HLA-A*01:01:1-900", "HLA-A*01:01", "HLA-A*01:01:1-900"),
        ("a,b:1-900", "a,b", "a,b:1-900"),
    ],
)
def test_contigs_whose_names_are_alike_are_not_taken_for_one_another(visit, tmp_path, locus, contig, address):
    """Also where a file has both chr1 and 1, or a name that reads as a place of another; the address leads there again."""
    contigs = ("chr1", "1", "c", "c:1-100", "HLA-A*01:01", "a,b")
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": 1000} for name in contigs]}
    with pysam.AlignmentFile(tmp_path / "reads.bam", "wb", header=header) as out:
        for name in contigs:
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.reference_name, read.reference_start, read.cigarstring = f"of {name}", name, 10, "50M"
            read.query_sequence, read.query_qualities = "A" * 50, pysam.qualitystring_to_array("I" * 50)
            out.write(read)
    pysam.index(str(tmp_path / "reads.bam"))
    element = {"@type": "AlignmentSet", "id": "reads", "data_format": "BAM"}
    MODO.create(tmp_path / "root" / "ex", id="ex").add_element(element, source_file=tmp_path / "reads.bam")
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        visitor = visit(server.url, f"/genome?element=ex/data/reads&locus={quote(locus)}")
        page = visitor.page
        settle(page)
        assert [read[0] for read in held(page, "alignment", "reads")] == [f"of {contig}"]
        page.wait_for_function("place => new URL(location.href).searchParams.get('locus') === place", arg=address)
        visitor.expects("console error: No sequence for")


RULES = """
tokens = "tokens"

[[rule]]
who = ["anyone"]
read = ["ex"]
regions = ["chr1:12,001-14,000"]
metadata = true
"""


def test_who_may_read_parts_sees_these_and_why(root, source, visit, tmp_path, screenshot):
    (tmp_path / "tokens").write_text("alice the-token-of-alice\n")
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "access.toml").write_text(RULES)
    with BackgroundServer(create_app(open_storage(root), access=Access.from_file(tmp_path / "access.toml"))) as server:
        visitor = visit(server.url, address("ex/data/reads", "ex/data/calls", "ex/data/signal"))
        page = visitor.expects("console error: No sequence for").page
        settle(page)
        assert "you may read the regions chr1:12001-14000 only" in page.locator(".lanes").inner_text()
        found = held(page, "alignment", "reads")
        rows = lines_of("samtools", "view", "-F", "0x604", source[0] / "reads.bam", "chr1:12001-14000")
        assert {one[0] for one in found} == {row[0] for row in rows} and len(found) > 100
        assert all(one["pos"] - 1 + 1000 >= 12_000 and one["pos"] - 1 < 14_000 for one in held(page, "variant", "calls"))
        depth = held(page, "wig", "Depth")
        assert min(one["start"] for one in depth) >= 11_990 and max(one["end"] for one in depth) <= 14_010
        assert "not shown" in page.locator(".lanes").inner_text()
        screenshot(page, "genome-bounded")


def test_hostile_names_are_text(root, source, visit, tmp_path):
    from modos.api import MODO

    make_object(tmp_path / "ex", source[0])
    evil = "<img src=x onerror=window.ran=1>\u202egnp"
    MODO.open(tmp_path / "ex").update_element("data/reads", {"name": evil})
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        page = visit(server.url, address("ex/data/reads", "ex/data/<b>x")).page
        settle(page)
        label = page.evaluate(
            "modosBrowser.trackViews.find(one => one.track.type === 'alignment').viewports[0].$trackLabel.text()"
        )
        assert label.startswith("<img src=x onerror=window.ran=1>") and "\u202e" not in page.content() + label
        assert page.evaluate("window.ran") is None


def test_a_click_on_a_read_shows_its_fields_as_text(served, visit):
    page = visit(served, address("ex/data/reads", locus="chr1:10,001-10,400")).page
    settle(page)
    shown = page.evaluate(
        "(() => modosBrowser.fireEvent('trackclick', [null, [{name: 'Read&nbsp;', value: '<img src=x onerror=window.ran=1>'}, '<hr/>',"
        " {html: '<b>bold</b>'}, 'plain <i>']]))()"
    )
    assert "&lt;img" in shown and "<img" not in shown and "<b>" not in shown and "&lt;i&gt;" in shown
