"""Snakemake itself reads files and regions of objects, and adds outputs to them as elements, in a folder and at S3, with and without a key."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import generate

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "deploy" / "snakemake"
pytest.importorskip("snakemake", reason="Snakemake is not installed, which `make test` installs")
pytestmark = pytest.mark.skipif(
    not (shutil.which("samtools") and shutil.which("bcftools")), reason="the workflows of these tests use samtools and bcftools"
)
STORAGE = """
storage:
    provider="modos",
    {settings}

TOP = "{top}"
"""
WORKFLOW = """
rule all:
    input: "count.txt", "whole.txt", storage.modos(TOP + "/region.vcf.gz"), storage.modos(TOP + "/demo2.flagstat.tsv")

rule count:
    input: storage.modos(TOP + "/demo1.cram?region=chr1:20,001-25,000&format=bam")
    output: "count.txt"
    shell: "samtools view -c {input} > {output}"

rule whole:
    input:
        cram=storage.modos(TOP + "/demo1.cram"), crai=storage.modos(TOP + "/demo1.cram.crai"),
        fasta=storage.modos(TOP + "/reference.fa"), fai=storage.modos(TOP + "/reference.fa.fai"),
    output: "whole.txt"
    shell: "samtools view -c -T {input.fasta} {input.cram} chr2:1-9000 > {output}; stat -c %a {input.cram} >> {output}"

rule cut:
    input: storage.modos(TOP + "/calls.vcf.gz?region=chr1:1-50000")
    output: storage.modos(TOP + "/region.vcf.gz?from=calls&rule=cut&id=cut_calls&part_of=assay/assay1")
    shell: "bcftools view -O z -o {output} {input}"

rule flagstat:
    input: storage.modos(TOP + "/{name}.bam")
    output: storage.modos(TOP + "/{name,[a-z]+2}.flagstat.tsv?from={name}.bam&type=DataEntity")
    shell: "samtools flagstat -O tsv {input} > {output}"
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "me.sec", folder / "me.pub", "open sesame")
    (folder / "pass").write_text("open sesame\n")
    for name in ("me.sec", "pass"):
        (folder / name).chmod(0o600)
    generate(folder / "her.sec", folder / "her.pub", None)
    return folder


@pytest.fixture(params=["folder", "sealed folder", "sealed s3"])
def place(request, example, keys, tmp_path):
    """The address of the demo's object, and the settings and variables that it takes."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    settings, variables = [], {}
    if "sealed" in request.param:
        MODO.open(tmp_path / "ex").encrypt(keys / "me.pub")
        settings = [f'secret_key="{keys / "me.sec"}"', f'passphrase_file="{keys / "pass"}"']
    if "s3" not in request.param:
        return tmp_path / "ex", settings, variables, {}
    stack = request.getfixturevalue("stack")
    top, options = f"s3://{BUCKET}/{tmp_path.name}/ex", {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    MODO.open(tmp_path / "ex").upload(top, **options)
    variables = {"AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"]}
    return top, [*settings, f's3="{stack.s3}"'], variables, options


def snakemake(folder, workflow, *words, variables=None, code=0):
    """Run Snakemake in a folder; returns all that it has said."""
    (folder / "Snakefile").write_text(workflow)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(PLUGIN)]), "HOME": str(folder)} | (variables or {})
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-c1", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    return told


def write(top, settings, workflow=WORKFLOW):
    address = f"modos://{str(top).removeprefix('s3://')}"
    return STORAGE.format(settings=",\n    ".join(settings), top=address) + workflow


@pytest.mark.sweep(1)
def test_inputs_are_read_and_outputs_added(place, example, tmp_path):
    top, settings, variables, options = place
    work = tmp_path / "work"
    work.mkdir()
    told = snakemake(work, write(top, settings), variables=variables)
    modo = MODO.open(top, **options)
    assert (work / "count.txt").read_text() == "969\n"
    whole, mode = (work / "whole.txt").read_text().split()
    ask = ["samtools", "view", "-c", "-T", example / "ex/reference.fa", example / "ex/demo1.cram", "chr2:1-9000"]
    expected = subprocess.check_output(ask, text=True)
    assert (whole, mode) == (expected.strip(), "600")
    made = modo["data/cut_calls"]
    assert made["derived_from"] == ["data/calls"] and "rule cut" in made["description"] and made["@type"] == "VariantSet"
    assert made["has_sample"] == modo["data/calls"]["has_sample"] and "data/cut_calls" in modo["assay/assay1"]["has_data"]
    assert modo.count("region.vcf.gz") > 0 and modo.find_problems() == []
    assert modo["data/demo2.flagstat"]["derived_from"] == ["data/demo2"]
    assert "PRIVATE" not in told and "sesame" not in told
    assert "Nothing to be done" in snakemake(work, write(top, settings), variables=variables)
    log = "".join(path.read_text() for path in (work / ".snakemake" / "log").iterdir())
    assert "sesame" not in log and "PRIVATE" not in log
    assert not [path for path in (work / ".snakemake").rglob("*") if path.is_file() and path.suffix in (".cram", ".bam", ".gz")]


REPEATED = """
rule all:
    input: storage.modos(TOP + "/out.tsv")

rule make:
    input: storage.modos(TOP + "/calls.vcf.gz")
    output: storage.modos(TOP + "/out.tsv?from=calls&type=DataEntity")
    shell: "bcftools view -H {input} | wc -l > {output}; cat extra >> {output}"
"""


def test_an_output_is_made_again_where_its_input_is_newer_and_keeps_its_element(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    workflow = write(tmp_path / "ex", [], REPEATED)
    (tmp_path / "extra").write_text("one\n")
    snakemake(tmp_path, workflow)
    first = MODO.open(tmp_path / "ex")["data/out"]["data_digest"]
    assert "Nothing to be done" in snakemake(tmp_path, workflow)
    time.sleep(1.1)
    (tmp_path / "extra").write_text("two\n")
    subprocess.run(["bcftools", "view", "-O", "z", "-o", tmp_path / "calls.vcf.gz", example / "ex/calls.vcf.gz"], check=True)
    MODO.open(tmp_path / "ex").update_element("calls", {}, source_file=tmp_path / "calls.vcf.gz")
    snakemake(tmp_path, workflow)
    modo = MODO.open(tmp_path / "ex")
    assert modo["data/out"]["data_digest"] != first and modo["data/out"]["derived_from"] == ["data/calls"]
    assert modo["data/out"].open_bytes().read().endswith(b"two\n") and modo.find_problems() == []


FAILING = """
rule all:
    input: "x.txt"

rule read:
    input: storage.modos(TOP + "/{query}")
    output: "x.txt"
    shell: "cp {{input}} {{output}}"
"""


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "query, settings, why",
    [
        ("demo1.cram", [], "is encrypted"),
        ("demo1.cram", ["secret_key='{keys}/her.sec'"], "not sealed for this key"),
        ("demo1.cram?region=chr1:1-99", ["secret_key='{keys}/her.sec'"], "not sealed for this key"),
        ("nothing.cram", ["secret_key='{keys}/me.sec'", "passphrase_file='{keys}/pass'"], "Missing input files"),
        ("demo1.cram?region=chr9", ["secret_key='{keys}/me.sec'", "passphrase_file='{keys}/pass'"], "no contig chr9"),
        ("../other/demo1.cram", [], "not the address of a file"),
        ("demo1.cram?regions=chr1", [], "did you mean region"),
    ],
)
def test_what_cannot_be_read_says_why_and_leaves_nothing(example, keys, tmp_path, query, settings, why):
    shutil.copytree(example / "ex", tmp_path / "ex")
    MODO.open(tmp_path / "ex").encrypt(keys / "me.pub")
    workflow = write(tmp_path / "ex", [one.format(keys=keys) for one in settings], FAILING.format(query=query))
    told = snakemake(tmp_path, workflow, code=1)
    assert why in told and "Traceback" not in told and "sesame" not in told
    assert not (tmp_path / "x.txt").exists()
    assert not [path for path in (tmp_path / ".snakemake").rglob("*") if path.is_file() and "demo1" in path.name]


def test_a_changed_input_is_an_error_and_not_given(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    data = bytearray((tmp_path / "ex/demo2.bam").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "ex/demo2.bam").write_bytes(data)
    told = snakemake(tmp_path, write(tmp_path / "ex", [], FAILING.format(query="demo2.bam")), code=1)
    assert "not those that are recorded" in told and not (tmp_path / "x.txt").exists()


def test_wildcards_of_what_there_is_and_outputs_that_are_removed(example, tmp_path, monkeypatch):
    shutil.copytree(example / "ex", tmp_path / "ex")
    workflow = write(
        tmp_path / "ex",
        [],
        """
NAMES = glob_wildcards(storage.modos(TOP + "/{name}.bam")).name

rule all:
    input: storage.modos(TOP + "/names.tsv")

rule make:
    output: storage.modos(TOP + "/names.tsv?type=DataEntity")
    shell: "echo {NAMES} > {output}"
""",
    )
    snakemake(tmp_path, workflow)
    assert MODO.open(tmp_path / "ex")["data/names"].open_bytes().read() == b"demo2\n"
    monkeypatch.syspath_prepend(PLUGIN)
    import snakemake_storage_plugin_modos as plugin

    provider = plugin.StorageProvider(tmp_path / "local", logging.getLogger(), settings=plugin.StorageProviderSettings())
    made = provider.object(f"modos://{tmp_path}/ex/names.tsv?type=DataEntity")
    assert made.exists() and made.size() == 6 and abs(made.mtime() - time.time()) < 100
    made.remove()
    assert not made.exists()
    made.remove()
    modo = MODO.open(tmp_path / "ex")
    assert "data/names" not in modo.metadata and "data/demo2" in modo.metadata and modo.find_problems() == []


def test_queries_are_taken_apart_and_no_region_has_the_copy_of_another(monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    from snakemake_storage_plugin_modos.queries import Query

    from modos.errors import InvalidInputError

    found = Query.parse("modos://b/ex/a.cram?region=chr1:1-9&region=chr2&format=bam")
    assert (found.address, found.regions, found.format) == ("modos://b/ex/a.cram", ("chr1:1-9", "chr2"), "bam")
    regions = [
        "chr1:1-9",
        "chr1_1-9",
        "chr1:1:9",
        "chr1%3A1-9",
        "chr1:1-9&region=chr2",
        "chr1:1-9,chr2",
        "chr1:1-9+chr2",
        "chr1/1-9",
    ]
    paths = [Query.parse(f"modos://b/ex/a.cram?region={region}").local_path for region in regions]
    assert len(set(paths)) == len(regions) - 1  # the escaped one is the same
    assert all(path.endswith("/a.cram") and ":" not in path and path.count("/") == 5 for path in paths)
    places = [
        "modos://b/ex/a",
        "modos:///b/ex/a",
        "modos://https://b/ex/a",
        "modos://http://b/ex/a",
        "modos://https/b/ex/a",
        "modos:///https/b/ex/a",
    ]
    assert len({Query.parse(place).local_path for place in places}) == len(places)
    several = "&".join(f"region=chr1:{n}-{n + 5}" for n in range(1, 400, 7))
    long = [Query.parse(f"modos://b/ex/a.cram?{several}{rest}").local_path for rest in ("", "&region=chr2")]
    assert long[0] != long[1] and max(len(part) for path in long for part in path.split("/")) < 255
    assert Query.parse("modos://b/ex/{s,[a?]\\d+}.bam?from={s}").values("from") == ["{s}"]
    for query in ("s3://b/ex/a", "modos://b/../a", "modos://b/ex/a?format=bam", "modos://b/ex/a?region=x&from=y", "modos://b/ex/a?region=",
                  "modos://b/ex/a?rule=x&rule=y", "modos://b/ex/a?region=x&format=doc", "modos://"):  # fmt: skip
        with pytest.raises(InvalidInputError):
            Query.parse(query)


def load_plugin(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    import snakemake_storage_plugin_modos as plugin

    return plugin.StorageProvider(tmp_path / "local", logging.getLogger(), settings=plugin.StorageProviderSettings())


def test_a_local_copy_is_as_old_as_what_it_is_of(example, tmp_path, monkeypatch):
    """Snakemake takes a copy for current that is not older than the file: so a clock that is behind shows no change."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    for path in (tmp_path / "ex").iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000.123))
    provider = load_plugin(tmp_path, monkeypatch)
    for query in ("demo2.bam", "demo2.bam?region=chr1:1-1000"):
        one = provider.object(f"modos://{tmp_path}/ex/{query}")
        one.retrieve_object()
        assert 0 <= one.local_path().stat().st_mtime - one.mtime() < 0.001


@pytest.mark.parametrize("region", ["chr1:1-1000", "chr1:20,001-25,000", "chr2", "chr1:20001-20001"])
def test_regions_are_those_of_samtools(example, tmp_path, monkeypatch, region):
    one = load_plugin(tmp_path, monkeypatch).object(f"modos://{example}/ex/demo2.bam?region={region}&format=sam")
    one.retrieve_object()
    expected = subprocess.check_output(["samtools", "view", example / "ex/demo2.bam", region], text=True)
    found = [line for line in one.local_path().read_text().splitlines() if not line.startswith("@")]
    assert found == expected.splitlines()


def test_an_output_takes_the_place_of_the_file_of_its_own_name(example, tmp_path, monkeypatch):
    """Where others have left two versions of a name, that of the exact name is meant."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    for name in ("first", "second"):
        (tmp_path / f"{name}.tsv").write_text(name)
        modo.add_element({"id": name, "@type": "DataEntity"}, tmp_path / f"{name}.tsv")
    root = tmp_path / "ex/data.zarr/zarr.json"
    root.write_text(root.read_text().replace("first.tsv", "x~2.tsv").replace("second.tsv", "x.tsv"))
    (tmp_path / "ex/first.tsv").rename(tmp_path / "ex/x~2.tsv")
    (tmp_path / "ex/second.tsv").rename(tmp_path / "ex/x.tsv")
    load_plugin(tmp_path, monkeypatch).object(f"modos://{tmp_path}/ex/x.tsv").remove()
    left = MODO.open(tmp_path / "ex").metadata
    assert "data/first" in left and "data/second" not in left


def test_a_tree_that_is_replaced_while_it_is_fetched_is_no_copy(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    for name, value in (("one", 1), ("two", 2)):
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w")
        group.create_array("a", shape=(40,), chunks=(10,), dtype="i4")[:] = value
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "t", "@type": "Array", "data_path": "t.zarr"}, tmp_path / "one.zarr")
    provider = load_plugin(tmp_path, monkeypatch)
    one, get = provider.object(f"modos://{tmp_path}/ex/t.zarr"), provider.filesystem.get_file
    fetched = []

    def fetch(path, place):
        get(path, place)
        fetched.append(path)
        if path.endswith("zarr.json") and len(fetched) > 1:  # the last one, after all chunks
            MODO.open(tmp_path / "ex").update_element("t", {}, tmp_path / "two.zarr")

    monkeypatch.setattr(provider.filesystem, "get_file", fetch)
    with pytest.raises(Exception, match="was replaced"):
        one.retrieve_object()
    assert not one.local_path().exists() and not [path for path in (tmp_path / "local").rglob("*") if path.is_file()]
