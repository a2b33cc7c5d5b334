"""The header Range is read as RFC 9110 has it."""

from __future__ import annotations

import pytest

from modos.gateway.ranges_asked import UnsatisfiableRangeError, parse_range
from modos.gateway.read_ahead import Wanted


@pytest.mark.parametrize(
    ("header", "start", "end", "is_open"),
    [
        ("bytes=0-0", 0, 1, False),
        ("bytes=10-19", 10, 20, False),
        ("bytes=10-1000", 10, 100, False),
        ("bytes=10-", 10, 100, True),
        ("bytes=0-", 0, 100, True),
        ("Bytes = 10 - 19", 10, 20, False),
        ("bytes=-7", 93, 100, False),
        ("bytes=-1000", 0, 100, False),
        ("bytes=5-9,", 5, 10, False),
    ],
)
def test_one_range(header, start, end, is_open):
    assert parse_range(header, 100) == Wanted(start, end, is_open)


@pytest.mark.parametrize(
    "header", [None, "", "lines=1-2", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,5-6", "bytes=1-2-3"]
)
def test_what_is_no_single_range_means_the_whole_file(header):
    assert parse_range(header, 100) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_nothing_of_the_file(header, size):
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, size)
