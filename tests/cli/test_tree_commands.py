"""Zarr trees on the command line, and through a server: each command takes them as what they are."""

from __future__ import annotations

import json
import os
import shutil
import zipfile

import numpy as np
import pytest
import requests
import zarr

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.server.app import create_app
from modos.server.drs import object_id
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.integration.test_trees import contents, stored, write_tree
from tests.support import commands


def run(*words, code=0, **options):
    done = commands.run(words, capture_output=True, text=True, **options)
    assert done.returncode == code, done.stderr
    return done


def write_cells(path, cells=6, zarr_format=3):
    """What anndata would write, as far as it is recognised by it."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes={"encoding-type": "anndata"})
    for name, size in (("obs", cells), ("var", 4)):
        root.create_group(name, attributes={"_index": "_index"}).create_array("_index", data=np.arange(size, dtype="i4"))
    root.create_array("X", data=np.ones((cells, 4), "f4"), chunks=(2, 4))
    return path


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "cells.zarr")


@pytest.fixture
def ex(tmp_path, cells):
    """An object with a tree."""
    run("create", tmp_path / "ex", cells)
    return tmp_path / "ex"


def zip_tree(tree, path):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents(tree).items():
            file.writestr(name, data)
    return path


def test_trees_are_added_by_their_names_with_files(tmp_path, cells):
    plain = write_tree(tmp_path / "plain.zarr")
    zipped = zip_tree(write_cells(tmp_path / "other.zarr", 9, 2), tmp_path / "zipped.zarr.zip")
    (tmp_path / "spectra.mzML").write_text("<mzML/>")
    (tmp_path / "cells.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n")
    done = run("create", tmp_path / "ex", cells, zipped, tmp_path / "spectra.mzML", tmp_path / "cells.h5ad")
    assert "AnnData, 6 obs x 4 var" in done.stderr and "with 4 elements" in done.stderr
    run("add", tmp_path / "ex", f"{plain}/", "--map", "id:plain.zarr=numbers")
    modo = MODO.open(tmp_path / "ex")
    found = {
        element_id: (a["@type"], a["data_path"], a["data_format"]) for element_id, a in modo.metadata.items() if "/" in element_id
    }
    assert found == {
        "data/cells.zarr": ("DataEntity", "cells.zarr", "Zarr"),
        "data/cells.h5ad": ("DataEntity", "cells.h5ad", "HDF5"),
        "data/zipped": ("DataEntity", "zipped.zarr", "Zarr"),
        "data/spectra": ("MassSpectrometryResults", "spectra.mzML", "mzML"),
        "data/numbers": ("DataEntity", "numbers.zarr", "Zarr"),
    }
    assert modo["data/zipped"]["shape"] == [9, 4] and modo["data/zipped"]["zarr_kind"] == "AnnData"
    assert stored(modo.storage, "numbers.zarr") == contents(plain) and modo.find_problems() == []


def test_a_plan_to_add_a_tree_adds_nothing(tmp_path, ex, cells):
    other = write_cells(tmp_path / "more.zarr", 3)
    before = MODO.open(ex).metadata
    assert "data/more" in run("add", ex, other, "--dry-run").stdout
    assert "data/m" in run("add", ex, "data", "-e", '{"id": "m"}', "-s", other, "--dry-run").stdout
    assert MODO.open(ex).metadata == before and stored(MODO.open(ex).storage, "more.zarr") == {}


@pytest.mark.parametrize("name", ["sheet.tsv", "list.yaml"])
def test_descriptions_name_trees(tmp_path, cells, name):
    if name == "sheet.tsv":
        (tmp_path / name).write_text("id\tsource_file\nrna\tcells.zarr\n")
        run("create", tmp_path / "ex", "-f", tmp_path / name, "--type", "data")
    else:
        entry = {"element": {"id": "rna", "@type": "DataEntity"}, "args": {"source_file": "cells.zarr"}}
        own = {"element": {"id": "ex", "@type": "MODO"}}
        (tmp_path / name).write_text(json.dumps([own, entry]))
        run("create", tmp_path / "ex", "-f", tmp_path / name)
    modo = MODO.open(tmp_path / "ex")
    assert modo["data/rna"]["data_path"] == "cells.zarr" and stored(modo.storage, "cells.zarr") == contents(cells)


def test_a_folder_that_is_no_tree_is_told_as_before(tmp_path, ex):
    (tmp_path / "reads").mkdir()
    assert "is a folder, and a data file is wanted" in run("add", ex, tmp_path / "reads", code=2).stderr
    assert "is no Zarr hierarchy" in run("add", ex, "data", "-e", '{"id": "x"}', "-s", tmp_path / "reads", code=2).stderr


def test_two_trees_of_one_name_are_told_apart_or_refused(tmp_path, cells):
    (tmp_path / "b").mkdir()
    other = write_cells(tmp_path / "b/cells.zarr", 3)
    run("create", tmp_path / "ex", cells, other, cells)
    modo = MODO.open(tmp_path / "ex")
    assert sorted(a["shape"][0] for a in modo.metadata.values() if "shape" in a) == [3, 6]
    zipped = zip_tree(cells, tmp_path / "cells.zarr.zip")
    assert "would both be cells.zarr" in run("create", tmp_path / "ex2", cells, zipped, code=2).stderr
    assert not (tmp_path / "ex2").exists()


def test_what_a_tree_said_goes_with_it(tmp_path, ex):
    """A tree in the place of another, or a file, does not keep the other's shape."""
    run("update", ex, "cells", "-s", write_tree(tmp_path / "numbers.zarr"))
    assert not {"zarr_kind", "shape", "axes"} & MODO.open(ex)["data/cells"].keys()
    run("update", ex, "cells", "-s", write_cells(tmp_path / "more.zarr", 8))
    run("enrich", ex)
    assert MODO.open(ex)["data/cells"]["shape"] == [8, 4]
    (tmp_path / "t.tsv").write_text("a\tb\n")
    run("update", ex, "cells", "-s", tmp_path / "t.tsv")
    element = MODO.open(ex)["data/cells"]
    assert element["data_format"] == "TSV" and not {"zarr_kind", "shape", "axes"} & element.keys()
    assert MODO.open(ex).find_problems() == []


def test_show_draws_the_tree_with_shapes(tmp_path, ex):
    shown = run("show", "--zarr", ex, "data/cells").stdout
    assert shown.splitlines() == [
        "/",
        "├── X (6, 4) float32",
        "├── obs",
        "│   └── _index (6,) int32",
        "└── var",
        "    └── _index (4,) int32",
    ]
    told = json.loads(run("show", "--zarr", ex, "cells", "--json").stdout)
    assert {"path": "X", "shape": [6, 4], "dtype": "float32"} in told and len(told) == 6
    whole = run("show", "--zarr", ex)
    assert "cells" in whole.stdout and "`modos show --zarr" in whole.stderr
    assert run("show", "--files", ex).stdout == f"{ex}/cells.zarr/\n"
    assert "is a Zarr tree" not in run("show", "--zarr", ex, "data").stdout


def test_the_names_of_types_are_those_of_version_3(tmp_path):
    tree = tmp_path / "old.zarr"
    root = zarr.open_group(tree, mode="w", zarr_format=2)
    for name, dtype in {"a": "<i2", "b": "|b1", "c": ">f8", "d": "<c16", "e": "|u1", "f": "<U3"}.items():
        root.create_array(name, shape=(2,), dtype=np.dtype(dtype))
    run("create", tmp_path / "ex", tree)
    shown = [line.partition(") ")[2] for line in run("show", "--zarr", tmp_path / "ex", "old").stdout.splitlines()[1:]]
    assert shown == ["int16", "bool", "float64", "complex128", "uint8", "<U3"]


def test_a_tree_that_is_one_array_or_very_deep_is_drawn(tmp_path):
    zarr.create_array(tmp_path / "one.zarr", data=np.arange(3))
    deep = zarr.open_group(tmp_path / "deep.zarr", mode="w")
    deep.create_array("/".join(["g"] * 300), data=np.arange(2))
    run("create", tmp_path / "ex", tmp_path / "one.zarr", tmp_path / "deep.zarr")
    assert run("show", "--zarr", tmp_path / "ex", "one").stdout == "/ (3,) int64\n"
    assert len(run("show", "--zarr", tmp_path / "ex", "deep").stdout.splitlines()) == 301


def test_a_tree_is_no_file_to_stream(ex):
    for what in ("cells.zarr", "cells", "data/cells", "cells.zarr/X/zarr.json", "cells.zarr/"):
        done = run("stream", f"{ex}/{what}", code=2)
        assert "is a Zarr tree, and no file" in done.stderr and 'MODO(...)["data/cells"]' in done.stderr


def test_a_removal_names_the_folder(ex):
    done = run("remove", ex, "cells", "--dry-run")
    assert done.stdout.splitlines() == ["- data/cells", f"- {ex}/cells.zarr/"]
    run("remove", ex, "cells", "--yes")
    assert not (ex / "cells.zarr").exists() and not (ex / "cells.zarr.files").exists()


def test_metadata_are_published_with_the_tree_as_a_folder(ex):
    crate = json.loads(run("publish", ex, "-O", "ro-crate").stdout)
    (tree,) = [entity for entity in crate["@graph"] if entity["@id"] == "cells.zarr/"]
    assert "Dataset" in tree["@type"] and int(tree["contentSize"]) == sum(map(len, contents(ex / "cells.zarr").values()))
    assert "cells.zarr> ;" in run("publish", ex).stdout
    assert "AnnData" in run("query", ex, "SELECT ?k WHERE { ?d modos:zarr_kind ?k }").stdout


def test_two_objects_differ_by_their_trees(tmp_path, ex):
    shutil.copytree(ex, tmp_path / "copy")
    assert run("diff", ex, tmp_path / "copy").stdout == ""
    run("update", tmp_path / "copy", "cells", "-s", write_cells(tmp_path / "other.zarr", 7))
    assert "data_digest" in run("diff", ex, tmp_path / "copy", code=1).stdout


def test_a_notebook_shows_kind_shape_and_a_folded_tree(ex):
    modo = MODO.open(ex)
    assert "cells.zarr (AnnData, 6 obs x 4 var)" in modo._repr_html_()
    shown = modo["data/cells"]._repr_html_()
    assert "<details><summary>cells.zarr (AnnData, 6 obs x 4 var)</summary>" in shown and "X (6, 4) float32" in shown
    (ex / "cells.zarr.parts").unlink()
    assert "is gone" in modo["data/cells"]._repr_html_()


def test_an_encrypted_tree_is_shown_to_who_has_the_key(tmp_path, ex):
    run("c4gh", "keygen", tmp_path / "me", "--no-passphrase")
    assert "not encrypted" not in run("c4gh", "encrypt", ex, "-p", tmp_path / "me.pub").stderr
    assert "is encrypted" in run("show", "--zarr", ex, "cells", code=4).stderr
    assert "X (6, 4) float32" in run("show", "--zarr", ex, "cells", "--secret-key", tmp_path / "me").stdout
    assert "is encrypted" in MODO.open(ex)["data/cells"]._repr_html_()
    assert run("show", "--files", ex).stdout == f"{ex}/cells.zarr.c4gh/\n"
    assert run("check", ex).stderr.endswith("is whole: 1 element, 1 file\n")
    assert "is a Zarr tree, and no file" in run("stream", f"{ex}/cells.zarr", code=2).stderr
    assert run("remove", ex, "cells", "--dry-run").stdout.splitlines() == ["- data/cells", f"- {ex}/cells.zarr.c4gh/"]
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        modo = MODO.open(f"{server.url}/files/ex")
        assert np.array_equal(modo["data/cells"].to_zarr(secret_key=tmp_path / "me")["X"][:], np.ones((6, 4)))
        assert modo.download(tmp_path / "copy").find_problems() == []


@pytest.fixture(params=["folder", "s3"])
def server(request, tmp_path, ex):
    """A server over the object, in a folder or at S3; and the key of the object."""
    if request.param == "folder":
        storage, key = open_storage(tmp_path), "ex"
    else:
        stack = request.getfixturevalue("stack")
        options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
        MODO.open(ex).upload(f"s3://{BUCKET}/{tmp_path.name}/ex", **options)
        storage, key = open_storage(f"s3://{BUCKET}/{tmp_path.name}", s3_url=stack.s3, s3_kwargs=CREDENTIALS), "ex"
    with BackgroundServer(create_app(storage)) as server:
        yield server.url, key


def test_a_tree_is_opened_through_a_server(server, tmp_path, cells):
    url, key = server
    modo = MODO.open(f"{url}/files/{key}")
    assert np.array_equal(modo["data/cells"].to_zarr()["X"][:], np.ones((6, 4)))
    assert "X (6, 4) float32" in str(modo.list_arrays("cells"))
    copy = modo.download(tmp_path / "copy")
    assert copy.find_problems() == [] and stored(copy.storage, "cells.zarr") == contents(cells)


def test_a_server_has_the_files_of_a_tree_and_none_beside(server, ex, tmp_path):
    url, key = server
    if (ex / "cells.zarr").exists():
        (ex / "cells.zarr/notes.txt").write_text("mine")

    def get(path):
        return requests.get(f"{url}/files/{key}/{path}", timeout=60).status_code

    assert {get(f"cells.zarr/{name}") for name in contents(ex / "cells.zarr") if name != "notes.txt"} == {200}
    assert get("cells.zarr.files") == get("cells.zarr.parts") == 200
    assert get("cells.zarr/notes.txt") == get("cells.zarr/X") == get("cells.zarr") == 404
    bundle = requests.get(f"{url}/ga4gh/drs/v1/objects/{object_id(key)}", timeout=60).json()
    assert [content["name"] for content in bundle["contents"]] == ["cells.zarr"]


def test_a_server_forgets_a_tree_that_was_replaced(tmp_path, ex):
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:

        def get(path):
            return requests.get(f"{server.url}/files/ex/{path}", timeout=60).status_code

        assert get("cells.zarr/zarr.json") == 200
        run("update", ex, "cells", "-s", write_tree(tmp_path / "new.zarr"))
        assert get("cells~2.zarr/zarr.json") == get("cells~2.zarr/large/c/0") == 200
        assert get("cells.zarr/zarr.json") == 404


def test_objects_are_found_by_the_kind_of_their_trees(server):
    url, _ = server
    assert run("--endpoint", url, "remote", "list", "--search", "zarr_kind=AnnData").stdout.strip().endswith("/ex")
    assert run("--endpoint", url, "remote", "list", "--search", "zarr_kind=MuData").stdout.strip() == ""


def test_trees_come_from_s3_and_go_there(stack, tmp_path, cells):
    env = {**os.environ, "AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"]}
    source = f"s3://{BUCKET}/{tmp_path.name}/cells.zarr"
    storage = open_storage(source, s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    for name, data in contents(cells).items():
        storage.write(name, data)
    place = f"s3://{BUCKET}/{tmp_path.name}/ex"
    at = ("--endpoint", stack.endpoint)
    run(*at, "create", place, source, env=env)
    run(*at, "add", place, "data", "-e", '{"id": "again", "data_path": "b.zarr"}', "-s", source, env=env)
    (tmp_path / "sheet.tsv").write_text(f"id\tsource_file\tdata_path\nthird\t{source}/\tc.zarr\n")
    run(*at, "update", place, "-c", tmp_path / "sheet.tsv", "--type", "data", env=env)
    modo = MODO.open(place, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    assert {stored(modo.storage, f"{name}.zarr") == contents(cells) for name in ("cells", "b", "c")} == {True}
    assert "X (6, 4) float32" in run(*at, "show", "--zarr", place, "third", env=env).stdout
    assert run(*at, "check", place, env=env).returncode == 0
    gone = run(*at, "add", place, f"s3://{BUCKET}/{tmp_path.name}/none.zarr", code=3, env=env)
    assert "there is no Zarr tree at" in gone.stderr
