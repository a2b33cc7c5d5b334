"""Trees that are none, lead out, lie or change: one clear line that names the file, and nothing is left of them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import zipfile

import botocore.session
import pytest
import zarr

from modos.api import MODO
from modos.encryption import body
from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, IntegrityError, InvalidInputError, ModosError
from modos.formats import files_name, parts_name
from modos.formats.crypt4gh import SEALED
from modos.object.changes import Update
from modos.storage.base import ByteRange
from modos.storage.part_digests import PART, DigestList, Layout, digest_parts, join_lists
from modos.trees import staging, tree_sources
from modos.trees.manifest import Manifest
from modos.trees.tree_files import DecryptedFiles, write_places
from modos.trees.tree_sources import FolderTree
from tests.faults.conftest import files
from tests.integration.test_trees import contents, put, stored, write_tree
from tests.support import commands

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")
ELEMENT = {"id": "m", "@type": "DataEntity"}
ESC = "\x1b[31m"


@pytest.fixture
def tree(tmp_path):
    """A tree of Zarr v3."""
    return write_tree(tmp_path / "counts.zarr")


@pytest.fixture
def modo(tmp_path):
    """An empty object in a folder."""
    return MODO.create(tmp_path / "ex", id="ex")


def check_nothing_is_left(modo):
    assert modo.metadata.keys() == {"ex"} and modo.find_problems() == []
    assert not [key for key in files(modo.storage) if not key.startswith("data.zarr/")]
    assert modo.storage.partial_writes() == []


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def make_socket(folder):
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(folder)  # the path of a socket is short
        made.bind("sock")


def make_deep(folder):
    os.chdir(folder)
    for _ in range(110):
        os.mkdir("d" * 9)
        os.chdir("d" * 9)


def declare_absent(folder):
    zarr.consolidate_metadata(folder)
    shutil.rmtree(folder / "a")


def write_v2_and_declare_absent(folder):
    shutil.rmtree(folder)
    write_tree(folder, 2)
    zarr.consolidate_metadata(folder)
    (folder / "large" / ".zarray").unlink()


def write_large(folder):
    with open(folder / "zarr.json", "r+b") as file:
        file.truncate(1 << 30)


BAD = {
    "no JSON": (lambda f: (f / "zarr.json").write_text("hello"), r"counts\.zarr/zarr\.json is no metadata of Zarr"),
    "a list": (lambda f: (f / "zarr.json").write_text("[1]"), r"zarr\.json is no metadata of Zarr"),
    "another JSON": (lambda f: (f / "zarr.json").write_text('{"zarr_format": 4}'), r"zarr\.json is no metadata of Zarr"),
    "empty": (lambda f: (f / "zarr.json").write_bytes(b""), r"zarr\.json is no metadata of Zarr"),
    "deep": (
        lambda f: (f / "zarr.json").write_text('{"zarr_format":3,"node_type":"group","attributes":' + '{"a":' * 100_000),
        r"zarr\.json is no metadata of Zarr",
    ),
    "deep and whole": (
        lambda f: (f / "zarr.json").write_text(
            '{"zarr_format":3,"node_type":"group","attributes":' + "[" * 100_000 + "]" * 100_000 + "}"
        ),
        r"zarr\.json is no metadata of Zarr",
    ),
    "1 GB": (write_large, r"zarr\.json has 1,073,741,824 bytes, too many for metadata"),
    "none": (lambda f: (f / "zarr.json").unlink(), "is no Zarr hierarchy"),
    "absent arrays": (declare_absent, r"zarr\.json lists a/zarr\.json, which is not there"),
    "absent arrays of v2": (write_v2_and_declare_absent, r"\.zmetadata lists large/\.zarray, which is not there"),
    "a socket": (make_socket, "sock is no regular file"),
    "a device": (lambda f: os.mknod(f / "null", 0o020600, os.makedev(1, 3)), "null is no regular file"),
    "a loop": (lambda f: (f / "loop").symlink_to("loop"), "loop cannot be read"),
    "its own folder": (lambda f: (f / "again").symlink_to(f), "again is a link"),
    "a link out": (lambda f: (f / "out").symlink_to("/etc/passwd"), "out is a link that leads out"),
    "a link out by a link": (lambda f: (f / "out").symlink_to("../counts.zarr/../notes"), "out is a link that leads out"),
    "not UTF-8": (lambda f: (f / os.fsdecode(b"caf\xe9")).write_bytes(b""), r"caf\\udce9"),
    "an escape": (lambda f: (f / f"a{ESC}").write_bytes(b""), r"a\\u001b\[31m"),
    "a backslash": (lambda f: (f / "a\\b").write_bytes(b""), r"a\\\\b"),
    "a line": (lambda f: (f / "a\nb").write_bytes(b""), r"a\\u000ab"),
    "a deep folder": (make_deep, "too long"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_tree_is_refused_and_leaves_nothing(modo, tree, case, monkeypatch, tmp_path):
    make, told = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("mine")
    make(tree)
    os.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=told) as caught:
        modo.add_element(ELEMENT, tree)
    assert len(caught.value.message.splitlines()) == 1 and ESC not in caught.value.message
    check_nothing_is_left(modo)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("case", BAD)
def test_the_command_says_it_in_two_lines(modo, tree, case, monkeypatch, tmp_path):
    (tmp_path / "notes").write_text("mine")
    monkeypatch.chdir(tmp_path)
    BAD[case][0](tree)
    done = commands.run(
        ["add", tmp_path / "ex", "data", "-e", json.dumps({"id": "m"}), "-s", tree], capture_output=True, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stdout == b"" and b"\x1b" not in done.stderr
    assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") <= 2
    check_nothing_is_left(modo)


def zipped(path, entries):
    """A zip file; an entry is its name, or what zipfile has of it, and its bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for info, data in entries:
            file.writestr(info, data)
    return path


def entry(name, **fields):
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def patch_directory(path, old, new):
    """Change bytes of the last entry of a directory alone."""
    data = bytearray(path.read_bytes())
    at = data.rfind(old)
    data[at : at + len(old)] = new
    path.write_bytes(data)
    return path


def move_last_onto_first(path):
    """The directory says that the last entry begins where the first does."""
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 42 : at + 46] = struct.pack("<L", 0)
    path.write_bytes(data)


def hide_directory(path):
    """A whole zip file in the comment of another."""
    with zipfile.ZipFile(path.with_name("y.zip"), "w") as other:
        other.writestr("zarr.json", "{}")
    hidden = path.with_name("y.zip").read_bytes()
    with zipfile.ZipFile(path, "a") as file:
        file.comment = hidden


ROOT = '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
BAD_ZIPS = {
    "up": ([("../out", b"x")], None, r"\.\./out"),
    "absolute": ([("/out", b"x")], None, "/out"),
    "backslash": ([("a\\b", b"x")], None, r"a\\\\b"),
    "an escape": ([(f"a{ESC}", b"x")], None, r"a\\u001b\[31m"),
    "a link": ([(entry("a", create_system=3, external_attr=0o120777 << 16), b"/etc/passwd")], None, "a is a link or a device"),
    "bzip2": ([(entry("a", compress_type=zipfile.ZIP_BZIP2), b"x")], None, "a is compressed in a way that is not read"),
    "lzma": ([(entry("a", compress_type=zipfile.ZIP_LZMA), b"x")], None, "a is compressed in a way that is not read"),
    "over each other": ([("a", b"x" * 100), ("b", b"y" * 100)], move_last_onto_first, "lies over"),
    "a directory in the comment": ([("a", b"x")], hide_directory, "the directory is not where|could be its end"),
    "another name inside": ([("aa", b"x")], lambda path: patch_directory(path, b"aa", b"a\0"), "another name than it says"),
    "another local name": ([("ab", b"x")], lambda path: patch_directory(path, b"ab", b"ac"), "ac in it is damaged"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_hostile_zip_files_are_refused_and_leave_nothing(modo, tmp_path, case):
    given, change, told = BAD_ZIPS[case]
    path = zipped(tmp_path / "x.zarr.zip", [("zarr.json", ROOT), *given])
    if change:
        change(path)
    with pytest.raises(InvalidInputError, match=told) as caught:
        modo.add_element(ELEMENT, path)
    assert "x.zarr.zip" in caught.value.message and len(caught.value.message.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    check_nothing_is_left(modo)


def test_a_zip_file_that_declares_more_than_is_there(modo, tmp_path):
    path = zipped(tmp_path / "x.zarr.zip", [("zarr.json", ROOT), (entry("a", compress_type=zipfile.ZIP_DEFLATED), bytes(10_000))])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<L", 3_000_000_000)
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="a in it "):
        modo.add_element(ELEMENT, path)
    check_nothing_is_left(modo)


@pytest.mark.sweep(1)
def test_millions_of_entries_are_not_held(tmp_path):
    """In little memory: the end of the file tells how many there are."""
    from modos.storage.zip_format import write_end

    size = 3_000_000 * 46
    with open(tmp_path / "x.zarr.zip", "wb") as file:
        file.truncate(size)
        file.seek(0, 2)
        file.write(write_end(3_000_000, ByteRange(0, size)))
    code = (
        "import resource, sys\nfrom modos.errors import InvalidInputError\nfrom modos.trees.tree_sources import ZippedTree\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    ZippedTree(sys.argv[1])\nexcept InvalidInputError as error:\n    print(error.message, error.hint)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.zarr.zip"], capture_output=True, text=True)
    assert done.returncode == 0 and "3,000,000 entries" in done.stdout and "give the folder" in done.stdout, done.stderr


@pytest.mark.parametrize("how", ["added", "removed", "rewritten", "rewritten alike"])
@pytest.mark.parametrize("sealing", [False, True])
def test_a_tree_that_changed_after_its_last_file_was_read_is_not_added(modo, tree, how, sealing, monkeypatch):
    """What is read is a state that there was: a chunk that came or went meanwhile would be a fill value in silence."""
    chunk = tree / "large" / "c" / "0"
    if sealing:
        me = SecretKey.random()
        modo.add_element(ELEMENT, write_tree(tree.with_name("old.zarr"), seed=7))
        modo.encrypt(me.public)
        before = (modo["data/m"]["data_path"], files(modo.storage))
    original = tree_sources.TreeSource.check_unchanged

    def change_first(self, known):
        if how == "added":
            (tree / "a" / "small" / "c" / "9").mkdir(parents=True)
            (tree / "a" / "small" / "c" / "9" / "0").write_bytes(b"more")
        elif how == "removed":
            chunk.unlink()
        else:
            data = chunk.read_bytes()
            chunk.write_bytes(data[::-1] if how == "rewritten" else data)
        original(self, known)

    monkeypatch.setattr(tree_sources.TreeSource, "check_unchanged", change_first)
    with pytest.raises(ConflictError, match="was changed or removed|was added") as caught:
        modo.update_element("data/m", {}, tree) if sealing else modo.add_element(ELEMENT, tree)
    assert "counts.zarr/" in caught.value.message
    if sealing:
        assert (modo["data/m"]["data_path"], files(modo.storage)) == before and modo.find_problems() == []
    else:
        check_nothing_is_left(modo)


@pytest.fixture
def at_s3(stack, tree, tmp_path):
    """The tree at S3: its address, the options to open it, and its storage."""
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.storage import open_storage

    url = f"s3://{BUCKET}/hostile/{tmp_path.name}/counts.zarr"
    storage = open_storage(url, s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    for name, data in contents(tree).items():
        storage.write(name, data)
    return url, {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}, storage


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_chunk_that_is_rewritten_while_it_is_read_is_not_added(tmp_path, tree, where, request, monkeypatch):
    """By bytes of the same number: neither the old nor the new, nor some of both."""
    source, storage, options = tree, None, {}
    if where == "s3":
        source, options, storage = request.getfixturevalue("at_s3")
    kind = tree_sources.StoredTree if storage else FolderTree
    modo, original, done = MODO.create(tmp_path / "ex", id="ex", **options), kind.iter_bytes, []

    def change_after_first(pieces):
        for piece in pieces:
            yield piece
            if not done:
                done.append(True)
                if storage:
                    storage.write("large/c/1", bytes(240_000))
                else:
                    (tree / "large/c/1").write_bytes(bytes(240_000))

    def read_and_change(source, file):
        pieces = original(source, file)
        yield from change_after_first(pieces) if file.name.endswith("large/c/1") else pieces

    monkeypatch.setattr(tree_sources, "_PIECE", 50_000)
    monkeypatch.setattr(kind, "iter_bytes", read_and_change)
    with pytest.raises(ConflictError, match="counts.zarr/large/c/1 was changed or removed"):
        modo.add_element(ELEMENT, source)
    assert done
    check_nothing_is_left(modo)


@pytest.mark.parametrize("name", ["a\\b", "a//b", "../x/y", f"a{ESC}"])
def test_keys_at_s3_that_are_no_names_are_refused(tmp_path, at_s3, name):
    url, options, storage = at_s3
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=options["services"]["s3"],
        region_name="us-east-1",
        aws_access_key_id=options["s3_kwargs"]["key"],
        aws_secret_access_key=options["s3_kwargs"]["secret"],
    )
    client.put_object(Bucket=storage._bucket, Key=f"{storage._prefix}/{name}", Body=b"x")
    modo = MODO.create(tmp_path / "ex", id="ex", **options)
    with pytest.raises(InvalidInputError, match=r"is not a path|control characters") as caught:
        modo.add_element(ELEMENT, url)
    assert "counts.zarr" in caught.value.message
    check_nothing_is_left(modo)


def test_a_file_that_became_a_device_is_not_read_on_and_on(modo, tree, monkeypatch):
    if os.geteuid():
        pytest.skip("only root makes devices")
    path, original = tree / "large" / "c" / "1", FolderTree.iter_bytes

    def change_and_read(source, file):
        if path.is_file():
            path.unlink()
            os.mknod(path, 0o020600, os.makedev(1, 5))  # zeros without end
        yield from original(source, file)

    monkeypatch.setattr(FolderTree, "iter_bytes", change_and_read)
    monkeypatch.setattr(staging, "count_cores", lambda: 1)
    with pytest.raises(ConflictError, match="was changed or removed"):
        modo.add_element(ELEMENT, tree)
    check_nothing_is_left(modo)


def test_names_that_differ_by_case_and_absent_chunks_are_legal(modo, tree):
    for name in ("B", "b"):
        shutil.copytree(tree / "large", tree / name)
    (tree / "large" / "c" / "1").unlink()
    modo.add_element(ELEMENT, tree)
    assert stored(modo.storage, "counts.zarr") == contents(tree) and modo.find_problems() == []
    assert (modo["data/m"].to_zarr()["large"][30_000:] == 0).all()


def test_control_characters_in_names_and_attributes_reach_no_terminal_and_no_page(modo, tmp_path):
    """Names of axes and modalities are lifted into metadata; names of groups and types are drawn."""
    folder = tmp_path / "image.zarr"
    axis = {"axes": [{"name": f"x{ESC}"}, {"name": "</td><script>"}], "datasets": [{"path": "0"}]}
    root = zarr.open_group(folder, mode="w", attributes={"ome": {"multiscales": [axis]}, "note": f"n{ESC}"})
    root.create_array("0", shape=(2, 3), dtype="u1")
    root.create_group("<script>alert(1)</script>")
    try:
        modo.add_element(ELEMENT, folder)
    except ModosError as error:
        assert ESC not in error.message
    for words in (["show", tmp_path / "ex"], ["show", tmp_path / "ex", "data/m"], ["show", "--zarr", tmp_path / "ex", "m"]):
        done = commands.run(words, capture_output=True)
        assert done.returncode == 0 and b"\x1b" not in done.stdout + done.stderr
    page = modo["data/m"]._repr_html_()
    assert "\x1b" not in page and "<script>" not in page and "\x1b" not in modo["data/m"].to_zarr().store.__repr__()


def digest(data, part=PART):
    return DigestList(Layout((len(data),), part), digest_parts(data, part))


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"], ["../x", "a"], ["a", "a/../../b"], ["/etc/passwd"], ["a", "b\x1b"]])
def test_a_list_of_names_that_is_none_is_refused(modo, tree, names):
    """Even where the root is that of such a list: an object that others made."""
    modo.add_element(ELEMENT, tree)
    listed = "".join(f"{name}\n" for name in names).encode()
    digests = join_lists([digest(listed), *[digest(b"")] * len(names)])
    put(modo.storage, files_name("counts.zarr"), listed)
    put(modo.storage, parts_name("counts.zarr"), digests.to_bytes())
    with modo.transaction() as transaction:
        transaction._make(Update("data/m", {"data_digest": digests.root}, transaction.view.element("data/m")))
    with pytest.raises(IntegrityError) as caught:
        modo["data/m"].to_zarr()
    assert "\x1b" not in caught.value.message
    findings = modo.find_problems()
    assert [finding.kind for finding in findings] == ["list"] and [f.kind for f in modo.mend(findings)] == ["checksum"]
    modo.remove_element("data/m")
    assert modo.find_problems() == [] and stored(modo.storage, "counts.zarr") == {}


@pytest.mark.parametrize(
    "places",
    [
        {"zarr.json": (0, 500), "x": (400, 600)},
        {"zarr.json": (500, 600), "x": (0, 400)},
        {"zarr.json": (0, 1 << 40)},
        {"x": (0, 10), "a": (10, 20)},
        {"../x": (0, 10)},
    ],
)
def test_a_sealed_list_of_places_that_lie_anywhere_is_refused(places):
    """Whoever sealed it: no file is cut short, or part of another, in silence."""

    class Body:
        url = "there"

    key = bytes(32)
    listed = b"".join(body.encrypt([write_places({name: ByteRange(*place) for name, place in places.items()})], key, 1))
    manifest = Manifest.make_sealed("m.zarr.c4gh", listed, [digest(bytes(2000), SEALED)])
    opened = type("Opened", (), {"edits": None, "keys": [key]})()
    with pytest.raises(IntegrityError):
        DecryptedFiles(Body(), manifest, opened)


def test_reading_metadata_of_a_gigabyte_is_an_error_of_one_line(modo, tree):
    """As an object that others made may have it, below its root."""
    with open(tree / "large" / "zarr.json", "r+b") as file:
        file.truncate(100 << 20)
    modo.add_element(ELEMENT, tree)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntegrityError, match=r"large/zarr\.json has 104,857,600 bytes, too many for metadata"):
        modo["data/m"].to_zarr()["large"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
