"""The schema is the single source of the model, and what is written fits it."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest

from modos.errors import InvalidInputError, SchemaError
from modos.formats import FORMATS
from modos.metadata import model
from modos.metadata.model.schema import tables

ROOT = Path(__file__).resolve().parents[4]


def test_the_generated_files_are_current():
    result = subprocess.run([sys.executable, ROOT / "schema/generate.py", "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_format_the_program_knows_is_in_the_schema():
    assert set(FORMATS) <= set(tables()["enums"]["DataFormat"])


def test_objects_of_others_fit_the_schema(shared_data):
    from modos.object.modo import MODO

    for element_id, attributes in MODO.open(shared_data / "modos-ex/ex").metadata.items():
        model.validate(attributes, element_id)


def test_a_generated_class_is_an_element():
    sample = model.Sample(id="s1", sex="Female", collector=["A. Person"])
    assert model.to_attributes(sample) == {"@type": "Sample", "id": "s1", "sex": "Female", "collector": ["A. Person"]}


def test_dates_become_text():
    given = {
        "@type": "MODO",
        "id": "x",
        "creation_date": datetime.date(2024, 1, 31),
        "last_update_date": datetime.datetime(2024, 2, 1, 12, 30),
    }
    attributes = model.to_attributes(given)
    assert attributes["creation_date"] == "2024-01-31" and attributes["last_update_date"] == "2024-02-01T12:30:00"


def test_links_become_full_ids_once():
    assay = {"@type": "Assay", "id": "a", "has_data": ["demo1", "data/demo1", "data/x"], "has_sample": "s", "_private": 1}
    normal = model.normalise(assay)
    assert normal["has_data"] == ["data/demo1", "data/x"] and normal["has_sample"] == ["sample/s"]
    assert "_private" not in normal and model.normalise(normal) == normal


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"@type": "Sample", "sexx": "Male"}, ("sexx", "did you mean sex")),
        ({"@type": "Sample", "sex": "male"}, ("sex", "'male'", "did you mean Male")),
        ({"@type": "Assay"}, ("omics_type", "required")),
        ({"@type": "DataEntity", "data_path": "a", "data_format": "CRAMM"}, ("CRAMM", "did you mean CRAM")),
        ({"@type": "ReferenceSequence", "sequence_md5": "xyz"}, ("sequence_md5", "xyz")),
        ({"@type": "Sampel"}, ("Sampel", "did you mean Sample")),
    ],
)
def test_problems_name_the_slot_and_what_was_expected(attributes, words):
    with pytest.raises(SchemaError) as caught:
        model.validate(model.normalise(attributes), "x/1")
    text = f"{caught.value.message} {caught.value.hint}"
    assert all(word in text for word in words), text


def test_all_problems_are_told_at_once():
    with pytest.raises(SchemaError, match="2 problems.*colour.*omics_type"):
        model.validate({"@type": "Assay", "colour": "red"}, "assay/a")


@pytest.mark.parametrize("element", [None, 3, [], {"id": "x"}, {"@type": 3}])
def test_what_is_no_element_is_refused(element):
    with pytest.raises(SchemaError):
        model.to_attributes(element)


def test_unknown_groups_are_refused():
    with pytest.raises(InvalidInputError, match="assays is not a type"):
        model.default_class("assays")


def test_a_reference_has_a_file_or_names_an_assembly():
    for given in ({"data_path": "x.fa"}, {"assembly": "hg38"}):
        model.validate({"@type": "ReferenceGenome"} | given, "reference/x")
    with pytest.raises(SchemaError, match="data_path or assembly is required for the class ReferenceGenome"):
        model.validate({"@type": "ReferenceGenome", "name": "x"}, "reference/x")
