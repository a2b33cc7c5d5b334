"""Sheets whose headers and values are called otherwise: the same but for case and spaces is taken and told, the near is asked, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.api import MODO
from modos.errors import InvalidInputError
from modos.metadata import model
from modos.metadata.description import Matcher, parse_mapping, read_descriptions, template
from modos.metadata.description.templates import columns_of


@pytest.fixture
def sheet(tmp_path):
    def write(text, name="s.tsv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(path, type="sample", mapping=None, ask=None):
    told = []
    entries = read_descriptions([path], type, matcher=Matcher(mapping or {}, ask, told.append))
    return [entry.attributes for entry in entries], told


def test_the_same_but_for_case_and_spaces_is_taken_and_told(sheet):
    found, told = read(
        sheet("ID\tSex\tTaxon ID\tsource-URI\nS1\tfemale\tNCBITaxon:9606\thttp://x\nS2\tFEMALE\t\t\nS3\tMale\t\t\n")
    )
    assert found[0] == {"@type": "Sample", "id": "S1", "sex": "Female", "taxon_id": ["NCBITaxon:9606"], "source_uri": "http://x"}
    assert [one["sex"] for one in found] == ["Female", "Female", "Male"]
    assert told == [
        "column ID is read as id",
        "column Sex is read as sex",
        "column Taxon ID is read as taxon_id",
        "column source-URI is read as source_uri",
        "sex female is read as Female (1 cell)",
        "sex FEMALE is read as Female (1 cell)",
    ]


def test_what_is_exact_is_not_told(sheet):
    assert read(sheet("id\tsex\nS1\tFemale\n"))[1] == []


@pytest.mark.parametrize("header", ["Sample ID", "sample_id", "sampleid", "Gender", "Sexx", "Age"])
def test_what_is_only_near_is_never_taken_by_itself(sheet, header):
    with pytest.raises(InvalidInputError, match="no slot " + header):
        read(sheet(f"id\t{header}\nS1\tFemale\n"))


@pytest.mark.parametrize("value", ["F", "f", "femal", "woman", "M/F", "1"])
def test_values_that_are_only_near_are_never_taken_by_themselves(sheet, value):
    with pytest.raises(InvalidInputError, match=f"row 2, sex: cannot be {value!r}"):
        read(sheet(f"id\tsex\nS1\t{value}\n"))


def test_a_mapping_settles_them(sheet):
    path = sheet("Sample ID\tSex\tAge\ttaxon_id\nS1\tF\t3\thuman\n")
    found, told = read(path, mapping=parse_mapping(["Sample ID=id", "sex:F=female", "Age=", "taxon_id:human=NCBITaxon:9606"]))
    assert found == [{"@type": "Sample", "id": "S1", "sex": "Female", "taxon_id": ["NCBITaxon:9606"]}]
    assert {
        "column Sample ID is read as id",
        "column Age is left out",
        "sex F is read as Female (1 cell)",
        "taxon_id human is read as NCBITaxon:9606 (1 cell)",
    } <= set(told)


def test_the_error_says_the_mapping_that_settles_it(sheet):
    path = sheet("Sample ID\tSex\nS1\tF\n")
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    assert "--map 'Sample ID=id' --map sex:F=Female" in caught.value.hint
    assert read(path, mapping=parse_mapping(["Sample ID=id", "sex:F=Female"]))[0] == [
        {"@type": "Sample", "id": "S1", "sex": "Female"}
    ]


@pytest.mark.parametrize(
    "mapping", [["Sample ID=ident"], ["Sample ID=id", "sex:F=Woman"], ["nonsense"], ["=id"], ["a=id", "a=sex"]]
)
def test_a_wrong_mapping_is_an_error(sheet, mapping):
    with pytest.raises(InvalidInputError):
        read(sheet("Sample ID\tsex\nS1\tF\n"), mapping=parse_mapping(mapping))


def test_a_mapping_that_is_not_needed_is_told(sheet, tmp_path):
    told = []
    MODO.from_file(sheet("id\nS1\n"), tmp_path / "ex", type="sample", matcher=Matcher({"Sampel": "id"}, tell=told.append))
    assert told == ["nothing is called Sampel: its --map has no effect"]


def test_the_near_is_asked_once_each(sheet):
    questions = []

    def ask(question, near, allowed):
        questions.append((question.partition(";")[0], list(near)))
        assert set(near) <= set(allowed)
        return near[0]

    found, _ = read(sheet("Sample ID\tGender\nS1\tF\nS2\tF\nS3\tM\n"), ask=ask)
    assert [(one["id"], one["sex"]) for one in found] == [("S1", "Female"), ("S2", "Female"), ("S3", "Male")]
    assert questions == [
        ("column Sample ID is no slot", ["id"]),
        ("column Gender is no slot", ["sex"]),
        ("sex F is no value", ["Female"]),
        ("sex M is no value", ["Male"]),
    ]


def test_no_answer_is_an_error(sheet):
    with pytest.raises(InvalidInputError, match="2 bad cells.*no slot Sample ID.*cannot be 'F'"):
        read(sheet("Sample ID\tsex\nS1\tF\n"), ask=lambda *_: None)


def test_a_sample_id_in_a_sheet_of_reads_is_not_their_id(sheet):
    with pytest.raises(InvalidInputError) as caught:
        read(sheet("id\tSample ID\nr\tS1\n"), type="AlignmentSet")
    assert "did you mean has_sample?" in caught.value.message


def test_two_columns_of_one_slot_are_refused(sheet):
    with pytest.raises(InvalidInputError, match="sex stands there twice: sex and SEX"):
        read(sheet("id\tsex\tSEX\nS1\tMale\tFemale\n"))


def test_classes_are_matched_as_values(sheet):
    found, told = read(sheet("id\t@type\nS1\tsample\n"), type=None)
    assert found == [{"@type": "Sample", "id": "S1"}] and told == ["@type sample is read as Sample (1 cell)"]


def test_all_wrong_headers_and_cells_of_all_sheets_come_at_once(sheet, tmp_path):
    one = sheet("id\tsex\tAge\nS1\tX\t3\n", "one.tsv")
    two = sheet("id,@type,omics_type\na,Assay,GENOMIC\n,Assay,GENOMICS\n", "two.csv")
    with pytest.raises(InvalidInputError) as caught:
        MODO.from_file([one, two], tmp_path / "ex", type="sample")
    text = caught.value.message
    for words in (
        "4 bad cells",
        "one.tsv, row 1, column 3: there is no slot Age",
        "one.tsv, row 2, sex: cannot be 'X' (it is one of Male, Female)",
        "two.csv, row 2, omics_type: cannot be 'GENOMIC' (did you mean GENOMICS?)",
        "two.csv, row 3, id: is empty",
    ):
        assert words in text, text
    assert not (tmp_path / "ex").exists()


def test_what_is_shown_is_bounded_and_the_rest_counted(sheet):
    with pytest.raises(InvalidInputError) as caught:
        read(sheet("id\tsex\n" + "".join(f"S{n}\tX{n}\n" for n in range(5000))))
    assert (
        "5,000 bad cells" in caught.value.message
        and "and 4,980 more" in caught.value.message
        and len(caught.value.message) < 4000
    )


def test_columns_without_anything_are_no_matter(sheet):
    assert read(sheet("id,sex,,\nS1,Male,,\n", "s.csv"))[0] == [{"@type": "Sample", "id": "S1", "sex": "Male"}]
    with pytest.raises(InvalidInputError, match="no slot \\(empty\\)"):
        read(sheet("id,sex,,\nS1,Male,x,\n", "t.csv"))


def test_a_cell_with_a_line_separator_is_one_cell(sheet):
    assert [one["description"] for one in read(sheet('id\tdescription\nS1\tone\u2028two\nS2\t"a\nb"\n'))[0]] == [
        "one\u2028two",
        "a\nb",
    ]


@pytest.mark.parametrize("class_name", [*(name for name in model.class_names()), *model.GROUPS])
@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_a_template_that_nobody_filled_in_has_no_element(tmp_path, class_name, delimiter):
    path = tmp_path / ("t.csv" if delimiter == "," else "t.tsv")
    path.write_text(template(class_name, delimiter))
    with pytest.raises(InvalidInputError, match="describes no element"):
        read(path, type=None)


def test_a_template_that_is_filled_in_knows_its_class(tmp_path):
    path = tmp_path / "t.tsv"
    lines = template("sample").splitlines()
    row = {"id": "S1", "sex": "Female", "name": "# a name"}
    filled = "\t".join(row.get(name, "") for name in lines[0].split("\t"))
    path.write_text("\n".join([lines[0], filled, lines[1]]))  # also where the sheet was sorted
    assert read(path, type=None) == ([{"@type": "Sample", "id": "S1", "sex": "Female", "name": "# a name"}], [])


def test_a_template_has_the_required_columns_first_and_none_that_are_computed():
    assert columns_of("Assay")[:2] == ["id", "omics_type"]
    assert columns_of("AlignmentSet")[:2] == ["id", "source_file"] and "data_checksum" not in columns_of("AlignmentSet")
    assert "GENOMICS or TRANSCRIPTOMICS" in template("Assay") and "Male or Female" in template("Sample")


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and text and "|" not in text
)


@settings(max_examples=80)
@given(words, words)
def test_any_header_and_value_is_taken_told_or_refused(tmp_path_factory, header, value):
    """What comes out is what the sheet says, or what was told, and nothing else."""
    path = tmp_path_factory.mktemp("sheets") / "s.csv"
    path.write_text('id,sex,"' + header.replace('"', '""') + '"\nS1,Male,"' + value.replace('"', '""') + '"\n', encoding="utf-8")
    try:
        found, told = read(path)
    except InvalidInputError:
        return
    ((column, text),) = (
        found[0].keys() - {"id", "@type", "sex"} and [(k, v) for k, v in found[0].items() if k not in ("id", "@type", "sex")]
    ) or [(None, None)]
    assert column is None or column == header or f"column {header} is read as {column}" in told
    assert text in (None, value, [value])
