"""What a person does from the first page to the reads on the screen, and what they meet on the way."""

from __future__ import annotations

import re
import shutil
import socket
from urllib.parse import quote

import pysam
import pytest
from playwright.sync_api import expect

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import generate
from modos.gateway import open_view
from modos.object.document import ROOT_KEY
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.integration.test_page_escaping import pages_of, write_object
from tests.support.browsing import NARROW, Served, focused, tab_to
from tests.support.genome_view import GENES, make_object, write_sources
from tests.support.igv_view import moving, settle
from tests.support.provider import Provider

DRAWN = "#genome-box[data-ready=true]"
PAYLOAD = "<img/src=x/onerror=window.pwned=1>"
RULES = """
[oidc]
issuer = "{url}"
audience = "modos"
name_claim = "preferred_username"

[[rule]]
who = ["user:alice"]
read = ["lab"]
"""
# The names of the reads that igv.js has for what is shown, and the place for which it has them (0-based half-open)
READS = """() => {
    const lane = window.modosBrowser.trackViews.find(one => one.track.type === "alignment");
    const held = lane.viewports[0].featureCache;
    return held ? [held.chr, held.bpStart, held.bpEnd, held.features.allAlignments().map(read => read.readName).sort()] : null;
}"""


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome-sources")
    write_sources(folder)
    return folder


@pytest.fixture(scope="session")
def place(sources, tmp_path_factory):
    """A folder with an object (`lab`) of reads, variants, genes and a track, and the demo's one."""
    root = tmp_path_factory.mktemp("genome-place")
    make_object(root / "lab", sources)
    MODO.create(root / "other", id="other", name="Another object", description="Without any data")
    return root


@pytest.fixture(scope="session")
def lab_folder(place):
    with BackgroundServer(create_app(open_storage(place))) as server:
        yield Served(server.url, str(place))


@pytest.fixture(scope="session")
def lab_s3(place, stack):
    for name in ("lab", "other"):
        target = f"s3://{BUCKET}/cohort/{name}"
        MODO.open(place / name).upload(target, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    storage = open_storage(f"s3://{BUCKET}/cohort", s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    with BackgroundServer(create_app(storage)) as server:
        yield Served(server.url, f"s3://{BUCKET}/cohort", (stack.s3,))


@pytest.fixture(params=["folder", "S3"])
def lab(request):
    return request.getfixturevalue("lab_folder" if request.param == "folder" else "lab_s3")


def go_to(page, text):
    """Type a gene or a region into the field of the genome page, and press Enter."""
    field = page.get_by_label("Gene or region")
    field.fill(text)
    field.press("Enter")


def shown_reads(page, contig, start, end):
    """What igv.js holds for a region, once it does."""
    found = page.wait_for_function(f"""() => {{
        const found = ({READS})();
        return found && found[0] === "{contig}" && found[1] <= {start} && found[2] >= {end} && found;
    }}""")
    return found.json_value()


def names_in(path, contig, start, end):
    """The names of the reads that overlap a region, as pysam finds them; of those that igv.js draws."""
    with pysam.AlignmentFile(path) as reads:
        return sorted(read.query_name for read in reads.fetch(contig, start, end) if not read.flag & (0x4 | 0x200 | 0x400))


def wait_until_drawn(page, kind):
    """Wait until something is drawn in a lane: some of its pixels are not of its ground."""
    page.wait_for_function(
        """kind => {
            const lane = window.modosBrowser.trackViews.find(one => one.track.type === kind);
            const canvas = lane.viewports[0].canvas;
            if (!canvas?.width || !canvas.height) return false;
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return data.some((value, at) => at % 4 === 3 && value > 0);
        }""",
        arg=kind,
    )


def test_from_the_catalogue_to_reads_on_the_screen(lab, sources, visit, screenshot):
    visitor = visit(lab, "/")
    page = visitor.page
    page.get_by_label("Search the catalogue").type("AlignmentSet lab")
    page.wait_for_url("**search=AlignmentSet+lab")
    expect(page.get_by_role("link", name="lab").first).to_be_visible()
    assert page.get_by_text("Another object").count() == 0
    screenshot(page, "journey-1-found")
    page.locator("ol.list").get_by_role("link").first.click()
    page.wait_for_url("**/objects/lab")
    screenshot(page, "journey-2-object")
    page.locator("#elements").get_by_role("link", name="data/reads", exact=True).click()
    page.wait_for_url("**/elements/lab/data/reads")
    screenshot(page, "journey-3-element")
    page.get_by_role("link", name="Open in the genome browser").click()
    page.wait_for_selector(DRAWN)
    go_to(page, "chr1:20,001-25,000")
    contig, start, end, names = shown_reads(page, "chr1", 20_000, 25_000)
    assert names == names_in(sources / "reads.bam", contig, start, end)
    assert set(names) >= set(names_in(sources / "reads.bam", "chr1", 20_000, 25_000)) and len(names) > 500
    settle(page, "chr1:20,001-25,000")
    wait_until_drawn(page, "alignment")
    assert page.locator("#failures").inner_text() == ""
    assert "locus=chr1:20,001-25,000" in page.url, "the address is a link to the view"
    screenshot(page, "journey-4-reads")


def test_a_view_is_a_link(lab, sources, visit):
    address = "/genome?element=lab/data/reads&element=lab/data/genes&locus=chr2:10,001-12,000"
    page = visit(lab, address).page
    page.wait_for_selector(DRAWN)
    contig, start, end, names = shown_reads(page, "chr2", 10_000, 12_000)
    assert names == names_in(sources / "reads.bam", contig, start, end)


def test_a_jump_to_a_gene(lab, sources, visit, screenshot):
    visitor = visit(lab, "/genome?element=lab/data/reads&element=lab/data/genes")
    page = visitor.page
    page.wait_for_selector(DRAWN)
    go_to(page, "Name5")
    contig, gene_start, gene_end = GENES[5]
    shown = page.wait_for_function("() => new URL(location).searchParams.get('locus')?.match(/^chr1:4[0-9],/) && location.href")
    found = re.search(r"locus=(\w+):([\d,]+)-([\d,]+)", shown.json_value())
    start, end = (int(found[at].replace(",", "")) for at in (2, 3))
    assert found[1] == contig and start <= gene_start + 1 and end >= gene_end, "the whole gene, and some around it"
    shown_reads(page, contig, gene_start, gene_end)
    screenshot(page, "journey-gene")
    page.get_by_label("Gene or region").fill("Name1")
    page.locator("#places li").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => new URL(location).searchParams.get('locus')?.match(/^chr1:1[01],/)")
    visitor.bears("answer 404|console error.*404")
    go_to(page, "NoSuchGene")
    page.locator("#failures").get_by_text("there is neither a region nor a gene NoSuchGene").wait_for()


def test_panning_asks_for_nothing_twice(lab, visit):
    visitor = visit(lab, "/genome?element=lab/data/reads&locus=chr1:100,001-110,000")
    page = visitor.page
    page.wait_for_selector(DRAWN)
    settle(page)
    for button in ("Move right", "Move right", "Move left", "Move left", "Zoom in", "Zoom out"):
        with moving(page):
            page.get_by_role("button", name=button, exact=True).first.click()
    shown_reads(page, "chr1", 100_000, 110_000)
    data = [(method, url) for method, url in visitor.requests if "/assets/" not in url and "/genome?" not in url]
    assert len(data) == len(set(data)), sorted({one for one in data if data.count(one) > 1})


def test_log_in_on_the_way_to_reads(place, sources, tmp_path, visit, screenshot):
    """Who follows a link to a view logs in, and sees the reads by their own right, with the cookie of the session."""
    with Provider() as provider:
        (tmp_path / "access.toml").write_text(RULES.format(url=provider.url))
        access = Access.from_file(tmp_path / "access.toml")
        with BackgroundServer(create_app(open_storage(place), access=access)) as server:
            visitor = visit(Served(server.url, str(place), (provider.url,)), None)
            page = visitor.page
            visitor.expects("answer 403", "console error.*403")
            page.goto(server.url + "/objects/lab")
            assert "Please log in" in page.inner_text("main")
            page.get_by_role("main").get_by_role("link", name="Log in").click()
            page.get_by_label("Name").fill("alice")
            page.get_by_role("button", name="Continue").click()
            page.wait_for_url(server.url + "/objects/lab")
            page.goto(server.url + "/genome?element=lab/data/reads&locus=chr1:20,001-25,000")
            page.wait_for_selector(DRAWN)
            contig, start, end, names = shown_reads(page, "chr1", 20_000, 25_000)
            assert names == names_in(sources / "reads.bam", contig, start, end)
            screenshot(page, "journey-log-in")
            page.get_by_role("button", name="Log out").click()
            page.wait_for_url(f"{provider.url}/end?**")
            page.goto(server.url + "/objects/lab")
            assert "Please log in" in page.inner_text("main"), "also for who goes back"


def test_nothing_of_hostile_metadata_runs(tmp_path, visit, screenshot):
    """Scripts, handlers and tags in every slot of the schema, in ids and in names of files: none comes to life."""
    name = write_object(tmp_path, True)
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        visitor = visit(Served(server.url, str(tmp_path)), None)
        page = visitor.page
        visitor.context.add_init_script("window.alert = () => { window.pwned = 1; };")
        visitor.bears("answer 4", "console error: Failed to load")
        addresses = [
            "/",
            "/?search=seen-name",
            f"/?search={quote(PAYLOAD)}",
            f"/objects/{quote(PAYLOAD)}",
            *pages_of(tmp_path, name),
        ]
        addresses += [f"/genome?element={quote(name)}/data/browsed", f"/genome?element={quote(PAYLOAD)}&locus={quote(PAYLOAD)}"]
        addresses += [f"/login?next={quote(PAYLOAD)}", f"/{quote(PAYLOAD)}", "/docs"]
        for number, address in enumerate(addresses):
            page.goto(server.url + address)
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            assert page.evaluate(
                "[window.pwned, document.querySelectorAll('modos-xss, img, script:not([src]):not([type])').length]"
            ) == [
                None,
                0,
            ], address
            if number in (1, 4):
                screenshot(page, f"hostile-{number}")
        assert len(addresses) >= 30


def write_hostile_files(folder):
    """Reads, variants and genes whose names, tags, samples and notes are tags of HTML."""
    fasta = folder / "bases.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 2500 + "\n")
    pysam.faidx(str(fasta))
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "chr1", "LN": 10_000}],
        "RG": [{"ID": PAYLOAD, "SM": PAYLOAD}],
    }
    with pysam.AlignmentFile(folder / "reads.bam", "wb", header=header) as out:
        for start in range(0, 9_000, 30):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.flag, read.reference_name, read.reference_start = PAYLOAD, 0, "chr1", start
            read.mapping_quality, read.cigarstring, read.query_sequence = 60, "100M", ("ACGT" * 30)[start % 4 :][:100]
            read.set_tags([("RG", PAYLOAD, "Z"), ("XX", f"<b onmouseover=window.pwned=1>{PAYLOAD}", "Z")])
            out.write(read)
    pysam.index(str(folder / "reads.bam"))
    lines = ["##fileformat=VCFv4.3", "##contig=<ID=chr1,length=10000>", '##INFO=<ID=NOTE,Number=1,Type=String,Description="x">']
    lines += [
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">',
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{PAYLOAD}",
    ]
    lines += [
        f"chr1\t{at}\t{PAYLOAD}\t{'ACGT'[(at - 1) % 4]}\tN\t50\tPASS\tNOTE={PAYLOAD.replace('=', '')}\tGT\t0/1"
        for at in range(100, 9000, 100)
    ]
    (folder / "calls.vcf").write_text("\n".join(lines) + "\n")
    pysam.tabix_index(str(folder / "calls.vcf"), preset="vcf", force=True)
    genes = [
        f"chr1\tx\tgene\t{at}\t{at + 1000}\t.\t+\t.\tID=g{at};Name={PAYLOAD.replace('=', '%3D')}" for at in range(500, 8000, 2000)
    ]
    (folder / "genes.gff3").write_text("\n".join(["##gff-version 3", *genes]) + "\n")


# All images of a page, also of what igv.js draws
IMAGES = (
    """[document, document.querySelector("#genome-box").shadowRoot].flatMap(root => [...root?.querySelectorAll("img") ?? []])"""
)
# What is told of what was clicked, which then goes away
TOLD = f"""async () => {{
    await new Promise(done => setTimeout(done, 0));  // igv.js tells after a delay of its own, which is 0, too
    const box = document.querySelector("#genome-box");
    const told = [...(box.shadowRoot ?? box).querySelectorAll(".igv-ui-popover")].filter(one => one.style.display !== "none");
    const text = told.map(one => one.textContent).join(" ");
    if ({IMAGES}.length) throw new Error("an image came to life: " + text);
    told.forEach(one => {{ one.style.display = "none"; }});
    return text;
}}"""


def test_nothing_of_hostile_files_runs(tmp_path, visit, screenshot):
    """Clicks on reads, variants and genes show texts."""
    (tmp_path / "source").mkdir(), (tmp_path / "place").mkdir()
    write_hostile_files(tmp_path / "source")
    modo = MODO.create(tmp_path / "place/lab", id="lab")
    modo.add_element({"@type": "ReferenceGenome", "id": "bases"}, source_file=tmp_path / "source/bases.fa")
    for name, kind, form in (
        ("reads.bam", "AlignmentSet", "BAM"),
        ("calls.vcf.gz", "VariantSet", "VCF"),
        ("genes.gff3", "DataEntity", "GFF3"),
    ):
        about = {
            "@type": kind,
            "id": name.partition(".")[0],
            "name": PAYLOAD,
            "data_format": form,
            "has_reference": ["reference/bases"],
        }
        modo.add_element(about, source_file=tmp_path / "source" / name)
    with BackgroundServer(create_app(open_storage(tmp_path / "place"))) as server:
        address = (
            "/genome?" + "&".join(f"element=lab/data/{name}" for name in ("reads", "calls", "genes")) + "&locus=chr1:1,001-3,000"
        )
        visitor = visit(Served(server.url, str(tmp_path)), address)
        page = visitor.page
        settle(page, "chr1:1,001-3,000")
        visitor.bears("script: minGroupY is not defined")  # of igv.js, where a click meets no read
        page.evaluate("window.modosBrowser.constants.doubleClickDelay = 0")  # each click is one, however fast the next comes
        for kind in ("alignment", "variant", "annotation"):
            told = ""
            box = page.evaluate(
                """kind => {
                    const lane = window.modosBrowser.trackViews.find(one => one.track.type === kind).viewports[0].$viewport[0];
                    lane.scrollIntoView();
                    return lane.getBoundingClientRect().toJSON();
                }""",
                kind,
            )
            for x in range(5, int(box["width"]) - 5, 47):
                for y in (4, 12, 20, 35):
                    page.mouse.click(box["x"] + x, box["y"] + y)
                    told += page.evaluate(TOLD)
            assert "<img/src=x" in told, f"something was clicked, and shown as text: {kind}"
        go_to(page, PAYLOAD)
        settle(page, "chr1:399-1,601")  # the first gene of this name, and some around it
        screenshot(page, "hostile-genome")
        assert page.evaluate("window.pwned") is None
        assert page.evaluate(f"{IMAGES}.length") == 0


@pytest.fixture
def port():
    """A port for servers that come and go: nobody else gets it meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_server_that_goes_away(place, port, visit, screenshot):
    server = BackgroundServer(create_app(open_storage(place)), port)
    catalogue, genome = (
        visit(Served(server.url, str(place)), path) for path in ("/", "/genome?element=lab/data/reads&locus=chr1:20,001-25,000")
    )
    settle(genome.page, "chr1:20,001-25,000")
    expect(catalogue.page.get_by_role("link", name="lab").first).to_be_visible()
    server.stop()
    for visitor in (catalogue, genome):
        visitor.expects("failed: GET .*ERR_CONNECTION_REFUSED", "console error.*ERR_CONNECTION_REFUSED").bears(
            "console error: Failure: the server does not answer"
        )
    catalogue.page.get_by_label("Search the catalogue").type("lab")
    catalogue.page.get_by_text("The server does not answer.").first.wait_for()
    assert catalogue.page.get_by_role("link", name="lab").first.is_visible(), "what was there stays"
    screenshot(catalogue.page, "gone-catalogue")
    go_to(genome.page, "chr1:300,001-305,000")
    expect(genome.page.locator("#failures")).to_contain_text("the server does not answer")
    screenshot(genome.page, "gone-genome")
    with BackgroundServer(create_app(open_storage(place)), port):
        catalogue.page.get_by_role("button", name="Try again").click()
        catalogue.page.get_by_text("The server does not answer.").first.wait_for(state="hidden")
        genome.page.get_by_role("button", name="Try again").first.click()
        shown_reads(genome.page, "chr1", 300_000, 305_000)
        settle(genome.page, "chr1:300,001-305,000")


def test_an_object_that_is_damaged_says_so(place, tmp_path, visit):
    (tmp_path / "ex/data.zarr").mkdir(parents=True)
    (tmp_path / "ex" / ROOT_KEY).write_text("{")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        visitor = visit(Served(server.url, str(tmp_path)), "/")
        expect(visitor.page.get_by_role("main")).to_contain_text("damaged")


def test_by_the_keyboard_alone_on_a_narrow_screen(lab_folder, sources, visit, screenshot):
    """From the catalogue by a search to the object, its element, and the reads, with no mouse and 375 pixels."""
    page = visit(lab_folder, "/", viewport=NARROW).page
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    page.get_by_label("Search the catalogue").wait_for()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "search":
            break
    page.keyboard.type("AlignmentSet")
    page.wait_for_url("**search=AlignmentSet*")
    tab_to(page, "lab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/objects/lab")
    tab_to(page, "data/reads", most=200)
    page.keyboard.press("Enter")
    page.wait_for_url("**/elements/lab/data/reads")
    tab_to(page, "Open in the genome browser")
    page.keyboard.press("Enter")
    page.wait_for_selector(DRAWN)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "locus":
            break
    page.keyboard.press("Control+a")
    page.keyboard.type("chr1:20,001-22,000")
    page.keyboard.press("Enter")
    _, start, end, names = shown_reads(page, "chr1", 20_000, 22_000)
    assert names == names_in(sources / "reads.bam", "chr1", start, end)
    screenshot(page, "journey-narrow")
    settle(page, "chr1:20,001-22,000")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "genome-box":
            break
    with moving(page):
        page.keyboard.press("ArrowRight")
    assert "locus=chr1:20,668-22,667" in page.url


def test_pages_without_scripts(lab_folder, visit):
    """The catalogue, objects and elements work without them; the genome page says that it does not."""
    page = visit(lab_folder, "/?search=AlignmentSet", java_script_enabled=False).page
    page.get_by_role("link", name="lab").first.click()
    page.locator("#elements").get_by_role("link", name="data/reads", exact=True).click()
    page.get_by_role("link", name="Open in the genome browser").click()
    expect(page.get_by_role("main")).to_contain_text("drawn by JavaScript", use_inner_text=True)


def test_a_sealed_file_by_modos_view(place, sources, tmp_path, visit, screenshot):
    """Who has the key sees the reads that the plain file has; no page without the token in the address."""
    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    shutil.copytree(place / "lab", tmp_path / "sealed")
    MODO.open(tmp_path / "sealed").encrypt(tmp_path / "me.pub")
    assert not list((tmp_path / "sealed").glob("*.bam"))
    with open_view(tmp_path / "sealed", secret_key=tmp_path / "me.sec") as view:
        served = Served(view.url, str(tmp_path))
        stranger = visit(served, "/").expects("answer 403", "console error.*403")
        assert "sealed" not in stranger.page.inner_text("body")
        visitor = visit(served, None)
        page = visitor.page
        page.goto(view.address("reads", "chr1:20,001-25,000"))
        page.wait_for_selector(DRAWN)
        contig, start, end, names = shown_reads(page, "chr1", 20_000, 25_000)
        assert names == names_in(sources / "reads.bam", contig, start, end) and "token" not in page.url
        screenshot(page, "journey-sealed")
        page.get_by_role("link", name="Catalogue").click()
        page.get_by_role("link", name="sealed").first.click()
        assert "encrypted" not in page.locator("#files").inner_text()
    assert not list((tmp_path / "sealed").glob("*.bam")), "nothing plain was written"
