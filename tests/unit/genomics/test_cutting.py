"""Regions that are cut by the index give each record once, in the order of the file, as they do whole."""

import random

import pytest

from modos.api import MODO
from modos.errors import NotFoundError
from modos.genomics.cutting import cut_regions
from modos.genomics.region import UNMAPPED, Region
from modos.plans.partition import starts_within

LENGTHS = {"chr1": 60_000, "chr2": 40_000}
FILES = ["demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf"]


def draw_regions(rng):
    for _ in range(rng.randrange(1, 6)):
        contig = rng.choice(list(LENGTHS))
        start = rng.randrange(LENGTHS[contig] - 1)
        end = rng.choice([None, rng.randrange(start + 1, LENGTHS[contig] + 1), min(start + 50, LENGTHS[contig])])
        yield Region(contig, start, end)


def records_of(file, piece):
    for record in file.fetch(piece.regions):
        if piece.after is None or not starts_within(record, piece.after):
            yield str(record)


@pytest.mark.sweep(12)
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", FILES)
def test_each_record_once(example, name, seed):
    rng = random.Random(seed)
    file = MODO.open(example / "ex").file(name)
    regions = None if seed == 0 else file.resolve(list(draw_regions(rng)))
    most = rng.choice([500, 2_000, 20_000, 100_000])
    pieces = cut_regions(file, regions, most)
    found = [record for piece in pieces for record in records_of(file, piece)]
    assert found == [str(record) for record in file.fetch(regions)]


@pytest.mark.parametrize("name", FILES)
def test_pieces_have_few_bytes_or_bases(example, name):
    file = MODO.open(example / "ex").file(name)
    pieces = cut_regions(file, None, 3_000)
    assert len(pieces) > 1 and pieces[-1].regions[-1].end is None
    for piece in pieces:
        assert piece.size <= 3_000 or all(r.contig == UNMAPPED or r.limit - r.start <= 1 << 14 for r in piece.regions)
        assert piece.size == file.find_size(piece.regions) or len(piece.regions) > 1 or piece.size > 0


def test_little_is_not_cut(example):
    file = MODO.open(example / "ex").file("demo2.bam")
    (piece,) = cut_regions(file, None, 1 << 30)
    assert piece.regions is None and piece.after is None and piece.size > 600_000
    (piece,) = cut_regions(file, (Region("chr1", 0, 10),), 1 << 30)
    assert piece.regions == (Region("chr1", 0, 10),)


def test_resolving_refuses_what_is_not_there(example):
    file = MODO.open(example / "ex").file("demo2.bam")
    assert file.resolve(["chr2:1-10", "chr1:5-20", Region("chr1", 10, 30)]) == (Region("chr1", 4, 30), Region("chr2", 0, 10))
    assert file.resolve(None) is None
    for region in ("chr3:1-10", Region("chr3", 0, 10)):
        with pytest.raises(NotFoundError, match="no contig chr3"):
            file.resolve(region)
