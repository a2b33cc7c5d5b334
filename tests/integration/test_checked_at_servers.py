"""An object at a server is checked as one in a folder, by its files: the same damage is found, and no other."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.faults.conftest import bams, files  # noqa: F401 - fixture
from tests.faults.test_repair import flip
from tests.integration.test_trees import write_tree
from tests.support import commands
from tests.support.sampling import some

ME = SecretKey.random()


@pytest.fixture(scope="module")
def objects(tmp_path_factory, bams):  # noqa: F811
    """A folder with an object that has a file, an index, arrays and a tree, and the same encrypted."""
    folder = tmp_path_factory.mktemp("served")
    modo = MODO.create(folder / "plain", id="ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(folder / "counts.zarr"))
    (folder / "sizes").write_text("chr1\t200000\n")
    modo.add_genome(sizes=folder / "sizes")
    modo.add_track("noise", {"chr1": np.random.default_rng(1).normal(size=200_000).astype("f4")})
    shutil.copytree(folder / "plain", folder / "sealed")
    MODO.open(folder / "sealed").encrypt(ME.public, elements=["data/a", "data/m"])
    return folder


def told(findings):
    """What both have to tell: all but what belongs to no element, which a server does not give out."""
    return sorted((f.kind, f.where) for f in findings if f.kind not in ("unknown", "mirror", "leftover"))


@pytest.mark.parametrize("which", ["plain", "sealed"])
def test_the_same_damage_is_found(objects, which):
    here = MODO.open(objects / which)
    with BackgroundServer(create_app(open_storage(objects))) as server:
        there = f"{server.url}/files/{which}"
        assert MODO.open(there).find_problems() == []
        done = commands.run(["check", there], capture_output=True, text=True)
        assert done.returncode == 0 and "is whole: " in done.stderr
        quick = commands.run(["check", "--quick", there], capture_output=True, text=True)
        assert quick.returncode == 0 and "read " in quick.stderr
        mirrors = {key for key in files(here.storage) if key.startswith("data.zarr/") and key.endswith("zarr.json")}
        for key in some(sorted(files(here.storage) - mirrors), 7):
            good = here.storage.read(key)[0]
            for damage in (
                lambda key=key, good=good: flip(here.storage, key, len(good) // 2),
                lambda key=key: here.storage.delete(key),
            ):
                damage()
                found = told(here.find_problems())
                assert told(MODO.open(there).find_problems()) == found and found, key
                here.storage.write(key, good)
        assert MODO.open(there).find_problems() == here.find_problems() == []


def test_the_command_tells_and_mends_nothing(objects, tmp_path):
    shutil.copytree(objects / "plain", tmp_path / "served" / "ex")
    flip(open_storage(tmp_path / "served" / "ex"), "counts.zarr/large/c/0", 70_000)
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:
        done = commands.run(["check", f"{server.url}/files/ex"], capture_output=True, text=True)
        assert done.returncode == 6 and "bytes 65,536-131,071 of counts.zarr/large/c/0" in done.stdout
        (tmp_path / "served" / "ex" / "counts.zarr.parts").unlink()
        done = commands.run(["check", "--fix", f"{server.url}/files/ex"], capture_output=True, text=True)
        assert done.returncode == 4 and "--- traceback" not in done.stderr and done.stderr.count("\n") <= 3
