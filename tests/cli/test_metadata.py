"""Updating, removing, enriching, querying, publishing, checking and comparing, as people type it."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from modos.api import MODO
from modos.cli.output import size
from tests.support import commands
from tests.support.terminal import on_a_terminal

pytestmark = pytest.mark.sweep(14)


def modos(*arguments, cwd=None, stdin=subprocess.DEVNULL):
    return commands.run(arguments, capture_output=True, cwd=cwd, stdin=stdin, timeout=180, text=True)


def good(*arguments, cwd=None):
    result = modos(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result


def fails(code, *arguments, words=(), cwd=None):
    result = modos(*arguments, cwd=cwd)
    assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 2, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    return result


@pytest.fixture
def ex(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    return tmp_path / "ex"


def shown(path):
    return json.loads(good("show", path, "--json").stdout)


def test_every_command_explains_itself_with_two_examples():
    for command in ("update", "remove", "enrich", "query", "publish", "check", "diff", "upgrade"):
        assert (
            good(command, "--help").stdout.count(f"modos {command}")
            + good(command, "--help").stdout.count(f"http://localhost {command}")
            >= 2
        ), command


def test_update_one_element(ex):
    assert "updated sample/sample1" in good("update", ex, "sample1", "-e", '{"sex": "Male", "name": null}').stderr
    assert shown(ex)["sample/sample1"]["sex"] == "Male" and "name" not in shown(ex)["sample/sample1"]
    fails(2, "update", ex, "sample1", "-e", '{"sex": "male"}', words=("did you mean Male",))
    fails(3, "update", ex, "sample9", "-e", "{}", words=("sample9",))
    for wrong in ((), ("sample1",), ("sample1", "-e", "{}", "--prune"), ("-c", "x.yaml", "-e", "{}")):
        fails(2, "update", ex, *wrong)


@pytest.mark.core
def test_update_from_a_file(ex, tmp_path):
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("id\tsex\nsample1\tMale\nsample9\tFemale\n")
    dry = good("update", ex, "-c", sheet, "--type", "sample", "--dry-run")
    assert dry.stdout.splitlines() == ["~ sample/sample1", "    sex: Female -> Male", "+ sample/sample9"]
    before = shown(ex)
    assert before["sample/sample1"]["sex"] == "Female"
    good("update", ex, "-c", sheet, "--type", "sample")
    assert shown(ex)["sample/sample1"]["sex"] == "Male" and "sample/sample2" in shown(ex)
    assert "up to date" in good("update", ex, "-c", sheet, "--type", "sample").stderr
    fails(2, "update", ex, "-c", sheet, "--type", "sample", "--prune", words=("--yes",))
    good("update", ex, "-c", sheet, "--type", "sample", "--prune", "--yes")
    assert set(shown(ex)) == {"ex", "sample/sample1", "sample/sample9"}
    assert good("show", ex, "--files").stdout.strip() == ""


def test_update_never_creates(tmp_path):
    (tmp_path / "s.tsv").write_text("id\nx\n")
    fails(3, "update", tmp_path / "typo", "-c", tmp_path / "s.tsv", "--type", "sample")
    assert not (tmp_path / "typo").exists()


def test_remove_asks_first(ex):
    fails(2, "remove", ex, "demo2", words=("--yes",))
    told = good("remove", ex, "demo2", "--dry-run")
    assert told.stdout.splitlines() == ["- data/demo2", f"- {ex}/demo2.bam", f"- {ex}/demo2.bam.bai"]
    held = sum((ex / name).stat().st_size for name in ("demo2.bam", "demo2.bam.bai"))
    assert told.stderr.strip() == f"would remove 1 element, 2 files, {size(held)}"
    found = json.loads(good("remove", ex, "demo2", "--dry-run", "--json").stdout)
    assert (found["elements"], found["files"], found["bytes"]) == (1, 2, held) and found["removed"][0] == "data/demo2"
    fails(2, "remove", ex, "demo2", "--json", words=("--dry-run",))
    assert good("remove", ex, "demo2", "--yes").stderr.strip().endswith(f": 1 element, 2 files, {size(held)}")
    (ex / "notes.txt").write_text("of nobody")
    whole = json.loads(good("remove", ex, "--dry-run", "--json").stdout)
    (ex / "notes.txt").unlink()
    assert whole["bytes"] == sum(path.stat().st_size for path in ex.rglob("*") if path.is_file())
    assert whole["elements"] == len(shown(ex)) - 1 and whole["files"] == len(MODO.open(ex).list_files())
    assert "data/demo2" not in shown(ex) and not (ex / "demo2.bam").exists()
    code, said, _ = on_a_terminal("remove", ex, answers=["n"], cwd=ex.parent)
    assert code == 130 and "Remove?" in said and "nothing was removed" in said and "interrupted" not in said and ex.exists()
    code, said, _ = on_a_terminal("remove", ex, answers=["y"], cwd=ex.parent)
    assert code == 0 and not ex.exists()


@pytest.mark.core
def test_a_sheet_of_samples_and_reads_becomes_an_object(example, stack, tmp_path):
    (tmp_path / "samples.tsv").write_text("id\tsex\n" + "".join(f"S{n}\tFemale\n" for n in range(20)))
    lines = [f"R{n}\tR{n}.cram\t{example / 'source/demo1.cram'}\tS{n}\n" for n in range(20)]
    (tmp_path / "reads.tsv").write_text("id\tdata_path\tsource_file\thas_sample\n" + "".join(lines))
    reads = tmp_path / "reads.csv"
    reads.write_text(
        (tmp_path / "reads.tsv").read_text().replace("\t", ",").replace("id,", "id,@type,", 1).replace(",R", ",AlignmentSet,R")
    )
    result = good(
        "--endpoint",
        stack.endpoint,
        "create",
        "s3://modos-demo/sheets",
        "-f",
        tmp_path / "samples.tsv",
        "--type",
        "sample",
        "-f",
        reads,
    )
    assert "created s3://modos-demo/sheets with 40 elements" in result.stderr
    assert good("--endpoint", stack.endpoint, "check", "s3://modos-demo/sheets").stdout == ""


def test_enrich_twice(ex):
    good("remove", ex, "sequence/chr1", "--yes")
    assert "added sequence/chr1_" in good("enrich", ex).stderr
    assert good("enrich", ex).stderr.strip() == "nothing new"


def test_show_zarr(ex):
    assert "demo1" in good("show", ex, "--zarr").stdout
    assert "data/demo1" in json.loads(good("show", ex, "--zarr", "--json").stdout)
    fails(2, "show", ex, "demo1", "--files")


def test_query(ex, tmp_path):
    sparql = "SELECT ?s ?n WHERE { ?s a modos:Sample ; schema:name ?n } ORDER BY ?n"
    lines = good("query", ex, sparql, "--base-uri", "http://x").stdout.splitlines()
    assert lines == ["s\tn", "http://x/sample/sample1\tSAMPLE1", "http://x/sample/sample2\tSAMPLE2"]
    (tmp_path / "q.rq").write_text(sparql)
    rows = json.loads(good("query", ex, f"@{tmp_path / 'q.rq'}", "--format", "json").stdout)
    assert [row["n"] for row in rows] == ["SAMPLE1", "SAMPLE2"]
    fails(2, "query", ex, "SELECT nonsense")
    fails(3, "query", ex, "@none.rq")
    fails(2, "query", ex, sparql, "--format", "xml")


def test_publish(ex, tmp_path):
    assert "<http://x/assay/assay1>" in good("publish", ex, "--base-uri", "http://x", "--format", "nt").stdout
    good("publish", ex, "--format", "ro-crate", "-o", ex)
    assert json.loads((ex / "ro-crate-metadata.json").read_text())["@graph"]
    fails(2, "publish", ex, "--format", "rdf", words=("turtle",))
    fails(2, "publish", ex, "--base-uri", "nonsense")
    fails(4, "publish", ex, "-o", tmp_path / "no/where.ttl")


def test_check_names_damage_and_leaves_files_that_are_not_ours(ex):
    good("check", ex)
    (ex / "notes.txt").write_text("mine")
    assert good("check", ex, "--fix").stdout.startswith("unknown  notes.txt")
    assert (ex / "notes.txt").exists()
    data = bytearray((ex / "demo2.bam").read_bytes())
    data[1000] ^= 1
    (ex / "demo2.bam").write_bytes(data)
    (ex / "cohort.bcf").unlink()
    result = modos("check", ex, "--fix")
    assert result.returncode == 6
    assert sorted(line.split()[0] for line in result.stdout.splitlines()) == ["checksum", "missing", "unknown"]
    assert "bytes 0-65,535 of demo2.bam are not those that are recorded" in result.stdout
    assert "heal it from a copy" in result.stderr
    quick = modos("check", ex, "--quick", "--json")
    told = json.loads(quick.stdout)
    assert quick.returncode == 6 and "checksum" in {finding["kind"] for finding in told["findings"]}
    assert told["sample"]["parts_per_file"] == 200 and told["sample"]["files"] == 4 and told["sample"]["not_sampled"] == []
    unread = modos("check", ex, "--quick", "--sample", "0", "--json")
    assert unread.returncode == 6 and "checksum" not in {finding["kind"] for finding in json.loads(unread.stdout)}
    for wrong in (["--sample", "9"], ["--yes"], ["--dry-run"], ["--repair-from", ex, "--digests"]):
        assert modos("check", ex, *wrong).returncode == 2


def test_check_mends_mirrors(ex):
    (ex / "data.zarr/sample/sample1/zarr.json").write_text("{")
    (ex / "data.zarr/sample/ghost").mkdir()
    (ex / "data.zarr/sample/ghost/zarr.json").write_text("{}")
    assert good("check", ex).stdout.count("mirror") == 2
    good("check", ex, "--fix")
    assert good("check", ex).stdout == "" and not (ex / "data.zarr/sample/ghost").exists()


def test_diff(ex, tmp_path):
    shutil.copytree(ex, tmp_path / "other")
    assert good("diff", ex, tmp_path / "other").stdout == ""
    good("update", tmp_path / "other", "sample1", "-e", '{"sex": "Male"}')
    good("remove", tmp_path / "other", "demo2", "--yes")
    result = modos("diff", ex, tmp_path / "other")
    assert result.returncode == 1 and result.stderr == ""
    assert "~ sample/sample1\n    sex: Female -> Male" in result.stdout and "- data/demo2" in result.stdout
    assert {d["element_id"] for d in json.loads(modos("diff", ex, tmp_path / "other", "--json").stdout)} >= {"data/demo2"}


def test_questions_on_a_terminal(tmp_path):
    code, said, output = on_a_terminal("create", "new", answers=["My study", "", "", ""], cwd=tmp_path)
    assert code == 0 and output == "" and "name" in said, said
    assert shown(tmp_path / "new")["new"]["name"] == "My study"
    answers = ["a1", "Genomics", "GENOMICS", "", "", "", "", "", ""]
    code, said, _ = on_a_terminal("add", "new", "assay", answers=answers, cwd=tmp_path)
    assert code == 0 and "cannot be 'Genomics'" in said, said
    code, said, _ = on_a_terminal("add", "new", "sample", answers=["s1", *[""] * 12], cwd=tmp_path)
    assert code == 0, said
    assert {"assay/a1", "sample/s1"} <= shown(tmp_path / "new").keys()


def test_questions_offer_what_can_be_linked(ex):
    code, said, _ = on_a_terminal(
        "add", ex, "data", answers=["r2", "x.cram", "cram", "CRAM", "", "", "nobody", "sample1", ""], cwd=ex.parent
    )
    assert code == 0 and "sample/sample1, sample/sample2" in said and "not in the object: sample/nobody" in said, said
    assert shown(ex)["data/r2"] == {
        "@type": "DataEntity",
        "data_path": "x.cram",
        "data_format": "CRAM",
        "has_sample": ["sample/sample1"],
    }


def test_nothing_is_asked_in_a_pipe(ex):
    fails(2, "add", ex, "sample", words=("--element",))
    good("create", ex.parent / "plain")
