"""Headers of reads do not name what is cut."""

from __future__ import annotations

import struct

import pytest

from modos.genomics.exact.read_header import cut_header, find_groups

KEPT = [b"@HD\tVN:1.6", b"@SQ\tSN:chr1\tLN:9", b"@RG\tID:a\tSM:S1", b"@RG\tID:b\tSM:S2"]


def header(*lines):
    text = b"".join(line + b"\n" for line in lines)
    return struct.pack("<4sI", b"BAM\1", len(text)) + text + struct.pack("<I", 0)


def cut(*lines):
    whole = header(*lines)
    return cut_header(whole, find_groups(whole, {"S1"}))[8:-4].split(b"\n")[:-1]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"@PG\tID:x\tPN:bwa\tVN:1\tPP:y\tCL:bwa S2.fq\tDS:S2\tfi:S2.bam", b"@PG\tID:x\tPN:bwa\tVN:1\tPP:y"),
        (b"@CO\tS2", None),
        (b"@xx\tna:S2", None),
        (b"@PGx\tS2", None),
    ],
)
def test_only_known_lines_and_fields_stay(line, kept):
    """Fields of programs and kinds of lines that the specification does not have may name another sample."""
    assert cut(*KEPT, line) == KEPT[:3] + ([] if kept is None else [kept])


def test_a_malformed_read_group_is_one_of_another_sample():
    """A line that is no read group does not make a header one without other samples."""
    lines = [*KEPT[:3], b"@RG ID:b SM:S2"]
    assert cut(*lines) == KEPT[:3]
    assert not find_groups(header(*lines), {"S1"}).is_all
