"""Digests of files that have none are recorded where the bytes are what the object says, and only there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil

import pytest

from modos.api import MODO
from modos.encryption.body import encrypt
from modos.encryption.header import encrypt_header
from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, InvalidInputError, TransportError
from modos.object.changes import Update
from modos.object.part_lists import digest_stored
from tests.faults.conftest import Place, bams, interrupted, killed_at, place  # noqa: F401 - fixtures
from tests.support import commands
from tests.support.peer_layout import write_object

PART = 1 << 16
SLOTS = ("data_digest", "index_digests")


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A file of several parts."""
    path = tmp_path_factory.mktemp("big") / "big.tsv"
    path.write_bytes(random.Random(5).randbytes(5 * PART + 3))
    return path


@pytest.fixture
def modo(place, big, bams):  # noqa: F811
    """An object as an older version has left it: no digests, and no lists."""
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    modo.add_element({"id": "s", "@type": "Sample"})
    forget(modo, *SLOTS)
    modo.storage.delete("big.tsv.parts")
    return modo


def forget(modo, *slots, only=None):
    with modo.transaction() as transaction:
        for element_id in ("data/big", "data/a") if only is None else [only]:
            transaction._make(Update(element_id, dict.fromkeys(slots), transaction.view.element(element_id)))


def put(storage, key, data):
    storage.delete(key)
    storage.write_stream(key, [bytes(data)], size=len(data))


def flip(storage, key, at):
    data = bytearray(storage.read(key)[0])
    data[at] ^= 1
    put(storage, key, data)


def test_what_fits_is_recorded_in_one_commit(modo):
    before, revision = modo.metadata, modo._document.state["revision"]
    recording = modo.record_digests()
    assert recording.recorded == ["data/big", "data/a"] or sorted(recording.recorded) == ["data/a", "data/big"]
    assert recording.unproven == [] and recording.findings == []
    assert modo._document.state["revision"] == revision + 1
    after = modo.metadata
    assert after["data/big"]["data_digest"] == digest_stored(modo.storage, "big.tsv").root
    assert after["data/a"]["index_digests"] == [digest_stored(modo.storage, "a.bam.bai").root]
    rest = {key: {s: v for s, v in a.items() if s not in (*SLOTS, "last_update_date")} for key, a in after.items()}
    assert rest == {key: {s: v for s, v in a.items() if s != "last_update_date"} for key, a in before.items()}
    assert modo.storage.read("big.tsv.parts")[0] == digest_stored(modo.storage, "big.tsv").to_bytes()
    assert modo.find_problems() == []
    again = modo.record_digests()
    assert again.recorded == [] and modo._document.state["revision"] == revision + 1


def test_of_what_differs_nothing_is_recorded(modo):
    flip(modo.storage, "big.tsv", 9)
    recording = modo.record_digests()
    assert recording.recorded == ["data/a"]
    assert [(finding.kind, finding.where) for finding in recording.findings] == [("checksum", "data/big")]
    assert "data_digest" not in modo.metadata["data/big"] and not modo.storage.exists("big.tsv.parts")
    modo.storage.delete("big.tsv")
    assert [finding.kind for finding in modo.record_digests().findings] == ["missing"]
    put(modo.storage, "big.tsv", b"short")
    revision = modo._document.state["revision"]
    assert [finding.kind for finding in modo.record_digests().findings] == ["size"]
    assert modo._document.state["revision"] == revision


def test_what_could_not_be_compared_is_said(modo):
    forget(modo, "data_checksum", only="data/big")
    recording = modo.record_digests()
    assert [element_id for element_id, _ in recording.unproven] == ["data/big"]
    assert sorted(recording.recorded) == ["data/a", "data/big"]


def test_an_index_of_another_file_is_not_recorded(modo, bams):  # noqa: F811
    put(modo.storage, "a.bam.bai", b"BAI\1" + bytes(8))
    recording = modo.record_digests()
    assert [(finding.kind, finding.where) for finding in recording.findings] == [("index", "data/a")]
    assert "data_digest" in modo.metadata["data/a"] and "index_digests" not in modo.metadata["data/a"]


def test_a_file_that_others_change_meanwhile_is_not_recorded(modo, monkeypatch):
    from modos.object import recording

    original = recording._read

    def reading(storage, path, *given):
        found = original(storage, path, *given)
        if path == "big.tsv":
            put(storage, path, b"x" * (5 * PART + 3))
        return found

    monkeypatch.setattr(recording, "_read", reading)
    with pytest.raises(ConflictError):
        modo.record_digests()
    assert "data_digest" not in modo.metadata["data/a"]


def test_a_list_that_was_left_is_replaced(modo):
    put(modo.storage, "big.tsv.parts", b"modospd1, of another file")
    (found,) = modo.find_problems()
    assert (found.kind, found.where) == ("unknown", "big.tsv.parts")
    modo.record_digests()
    assert modo.find_problems() == []


@pytest.mark.parametrize("at", range(7))
def test_killed_halfway_the_object_is_whole_and_it_can_be_done_again(modo, place, at):  # noqa: F811
    killed_at(at, lambda: place.open(modo.storage.url).record_digests())
    assert all(finding.harmless for finding in modo.find_problems())
    modo.record_digests()
    modo.mend(modo.find_problems(), limit=0)
    assert modo.find_problems() == [] and all("data_digest" in modo.metadata[id] for id in ("data/a", "data/big"))


def test_without_the_network_nothing_is_changed(modo):
    def fail():
        raise TransportError("the line broke")

    before = modo.metadata
    with interrupted(1, fail, for_good=True), pytest.raises(TransportError):
        modo.record_digests()
    assert modo.metadata == before
    modo.record_digests()
    assert modo.find_problems() == []


def run(*args):
    return commands.run(list(map(str, args)), capture_output=True, text=True)


def test_the_commands_record_and_say_so(big, bams, tmp_path):  # noqa: F811
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    forget(modo, *SLOTS)
    forget(modo, "data_checksum", only="data/a")
    quick = run("check", tmp_path / "ex", "--quick")
    assert "data/big was not sampled: no digests of its parts are recorded" in quick.stderr
    shutil.copytree(tmp_path / "ex", tmp_path / "other")
    done = run("check", tmp_path / "ex", "--digests", "--json")
    assert done.returncode == 0 and "recorded digests of data/big" in done.stderr
    assert "warning: data/a: a.bam is recorded as it is now: nothing said before which bytes it has" in done.stderr
    told = json.loads(done.stdout)
    assert sorted(told["recorded"]) == ["data/a", "data/big"] and told["findings"] == []
    assert [one["where"] for one in told["unproven"]] == ["data/a"]
    flip(MODO.open(tmp_path / "other").storage, "big.tsv", 3)
    upgraded = run("upgrade", tmp_path / "other")
    assert upgraded.returncode == 6 and upgraded.stdout.startswith(
        "checksum data/big: big.tsv does not have the recorded checksum"
    )
    assert "recorded digests of data/a" in upgraded.stderr
    failed = run("check", tmp_path / "other", "--digests")
    assert failed.returncode == 6 and "checksum data/big" in failed.stdout


def test_files_of_another_program_get_digests(shared_data, tmp_path):
    """An object as sdsc-ordes modos writes it: its own checksum is compared, and what it says nothing of is told."""
    shutil.copytree(shared_data / "modos-ex" / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    recording = modo.record_digests()
    assert recording.findings == [] and sorted(recording.recorded) == sorted(modo._document.data_paths().values())
    told = modo.metadata
    assert {element_id for element_id, _ in recording.unproven} == {
        element_id for element_id in recording.recorded if "data_checksum" not in told[element_id]
    }
    assert all(digest_stored(modo.storage, told[id]["data_path"]).root == told[id]["data_digest"] for id in recording.recorded)
    assert not {finding.kind for finding in modo.find_problems()} - {"schema", "link", "mirror", "unknown"}


def test_an_object_of_the_old_layout_is_upgraded_first(big, bams, tmp_path):  # noqa: F811
    shutil.copy(big, tmp_path / "big.tsv")
    data = {"@type": "DataEntity", "id": "big", "data_format": "TSV", "data_path": "big.tsv"}
    write_object(tmp_path / "ex", {"data/big": data | {"data_checksum": hashlib.blake2b(big.read_bytes()).hexdigest()}})
    shutil.copy(big, tmp_path / "ex" / "big.tsv")
    modo = MODO.open(tmp_path / "ex")
    with pytest.raises(InvalidInputError, match="can only be read"):
        modo.record_digests()
    recording = modo.upgrade()
    assert (recording.recorded, recording.unproven, recording.findings) == (["data/big"], [], [])
    assert modo.metadata["data/big"]["data_digest"] == digest_stored(modo.storage, "big.tsv").root
    assert modo.find_problems() == []


@pytest.mark.parametrize("whole", [True, False], ids=["with its header", "its body"])
def test_a_checksum_of_another_program_over_a_sealed_file_becomes_that_of_its_body(big, tmp_path, whole):
    """Who records no size covers the header, too; once the size is recorded, the checksum is of the body."""
    key, secret = os.urandom(32), SecretKey.random()
    header = encrypt_header(key, [secret.public])
    body = b"".join(encrypt(iter([big.read_bytes()]), key))
    checksum = hashlib.blake2b(header + body if whole else body).hexdigest()
    data = {"@type": "DataEntity", "id": "big", "data_format": "TSV", "data_path": "big.tsv.c4gh", "data_checksum": checksum}
    write_object(tmp_path / "ex", {"data/big": data})
    (tmp_path / "ex" / "big.tsv.c4gh").write_bytes(header + body)
    modo = MODO.open(tmp_path / "ex")
    recording = modo.upgrade()
    if not whole:
        assert [finding.kind for finding in recording.findings] == ["checksum"] and recording.recorded == []
        return
    assert recording.recorded == ["data/big"] and recording.unproven == []
    assert modo.metadata["data/big"]["data_checksum"] == hashlib.blake2b(body).hexdigest()
    assert modo.metadata["data/big"]["data_digest"] == digest_stored(modo.storage, "big.tsv.c4gh").root
    assert modo.find_problems() == []
    forget(modo, *SLOTS, only="data/big")
    assert modo.record_digests().recorded == ["data/big"] and modo.find_problems() == []
