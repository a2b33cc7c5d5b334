"""Objects in folders that several people share: whoever changes one, and with whatever umask, locks nobody out and lets nobody in."""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from modos.api import MODO
from modos.encryption.keys import generate, load_secret_key
from modos.errors import InvalidInputError
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.modes import file_mode
from tests.support import commands
from tests.support.hard_files import CASES
from tests.support.people import open_way, run_as

LAB, A, B, STRANGER = 61_000, 61_001, 61_002, 61_003
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several people")


@pytest.fixture
def umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.fixture
def shared(tmp_path) -> Path:
    """A folder of the group, and above it nothing that keeps anybody out."""
    open_way(tmp_path)
    folder = tmp_path / "lab"
    folder.mkdir()
    os.chown(folder, 0, LAB)
    folder.chmod(0o2775)
    return folder


@pytest.mark.parametrize(
    "folder, expected",
    [
        (0o2775, 0o664),
        (0o775, 0o664),
        (0o750, 0o640),
        (0o700, 0o600),
        (0o777, 0o666),
        (0o1777, 0o644),
        (0o711, 0o600),
        (0o733, 0o600),
        (0o755, 0o644),
    ],
)
def test_a_new_file_can_be_used_by_those_who_can_use_its_folder(tmp_path, umask, folder, expected):
    assert file_mode(folder) == expected
    (tmp_path / "ex").mkdir()
    (tmp_path / "ex").chmod(folder)
    storage = open_storage(tmp_path / "ex")
    storage.write("a", b"x")
    storage.write("b", b"x", if_absent=True)
    storage.write_stream("in/two/folders/c", [b"x"], size=1)
    assert {mode(tmp_path / "ex" / name) for name in ("a", "b", "in/two/folders/c")} == {expected}
    assert {mode(tmp_path / "ex" / name) for name in ("in", "in/two", "in/two/folders")} == {folder}


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path):
    storage = open_storage(tmp_path)
    tag = storage.write("a", b"1")
    for kept in (0o600, 0o640, 0o664, 0o444, 0o666):
        (tmp_path / "a").chmod(kept)
        storage.write("a", b"2")
        assert mode(tmp_path / "a") == kept
        tag = storage.write("a", b"3", if_match=storage.read("a")[1])
        assert mode(tmp_path / "a") == kept and tag


@pytest.mark.parametrize(
    "above, mask, top",
    [
        (0o755, 0o077, 0o700),
        (0o755, 0o022, 0o755),
        (0o1777, 0o022, 0o755),
        (0o2775, 0o077, 0o2770),
        (0o2775, 0o022, 0o2775),
        (0o2755, 0o077, 0o2700),
        (0o777, 0o002, 0o775),
    ],
)
def test_the_folder_of_a_new_object_is_as_mkdir_makes_it_and_a_groups_in_a_folder_that_a_group_shares(tmp_path, above, mask, top):
    folder = tmp_path / "above"
    folder.mkdir()
    folder.chmod(above)
    before = os.umask(mask)
    try:
        MODO.create(folder / "ex")
        MODO.create(folder / "deep/er")
    finally:
        os.umask(before)
    assert [mode(folder / name) for name in ("ex", "deep", "deep/er", "ex/data.zarr/data")] == [top] * 4
    assert mode(folder / "ex/data.zarr/zarr.json") == file_mode(top)


def test_nobody_reads_a_file_while_it_is_written_who_may_not_afterwards(tmp_path):
    storage, seen = open_storage(tmp_path / "ex"), []
    storage.write("secret", b"x")
    (tmp_path / "ex/secret").chmod(0o640)

    def pieces():
        for _ in range(3):
            seen.extend(mode(path) for path in (tmp_path / "ex").glob(".new*"))
            yield b"x"

    storage.write_stream("new", pieces(), size=3, like="secret")
    assert set(seen) == {0o640} == {mode(tmp_path / "ex/new")}


def test_sealing_and_opening_keep_the_modes_of_files_and_indexes(tmp_path, umask):
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    generate(tmp_path / "key.sec", tmp_path / "key.pub", None)
    generate(tmp_path / "other.sec", tmp_path / "other.pub", None)

    def modes() -> dict[str, int]:
        return {
            re.sub(r"~\d+", "", path.name).removesuffix(".c4gh"): mode(path)
            for path in (tmp_path / "ex").glob("a*")
            if path.suffix != ".parts"
        }

    (tmp_path / "ex/a.vcf.gz").chmod(0o640)
    (tmp_path / "ex/a.vcf.gz.tbi").chmod(0o444)
    (tmp_path / "ex/data.zarr/zarr.json").chmod(0o664)
    expected = {"a.vcf.gz": 0o640, "a.vcf.gz.tbi": 0o444}
    for change in (
        lambda: modo.encrypt([tmp_path / "key.pub"]),
        lambda: modo.share(tmp_path / "key.sec", [tmp_path / "other.pub"]),
        lambda: modo.revoke(tmp_path / "key.sec", [tmp_path / "other.pub"], rotate=True),
        lambda: modo.decrypt(tmp_path / "key.sec"),
    ):
        assert change() == ["data/a"]
        assert modes() == expected and mode(tmp_path / "ex/data.zarr/zarr.json") == 0o664


def test_a_replaced_file_keeps_its_mode_in_the_object_and_in_its_copies(tmp_path, umask):
    modo = MODO(tmp_path / "ex")
    source = CASES["vcf-tbi"](tmp_path).path
    modo.add_element({"id": "a", "@type": "VariantSet"}, source)
    modo.download(tmp_path / "copy")
    for folder in ("ex", "copy"):
        (tmp_path / folder / "a.vcf.gz").chmod(0o640)
        (tmp_path / folder / "a.vcf.gz.tbi").chmod(0o604)
    (tmp_path / "other").mkdir()
    other = CASES["vcf-other-order"](tmp_path / "other").path
    modo.update_element("data/a", {"description": "another"}, other)
    modo.download(tmp_path / "copy")
    key = modo.metadata["data/a"]["data_path"]
    assert key != "a.vcf.gz"
    for folder in ("ex", "copy"):
        assert [mode(tmp_path / folder / name) for name in (key, f"{key}.tbi")] == [0o640, 0o604], folder


@as_root
def test_two_users_of_a_group_change_an_object_in_turn(shared, tmp_path):
    source = CASES["vcf-tbi"](tmp_path).path
    for path in source.parent.glob(source.name + "*"):
        path.chmod(0o644)
    generate(tmp_path / "key.sec", tmp_path / "key.pub", None)
    secret = load_secret_key(tmp_path / "key.sec")
    turns = [
        (A, lambda ex: MODO.create(ex).add_element({"id": "a", "@type": "VariantSet"}, source)),
        (B, lambda ex: MODO.open(ex).update_element("a", {"description": "by B"})),
        (B, lambda ex: MODO.open(ex).add_element({"id": "s", "@type": "Sample"})),
        (A, lambda ex: MODO.open(ex).update_element("a", {"description": "by A"})),
        (A, lambda ex: MODO.open(ex).remove_element("s")),
        (B, lambda ex: MODO.open(ex).encrypt([secret.public])),
        (A, lambda ex: MODO.open(ex).decrypt(secret)),
        (B, lambda ex: len(list(MODO.open(ex).file("a.vcf.gz").fetch("chr1"))) / len(MODO.open(ex).metadata)),
        (A, lambda ex: 1 / (not MODO.open(ex).find_problems())),
    ]
    for _, turn in turns:  # so that all is imported that the others may not
        turn(tmp_path / "ex")
    ex = shared / "ex"
    for user, turn in turns:
        run_as(user, partial(turn, ex), (LAB,))
    everything = [ex, *ex.rglob("*")]
    assert {path.stat().st_gid for path in everything} == {LAB}
    assert {mode(path) for path in everything if path.is_dir()} == {0o2770}
    assert {mode(path) for path in everything if path.is_file()} == {0o660}
    assert not list(ex.glob(".modos/*.json"))


@as_root
def test_the_group_of_a_replaced_file_is_kept_where_the_writer_is_in_it(tmp_path, shared):
    shared.chmod(0o777)
    (shared / "ex").mkdir()
    (shared / "ex").chmod(0o777)
    (shared / "ex/f").write_bytes(b"1")
    os.chown(shared / "ex/f", A, LAB)
    write = partial(open_storage(shared / "ex").write, "f", b"2")
    for before, user, groups, group, after in [
        (0o640, B, (LAB,), LAB, 0o640),  # kept
        (0o664, STRANGER, (), STRANGER, 0o644),  # nobody in the other group gets more than anybody
        (0o640, STRANGER, (), STRANGER, 0o600),
    ]:
        os.chown(shared / "ex/f", A, LAB)
        (shared / "ex/f").chmod(before)
        run_as(user, write, groups)
        found = (shared / "ex/f").stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (user, group, after)
    os.chown(shared / "ex/f", A, LAB)
    open_storage(shared / "ex").write("f", b"3")
    assert ((shared / "ex/f").stat().st_uid, (shared / "ex/f").stat().st_gid) == (A, LAB)


@as_root
def test_root_writes_for_the_owner_of_a_folder(tmp_path, umask):
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, A, A)
    folder.chmod(0o700)
    open_storage(folder).write("in/f", b"x")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (folder / "in", folder / "in/f")} == {(A, A)}


def test_access_lists_of_a_folder_stay_in_force(tmp_path, umask):
    acl = bytes.fromhex("02000000 01000700ffffffff 020007004aee0000 04000500ffffffff 10000700ffffffff 20000000ffffffff")
    folder = tmp_path / "ex"
    folder.mkdir()
    try:
        os.setxattr(folder, "system.posix_acl_default", acl)
    except (OSError, AttributeError):
        pytest.skip("a file system, or a system, without access lists")
    storage = open_storage(folder)
    storage.write("in/f", b"x")
    inherited = os.getxattr(folder / "in/f", "system.posix_acl_access")
    assert os.getxattr(folder / "in", "system.posix_acl_default") == acl
    assert mode(folder / "in/f") == 0o660  # the mask of the list, whatever the umask
    storage.write("in/f", b"y")
    assert os.getxattr(folder / "in/f", "system.posix_acl_access") == inherited
    os.removexattr(folder / "in/f", "system.posix_acl_access")
    (folder / "in/f").chmod(0o640)
    storage.write("in/f", b"z")
    assert mode(folder / "in/f") == 0o640
    with pytest.raises(OSError):
        os.getxattr(folder / "in/f", "system.posix_acl_access")


def test_a_system_that_takes_no_modes_is_no_reason_to_fail(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    for name in ("chmod", "chown", "fchmod", "fchown", "setxattr"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    lacks = OSError(95, "Operation not supported")
    monkeypatch.setattr(os, "getxattr", lambda *_, **__: (_ for _ in ()).throw(lacks), raising=False)
    storage = LocalStorage(tmp_path / "ex")
    tag = storage.write("in/a", b"x", if_absent=True)
    storage.write("in/a", b"y", if_match=tag)
    storage.write_stream("in/b", [b"z"], size=1, like="in/a")
    assert storage.read("in/a")[0] == b"y" and storage.read("in/b")[0] == b"z"


def test_a_link_that_leads_out_is_replaced_without_taking_anything_from_where_it_leads(tmp_path, umask):
    modo = MODO(tmp_path / "ex")
    (tmp_path / "ex").chmod(0o755)
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    (tmp_path / "ex/a.vcf.gz").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o666)
    (tmp_path / "ex/a.vcf.gz").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").mkdir()
    modo.update_element("a", {"data_path": "b.vcf.gz"}, CASES["vcf-other-order"](tmp_path / "other").path)
    assert mode(tmp_path / "ex/b.vcf.gz") == 0o644 and (tmp_path / "elsewhere").is_file()


def test_two_threads_that_make_the_same_folders_do_not_narrow_them(tmp_path, umask):
    from concurrent.futures import ThreadPoolExecutor

    (tmp_path / "ex").mkdir()
    (tmp_path / "ex").chmod(0o775)
    storage = open_storage(tmp_path / "ex")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: storage.write(f"{number % 10}/in/{number}", b"x", durable=False), range(400)))
    assert {mode(path) for path in (tmp_path / "ex").rglob("*")} == {0o775, 0o664}
    assert len([path for path in (tmp_path / "ex").rglob("*") if path.is_file()]) == 400


@pytest.mark.sweep(1)
@pytest.mark.parametrize("there, expected", [(None, 0o640), (0o600, 0o600), (0o664, 0o664)])
def test_what_is_written_with_o_has_the_mode_of_what_was_there_else_by_the_umask(tmp_path, there, expected):
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    target = tmp_path / "out.vcf"
    if there is not None:
        target.write_bytes(b"old")
        target.chmod(there)
    before = os.umask(0o027)
    try:
        commands.run(["stream", tmp_path / "ex/a.vcf.gz", "-o", target], check=True, timeout=100)
    finally:
        os.umask(before)
    assert mode(target) == expected and target.read_bytes().startswith(b"##fileformat")


@pytest.mark.parametrize("linked", [".modos", ".modos/.commit.lock"])
def test_a_lock_is_not_made_where_a_link_of_another_leads(tmp_path, linked):
    """Somebody of the group has put a link in the place of what a commit locks."""
    MODO.create(tmp_path / "ex")
    shutil.rmtree(tmp_path / "ex/.modos", ignore_errors=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ex" / linked).parent.mkdir(exist_ok=True)
    os.symlink(tmp_path / "elsewhere" / ("" if linked == ".modos" else "made"), tmp_path / "ex" / linked)
    before = (tmp_path / "ex/data.zarr/zarr.json").read_bytes()
    with pytest.raises(InvalidInputError, match=r"commit\.lock is a symbolic link that leads out"):
        MODO.open(tmp_path / "ex").update_element("ex", {"description": "changed"})
    assert not any((tmp_path / "elsewhere").iterdir()) and (tmp_path / "ex/data.zarr/zarr.json").read_bytes() == before
