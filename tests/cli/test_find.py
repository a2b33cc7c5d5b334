"""`modos find`, `modos catalog refresh` and `modos query` over many objects, as people type them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import polars as pl
import pytest

from modos.api import MODO
from tests.support import commands


def run(*words, code=0, **options):
    done = commands.run(words, capture_output=True, text=True, **options)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def lab(tmp_path):
    """A folder with three objects of one sample each."""
    for number, sex in enumerate(["Female", "Male", "Female"]):
        modo = MODO.create(tmp_path / f"lab/o{number}")
        modo.add_element({"id": "s", "@type": "Sample", "sex": sex, "collector": ["Ann", "Bob"], "name": 'a "name", with\ta tab'})
    return tmp_path / "lab"


@pytest.mark.parametrize("kept", [False, True])
def test_the_forms_of_the_answer(lab, tmp_path, kept):
    if kept:
        assert "has 3 objects: 3 were read anew" in run("catalog", "refresh", lab).stderr
    done = run("find", lab, "--class", "Sample", "--where", "sex = 'Female'")
    assert done.stdout.splitlines() == [
        "object\telement\tclass\tdata_format\tdata_path",
        "o0\tsample/s\tSample\t\t",
        "o2\tsample/s\tSample\t\t",
    ]
    assert "found 2 elements in 2 objects" in done.stderr and ("no catalogue is kept" in done.stderr) is not kept
    rows = json.loads(run("find", lab, "--class", "Sample", "--json").stdout)
    assert [(row["object"], row["element"], row["sex"], row["collector"]) for row in rows] == [
        (f"o{n}", "sample/s", sex, ["Ann", "Bob"]) for n, sex in enumerate(["Female", "Male", "Female"])
    ]
    assert [MODO.open(row["url"]).metadata["sample/s"]["sex"] for row in rows] == ["Female", "Male", "Female"]
    found = list(
        csv.reader(io.StringIO(run("find", lab, "--class", "Sample", "--csv", "--columns", "object,name,collector").stdout))
    )
    assert found[:2] == [
        ["object", "name", "collector"],
        ["o0", 'a "name", with\\u0009a tab', "Ann,Bob"],
    ]  # as in the table; JSON has it as it is
    run("find", lab, "--parquet", tmp_path / "all.parquet")
    assert pl.read_parquet(tmp_path / "all.parquet").filter(pl.col("class") == "Sample")["sex"].to_list() == [
        "Female",
        "Male",
        "Female",
    ]
    assert json.loads(run("find", lab, "--where", "sex = 'nobody'", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--class", "Sampel"], 2, "no class Sampel"),
        (["--where", "sx = 1"], 2, "did you mean sex"),
        (["--where", "sex = "], 2, "cannot be read"),
        (["--columns", "objekt"], 2, "no column objekt"),
        (["--json", "--csv"], 2, "exclude each other"),
        (["--parquet", "nowhere/x.parquet"], 4, "no folder"),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(lab, words, code, said):
    done = run("find", lab, *words, code=code)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("read all objects")]
    assert said in done.stderr and len(errors) <= 2 and not done.stdout


def test_places_that_are_none(tmp_path):
    assert "no folder" in run("find", tmp_path / "nothing", code=3).stderr
    assert "no folder" in run("catalog", "refresh", tmp_path / "nothing", code=3).stderr
    assert "Neither a place nor an endpoint" in run("find", code=2).stderr
    MODO.create(tmp_path / "ex")
    assert "is an object itself" in run("catalog", "refresh", tmp_path / "ex", code=2).stderr
    assert "found 1 element in 1 object" in run("find", tmp_path / "ex").stderr


def test_an_object_that_cannot_be_read_is_named(lab):
    (lab / "o1/data.zarr/zarr.json").write_text("{")
    done = run("find", lab, "--class", "Sample")
    assert "1 object cannot be read: o1" in done.stderr and "found 2 elements" in done.stderr
    assert "1 object of which cannot be read" in run("catalog", "refresh", lab).stderr


def test_sparql_over_a_folder(lab):
    query = "SELECT (count(?s) AS ?n) WHERE { ?s a modos:Sample }"
    assert run("query", lab, query).stdout == "n\n3\n"
    assert run("query", lab, query, "--where", "sex = 'Female'").stdout == "n\n2\n"
    assert run("query", lab / "o0", query).stdout == "n\n1\n"
    assert "--base-uri is for one object" in run("query", lab, query, "--base-uri", "http://x", code=2).stderr
    assert "no MODO at" in run("query", lab / "o7", query, code=3).stderr


def test_a_pipe_that_is_closed_early(lab):
    for number in range(3, 40):
        MODO.create(lab / f"o{number}")
    finding = subprocess.Popen(
        [sys.executable, "-m", "modos", "find", lab, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    finding.stdout.close()
    assert finding.wait(60) == 141 and "Traceback" not in finding.stderr.read()


def test_characters_that_a_terminal_obeys_are_escaped(tmp_path):
    MODO.create(tmp_path / "lab/a", name="red \x1b[31m and\nnew")
    done = run("find", tmp_path / "lab", "--columns", "object,name")
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 2
