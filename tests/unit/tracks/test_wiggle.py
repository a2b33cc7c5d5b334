"""Tracks as text: what is written comes out, whatever the form; what is wrong is named with its line."""

import ctypes
import gzip
import io
import itertools

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import InvalidInputError, ModosError, NotFoundError, TruncatedStream
from modos.tracks.data import Values
from modos.tracks.wiggle import read_text

strtof = ctypes.CDLL(None).strtof
strtof.restype, strtof.argtypes = ctypes.c_float, [ctypes.c_char_p, ctypes.c_void_p]


def bases(path):
    """Every base with a value: float32 bits by contig and position."""
    found = {}
    for block in read_text(path):
        data = block.data
        if isinstance(data, Values):
            rows = ((data.start + at, data.start + at + 1, value) for at, value in enumerate(data.values))
        else:
            rows = zip(data.starts.tolist(), data.ends.tolist(), data.values)
        for start, end, value in rows:
            assert value.dtype == np.float32
            for position in range(start, end):
                assert (data.contig, position) not in found
                if not np.isnan(value):
                    found[data.contig, position] = value.tobytes()
    return found


def exact(text):
    return np.float32(strtof(text.encode(), None)).tobytes()


NUMBERS = st.one_of(
    st.integers(-40_000, 40_000).map(lambda k: f"{k / 1000:.3f}"),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-0.0", "1e-3", ".5", "5.", "1E5", "16777217", "3.4e38"]),
)


@st.composite
def intervals(draw):
    """Per contig, intervals in order with a number as text each."""
    found = {}
    for contig in draw(st.lists(st.sampled_from(["chr1", "2", "HLA:01*02"]), unique=True, min_size=1)):
        borders = draw(st.lists(st.integers(0, 300), unique=True, min_size=2, max_size=14).map(sorted))
        found[contig] = [(a, b, draw(NUMBERS)) for a, b in itertools.pairwise(borders) if draw(st.booleans())]
    return found


def expected(data):
    return {(contig, position): exact(text) for contig, rows in data.items() for a, b, text in rows for position in range(a, b)}


@settings(max_examples=60, deadline=None)
@given(intervals(), st.sampled_from(["\t", " ", "   "]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_bedgraph(tmp_path_factory, data, between, newline, noise):
    lines = ["track type=bedGraph name=x", "browser position chr1", "# a comment", ""] if noise else []
    for contig, rows in data.items():
        lines += [between.join((contig, str(a), str(b), text)) + (" " if noise else "") for a, b, text in rows]
        lines += ["#", ""] if noise else []
    path = tmp_path_factory.mktemp("t") / "a.bedGraph"
    path.write_bytes(newline.join(lines).encode() + newline.encode())
    assert bases(path) == expected(data)


@settings(max_examples=60, deadline=None)
@given(intervals(), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([" ", "\t", "  "]))
def test_wiggle_of_both_kinds_mixed(tmp_path_factory, data, fixed_first, newline, between):
    lines = ["track type=wiggle_0"]
    for contig, rows in data.items():
        for number, (a, b, text) in enumerate(rows):
            kind = number % 4
            if kind == (0 if fixed_first else 2):
                lines += [f"fixedStep chrom={contig} start={a + 1} step={b - a} span={b - a}", text]
            elif kind == 1:
                lines += [f"fixedStep chrom={contig}  start={a + 1}", *[text] * (b - a), ""]
            else:
                lines += [f"variableStep chrom={contig} span={b - a}", f"{a + 1}{between}{text}", "# why not"]
    path = tmp_path_factory.mktemp("t") / "a.wig"
    path.write_bytes(newline.join(lines).encode())
    assert bases(path) == expected(data)


def test_pieces_are_cut_between_lines(tmp_path, monkeypatch):
    rows = [(n * 3, n * 3 + 2, f"{n / 7:.4f}") for n in range(500)]
    path = tmp_path / "a.bedGraph"
    path.write_text("".join(f"c\t{a}\t{b}\t{text}\n" for a, b, text in rows))
    wiggle = tmp_path / "a.wig"
    wiggle.write_text(
        "variableStep chrom=c span=2\n"
        + "".join(f"{a + 1} {text}\n" for a, _, text in rows[:250])
        + f"fixedStep chrom=c start={rows[250][0] + 1} step=3 span=2\n"
        + "".join(f"{text}\n" for *_, text in rows[250:])
    )
    whole = bases(path)
    for size in (64, 100, 1000):
        monkeypatch.setattr("modos.tracks.wiggle._PIECE", size)
        assert bases(path) == bases(wiggle) == whole == expected({"c": rows})


def test_compressed_files_and_stdin(tmp_path, monkeypatch):
    text = b"fixedStep chrom=c start=1\n" + b"0.125\n" * 5000
    (tmp_path / "a.wig").write_bytes(text)
    (tmp_path / "a.wig.gz").write_bytes(gzip.compress(text[:9000]) + gzip.compress(text[9000:]))
    pysam.tabix_compress(str(tmp_path / "a.wig"), str(tmp_path / "a.wig.bgz"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(text))))
    wanted = bases(tmp_path / "a.wig")
    assert len(wanted) == 5000
    assert bases(tmp_path / "a.wig.gz") == bases(tmp_path / "a.wig.bgz") == bases("-") == wanted


def test_progress_counts_the_bytes_of_the_file(tmp_path):
    path = tmp_path / "a.wig.gz"
    path.write_bytes(gzip.compress(b"fixedStep chrom=c start=1\n" + b"1\n" * 9999))
    counted = []
    list(read_text(path, counted.append))
    assert sum(counted) == path.stat().st_size


def test_no_line_is_no_data(tmp_path):
    (tmp_path / "a.wig").write_text("track type=wiggle_0\n# nothing\n\n")
    assert list(read_text(tmp_path / "a.wig")) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("chr1 0 5 1\nchr1 4 7 2\n", 2, "overlaps"),
        ("chr1 5 9 1\nchr1 0 3 2\n", 2, "not in order"),
        ("chr1 0 5 1 more\n", 1, "contig, start, end and value"),
        ("chr1 0 5\n", 1, "contig, start, end and value"),
        ("# c\nchr1 0 5 x\n", 2, "contig, start, end and value"),
        ("chr1 0 5 1\nchr1 9 9 1\n", 2, "end is not after the start"),
        ("chr1 -3 5 1\n", 1, "before the contig's start"),
        ("chr1 0 5 inf\n", 1, "infinite"),
        ("fixedStep chrom=c start=1 step=0\n1\n", 1, "at least 1"),
        ("fixedStep chrom=c start=0\n1\n", 1, "at least 1"),
        ("fixedStep chrom=c start=1 step=2 span=3\n1\n", 1, "overlap"),
        ("fixedStep start=1\n1\n", 1, "chrom"),
        ("fixedStep chrom=c start=one\n1\n", 1, "number"),
        ("fixedStep chrom=c start=1\n1\n\nwhat\n2\n", 4, "not a value"),
        ("fixedStep chrom=c start=1\n1\n2 3\n", 3, "not a value"),
        ("fixedStep chrom=c start=1\n1\n-inf\n", 3, "infinite"),
        ("variableStep chrom=c\n5 1\n5 2\n", 3, "overlaps"),
        ("variableStep chrom=c span=4\n5 1\n8 2\n", 3, "overlaps"),
        ("variableStep chrom=c\n5\n", 2, "a position and a value"),
        ("variableStep chrom=c\n5 1\n6 1 1\n", 3, "a position and a value"),
        ("variableStep chrom=c\n0 1\n", 2, "before the contig's start"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, line, words):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=rf"bad\.txt, line {line}: .*{words}"):
        list(read_text(path))


def test_lines_are_counted_over_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("modos.tracks.wiggle._PIECE", 128)
    path = tmp_path / "bad.bedGraph"
    path.write_text("".join(f"c {n} {n + 1} 1\n" for n in range(1234)) + "c 1234 1235 one\n")
    with pytest.raises(InvalidInputError, match="line 1,235: "):
        list(read_text(path))


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(NotFoundError):
        list(read_text(tmp_path / "none.wig"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"fixedStep chrom=c start=1\n" + b"0.1\n" * 9999)[:-30])
    with pytest.raises(TruncatedStream):
        list(read_text(tmp_path / "a.gz"))
    for name, data in (("b.gz", b"\x1f\x8bnonsense"), ("c", bytes(range(256)) * 10), ("d", b"\0" * 1000)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModosError):
            list(read_text(tmp_path / name))


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400) | st.text("0123456789 \tchromfixedStepvr=.-\n#e", max_size=200).map(str.encode))
def test_anything_is_data_or_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("f") / "x"
    path.write_bytes(data)
    try:
        for block in read_text(path):
            assert block.data.values.dtype == np.float32
    except ModosError:
        pass
