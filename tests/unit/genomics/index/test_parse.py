"""Indexes of all kinds are read as the specifications say, and what is no index gives one clear error."""

from __future__ import annotations

import gzip
import random
import struct
import time
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import InvalidInputError, ModosError
from modos.genomics.index import BinningIndex, Crai, bgzf, parse, parse_index
from modos.genomics.index.slices import merge_chunks
from modos.genomics.region import MAX_POSITION


def bai(*targets: tuple[dict[int, list[tuple[int, int]]], list[int]]) -> bytes:
    """A BAI of bins (in the order given) and linear indexes."""
    out = b"BAI\1" + struct.pack("<I", len(targets))
    for bins, linear in targets:
        out += struct.pack("<I", len(bins))
        for number, chunks in bins.items():
            out += struct.pack("<2I", number, len(chunks)) + b"".join(struct.pack("<2Q", *chunk) for chunk in chunks)
        out += struct.pack(f"<I{len(linear)}Q", len(linear), *linear)
    return out


def csi(bins: dict[int, tuple[int, list]], min_shift: int = 14, depth: int = 5, aux: bytes = b"") -> bytes:
    out = b"CSI\1" + struct.pack("<3I", min_shift, depth, len(aux)) + aux + struct.pack("<2I", 1, len(bins))
    for number, (loffset, chunks) in bins.items():
        out += struct.pack("<IQI", number, loffset, len(chunks)) + b"".join(struct.pack("<2Q", *c) for c in chunks)
    return out


LEAF, PSEUDO = 4681, 37450
BINS = {  # of a contig: leaves 0 to 3 and 9, the bin over leaves 0 to 7, and the one with statistics
    PSEUDO: [(100, 900), (50, 3)],
    LEAF + 3: [(600, 700)],
    LEAF + 9: [(800, 900)],
    LEAF + 1: [(350, 400), (210, 300)],
    LEAF: [(100, 150), (180, 200)],
    585: [(700, 750), (150, 180)],
}


def test_chunks_come_from_all_bins_that_overlap_whatever_their_order():
    index = parse_index(bai((BINS, [])))
    assert sorted(index.chunks(0, 0, 1 << 14)) == [(100, 150), (150, 180), (180, 200)]
    assert sorted(index.chunks(0, 0, 1 << 29)) == sorted(c for n, cs in BINS.items() if n != PSEUDO for c in cs)


def test_the_linear_index_bounds_the_start_and_the_next_bin_the_end():
    index = parse_index(bai((BINS, [100, 170, 0, 600])))
    assert sorted(index.chunks(0, 1 << 14, (1 << 14) + 5)) == [(170, 180), (210, 300), (350, 400)]
    assert sorted(index.chunks(0, 2 << 14, 3 << 14)) == [(170, 180)]  # window 2 is empty: that of 1 counts
    assert sorted(index.chunks(0, 9 << 14, 1 << 29)) == [(800, 900)]


def test_a_window_beyond_the_linear_index_takes_its_last_value():
    index = parse_index(bai((BINS, [100, 170])))
    assert min(index.chunks(0, 3 << 14, 4 << 14)) == (170, 180)


def test_zeros_in_the_linear_index_change_nothing(tmp_path):
    """htsjdk leaves windows without records at zero where samtools repeats the offset before."""
    path = sparse_bam(tmp_path)
    data = Path(str(path) + ".bai").read_bytes()
    linear = data[data.rindex(struct.pack("<I", windows_of(data))) + 4 : -8]
    offsets = struct.unpack(f"<{len(linear) // 8}Q", linear)
    sparse = [0 if n and offset == offsets[n - 1] else offset for n, offset in enumerate(offsets)]
    assert 0 in sparse
    changed = parse_index(data.replace(linear, struct.pack(f"<{len(sparse)}Q", *sparse)))
    original = parse_index(data)
    for start in range(0, 10_000_000, 77_777):
        assert changed.chunks(0, start, start + 5000) == original.chunks(0, start, start + 5000)


def windows_of(data: bytes) -> int:
    """How many windows the linear index of a BAI of one contig has: it is all that follows the bins."""
    at = 12
    for _ in range(struct.unpack_from("<I", data, 8)[0]):
        at += 8 + 16 * struct.unpack_from("<I", data, at + 4)[0]
    return struct.unpack_from("<I", data, at)[0]


def sparse_bam(folder: Path) -> Path:
    path = folder / "a.bam"
    header = pysam.AlignmentHeader.from_references(["c"], [10_000_000])
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for start in range(0, 9_000_000, 150_000):
            for number in range(20):
                read = pysam.AlignedSegment(header)
                read.query_name, read.flag = f"r{start}", 0
                read.reference_id, read.reference_start = 0, start + number
                read.cigartuples, read.query_sequence = [(0, 10)], "ACGTACGTAC"
                out.write(read)
    pysam.index(str(path))
    return path


def test_loffsets_of_a_csi_bound_the_start():
    bins = {
        number: (loffset, BINS[number])
        for number, loffset in {LEAF: 100, LEAF + 1: 170, LEAF + 3: 600, 585: 100, PSEUDO: 0}.items()
    }
    index = parse_index(csi(bins))
    assert sorted(index.chunks(0, 1 << 14, (1 << 14) + 5)) == [(170, 180), (210, 300), (350, 400)]
    assert sorted(index.chunks(0, 2 << 14, 3 << 14)) == [(170, 180)]


def test_a_csi_has_bins_of_its_own_sizes():
    index = parse_index(csi({0: (0, [(1, 2)]), 1: (0, [(2, 3)]), 8: (0, [(4, 5)])}, min_shift=4, depth=1))
    assert index.chunks(0, 0, 16) == [(1, 2), (2, 3)]
    assert index.chunks(0, 112, 128) == [(1, 2), (4, 5)]
    assert index.chunks(0, 128, 1000) == []


def test_the_end_of_placed_records_ignores_statistics_and_empty_contigs():
    assert parse_index(bai((BINS, []), ({}, []), ({PSEUDO: [(5000, 6000), (1, 1)]}, []))).end_of_placed() == 900
    assert parse_index(bai(({}, []))).end_of_placed() == 0


def test_targets_the_index_does_not_have_are_empty():
    assert parse_index(bai((BINS, []))).chunks(7, 0, 100) == []


def test_names_come_from_the_tabix_header():
    aux = struct.pack("<7i", 2, 1, 2, 0, ord("#"), 0, 6) + b"c1\0c2\0"
    assert parse_index(csi({}, aux=aux)).names == ("c1", "c2")
    tbi = b"TBI\1" + struct.pack("<I", 2) + aux + struct.pack("<4I", 0, 0, 0, 0)
    assert parse_index(tbi).names == ("c1", "c2")
    assert parse_index(bgzf.compress(tbi)).kind == "TBI"


CRAI = b"0\t1\t100\t500\t10\t90\n0\t90\t50\t500\t100\t90\n1\t5\t10\t700\t10\t90\n0\t500\t1\t700\t10\t90\n-1\t0\t0\t900\t1\t2\n"


@pytest.mark.parametrize("data", [CRAI, gzip.compress(CRAI, mtime=0), bgzf.compress(CRAI), CRAI.rstrip(b"\n")])
def test_a_crai_is_read_compressed_or_not(data):
    index = parse_index(data)
    assert isinstance(index, Crai)
    assert index.containers == [500, 700, 900]
    assert set(index.containers_of(0, 0, 90)) == {500}
    assert set(index.containers_of(0, 139, 499)) == set()
    assert set(index.containers_of(0, 499, 500)) == {700}
    assert list(index.containers_of(-1, 0, 0)) == [900]
    assert [index.end_of(offset) for offset in index.containers] == [700, 900, None]


def test_a_slice_without_a_span_is_at_its_start():
    index = parse_index(b"0\t100\t0\t500\t1\t2\n")
    assert [list(index.containers_of(0, start, start + 1)) for start in (98, 99, 100)] == [[], [500], []]


def test_an_empty_compressed_crai_has_no_slices():
    assert parse_index(gzip.compress(b"")).containers == []


def test_slices_of_unnamed_references_count_for_all():
    index = parse_index(b"-2\t0\t0\t500\t1\t2\n")
    assert list(index.containers_of(3, 5, 6)) == list(index.containers_of(-1, 0, 0)) == [500]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BAI",
        b"BAI\2",
        b"BAI\1",
        b"hello",
        b"\x1f\x8b",
        gzip.compress(CRAI, mtime=0)[:-9],
        b"1\t2\t3\n",
        b"0\t1\t1\t-5\t1\t1\n",
        b"0\t1\t1\t" + b"9" * 5000 + b"\t1\t1\n",
        b"BAI\1" + struct.pack("<I", 1 << 31),
        b"BAI\1" + struct.pack("<I", 1 << 20),
        b"BAI\1" + struct.pack("<3I", 1, 1, 4681) + struct.pack("<I", 0xFFFFFFFF),
        b"BAI\1" + struct.pack("<3I", 1, 0, 0xFFFFFFFF),
        bai((BINS, [1, 2]))[:-1],
        csi({}, min_shift=14, depth=11),
        csi({}, min_shift=60, depth=5),
        csi({})[:10],
        b"CSI\1" + struct.pack("<4I", 14, 5, 0xFFFFFFFF, 0),
        b"TBI\1" + struct.pack("<8i", 1, 2, 1, 2, 0, 35, 0, -1),
        b"TBI\1" + struct.pack("<8i", 1, 2, 1, 2, 0, 35, 0, 1 << 30),
    ],
)
def test_what_is_no_index_is_refused(data):
    with pytest.raises(InvalidInputError):
        parse_index(data)


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(parse, "MAX_INDEX", 1 << 20)
    with pytest.raises(InvalidInputError, match="larger than 1 MiB"):
        parse_index(gzip.compress(bytes(30 << 20)))


def exercise(data: bytes) -> None:
    """Parse and ask everything there is to ask; whatever fails must be one of our errors."""
    try:
        index = parse_index(data)
    except ModosError:
        return
    if isinstance(index, BinningIndex):
        for target in range(min(len(index.targets), 4)):
            merge_chunks(index.chunks(target, 0, 1 << 40))
            index.chunks(target, 70_000, 70_001)
        index.end_of_placed()
    else:
        for offset in index.containers_of(0, 0, 1 << 40):
            index.end_of(offset)


SAMPLES = [
    bai((BINS, [100, 170, 0, 600]), (BINS, [])),
    csi({number: (0, chunks) for number, chunks in BINS.items()}),
    b"TBI\1" + struct.pack("<I7i", 1, 2, 1, 2, 0, 35, 0, 3) + b"c1\0" + bai((BINS, [1]))[8:],
    CRAI,
]


@given(
    st.binary(max_size=300)
    | st.tuples(st.sampled_from([b"BAI\1", b"TBI\1", b"CSI\1", b"0\t", b"\x1f\x8b\x08"]), st.binary(max_size=300)).map(b"".join)
)
def test_any_bytes_give_an_index_or_one_of_our_errors(data):
    exercise(data)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(SAMPLES), st.booleans())
def test_any_damage_of_an_index_gives_an_index_or_one_of_our_errors(data, sample, compressed):
    sample = bytearray(gzip.compress(sample, mtime=0) if compressed else sample)
    for at in data.draw(st.lists(st.integers(0, len(sample) - 1), max_size=6)):
        sample[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255))
    exercise(bytes(sample[: data.draw(st.integers(0, len(sample)))] if data.draw(st.booleans()) else sample))


def test_a_large_index_is_parsed_quickly_and_planned_at_once():
    """2 MB take 10 to 50 ms; the bounds are ten times the slower."""
    rng = random.Random(5)
    targets = []
    for _ in range(25):
        numbers = sorted(rng.sample(range(LEAF, PSEUDO - 1), 1800))
        bins = {n: [(n << 24 | k << 20, n << 24 | (k + 1) << 20) for k in range(rng.randrange(1, 3))] for n in numbers}
        targets.append((bins, [n << 24 for n in range(LEAF, LEAF + 3000)]))
    data = bai(*targets)
    assert len(data) > 2_000_000
    started = time.process_time()
    index = parse_index(data)
    parsed = time.process_time()
    index.chunks(3, 40_000_000, 40_100_000)
    planned = time.process_time()
    assert parsed - started < 0.5
    assert planned - parsed < 0.1


def test_spans_of_a_crai_are_those_of_the_slices_and_whole_where_a_container_has_several_contigs():
    index = Crai.parse(
        b"0\t1\t100\t500\t10\t20\n0\t90\t60\t500\t30\t20\n0\t300\t50\t900\t10\t20\n1\t7\t3\t900\t10\t20\n-1\t0\t1\t990\t1\t2\n"
    )
    assert index.spans_in({500}) == {0: (0, 149)}
    assert index.spans_in({900}) == index.spans_in({500, 900}) == {0: (0, MAX_POSITION), 1: (0, MAX_POSITION)}
    assert index.spans_in(set()) == {}
