"""The sections of an mzTab, with as many rows and columns as the table of each has."""

import pytest

from modos.errors import IntegrityError
from modos.tables.mztab_table import MzTabTable, measure_sections

LINES = [
    "COM\tmade here\n",
    "MTD\tmzTab-version\t1.0.0\n",
    "MTD\tmzTab-mode\tSummary\n",
    "\n",
    "PRH\taccession\tscore\n",
    "PRT\tP1\t1\n",
    "PRT\tP2\t2\n",
    "SMH\tidentifier\n",
]


def test_sections_are_counted():
    found = {one.name: (one.rows, one.columns) for one in measure_sections(LINES, "x")}
    assert found == {"MTD": (2, 2), "PRT": (2, 2), "SML": (0, 1)}


def test_they_are_those_of_the_tables():
    pytest.importorskip("pyarrow")
    for one in measure_sections(LINES, "x"):
        table = MzTabTable(LINES, "x", one.name).read()
        assert (table.num_rows, table.num_columns) == (one.rows, one.columns)


def test_what_is_no_mztab_is_an_error():
    with pytest.raises(IntegrityError, match="no mzTab"):
        measure_sections(["a\tb\n"], "x")
    assert measure_sections([], "x") == []
