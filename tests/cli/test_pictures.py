"""`modos coverage -o` and `modos track plot -o`: what they draw, what they say, and how they refuse."""

import shutil
import struct
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest

from modos.api import MODO
from modos.demo.dataset import generate
from tests.support.commands import run

pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which the extra `plot` installs")

GENES = """##gff-version 3
chr1\t.\tgene\t1001\t5000\t.\t+\t.\tID=G1;Name=ALPHA
chr1\t.\tmRNA\t1001\t5000\t.\t+\t.\tID=T1;Parent=G1
chr1\t.\texon\t1001\t5000\t.\t+\t.\tParent=T1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    generate(folder)
    modo = MODO.from_file(folder / "modo.yaml", folder / "ex")
    modo.add_genome(reference="reference1")
    modo.add_track("signal", {"chr1": np.arange(60_000, dtype=np.float32)})
    modo.add_track("other", {"chr1": np.ones(60_000, np.float32)})
    (folder / "genes.gff3").write_text(GENES)
    described = {"id": "genes", "@type": "DataEntity", "data_format": "GFF3", "data_path": "genes.gff3"}
    modo.add_element(described | {"has_reference": ["reference/reference1"]}, folder / "genes.gff3")
    shutil.copytree(folder / "ex", folder / "second")
    return folder


@pytest.fixture
def modos(place):
    def call(*words, code=0):
        done = run(words, capture_output=True, cwd=place, timeout=120, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return call


def size_of(picture):
    return struct.unpack(">II", picture.read_bytes()[16:24])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["coverage", "ex/demo2.bam", "-r", "chr1:1-3000"], "drew 1 file in a.svg"),
        (["coverage", "ex/demo1.cram", "-r", "chr1", "--with", "ex/calls"], "drew 2 files in a.svg"),
        (["coverage", "ex/demo2.bam", "-r", "ALPHA", "--genes", "ALPHA"], "drew 1 file in a.svg"),
        (["coverage", "ex/demo2.bam", "-r", "chr1:1-3000", "--genes", ""], "drew 1 file in a.svg"),
        (["coverage", "ex/demo2.bam", "-r", "chr1:1-3000", "--annotation", "genes"], "drew 1 file in a.svg"),
        (["coverage", "ex/data/demo2", "-r", "chr1:1-9", "--with", "second/demo2.bam", "--overlay"], "drew 2 files in a.svg"),
        (
            ["coverage", "ex/demo2.bam", "-r", "chr1:1-9", "--with", "ex/signal", "--limits", "shared"],
            "drew 1 track and 1 file in a.svg",
        ),
        (["track", "plot", "ex", "chr1:1-3000"], "drew 2 tracks in a.svg"),
        (["track", "plot", "ex", "chr1", "signal", "--scale", "symlog", "--limits", ",9"], "drew 1 track in a.svg"),
        (["track", "plot", "ex", "-r", "chr1", "signal", "other", "--overlay"], "drew 2 tracks in a.svg"),
        (["track", "plot", "ex", "-r", "chr1", "--with", "second/data/signal"], "drew 3 tracks in a.svg"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_pictures_are_drawn(place, modos, words, told):
    done = modos(*words, "-o", "a.svg")
    assert done.stdout == "" and done.stderr.splitlines()[-1] == told
    ElementTree.parse(place / "a.svg")
    (place / "a.svg").unlink()


def test_the_picture_is_that_of_python(place, modos):
    from modos.figures import save

    modos(
        "coverage",
        "ex/demo2.bam",
        "-r",
        "chr1:1-3000",
        "--title",
        "Reads",
        "--size",
        "150x50mm",
        "--font-size",
        "8",
        "-o",
        "cli.svg",
    )
    figure = MODO.open(place / "ex")["data/demo2"].plot("chr1:1-3000", title="Reads", size="150x50mm", font_size=8)
    save(figure, place / "python.svg")
    assert (place / "cli.svg").read_bytes() == (place / "python.svg").read_bytes()


def test_size_and_resolution(place, modos):
    modos("track", "plot", "ex", "chr1", "signal", "-o", "a.png", "--size", "4x2in", "--dpi", "50")
    assert size_of(place / "a.png") == (200, 100)


def test_what_is_left_out_is_said(modos):
    done = modos("track", "plot", "ex", "chr1:1-9", "signal", "--scale", "log", "-o", "a.svg")
    assert done.stderr.splitlines()[0] == "signal: 1 base at 0 or below are not on a logarithmic axis"


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (2, ["coverage", "ex/demo2.bam", "-o", "b.svg"], "no region is given"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1", "-r", "chr2", "-o", "b.svg"], "2 regions are given"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1", "-o", "b.bmp"], ".svg, .png or .pdf"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr1", "-o", "none/b.svg"], "there is no folder none"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1", "--title", "x"], "--title goes with a picture"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1", "--json", "-o", "b.svg"], "do not go together"),
        (2, ["coverage", "--cohort", ".", "-r", "chr1", "-o", "b.svg"], "do not go together"),
        (2, ["coverage", "ex/demo2.bam", "--genes", "ALPHA"], "goes with --cohort"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr1", "--annotation", "none", "-o", "b.svg"], "there is no annotation none"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr1", "--genes", "ALPHB", "-o", "b.svg"], "did you mean ALPHA?"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr9", "-o", "b.svg"], "chr9"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1:70,000-80,000", "-o", "b.svg"], "beyond"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr1", "--with", "ex/nothing", "-o", "b.svg"], "nothing"),
        (3, ["coverage", "ex/demo2.bam", "-r", "chr1", "--with", "nowhere/x", "-o", "b.svg"], "lies in no MODO"),
        (2, ["coverage", "ex/demo2.bam", "-r", "chr1", "--with", "ex/sample1", "-o", "b.svg"], "cannot be plotted"),
        (
            2,
            ["coverage", "ex/demo2.bam", "-r", "chr1", "--with", "ex/signal", "--overlay", "-o", "b.svg"],
            "do not go on one axis",
        ),
        (2, ["track", "plot", "ex"], "no region is given"),
        (2, ["track", "plot", "ex", "chr1", "--size", "big", "-o", "b.svg"], "no size of a figure"),
        (2, ["track", "plot", "ex", "chr1", "--dpi", "0", "-o", "b.svg"], "1 to 10,000 are possible"),
        (2, ["track", "plot", "ex", "chr1", "--limits", "5,1", "-o", "b.svg"], "give the least first"),
        (2, ["track", "plot", "ex", "chr1", "--limits", "x", "-o", "b.svg"], "are no limits"),
        (2, ["track", "plot", "ex", "chr1", "--limits", "nan", "-o", "b.svg"], "nothing between them"),
        (2, ["track", "plot", "ex", "chr1", "--scale", "cubic", "-o", "b.svg"], "there is no scale cubic"),
        (2, ["track", "plot", "ex", "chr1", "--colours", "nope", "-o", "b.svg"], "there is no colour nope"),
        (2, ["track", "plot", "ex", "chr1", "--size", "180x60mm"], "--size goes with a picture"),
        (3, ["track", "plot", "ex", "chr1", "nothing", "-o", "b.svg"], "no track nothing"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_drawn_is_said_in_one_line_and_leaves_nothing(place, modos, code, words, told):
    done = modos(*words, code=code)
    assert told in done.stderr and done.stdout == ""
    assert not list(place.glob("b.*")) and not list(place.glob(".b.*"))


def test_encrypted_data_take_the_key(place, modos, tmp_path):
    modos("c4gh", "keygen", "--no-passphrase", tmp_path / "me.sec")
    shutil.copytree(place / "ex", place / "sealed", dirs_exist_ok=True)
    modos("c4gh", "encrypt", "-y", "-p", tmp_path / "me.pub", "sealed")
    for words in (
        ["coverage", "sealed/demo2.bam", "-r", "chr1:1-99", "--with", "sealed/signal"],
        ["track", "plot", "sealed", "chr1:1-99"],
    ):
        modos(*words, "-o", "b.svg", code=4)
        assert not (place / "b.svg").exists()
        modos(*words, "-o", "b.svg", "--secret-key", tmp_path / "me.sec")
        (place / "b.svg").unlink()


def test_without_matplotlib_it_is_said_what_to_install(place, tmp_path):
    import os
    import sys

    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-m", "modos", "track", "plot", "ex", "chr1", "-o", "b.svg"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "pip install 'modos-store[plot]'" in done.stderr and not (place / "b.svg").exists()
