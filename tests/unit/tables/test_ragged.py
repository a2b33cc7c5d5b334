"""Slices of many lengths, against slicing one by one."""

import numpy as np
import pytest

from modos.tables.ragged import PADDING, join_slices

DATA = np.random.default_rng(1).integers(0, 256, 100_000).astype(np.uint8).tobytes() + bytes(PADDING)


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize("longest", [0, 1, 2, 7, 20, 300, PADDING - 1, PADDING, 3 * PADDING])
def test_slices_are_joined(longest, kind):
    """Each slice comes whole and at its place, also where the next is shorter than what is written over."""
    rng = np.random.default_rng(longest)
    for count in (0, 1, 2, 50, 2000):
        lengths = rng.integers(0, longest + 1, count)
        starts = rng.integers(0, len(DATA) - PADDING - longest, count)
        expected = b"".join(DATA[start : start + length] for start, length in zip(starts.tolist(), lengths.tolist()))
        assert join_slices(kind(DATA), starts, lengths).tobytes() == expected


def test_the_end_of_the_data_is_reached():
    """Slices that end where the data end are not cut, nor is anything read beyond."""
    starts, lengths = np.array([0, len(DATA) - 3]), np.array([10, 3])
    assert join_slices(DATA, starts, lengths).tobytes() == DATA[:10] + DATA[-3:]
