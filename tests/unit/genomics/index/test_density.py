"""Density of records from an index alone: of slices of a CRAM, whose bytes are known."""

from __future__ import annotations

import numpy as np
import pytest

from modos.genomics.index.crai import Crai
from modos.genomics.index.density import estimate_density


def test_bytes_of_slices_are_spread_over_them():
    """Two slices of 100 bytes, one ten times as long, and nothing between them and the end."""
    index = Crai.parse(b"0\t1\t100\t0\t10\t90\n0\t101\t1000\t200\t10\t90\n1\t1\t50\t400\t10\t90\n")
    found = estimate_density(index, 0, 2200, np.array([0, 50, 100, 600, 1100, 2200]))
    assert found == pytest.approx([11, 11, 1.1, 1.1, 0])
    assert (found * [50, 50, 500, 500, 1100]).sum() == pytest.approx(2200)  # 1 on the mean


def test_where_there_is_nothing_it_is_zero():
    index = Crai.parse(b"0\t1\t100\t0\t10\t90\n")
    assert estimate_density(index, 3, 100, np.array([0, 50, 100])).tolist() == [0, 0]


def test_slices_on_top_of_each_other_add_up():
    index = Crai.parse(b"0\t1\t100\t0\t0\t100\n0\t51\t100\t200\t0\t100\n")
    assert estimate_density(index, 0, 150, np.array([0, 50, 100, 150])) == pytest.approx([0.75, 1.5, 0.75])
