"""What is recorded of sealed files and of the plain ones is so after every change, in objects with digests and without."""

from __future__ import annotations

import hashlib
import shutil
import threading

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from modos.api import MODO
from modos.demo.stack import CREDENTIALS
from modos.encryption import body
from modos.encryption.header import read_header
from modos.encryption.keys import SecretKey
from modos.errors import ChecksumMismatch, IntegrityError, InvalidInputError
from modos.formats import is_encrypted
from modos.formats.crypt4gh import SEALED
from modos.object.changes import Update
from modos.storage.part_digests import DigestList, Layout, digest_parts, root_of
from tests.support.hard_files import CONTIGS, index_reads, write_reads
from tests.support.proxy import Proxy

FILES = {"demo1.cram": "data/demo1", "demo2.bam": "data/demo2", "calls.vcf.gz": "data/calls", "cohort.bcf": "data/cohort"}
INDEXES = {"demo1.cram": ".crai", "demo2.bam": ".bai", "calls.vcf.gz": ".tbi", "cohort.bcf": ".csi"}
ME, FRIEND = SecretKey.random(), SecretKey.random()


@pytest.fixture
def modo(example, tmp_path):
    """An object of one's own."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


def set_slots(modo, element_id, **slots):
    with modo.transaction() as transaction:
        transaction._make(Update(element_id, slots, transaction.view.element(element_id)))


def make_old(modo):
    """The object as a version without digests has left it: of sealed files it has the checksum of the body."""
    for element_id in FILES.values():
        told = modo.metadata[element_id]
        slots = dict.fromkeys(slot for slot in ("data_digest", "index_digests", "plain_digest") if slot in told)
        if is_encrypted(told["data_path"]):
            slots["data_checksum"] = hashlib.blake2b(body_of(modo, told["data_path"])).hexdigest()
        set_slots(modo, element_id, **slots)
        modo.storage.delete(f"{told['data_path']}.parts")


def body_of(modo, key):
    data = modo.storage.read(key)[0]
    return data[read_header(lambda start, end: data[start:end]).size :] if is_encrypted(key) else data


def list_of(modo, key):
    part, data = SEALED if is_encrypted(key) else 1 << 16, body_of(modo, key)
    return DigestList(Layout((len(data),), part), digest_parts(data, part))


def assert_true(modo, plain, *, recorded=True):
    """All that is said of the files is so; the lists are there, and no others."""
    lists = set()
    for name, element_id in FILES.items():
        told = modo.metadata[element_id]
        path, sealed = told["data_path"], is_encrypted(told["data_path"])
        digests, index = list_of(modo, path), told["data_path"].removesuffix(".c4gh") + INDEXES[name]
        roots = [list_of(modo, index + ".c4gh" if sealed else index).root]
        assert told["plain_checksum" if sealed else "data_checksum"] == hashlib.blake2b(plain[name]).hexdigest()
        assert told["plain_size" if sealed else "data_size"] == len(plain[name])
        assert told["data_size"] == modo.storage.stat(path).size
        if not recorded:
            assert not {"data_digest", "index_digests"} & told.keys()
            continue
        assert told["data_digest"] == digests.root and told["index_digests"] == roots
        assert ("plain_digest" in told, "data_checksum" in told) == (sealed, not sealed)
        assert told.get("plain_digest", root_of(plain[name])) == root_of(plain[name])
        if len(digests.digests) > 32:
            lists.add(f"{path}.parts")
            assert modo.storage.read(f"{path}.parts")[0] == digests.to_bytes()
    stored = {info.key for info in modo.storage.iter_files() if info.key.endswith(".parts") and "reference" not in info.key}
    assert stored == lists
    if recorded:
        assert modo.find_problems() == []


@pytest.mark.parametrize("old", [False, True], ids=["with digests", "without"])
def test_there_and_back(modo, old):
    plain = {name: modo.storage.read(name)[0] for name in FILES}
    if old:
        make_old(modo)
    modo.encrypt([ME.public])
    assert_true(modo, plain)
    if old:
        make_old(modo)
    modo.decrypt(ME)
    assert_true(modo, plain)


@pytest.mark.parametrize("old", [False, True], ids=["with digests", "without"])
def test_new_headers_leave_the_digests_and_new_bodies_have_others(modo, old):
    plain = {name: modo.storage.read(name)[0] for name in FILES}
    modo.encrypt([ME.public])
    if old:
        make_old(modo)
    before = modo.metadata
    modo.share(ME, FRIEND.public)
    assert_true(modo, plain, recorded=not old)
    modo.revoke(ME, FRIEND.public)
    assert_true(modo, plain, recorded=not old)
    for element_id in FILES.values():
        for slot in ("data_digest", "plain_digest", "index_digests", "data_checksum"):
            assert modo.metadata[element_id].get(slot) == before[element_id].get(slot)
    modo.revoke(ME, [], rotate=True)
    assert_true(modo, plain)
    assert all(modo.metadata[i]["data_digest"] != before[i].get("data_digest") for i in FILES.values())
    modo.decrypt(ME)
    assert_true(modo, plain)


def test_a_list_that_is_gone_is_made_anew_when_a_file_is_shared(modo):
    plain = {name: modo.storage.read(name)[0] for name in FILES}
    modo.encrypt([ME.public])
    modo.storage.delete("demo2.bam.c4gh.parts")
    modo.share(ME, FRIEND.public)
    assert_true(modo, plain)
    name = modo.metadata["data/demo2"]["data_path"]
    modo.storage.delete(f"{name}.parts")
    data = modo.storage.read(name)[0]
    modo.storage.delete(name)
    modo.storage.write(name, data[:-1] + bytes([data[-1] ^ 1]))
    before = modo.metadata
    with pytest.raises(ChecksumMismatch, match="segments were changed"):
        modo.revoke(ME, FRIEND.public)
    assert MODO.open(modo.storage.url).metadata == before


def test_a_plain_file_in_the_place_of_a_sealed_one(modo, tmp_path):
    modo.encrypt([ME.public])
    plain = {name: b"".join(modo.file(name, secret_key=ME).iter_bytes()) for name in FILES}
    source = index_reads(write_reads(tmp_path / "new.bam", CONTIGS, 9000)).path
    modo.update_element("demo2", {}, source)
    plain["demo2.bam"] = source.read_bytes()
    assert_true(modo, plain)
    before = modo.metadata
    modo.update_element("demo2", {}, source)
    assert modo.metadata == before  # it is the same file, which its digest tells
    make_old(modo)
    before = modo.metadata
    modo.update_element("demo2", {}, source)
    assert modo.metadata == before  # which its checksum tells


@pytest.mark.parametrize("name", ["demo2.bam", "demo2.bam.bai"])
@pytest.mark.parametrize("old", [False, True], ids=["with digests", "without"])
def test_what_is_not_as_recorded_is_not_sealed(modo, name, old):
    """And what is there stays; of an index nothing was recorded before."""
    if old:
        make_old(modo)
    data = bytearray(modo.storage.read(name)[0])
    data[len(data) // 2] ^= 1
    modo.storage.delete(name)
    modo.storage.write(name, bytes(data))
    before, files = modo.metadata, {info.key for info in modo.storage.iter_files()}
    if old and name.endswith(".bai"):
        modo.encrypt([ME.public], elements=["demo2"])
        return
    with pytest.raises(ChecksumMismatch, match=name):
        modo.encrypt([ME.public])
    modo = MODO.open(modo.storage.url)
    assert modo.metadata == before and {info.key for info in modo.storage.iter_files()} == files


def test_plain_bytes_are_compared_when_a_file_is_decrypted(modo):
    modo.encrypt([ME.public])
    set_slots(modo, "data/demo2", plain_digest="0" * 64)
    with pytest.raises(Exception, match="is not what was sealed"):
        modo.decrypt(ME)
    make_old(modo)
    set_slots(modo, "data/demo2", plain_checksum="0" * 128)
    with pytest.raises(Exception, match="is not what was sealed"):
        modo.decrypt(ME)
    set_slots(modo, "data/demo2", plain_checksum=None)
    modo.decrypt(ME)
    told = modo.metadata["data/demo2"]
    assert "data_checksum" not in told and told["data_digest"] == list_of(modo, "demo2.bam").root


def test_a_region_takes_the_same_round_trips_as_one_that_is_not_compared(example, tmp_path, stack):
    """Digests come beside the header and the index: all of these are asked for before one is answered, and then the region."""
    source = index_reads(write_reads(tmp_path / "far.bam", CONTIGS, 20_000)).path
    with Proxy(stack.s3) as proxy:
        address = f"s3://modos-demo/rounds/{tmp_path.name}"
        modo = MODO.create(address, services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        modo.add_element({"id": "far", "@type": "AlignmentSet"}, source)
        modo.encrypt(ME.public)
        assert modo.storage.exists("far.bam.c4gh.parts")

        def take(*first):
            """Count the records of a region, whose requests are these, all under way at once, and one more; and its bytes."""
            opened = MODO.open(address, services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
            assert "data/far" in opened.metadata
            under_way = threading.Barrier(len(first))

            def hold(proxy, handler, answer):
                if proxy.count <= len(first):
                    under_way.wait(30)

            proxy.requests.clear()
            proxy.answered, proxy.fault = 0, hold
            count = opened.count("far.bam", "chr2:1-100", secret_key=ME)
            proxy.fault = None
            names = [path.rpartition("/")[2] for _, path, _ in proxy.requests]
            assert sorted(names[: len(first)]) == sorted(first) and names[len(first) :] == ["far.bam.c4gh"]
            return count, proxy.answered

        verified = take("far.bam.c4gh", "far.bam.bai.c4gh", "far.bam.c4gh.parts")
        set_slots(modo, "data/far", data_digest=None, index_digests=None)
        plain = take("far.bam.c4gh", "far.bam.bai.c4gh")
    assert verified[0] == plain[0] > 0 and verified[1] <= plain[1] + (192 << 10)


def test_digests_are_not_set_by_hand(modo):
    for slots in ({"data_digest": "0" * 64}, {"index_digests": ["0" * 64]}, {"plain_digest": "0" * 64}):
        with pytest.raises(InvalidInputError, match="cannot be set"):
            modo.update_element("data/demo2", slots)
    told = modo.metadata["data/demo2"]
    modo.update_element("data/demo2", {"data_digest": told["data_digest"], "description": "same"})
    assert modo.metadata["data/demo2"]["description"] == "same"


@pytest.mark.parametrize(
    "change",
    [
        lambda modo: modo.decrypt(ME, elements=["data/demo2"]),
        lambda modo: modo.share(ME, SecretKey.random().public, elements=["data/demo2"]),
        lambda modo: modo.revoke(ME, FRIEND.public, elements=["data/demo2"], rotate=True),
    ],
)
def test_no_plain_index_is_taken_in_place_of_one_with_digests(modo, change):
    """Of the index of an older version, digests were recorded, and nothing of its header."""
    plain = modo.storage.read("demo2.bam.bai")[0]
    modo.encrypt([ME.public, FRIEND.public], ME)
    set_slots(modo, "data/demo2", header_digests=modo.metadata["data/demo2"]["header_digests"][:1])
    modo.storage.delete("demo2.bam.bai.c4gh")
    modo.storage.write_stream("demo2.bam.bai", [plain], size=len(plain))
    before = modo.metadata
    with pytest.raises(IntegrityError, match="is gone, and demo2.bam.bai is not taken"):
        change(modo)
    assert modo.metadata == before and modo.storage.read("demo2.bam.bai")[0] == plain
    assert ("index", "data/demo2") in {(finding.kind, finding.where) for finding in modo.find_problems()}


class Forgetful:
    """A cipher that seals another byte than it was given, once in a while; what it seals can be opened."""

    def __init__(self, key):
        self._cipher = ChaCha20Poly1305(key)

    def encrypt_into(self, nonce, data, associated, out):
        other = bytearray(data)
        if len(other) > 500:
            other[500] ^= 1
        return self._cipher.encrypt_into(nonce, other, associated, out)

    def decrypt_into(self, *given):
        return self._cipher.decrypt_into(*given)


@pytest.mark.parametrize("old", [False, True])
def test_what_is_sealed_is_what_was_given(modo, monkeypatch, old):
    """Whether it is compared by digests that are recorded, or byte by byte."""
    if old:
        make_old(modo)
    before = {path.name: path.read_bytes() for path in modo.path.glob("*.*") if path.is_file()}
    monkeypatch.setattr(body, "ChaCha20Poly1305", Forgetful)
    with pytest.raises(IntegrityError):
        modo.encrypt([ME.public])
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in modo.path.glob("*.*") if path.is_file()} == before
    assert MODO.open(modo.path).find_problems() == []
