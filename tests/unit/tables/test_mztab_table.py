"""Sections of an mzTab are tables with typed columns, and what is wrong with a file is said."""

from __future__ import annotations

import pytest

from modos.api import MODO
from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.tables.mztab_table import MzTabTable

TEXT = """MTD\tmzTab-version\t1.0.0
MTD\ttitle\tA\tstudy
COM\ta comment
PRH\taccession\tnum_psms\tbest_score\ttaxid
PRT\tP1\t3\t0.5\tnull
PRT\tP2\tnull\tNaN\tnull

PSH\tsequence\tPSM_ID
PSM\tPEPTIDE\t1
PSM\tÄ\t2
"""


def read(text, section, columns=None):
    return MzTabTable(text.splitlines(keepends=True), "x.mztab", section, columns).read()


def test_a_section_is_a_table():
    found = read(TEXT, "PRT")
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("accession", "string"),
        ("num_psms", "int64"),
        ("best_score", "double"),
        ("taxid", "string"),
    ]
    assert repr(found.to_pylist()) == repr(
        [
            {"accession": "P1", "num_psms": 3, "best_score": 0.5, "taxid": None},
            {"accession": "P2", "num_psms": None, "best_score": float("nan"), "taxid": None},
        ]
    )
    assert read(TEXT, "PSM", ["PSM_ID"]).to_pydict() == {"PSM_ID": [1, 2]}
    assert read(TEXT, "MTD").to_pydict() == {"key": ["mzTab-version", "title"], "value": ["1.0.0", "A\tstudy"]}


@pytest.mark.parametrize(
    ("text", "section", "error", "message"),
    [
        (TEXT, None, InvalidInputError, "has the sections MTD, PRT, PSM"),
        (TEXT, "SML", NotFoundError, "has no section SML"),
        (TEXT, "PRTT", NotFoundError, "no section PRTT"),
        (TEXT.replace("\t0.5\tnull", "\t0.5"), "PRT", IntegrityError, "line 5: it has 3 columns, and its header 4"),
        (TEXT.replace("PRH", "COM"), "PRT", IntegrityError, "line 5"),
        (TEXT + "PRH\tagain\n", "PRT", IntegrityError, "a second header"),
        (TEXT.replace("taxid", "num_psms"), "PRT", IntegrityError, "the column num_psms is there twice"),
        ("<html>\n", "PRT", IntegrityError, "is no mzTab"),
    ],
)
def test_what_is_wrong(text, section, error, message):
    with pytest.raises(error, match=message):
        read(text, section)


def test_a_column_that_there_is_not():
    with pytest.raises(InvalidInputError, match="no column acession") as error:
        read(TEXT, "PRT", ["acession"])
    assert "did you mean accession" in error.value.hint


def test_of_an_object(tmp_path):
    (tmp_path / "p.mztab").write_text(TEXT)
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "p", "@type": "MassSpectrometryResults"}, tmp_path / "p.mztab")
    assert modo["data/p"].to_polars(section="PRT")["num_psms"].to_list() == [3, None]
    assert next(iter(modo["data/p"].iter_arrow(section="PSM"))).num_rows == 2
    with pytest.raises(InvalidInputError, match="no regions"):
        modo["data/p"].to_arrow("chr1", section="PRT")
    path = next((tmp_path / "ex").rglob("*.mztab"))
    path.write_bytes(path.read_bytes().replace(b"P1", b"P7"))
    with pytest.raises(IntegrityError):
        modo["data/p"].to_arrow(section="PRT")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(IntegrityError):
        modo["data/p"].to_arrow(section="PRT")
