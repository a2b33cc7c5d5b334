"""A list of places to cut a file at is enough to plan regions of it, in whole stretches of the file.

The oracle is pysam: the stretches that are planned, put together, have each record of the region once, in the file's order.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.genomics.index.cuts import CutList, find_cuts
from modos.genomics.region import Region, settle
from tests.support.hard_files import CASES, CONTIGS, WITHOUT_CONTIGS, File, index_reads, some_regions, write_reads

pytestmark = pytest.mark.sweep(70)


def cuts_of(file: File) -> CutList:
    """The list of a file, through its bytes."""
    found = find_cuts(file.format, file.read, file.size, file.header, file.index_path.read_bytes())
    return CutList.from_bytes(found.to_bytes())


@pytest.fixture(scope="module", params=[name for name in CASES if name not in WITHOUT_CONTIGS])
def file(request, tmp_path_factory) -> File:
    return CASES[request.param](tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cuts(file) -> CutList:
    return cuts_of(file)


def assemble(file: File, cuts: CutList, path: Path, *regions: Region) -> Path:
    path.write_bytes(file.resolve(cuts.plan(settle(regions, cuts.contigs))))
    return path


def test_the_stretches_have_exactly_the_records_of_the_region(file, cuts, tmp_path):
    whole = Counter(file.all(file.path))
    for region in some_regions(file):
        assembled = assemble(file, cuts, tmp_path / file.path.name, region)
        assert file.filtered(assembled, region) == file.records(region), region
        assert not Counter(file.all(assembled)) - whole, "what comes along is of the file, and whole"


def test_regions_together_give_each_record_once_in_file_order(file, cuts, tmp_path):
    regions = [region for region in some_regions(file, 12, seed=4) if region.end is not None][:6]
    assembled = assemble(file, cuts, tmp_path / file.path.name, *regions, *regions[:2])
    got = file.filtered(assembled, *regions)
    assert got == file.filtered(file.path, *regions)
    assert max(Counter(got).values(), default=1) == 1


def test_stretches_are_apart_and_in_order_and_end_with_the_end_marker(file, cuts):
    for region in some_regions(file):
        spans = cuts.plan([region])
        assert spans[0].start == 0 and spans[-1].end == file.size
        assert all(before.end < after.start for before, after in pairwise(spans))


def test_of_a_file_that_samtools_wrote_hardly_more_is_planned_than_is_needed(tmp_path):
    file = index_reads(write_reads(tmp_path / "a.bam", CONTIGS, 30_000))
    cuts = cuts_of(file)
    for region in some_regions(file):
        exact = sum(len(s) if isinstance(s, bytes) else s.size for s in file.plan(region)) + file.header.end // (1 << 16)
        assert sum(span.size for span in cuts.plan([region])) <= exact + 3 * (1 << 16)


def test_it_holds_no_record(file, cuts):
    described = cuts.to_bytes()
    assert b"read1" not in described and len(described) < file.size + 20_000
    assert cuts.header.segments == ()


def test_a_contig_that_is_not_there_is_not_found(file, cuts):
    with pytest.raises(NotFoundError):
        cuts.plan([Region("nowhere", 0, 10)])


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"x" + d[1:], lambda d: d[:40], lambda d: b""]
)
def test_what_is_no_list_is_refused(tmp_path, change):
    data = cuts_of(CASES["bam"](tmp_path)).to_bytes()
    with pytest.raises(InvalidInputError):
        CutList.from_bytes(change(data))


def test_a_damaged_or_truncated_file_has_no_list(tmp_path):
    file = CASES["bam"](tmp_path)
    whole = file.data
    for damaged in (whole[:-28], whole[:-2000], whole[: len(whole) // 2] + b"\0" * 50 + whole[len(whole) // 2 + 50 :]):
        file.data = damaged
        with pytest.raises((IntegrityError, InvalidInputError)):
            find_cuts(file.format, file.read, file.size, file.header, file.index_path.read_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1"},
        {"size": -1},
        {"header_end": None},
        {"contigs": [[1, 2]]},
        {"contigs": 7},
        {"target_ids": [["chr1", "0"]]},
        {"target_ids": [["chr1", -1]]},
        {"format": "EXE"},
        {"end_marker": "zz"},
    ],
)
def test_what_is_described_is_looked_at(tmp_path, change):
    """Anybody can encrypt something for a server."""
    data = cuts_of(CASES["bam"](tmp_path)).to_bytes()
    _, _, length, *more = struct.unpack_from("<8sIIQQ", data)
    told = json.loads(zlib.decompress(data[32 : 32 + length])) | change
    description = zlib.compress(json.dumps(told).encode())
    made = struct.pack("<8sIIQQ", b"MODOSCUT", 1, len(description), *more) + description + data[32 + length :]
    with pytest.raises(InvalidInputError):
        CutList.from_bytes(made)


def test_a_list_that_swells_is_not_read(tmp_path):
    data = cuts_of(CASES["bam"](tmp_path)).to_bytes()
    _, _, length, index, places = struct.unpack_from("<8sIIQQ", data)
    swollen = zlib.compress(bytes(100 << 20))
    made = struct.pack("<8sIIQQ", b"MODOSCUT", 1, length, index, len(swollen)) + data[32:-places] + swollen
    with pytest.raises(InvalidInputError):
        CutList.from_bytes(made)


def test_a_description_of_lists_of_nothing_is_not_unfolded(monkeypatch):
    """Sealed by anybody for a server's key: each of its two bytes would be a list in memory."""
    monkeypatch.setattr("modos.genomics.index.cuts.json.loads", lambda text: pytest.fail("it was unfolded"))
    description, places = zlib.compress(b'{"contigs":[' + b"[]," * (20 << 20) + b"[]]}"), zlib.compress(bytes(8))
    data = struct.pack("<8sIIQQ", b"MODOSCUT", 1, len(description), 0, len(places)) + description + places
    with pytest.raises(InvalidInputError):
        CutList.from_bytes(data)
