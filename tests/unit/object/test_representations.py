"""What a REPL and a notebook show: readable, bounded, escaped, and never an error or a secret."""

import html.parser
import re
import shutil

import numpy as np
import pytest

import modos
from modos.api import MODO, Region
from modos.demo.dataset import generate
from modos.errors.escaping import hide_secrets
from modos.formats.html_tables import to_html, write_table

ADDRESS = re.compile(r" object at 0x|0x[0-9a-fA-F]{6,}")
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "a\x1b[31mred\x07",
    "\u202egnp.exe\u2066",
    "</table></pre></details>",
    "&lt;b&gt;",
    "line\nline\ttab\u2028",
    "x" * 10_000,
]
ALLOWED = {"table", "caption", "tr", "th", "td", "p", "details", "summary", "pre"}


class Tags(html.parser.HTMLParser):
    """Sees that only tags of tables without attributes are there, each closed."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        assert tag in ALLOWED and not attributes, (tag, attributes)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)


def read(text):
    """The text of HTML that is harmless, and small."""
    assert len(text) < 200_000
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    shown = "\n".join(tags.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", shown)
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    generate(folder)
    modo = MODO.from_file(folder / "modo.yaml", folder / "objects" / "ex")
    modo.add_genome(reference="reference1")
    modo.add_track("signal", {"chr1": np.arange(60_000, dtype=np.float32)})
    return folder


@pytest.fixture(scope="module")
def modo(folder):
    return MODO.open(folder / "objects" / "ex")


def everything(modo, folder):
    """All that the documented names give, by how one gets it."""
    genome, catalog = modo.genome, modos.open_catalog(folder / "objects")
    track, reference, element = genome.track("signal"), modo.reference(), modo["data/demo2"]
    yield "MODO", modo
    yield "modo.storage", modo.storage
    yield "modo.services", modo.services
    yield "modo.list_files()", modo.list_files()
    yield "modo.find_problems()", modo.find_problems()
    yield "modo.plan_packing()", modo.plan_packing()
    yield "modo.plan_download()", modo.plan_download(folder / "copy")
    yield "modo.transaction()", modos.object.transaction.Transaction(modo.storage, modo._object.document)
    yield "element", element
    yield "element of arrays", modo["data/signal"]
    yield "element.file", element.file
    yield "element.fetch()", element.fetch("chr1:1-100")
    yield "element.fetch() of all", element.fetch()
    yield "element.fetch() of several", element.fetch(["chr1:1-10", "chr2:1-10"])
    yield "element.file.measure()", element.file.measure("chr1:1-5,000", 100)
    yield "genome", genome
    yield "genome.contigs", genome.contigs
    yield "genome.contigs[...]", genome.contigs["chr1"]
    yield "genome[...]", genome["chr1"]
    yield "genome.tracks", genome.tracks
    yield "genome.sequence", genome.sequence
    yield "track", track
    yield "track.total", track.total
    yield "reference", reference
    yield "reference.assembly", reference.assembly
    yield "reference.assembly.contigs", reference.assembly.contigs[0]
    yield "Region", Region("chr1", 1, 2)
    yield "open_catalog", catalog
    yield "catalog.find()", catalog.find("DataEntity")
    yield "catalog.find()[0]", catalog.find("DataEntity")[0]
    yield "catalog.scan()", (plan := catalog.scan("coverage", "chr1:1-1,000", bins=10))
    yield "plan[0]", plan[0]
    yield "Catalog", modos.Catalog(modo.storage)
    yield "plot", element.plot("chr1:1-100", genes=False)


def test_each_shows_what_it_is(modo, folder):
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib, which the extra `plot` installs")
    for name, shown in everything(modo, folder):
        text = repr(shown)
        assert not ADDRESS.search(text) and len(text) < 5_000 and "\x1b" not in text, name
        if hasattr(shown, "_repr_html_") and "plot" not in name:
            assert read(shown._repr_html_()).strip(), name


def test_what_tables_have(modo, folder):
    catalog = modos.open_catalog(folder / "objects")
    assert "data/demo1" in read(modo._repr_html_())
    assert "signal" in read(modo.genome._repr_html_()) and "60,000" in read(modo.genome._repr_html_())
    assert repr(modo["data/demo2"].fetch("chr1:1-100")) == f"<records of chr1:1-100 of {modo['data/demo2'].file!r}>"
    assert "AlignmentSet" in read(catalog._repr_html_())
    assert repr(catalog.find("AlignmentSet")) == "[<AlignmentSet data/demo1 of ex>, <AlignmentSet data/demo2 of ex>]"
    assert repr(modo.genome.contigs) == "<2 contigs, 100,000 bases: chr1, chr2>"


def test_records_are_an_iterator_as_before(modo):
    records = modo["data/demo2"].fetch("chr1:1-1,000")
    first = next(records)
    others = list(records)
    assert 1 + len(others) == modo["data/demo2"].count("chr1:1-1,000") and next(records, None) is None
    assert first.reference_start <= others[0].reference_start
    records.close()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_metadata_do_nothing_to_a_notebook(tmp_path, text):
    modo = MODO.create(tmp_path / "ex", id="ex", description=text)
    modo.add_element({"id": "s", "@type": "Sample", "name": text, "description": text})
    for shown in (modo, modo["sample/s"]):
        repr(shown)
        words = read(shown._repr_html_())
        assert len(words) < 2_000
    read(modos.open_catalog(tmp_path)._repr_html_())
    read(modos.open_catalog(tmp_path).find()._repr_html_())
    assert read(write_table(text, [(text, [text] * 1000)], (text,), total=5))
    read(to_html(text))


def test_an_object_of_very_many_elements_shows_some():
    from modos.object.written_metadata import object_html

    metadata = {f"data/d{number}": {"@type": "DataEntity", "name": "n"} for number in range(100_000)}
    text = object_html("many", metadata)
    assert "and 99,900 more" in read(text) and len(text) < 20_000


def test_a_genome_of_very_many_contigs_shows_some():
    from modos.tracks.contigs import Contigs
    from modos.tracks.genome import Genome

    contigs = Contigs({f"scaffold{number}": 1000 for number in range(100_000)})
    assert len(repr(contigs)) < 200 and "and 99,900 more" in read(contigs._repr_html_())
    assert len(read(Genome(contigs, [])._repr_html_())) < 10_000


def test_a_place_that_is_gone_is_said_and_not_raised(folder, tmp_path):
    modo = MODO.open(shutil.copytree(folder / "objects" / "ex", tmp_path / "gone"))
    element, genome, track = modo["data/demo1"], modo.genome, modo.genome.track("signal")
    catalog = modos.open_catalog(tmp_path)
    shutil.rmtree(tmp_path / "gone")
    assert "nothing is to be seen" in read(modo._repr_html_())
    for shown in (modo, element, genome, track, catalog):
        assert repr(shown)
        assert read(shown._repr_html_())


def test_a_server_that_is_gone_is_said_and_not_raised():
    modo = MODO._at(
        "s3://bucket/object", services={"s3": "http://127.0.0.1:9"}, s3_kwargs={"key": "AKIAHIDDEN", "secret": "HIDDENSECRET"}
    )
    assert repr(modo) == "<MODO s3://bucket/object>"
    shown = read(modo._repr_html_())
    assert "nothing is to be seen" in shown and "HIDDEN" not in shown


def test_encrypted_tracks_are_shown_as_such(folder, tmp_path):
    from modos.encryption.keys import SecretKey

    modo = MODO.open(shutil.copytree(folder / "objects" / "ex", tmp_path / "sealed"))
    secret = SecretKey.random()
    modo.encrypt([secret.public])
    assert "encrypted" in read(modo.genome._repr_html_()) and "encrypted" in read(modo.genome.track("signal")._repr_html_())
    assert "encrypted, and" not in read(modo.open_genome(secret_key=secret)._repr_html_())


def test_no_secret_is_shown():
    from modos.encryption.keys import SecretKey
    from modos.object.address import ObjectAddress

    address = ObjectAddress("s3://bucket/object", s3_kwargs={"key": "AKIAHIDDEN", "secret": "HIDDENSECRET"})
    assert "HIDDEN" not in repr(address)
    secret = SecretKey.random()
    assert secret.raw.hex() not in repr(secret) and repr(secret.raw)[2:-1] not in repr(secret)
    signed = "https://s3.example/b/ex.zip?X-Amz-Signature=HIDDEN&X-Amz-Credential=HIDDEN/data/x and http://me:HIDDEN@host/a"
    assert "HIDDEN" not in hide_secrets(signed)
    assert hide_secrets(signed) == "https://s3.example/b/ex.zip?…/data/x and http://host/a"


def test_damaged_metadata_are_shown_as_they_are():
    from modos.object.notebook import ElementView
    from modos.object.written_metadata import object_html

    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

    view = ElementView("data/x", {"name": Broken(), "@type": None}, lambda path: None)
    assert read(view._repr_html_()) == "<ElementView, of which nothing is to be seen: RuntimeError>"
    assert read(object_html("x", {"data/x": {"@type": ["a", {"b": 1}], "name": 5, "data_path": None}}))
