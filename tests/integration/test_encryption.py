"""Encrypted objects: in a folder and on S3, whole or by region, with what the crypt4gh package reads and writes."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys

import pytest
from starlette.responses import Response

from modos.api import MODO
from modos.encryption.body import SEALED, encrypt
from modos.encryption.header import encrypt_header
from modos.encryption.keys import SecretKey, generate, load_secret_key
from modos.errors import (
    AccessError,
    ChecksumMismatch,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
)
from modos.genomics import GenomicFile
from modos.genomics.htsget.protocol import Block, Ticket
from modos.genomics.htsget.streams import htsget_source
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.part_digests import root_of
from tests.support.older import forget_digests
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(6)

FILES = {"demo1.cram": "data/demo1", "demo2.bam": "data/demo2", "calls.vcf.gz": "data/calls", "cohort.bcf": "data/cohort"}
ELEMENTS = sorted([*FILES.values(), "reference/reference1"])
REGIONS = ["chr1:5,000-9,000", "chr2", ["chr1:1-3000", "chr2:100-200"], None]


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "me.sec", folder / "me.pub", None)
    return folder / "me.sec", folder / "me.pub"


@pytest.fixture(params=["folder", "s3"])
def modo(request, example, tmp_path, stack):
    """An object of one's own."""
    if request.param == "folder":
        shutil.copytree(example / "ex", tmp_path / "ex")
        return MODO.open(tmp_path / "ex")
    from modos.demo.stack import CREDENTIALS

    return MODO.open(example / "ex").upload(
        f"s3://modos-demo/encrypted/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS
    )


def content(modo):
    return {
        info.key: modo.storage.read(info.key)[0]
        for info in modo.storage.iter_files()
        if not info.key.startswith(("data.zarr/", ".modos/"))
    }


def texts(records):
    return [str(record) for record in records]


def lists_of(modo):
    """Names of the lists of digests of all files that have more than one part."""
    sizes = {a["data_path"]: a.get("plain_size", a["data_size"]) for a in modo.metadata.values() if "data_path" in a}
    return [f"{path}.parts" for path, size in sizes.items() if size > 65_536]


@pytest.mark.core
def test_there_and_back(modo, key):
    secret, public = key
    before, metadata = content(modo), {i: a for i, a in modo.metadata.items() if i.startswith("data/")}
    assert modo.encrypt(public) == ELEMENTS
    encrypted = content(modo)
    files = [name for name in before if not name.endswith(".parts")]
    assert sorted(encrypted) == sorted([*(f"{name}.c4gh" for name in files), *lists_of(modo)])
    assert {name for name in before if name.endswith(".parts")} >= {"demo2.bam.parts"}
    for name in files:
        assert before[name][10:300] not in encrypted[f"{name}.c4gh"]
    for file, element in FILES.items():
        told = modo.metadata[element]
        assert told["data_path"] == f"{file}.c4gh" and told["plain_checksum"] == metadata[element]["data_checksum"]
        assert told["plain_checksum"] == hashlib.blake2b(before[file]).hexdigest() and "data_checksum" not in told
        assert told["plain_digest"] == metadata[element]["data_digest"] == root_of(before[file])
        assert told["data_size"] == len(encrypted[f"{file}.c4gh"]) and told["plain_size"] == metadata[element]["data_size"]
    assert modo.find_problems() == [] and modo.encrypt(public) == []
    assert modo.verify_encryption(secret) == ELEMENTS
    assert modo.decrypt(secret) == ELEMENTS
    assert content(modo) == before and modo.find_problems() == [] and modo.decrypt(secret) == []
    assert {i: a for i, a in modo.metadata.items() if i.startswith("data/")} == metadata


@pytest.mark.core
def test_regions_of_encrypted_files_are_those_of_the_plain_ones(modo, key, example):
    secret, public = key
    modo.encrypt(public)
    plain = MODO.open(example / "ex")
    for file in FILES:
        for region in REGIONS:
            wanted = texts(plain.stream_genomics(file, region))
            assert texts(modo.stream_genomics(file, region, secret_key=secret)) == wanted
            assert modo.count(f"{file}.c4gh", region, secret_key=secret) == len(wanted)
        assert b"".join(modo.file(file, secret_key=secret).iter_bytes()) == (example / "ex" / file).read_bytes()
    assert modo.coverage("demo2.bam", "chr1:1-1000", secret_key=secret).sum() > 0
    with pytest.raises(AccessError, match="encrypted"):
        modo.stream_genomics("demo2.bam", "chr1")
    with pytest.raises(DecryptError, match="not sealed for this key"):
        list(modo.stream_genomics("demo2.bam", "chr1", secret_key=SecretKey.random()))


def test_the_package_reads_our_files_and_we_its(modo, key, tmp_path, example):
    secret, public = key
    modo.encrypt(public, elements=["demo2"])
    assert modo.metadata["data/demo1"]["data_path"] == "demo1.cram"
    package = [sys.executable, "-m", "crypt4gh"]
    data = modo.storage.read("demo2.bam.c4gh")[0]
    opened = subprocess.run([*package, "decrypt", "--sk", secret], input=data, capture_output=True, check=True).stdout
    assert opened == (example / "ex/demo2.bam").read_bytes()
    theirs = tmp_path / "theirs.bam.c4gh"
    for suffix in ("", ".bai"):
        plain = (example / f"ex/demo2.bam{suffix}").read_bytes()
        sealed = subprocess.run([*package, "encrypt", "--recipient_pk", public], input=plain, capture_output=True, check=True)
        theirs.with_name(f"theirs.bam{suffix}.c4gh").write_bytes(sealed.stdout)
    folder = MODO(tmp_path / "other")
    folder.add_element({"id": "theirs", "@type": "AlignmentSet"}, theirs)
    assert "theirs.bam.bai.c4gh" in {path.name for path in folder.list_files()}
    assert folder.count("theirs.bam", "chr1:1-9000", secret_key=secret) == MODO.open(example / "ex").count(
        "demo2.bam", "chr1:1-9000"
    )
    folder.decrypt(secret)
    assert (tmp_path / "other/theirs.bam").read_bytes() == (example / "ex/demo2.bam").read_bytes()


@pytest.mark.sweep(1)
def test_several_recipients_and_a_sender(modo, key):
    secret, public = key
    friend, me = SecretKey.random(), SecretKey.random()
    modo.encrypt([public, friend.public, public], me)
    found = modo.recipients(friend)
    assert [(one.packets, one.opens, len(one.fingerprints)) for one in found] == [(3, True, 3)] * len(ELEMENTS)
    assert [one.opens for one in modo.recipients(me)] == [True] * len(ELEMENTS)
    assert not any(one.opens for one in modo.recipients(SecretKey.random()))
    with pytest.raises(DecryptError, match="by that sender"):
        modo.decrypt(friend, friend.public)
    modo.decrypt(friend, me.public)
    assert modo.recipients() == []
    modo.encrypt([public, friend.public], me, also_me=False)
    assert [(one.packets, one.opens) for one in modo.recipients(me)] == [(2, False)] * len(ELEMENTS)


@pytest.mark.core
@pytest.mark.sweep(1)
def test_sharing_and_revoking(modo, key, example):
    secret, public = key
    friend, third = SecretKey.random(), SecretKey.random()
    modo.encrypt([public, third.public])
    wanted = MODO.open(example / "ex").count("demo2.bam", "chr1")
    digests = {i: a["seal_digest"] for i, a in modo.metadata.items() if "seal_digest" in a}
    assert modo.share(secret, friend.public) == ELEMENTS and modo.share(secret, friend.public) == []
    name = modo.metadata["data/demo2"]["data_path"]
    for reader in (secret, friend, third):
        assert modo.count(name, "chr1", secret_key=reader) == wanted
    assert [(one.packets, len(one.fingerprints)) for one in modo.recipients()] == [(3, 3)] * len(ELEMENTS)
    assert modo.find_problems() == [] and modo.verify_encryption(friend) == ELEMENTS
    assert modo.revoke(secret, third.public) == ELEMENTS and modo.revoke(secret, third.public) == []
    assert {i: a["seal_digest"] for i, a in modo.metadata.items() if "seal_digest" in a} == digests
    assert [one.opens for one in modo.recipients(third)] == [False] * len(ELEMENTS)
    assert [(one.packets, len(one.fingerprints)) for one in modo.recipients(friend)] == [(2, 2)] * len(ELEMENTS)
    modo.revoke(secret, friend.public, ["demo2"], rotate=True)
    assert modo.metadata["data/demo2"]["seal_digest"] != digests["data/demo2"]
    assert modo.find_problems() == []
    for wrong in (friend, third):
        with pytest.raises(DecryptError):
            modo.share(wrong, wrong.public, ["demo2"])
    with pytest.raises(InvalidInputError, match="able to open"):
        modo.revoke(secret, public)
    modo.decrypt(secret)
    assert modo.count(modo.metadata["data/demo2"]["data_path"], "chr1") == wanted and modo.find_problems() == []


def test_a_sealed_source_may_have_any_name(tmp_path, key):
    """What counts for its checksum is told by the name that it gets."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far/blob").write_bytes(
        encrypt_header(bytes(32), [load_secret_key(key[0]).public]) + b"".join(encrypt(iter([b"a\tb\n"]), bytes(32)))
    )
    (tmp_path / "link").symlink_to(tmp_path / "far/blob")
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "DataEntity", "data_format": "TSV", "data_path": "a.tsv.c4gh"}, tmp_path / "link")
    assert modo.find_problems() == [] and modo.verify_encryption(key[0]) == ["data/a"]
    before = modo.metadata["data/a"]
    modo.update_element("data/a", {}, tmp_path / "link")
    assert modo.metadata["data/a"] == before
    modo.decrypt(key[0])
    assert (tmp_path / "ex/a.tsv").read_bytes() == b"a\tb\n"


def test_every_index_comes_along(tmp_path, key, example):
    """A file may have a .bai and a .csi; one that was put there by hand is taken if no digests are recorded."""
    secret, public = key
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet", "data_path": "a.bam"}, example / "ex/demo2.bam")
    subprocess.run(["samtools", "index", "-c", str(tmp_path / "ex/a.bam")], check=True)
    with pytest.raises(ChecksumMismatch, match=r"a\.bam\.csi is not what is recorded"):
        modo.encrypt(public)
    assert {path.name for path in modo.list_files()} == {"a.bam", "a.bam.bai", "a.bam.csi"}
    forget_digests(modo.path)
    modo = MODO.open(modo.path)
    modo.encrypt(public)
    modo.share(secret, SecretKey.random().public)
    assert {path.name for path in modo.list_files()} == {"a~2.bam.c4gh", "a~2.bam.bai.c4gh", "a~2.bam.csi.c4gh"}
    modo.decrypt(secret)
    assert {path.name for path in modo.list_files()} == {"a~2.bam", "a~2.bam.bai", "a~2.bam.csi"}


def test_sharing_on_s3_moves_little(example, tmp_path, stack):
    """The server copies the body."""
    from modos.demo.stack import CREDENTIALS

    me, friend = SecretKey.random(), SecretKey.random()
    source = tmp_path / "large.tsv"
    source.write_bytes(os.urandom(25_000_000))
    with Proxy(stack.s3) as proxy:
        modo = MODO.create(f"s3://modos-demo/share/{tmp_path.name}", services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        modo.add_element({"id": "large", "@type": "DataEntity", "data_format": "TSV"}, source)
        modo.encrypt(me.public)
        proxy.answered = proxy.received = 0
        modo.share(me, friend.public)
        assert proxy.answered + proxy.received < 12_000_000
        assert modo.verify_encryption(friend) == ["data/large"] and modo.find_problems() == []
        modo.decrypt(friend)
    assert modo.storage.read(modo.metadata["data/large"]["data_path"])[0] == source.read_bytes()


def test_the_plain_files_may_stay(modo, key):
    before = content(modo)
    modo.encrypt(key[1], delete=False)
    assert before.items() <= content(modo).items()
    modo.decrypt(key[0])
    assert before.items() <= content(modo).items() and modo.metadata["data/demo2"]["data_path"] == "demo2~2.bam"
    assert modo.storage.read("demo2~2.bam")[0] == modo.storage.read("demo2.bam")[0] and modo.file_name("demo2") == "demo2.bam"


def test_what_cannot_be_encrypted_changes_nothing(modo, key, tmp_path):
    before = content(modo), modo.metadata
    for keys, elements, error in (
        ([], None, InvalidInputError),
        (key[1], ["sample/sample1"], NotFoundError),
        (key[1], ["nothing"], NotFoundError),
        (key[0], None, InvalidInputError),
    ):
        with pytest.raises(error):
            modo.encrypt(keys, elements=elements)
    assert (content(modo), modo.metadata) == before


def put(modo, name, data):
    modo.storage.delete(name)
    modo.storage.write(name, bytes(data))


def test_a_plain_file_that_was_changed_is_not_encrypted(modo, key):
    data = bytearray(modo.storage.read("demo2.bam")[0])
    data[5000] ^= 1
    put(modo, "demo2.bam", data)
    before = content(modo)
    with pytest.raises(ChecksumMismatch):
        modo.encrypt(key[1])
    assert content(modo) == before


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", ["bit", "cut", "segment", "swap", "repeat", "trailing", "header"])
def test_an_encrypted_file_that_was_changed_is_not_decrypted(modo, key, change):
    secret, public = key
    modo.encrypt(public)
    data = modo.storage.read("demo2.bam.c4gh")[0]
    head, body = data[:124], data[124:]
    parts = [body[at : at + SEALED] for at in range(0, len(body), SEALED)]
    assert len(parts) > 3
    changed = {
        "bit": head + body[:70_000] + bytes([body[70_000] ^ 1]) + body[70_001:],
        "cut": data[:-1000],
        "segment": head + b"".join(parts[:-1]),
        "swap": head + b"".join([parts[1], parts[0], *parts[2:]]),
        "repeat": head + b"".join([parts[0], *parts]),
        "trailing": data + b"more",
        "header": b"crypt4gh" + bytes(116) + body,
    }[change]
    put(modo, "demo2.bam.c4gh", changed)
    before = content(modo)
    with pytest.raises(IntegrityError):
        modo.decrypt(secret)
    with pytest.raises(IntegrityError):
        modo.verify_encryption(secret)
    assert content(modo) == before and modo.metadata["data/demo1"]["data_path"] == "demo1.cram.c4gh"


def test_a_wrong_key_changes_nothing(modo, key):
    modo.encrypt(key[1])
    before = content(modo)
    with pytest.raises(DecryptError):
        modo.decrypt(SecretKey.random())
    assert content(modo) == before


def test_a_file_without_an_index_is_encrypted_alone(tmp_path, key):
    source = tmp_path / "notes.tsv"
    source.write_text("a\tb\n")
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "notes", "@type": "DataEntity", "data_format": "TSV"}, source)
    modo.encrypt(key[1])
    assert {path.name for path in modo.list_files()} == {"notes.tsv.c4gh"}
    modo.decrypt(key[0])
    assert (tmp_path / "ex/notes.tsv").read_text() == "a\tb\n"


def test_no_plain_file_is_written_on_the_way(example, tmp_path, key, stack, monkeypatch):
    """Neither for a region nor for S3."""
    from modos.demo.stack import CREDENTIALS

    modo = MODO.open(example / "ex").upload(
        f"s3://modos-demo/nothing/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    opened = []
    real = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, flags, *a, **k: (
            (opened.append(path) if flags & (os.O_WRONLY | os.O_RDWR) and "/dev/" not in str(path) else None)
            or real(path, flags, *a, **k)
        ),
    )
    modo.encrypt(key[1])
    assert modo.count("demo2.bam", "chr1", secret_key=key[0]) > 0
    modo.decrypt(key[0])
    assert opened == []


def test_a_region_opens_few_segments(tmp_path, key, monkeypatch):
    """And fetches few bytes: no more than the plain file takes, and the segments at the edges."""
    from tests.support.hard_files import CONTIGS, index_reads, write_reads

    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, index_reads(write_reads(tmp_path / "a.bam", CONTIGS, 60_000)).path)
    counted = {}
    storage_type = type(open_storage(tmp_path))
    real = storage_type.read_part

    def counting(self, name, start, end, **options):
        data, info = real(self, name, start, end, **options)
        counted[name] = counted.get(name, 0) + len(data)
        return data, info

    monkeypatch.setattr(storage_type, "read_part", counting)
    records = modo.count("a.bam", "chr1:500,000-501,000")
    plain = counted["a.bam"]
    modo.encrypt(key[1])
    counted.clear()
    assert modo.count("a.bam", "chr1:500,000-501,000", secret_key=key[0]) == records
    assert counted["a.bam.c4gh"] <= plain + 4 * SEALED < modo.metadata["data/a"]["data_size"]


def test_modos_errors_only(modo, key):
    with pytest.raises(ModosError):
        modo.encrypt("/nonexistent.pub")
    with pytest.raises(ModosError):
        modo.decrypt("/nonexistent.sec")


class Sealing:
    """An htsget server that seals its answers, as htsget-rs does: one Crypt4GH file with an edit list."""

    def __init__(self, data, recipient):
        self.asked, key = [], os.urandom(32)
        before, after = os.urandom(700), os.urandom(300)
        padded = before + data + after
        body = b"".join(encrypt(iter([padded]), key))
        content = encrypt_header(key, [recipient], None, (len(before), len(data))) + body
        self.ticket = Ticket("BAM", tuple(Block("", content=content[at : at + 50_000]) for at in range(0, len(content), 50_000)))

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        self.asked.append(scope["query_string"].decode())
        await Response(self.ticket.to_bytes())(scope, receive, send)


def test_an_htsget_server_may_seal_its_answers(key, example):
    data = (example / "ex/demo2.bam").read_bytes()
    me = load_secret_key(key[0])
    app = Sealing(data, me.public)
    with BackgroundServer(app) as server:
        source = htsget_source(f"{server.url}/reads/ex/demo2", secret=me)
        wanted = MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")
        assert GenomicFile(source).count("chr1:1-9000") == wanted > 0
        assert b"".join(GenomicFile(source).iter_bytes()) == data
        assert all("encryptionScheme=c4gh" in query for query in app.asked)
        with pytest.raises(DecryptError, match="not sealed for this key"):
            GenomicFile(htsget_source(f"{server.url}/reads/ex/demo2", secret=SecretKey.random())).count("chr1")
        with pytest.raises(AccessError, match="encrypted"):
            GenomicFile(htsget_source(f"{server.url}/reads/ex/demo2")).count("chr1")
        cut = Ticket("BAM", app.ticket.blocks[:-1])
        app.ticket = cut
        with pytest.raises(IntegrityError):
            GenomicFile(source).count("chr1")


def test_a_plain_answer_is_taken_as_it_is(example, stack):
    source = htsget_source(f"{stack.endpoint}/htsget/reads/ex/demo2", secret=SecretKey.random())
    assert GenomicFile(source).count("chr1:1-9000") == MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")


def test_a_passphrase_goes_wherever_a_secret_key_does(example, tmp_path, monkeypatch):
    monkeypatch.delenv("C4GH_PASSPHRASE", raising=False)
    for name in ("me", "her"):
        generate(tmp_path / f"{name}.sec", tmp_path / f"{name}.pub", f"words of {name}")
    (me, mine), (her, hers) = ((tmp_path / f"{name}.sec", {"passphrase": f"words of {name}"}) for name in ("me", "her"))
    wanted = texts(MODO.open(example / "ex").stream_genomics("demo2.bam", "chr1:1-5000"))
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "ex"))
    modo.encrypt(tmp_path / "me.pub", me, **mine)
    assert modo.share(me, tmp_path / "her.pub", **mine)
    path = modo.metadata["data/demo2"]["data_path"]
    assert texts(modo.stream_genomics(path, "chr1:1-5000", secret_key=her, **hers)) == wanted
    assert modo.count(path, "chr1:1-5000", secret_key=her, **hers) == len(wanted)
    assert modo.coverage(path, "chr1:1-5000", secret_key=her, **hers).sum() > 0
    file = modo.file(path, secret_key=her, **hers)
    assert file.count("chr1:1-5000") == len(wanted)
    with pytest.raises(AccessError, match="not pickled"):
        pickle.dumps(file)
    assert {one.element_id: one.opens for one in modo.recipients(her, **hers)} == dict.fromkeys(
        ["data/calls", "data/cohort", "data/demo1", "data/demo2", "reference/reference1"], True
    )
    assert modo.find_problems(secret_key=her, **hers) == []
    assert modo.verify_encryption(her, **hers)
    assert modo.revoke(me, tmp_path / "her.pub", **mine)
    with pytest.raises(AccessError, match="passphrase of"):
        modo.decrypt(me, passphrase="words of her")
    assert len(modo.decrypt(me, **mine)) == 5
