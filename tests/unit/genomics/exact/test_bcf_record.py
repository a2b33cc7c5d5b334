"""A record that is taken apart and put together again is the same; one that does not fit is refused."""

from __future__ import annotations

import gzip
import struct

import pytest

from modos.genomics.exact.bcf_record import Record, type_integers
from tests.support.hard_files import write_variants
from tests.support.variant_oracle import write_telling_variants


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    paths = [
        write_telling_variants(folder / "a.bcf", "bcf", 300),
        write_variants(folder / "b.bcf", {"chr1": 100_000}, 300, "bcf"),
    ]
    found = []
    for path in paths:
        content = gzip.decompress(path.read_bytes())
        at = 9 + struct.unpack_from("<I", content, 5)[0]
        while at < len(content):
            following = at + 8 + sum(struct.unpack_from("<II", content, at))
            found.append(content[at:following])
            at = following
    return found


def test_a_record_that_is_put_together_again_is_the_same(records):
    assert [Record.parse(data).to_bytes() for data in records] == records


def test_a_record_whose_fields_do_not_fit_is_refused(records):
    for data in records[::20]:
        for changed in (data[:-1], data + b"\0", data[:24] + b"\xff\xff" + data[26:], data[:31] + b"\x09" + data[32:]):
            with pytest.raises((ValueError, IndexError, struct.error)):
                Record.parse(changed)


@pytest.mark.parametrize(("numbers", "kind"), [([0, 127], 1), ([128], 2), ([5, 40_000], 3)])
def test_numbers_have_the_smallest_type(numbers, kind):
    data = type_integers(numbers)
    assert data[0] == len(numbers) << 4 | kind
    assert len(data) == 1 + len(numbers) * (1, 2, 4)[kind - 1]
