"""What is written where a contig has no bases, or a genome no data, is an error that names the place: nothing vanishes."""

import bz2
import gzip
import lzma
import subprocess
import sys

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, ModosError, RegionError
from modos.tracks.conditions import Condition
from modos.tracks.contig_files import measure_fasta, read_agp, read_sizes
from modos.tracks.mask_files import MaskFile
from modos.tracks.packing import are_same_values
from modos.tracks.wiggle import read_text
from tests.support import commands

pyBigWig = pytest.importorskip("pyBigWig")
GAP = (2000, 102_000)
LENGTH = 103_000


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """An object whose contig `a` has a gap of 100,000 N, with two tracks."""
    folder = tmp_path_factory.mktemp("gaps")
    (folder / "g.fa").write_text(">a\n" + "ACGT" * 500 + "N" * 100_000 + "ACGT" * 250 + "\n>b\n" + "ACGT" * 100 + "\n")
    modo = MODO.create(folder / "ex")
    modo.add_genome(folder / "g.fa")
    with modo.track_changes() as tracks:
        for name in ("s", "t"):
            tracks.add(name, {"a": np.r_[np.arange(2000) % 7, np.full(100_000, np.nan), np.arange(1000) % 5], "b": np.ones(400)})
    return folder


@pytest.fixture
def modo(base):
    return MODO.open(base / "ex")


REFUSED = {
    "past the end": ((slice(102_990, 103_010), "s"), "a: position 103,010 is not within 103,000 bases"),
    "wholly past the end": ((slice(200_000, 200_010), "s"), "a: position 200,000"),
    "to the very next base": ((slice(102_999, 103_001), 0), "a: position 103,001"),
    "before the start": ((slice(-103_001, 5), 0), "a: position -103,001"),
    "a base past the end": ((103_000, 0), "a: position 103,000"),
    "numpy numbers": ((slice(np.int64(102_990), np.int64(103_010)), 1), "a: position 103,010"),
    "in a gap": ((slice(50_000, 50_010), "s"), "position 50,001 of a is in a gap of the genome, a:2,001-102,000"),
    "partly in a gap": ((slice(1990, 2010), "s"), "position 2,001 of a is in a gap"),
    "over a gap": ((slice(1990, 102_010), "s"), "position 2,001 of a"),
    "the gap's last base": ((slice(101_999, 102_001), 0), "position 102,000 of a"),
    "one base of a gap": ((50_000, "t"), "position 50,001 of a"),
    "all of it": (slice(None), "position 2,001 of a"),
    "an ellipsis": (..., "position 2,001 of a"),
    "from the end": ((slice(-2000, None), 0), "position 101,001 of a"),
    "no track": ((slice(0, 5), slice(7, 9)), "none is meant"),
    "an empty list of tracks": ((slice(0, 5), []), "none is meant"),
    "an empty stretch": ((slice(5, 5), 0), "stretch"),
    "a list": (([50_000, 1], 0), "stretch"),
    "a mask": ((np.arange(LENGTH) > 102_500, 0), "stretch"),
    "steps": ((slice(0, 100, 2), 0), "stretch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays(modo, case):
    key, words = REFUSED[case]
    revision = modo._document.state["revision"]
    with pytest.raises(InvalidInputError, match=words):
        modo.genome["a"][key] = 1
    assert MODO.open(modo.path)._document.state["revision"] == revision


@pytest.mark.parametrize(
    ("number", "key", "words"),
    [
        (0, slice(1990, 2001), "a:1-2,000: position 2,001 is not within 2,000 bases"),
        (1, slice(0, 1001), "a:102,001-103,000: position 1,001"),
        (1, slice(5000, 5001), "position 5,000"),
        (0, 2000, "position 2,000"),
    ],
)
def test_arrays_of_supercontigs(modo, number, key, words):
    with pytest.raises(RegionError, match=words):
        modo.genome["a"].supercontigs[:][number].continuous[key, 0] = 1


@pytest.mark.parametrize(
    ("start", "values", "words"),
    [
        (102_990, np.ones(20), "103,010 is past the end of a"),
        (10**9, [1], "past the end of a"),
        (-5, np.ones(3), "position -5 is before the start of a"),
        (1999, [1, 2], "position 2,001 of a is in a gap"),
        (5, [[1, 2]], "2 dimensions"),
        (5, 1.0, "0 dimensions"),
    ],
)
def test_transactions(modo, start, values, words):
    with pytest.raises(InvalidInputError, match=words):
        with modo.track_changes() as tracks:
            tracks.write("s", "a", start, values)


def test_what_can_be_written(base, tmp_path):
    """NaN in a gap loses nothing; values of several tracks are one commit, all or none."""
    import shutil

    modo = MODO.open(shutil.copytree(base / "ex", tmp_path / "ex"))
    whole = modo.genome["a"][:]
    revision = modo._document.state["revision"]
    modo.genome["a"][:] = np.where(np.isnan(whole), whole, whole + 1)
    assert are_same_values(np.ascontiguousarray(modo.genome["a"][:]), np.ascontiguousarray(whole + 1))
    assert modo._document.state["revision"] == revision + 1
    modo.genome["a"][1990:102_010] = np.nan
    assert np.isnan(modo.genome["a"][1990:102_010]).all() and modo.genome["a"][102_010, 0] == whole[102_010, 0] + 1
    modo.genome["a"].supercontigs[:][1].continuous[-5:, "s"] = 9
    assert modo.genome["a"][-6:, "s"].tolist() == [whole[-6, 0] + 1, *[9] * 5]
    modo.mask_track("t", str(write(tmp_path, "m.bed", "b\t0\t5\n")))
    with pytest.raises(InvalidInputError, match="track t has a mask"):
        modo.genome["a"][0:5] = 77
    assert (MODO.open(modo.path).genome["a"][0:5, "s"] != 77).all()


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def write_bigwig(path, rows, length):
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("a", length)])
        for start, end, value in rows:
            file.addEntries(["a"], [start], ends=[end], values=[value])
    return path


TEXTS = {
    "x.bedGraph": "a\t10\t20\t1\na\t1990\t2010\t2\n",
    "x.bed": "a 10 20 1\na 1990 2010 2\n",
    "x.wigFix": "fixedStep chrom=a start=1991\n" + "2\n" * 20,
    "x.wigVar": "variableStep chrom=a span=10\n1991 2\n2001 2\n",
    "x5.wig": "fixedStep chrom=a start=1991 step=5 span=5\n" + "2\n" * 4,
}
LINES = {"x.bedGraph": 2, "x.bed": 2, "x.wigFix": 12, "x.wigVar": 3, "x5.wig": 4}


@pytest.mark.parametrize("name", TEXTS)
def test_text_with_values_in_a_gap(modo, tmp_path, name):
    """The line and the place are named; `clip` leaves out, and counts."""
    path = write(tmp_path, name, TEXTS[name])
    with pytest.raises(
        InvalidInputError, match=f"{name}, line {LINES[name]}: position 2,001 of a is in a gap of the genome, a:2,001-102,000"
    ) as error:
        modo.add_track("new", path)
    assert "--clip" in error.value.hint
    with pytest.raises(InvalidInputError, match="in a gap"):
        modo.replace_track("s", path)
    with modo.track_changes() as tracks:
        tracks.add(f"clipped {name}", path, clip=True)
    assert tracks.reports[f"clipped {name}"].outside == 10
    assert (
        np.isnan(modo.genome["a"][2000:2010, f"clipped {name}"]).all()
        and (modo.genome["a"][1990:2000, f"clipped {name}"] == 2).all()
    )
    modo.remove_track(f"clipped {name}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 102990 103010 1\n", "line 1: position 103,010 is past the end of a, which has 103,000 bases"),
        ("a 0 5 1\na 200000 200001 1\n", "line 2: position 200,001 is past the end"),
        ("fixedStep chrom=a start=102999\n1\n2\n3\n", "line 4: position 103,001 is past the end"),
    ],
)
def test_text_with_values_past_the_end(modo, tmp_path, text, words):
    path = write(tmp_path, "x.txt", text)
    with pytest.raises(InvalidInputError, match=words):
        modo.add_track("new", path)
    report = modo.add_track("past", path, clip=True)
    assert report.outside == {"a 1": 10, "a 0": 1, "fix": 1}[text[:3]]
    assert (modo.genome["b"][:, "past"] != modo.genome["b"][:, "past"]).all()  # nothing of it on the next contig
    modo.remove_track("past")


def test_values_that_are_nan_there_are_no_error(modo, tmp_path):
    for number, text in enumerate(
        ("fixedStep chrom=a start=1999\n1\n2\nnan\nnan\n", "a 0 5 1\na 5000 6000 nan\na 102999 103000 4\n")
    ):
        assert modo.add_track(f"n{number}", write(tmp_path, f"{number}.txt", text)).outside == 0
        modo.remove_track(f"n{number}")


@pytest.mark.parametrize("dense", [False, True])
def test_bigwig_with_values_that_have_no_place(modo, tmp_path, monkeypatch, dense):
    """Read as intervals, or as a value per base."""
    monkeypatch.setattr("modos.tracks.bigwig._DENSE", 0 if dense else 1)
    fill = [(0, 5, 1.0), (1995, 2000, 4.0)]
    for rows, length, words in (
        ([(5000, 5010, 2.0)], LENGTH, "a:5,001: position 5,001 of a is in a gap"),
        ([(103_005, 103_010, 2.0)], LENGTH + 50, "past the end of a"),
    ):
        path = write_bigwig(tmp_path / "x.bw", fill + rows, length)
        with pytest.raises(InvalidInputError, match=words):
            modo.add_track("new", path)
        assert modo.add_track("clipped", path, clip=True).outside == rows[0][1] - rows[0][0]
        modo.remove_track("clipped")
    report = modo.add_track("same", write_bigwig(tmp_path / "y.bw", [*fill, (102_999, 103_000, 1.0)], LENGTH + 50))
    assert report.outside == 0  # a longer contig without values there
    modo.remove_track("same")


def test_the_command_line(base, tmp_path):
    def run(*words, code=0):
        done = commands.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == code, done.stderr
        return done.stderr

    write(tmp_path, "x.bedGraph", TEXTS["x.bedGraph"])
    refused = run("track", "add", base / "ex", "x=x.bedGraph", code=2)
    assert refused.startswith("error: x.bedGraph, line 2: position 2,001 of a is in a gap") and len(refused.splitlines()) == 2
    assert "; 10 values past the end of a contig or in a gap left out" in run(
        "track", "add", base / "ex", "cli=x.bedGraph", "--clip"
    )
    assert "10 values" in run("track", "replace", base / "ex", "cli=x.bedGraph", "--clip")
    run("track", "replace", base / "ex", "cli=x.bedGraph", code=2)
    run("track", "remove", base / "ex", "cli", "--yes")


def test_a_pipe_is_read_once(base, tmp_path):
    """The format of what comes from `<(...)` is not looked at with bytes that are then missing."""
    write(tmp_path, "long.wig", "fixedStep chrom=a start=1\n" + "".join(f"{n}.5\n" for n in range(1999)))
    command = f"{sys.executable} -c 'from modos.cli import main; main()' track add {base}/ex piped=<(cat long.wig)"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    modo = MODO.open(base / "ex")
    assert modo.genome["a"][:1999, "piped"].tolist() == [n + 0.5 for n in range(1999)]
    modo.remove_track("piped")


def test_a_hard_mask_of_everything_leaves_an_empty_track(base, tmp_path):
    import shutil

    from modos.tracks.conditions import Condition

    modo = MODO.open(shutil.copytree(base / "ex", tmp_path / "ex"))
    assert modo.mask_tracks(Condition("ge", 0), hard=True) == ["data/s", "data/t"]
    now = MODO.open(modo.path)
    assert now.genome.num_datapoints.tolist() == [0, 0] and np.isnan(now.genome["a"][:]).all() and now.find_problems() == []
    with pytest.raises(ModosError):
        now.mask_tracks(Condition("ge", 0), ["s", "none"])
    assert not MODO.open(modo.path).genome.track("s").is_masked


# --- input that is not what it should be ---


def packed_bigwig(folder):
    return gzip.compress(write_bigwig(folder / "x.bw", [(0, 5, 1.0)], LENGTH).read_bytes())


STRANGE = {
    "a bigWig": (packed_bigwig, "is not text: within gzip it is a bigWig"),
    "bzip2": (lambda _: bz2.compress(b"a 0 5 1\n"), "is not text: it is compressed with bzip2"),
    "xz": (lambda _: lzma.compress(b"a 0 5 1\n"), "is not text: it is compressed with xz"),
    "gzip": (lambda _: gzip.compress(gzip.compress(b"a 0 5 1\n")), "is not text: it is compressed with gzip twice"),
    "UTF-16": (lambda _: "a 0 5 1\n".encode("utf-16"), "is not text: it is in UTF-16"),
    "noise": (lambda _: b"\xf7\xc1\x00\n" * 99, "is not text|: not contig, start, end and value"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_not_text_is_named(modo, tmp_path, kind):
    """The file, what it looks like and what to do, for tracks, sizes and masks."""
    make, words = STRANGE[kind]
    path = tmp_path / "strange.txt"
    path.write_bytes(make(tmp_path))
    with pytest.raises(InvalidInputError, match=f"strange.txt.*({words})") as error:
        modo.add_track("new", path)
    if kind != "noise":
        assert error.value.hint
        for work in (lambda: read_sizes([str(path)]), lambda: measure_fasta([path]), lambda: MaskFile(path)):
            with pytest.raises(InvalidInputError, match=words):
                work()


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("x.bed", "a\t4_0\t50\n", MaskFile),
        ("x.sizes", "a\t1_0\n", lambda path: read_sizes([path])),
        ("x.agp", "a\t1\t1_0\t1\tW\tx\t1\t10\t+\n", lambda path: read_agp([path])),
        ("x.wig", "fixedStep chrom=a start=1_0\n1\n", lambda path: list(read_text(path))),
        ("x.wig", "fixedStep chrom=a start=1 step=1_0\n1\n", lambda path: list(read_text(path))),
        ("x.bed", "a\t4\t50\tn\t1_0\n", lambda path: MaskFile(path, Condition("gt", 5))),
    ],
)
def test_numbers_are_not_those_of_python(tmp_path, name, text, read):
    """4_0 is no number in a file, though int() takes it."""
    with pytest.raises(InvalidInputError, match=f"{name}, line 1: "):
        read(str(write(tmp_path, name, text)))


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("x.bed", "b 0 5\na 0 2\na 102990 103001\na 5 7\n", 3),
        ("x.wig", "fixedStep chrom=a start=102999\n1\n2\n3\n", 4),
        ("x.wig", "variableStep chrom=a\n5 nan\n102999 1\n103001 2\n", 4),
    ],
)
def test_a_mask_past_the_end_names_its_line(modo, tmp_path, name, text, line):
    path = write(tmp_path, name, text)
    with pytest.raises(RegionError, match=f"{name}, line {line}: position 103,001 is past the end of a, which has 103,000 bases"):
        modo.mask_track("s", str(path))


def test_contigs_that_are_there_twice_are_input_that_is_wrong(tmp_path):
    for name, text, read in (
        ("x.sizes", "a\t5\na\t5\n", lambda path: read_sizes([path])),
        ("x.fa", ">a\nAC\n>a\nAC\n", lambda path: measure_fasta([path])),
    ):
        with pytest.raises(InvalidInputError, match="twice|two sequences a") as error:
            read(str(write(tmp_path, name, text)))
        assert error.value.exit_code == 2
