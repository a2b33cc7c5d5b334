"""Calls and flags of sdsc-ordes modos do what they do there, or are refused; none is ignored."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from modos.api import MODO
from modos.errors import AlreadyExistsError, InvalidInputError, NotFoundError, RegionError
from tests.support import commands
from tests.support.peer_layout import write_object

pytestmark = pytest.mark.sweep(20)


def modos(*arguments, **environment):
    return commands.run(arguments, capture_output=True, stdin=subprocess.DEVNULL, env=os.environ | environment, timeout=60)


def done(*arguments, **environment):
    result = modos(*arguments, **environment)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


@pytest.fixture
def ex(example, tmp_path):
    """An object of one's own."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    return tmp_path / "ex"


@pytest.fixture
def description(tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps([{"element": {"id": "new", "@type": "MODO"}}, {"element": {"id": "s1", "@type": "Sample"}}]))
    return path


# Python


def test_the_application_is_modos_cli_cli(tmp_path):
    from modos.cli import cli

    result = CliRunner().invoke(cli, ["create", "-m", '{"id": "test"}', str(tmp_path / "test")])
    assert result.exit_code == 0 and MODO.open(tmp_path / "test").metadata["test"]
    refused = CliRunner().invoke(cli, ["remove", str(tmp_path / "test"), "test"])
    assert refused.exit_code and isinstance(refused.exception, ValueError)


def test_region():
    from modos.genomics.region import Region

    outer, inner = Region(chrom="chr1", start=10, end=100), Region("chr1", 40, 50)
    assert outer.contains(inner) and not inner.contains(outer) and outer.contains(outer)
    assert outer.overlaps(inner) and inner.overlaps(other=outer) and outer.overlaps(99, 200)
    assert not outer.overlaps(Region("chr1", 100, 110)) and not outer.contains(Region("chr2", 40, 50))
    whole = Region("chr1", 0, math.inf)
    assert whole.end is None and whole.contains(outer) and not outer.contains(whole)
    assert whole.to_tuple() == ("chr1", 0, None) and inner.chrom == "chr1"
    assert str(inner) == "chr1:41-50" and pickle.loads(pickle.dumps(inner)) == inner
    for wrong in (("chr1", 10, 5), ("chr1", -10, -1), ("", 10, 11), ("chr1", 1.5, 3)):
        with pytest.raises(ValueError):
            Region(*wrong)


@pytest.mark.parametrize("contig", ["chr1", "HLA-A*01:01", "a&b=c d"])
def test_region_as_an_htsget_query(contig):
    from modos.genomics.region import Region

    for region in (Region(contig, 5, 9), Region(contig, 5)):
        assert Region.from_htsget_query("http://x/reads/ex/demo1?format=CRAM&" + region.to_htsget_query()) == region
    assert Region.from_htsget_query("http://x/reads/ex/demo1?referenceName=chr1&start=5&end=inf") == Region("chr1", 5)
    with pytest.raises(RegionError):
        Region.from_htsget_query("http://x/reads/ex/demo1")


def test_a_region_of_theirs_streams_what_ours_does(example):
    from modos.genomics import region
    from modos.genomics.region import Region

    modo = MODO.open(example / "ex")
    ours = [str(r) for r in modo.stream_genomics("demo1.cram", region.Region("chr1", 100, 3000))]
    records = list(modo.stream_genomics("demo1.cram", Region("chr1", 100, 3000)))
    assert ours and [str(r) for r in records] == ours
    assert all(Region("chr1", 100, 3000).overlaps(Region.from_pysam(record)) for record in records)


def test_text_that_was_0_based_there_is_refused():
    from modos.genomics.region import Region

    with pytest.raises(InvalidInputError, match="1-based"):
        Region.from_ucsc("chr1:10-20")


def test_zarr_has_the_attributes_and_the_arrays(ex):
    import numpy as np
    import zarr

    group = zarr.open_group(ex / "data.zarr", mode="r")
    modo = MODO.open(ex)
    assert dict(modo.zarr["data/demo1"].attrs) == modo.metadata["data/demo1"]
    apart = group["_modos"].attrs["slots"]["data/demo1"]
    of_file = {slot: apart[slot] for slot in ("data_size", "data_digest", "index_digests")}
    assert dict(group["data/demo1"].attrs) | of_file == modo.metadata["data/demo1"]
    assert modo.zarr["/"].attrs["id"] == "ex" and sorted(modo.zarr["sample"].group_keys()) == sorted(group["sample"].group_keys())
    with pytest.raises(ValueError, match="read-only|its own methods"):
        modo.zarr["data/demo1"].attrs["name"] = "x"
    assert MODO.open(ex).metadata == modo.metadata
    array = zarr.create_array(ex / "data.zarr" / "data" / "matrix", data=np.arange(12).reshape(3, 4), chunks=(2, 2))
    document = modo._document.copy()
    document.nodes["data/matrix"] = json.loads((ex / "data.zarr" / "data" / "matrix" / "zarr.json").read_text())
    from modos.object.tree import DocumentStore

    read = zarr.open_group(DocumentStore(modo.storage, document), mode="r")["data/matrix"]
    assert (read[:] == array[:]).all() and read[:].sum() == 66 and read.nchunks_initialized == 4
    sharded = zarr.create_array(ex / "data.zarr" / "data" / "sharded", data=np.arange(64), chunks=(4,), shards=(32,))
    document.nodes["data/sharded"] = json.loads((ex / "data.zarr" / "data" / "sharded" / "zarr.json").read_text())
    read = zarr.open_group(DocumentStore(modo.storage, document), mode="r")["data/sharded"]
    assert read[37:41].tolist() == sharded[37:41].tolist() == [37, 38, 39, 40]


def test_is_remote_and_endpoint(ex):
    modo = MODO.open(ex, services={"htsget": "http://localhost:1/htsget", "s3": "http://localhost:1"})
    assert not modo.is_remote and modo.endpoint.htsget == "http://localhost:1/htsget"


def test_metadata_of_an_object_that_exists_are_not_ignored(tmp_path):
    """There, other metadata than those of the object were; a program that runs twice with the same ones goes on."""
    given = {
        "id": "a",
        "name": "A",
        "creation_date": "2024-05-01",
        "has_assay": ["x", "assay/y"],
        "source_uri": "https://example.org/a",
    }
    made = MODO(tmp_path / "a", **given).metadata
    assert MODO(tmp_path / "a", **given).metadata == MODO(tmp_path / "a", name=None, has_assay=[]).metadata == made
    assert MODO(tmp_path / "a", creation_date="2024-05-01T00:00:00", has_assay=["assay/y", "assay/x"]).metadata == made
    for other, words in (
        ({"id": "b"}, "its id is 'a', and not 'b'"),
        ({"name": "B"}, "its name is 'A', and not 'B'"),
        ({"description": "more"}, "its description is not set, and not 'more'"),
        ({"has_assay": ["assay/z"]}, "its has_assay is"),
        ({"creation_date": "2024-05-02"}, "its creation_date is"),
        ({"id": "a", "source_uri": "https://x"}, "its source_uri is"),
    ):
        with pytest.raises(AlreadyExistsError, match=words):
            MODO(tmp_path / "a", **other)
    assert MODO.open(tmp_path / "a").metadata == made


def test_an_object_of_theirs_has_the_metadata_that_it_was_made_with(tmp_path):
    write_object(tmp_path / "a", {"assay/x": {"@type": "Assay", "omics_type": ["GENOMICS"]}})
    assert MODO(tmp_path / "a", id="a", has_assay=["x"], creation_date="2024-01-01")
    with pytest.raises(AlreadyExistsError, match="its has_assay is"):
        MODO(tmp_path / "a", has_assay=["y"])


def test_has_assay(tmp_path):
    assert "has_assay" not in MODO(tmp_path / "a", id="a", has_assay=[]).metadata["a"]
    assert MODO(tmp_path / "b", has_assay=["assay/x"]).metadata["b"]["has_assay"] == ["assay/x"]


@pytest.mark.parametrize(
    "given",
    [
        ("myid", "name"),
        ("myid",),
        (None, "name"),
        (None, None, "description"),
        (None, None, None, "2024-01-01"),
        (None, {"anon": True}),
        (None, {"key": "a", "secret": "b"}),
        (None, {"access_key_id": "a"}),
        (None, None, {"s3": "http://x"}),
    ],
)
def test_positions_that_mean_something_else_are_refused(tmp_path, ex, given):
    for path in (tmp_path / "new", ex):
        with pytest.raises((InvalidInputError, TypeError)):
            MODO(path, *given)
    assert not (tmp_path / "new").exists()


def test_positions_of_from_file_and_upload_are_refused(tmp_path, ex, description):
    with pytest.raises(InvalidInputError, match="services"):
        MODO.from_file(description, tmp_path / "new", None, {"anon": True})
    with pytest.raises(InvalidInputError, match="services"):
        MODO.open(ex).upload("s3://bucket/ex", "http://localhost:1", {"access_key_id": "a", "secret_access_key": "b"})


def test_services_by_a_name_that_none_has_are_refused(ex):
    from modos import codes

    for call in (
        lambda: MODO(ex, services={"htsgett": "http://localhost:1"}),
        lambda: codes.open(services={"fuson": "http://localhost:1"}),
    ):
        with pytest.raises(InvalidInputError, match="there is no service"):
            call()
    told = {
        "status": "success",
        "auth": None,
        "s3": None,
        "htsget": "http://localhost:1/htsget",
        "fuzon": None,
        "kms": None,
        "refget": None,
    }
    assert MODO(ex, services=told).endpoint.htsget == "http://localhost:1/htsget"


def test_list_arrays_of_an_element_and_a_group(ex):
    modo = MODO.open(ex)
    assert str(modo.list_arrays("data/")) == str(modo.list_arrays("data")) and str(modo.list_arrays("/")) == str(
        modo.list_arrays()
    )
    assert "demo1" in str(modo.list_arrays("data")) and "sample1" not in str(modo.list_arrays("data"))
    assert str(modo.list_arrays("data/demo1")).strip() == str(modo.list_arrays("demo1")).strip() == "/data/demo1"
    with pytest.raises(NotFoundError):
        modo.list_arrays("nothing")


def test_list_arrays_of_an_array_is_refused_and_not_taken_for_damage(tmp_path):
    (tmp_path / "sizes.txt").write_text("chr1\t1000\n")
    (tmp_path / "a.bedGraph").write_text("chr1\t0\t10\t1\n")
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(sizes=tmp_path / "sizes.txt")
    modo.add_track("a", tmp_path / "a.bedGraph")
    array = next(path for path in modo.list_nodes() if path.startswith("data/a/"))
    assert array.rpartition("/")[2] in str(modo.list_arrays("data/a"))
    with pytest.raises(InvalidInputError, match=f"{array} is an array"):
        modo.list_arrays(array)


def test_show_contents_of_a_group(ex):
    import yaml

    modo = MODO.open(ex)
    shown = yaml.safe_load(modo.show_contents("data"))
    assert set(shown) == {i for i in modo.metadata if i.startswith("data/")} and len(shown) > 1
    assert set(yaml.safe_load(modo.show_contents("demo1"))) == {"data/demo1"}
    modo.add_element({"id": "data", "@type": "Sample"})
    with pytest.raises(InvalidInputError, match="the name of an element"):
        modo.show_contents("data")
    with pytest.raises(NotFoundError):
        modo.show_contents("nothing")


@pytest.mark.parametrize("query", ["SELECT ?s WHERE { ?s a modos:Sample }", "ASK { ?s a modos:Sample }"])
def test_a_query_is_serialized(ex, query):
    rows = MODO.open(ex).query(query)
    assert isinstance(rows, list) and rows
    told = json.loads(rows.serialize(format="json"))
    assert told.get("boolean") is True or [row["s"] for row in rows] == [b["s"]["value"] for b in told["results"]["bindings"]]


def test_rows_of_a_query_are_gone_through_as_rdflib_has_them(ex):
    """Names in the place of values, and an ASK that is true whatever is so, would be wrong in silence."""
    import rdflib

    modo, query = MODO.open(ex), "SELECT ?s ?type WHERE { ?s a ?type } ORDER BY ?s ?type"
    theirs = [tuple(map(str, row)) for row in modo.knowledge_graph().query(query)]
    rows = modo.query(query)
    assert [tuple(row) for row in rows] == [(s, type) for s, type in rows] == [(row.s, row.type) for row in rows] == theirs
    assert [(row[0], row[-1]) for row in rows] == [(row["s"], row["type"]) for row in rows] == theirs and rows[0][:1] == theirs[
        0
    ][:1]
    assert [dict(row) for row in rows] == json.loads(json.dumps(rows)) == pickle.loads(pickle.dumps([{**row} for row in rows]))
    assert rows.vars == [rdflib.Variable("s"), rdflib.Variable("type")] and len(rows.bindings) == len(rows)
    with pytest.raises(AttributeError, match="no variable nothing"):
        rows[0].nothing
    assert modo.query("ASK { ?s a modos:Sample }") and not modo.query("ASK { ?s a modos:Nothing }")
    assert (
        not modo.query("SELECT ?s WHERE { ?s a modos:Nothing }") and modo.query("CONSTRUCT { ?s a ?o } WHERE { ?s a ?o }").graph
    )


def test_download_to_target_path(ex, tmp_path):
    copy = MODO.open(ex).download(target_path=tmp_path / "copy")
    assert copy.checksum() == MODO.open(ex).checksum() and copy.path == tmp_path / "copy"
    with pytest.raises(InvalidInputError, match="both"):
        MODO.open(ex).plan_download(target=tmp_path / "a", target_path=tmp_path / "b")


# S3 and the server


def of_obstore(**more):
    from modos.demo.stack import CREDENTIALS

    return {"access_key_id": CREDENTIALS["key"], "secret_access_key": CREDENTIALS["secret"], **more}


def test_upload_to_an_s3_endpoint_with_arguments_of_obstore(stack, ex):
    from modos.demo.stack import BUCKET
    from modos.storage import connect_s3, list_remote_modos

    target = f"s3://{BUCKET}/prefix/upload_ex"
    MODO.open(ex).upload(target_path=target, s3_endpoint=stack.s3, s3_kwargs=of_obstore(region="us-east-1", allow_http=True))
    copy = MODO(target, services={"s3": stack.s3}, s3_kwargs=of_obstore(skip_signature=False))
    assert copy.is_remote and copy.checksum() == MODO.open(ex).checksum()
    assert copy.zarr["data/demo1"].attrs["data_path"] == "demo1.cram"
    assert "prefix/upload_ex" in list_remote_modos(connect_s3(f"s3://{BUCKET}", stack.s3, of_obstore()))
    for there in (connect_s3(stack.s3, of_obstore()), connect_s3(endpoint=stack.s3, s3_kwargs=of_obstore())):
        assert there.exists(f"{BUCKET}/prefix/upload_ex/demo1.cram")
    with pytest.raises(InvalidInputError):
        connect_s3(of_obstore())
    for other in (connect_s3(stack.s3, of_obstore()), f"s3://{BUCKET}"):  # s3fs would find nothing in it, in silence
        with pytest.raises(InvalidInputError, match="takes a storage"):
            list_remote_modos(other)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"skip_signature": True}, {"anon": True}),
        ({"skip_signature": "false"}, {}),
        ({"AWS_ACCESS_KEY_ID": "a"}, {"key": "a"}),
        ({"session_token": "t"}, {"token": "t"}),
        ({"region": "x", "client_kwargs": {"verify": False}}, {"client_kwargs": {"verify": False, "region_name": "x"}}),
        ({"client_kwargs": {"verify": False}, "region": "x"}, {"client_kwargs": {"verify": False, "region_name": "x"}}),
    ],
)
def test_arguments_of_obstore(given, meant):
    from modos.storage.s3_arguments import as_s3fs

    assert as_s3fs(given) == meant


@pytest.mark.parametrize(
    "given", [{"key": "a", "access_key_id": "b"}, {"acces_key_id": "b"}, {"skip_signature": "perhaps"}, {"allow_http": False}]
)
def test_arguments_that_nobody_knows_are_refused(given):
    from modos.storage import open_storage

    with pytest.raises(InvalidInputError):
        open_storage("s3://bucket/ex", s3_url="http://localhost:1", s3_kwargs=given)


@pytest.mark.parametrize(
    ("variable", "value", "signed"), [("AWS_SKIP_SIGNATURE", "true", False), ("AWS_SKIP_SIGNATURE", "false", True)]
)
def test_no_signature_where_the_environment_says_so(monkeypatch, variable, value, signed):
    from modos.storage import open_storage

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv(variable, value)
    assert open_storage("s3://bucket/ex", s3_url="http://localhost:1")._fs.anon is not signed


def test_what_a_server_lists(stack):
    from modos.catalog.peer_calls import get_metadata_from_remote, get_s3_path, list_remote_items

    url = stack.endpoint
    assert "s3://modos-demo/ex" in list_remote_items(url)
    all_of_it = get_metadata_from_remote(url)
    one = all_of_it["modos-demo/ex"]
    assert one["ex"]["@type"] == "MODO"
    assert one == get_metadata_from_remote(url, "modos-demo/ex")
    if sum(path.rpartition("/")[2] == "ex" for path in all_of_it) == 1:  # other tests may have left objects of that name
        assert one == get_metadata_from_remote(url, "ex")
    else:
        with pytest.raises(InvalidInputError, match="could be"):
            get_metadata_from_remote(url, "ex")
    with pytest.raises(NotFoundError):
        get_metadata_from_remote(url, "nothing")
    assert "s3://modos-demo/ex" in [
        found["ex"]["modo_path"] for found in get_s3_path(url, "ex", exact_match=True) if "ex" in found
    ]
    assert get_s3_path(url, "exx", exact_match=True) == [] != get_s3_path(url, "exx")


# The command line


def test_create_and_add_from_a_file(tmp_path, description):
    done("create", tmp_path / "new", "--from-file", description)
    sample = tmp_path / "sample.json"
    sample.write_text('{"id": "s2"}')
    done("add", tmp_path / "new", "sample", f"--from-file={sample}")
    assert MODO.open(tmp_path / "new").list_samples() == ["sample/s1", "sample/s2"]


def test_add_a_source_file(ex, example):
    done(
        "add",
        ex,
        "data",
        "-e",
        '{"id": "again", "data_path": "again.cram", "data_format": "CRAM"}',
        "--source-file",
        example / "ex" / "demo1.cram",
    )
    assert (ex / "again.cram.crai").exists()


def test_force(ex, description):
    done("remove", ex, "data/demo1", "--force")
    assert "data/demo1" not in MODO.open(ex).metadata
    description.write_text('[{"element": {"id": "s1", "@type": "Sample"}}]')
    for line in (("-f", "-c", description), ("-c", description, "-f")):  # here it is --file
        assert modos("update", ex, *line).returncode == 2
    assert b"--prune" in modos("update", ex, "-f", "-c", description).stderr
    assert len(MODO.open(ex).metadata) > 2
    done("update", ex, "--force", "-c", description)
    assert list(MODO.open(ex).metadata) == ["ex", "sample/s1"]
    done("remove", "-f", ex)
    assert not ex.exists()


def test_show(ex):
    assert done("show", "-f", ex) == done("show", "--files", ex)
    assert done("show", "-z", ex) == done("show", "--zarr", ex) != done("show", ex)
    assert b"demo1" in done("show", "-z", ex, "data") and b"sample1" not in done("show", "-z", ex, "data")
    assert set(json.loads(done("show", "--json", ex, "sample"))) == set(MODO.open(ex).list_samples())


def test_publish_in_an_output_format(ex):
    published = done("publish", "--output-format", "nt", ex)
    assert sorted(published.splitlines()) == sorted(done("publish", "--format", "nt", ex).splitlines())


def test_stream_object_and_file(ex):
    assert (
        done("stream", "-c", ex, "demo1.cram")
        == done("stream", "-c", ex / "demo1.cram")
        == done("remote", "stream", ex / "demo1.cram", "-c")
    )
    assert modos("stream", "-c", ex, "demo1.cram", "chr1:1-2").returncode == 2
    assert modos("stream", "-c", "http://localhost:1/htsget/reads/ex/demo1", "chr1:1-2").returncode == 2


def test_stream_from_s3_and_copy_to_a_target(stack, tmp_path):
    there, with_server = "s3://modos-demo/ex", ("--endpoint", stack.endpoint)
    counted = done(*with_server, "stream", "-c", there, "demo1.cram", MODOS_ANON="1")
    assert counted == done(*with_server, "--anon", "remote", "stream", there, "demo1.cram", "-c")
    done(*with_server, "remote", "download", there, "-t", tmp_path / "copy", MODOS_ANON="true")
    assert done("stream", "-c", tmp_path / "copy" / "demo1.cram") == counted
    both = modos("remote", "upload", tmp_path / "copy", "s3://bucket/a", "--target", "s3://bucket/b")
    assert both.returncode == 2 and b"twice" in both.stderr
    planned = done(
        "remote",
        "upload",
        tmp_path / "copy",
        "--target",
        "s3://modos-demo/target",
        "--dry-run",
        MODOS_ENDPOINT=stack.endpoint,
        AWS_ACCESS_KEY_ID=of_obstore()["access_key_id"],
        AWS_SECRET_ACCESS_KEY=of_obstore()["secret_access_key"],
    )
    assert b"+ demo1.cram" in planned


@pytest.mark.sweep(6)
@pytest.mark.parametrize(
    "line",
    [
        ("add", "{ex}", "sample", "-f", "{a}", "-f", "{b}"),
        ("add", "{ex}", "sample", "--from-file", "{a}", "--file", "{b}"),
        ("add", "{ex}", "sample", "-e", '{{"id": "a"}}', "-e", '{{"id": "b"}}'),
        ("publish", "--output-format", "nt", "--format", "turtle", "{ex}"),
        ("codes", "search", "-t", "3", "--top", "5", "sex", "male"),
        ("codes", "search", "sex", "male", "--query", "female"),
        ("remote", "download", "{ex}", "{a}.1", "-t", "{a}.2"),
        ("remote", "download", "{ex}", "--target", "{a}.1", "-t", "{a}.2"),
        ("track", "query", "{ex}", "-R", "{a}", "-R", "{b}"),
        ("show", "{ex}", "--progress", "--no-progress"),
    ],
)
def test_what_is_given_twice_is_not_ignored(ex, tmp_path, line):
    files = {"a": tmp_path / "a.json", "b": tmp_path / "b.json", "ex": ex}
    for name in "ab":
        files[name].write_text(json.dumps({"id": name}))
    before = MODO.open(ex).metadata
    result = modos(*(word.format(**files) for word in line))
    assert result.returncode == 2 and (b"twice" in result.stderr or b"both" in result.stderr) and not result.stdout, result.stderr
    assert MODO.open(ex).metadata == before and not list(tmp_path.glob("a.json.*"))


def test_the_same_given_twice_is_that(ex):
    assert done("show", ex, "--json", "--json", "sample1") == done("show", ex, "sample1", "--json")
    assert b"would remove" in modos("remove", ex, "demo1", "--force", "--yes", "-f", "--dry-run").stderr
    assert done("publish", "--format", "nt", "--output-format", "nt", ex)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("flag", ["-pw", "--passphrase"])
def test_a_file_with_the_passphrase(ex, tmp_path, flag):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("open sesame\n")
    passphrase.chmod(0o600)
    done("c4gh", "keygen", tmp_path / "me.sec", "--passphrase-file", passphrase)
    done("c4gh", "encrypt", "-p", tmp_path / "me.pub", "-s", tmp_path / "me.sec", flag, passphrase, ex)
    assert (ex / "demo1.cram.c4gh").exists()
    done("c4gh", "decrypt", "-s", tmp_path / "me.sec", flag, passphrase, ex)
    assert (ex / "demo1.cram").exists()


def test_no_help_shows_them():
    for command, hidden in {
        "create": "--from-file",
        "add": "--source-file",
        "remove": "--force",
        "show": " -z ",
        "stream": "MODOS_ANON",
    }.items():
        assert hidden.encode() not in done(command, "--help", COLUMNS="200")
    assert b"MODOS_ANON" not in done("--help", COLUMNS="200") and b"stream" not in done("remote", "--help", COLUMNS="200")


def test_nothing_becomes_slower():
    code = "import sys, modos; print(*[m for m in sys.modules if m.startswith('modos.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == []
    code = "import sys, modos.cli.app; print(*sorted(m for m in sys.modules if m in ('modos.remote', 'modos.catalog.catalog', 'modos.object.tree', 'modos.object.modo')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == []
