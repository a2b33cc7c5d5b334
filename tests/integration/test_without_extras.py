"""Where a package of an extra is missing, nothing is done by half, and what is missing is not taken for damage.

`tests/packages` has whole installations without extras; here a package is hidden from a process that has it.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import requests

import modos
from modos import codes
from modos.cli import suggesting
from modos.codes.index_builder import build
from modos.codes.sources_of_codes import default_path
from modos.errors import InvalidInputError
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.genomekit import import_from
from modos.reference.store import ReferenceStore
from modos.storage import open_storage
from tests.support.building import ROOT
from tests.support.building import run as run_program
from tests.support.commands import MODOS

GENES = "##gff-version 3\nchr1\tx\tgene\t2\t9\t.\t+\t.\tID=g1;Name=ONE\n"
CELLS = "format-version: 1.2\nontology: cl\n\n[Term]\nid: CL:0000084\nname: T cell\n"


@pytest.fixture
def hide(monkeypatch):
    """Hides a package."""
    return lambda package: monkeypatch.setitem(sys.modules, package, None)


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_codes_are_looked_up_and_a_search_is_refused(tmp_path, hide):
    """A whole index is not called damaged; nor the schema's own values, which need no index."""
    (tmp_path / "cl.obo").write_text(CELLS)
    index = codes.open(build([tmp_path / "cl.obo"], tmp_path / "codes.idx"))
    assert [found.label for found in index.search("cell_type", "t cell")] == ["T cell"]
    hide("rapidfuzz")
    assert [found.label for found in index.search("cell_type", "CL:0000084")] == ["T cell"]
    for slot, words in (("cell_type", "t cell"), ("sex", "male")):
        with pytest.raises(InvalidInputError, match="rapidfuzz, which is not installed") as error:
            index.search(slot, words)
        assert error.value.hint == "pip install 'modos-store[codes]'"


def test_codes_that_cannot_be_searched_are_not_promised(tmp_path, hide, monkeypatch, capsys):
    """Whoever is asked for slots hears it once, with what to install; and nothing where there is no index anyhow."""
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MODOS_CODES", raising=False)
    monkeypatch.delenv("MODOS_ENDPOINT", raising=False)
    hide("rapidfuzz")
    suggesting._at_hand.cache_clear()
    assert not suggesting.has_codes("cell_type") and capsys.readouterr().err == ""
    (tmp_path / "cl.obo").write_text(CELLS)
    build([tmp_path / "cl.obo"], default_path())
    suggesting._at_hand.cache_clear()
    assert [suggesting.has_codes(slot) for slot in ("cell_type", "cell_type", "taxon_id")] == [False] * 3
    assert suggesting.suggest("cell_type", "t cell") == "t cell"
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "codes are not suggested: this takes rapidfuzz" in told
    assert "pip install 'modos-store[codes]'" in told
    suggesting._at_hand.cache_clear()


def test_an_assembly_is_not_added_without_its_annotation(tmp_path):
    (tmp_path / "a.fa").write_text(">chr1\nACGTACGTACGT\n")
    (tmp_path / "genes.gff3").write_text(GENES)
    code = "import sys; sys.modules['polars'] = None; " + MODOS[2]
    words = ["reference", "add", "toy", "a.fa", "--gff3", "genes.gff3", "--store", "refs"]
    with pytest.raises(
        AssertionError, match=r"this takes polars, which is not installed\nhint: pip install 'modos-store\[polars\]"
    ):
        run_program(sys.executable, "-c", code, *words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert not (tmp_path / "refs").exists()


def test_soft_masked_sequences_are_refused_before_they_are_read(tmp_path, hide):
    """Their stretches are kept in a table; what has none is added."""
    store = ReferenceStore(open_storage(tmp_path))
    hide("polars")
    taken = []

    def pieces():
        for piece in [("chr1", b""), ("chr1", b"ACGTacgt"), ("chr2", b""), ("chr2", b"ACGT")]:
            taken.append(piece)
            yield piece

    with pytest.raises(InvalidInputError, match="polars, which is not installed"):
        store.add("toy", pieces)
    assert len(taken) == 2 and files_of(tmp_path) == []
    store.add("plain", lambda: iter([("chr1", b""), ("chr1", b"ACGT")]))
    assert store.assembly("plain").bases == 4


def make_twobit(bases):
    """A 2bit file of one sequence without blocks, of four bases."""
    packed = sum("TCAG".index(letter) << (6 - 2 * number) for number, letter in enumerate(bases))
    record = struct.pack("<4I", len(bases), 0, 0, 0) + bytes([packed])
    return struct.pack("<4I", 0x1A412743, 0, 1, 0) + b"\x04chr1" + struct.pack("<I", 25) + record


def test_assemblies_of_a_folder_are_not_imported_without_their_annotations(tmp_path, hide):
    gk = tmp_path / "gk"
    gk.mkdir()
    (gk / "toy.2bit").write_bytes(make_twobit("ACGT"))
    storage, store = open_storage(gk), ReferenceStore(open_storage(tmp_path / "refs"))
    (gk / "genes.cfg").write_text("refg=toy\n")
    (gk / "genes.gff3").write_text(GENES)
    hide("polars")
    with pytest.raises(InvalidInputError, match="polars, which is not installed"):
        list(import_from(storage, store))
    assert not (tmp_path / "refs").exists()
    (gk / "genes.cfg").unlink()
    assert [made.name for made in import_from(storage, store)] == ["toy"]


def test_a_table_of_an_annotation_is_not_asked_for_the_version_of_what_is_missing(tmp_path, hide, monkeypatch):
    def find_no_version(name):
        raise PackageNotFoundError(name)

    (tmp_path / "a.fa").write_text(">chr1\nACGTACGTACGT\n")
    (tmp_path / "genes.gff3").write_text(GENES)
    store = ReferenceStore(open_storage(tmp_path / "refs"))
    add_annotation(store, "genes", add_files(store, "toy", [str(tmp_path / "a.fa")]), str(tmp_path / "genes.gff3"))
    genes = modos.open_reference("toy", place=tmp_path / "refs").annotation("genes").genes
    hide("polars")
    monkeypatch.setattr("modos.reference.tried.version", find_no_version)
    with pytest.raises(InvalidInputError, match="polars, which is not installed"):
        genes.to_polars()
    assert len(genes) == 1 and "genes" in repr(genes)


def test_a_server_without_polars_serves_the_rest(tmp_path):
    """As the small image does: what takes tables says what it takes, and that the server is not able to, instead of the caller."""
    modos.MODO.create(tmp_path / "ex", description="an object", name="one")
    code = "import sys; sys.modules['polars'] = None; " + MODOS[2]
    words = [sys.executable, "-c", code, "serve", str(tmp_path), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        try:
            url = re.search(r"http://\S+", process.stderr.readline())[0]
            for path in ("/list", "/meta", "/objects/ex", "/healthz", "/readyz", "/docs", "/ga4gh/drs/v1/service-info"):
                assert requests.get(url + path, headers={"Accept": "text/html"}, timeout=20).status_code == 200, path
            said = "the server cannot answer that: this takes polars, which is not installed"
            answer = requests.get(f"{url}/find", timeout=20)
            assert (answer.status_code, answer.json()) == (501, {"error": "missing_package", "message": said})
            page = requests.get(f"{url}/", headers={"Accept": "text/html"}, timeout=20)
            assert page.status_code == 501 and said[1:] in page.text and "pip install" not in page.text
        finally:
            process.terminate()
            assert "Traceback" not in process.stderr.read()
