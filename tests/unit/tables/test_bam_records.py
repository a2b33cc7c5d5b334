"""Fields of reads, each of their codes, against the tables of SAMv1 section 4.2."""

import numpy as np
import pytest

from modos.tables.bam_records import _format_operations, _unpack_bases

BASES, OPERATIONS = "=ACMGRSVTWYHKDBN", "MIDNSHP=X"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1 << 16, (1 << 17) + 1])
def test_all_pairs_of_bases_are_unpacked(count):
    """The first base of a byte is its high half; an odd number of bytes loses none."""
    packed = np.random.default_rng(count).integers(0, 256, count).astype(np.uint8)
    assert _unpack_bases(packed).tobytes().decode() == "".join(BASES[byte >> 4] + BASES[byte & 15] for byte in packed.tolist())


@pytest.mark.parametrize("most", [1, 10, 4096, 4097, 1 << 28])
@pytest.mark.parametrize("count", [0, 1, 2000])
def test_operations_are_formatted(most, count):
    """Operations of any length, also beyond those whose text is held ready, and those about where it ends."""
    rng = np.random.default_rng(most)
    lengths = np.minimum(rng.integers(0, most, count), rng.choice([9, 10, 99, 100, 4095, 4096, most], count))
    codes = rng.integers(0, len(OPERATIONS), count)
    expected = [f"{length}{OPERATIONS[code]}" for length, code in zip(lengths.tolist(), codes.tolist())]
    texts, sizes = _format_operations((lengths << 4 | codes).astype(np.uint32))
    assert texts.tobytes().decode() == "".join(expected)
    assert sizes.tolist() == [len(text) for text in expected]
