"""Values in classes of colours: from the least to the greatest, whatever they are."""

import numpy as np
import pytest

from modos.server.pages.heat_map import draw_corner
from modos.trees.tree_corners import Corner


def classes(values):
    """The class of each value, with the runs taken apart."""
    drawn = draw_corner(Corner(np.array(values, float), np.array(values).shape))
    found = [[None] * drawn.columns for _ in range(drawn.rows)]
    for run in drawn.runs:
        for at in range(run.column, run.column + run.length):
            assert found[run.row][at] is None
            found[run.row][at] = run.name
    return found


def test_classes_are_as_wide_as_each_other():
    assert classes([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]) == [["0", "1", "2", "3", "4", "5", "6", "7", "8", "8"]]
    assert classes([[-9, 0, 9]]) == [["0", "4", "8"]]


@pytest.mark.parametrize(
    "values", [[[5, 5]], [[0, 0]], [[-1e308, 1e308, 0]], [[1e-320, 2e-320]], [[np.nan, 1]], [[np.inf, -np.inf]], [[np.nan]]]
)
def test_odd_values_have_a_class(values):
    found = classes(values)
    assert all(name in {"none", *map(str, range(9))} for row in found for name in row)
    assert all(
        (name == "none") == (not np.isfinite(value)) for names, row in zip(found, values) for name, value in zip(names, row)
    )


def test_nothing():
    for shape in ((0, 5), (5, 0)):
        drawn = draw_corner(Corner(np.zeros(shape), shape))
        assert list(drawn.runs) == [] and drawn.bounds is None


def test_numbers_are_written_short():
    assert draw_corner(Corner(np.array([[1.0, 0.123456, 1e9, np.nan]]), (1, 4))).numbers == [["1", "0.1235", "1e+09", "nan"]]
