"""What of data has a place on a genome; conditions; files of places."""

import gzip
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import InvalidInputError, ModosError
from modos.tracks.conditions import COMPARISONS, Condition
from modos.tracks.contigs import Contigs
from modos.tracks.data import Block, Runs, Values
from modos.tracks.fitting import Fitting, LoadReport
from modos.tracks.mask_files import MaskFile

CONTIGS = Contigs({"c": 100, "d": 50}, {"c": [(10, 40), (60, 90)]})
PLACES = np.zeros(130, bool)
PLACES[10:40] = PLACES[60:90] = True


def block(data):
    return Block(data, lambda number: f"row {number}")


def as_array(blocks, length=130):
    out = np.full(length, np.nan, np.float32)
    for one in blocks:
        data = one.data
        if isinstance(data, Values):
            out[data.start : data.start + len(data.values)] = data.values
        else:
            for start, end, value in zip(data.starts, data.ends, data.values):
                out[start:end] = value
    return out


VALUES = st.builds(
    lambda start, values: Values("c", start, np.array(values, np.float32)),
    st.integers(0, 110),
    st.lists(st.sampled_from([np.nan, 1.0, 2.0]), min_size=1, max_size=20),
)


@st.composite
def runs(draw):
    borders = sorted(draw(st.sets(st.integers(0, 130), min_size=2, max_size=12)))
    pairs = [pair for pair in itertools.pairwise(borders) if draw(st.booleans())] or [tuple(borders[:2])]
    values = [draw(st.sampled_from([np.nan, 1.0, 2.0])) for _ in pairs]
    return Runs("c", np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]), np.array(values, np.float32))


@given(VALUES | runs())
def test_nothing_vanishes(data):
    """What has a place stays as it is; what has none is an error for the first such row, or is counted."""
    whole = as_array([block(data)])
    lost = ~np.isnan(whole) & ~PLACES
    report = LoadReport()
    got = as_array(Fitting(CONTIGS, None, None, clip=True).parts_of(block(data), "c", report))
    np.testing.assert_array_equal(got, np.where(PLACES, whole, np.nan))
    assert report.outside == lost.sum() and np.isnan(got[100:]).all()
    strict = Fitting(CONTIGS, None, None, clip=False)
    if not lost.any():
        np.testing.assert_array_equal(as_array(strict.parts_of(block(data), "c", LoadReport())), got)
        return
    first = int(np.argmax(lost))
    row = first - data.start if isinstance(data, Values) else int(np.searchsorted(data.ends, first, "right"))
    with pytest.raises(InvalidInputError, match=f"row {row}: position ") as error:
        list(strict.parts_of(block(data), "c", LoadReport()))
    assert ("past the end of c" if first >= 100 else f"position {first + 1} of c is in a gap") in str(error.value)


def test_what_is_masked_need_not_have_a_place(tmp_path):
    (tmp_path / "m.bed").write_text("c\t40\t60\n")
    data = block(Values("c", 30, np.ones(40, np.float32)))
    for mask, keep, n in ((str(tmp_path / "m.bed"), None, 20), (None, str(tmp_path / "m.bed"), 0)):
        fitting = Fitting(CONTIGS, mask, keep, clip=False)
        if keep:
            with pytest.raises(InvalidInputError, match="row 10: position 41 of c is in a gap of the genome, c:41-60"):
                list(fitting.parts_of(data, "c", LoadReport()))
        else:
            assert np.count_nonzero(~np.isnan(as_array(fitting.parts_of(data, "c", LoadReport())))) == n


def test_data_past_the_end_do_not_reach_the_next_contig():
    data = block(Values("d", 45, np.array([1] * 5 + [np.nan] * 5, np.float32)))
    (part,) = Fitting(CONTIGS, None, None, clip=False).parts_of(data, "d", LoadReport())
    assert part.data.values.tolist() == [1] * 5
    report = LoadReport()
    assert (
        list(Fitting(CONTIGS, None, None, clip=True).parts_of(block(Values("d", 60, np.ones(5, np.float32))), "d", report)) == []
    )
    assert report.outside == 5


@pytest.mark.parametrize("name", COMPARISONS)
def test_conditions_from_text(name):
    assert (
        Condition.parse(f"{name}0.5")
        == Condition.parse(f" {name}  +.5 ")
        == Condition.parse(f"{name} 5e-1")
        == Condition(name, 0.5)
    )
    assert Condition.parse(f"{name} -2").number == -2


@pytest.mark.parametrize("text", ["", "lt", "0.5", "lt x", "below 3", "lt 0.5 1", "lt nan", "lt 1_0"])
def test_what_is_no_condition(text):
    with pytest.raises(InvalidInputError, match="is no condition"):
        Condition.parse(text)


def places(mask):
    return {name: spans.T.tolist() for name, spans in mask.place_on(CONTIGS).items()}


FILES = {
    "bed": (
        b"track name=x\n\nc\t0\t5\tx\t0.1\r\nc\t3\t9\tx\t0.7\n# no\nd 1 2 x 0.1\nc\t20\t30\tx\t.1\n",
        {"c": [[0, 9], [20, 30]], "d": [[1, 2]]},
        {"c": [[0, 5], [20, 30]], "d": [[1, 2]]},
    ),
    "fixed": (
        b"\nfixedStep chrom=c start=1 step=1\n0.1\n0.7\n0.1\nnan\nfixedStep chrom=d start=1 step=5 span=2\n.2\n\n.9\n",
        {"c": [[0, 3]], "d": [[0, 2], [5, 7]]},
        {"c": [[0, 1], [2, 3]], "d": [[0, 2]]},
    ),
    "variable": (
        b"variableStep chrom=c span=10\n11 .3\n21 .6\nvariableStep chrom=d\n5 0\n",
        {"c": [[10, 30]], "d": [[4, 5]]},
        {"c": [[10, 20]], "d": [[4, 5]]},
    ),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_places(tmp_path, case, packed):
    """BED and wiggle are told apart by what is in them; of both the score in the file counts."""
    text, every, low = FILES[case]
    (tmp_path / "m").write_bytes(gzip.compress(text) if packed else text)
    assert places(MaskFile(tmp_path / "m")) == every
    assert places(MaskFile(tmp_path / "m", Condition("lt", 0.5))) == low


def test_scores_are_compared_as_they_are_written(tmp_path):
    """Not as float32, where 0.49999999999 is 0.5."""
    for name, text in (("m.bed", "c\t0\t5\tx\t0.49999999999\n"), ("m.wig", "variableStep chrom=c span=5\n1 0.49999999999\n")):
        (tmp_path / name).write_text(text)
        assert places(MaskFile(tmp_path / name, Condition("lt", 0.5))) == {"c": [[0, 5]]}
        assert places(MaskFile(tmp_path / name, Condition("ge", 0.5))).get("c", []) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c\t0\t5\n", "line 1: no score in column 5"),
        ("\nc\t0\t5\tx\t.\n", "line 2: no score"),
        ("c\t5\t0\tx\t1\n", "line 1: not a row of BED"),
        ("x\t0\t5\tn\t1\n", "none of the genome's contigs: it has x"),
        ("fixedStep chrom=c start=0\n1\n", "line 1: start"),
    ],
)
def test_what_is_no_file_of_scored_places(tmp_path, text, words):
    (tmp_path / "m").write_text(text)
    with pytest.raises(ModosError, match=words):
        MaskFile(tmp_path / "m", Condition("lt", 0.5)).place_on(CONTIGS)
