"""Of reads nothing that locates outside of what is allowed is given, and all else is; a slow masker of pysam says what."""

from __future__ import annotations

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.planning import Planner
from modos.genomics.region import Region, settle
from modos.storage import open_storage
from tests.support.masking_oracle import CONTIGS, lies_in, mask_read, places_told, spans_of, write_telling_reads
from tests.support.sampling import most


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_telling_reads(tmp_path_factory.mktemp("telling") / "a.bam")


regions = st.builds(
    lambda contig, start, width: Region(contig, min(start, CONTIGS[contig] - 1), min(start, CONTIGS[contig] - 1) + width),
    st.sampled_from(list(CONTIGS)),
    st.integers(0, 60_000),
    st.sampled_from([1, 50, 400, 5_000, 30_000]),
)


def made(path, wanted, bounds, **options):
    storage = open_storage(str(path.parent))
    return cut_file(storage, Planner(storage), path.name, wanted, bounds, **options)


def reads_of(path, data: bytes):
    out = path.with_name("out.bam")
    out.write_bytes(data)
    with pysam.AlignmentFile(str(out), check_sq=False) as file:
        return list(file.fetch(until_eof=True))


def overlapping(path, spans):
    with pysam.AlignmentFile(str(path)) as file:
        for read in file.fetch(until_eof=True):
            start = read.reference_start
            if (read.reference_id < 0 and "*" in spans) or lies_in(
                spans, read.reference_name, start, read.reference_end or start + 1
            ):
                yield read


@settings(max_examples=most(150, 25), deadline=None)
@given(
    allowed=st.lists(regions, min_size=1, max_size=8),
    wanted=st.none() | st.lists(regions, min_size=1, max_size=4),
    has_unplaced=st.booleans(),
)
def test_each_read_is_what_the_slow_masker_makes_of_it(path, allowed, wanted, has_unplaced):
    bounds = Bounds(settle([*allowed, *([Region("*")] if has_unplaced else [])]))
    cut = made(path, None if wanted is None else settle(wanted), bounds)
    found = reads_of(path, b"".join(cut.pieces))
    spans = spans_of(bounds.regions)
    expected = [mask_read(read, spans) for read in overlapping(path, spans_of(cut.regions))]
    assert [read.to_string() for read in found] == expected
    assert cut.records == len(expected)
    told = [place for read in found for place in places_told(read)]
    assert [place for place in told if not lies_in(spans, *place)] == []


def test_without_masking_reads_are_given_as_they_are(path):
    bounds = Bounds((Region("chr1", 10_000, 20_000),), is_masking=False)
    found = reads_of(path, b"".join(made(path, None, bounds).pieces))
    assert [read.to_string() for read in found] == [r.to_string() for r in overlapping(path, spans_of(bounds.regions))]


@pytest.mark.parametrize("fields", [("QNAME", "SEQ"), ("QNAME", "RNAME", "SEQ"), ("POS",)])
def test_where_the_place_may_not_be_told_no_tag_tells_one(path, fields):
    for regions in ((Region("chr1", 10_000, 30_000),), None):
        found = reads_of(path, b"".join(made(path, None, Bounds(regions, fields=fields)).pieces))
        assert found
        telling = {tag for read in found for tag, _ in read.get_tags()} & {"SA", "XA", "OA", "CC", "CP", "OP", "OC", "PS"}
        assert telling == set()


@pytest.mark.parametrize("samples", [{"alice"}, {"bob"}, {"alice", "bob"}, {"alice", "eve"}])
def test_reads_are_those_of_the_samples(path, samples):
    groups = {name for name, sample in {"g1": "alice", "g2": "bob", "g3": "alice"}.items() if sample in samples}
    bounds = Bounds((Region("chr1"), Region("*")), samples=frozenset(samples))
    cut = made(path, None, bounds)
    data = b"".join(cut.pieces)
    found = reads_of(path, data)

    def is_given(read):
        return read.get_tag("RG") in groups if read.has_tag("RG") else samples >= {"alice", "bob"}

    spans = spans_of(bounds.regions)
    expected = [mask_read(read, spans) for read in overlapping(path, spans) if is_given(read)]
    assert [read.to_string() for read in found] == expected
    with pysam.AlignmentFile(str(path.with_name("out.bam"))) as file:
        text = str(file.header)
        assert {line["ID"] for line in file.header.to_dict()["RG"]} == groups
    for other in {"alice", "bob"} - samples:
        assert other not in text


def test_a_file_without_a_sample_that_may_be_given_is_refused(path, tmp_path):
    from modos.genomics.htsget.protocol import HtsgetError

    plain = write_telling_reads(tmp_path / "plain.bam", 50, groups=False)
    for file in (path, plain):
        with pytest.raises(HtsgetError, match="no sample") as raised:
            made(file, None, Bounds(samples=frozenset(("eve",))))
        assert raised.value.name == "PermissionDenied"
