"""What is recorded of sealed files is compared with them, on every way; what cannot be told is said, and not guessed."""

from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.encryption.body import SEALED, encrypt
from modos.encryption.header import Header, encrypt_header, read_header, writer_of
from modos.encryption.keys import SecretKey
from modos.errors import (
    AccessError,
    ChecksumMismatch,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    TruncatedStream,
)
from modos.object.changes import Update
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(20)

FILES = {"demo1.cram": "data/demo1", "demo2.bam": "data/demo2", "calls.vcf.gz": "data/calls", "cohort.bcf": "data/cohort"}
INDEXES = {"demo1.cram": ".crai", "demo2.bam": ".bai", "calls.vcf.gz": ".tbi", "cohort.bcf": ".csi"}
ME, FRIEND, STRANGER, MALLORY = (SecretKey.random() for _ in range(4))


@pytest.fixture
def modo(example, tmp_path):
    """An object of one's own."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


def sealed(data, *recipients, sender=None, edits=None):
    key = os.urandom(32)
    return encrypt_header(key, [one.public for one in recipients], sender, edits) + b"".join(encrypt(iter([data]), key))


def put(modo, name, data):
    modo.storage.delete(name)
    modo.storage.write(name, bytes(data))


def header_of(modo, name) -> Header:
    data = modo.storage.read(name)[0]
    return read_header(lambda start, end: data[start:end])


def forget(modo, *slots, elements=tuple(FILES.values())):
    """The object as an older version has left it."""
    with modo.transaction() as transaction:
        for element_id in elements:
            transaction._make(Update(element_id, dict.fromkeys(slots), transaction.view.element(element_id)))


def foreign(example, tmp_path, *recipients, name="demo2.bam", sealed_index=True, edits=None):
    """A file that another program has sealed, in an object of its own; recipients are not recorded."""
    source = tmp_path / "theirs" / f"{name}.c4gh"
    source.parent.mkdir()
    source.write_bytes(sealed((example / "ex" / name).read_bytes(), *recipients, edits=edits))
    index = (example / "ex" / f"{name}{INDEXES[name]}").read_bytes()
    suffix = INDEXES[name]
    if sealed_index:
        source.with_name(f"{name}{suffix}.c4gh").write_bytes(sealed(index, *recipients))
    else:
        source.with_name(f"{name}{suffix}").write_bytes(index)
    return source


def added(tmp_path, source, secret=None):
    modo = MODO(tmp_path / "own")
    modo.add_element({"id": "theirs", "@type": "DataEntity"}, source, secret_key=secret)
    return modo


def counted(modo, name, secret, example):
    """Records of a region, of an object that has no reference."""
    return modo.file(name, example / "ex/reference.fa", secret_key=secret).count("chr1:1-9000")


def warnings(caplog):
    return "\n".join(record.message for record in caplog.records if record.levelno >= logging.WARNING)


# -- whose packets are --------------------------------------------------------------------------------------------------


def test_packets_of_nobody_who_is_recorded_are_counted(example, tmp_path):
    modo = added(tmp_path, foreign(example, tmp_path, ME, STRANGER))
    (told,) = modo.recipients()
    assert (told.packets, told.fingerprints, told.unknown, told.opens, told.own) == (2, (), 2, None, None)
    (told,) = modo.recipients(ME)
    assert (told.packets, told.unknown, told.opens, told.own, told.missing) == (2, 1, True, 1, 0)
    (told,) = modo.recipients(FRIEND)
    assert (told.unknown, told.opens, told.own) == (2, False, 0)


def test_several_packets_of_one_recipient_are_not_taken_for_others(example, tmp_path):
    """A data key and an edit list are two packets of each."""
    data = (example / "ex/demo2.bam").read_bytes()
    modo = added(tmp_path, foreign(example, tmp_path, ME, STRANGER, edits=(0, len(data))))
    (told,) = modo.recipients(ME)
    assert (told.packets, told.own, told.unknown) == (4, 2, 2)
    modo.share(ME, STRANGER.public)
    (told,) = modo.recipients(ME)
    assert (told.packets, told.own, told.unknown, len(told.fingerprints)) == (6, 2, 2, 2)
    modo.revoke(ME, FRIEND.public)
    (told,) = modo.recipients(ME)
    assert (told.packets, told.own, told.unknown, len(told.fingerprints)) == (4, 2, 0, 2)
    assert modo.verify_encryption(STRANGER) == ["data/theirs"]


def test_packets_that_are_missing_are_told(modo):
    modo.encrypt([ME.public, FRIEND.public])
    forget(modo, "header_digests")
    data = modo.storage.read("demo2.bam.c4gh")[0]
    header = header_of(modo, "demo2.bam.c4gh")
    put(modo, "demo2.bam.c4gh", header.reencrypt_for_others(ME, []) + data[header.size :])
    found = {one.element_id: one for one in modo.recipients(ME)}
    assert (found["data/demo2"].missing, found["data/demo2"].unknown, found["data/demo1"].missing) == (1, 0, 0)
    with modo.transaction() as transaction:
        transaction.update_element("data/demo2", {"data_size": modo.storage.stat("demo2.bam.c4gh").size})
    assert modo.share(ME, FRIEND.public) == ["data/demo2"]
    assert [one.opens for one in modo.recipients(FRIEND)] == [True] * 4


@pytest.mark.parametrize("rotate", [False, True])
def test_revoking_takes_off_who_is_not_recorded(example, tmp_path, caplog, rotate):
    """An unknown packet may be of who is revoked."""
    modo = added(tmp_path, foreign(example, tmp_path, ME, STRANGER))
    assert modo.verify_encryption(STRANGER) == ["data/theirs"]
    assert modo.revoke(ME, STRANGER.public, rotate=rotate) == ["data/theirs"]
    assert "1 packet of an unknown recipient was removed" in warnings(caplog) and "no recipient was recorded" in warnings(caplog)
    assert modo.metadata["data/theirs"]["recipients"] == [str(ME.public)]
    (told,) = modo.recipients(STRANGER)
    assert (told.packets, told.opens, told.unknown) == (1, False, 0)
    name = modo.metadata["data/theirs"]["data_path"]
    index = name.replace(".bam", ".bam.bai")
    assert not header_of(modo, index).has_packets_for(STRANGER) and header_of(modo, index).has_packets_for(ME)
    assert modo.verify_encryption(ME) == ["data/theirs"] and modo.find_problems() == []
    caplog.clear()
    assert modo.revoke(ME, STRANGER.public) == [] and warnings(caplog) == ""
    with pytest.raises(InvalidInputError, match="able to open"):
        modo.revoke(ME, ME.public)


def test_revoking_who_is_recorded_takes_strangers_along_and_says_so(modo, caplog):
    modo.encrypt([ME.public, FRIEND.public], elements=list(FILES.values()))
    forget(modo, "header_digests")
    for name in FILES:
        data, header = modo.storage.read(f"{name}.c4gh")[0], header_of(modo, f"{name}.c4gh")
        put(modo, f"{name}.c4gh", header.reencrypt(ME, [STRANGER.public], keep=True) + data[header.size :])
    with modo.transaction() as transaction:
        for name, element_id in FILES.items():
            transaction.update_element(element_id, {"data_size": modo.storage.stat(f"{name}.c4gh").size})
    assert [one.unknown for one in modo.recipients(ME)] == [1] * 4
    third = SecretKey.random()
    modo.share(ME, third.public)
    assert warnings(caplog).count("1 packet of an unknown recipient stays") == 4
    assert [one.opens for one in modo.recipients(STRANGER)] == [True] * 4
    modo.revoke(ME, FRIEND.public)
    assert warnings(caplog).count("was removed") == 4
    assert [one.opens for one in modo.recipients(STRANGER)] == [one.opens for one in modo.recipients(FRIEND)] == [False] * 4
    assert [one.opens for one in modo.recipients(third)] == [True] * 4


def test_who_is_not_recorded_is_refused_certainty_in_an_older_object(modo, caplog):
    """Without the header's digest nobody knows that the metadata tell of these packets."""
    modo.encrypt([ME.public, FRIEND.public], elements=list(FILES.values()))
    assert modo.revoke(ME, STRANGER.public) == [] and warnings(caplog) == ""
    forget(modo, "header_digests")
    assert modo.revoke(ME, STRANGER.public) == sorted(FILES.values())
    assert "do not say for whom" in warnings(caplog)
    assert [one.opens for one in modo.recipients(FRIEND)] == [True] * 4 and modo.revoke(ME, STRANGER.public) == []


def test_sharing_records_who_shares(example, tmp_path):
    modo = added(tmp_path, foreign(example, tmp_path, ME))
    modo.share(ME, FRIEND.public)
    assert modo.metadata["data/theirs"]["recipients"] == [str(ME.public), str(FRIEND.public)]
    assert modo.recipients(ME)[0].unknown == 0


# -- what was sealed there ----------------------------------------------------------------------------------------------


def substitute(modo, name, path=None, recipients=(ME,)):
    """Another file of the same size, for the same recipients: whoever can write there can make it."""
    path = path or f"{name}.c4gh"
    plain = modo.storage.read(path)[0]
    header = header_of(modo, path)
    opened = header.decrypt(ME)
    from modos.encryption.body import decrypt

    data = b"".join(decrypt(iter([plain[header.size :]]), opened.keys))
    put(modo, path, sealed(data, *recipients))
    assert modo.storage.stat(path).size == len(plain)


@pytest.mark.parametrize("name", FILES)
def test_another_file_in_its_place_is_refused_on_every_way(modo, name):
    modo.encrypt(ME.public)
    substitute(modo, name)
    modo = MODO.open(modo.storage.url)
    for region in ("chr1:1-9000", None):
        with pytest.raises(ChecksumMismatch, match="header"):
            modo.count(name, region, secret_key=ME)
    for change in (
        lambda: modo.verify_encryption(ME),
        lambda: modo.decrypt(ME),
        lambda: modo.share(ME, FRIEND.public),
        lambda: modo.revoke(ME, [], rotate=True),
    ):
        with pytest.raises(IntegrityError):
            change()
    assert [(finding.kind, finding.where) for finding in modo.find_problems()] == [("seal", FILES[name])]
    assert "header" in modo.find_problems(checksums=False)[0].message


@pytest.mark.parametrize("name", FILES)
def test_another_index_in_its_place_is_refused(modo, name):
    """Where records lie is a matter of the index: another one can hide them."""
    modo.encrypt(ME.public)
    index = f"{name}{INDEXES[name]}"
    substitute(modo, name, f"{index}.c4gh")
    modo = MODO.open(modo.storage.url)
    with pytest.raises(ChecksumMismatch, match="header"):
        modo.count(name, "chr1:1-9000", secret_key=ME)
    with pytest.raises(ChecksumMismatch):
        modo.verify_encryption(ME)
    assert [(finding.kind, finding.where) for finding in modo.find_problems()] == [("seal", FILES[name])]
    modo.storage.delete(f"{index}.c4gh")
    modo.storage.write(index, b"anything")
    modo = MODO.open(modo.storage.url)
    with pytest.raises(NotFoundError, match="no index"):
        modo.count(name, "chr1:1-9000", secret_key=ME)
    for change in (lambda: modo.verify_encryption(ME), lambda: modo.share(ME, FRIEND.public), lambda: modo.decrypt(ME)):
        with pytest.raises(DecryptError, match="is gone"):
            change()
    assert "index" in {finding.kind for finding in modo.find_problems()}


def test_a_file_that_is_cut_is_refused_for_a_region(modo):
    modo.encrypt(ME.public)
    put(modo, "demo2.bam.c4gh", modo.storage.read("demo2.bam.c4gh")[0][:-SEALED])
    with pytest.raises(TruncatedStream):
        modo.count("demo2.bam", "chr1:1-9000", secret_key=ME)


def test_segments_of_a_foreign_file_are_compared_as_a_whole(example, tmp_path, caplog):
    """Of a file that somebody else sealed no plain checksum is known."""
    modo = added(tmp_path, foreign(example, tmp_path, ME))
    caplog.clear()
    assert modo.count("demo2.bam", secret_key=ME) == MODO.open(example / "ex").count("demo2.bam") and warnings(caplog) == ""
    data, header = modo.storage.read("demo2.bam.c4gh")[0], header_of(modo, "demo2.bam.c4gh")
    at = header.size + 8 * SEALED
    one, other = data[at : at + SEALED], data[at + SEALED : at + 2 * SEALED]
    put(modo, "demo2.bam.c4gh", data[:at] + other + one + data[at + 2 * SEALED :])
    with pytest.raises(ChecksumMismatch, match="bytes 524,636-590,199 are not those that are recorded"):
        b"".join(MODO.open(tmp_path / "own").file("demo2.bam", secret_key=ME).iter_bytes())
    forget(MODO.open(tmp_path / "own"), "data_digest", elements=["data/theirs"])
    with pytest.raises(DecryptError, match="moved"):
        b"".join(MODO.open(tmp_path / "own").file("demo2.bam", secret_key=ME).iter_bytes())


def test_what_cannot_be_compared_is_said(modo, caplog):
    modo.encrypt(ME.public)
    modo.count("demo2.bam", "chr1:1-9000", secret_key=ME)
    modo.count("demo2.bam", secret_key=ME)
    assert warnings(caplog) == ""
    forget(modo, "header_digests")
    modo = MODO.open(modo.storage.url)
    file = modo.file("demo2.bam", secret_key=ME)
    for _ in range(2):
        file.count("chr1:1-9000")
    assert warnings(caplog).count("no digest of its header is recorded") == 1
    forget(modo, "seal_digest", "plain_checksum", "data_digest", "plain_digest")
    caplog.clear()
    assert MODO.open(modo.storage.url).count("demo2.bam", secret_key=ME) > 0
    assert warnings(caplog).count("no digest of it is recorded") == 1
    modo.share(ME, FRIEND.public)
    caplog.clear()
    modo.count(modo.metadata["data/demo2"]["data_path"], "chr1:1-9000", secret_key=FRIEND)
    assert warnings(caplog) == ""


def test_plain_files_keep_nothing_of_a_seal(modo):
    before = modo.metadata["data/demo2"]
    modo.encrypt(ME.public, FRIEND)
    assert len(modo.metadata["data/demo2"]["header_digests"]) == 2
    modo.decrypt(ME)
    assert modo.metadata["data/demo2"] == before


def test_another_file_that_is_there_already_has_a_header_of_its_own(modo):
    modo.encrypt(ME.public, FRIEND)
    modo.storage.write("other.bam.c4gh", sealed(b"", ME))
    modo.update_element("data/demo2", {"data_path": "other.bam.c4gh"})
    told = modo.metadata["data/demo2"]
    assert not {"header_digests", "seal_digest", "sender"} & told.keys()


# -- who sealed it ------------------------------------------------------------------------------------------------------


def test_the_sender_is_recorded_and_survives(modo):
    modo.encrypt([ME.public, FRIEND.public], MALLORY, elements=["demo2"])
    modo.encrypt([ME.public])
    assert modo.metadata["data/demo2"]["sender"] == str(MALLORY.public) and "sender" not in modo.metadata["data/demo1"]
    modo.share(ME, STRANGER.public)
    modo.revoke(ME, FRIEND.public)
    assert modo.metadata["data/demo2"]["sender"] == str(MALLORY.public) and "sender" not in modo.metadata["data/demo1"]
    told = {one.element_id: one for one in modo.recipients(STRANGER)}["data/demo2"]
    assert told.sender == MALLORY.public.fingerprint and told.writers == (ME.public.fingerprint,)
    modo.revoke(ME, [], rotate=True)
    assert modo.metadata["data/demo2"]["sender"] == str(ME.public)


def ways(modo, reader, sender):
    """Every way to read with a sender, as functions."""
    name = modo.metadata["data/demo2"]["data_path"].removesuffix(".c4gh")
    given = {"secret_key": reader, "sender_pubkey": sender}
    return [
        lambda: modo.count(name, "chr1:1-9000", **given),
        lambda: modo.count(name, **given),
        lambda: sum(1 for _ in modo.stream_genomics(name, "chr1:1-9000", **given)),
        lambda: modo.coverage(name, "chr1:1-9000", **given),
        lambda: modo.file(name, **given).count("chr2"),
        lambda: modo.verify_encryption(reader, ["demo2"], sender_pubkey=sender),
    ]


def test_a_sender_is_asked_for_on_every_way(modo):
    """Whoever shares writes the new packet, and nobody is told that it is the first sender's."""
    alice, bob = ME, FRIEND
    modo.encrypt([bob.public], alice)
    for way in ways(modo, bob, alice.public):
        way()
    modo.share(bob, STRANGER.public)
    for reader, sender, holds in (
        (bob, alice.public, True),
        (bob, bob.public, False),
        (STRANGER, alice.public, False),
        (STRANGER, bob.public, True),
        (STRANGER, [alice.public, bob.public], True),
        (STRANGER, [MALLORY.public], False),
    ):
        for way in ways(modo, reader, sender):
            if holds:
                way()
            else:
                with pytest.raises(DecryptError, match="by that sender, but by SHA256:"):
                    way()
    modo.revoke(bob, STRANGER.public)
    for way in ways(modo, bob, alice.public):  # who revokes keeps the packet that he had
        way()
    with pytest.raises(DecryptError, match="by that sender"):
        modo.decrypt(bob, MALLORY.public)
    modo.decrypt(bob, [MALLORY.public, alice.public])


def test_a_plain_file_has_no_sender(modo):
    with pytest.raises(DecryptError, match="nothing says who"):
        modo.count("demo2.bam", "chr1", sender_pubkey=ME.public)


def test_data_keys_and_edit_lists_of_others_do_not_count():
    """Who adds a packet for me neither lends a segment of his own, nor says what counts of the file."""
    first, second = bytes(range(32)), bytes(range(1, 33))
    ours = read_all(encrypt_header(first, [ME.public], FRIEND)).packets
    key, edit = read_all(encrypt_header(second, [ME.public], MALLORY, (0, 10))).packets
    assert writer_of(key) == MALLORY.public
    assert Header((*ours, key), 0).decrypt(ME, FRIEND.public).keys == (first,)
    assert set(Header((*ours, key), 0).decrypt(ME).keys) == {first, second}
    with pytest.raises(DecryptError, match="somebody else than that sender"):
        Header((*ours, edit), 0).decrypt(ME, FRIEND.public)


def read_all(data) -> Header:
    return read_header(lambda start, end: data[start:end])


# -- indexes that are not sealed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_plain_index_beside_a_sealed_source_is_taken_and_sealed(example, tmp_path, name):
    """As htsget-rs has them; for all recipients, though nobody knows who the others are."""
    source = foreign(example, tmp_path, ME, STRANGER, name=name, sealed_index=False)
    with pytest.raises(AccessError, match="is not sealed"):
        added(tmp_path, source)
    assert MODO.open(tmp_path / "own").list_files() == []
    modo = added(tmp_path, source, ME)
    index = f"{name}{INDEXES[name]}"
    assert {path.name for path in modo.list_files()} == {f"{name}.c4gh", f"{index}.c4gh"}
    plain = (example / "ex" / index).read_bytes()
    assert plain[100:300] not in modo.storage.read(f"{index}.c4gh")[0]
    wanted = MODO.open(example / "ex").count(name, "chr1:1-9000")
    for reader in (ME, STRANGER):
        assert counted(modo, name, reader, example) == wanted > 0
    assert modo.find_problems() == [] and modo.find_problems(secret_key=ME) == [] and modo.verify_encryption(STRANGER)


def test_a_description_may_name_sealed_sources_with_plain_indexes(example, tmp_path):
    source = foreign(example, tmp_path, ME, sealed_index=False)
    described = tmp_path / "modo.yaml"
    described.write_text(
        f"- element: {{id: own, '@type': MODO}}\n- element: {{id: a, '@type': AlignmentSet}}\n  args: {{source_file: {source}}}\n"
    )
    with pytest.raises(AccessError, match="is not sealed"):
        MODO.from_file(described, tmp_path / "own")
    assert not MODO.exists(tmp_path / "own")
    modo = MODO.from_file(described, tmp_path / "own", secret_key=ME)
    assert modo.count("demo2.bam", "chr1:1-9000", secret_key=ME) == MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")


def test_the_package_opens_an_index_that_was_sealed_so(example, tmp_path, monkeypatch):
    from modos.encryption.keys import generate

    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    source = tmp_path / "demo2.bam.c4gh"
    package = [sys.executable, "-m", "crypt4gh"]
    source.write_bytes(
        subprocess.run(
            [*package, "encrypt", "--recipient_pk", tmp_path / "me.pub"],
            check=True,
            capture_output=True,
            input=(example / "ex/demo2.bam").read_bytes(),
        ).stdout
    )
    shutil.copy(example / "ex/demo2.bam.bai", tmp_path / "demo2.bam.c4gh.bai")
    modo = added(tmp_path, source, tmp_path / "me.sec")
    data = modo.storage.read("demo2.bam.bai.c4gh")[0]
    opened = subprocess.run(
        [*package, "decrypt", "--sk", tmp_path / "me.sec"], input=data, check=True, capture_output=True
    ).stdout
    assert opened == (example / "ex/demo2.bam.bai").read_bytes()


def test_the_index_of_another_file_is_refused(example, tmp_path):
    source = foreign(example, tmp_path, ME, sealed_index=False)
    subprocess.run(["samtools", "view", "-b", "-o", tmp_path / "other.bam", example / "ex/demo2.bam", "chr2"], check=True)
    subprocess.run(["samtools", "index", tmp_path / "other.bam"], check=True)
    shutil.copy(tmp_path / "other.bam.bai", source.with_name("demo2.bam.bai"))
    with pytest.raises(IntegrityError, match="does not fit"):
        added(tmp_path, source, ME)


def test_a_file_is_replaced_by_a_sealed_one_with_a_plain_index(example, tmp_path, modo):
    modo.encrypt(ME.public, elements=["demo2"])
    modo.update_element("data/demo2", {}, foreign(example, tmp_path, ME, STRANGER, sealed_index=False), secret_key=ME)
    name = modo.metadata["data/demo2"]["data_path"]
    assert modo.count(name, "chr1:1-9000", secret_key=STRANGER) == MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")


@pytest.mark.parametrize("name", FILES)
def test_an_object_with_a_plain_index_beside_a_sealed_file_is_read(example, tmp_path, name, caplog):
    """Somebody has laid it there by hand."""
    source = foreign(example, tmp_path, ME, STRANGER, name=name)
    source.with_name(f"{name}{INDEXES[name]}.c4gh").unlink()
    modo, index = added(tmp_path, source), f"{name}{INDEXES[name]}"
    modo.storage.write(index, (example / "ex" / index).read_bytes())
    wanted = MODO.open(example / "ex").count(name, "chr1:1-9000")
    assert counted(modo, name, ME, example) == wanted > 0
    findings = {(finding.kind, "is not" in finding.message) for finding in modo.find_problems()}
    assert ("unknown", True) in findings and all(kind == "unknown" for kind, _ in findings)
    modo.share(ME, FRIEND.public)
    assert f"{index} is sealed as" in warnings(caplog)
    modo.storage.delete(index)
    path = modo.metadata["data/theirs"]["data_path"]
    for reader in (FRIEND, STRANGER):
        assert counted(modo, path, reader, example) == wanted
    assert modo.find_problems() == []
    modo.decrypt(STRANGER)
    assert counted(modo, modo.metadata["data/theirs"]["data_path"], None, example) == wanted and modo.find_problems() == []


def test_a_plain_index_on_s3(example, tmp_path, stack):
    from modos.demo.stack import CREDENTIALS

    source = foreign(example, tmp_path, ME)
    source.with_name("demo2.bam.bai.c4gh").unlink()
    where = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    modo = MODO.create(f"s3://modos-demo/plain/{tmp_path.name}", **where)
    modo.add_element({"id": "theirs", "@type": "DataEntity"}, source)
    modo.storage.write("demo2.bam.bai", (example / "ex/demo2.bam.bai").read_bytes())
    plain = MODO.open(example / "ex")
    for region in ("chr1:1-9000", None):
        assert modo.count("demo2.bam", region, secret_key=ME) == plain.count("demo2.bam", region)
    modo.share(ME, FRIEND.public)
    name = modo.metadata["data/theirs"]["data_path"]
    assert modo.count(name, "chr1:1-9000", secret_key=FRIEND) == plain.count("demo2.bam", "chr1:1-9000")
    substitute(modo, name, name, (ME, FRIEND))
    with pytest.raises(ChecksumMismatch):
        MODO.open(modo.storage.url, **where).count(name, "chr1:1-9000", secret_key=ME)


def test_decrypting_keeps_a_plain_index(example, tmp_path):
    source = foreign(example, tmp_path, ME)
    source.with_name("demo2.bam.bai.c4gh").unlink()
    modo = added(tmp_path, source)
    modo.storage.write("demo2.bam.bai", (example / "ex/demo2.bam.bai").read_bytes())
    with pytest.raises(DecryptError):
        modo.decrypt(ME, FRIEND.public)
    modo.decrypt(ME)
    assert modo.count("demo2.bam", "chr1:1-9000") > 0 and modo.find_problems() == []


# -- indexes that nobody recorded ---------------------------------------------------------------------------------------


def leaving_out(bam, bai):
    """An index whose first bin of the first contig ends with the second block of the file."""
    blocks, data, at = [0], bytearray(bai), 12
    while blocks[-1] < len(bam):
        blocks.append(blocks[-1] + struct.unpack_from("<H", bam, blocks[-1] + 16)[0] + 1)
    (bins,) = struct.unpack_from("<i", data, 8)
    for _ in range(bins):
        number, chunks = struct.unpack_from("<Ii", data, at)
        if number == 4681:
            (begin,) = struct.unpack_from("<Q", data, at + 8)
            struct.pack_into("<Q", data, at + 16, [block for block in blocks if block > begin >> 16][1] << 16)
        at += 8 + 16 * chunks
    return bytes(data)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_an_index_that_was_put_beside_a_file_without_one_is_told_of(example, tmp_path, caplog, is_sealed):
    """Anybody can seal one for whose public key they have, and it may leave out records."""
    source = foreign(example, tmp_path, ME)
    source.with_name("demo2.bam.bai.c4gh").unlink()
    modo, bam = added(tmp_path, source), (example / "ex/demo2.bam").read_bytes()
    forged = leaving_out(bam, (example / "ex/demo2.bam.bai").read_bytes())
    modo.storage.write(f"demo2.bam.bai{'.c4gh' if is_sealed else ''}", sealed(forged, ME) if is_sealed else forged)
    caplog.clear()
    plain = MODO.open(example / "ex").count("demo2.bam", "chr1:1-16,000")
    assert modo.count("demo2.bam", "chr1:1-16,000", secret_key=ME) < plain
    assert "no digest of the header of its index is recorded" in warnings(caplog)
    caplog.clear()
    modo.count("demo2.bam", secret_key=ME)
    assert not warnings(caplog)
    assert "unknown" in [problem.kind for problem in modo.find_problems()]
    modo.verify_encryption(ME)
    assert "demo2.bam.bai" in warnings(caplog)


def test_what_is_encrypted_anew_has_an_index_on_record(example, tmp_path, caplog):
    source = foreign(example, tmp_path, ME)
    source.with_name("demo2.bam.bai.c4gh").unlink()
    modo = added(tmp_path, source)
    modo.storage.write("demo2.bam.bai.c4gh", sealed((example / "ex/demo2.bam.bai").read_bytes(), ME))
    modo.revoke(ME, [], rotate=True)
    caplog.clear()
    assert modo.count("demo2.bam", "chr1:1-16,000", secret_key=ME) and not warnings(caplog)
    assert modo.find_problems() == []


def test_who_can_open_the_index_alone_is_counted_and_revoked(example, tmp_path, caplog):
    source = foreign(example, tmp_path, ME)
    index = source.with_name("demo2.bam.bai.c4gh")
    index.write_bytes(sealed((example / "ex/demo2.bam.bai").read_bytes(), ME, STRANGER))
    modo = added(tmp_path, source)
    (told,) = modo.recipients(ME)
    assert (told.packets, told.unknown, told.opens) == (2, 1, True)
    assert modo.revoke(ME, STRANGER.public) == ["data/theirs"] and "was removed as well" in warnings(caplog)
    assert not header_of(modo, "demo2~2.bam.bai.c4gh").has_packets_for(STRANGER)
    (told,) = modo.recipients(ME)
    assert (told.packets, told.unknown) == (1, 0) and modo.find_problems() == []


def test_a_region_of_a_sealed_cram_takes_no_more_requests_than_its_file_and_index(example, tmp_path, stack):
    """The contigs for its reference and the plan of the region are of one look at the header."""
    from modos.demo.stack import CREDENTIALS

    with Proxy(stack.s3) as proxy:
        where = {"services": {"s3": proxy.url}, "s3_kwargs": CREDENTIALS}
        modo = MODO.open(example / "ex").upload(f"s3://modos-demo/asked/{tmp_path.name}", **where)
        modo.encrypt(ME.public)
        wanted = modo.count("demo1.cram", "chr1:20,001-25,000", secret_key=ME)  # also takes the reference
        again = MODO.open(modo.storage.url, **where)
        proxy.requests.clear()
        assert again.count("demo1.cram", "chr1:20,001-25,000", secret_key=ME) == wanted > 0
        asked = [(method, path.rpartition("/")[2]) for method, path, _ in proxy.requests if "demo1" in path]
    names = ["demo1.cram.c4gh", "demo1.cram.c4gh.parts", "demo1.cram.crai.c4gh"]
    assert sorted(asked) == [("GET", name) for name in names]


def test_a_plain_index_beside_a_sealed_file_goes_where_that_goes(example, tmp_path):
    source = foreign(example, tmp_path, ME)
    source.with_name("demo2.bam.bai.c4gh").unlink()
    modo = added(tmp_path, source)
    modo.storage.write("demo2.bam.bai", (example / "ex/demo2.bam.bai").read_bytes())
    wanted = modo.count("demo2.bam", "chr1:1-9000", secret_key=ME)
    modo.update_element("theirs", {"data_path": "reads/z.bam"})
    assert {path.name for path in modo.list_files()} == {"z.bam.c4gh", "z.bam.bai"}
    assert modo.count("reads/z.bam", "chr1:1-9000", secret_key=ME) == wanted > 0
    modo.remove_element("theirs")
    assert modo.list_files() == []


def test_the_same_sealed_file_brings_an_index_where_there_is_none(example, tmp_path):
    source = foreign(example, tmp_path, ME)
    index = source.with_name("demo2.bam.bai.c4gh")
    index.rename(tmp_path / "index")
    modo = added(tmp_path, source)
    shutil.copy(example / "ex/demo2.bam.bai", source.with_name("demo2.bam.bai"))
    modo.update_element("theirs", {}, source, secret_key=ME)
    assert modo.find_problems() == [] and modo.count("demo2.bam", "chr1:1-9000", secret_key=ME) > 0
    before = modo.metadata["data/theirs"]
    modo.update_element("theirs", {}, source, secret_key=ME)
    assert modo.metadata["data/theirs"] == before
