"""The depth of each base, counted base by base."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np

from modos.genomics.coverage import NOT_COUNTED, count_depth
from modos.genomics.region import Region


def test_depth_is_what_adding_base_by_base_gives():
    """Reads of several blocks, within, across and outside of the region, some of which do not count."""
    rng = random.Random(5)
    region = Region("c", 1000, 1400)
    expected = np.zeros(400, np.int64)
    records = []
    for _ in range(500):
        start, blocks = rng.randrange(800, 1500), []
        for _ in range(rng.randrange(4)):
            end = start + rng.randrange(1, 80)
            blocks.append((start, end))
            start = end + rng.randrange(30)
        flag = rng.choice((0, 16, 0x4, 0x100, 0x200, 0x400, 0x800))
        records.append(SimpleNamespace(flag=flag, get_blocks=lambda blocks=blocks: blocks))
        if not flag & NOT_COUNTED:
            for first, last in blocks:
                for base in range(max(first, 1000), min(last, 1400)):
                    expected[base - 1000] += 1
    assert count_depth(iter(records), region).tolist() == expected.tolist()
    assert count_depth(iter(()), region).tolist() == [0] * 400
