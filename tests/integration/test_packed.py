"""An object in one file: the same as in its folder, wherever the file is, and only read."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import zarr

from modos.api import MODO
from modos.errors import (
    AccessError,
    AlreadyExistsError,
    ChecksumMismatch,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    ProtocolError,
)
from modos.formats import is_list
from modos.storage.local import LocalStorage
from modos.storage.zip_format import ALIGNMENT, place_data
from tests.faults.conftest import Place, bams, check_whole, fail, interrupted, killed_at, place  # noqa: F401 - fixtures
from tests.integration.test_trees import write_tree
from tests.support.commands import run
from tests.support.ranges import RangeServer

pytestmark = pytest.mark.sweep(22)

REGION = "chr1:1,000-9,000"


@pytest.fixture(scope="module")
def folder(example, tmp_path_factory):
    """An object with reads, variants, a reference, tracks, and a tree."""
    path = tmp_path_factory.mktemp("packed") / "ex"
    shutil.copytree(example / "ex", path)
    modo = MODO.open(path)
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(path.parent / "counts.zarr"))
    modo.add_genome(path / "reference.fa")
    wiggle = path.parent / "signal.bedGraph"
    wiggle.write_text("".join(f"chr1\t{at}\t{at + 10}\t{at / 7:.3f}\n" for at in range(0, 60_000, 10)))
    modo.add_track("signal", wiggle)
    return path


@pytest.fixture(scope="module")
def packed(folder):
    """It, packed."""
    MODO.open(folder).pack(folder.parent / "ex.zip")
    return folder.parent / "ex.zip"


@pytest.fixture(params=["local", "http", "s3"])
def there(request, packed, tmp_path):
    """It, opened at each kind of place."""
    if request.param == "local":
        yield MODO.open(packed)
    elif request.param == "http":
        with RangeServer(packed.parent) as server:
            yield MODO.open(f"{server.url}/ex.zip")
    else:
        at = request.getfixturevalue("s3_place")
        yield at.open(put_s3(at, packed))


@pytest.fixture
def s3_place(stack, tmp_path):
    from modos.demo.stack import BUCKET, CREDENTIALS

    return Place(f"s3://{BUCKET}/packed/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)


def put_s3(at: Place, path) -> str:
    from modos.storage import open_storage

    data = path.read_bytes()
    storage = open_storage(at.root, s3_url=at.options["services"]["s3"], s3_kwargs=at.options["s3_kwargs"])
    storage.write_stream(path.name, [data], size=len(data))
    return f"{at.root}/{path.name}"


def reads(modo, file="demo1.cram"):
    return [record.to_string() for record in modo.stream_genomics(file, REGION)]


def digest(path):
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".modos" not in path.parts
    }


def test_a_packed_object_is_the_object(there, folder):
    """Metadata, files, records, tracks and trees are those of the folder, at each place."""
    plain = MODO.open(folder)
    assert there.metadata == plain.metadata and there.checksum() == plain.checksum()
    assert [path.relative_to(there.path) for path in there.list_files()] == sorted(
        path.relative_to(folder) for path in plain.list_files()
    )
    for file in ("demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf"):
        found, wanted = ([str(r) for r in modo.stream_genomics(file, REGION)] for modo in (there, plain))
        assert len(found) == len(wanted) > 0
    assert reads(there) == reads(plain)
    assert there.count("demo2.bam", REGION) == plain.count("demo2.bam", REGION)
    assert np.array_equal(there.genome["chr1"][5:5000], plain.genome["chr1"][5:5000])
    assert np.array_equal(zarr.open_group(there["data/m"].store, mode="r")["large"][:], plain["data/m"].to_zarr()["large"][:])
    assert there.measure() == plain.measure()
    assert [str(f) for f in there.find_problems()] == [str(f) for f in plain.find_problems()] == []
    if there._object.address.s3_kwargs is None:  # secrets are not pickled
        assert reads(pickle.loads(pickle.dumps(there))) == reads(plain)


def test_it_comes_out_as_it_went_in(there, folder, tmp_path):
    there.unpack(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    assert check_whole(LocalStorage(tmp_path / "out")) == []


def test_the_same_object_gives_the_same_bytes(there, packed, tmp_path):
    """Of the folder, of its copy, of what was packed; whatever the times."""
    assert digest(there.pack(tmp_path / "a.zip").path) == digest(packed)
    time.sleep(0.01)
    copy = there.unpack(tmp_path / "copy")
    assert digest(copy.pack(tmp_path / "b.zip").path) == digest(packed)


def test_it_is_only_read(there, bams):  # noqa: F811
    """Each way of changing it says so, and what to do."""
    for change in (
        lambda: there.add_element({"id": "s", "@type": "Sample"}),
        lambda: there.add_element({"id": "d", "@type": "AlignmentSet"}, bams / "a.bam"),
        lambda: there.update_element("data/demo1", {"description": "x"}),
        lambda: there.remove_element("data/demo1"),
        lambda: there.remove_track("signal"),
        there.remove_object,
        there.update_date,
    ):
        with pytest.raises(AccessError, match=r"ex\.zip: an object in one file is only read") as caught:
            change()
        assert "modos unpack" in caught.value.hint and caught.value.exit_code == 4


def test_other_programs_read_it(packed, folder):
    """Python, unzip, and zarr's ZipStore; every file is a range of bytes that begins at a multiple of 64."""
    with zipfile.ZipFile(packed) as file:
        assert file.testzip() is None
        assert {info.filename: file.read(info) for info in file.infolist()} == contents(folder)
        data = packed.read_bytes()
        for info in file.infolist():
            start = place_data(info.filename, info.file_size, info.header_offset)
            assert start % ALIGNMENT == 0 and data[start : start + info.file_size] == file.read(info)
        assert file.infolist()[-1].filename == "data.zarr/zarr.json"
    group = zarr.open_group(zarr.storage.ZipStore(packed, mode="r"), path="data.zarr", mode="r")
    wanted = dict(MODO.open(folder).zarr.attrs)
    assert dict(group.attrs) == {name: value for name, value in wanted.items() if name != "_modos"}
    assert set(group["data"]) == set(MODO.open(folder).zarr["data"])
    tree = zarr.open_group(zarr.storage.ZipStore(packed, mode="r"), path="counts.zarr", mode="r")
    assert np.array_equal(tree["large"][:], MODO.open(folder)["data/m"].to_zarr()["large"][:])


def test_what_info_zip_makes_is_read(folder, tmp_path):
    """`zip -0` of the folder: an object in one file, too."""
    if not shutil.which("zip"):
        pytest.skip("needs zip")
    import subprocess

    subprocess.run(["zip", "-0qr", tmp_path / "z.zip", "."], cwd=folder, check=True)
    assert reads(MODO.open(tmp_path / "z.zip")) == reads(MODO.open(folder))
    subprocess.run(["zip", "-9qr", tmp_path / "c.zip", "."], cwd=folder, check=True)
    with pytest.raises(InvalidInputError, match="compressed"):
        MODO.open(tmp_path / "c.zip")


def test_a_file_is_made_only_where_there_is_none(folder, packed, tmp_path):
    modo = MODO.open(folder)
    before = digest(packed)
    with pytest.raises(AlreadyExistsError):
        modo.pack(packed)
    assert digest(packed) == before
    with pytest.raises(InvalidInputError, match="in the object itself"):
        modo.pack(folder / "x.zip")
    with pytest.raises(InvalidInputError, match="ends with .zip"):
        modo.pack(tmp_path / "x.tar")
    with pytest.raises(InvalidInputError, match="not an object in one file"):
        modo.unpack(tmp_path / "x")
    for make in (MODO, MODO.create, modo.download):
        with pytest.raises(InvalidInputError, match="in one file"):
            make(tmp_path / "new.zip")
    with pytest.raises(NotFoundError):
        MODO.open(tmp_path / "new.zip")
    assert list(tmp_path.iterdir()) == []


def test_on_s3(folder, packed, s3_place, tmp_path):
    """Packed to S3 in parts, of a folder and of S3, the same bytes; unpacked to S3."""
    at = s3_place
    modo = MODO.open(folder)
    there = modo.pack(f"{at.root}/p.zip", **at.options)
    assert reads(there) == reads(modo)
    below, key = there.storage.as_file()
    assert hashlib.blake2b(below.read(key)[0]).hexdigest() == digest(packed)
    copy = there.unpack(f"{at.root}/copy", **at.options)
    assert copy.metadata == modo.metadata and check_whole(copy.storage) == []
    again = copy.pack(f"{at.root}/q.zip", **at.options)
    assert below.read("q.zip")[0] == below.read("p.zip")[0] and again.metadata == modo.metadata
    with pytest.raises(AlreadyExistsError):
        modo.pack(f"{at.root}/p.zip", **at.options)
    with pytest.raises(InvalidInputError, match="one file"):
        modo.upload(f"{at.root}/new.zip", **at.options)


def test_an_object_in_a_folder_called_zip_is_still_read(folder, s3_place, tmp_path):
    shutil.copytree(folder, tmp_path / "old.zip")
    assert MODO.open(tmp_path / "old.zip").metadata == MODO.open(folder).metadata
    MODO.open(folder).upload(f"{s3_place.root}/plain", **s3_place.options)
    storage = s3_place.open(f"{s3_place.root}/plain").storage
    for info in list(storage.iter_files()):
        storage.as_file()[0].write(f"old.zip/{info.key}", storage.read(info.key)[0])
    assert s3_place.open(f"{s3_place.root}/old.zip").metadata == MODO.open(folder).metadata


def test_few_requests_over_http(packed):
    """Opened by one look and one range, for directory and root document; a region by few more, and nothing is read twice."""
    with RangeServer(packed.parent) as server:
        modo = MODO.open(f"{server.url}/ex.zip")
        assert modo.metadata
        assert [method for method, *_ in server.requests] in (["HEAD", "GET"], ["HEAD", "GET", "HEAD"])
        reads(modo, "demo2.bam")
        gets = [request for request in server.requests if request[0] == "GET"]
        assert len(gets) == len(set(gets)) <= 12
        assert all(range_ for *_, range_ in gets)


SIGNED = "X-Amz-Credential=AKIA%2F20261127%2Fs3&X-Amz-Signature=0a1b2c"


def test_a_signed_address(packed, folder, tmp_path):
    """What is signed is good for GET of that path alone; the signature is in no message, no URL and no pickle."""
    with RangeServer(packed.parent, query=SIGNED) as server:
        url = f"{server.url}/ex.zip?{SIGNED}"
        modo = MODO.open(url)
        assert modo.metadata == MODO.open(folder).metadata and reads(modo) == reads(MODO.open(folder))
        assert modo.find_problems() == [] and modo.storage.url == f"{server.url}/ex.zip"
        for given in (f"{url}/demo1.cram", f"{server.url}/ex.zip/demo1.cram?{SIGNED}", f"{url}/data/demo1"):
            done = run(["stream", "-c", given], capture_output=True)
            assert (
                done.returncode == 0 and done.stdout == run(["stream", "-c", folder / "demo1.cram"], capture_output=True).stdout
            )
        assert run(["unpack", url, tmp_path / "out"], capture_output=True).returncode == 0
        assert contents(tmp_path / "out") == contents(folder)
        for wrong, code in ((f"{server.url}/ex.zip?X-Amz-Signature=ff", 4), (f"{server.url}/ex.zip", 4), (f"{url}/no.cram", 3)):
            done = run(["stream", f"{wrong}/x" if code == 4 else wrong], capture_output=True)
            assert done.returncode == code and b"Signature" not in done.stdout + done.stderr, done.stderr
        for whole in (modo, modo.storage):
            with pytest.raises(AccessError, match="signature is not pickled"):
                pickle.dumps(whole)


def test_an_address_that_s3_signs(folder, s3_place, tmp_path):
    packed = MODO.open(folder).pack(f"{s3_place.root}/signed.zip", **s3_place.options)
    above, key = packed.storage.as_file()
    assert MODO.open(above.presign(key, 600)).metadata == MODO.open(folder).metadata


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_at_a_modos_server(packed, folder, tmp_path, where, request):
    """It is opened by its URL, whole and by ranges, by whoever may read it; no other zip file is given out."""
    from modos.server.app import create_app
    from modos.server.auth import Access
    from modos.server.rules import Rule, Rules
    from modos.server.run import BackgroundServer
    from modos.storage import open_storage

    if where == "folder":
        (tmp_path / "served" / "lab").mkdir(parents=True)
        storage = open_storage(tmp_path / "served")
    else:
        place = request.getfixturevalue("s3_place")
        storage = open_storage(
            f"{place.root}/served", s3_url=place.options["services"]["s3"], s3_kwargs=place.options["s3_kwargs"]
        )
    storage.write_stream("lab/ex.zip", [packed.read_bytes()], size=packed.stat().st_size)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("notes.txt", "mine")
    storage.write("lab/other.zip", (tmp_path / "other.zip").read_bytes())
    storage.write("lab/broken.zip", b"PK\3\4")
    with BackgroundServer(create_app(storage)) as server:
        url = f"{server.url}/files/lab/ex.zip"
        modo = MODO.open(url)
        assert modo.metadata == MODO.open(folder).metadata and reads(modo) == reads(MODO.open(folder))
        assert np.array_equal(modo["data/m"].to_zarr()["large"][:], MODO.open(folder)["data/m"].to_zarr()["large"][:])
        assert modo.find_problems() == [] and run(["check", url], capture_output=True).returncode == 0
        for name in ("other.zip", "broken.zip", "no.zip"):
            assert run(["show", f"{server.url}/files/lab/{name}"], capture_output=True).returncode == 3, name
        assert run(["--endpoint", server.url, "remote", "list"], capture_output=True).stdout == b""
    access = Access({}, Rules((Rule(frozenset({"anyone"}), ("other",), ()),)))
    with BackgroundServer(create_app(storage, access=access)) as server:
        assert run(["show", f"{server.url}/files/lab/ex.zip"], capture_output=True).returncode == 4


def test_a_server_without_ranges(packed):
    with RangeServer(packed.parent, has_ranges=False) as server, pytest.raises(ProtocolError, match="range"):
        MODO.open(f"{server.url}/ex.zip").metadata
    with RangeServer(packed.parent, has_tags=False) as server:
        assert MODO.open(f"{server.url}/ex.zip").metadata == MODO.open(packed).metadata
        with pytest.raises(NotFoundError):
            MODO.open(f"{server.url}/none.zip")


@pytest.mark.parametrize("has_tags", [True, False])
def test_a_file_that_changes_at_a_server(packed, folder, tmp_path, has_tags):
    """What was opened is not mixed with another state; the object is the new one when it is looked at again."""
    other = shutil.copytree(folder, tmp_path / "other")
    MODO.open(other).update_element("data/demo1", {"description": "another"})
    shutil.copy(packed, tmp_path / "x.zip")
    with RangeServer(tmp_path, has_tags=has_tags) as server:
        modo = MODO.open(f"{server.url}/x.zip")
        MODO.open(other).pack(tmp_path / "y.zip")
        os.replace(tmp_path / "y.zip", tmp_path / "x.zip")
        with pytest.raises(ConflictError, match="changed"):
            modo.storage.read("calls.vcf.gz")
        modo.refresh()
        assert modo.metadata["data/demo1"]["description"] == "another"
        assert modo.storage.read("calls.vcf.gz")[0] == (folder / "calls.vcf.gz").read_bytes()


def entries_of(packed):
    with zipfile.ZipFile(packed) as file:
        return [
            (i.filename, place_data(i.filename, i.file_size, i.header_offset), i.file_size, i.header_offset)
            for i in file.infolist()
        ]


def test_a_flipped_byte_anywhere_is_found(packed, tmp_path):
    """In each entry: its first, middle and last byte, and in its header. `modos check` fails, or says so."""
    path = tmp_path / "x.zip"
    shutil.copy(packed, path)
    with open(path, "r+b", buffering=0) as file:
        for name, start, size, header in entries_of(packed):
            for at in {header + 7, header + 14, header + 33, *((start, start + size // 2, start + size - 1) if size else ())}:
                byte = os.pread(file.fileno(), 1, at)
                os.pwrite(file.fileno(), bytes([byte[0] ^ 4]), at)
                try:
                    findings = [str(f) for f in MODO.open(path).find_problems() if not f.harmless]
                    assert any(name in finding for finding in findings), f"{name} at {at - start}"
                except (IntegrityError, InvalidInputError):
                    assert name == "data.zarr/zarr.json", f"{name} at {at - start}"
                os.pwrite(file.fileno(), byte, at)
    assert MODO.open(path).find_problems() == []


def test_a_file_that_is_cut_short(packed, tmp_path):
    data, path = packed.read_bytes(), tmp_path / "x.zip"
    for size in (0, 10, 1000, len(data) // 2, len(data) - 1000, len(data) - 22, len(data) - 1):
        path.write_bytes(data[:size])
        done = run(["check", path], capture_output=True)
        assert done.returncode == 6 and done.stderr.count(b"\n") <= 2, size
        assert b"Traceback" not in done.stderr


def test_damage_does_not_come_out(packed, tmp_path):
    """Neither by streaming nor by unpacking nor by packing again."""
    path, data = tmp_path / "x.zip", bytearray(packed.read_bytes())
    start, size = next((start, size) for name, start, size, _ in entries_of(packed) if name == "demo2.bam")
    for at in range(start + 100, start + size - 100, 500):
        data[at] ^= 1
    path.write_bytes(data)
    modo = MODO.open(path)
    with pytest.raises(ChecksumMismatch):
        reads(modo, "demo2.bam")
    for copy in (lambda: modo.unpack(tmp_path / "out"), lambda: modo.pack(tmp_path / "y.zip")):
        with pytest.raises(ChecksumMismatch, match=r"demo2\.bam"):
            copy()
    assert not (tmp_path / "y.zip").exists() and not MODO.exists(tmp_path / "out")


def test_a_damaged_object_is_not_packed(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "ex")
    data = bytearray((copy / "demo2.bam").read_bytes())
    data[5000] ^= 1
    (copy / "demo2.bam").write_bytes(data)
    with pytest.raises(ChecksumMismatch):
        MODO.open(copy).pack(tmp_path / "x.zip")
    (copy / "demo2.bam").unlink()
    with pytest.raises(IntegrityError, match="no file"):
        MODO.open(copy).pack(tmp_path / "x.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["ex"]


def test_an_object_that_changes_meanwhile(folder, tmp_path, monkeypatch):
    """A commit while it is packed: an error, and no file. A change under way: refused at once."""
    copy = shutil.copytree(folder, tmp_path / "ex")
    modo, original = MODO.open(copy), LocalStorage.iter_range
    plan = modo.plan_packing()

    def change(self, key, *given, **named):
        if key == "reference.fa":
            monkeypatch.undo()
            MODO.open(copy).remove_element("data/demo2")
        return original(self, key, *given, **named)

    monkeypatch.setattr(LocalStorage, "iter_range", change)
    with pytest.raises(ConflictError, match="changed while it was packed"):
        modo.pack(tmp_path / "x.zip", plan=plan)
    assert [path.name for path in tmp_path.iterdir()] == ["ex"]

    begun, end = threading.Event(), threading.Event()

    def slowly(count):
        begun.set()
        end.wait(60)

    thread = threading.Thread(
        target=lambda: MODO.open(copy).add_element({"id": "z", "@type": "AlignmentSet"}, folder / "demo2.bam", progress=slowly)
    )
    thread.start()
    try:
        assert begun.wait(60)
        with pytest.raises(ConflictError, match="somebody is changing"):
            modo.pack(tmp_path / "x.zip")
    finally:
        end.set()
        thread.join()
    assert not (tmp_path / "x.zip").exists()
    modo.pack(tmp_path / "x.zip")
    assert "data/z" in MODO.open(tmp_path / "x.zip").metadata


def test_what_an_interrupted_change_left_is_not_packed(folder, packed, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "ex")
    assert killed_at(
        4, lambda: MODO.open(copy).add_element({"id": "z", "@type": "AlignmentSet", "data_path": "z.bam"}, folder / "demo2.bam")
    )
    assert (copy / "z.bam").exists()
    assert list((copy / ".modos").glob("*.json"))
    MODO.open(copy).pack(tmp_path / "x.zip")
    assert digest(tmp_path / "x.zip") == digest(packed)


def test_killed_while_packing(folder, tmp_path):
    """Nothing of that name; the next attempt removes what was left."""
    modo = MODO.open(folder)
    assert killed_at(1, lambda: modo.pack(tmp_path / "x.zip"))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    modo.pack(tmp_path / "x.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]
    assert MODO.open(tmp_path / "x.zip").metadata == modo.metadata


def test_stopped_while_packing(folder, place):  # noqa: F811
    """An error half-way leaves nothing, here and on S3."""
    target, modo = f"{place.new()}.zip", MODO.open(folder)
    with interrupted(1, fail), pytest.raises(ModosError, match="line broke"):
        modo.pack(target, **place.options)
    with pytest.raises(NotFoundError):
        place.open(target)
    assert modo.pack(target, **place.options).metadata == modo.metadata


@pytest.mark.sweep(1)
@pytest.mark.parametrize("end", ["again", "check", "changed"])
def test_killed_while_packing_to_s3(s3_place, tmp_path, end):
    """The upload is on record: the next attempt goes on with it, whatever the object is by then, or a check removes it."""
    (tmp_path / "big.tsv").write_bytes(np.random.default_rng(3).bytes(50 << 20))
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity"}, tmp_path / "big.tsv")
    target, options = f"{s3_place.root}/x.zip", s3_place.options
    with interrupted(10**9, fail) as begun:
        modo.pack(f"{s3_place.root}/other.zip", **options)
    assert killed_at(len(begun) - 3, lambda: modo.pack(target, **options))
    above = s3_place.open(f"{s3_place.root}/other.zip").storage.as_file()[0]
    assert [one.name.partition("?")[0] for one in above.partial_writes()] == ["x.zip"]
    with pytest.raises(NotFoundError):
        s3_place.open(target)
    if end == "check":
        assert [
            f.kind for f in MODO.find_rest(s3_place.root, None, options["services"], options["s3_kwargs"], older_than=0, fix=True)
        ]
    else:
        if end == "changed":
            (tmp_path / "big.tsv").write_bytes(np.random.default_rng(4).bytes(50 << 20))
            modo.update_element("data/big", {}, tmp_path / "big.tsv")
        assert modo.pack(target, **options).find_problems() == []
    assert above.partial_writes() == [] and not list(above.iter_files(".modos"))


def test_unpacking_is_gone_on_with(packed, folder, tmp_path):
    """After a kill at any step the same command ends it."""
    for at in (1, 5, 9, 14):
        out = tmp_path / f"out{at}"
        assert killed_at(at, lambda out=out: MODO.open(packed).unpack(out))
        assert not MODO.exists(out)
        MODO.open(packed).unpack(out)
        assert contents(out) == contents(folder)


def test_commands(folder, packed, tmp_path):
    """What people see, and the codes that programs do."""
    done = run(["pack", folder, tmp_path / "x.zip"], capture_output=True)
    files = [path for path in MODO.open(folder).list_files() if not is_list(path.name)]
    assert done.returncode == 0 and done.stdout == b"" and done.stderr.startswith(b"packed ")
    assert f"{len(files)} files" in done.stderr.decode() or b"files" in done.stderr
    assert digest(tmp_path / "x.zip") == digest(packed)
    done = run(["stream", "-r", "chr1:1000-9000", "-O", "sam", tmp_path / "x.zip/demo1.cram"], capture_output=True)
    plain = run(["stream", "-r", "chr1:1000-9000", "-O", "sam", folder / "demo1.cram"], capture_output=True)
    assert done.returncode == 0 and done.stdout == plain.stdout
    for words in (
        ["show", "{}"],
        ["show", "{}", "data", "--json"],
        ["show", "{}", "--zarr"],
        ["track", "query", "{}", "chr1:1-1000"],
    ):
        found, wanted = (run([word.format(at) for word in words], capture_output=True) for at in (packed, folder))
        assert (found.returncode, found.stdout) == (wanted.returncode, wanted.stdout), words
    assert run(["diff", folder, packed], capture_output=True).returncode == 0
    done = run(["update", packed, "data/demo1", "-e", '{"description": "x"}'], capture_output=True)
    assert done.returncode == 4 and b"only read" in done.stderr and b"modos unpack" in done.stderr
    assert run(["pack", folder, packed], capture_output=True).returncode == 1
    assert run(["check", packed], capture_output=True).returncode == 0
    assert run(["unpack", packed, tmp_path / "out", "--dry-run"], capture_output=True).stdout.count(b"+ ") > 5
    assert run(["unpack", packed, tmp_path / "out", "--include", "*.cram"], capture_output=True).returncode == 0
    assert (tmp_path / "out" / "demo1.cram").exists() and not (tmp_path / "out" / "demo2.bam").exists()


def test_a_closed_pipe(packed):
    """Whoever reads no more ends it, without words."""
    from tests.support.commands import start

    with open(os.devnull, "wb") as null, start(["stream", "-O", "sam", packed / "demo1.cram"], stdout=-1, stderr=null) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(60) in (141, -signal.SIGPIPE)


def test_encrypted_files(folder, tmp_path):
    """They stay so: the key opens them in place, and damage of their headers and bodies is found."""
    from modos.encryption.keys import generate

    secret, public = tmp_path / "me.sec", tmp_path / "me.pub"
    generate(secret, public, None)
    copy = shutil.copytree(folder, tmp_path / "ex")
    modo = MODO.open(copy)
    modo.encrypt([public])
    packed = modo.pack(tmp_path / "x.zip")
    records = [record.to_string() for record in packed.stream_genomics("demo1.cram", REGION, secret_key=secret)]
    assert records == reads(MODO.open(folder))
    plain = MODO.open(folder)["data/m"].to_zarr()["large"][:]
    assert np.array_equal(packed["data/m"].to_zarr(secret_key=secret)["large"][:], plain)
    assert packed.find_problems(secret_key=secret) == []
    with pytest.raises(AccessError):
        packed.decrypt(secret)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    for name, start, size, _ in entries_of(tmp_path / "x.zip"):
        if name.endswith(".c4gh"):
            for at in (start + 3, start + 60, start + size - 1):
                data[at] ^= 1
                (tmp_path / "y.zip").write_bytes(data)
                assert [f for f in MODO.open(tmp_path / "y.zip").find_problems() if not f.harmless], name
                data[at] ^= 1


def test_commands_over_http(folder, packed, tmp_path):
    """A region of a file, the metadata, a check, and a copy, by the URL of the file."""
    with RangeServer(packed.parent) as server:
        url = f"{server.url}/ex.zip"
        for words in (
            ["stream", "-c", "-r", "chr1:1000-9000", "{}/demo1.cram"],
            ["stream", "-c", "{}/data/demo2"],
            ["show", "{}", "data/demo1"],
        ):
            found, wanted = (run([word.format(at) for word in words], capture_output=True) for at in (url, folder))
            assert found.returncode == 0 and found.stdout == wanted.stdout, (words, found.stderr)
        assert run(["check", url], capture_output=True).returncode == 0
        assert run(["unpack", url, tmp_path / "out"], capture_output=True).returncode == 0
        assert contents(tmp_path / "out") == contents(folder)
        done = run(["show", f"{server.url}/none.zip"], capture_output=True)
        assert done.returncode == 3 and done.stderr.count(b"\n") <= 2
        done = run(["stream", f"{url}/none.cram"], capture_output=True)
        assert done.returncode == 3


def test_a_part_that_a_killed_unpacking_left_beside_its_whole_file_goes(packed, folder, tmp_path):
    """A file is there by its name before the name of its part goes; a part of that name that is another file stays."""
    out = tmp_path / "out"
    code = (
        "import os, signal, sys; from modos.api import MODO; unlink = os.unlink\n"
        "def kill(path, *rest, **named):\n"
        "    return os.kill(os.getpid(), signal.SIGKILL) if '/.cohort.bcf.' in str(path) and '.csi' not in str(path) else unlink(path, *rest, **named)\n"
        f"os.unlink = kill; MODO.open({str(packed)!r}).unpack({str(out)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -signal.SIGKILL
    assert (out / "cohort.bcf").exists() and [name for name in contents(out) if name.endswith(".part")]
    MODO.open(packed).unpack(out)
    assert contents(out) == contents(folder)
