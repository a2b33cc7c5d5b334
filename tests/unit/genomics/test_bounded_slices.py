"""Slices have exactly the records that may be given, as samtools and bcftools select them, in a whole file."""

from __future__ import annotations

import random
import threading
import tracemalloc

import pytest

from modos.errors import ModosError, NotFoundError
from modos.formats import BGZF_EOF
from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.protocol import HtsgetError
from modos.genomics.htsget.query import Query
from modos.genomics.index.bgzf import inflate_block
from modos.genomics.planning import Planner
from modos.genomics.region import Region, settle
from modos.genomics.slicing import block_batches
from modos.storage import open_storage
from tests.support.hard_files import CASES, WITHOUT_CONTIGS, File, index_reads, some_regions, write_reads

pytestmark = pytest.mark.sweep(60)

NAMES = [name for name in CASES if name not in WITHOUT_CONTIGS]


@pytest.fixture(scope="module", params=NAMES)
def file(request, tmp_path_factory) -> File:
    return CASES[request.param](tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bam(tmp_path_factory) -> File:
    return CASES["bam"](tmp_path_factory.mktemp("data"))


def cut(file: File, regions, bounds=Bounds(), **options):
    storage = open_storage(str(file.path.parent))
    return cut_file(storage, Planner(storage), file.path.name, regions, bounds, **options)


def records(file: File, path, made):
    """The texts of the records of a slice, which is written to a file first."""
    data = b"".join(made.pieces)
    assert data.endswith(BGZF_EOF)
    path = path / f"out.{made.format.lower()}{'.gz' if made.format == 'VCF' else ''}"
    path.write_bytes(data)
    found = file.all(path)
    assert made.records in (None, len(found))
    return found


def some_sets(file: File, count: int, seed: int):
    """Sets of regions: of one, and of several."""
    rng = random.Random(seed)
    regions = some_regions(file, 30, seed)
    for number in range(count):
        yield settle(rng.sample(regions, 1 if number % 2 else min(rng.randrange(2, 9), len(regions))), list(file.header.contigs))


@pytest.mark.sweep(12)
def test_the_records_are_those_that_overlap(file, tmp_path):
    for regions in some_sets(file, 12, seed=7):
        for bounds in (Bounds(), Bounds(regions, is_masking=False)):
            assert records(file, tmp_path, cut(file, regions, bounds)) == file.filtered(file.path, *regions), regions


@pytest.mark.sweep(12)
def test_what_is_wanted_is_cut_to_what_is_allowed(file, tmp_path):
    sets = list(some_sets(file, 16, seed=8))
    for wanted, allowed in zip(sets[::2], sets[1::2]):
        made = cut(file, wanted, Bounds(allowed, is_masking=False))
        meant = Bounds(allowed).cut(wanted)
        assert made.regions == tuple(meant)
        assert records(file, tmp_path, made) == file.filtered(file.path, *meant), (wanted, allowed)


def test_without_wanted_regions_all_that_is_allowed_comes(file, tmp_path):
    (allowed,) = some_sets(file, 1, seed=9)
    assert records(file, tmp_path, cut(file, None, Bounds(allowed, is_masking=False))) == file.filtered(file.path, *allowed)
    assert records(file, tmp_path, cut(file, None)) == file.all(file.path)


def test_contigs_of_the_bounds_that_the_file_lacks_have_nothing(file, tmp_path):
    made = cut(file, None, Bounds((Region("nowhere"), Region("elsewhere", 5, 10))))
    assert made.regions == () and records(file, tmp_path, made) == [] and made.records == 0


def test_a_header_alone_is_a_whole_file(file, tmp_path):
    assert records(file, tmp_path, cut(file, None, header_only=True)) == []


def test_only_the_own_format_is_given(file):
    own = "BAM" if file.format.kind == "reads" else file.format.name
    assert cut(file, (), format=own).format == own
    for other in {"CRAM", "BAM", "VCF", "BCF"} - {own}:
        with pytest.raises(HtsgetError) as raised:
            cut(file, (), format=other)
        assert raised.value.name == "UnsupportedFormat"


def test_without_bounds_an_unknown_contig_is_not_found(bam):
    with pytest.raises(NotFoundError):
        b"".join(cut(bam, (Region("nowhere"),)).pieces)


def test_what_does_not_change_passes_in_its_own_blocks(bam):
    blocks = {bytes(block) for _, batch in block_batches(iter([bam.data])) for block in batch}
    for bounds in (Bounds((Region("chr1"),)), Bounds((Region("chr1"),), is_masking=False)):
        data = b"".join(cut(bam, (Region("chr1", 200_000, 800_000),), bounds).pieces)
        passed = [bytes(block) in blocks for _, batch in block_batches(iter([data])) for block in batch]
        assert sum(passed) > len(passed) / 2


def test_fields_and_tags_are_those_that_are_allowed_and_wanted(bam, tmp_path):
    region = (Region("chr1", 0, 300_000),)
    bounds = Bounds(region, fields=("QNAME", "FLAG", "RNAME", "POS", "SEQ"))
    made = cut(bam, None, bounds, query=Query(fields=("QNAME", "POS", "CIGAR", "QUAL")))
    found = records(bam, tmp_path, made)
    columns = [line.split("\t") for line in found]
    assert len(found) == len(bam.filtered(bam.path, *region))
    assert {tuple(line[2:3] + line[4:11]) for line in columns} == {("*", "255", "*", "*", "0", "0", "*", "*")}
    assert {line[0] for line in columns} == {line.split("\t")[0] for line in bam.filtered(bam.path, *region)}
    nothing = records(bam, tmp_path, cut(bam, None, Bounds(fields=("QNAME",)), query=Query(fields=("SEQ",))))
    assert set(nothing) == {"*\t0\t*\t0\t255\t*\t*\t0\t0\t*\t*"}


def test_a_generator_that_is_closed_early_leaves_nothing_running(file):
    before = set(threading.enumerate())
    for bounds in (Bounds(), Bounds((Region("chr1"), Region("huge"), Region("contig1")), is_masking=False)):
        pieces = cut(file, None, bounds).pieces
        next(pieces)
        next(pieces)
        pieces.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert {thread for thread in threading.enumerate() if thread not in before} == set()


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_an_error(file, tmp_path, keep):
    path = tmp_path / file.path.name
    path.write_bytes(file.data[: int(len(file.data) * keep)])
    (tmp_path / file.index_path.name).write_bytes(file.index_path.read_bytes())
    storage = open_storage(str(tmp_path))
    with pytest.raises(ModosError):
        b"".join(
            cut_file(
                storage,
                Planner(storage),
                path.name,
                None,
                Bounds(notags=("XX",)) if file.format.kind == "reads" else Bounds(info=frozenset()),
            ).pieces
        )


@pytest.mark.sweep(20)
@pytest.mark.parametrize("part", [1, 3_000, 20_000])
def test_parts_that_pass_without_a_look_have_the_same_records(file, tmp_path, monkeypatch, part):
    monkeypatch.setattr("modos.genomics.bounded_slices.PART", part)
    for regions in some_sets(file, 10, seed=11):
        assert records(file, tmp_path, cut(file, regions)) == file.filtered(file.path, *regions), regions


def test_most_of_a_wide_region_passes_without_a_look(tmp_path, monkeypatch):
    monkeypatch.setattr("modos.genomics.bounded_slices.PART", 50_000)
    file = index_reads(write_reads(tmp_path / "a.bam", {"chr1": 50_000_000}, 40_000, unplaced=0))
    made = cut(file, (Region("chr1", 5_000_000, 45_000_000),))
    looked_at = []
    monkeypatch.setattr("modos.genomics.exact.blocks.inflate_block", lambda *block: looked_at.append(1) or inflate_block(*block))
    blocks = sum(len(batch) for _, batch in block_batches(iter([b"".join(made.pieces)])))
    assert made.records is None
    assert len(looked_at) < blocks / 2


def test_memory_does_not_grow_with_the_region(tmp_path):
    """Of a file many times as large no more is held."""
    peaks = []
    for count in (20_000, 200_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        path = write_reads(folder / "a.bam", {"chr1": 50_000_000}, count, unplaced=0)
        file = index_reads(path)
        made = cut(file, None, Bounds((Region("chr1", 10, None),)))
        tracemalloc.start()
        for _ in made.pieces:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < max(2 * peaks[0], 60 << 20)
