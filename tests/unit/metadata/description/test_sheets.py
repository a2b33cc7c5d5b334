"""A sheet becomes elements, or says every bad cell at once."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.api import MODO
from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.errors.escaping import is_plain
from modos.metadata.description import Matcher, read_descriptions


@pytest.fixture
def sheet(tmp_path):
    def write(text, name="samples.tsv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_become_elements(sheet, tmp_path):
    path = sheet("id\tsex\tcollector\tpart_of\nS1\tFemale\tA | B\ta\nS2\t\t\t\n\n")
    assay = sheet("id,@type,omics_type\na,Assay,GENOMICS|PROTEOMICS\n", "assays.csv")
    modo = MODO.from_file([path, assay], tmp_path / "ex", type="sample")
    assert modo.metadata["sample/S1"] == {"@type": "Sample", "sex": "Female", "collector": ["A", "B"]}
    assert modo.metadata["sample/S2"] == {"@type": "Sample"}
    assert modo.metadata["assay/a"]["has_sample"] == ["sample/S1"]
    assert modo.metadata["assay/a"]["omics_type"] == ["GENOMICS", "PROTEOMICS"]


def test_quotes_commas_and_a_byte_order_mark(sheet):
    path = sheet('\ufeffid,description\nS1,"one, two"\n', "s.csv")
    assert read_descriptions([path], "sample")[0].attributes["description"] == "one, two"


def test_files_are_found_beside_the_sheet(sheet, example, tmp_path):
    path = sheet(f"id\tsource_file\nr\t{example / 'source/demo2.bam'}\n", "reads.tsv")
    modo = MODO.from_file(path, tmp_path / "ex", type="AlignmentSet")
    assert modo.metadata["data/r"]["data_path"] == "demo2.bam" and modo.find_problems() == []


def test_all_bad_cells_at_once(sheet, tmp_path):
    path = sheet(
        "id\tsex\ttaxon_id\tsource_file\nS1\tmal\t\t\nS2\tFemale\t\tnowhere.bam\n\tMale\t\t\nS1\tMale\t\t\nS4\tMale\t\t\textra\n"
    )
    with pytest.raises(InvalidInputError) as caught:
        MODO.from_file(path, tmp_path / "ex", type="sample")
    text = caught.value.message
    for words in (
        "row 2, sex: cannot be 'mal' (did you mean Male?)",
        "row 3, source_file: there is no file nowhere.bam",
        "row 4, id: is empty",
        "row 3, source_file: a Sample has no file",
        "row 6, column 5: has no name",
        "5 bad cells",
    ):
        assert words in text, text
    assert not (tmp_path / "ex").exists()


def test_twice_the_same_id(sheet):
    with pytest.raises(InvalidInputError, match="row 3, id: S1 stands in row 2 already"):
        read_descriptions([sheet("id\nS1\nS1\n")], "sample")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("name\nx\n", "no column id"),
        ("id\tsexx\nx\ty\n", "no slot sexx"),
        ("id\tid\nx\ty\n", "twice"),
        ("id\nS1\n", "@type: is missing"),
        ("id\t@type\nS1\tSampel\n", "no class Sampel"),
        ('id\tname\nS1\t"x\n', "not a table"),
    ],
)
def test_what_is_no_sheet_says_why(sheet, text, words):
    with pytest.raises(InvalidInputError, match=words):
        read_descriptions([sheet(text)])


def test_other_files(tmp_path, sheet):
    with pytest.raises(NotFoundError):
        read_descriptions([tmp_path / "none.tsv"], "sample")
    with pytest.raises(ModosError):
        read_descriptions([sheet("id\nx\n")], "samples")
    (tmp_path / "bin.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_descriptions([tmp_path / "bin.tsv"], "sample")


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and text and "|" not in text
)


ids = names.filter(lambda text: "/" not in text and "\\" not in text and is_plain(text) and not text.startswith((".", "__", "#")))


@settings(max_examples=50)
@given(st.lists(st.tuples(ids, names), min_size=1, max_size=8, unique_by=lambda pair: pair[0]))
def test_any_text_comes_through(tmp_path_factory, rows):
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerows([("id", "name"), *rows])
    path = tmp_path_factory.mktemp("sheets") / "s.tsv"
    path.write_text(out.getvalue(), encoding="utf-8")
    entries = read_descriptions([path], "sample")
    assert [(e.attributes["id"], e.attributes["name"]) for e in entries] == rows


@pytest.mark.parametrize(
    ("name", "data", "between"),
    [
        ("a.csv", "id;sex;name\nS1;Male;x, y\n", "semicolons"),
        ("a.csv", "id\tsex\tname\nS1\tMale\tx, y\n", "tabs"),
        ("a.tsv", 'id,sex,name\nS1,Male,"x, y"\n', "commas"),
        ("a.csv", 'id,sex,"a;name"\nS1,Male,"x, y"\n', None),
        ("a.csv", "sep=;\r\nid;sex;name\r\nS1;Male;x, y\r\n", None),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheet_programs_write_is_read(tmp_path, name, data, between, encoding):
    """A CSV file of a German Excel has semicolons, and its "Unicode text" is UTF-16."""
    (tmp_path / name).write_bytes(data.encode(encoding))
    told = []
    entries = read_descriptions([tmp_path / name], "sample", matcher=Matcher({"a;name": "name"}, tell=told.append))
    assert [one.attributes for one in entries] == [{"@type": "Sample", "id": "S1", "sex": "Male", "name": "x, y"}]
    assert [line for line in told if "between" in line] == (
        [f"{tmp_path / name} has {between} between its cells"] if between else []
    )


@pytest.mark.parametrize("text", ["id\tname\n", "id\tname\n\n\t\n", "id\n"])
def test_a_sheet_without_rows_is_an_error(sheet, tmp_path, text):
    with pytest.raises(InvalidInputError, match="samples.tsv describes no element: there is nothing below"):
        MODO.from_file(sheet(text), tmp_path / "ex", type="sample")
    assert not (tmp_path / "ex").exists()


def test_another_encoding_is_told_with_the_line(tmp_path):
    (tmp_path / "a.csv").write_bytes("id,name\nS1,x\nS2,Jos\xe9\n".encode("latin-1"))
    with pytest.raises(InvalidInputError, match="not a table in UTF-8: line 3 has a byte that is none") as caught:
        read_descriptions([tmp_path / "a.csv"], "sample")
    assert "iconv" in caught.value.hint


def test_bad_ids_come_with_their_rows_and_all_at_once(sheet):
    with pytest.raises(
        InvalidInputError,
        match="3 bad cells: row 2, id: 'a/b' cannot be an id.*; row 4, id: S1 stands in row 3 already; row 5, sex",
    ) as caught:
        read_descriptions([sheet("id\tsex\na/b\t\nS1\t\nsample/S1\t\nS2\tx\n")], "sample")
    assert caught.value.message.count("row ") == 4


def test_what_is_missing_is_told_once(sheet):
    with pytest.raises(InvalidInputError, match="1 bad cell: row 2, source_file: is missing"):
        read_descriptions([sheet("id\nd\n")], "AlignmentSet")


def test_a_quote_that_is_never_closed_is_told_with_its_row(sheet):
    with pytest.raises(InvalidInputError, match="row 3: a quote is opened in it and never closed"):
        read_descriptions([sheet('id,name\nS1,x\nS2,"y\nS3,z\n', "a.csv")], "sample")


def test_all_links_that_lead_nowhere_come_at_once(sheet, tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    rows = sheet("id\tsource_file\thas_sample\nd1\ta.json\tS1|S2\nd2\tb.json\tS3\n", "d.tsv")
    samples = sheet("id\t@type\nS1\tSample\nT9\tSample\n", "s.tsv")
    with pytest.raises(
        NotFoundError,
        match="2 links lead to what is not in the object: data/d1: has_sample to sample/S2, data/d2: has_sample to sample/S3",
    ):
        MODO.from_file([rows, samples], tmp_path / "ex", type="DataEntity")
    assert not (tmp_path / "ex").exists()


def test_a_sheet_without_rows_prunes_nothing(sheet, tmp_path):
    modo = MODO.from_file(sheet("id\nS1\nS2\n"), tmp_path / "ex", type="sample")
    with pytest.raises(InvalidInputError, match="describes no element"):
        MODO.from_file(sheet("id\n"), tmp_path / "ex", type="sample", no_remove=False)
    assert {"sample/S1", "sample/S2"} <= set(modo.metadata)
