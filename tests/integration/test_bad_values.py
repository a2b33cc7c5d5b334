"""Numbers and types that are none, in what people type and give as small files: one line with exit code 2, 3 or 6, and nothing is changed."""

from __future__ import annotations

import json
import shutil

import pytest

from modos.cli.app import app
from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.metadata.model.validation import problems
from modos.object.modo import MODO

pytestmark = pytest.mark.sweep(50)

NO_NUMBERS = [
    "-5",
    "1e400",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "nan",
    "inf",
    "1.5",
    "",
    "x",
    "0x10",
    "\uff11\uff12",
    "1_000",
    "9223372036854775808",
]
NO_JSON = [
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "[" * 2000 + "]" * 2000,
    '"\\ud800"',
    "{}",
    "[[1]]",
    "[1e400]",
    '{"a": NaN}',
]
NO_YAML = [
    ".inf",
    ".nan",
    "-.inf",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "!!binary aGk=",
    "!!set {a, b}",
    "{? [a] : b}",
    '"\\ud800"',
    '"\\x1b"',
    "[[[[x]]]]",
]
NO_RULES = [
    "rule = 3",
    "[[rule]]\nwho=[1]\nread=['a']",
    "[[rule]]\nwho='x'\nread=[nan]",
    "[[rule]]\nwho=['x']\nread=[-1]",
    "[tokens]\na=3",
    "tokens = [1]",
    "[oidc]\nissuer=3",
    "[oidc]\nissuer='https://x'\naudience=nan",
    "x=1e400",
    "x = 1" + "0" * 5000,
    "\x00",
    "[[rule]]\nwho=['*']\nread=['../x']",
    "x = " + "[" * 3000 + "]" * 3000,
]
SHORT = [ascii(text)[:12] for text in NO_NUMBERS]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(">chr1\nACGTACGT\nAC\n")
    (tmp_path / "g.sizes").write_text("chr1\t10\n")
    (tmp_path / "s.bedGraph").write_text("chr1\t0\t5\t1\n")
    MODO.create("ex", id="ex")
    return tmp_path


def refused(*words):
    """A command that ends with one line; the object stays as it was."""
    before = MODO("ex").metadata
    with pytest.raises(ModosError) as raised:
        app(list(words), standalone_mode=False)
    assert raised.value.exit_code in (2, 3, 6) and len(str(raised.value)) < 3000 and "\n" not in str(raised.value)
    assert MODO("ex").metadata == before
    return raised.value


@pytest.mark.sweep(3)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=SHORT)
def test_numbers_in_tables_of_places(place, value):
    MODO("ex").add_genome(sizes=["g.sizes"])
    MODO("ex").add_track("s", place / "s.bedGraph")
    for name, text in (
        ("a.sizes", f"chr1\t{value}\n"),
        ("twice.sizes", "chr1\t5\nchr1\t5\n"),
        ("none.sizes", "# none\n"),
        ("a.agp", f"chr1\t1\t{value}\t1\tW\tx\t1\t5\t+\n"),
        ("start.bed", f"chr1\t{value}\t5\n"),
        ("end.bed", f"chr1\t0\t{value}\n"),
    ):
        (place / name).write_text(text)
    for name in ("a.sizes", "twice.sizes", "none.sizes"):
        refused("genome", "init", "ex", "--sizes", name, "--id", "other")
    refused("genome", "init", "ex", "--assembly", "a.agp", "--id", "other")
    for name in ("start.bed", "end.bed"):
        refused("track", "mask", "ex", "s", name)
        refused("track", "query", "ex", "-R", name)


@pytest.mark.parametrize("value", [*NO_NUMBERS, "0"], ids=[*SHORT, "0"])
@pytest.mark.parametrize(
    "row",
    [
        "chr1\t{}\t6\t8\t9",
        "chr1\t10\t{}\t8\t9",
        "chr1\t10\t6\t{}\t9",
        "chr1\t10\t6\t8\t{}",
        "chr1\t10\t6\t8\t9\nchr1\t10\t{}\t8\t9",
    ],
    ids=["length", "offset", "bases", "width", "twice"],
)
def test_numbers_in_a_fai(place, row, value):
    (place / "g.fa.fai").write_text(row.format(value) + "\n")
    refused("add", "ex", "reference", "-e", '{"id": "r"}', "-s", "g.fa")


def test_a_fai_of_an_empty_sequence_is_believed_where_it_is_empty(place):
    shutil.copy("g.fa", "h.fa")
    (place / "h.fa").write_text(">a\n>chr1\nACGTACGT\nAC\n")
    (place / "h.fa.fai").write_text("a\t0\t3\t0\t0\nchr1\t10\t9\t8\t9\n")
    try:
        MODO("ex").add_element({"@type": "ReferenceGenome", "id": "r"}, place / "h.fa")
    except (IntegrityError, InvalidInputError) as error:
        assert "a" in str(error)  # other reasons than the sequence that follows


@pytest.mark.parametrize(
    "value", [value for value in NO_NUMBERS if value], ids=[name for name, value in zip(SHORT, NO_NUMBERS) if value]
)
def test_numbers_in_a_sheet(place, value):
    (place / "s.tsv").write_text(f"id\tdata_path\tdata_format\tdata_size\nx\tp.txt\tTSV\t{value}\n")
    refused("update", "ex", "-c", "s.tsv", "--type", "data")


@pytest.mark.sweep(2)
@pytest.mark.parametrize("value", NO_JSON, ids=[text[:12] for text in NO_JSON])
def test_json_of_elements(place, value):
    for slot in ("name", "id", "sex", "taxon_id", "collector", "@type"):
        refused("add", "ex", "sample", "-e", f'{{"id": "x", "{slot}": {value}}}')
    for slot in ("data_size", "data_path"):
        refused("add", "ex", "data", "-e", f'{{"id": "x", "data_path": "p", "data_format": "TSV", "{slot}": {value}}}')
    for slot in ("id", "creation_date", "name"):
        refused("create", "new", "-m", f'{{"{slot}": {value}}}')
    refused("update", "ex", "ex", "-e", f'{{"name": {value}}}')
    if value != "{}":
        refused("add", "ex", "sample", "-e", value)
    assert not (place / "new").exists()


@pytest.mark.sweep(4)
@pytest.mark.parametrize("value", NO_YAML, ids=[text[:12] for text in NO_YAML])
def test_yaml_of_elements(place, value):
    sample = "'@type': Sample, id: x"
    for text in (
        value,
        f"[{value}]",
        f"- {value}",
        f"- element: {value}",
        f"- element: {{{sample}, id: {value}}}",
        f"- element: {{{sample}, name: {value}}}",
        f"- element: {{'@type': {value}, id: x}}",
        f"- {{element: {{{sample}}}, args: {value}}}",
        f"- {{element: {{{sample}}}, args: {{part_of: {value}}}}}",
        f"- {{element: {{{sample}}}, args: {{source_file: {value}}}}}",
    ):
        if 'name: "\\x1b' in text:  # that is a text
            continue
        (place / "d.yaml").write_text(text + "\n")
        refused("update", "ex", "-c", "d.yaml")


@pytest.mark.parametrize("text", NO_RULES, ids=[text[:20] for text in NO_RULES])
def test_rules_of_a_server(place, text):
    (place / "rules.toml").write_text(text)
    refused("serve", ".", "--access", "rules.toml", "--host", "256.1.1.1")


@pytest.mark.parametrize("value", [5.0, -0.0, 1e300, 10**400, True, "5"])
def test_a_size_is_a_whole_number_of_64_bits(value):
    assert problems({"@type": "DataEntity", "data_path": "x", "data_format": "TSV", "data_size": value}, "data/x")
    assert not problems({"@type": "DataEntity", "data_path": "x", "data_format": "TSV", "data_size": 5}, "data/x")


@pytest.mark.parametrize("text", ["2024-13-01", "2024", "20240101", "now", "\x1b", "2024-01-01T25:00:00", ""])
def test_a_date_is_one(place, text):
    refused("create", "new", "-m", json.dumps({"creation_date": text})) if text else None
    for good in ("2024-01-01", "2024-01-01T08:00:00Z", "2024-01-01 08:00:00", "2024-01-01T08:00:00.123+02:00"):
        assert not problems({"@type": "MODO", "creation_date": good, "last_update_date": good}, "ex")
