"""A record that came with an object from elsewhere has no file of the user deleted, whatever it says."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from modos.api import MODO
from modos.object import checking, journal
from modos.storage.local import LocalStorage
from modos.storage.processes import ownership

from .conftest import files, killed_at

pytestmark = pytest.mark.sweep(12)

USERS = ("README.md", "important.bam", "notes/a.txt", ".profile", "data.zarr/mine/c/0")
FILES = list(USERS)


def record(**content) -> bytes:
    return json.dumps({"files": FILES, "folders": ["data.zarr/mine", "data.zarr/data"], "time": 0} | content).encode()


PLANTED = {
    "as before": record(),
    "of another place": record(place="folder 2", new=FILES),
    "of no place": record(place="", new=FILES),
    "the place is a list": record(place=["folder"]),
    "claimed": record(claimed="9f3a01c2-1-5be0c1d2"),
    "claimed by a number": record(claimed=5, began=-1e300),
    "began at no time": b'{"files": ["README.md"], "new": ["README.md"], "began": NaN, "place": "x"}',
    "another object's": record(files=["../neighbour/a.bam", "/etc/passwd"]),
    "folders outside": record(folders=["notes", "data.zarr/../notes", "data.zarr"]),
    "a link": record(files=["link/a.txt", "link"]),
    "other records": record(files=[".modos/other.json", "sub/data.zarr/zarr.json"]),
    "names that are none": record(files=[1, None, {"a": 2}]),
    "a name with half a character": b'{"files": ["\\ud800"], "folders": [], "time": 0}',
    "files are text": record(files="README.md"),
    "files are a mapping": record(files={"README.md": 1}),
    "a list": b"[]",
    "no JSON": b"\x00\xff not JSON",
    "empty": b"",
    "nested deeply": b"[" * 100_000,
    "a number without end": b'{"files": [], "time": ' + b"9" * 10_000 + b"}",
    "a million names": json.dumps(
        {"files": [*FILES, *(f"f{n}.bam" for n in range(1_000_000))], "folders": [], "time": 0}
    ).encode(),
}
NAMES = ["9f3a01c2-1-5be0c1d2.json", f"{'0' * 16}-1-5be0c1d2ff.json", "x.json", "notes"]


@pytest.fixture
def received(tmp_path, bams):
    """An object that somebody sent, in whose folder the user has files."""
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "d", "@type": "AlignmentSet"}, bams / "a.bam")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_text("the user's")
    (tmp_path / "ex" / "link").symlink_to(tmp_path / "outside")
    for key in USERS:
        path = tmp_path / "ex" / key
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("the user's")
    neighbour = MODO.create(tmp_path / "neighbour")
    neighbour.add_element({"id": "d", "@type": "AlignmentSet"}, bams / "a.bam")
    (tmp_path / "ex" / "sub").mkdir()
    shutil.copytree(tmp_path / "neighbour", tmp_path / "ex" / "sub", dirs_exist_ok=True)
    return modo


def plant(modo, name, data, age=2 * 86400):
    folder = modo.storage.path / ".modos"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    os.utime(folder / name, (time.time() - age,) * 2)


def act_and_mend(modo, bams):
    modo = MODO.open(modo.path)
    modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam")
    modo.remove_element("data/new")
    findings = list(checking.find_problems(modo.storage))
    checking.fix(modo.storage, findings)
    checking.fix(modo.storage, findings, 0)


@pytest.mark.parametrize("data", PLANTED.values(), ids=PLANTED)
def test_nothing_of_the_user_is_deleted(received, bams, data, tmp_path):
    before = {
        path: path.read_bytes()
        for path in sorted(tmp_path.rglob("*"))
        if path.is_file() and "data.zarr/zarr.json" not in str(path) and ".modos" not in path.parts
    }
    for name in NAMES if len(data) < 1 << 20 else NAMES[:1]:
        plant(received, name, data)
    act_and_mend(received, bams)
    assert {path: path.read_bytes() for path in before if path.exists()} == before
    assert (tmp_path / "ex" / "link").is_symlink()
    kinds = {f.kind for f in checking.find_problems(MODO.open(received.path).storage)}
    assert kinds <= {"unknown", "mirror"}, "the records are gone"


def test_a_copy_of_a_place_in_the_midst_of_a_change(received, bams, tmp_path):
    """Records of a change that was under way prove nothing at the copy, where the user may have other files of these names."""
    assert killed_at(2, lambda: MODO.open(received.path).add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam"))
    assert list(received.storage.iter_files(".modos"))
    shutil.copytree(tmp_path / "ex", tmp_path / "copy", symlinks=True)
    (tmp_path / "copy" / "b.bam").write_text("the user's")
    copy = MODO.open(tmp_path / "copy")
    checking.fix(copy.storage, list(checking.find_problems(copy.storage)), 0)
    assert (tmp_path / "copy" / "b.bam").read_text() == "the user's"
    checking.fix(received.storage, list(checking.find_problems(received.storage)))
    assert not (tmp_path / "ex" / "b.bam").exists(), "at its place it does"


def test_a_file_that_was_there_before_the_change_stays(received, bams):
    """A change that was killed before it could see that the name is taken."""
    storage = received.storage
    os.utime(storage.path / "important.bam", (time.time() - 60,) * 2)
    plant(
        received,
        f"{ownership.new_mark()[:16]}-999999999-5be0c1d2ff.json",
        record(files=["important.bam"], new=["important.bam"], folders=[], place=storage.identify_place()),
        age=30,
    )
    (entry,) = journal.entries(storage)
    assert entry.abandoned and entry.is_ours
    assert [f.kind for f in checking.find_problems(storage) if f.where == "important.bam"] == ["unknown"]
    assert journal.recover(storage) == [] and storage.exists("important.bam")


def test_on_s3_a_record_is_of_its_prefix(request, bams, tmp_path):
    from modos.demo.stack import BUCKET, CREDENTIALS

    stack = request.getfixturevalue("stack")
    modo = MODO.create(f"s3://{BUCKET}/planted/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    modo.storage.write("README.md", b"the user's")
    for number, place in enumerate(["", "folder 2", "s3://other/prefix", None]):
        modo.storage.write(f".modos/9f3a01c2-{number}-5be0c1d2.json", record(place=place))
    checking.fix(modo.storage, list(checking.find_problems(modo.storage)), 0)
    modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam")
    assert modo.storage.read("README.md")[0] == b"the user's"
    assert not [key for key in files(modo.storage) if key.startswith(".modos/9f3a")]


def test_a_record_too_large_to_be_one_is_not_read(received, bams, monkeypatch):
    plant(received, "x.json", b"")
    os.truncate(received.storage.path / ".modos" / "x.json", 1 << 40)
    monkeypatch.setattr(
        LocalStorage,
        "read",
        lambda self, key, read=LocalStorage.read: pytest.fail("read") if key == ".modos/x.json" else read(self, key),
    )
    act_and_mend(received, bams)
    assert all((received.storage.path / key).exists() for key in USERS)
