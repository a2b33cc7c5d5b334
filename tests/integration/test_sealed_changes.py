"""What an encrypted element says is of the file that it has, whatever way that was changed; and a `.c4gh` file is one."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.encryption.body import SEALED, encrypt
from modos.encryption.header import encrypt_header
from modos.encryption.keys import SecretKey, generate
from modos.encryption.stored import read_stored_header
from modos.errors import AlreadyExistsError, ConflictError, DecryptError, IntegrityError, InvalidInputError, NotFoundError
from modos.object.changes import Update
from modos.storage import open_storage
from tests.support.hard_files import CONTIGS, index_reads, write_reads

pytestmark = pytest.mark.sweep(15)

ME, HER, NEW = SecretKey.random(), SecretKey.random(), SecretKey.random()
OF_SEALED = ("plain_checksum", "plain_size", "seal_digest", "header_digests", "recipients", "sender")
NOT_KNOWN = {"plain_checksum", "plain_size", "recipients"}  # of a file that somebody else has sealed


def sealed_bytes(plain, *readers):
    return encrypt_header(bytes(32), [reader.public for reader in readers or (ME,)]) + b"".join(
        map(bytes, encrypt([plain], bytes(32)))
    )


@pytest.fixture(params=["folder", "s3"])
def modo(request, example, tmp_path, stack):
    """An object whose data are encrypted for two people."""
    if request.param == "folder":
        shutil.copytree(example / "ex", tmp_path / "ex")
        modo = MODO.open(tmp_path / "ex")
    else:
        from modos.demo.stack import CREDENTIALS

        modo = MODO.open(example / "ex").upload(
            f"s3://modos-demo/changes/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS
        )
    modo.encrypt([ME.public, HER.public])
    return modo


@pytest.fixture
def ex(example, tmp_path):
    """The same, in a folder."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    modo.encrypt([ME.public, HER.public])
    return modo


@pytest.fixture(scope="module")
def other_reads(tmp_path_factory):
    """A BAM with its index that no object has."""
    return index_reads(write_reads(tmp_path_factory.mktemp("reads") / "new.bam", CONTIGS, 3000)).path


def counted(path, *regions):
    """Records, by samtools."""
    return int(subprocess.run(["samtools", "view", "-c", str(path), *regions], capture_output=True, check=True, text=True).stdout)


def files(modo):
    return {
        info.key: modo.storage.read(info.key)[0]
        for info in modo.storage.iter_files()
        if not info.key.startswith(("data.zarr/", ".modos/"))
    }


def state(modo):
    return files(modo), modo.metadata


def assert_true(modo, element, plain, readers):
    """All that is said of an encrypted element is so, and nobody else can read it."""
    told = modo.metadata[element]
    assert told["recipients"] == [str(reader.public) for reader in readers]
    assert [one.packets for one in modo.recipients() if one.element_id == element] == [len(readers)]
    for reader in readers:
        assert modo.verify_encryption(reader, [element]) == [element]
        assert b"".join(modo.file(told["data_path"], secret_key=reader).iter_bytes()) == plain
    assert told["plain_size"] == len(plain)
    assert modo.find_problems(secret_key=readers[0], thorough=True) == []


@pytest.mark.sweep(1)
@pytest.mark.parametrize("has_index", [True, False])
def test_a_plain_file_that_replaces_an_encrypted_one_is_encrypted_for_its_recipients(modo, other_reads, tmp_path, has_index):
    source = tmp_path / "new.bam"
    shutil.copy(other_reads, source)
    if has_index:
        shutil.copy(f"{other_reads}.bai", f"{source}.bai")
    plain, before = source.read_bytes(), modo.metadata["data/demo2"]
    modo.update_element("demo2", {"description": "again"}, source)
    assert modo.metadata["data/demo2"]["description"] == "again"
    assert modo.metadata["data/demo2"]["data_path"] == "demo2~2.bam.c4gh"
    assert not any(modo.metadata["data/demo2"][slot] == before[slot] for slot in OF_SEALED[:4])
    stored = files(modo)
    assert [name for name in stored if name.startswith("demo2")] == [
        "demo2~2.bam.bai.c4gh",
        "demo2~2.bam.c4gh",
        "demo2~2.bam.c4gh.parts",
    ]
    assert not any(data[:2] == b"\x1f\x8b" or plain[100:300] in data for name, data in stored.items() if name.startswith("demo2"))
    assert_true(modo, "data/demo2", plain, [ME, HER])
    assert modo.count("demo2.bam", "chr1", secret_key=HER) == counted(other_reads, "chr1")


def test_a_file_of_another_format_is_encrypted_as_what_it_is(ex, example):
    ex.update_element("demo2", {"data_path": "other.cram"}, example / "ex/demo1.cram", plain=False)
    told = ex.metadata["data/demo2"]
    assert told["data_format"] == "CRAM" and told["data_path"] == "other.cram.c4gh"
    assert_true(ex, "data/demo2", (example / "ex/demo1.cram").read_bytes(), [ME, HER])


@pytest.mark.parametrize("data_path", ["demo2.bam", "demo2.bam.c4gh", "there.bam", "there.bam.c4gh"])
def test_a_data_path_may_be_that_of_the_plain_file(ex, other_reads, data_path):
    ex.update_element("demo2", {"data_path": data_path}, other_reads)
    there = "demo2~2.bam.c4gh" if "demo2" in data_path else "there.bam.c4gh"
    assert ex.metadata["data/demo2"]["data_path"] == there
    assert_true(ex, "data/demo2", other_reads.read_bytes(), [ME, HER])


def test_a_description_of_the_plain_files_brings_an_encrypted_object_up_to_date(example, tmp_path, other_reads):
    source, place = tmp_path / "source", tmp_path / "ex"
    shutil.copytree(example / "source", source)
    modo = MODO.from_file(source / "modo.yaml", place)
    modo.encrypt([ME.public, HER.public])
    before = state(modo)
    assert MODO.compare_with_file(source / "modo.yaml", place) == []
    assert state(MODO.from_file(source / "modo.yaml", place)) == before
    modo.share(ME, NEW.public)
    before = state(MODO.open(place))
    assert state(MODO.from_file(source / "modo.yaml", place)) == before
    shutil.copy(other_reads, source / "demo2.bam")
    shutil.copy(f"{other_reads}.bai", source / "demo2.bam.bai")
    (difference,) = MODO.compare_with_file(source / "modo.yaml", place)
    assert set(difference.slots) == {"data_path"}  # and not that nobody could open it
    modo = MODO.from_file(source / "modo.yaml", place)
    assert_true(modo, "data/demo2", other_reads.read_bytes(), [ME, HER, NEW])
    assert not [name for name in files(modo) if name.endswith((".bam", ".bai"))]


@pytest.mark.sweep(1)
def test_the_same_plain_file_changes_nothing(modo, example):
    before = state(modo)
    modo.update_element("demo2", {}, example / "ex/demo2.bam")
    modo.update_element("demo2", {"data_path": "demo2.bam"}, example / "ex/demo2.bam")
    assert state(modo) == before


def test_a_file_stays_plain_where_that_is_said(ex, other_reads, example):
    ex.update_element("demo2", {}, other_reads, plain=True)
    told = ex.metadata["data/demo2"]
    assert told["data_path"] == "demo2~2.bam" and not set(OF_SEALED) & set(told)
    assert (ex.path / "demo2~2.bam").read_bytes() == other_reads.read_bytes()
    assert not list(ex.path.glob("demo2*.c4gh")) and ex.find_problems(thorough=True) == []
    ex.update_element("demo1", {}, example / "ex/demo1.cram", plain=True)  # the content that it has already, encrypted
    assert ex.metadata["data/demo1"]["data_path"] == "demo1~2.cram" and ex.find_problems(thorough=True) == []


def test_without_recorded_recipients_nothing_is_brought(tmp_path, other_reads):
    (tmp_path / "a.bam.c4gh").write_bytes(sealed_bytes(other_reads.read_bytes(), ME, HER))
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, tmp_path / "a.bam.c4gh")
    before = state(modo)
    with pytest.raises(InvalidInputError, match="for whom is not recorded") as refused:
        modo.update_element("a", {}, other_reads)
    assert "--plain" in refused.value.hint and state(modo) == before
    modo.update_element("a", {}, other_reads, plain=True)
    assert modo.metadata["data/a"]["data_path"] == "a~2.bam" and modo.find_problems() == []


def test_who_is_not_recorded_and_loses_access_is_told_of(ex, other_reads, caplog):
    with ex.transaction() as change:
        change._make(Update("data/demo2", {"recipients": [str(ME.public)]}, change.view.element("data/demo2")))
    ex.update_element("demo2", {}, other_reads)
    assert "2 packets, and 1 of its recipients is recorded" in caplog.text
    assert_true(ex, "data/demo2", other_reads.read_bytes(), [ME])


def test_an_encrypted_file_that_replaces_one_takes_the_digests_of_the_old_one_away(ex, other_reads, tmp_path, caplog):
    """Whether the old file was encrypted or plain."""
    ex.decrypt(ME, elements=["demo1"])
    source = tmp_path / "x.bam.c4gh"
    source.write_bytes(sealed_bytes(other_reads.read_bytes(), NEW, HER, ME))
    (tmp_path / "x.bam.bai.c4gh").write_bytes(sealed_bytes((other_reads.parent / f"{other_reads.name}.bai").read_bytes(), NEW))
    for element, name in (("demo2", "demo2~2.bam.c4gh"), ("demo1", "x.bam.c4gh")):
        ex.update_element(element, {}, source)
        told = ex.metadata[f"data/{element}"]
        assert not NOT_KNOWN & set(told) and told["data_path"] == name and told["data_format"] == "BAM"
        assert f"data/{element}: the file was encrypted before, with 3 packets" in caplog.text
        assert ex.count(name, secret_key=NEW) == counted(other_reads)
    assert [problem for problem in ex.find_problems(secret_key=NEW) if not problem.harmless] == []


def test_another_header_on_the_same_body_is_another_file(ex, tmp_path):
    """As a tool makes it that seals the header for somebody else: size and body are the same."""
    data = (ex.path / "demo2.bam.c4gh").read_bytes()
    source = tmp_path / "demo2.bam.c4gh"
    source.write_bytes(data)
    before = state(ex)
    ex.update_element("demo2", {}, source)
    assert state(ex) == before
    header = read_stored_header(open_storage(tmp_path), source.name)[0]
    source.write_bytes(header.reencrypt(ME, [NEW.public, HER.public], keep=False) + data[header.size :])
    ex.update_element("demo2", {}, source)
    told = ex.metadata["data/demo2"]
    assert not NOT_KNOWN & set(told) and [one.opens for one in ex.recipients(NEW) if one.element_id == "data/demo2"] == [True]


def test_another_file_of_the_object_takes_the_digests_away(ex, other_reads):
    shutil.copy(other_reads, ex.path / "beside.bam")
    (ex.path / "sealed.bam.c4gh").write_bytes(sealed_bytes(b"x" * 100, NEW))
    for path in ("sealed.bam.c4gh", "beside.bam"):
        ex.update_element("demo2", {"data_path": path})
        assert not set(OF_SEALED) & set(ex.metadata["data/demo2"]) and ex.metadata["data/demo2"]["data_path"] == path
    (ex.path / "broken.bam.c4gh").write_bytes(b"x" * 100)
    (ex.path / "hidden.bam").write_bytes(sealed_bytes(b"x" * 100))
    for path in ("broken.bam.c4gh", "hidden.bam"):
        with pytest.raises(IntegrityError, match="Crypt4GH"):
            ex.update_element("demo2", {"data_path": path})
    with pytest.raises(IntegrityError, match="Crypt4GH"):
        ex.add_element({"id": "b", "@type": "AlignmentSet", "data_path": "broken.bam.c4gh", "data_format": "BAM"})


@pytest.mark.parametrize("slot", OF_SEALED)
def test_nobody_sets_by_hand_what_is_told_of_encrypted_files(ex, slot):
    before = state(ex)
    wrong = {
        "plain_checksum": "0" * 128,
        "plain_size": 7,
        "seal_digest": "0" * 128,
        "recipients": [str(NEW.public)],
        "header_digests": ["0" * 128],
        "sender": str(NEW.public),
    }[slot]
    for value in (wrong, None) if slot in ex.metadata["data/demo2"] else (wrong,):
        with pytest.raises(InvalidInputError, match=f"{slot} cannot be set"):
            ex.update_element("demo2", {slot: value})
    with pytest.raises(InvalidInputError, match=f"{slot} cannot be set"):
        ex.add_element({"id": "n", "@type": "AlignmentSet", "data_path": "n.bam", "data_format": "BAM", slot: wrong})
    assert state(ex) == before
    ex.update_element("demo2", ex.metadata["data/demo2"])  # what it says already
    assert state(ex) == before


def test_somebody_who_shares_meanwhile_does_not_lose(ex, other_reads):
    with pytest.raises((ConflictError, AlreadyExistsError)):
        with ex.transaction() as change:
            change.update_element("demo2", {}, other_reads)
            MODO.open(ex.path).share(ME, NEW.public)
    ex = MODO.open(ex.path)
    assert str(NEW.public) in ex.metadata["data/demo2"]["recipients"] and ex.find_problems(secret_key=NEW) == []


PLAIN = b"a\tb\n" * 40_000
WHOLE = sealed_bytes(PLAIN)
BROKEN = {
    "plain": PLAIN,
    "empty": b"",
    "magic": b"crypt4gx" + WHOLE[8:],
    "version": WHOLE[:8] + b"\2" + WHOLE[9:],
    "no packets": WHOLE[:12] + bytes(4) + WHOLE[16:],
    "many packets": WHOLE[:12] + b"\xff" * 4 + WHOLE[16:],
    "in magic": WHOLE[:5],
    "in start": WHOLE[:14],
    "in length": WHOLE[:18],
    "in packet": WHOLE[:60],
    "a packet more": WHOLE[:12] + b"\2" + WHOLE[13:],
    "short packet": WHOLE[:16] + struct.pack("<I", 20) + WHOLE[20:],
    "long packet": WHOLE[:16] + struct.pack("<I", 1 << 30) + WHOLE[20:],
    "endless packet": WHOLE[:16] + b"\xff" * 4 + WHOLE[20:],
    "no key": WHOLE[:16] + struct.pack("<I", 76) + WHOLE[20:92] + WHOLE[124:],
    "unknown method": WHOLE[:20] + b"\7" + WHOLE[21:],
    "one byte in a segment": WHOLE[: 124 + SEALED + 1],
    "no byte in a segment": WHOLE[: 124 + SEALED + 28],
    "trailing": WHOLE[: 124 + 2 * SEALED] + b"more",
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_crypt4gh_is_refused_and_told_of(modo, tmp_path, how):
    """Where it comes in, and where it is already; with few bytes read."""
    source = tmp_path / "t.tsv.c4gh"
    source.write_bytes(BROKEN[how])
    element = {"id": "t", "@type": "DataEntity", "data_format": "TSV", "data_path": "t.tsv.c4gh"}
    before = state(modo)
    for change in (
        lambda: modo.add_element(element, source),
        lambda: modo.update_element("demo2", {}, source),
        lambda: modo.update_element("demo2", {}, source, plain=True),
    ):
        with pytest.raises(DecryptError, match="no whole Crypt4GH file"):
            change()
    assert state(modo) == before
    source.write_bytes(WHOLE)
    modo.add_element(element, source)
    assert modo.find_problems() == []
    modo.storage.delete("t.tsv.c4gh")
    modo.storage.write("t.tsv.c4gh", BROKEN[how])
    name = modo.metadata["data/demo2"]["data_path"].removesuffix(".c4gh") + ".bai.c4gh"
    modo.storage.delete(name)
    modo.storage.write(name, BROKEN[how])
    with modo.transaction() as change:
        change._make(Update("data/t", {"data_size": len(BROKEN[how]), "data_checksum": None}, change.view.element("data/t")))
    found = {(one.kind, one.where) for one in modo.find_problems(checksums=False) if not one.harmless}
    assert found == {("seal", "data/t"), ("seal", "data/demo2")}


def test_checking_reads_little_of_each_file(ex, monkeypatch):
    storage, real, counted = type(ex.storage), type(ex.storage).read_part, {}

    def counting(self, name, start, end, **options):
        data, info = real(self, name, start, end, **options)
        counted.setdefault(name, []).append(len(data))
        return data, info

    monkeypatch.setattr(storage, "read_part", counting)
    assert ex.find_problems(checksums=False) == []
    sealed = {name: reads for name, reads in counted.items() if name.endswith(".c4gh")}
    assert len(sealed) == 10 and all(len(reads) == 1 and sum(reads) <= 4096 for reads in sealed.values())


@pytest.mark.parametrize("index", ["bai.c4gh", "bai"])
def test_an_index_is_what_its_name_says(tmp_path, other_reads, index):
    """Sealed beside a sealed file, and plain beside a plain one."""
    suffix = ".c4gh" if index.endswith(".c4gh") else ""
    plain, own = other_reads.read_bytes(), (other_reads.parent / f"{other_reads.name}.bai").read_bytes()
    (tmp_path / f"a.bam{suffix}").write_bytes(sealed_bytes(plain) if suffix else plain)
    (tmp_path / f"a.bam.{index}").write_bytes(own if suffix else sealed_bytes(own))
    modo = MODO(tmp_path / "ex")
    with pytest.raises(IntegrityError):
        modo.add_element({"id": "a", "@type": "AlignmentSet"}, tmp_path / f"a.bam{suffix}")
    assert files(modo) == {}


@pytest.mark.parametrize("name", ["x.bam", "x.cram", "x.tsv", "x", "x.fa", "x.c4gh.bam", "x.bam.C4GH"])
def test_crypt4gh_under_another_name_is_refused(ex, tmp_path, name):
    source = tmp_path / name
    source.write_bytes(WHOLE)
    element = {"id": "x", "@type": "DataEntity", "data_format": "TSV"}
    ex.decrypt(ME, elements=["demo1", "reference1"])
    ex.encrypt([ME.public, HER.public], elements=["demo1"])
    before = state(ex)
    for change in (
        lambda: ex.add_element(element, source),
        lambda: ex.add_element(element | {"data_path": "y"}, source),
        lambda: ex.update_element("reference1", {}, source),
    ):
        with pytest.raises(InvalidInputError, match=r"encrypted \(Crypt4GH\)") as refused:
            change()
        assert ".c4gh" in refused.value.hint
    if not name.endswith((".c4gh", ".C4GH")):
        (ex.path / f"there-{name}").write_bytes(WHOLE)
        with pytest.raises(IntegrityError, match="says that it is not"):
            ex.add_element(element | {"data_path": f"there-{name}"})
        (ex.path / f"there-{name}").unlink()
    assert files(ex).keys() == before[0].keys()
    ex.add_element(element | {"data_path": "x.tsv.c4gh"}, source.rename(tmp_path / "blob"))  # its name in the object says so
    assert ex.find_problems() == []


def test_crypt4gh_under_another_name_is_told_of_and_not_encrypted_again(ex):
    ex.decrypt(ME)
    data = sealed_bytes((ex.path / "demo2.bam").read_bytes())
    (ex.path / "demo2.bam").write_bytes(data)
    with ex.transaction() as change:
        change._make(Update("data/demo2", {"data_size": len(data), "data_checksum": None}, change.view.element("data/demo2")))
    assert [(one.kind, one.where) for one in ex.find_problems() if not one.harmless] == [("seal", "data/demo2")]
    before = files(ex)
    with pytest.raises(IntegrityError, match="says that it is not"):
        ex.encrypt(ME.public)
    assert files(ex) == before


def test_what_others_make_is_taken(tmp_path, other_reads):
    """The crypt4gh package, for several people, with an edit list, and of nothing at all."""
    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    package = [sys.executable, "-m", "crypt4gh"]
    modo = MODO(tmp_path / "ex")
    for name, plain, options in (
        ("a", PLAIN, []),
        ("empty", b"", []),
        ("exact", bytes(1 << 17), []),
        ("one", b"x", []),
        ("ranged", PLAIN, ["--range", "70000-80000"]),
    ):
        sealed = subprocess.run(
            [*package, "encrypt", "--recipient_pk", tmp_path / "me.pub"], input=plain, capture_output=True, check=True
        ).stdout
        if options:
            sealed = subprocess.run(
                [*package, "rearrange", "--sk", tmp_path / "me.sec", *options], input=sealed, capture_output=True, check=True
            ).stdout
        source = tmp_path / f"{name}.tsv.c4gh"
        source.write_bytes(sealed)
        modo.add_element({"id": name, "@type": "DataEntity", "data_format": "TSV"}, source)
    assert modo.find_problems() == [] and len(modo.verify_encryption(tmp_path / "me.sec")) == 5


@pytest.mark.sweep(1)
def test_encrypting_for_more_people_is_refused_whole(modo):
    """Where a file is encrypted already; the same people are fine, and get what is new."""
    modo.decrypt(ME, elements=["demo1"])
    before = state(modo)
    for readers, elements in (([NEW], None), ([ME, NEW], None), ([NEW], ["demo2"]), ([NEW], ["demo1", "demo2"])):
        with pytest.raises(InvalidInputError, match="data/demo2") as refused:
            modo.encrypt([reader.public for reader in readers], elements=elements)
        assert "share" in refused.value.hint and state(modo) == before
    with pytest.raises(InvalidInputError):
        modo.encrypt([HER.public], NEW)
    assert modo.encrypt([HER.public, ME.public]) == ["data/demo1"]
    assert modo.encrypt(ME.public) == [] == modo.encrypt([ME.public], HER)
    modo.share(ME, NEW.public)
    assert modo.encrypt([NEW.public, ME.public]) == []


def test_nothing_is_written_where_a_key_is_taken(ex, other_reads):
    (ex.path / "taken.bam.c4gh").write_bytes(WHOLE)
    before = state(ex)
    with pytest.raises(AlreadyExistsError):
        ex.update_element("demo2", {"data_path": "taken.bam"}, other_reads)
    with pytest.raises(NotFoundError):
        ex.update_element("demo2", {}, "nowhere.bam")
    assert state(ex) == before
