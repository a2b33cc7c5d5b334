"""A CRAM that is replaced while it is cut is an error, and never cut by the header of the file before."""

from __future__ import annotations

import pysam
import pytest

from modos.errors import ConflictError
from modos.genomics import bounded_slices
from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.exact.decoding import decode_reads
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.storage import open_storage


def write(path, contigs, groups):
    lines = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": 1000} for name in contigs]}
    header = pysam.AlignmentHeader.from_dict(lines | {"RG": [{"ID": group, "SM": sample} for group, sample in groups.items()]})
    with pysam.AlignmentFile(path, "wc", header=header, format_options=[b"no_ref=1"]) as file:
        for number, name in enumerate(contigs):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start = f"on-{name}", number, 10
            read.query_sequence, read.cigarstring, read.flag = "ACGT", "4M", 0
            read.set_tag("RG", "a")
            file.write(read)
    pysam.index(str(path))


@pytest.mark.parametrize(
    ("before", "after", "bounds"),
    [
        ((["chr1", "chr2"], {"a": "S1"}), (["chr2", "chr1"], {"a": "S1"}), Bounds((Region("chr1"),))),
        ((["chr1"], {"a": "S1", "b": "S2"}), (["chr1"], {"a": "S2", "b": "S1"}), Bounds(samples=frozenset({"S1"}))),
    ],
    ids=["contigs", "samples"],
)
def test_another_header_is_noticed(tmp_path, monkeypatch, before, after, bounds):
    """Contigs in another order, and read groups of others, are those of another file."""
    write(tmp_path / "now.cram", *before)
    write(tmp_path / "then.cram", *after)
    storage = open_storage(str(tmp_path))
    planner = Planner(storage)
    assert b"".join(cut_file(storage, planner, "now.cram", None, bounds).pieces)
    monkeypatch.setattr(
        bounded_slices, "decode_reads", lambda storage, planner, key, *rest: decode_reads(storage, planner, "then.cram", *rest)
    )
    with pytest.raises(ConflictError):
        b"".join(cut_file(storage, planner, "now.cram", None, bounds).pieces)
