"""Readers of regions stop where the index says, by what pysam reads of the hard files."""

from __future__ import annotations

import pytest

from modos.gateway.stops import Stops, find_stops, read_stops
from tests.support.hard_files import CASES


@pytest.mark.parametrize("name", ["bam", "bam-csi", "bam-reblocked", "cram-3.0", "vcf-tbi", "bam-no-records"])
def test_there_is_a_stop_after_each_place_where_records_begin(name, tmp_path):
    file = CASES[name](tmp_path)
    stops = find_stops(file.index)
    assert list(stops.ends) == sorted(set(stops.ends))
    starts = file.index.containers[:-1] if name.startswith("cram") else [one >> 16 for one in file.index.starts()]
    assert all(stops.after(start, 0) > start for start in starts)
    assert read_stops(file.path.name, file.index_path.read_bytes()) == stops


def test_what_is_no_index_tells_nothing():
    assert read_stops("a.bam", b"nothing") == Stops() == read_stops("a.fa", b"chr1\t10\t1\t10\t11\n") == read_stops("a.bam", b"")
    assert Stops().after(0, 0) is None
