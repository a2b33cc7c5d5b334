"""What a server finds regions of encrypted files by: encrypted for it alone, in one commit, kept and dropped with the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from modos.api import MODO
from modos.encryption.header import read_header
from modos.encryption.keys import SecretKey, generate, load_public_key
from modos.errors import ChecksumMismatch, DecryptError, InvalidInputError, NotFoundError
from modos.formats import cuts_name
from modos.genomics.index.cuts import CutList
from modos.object.cut_lists import open_cuts, read_cuts
from tests.support import commands

ME, HER, SERVER, OTHER = (SecretKey.random() for _ in range(4))


@pytest.fixture
def folder(example, tmp_path) -> Path:
    return shutil.copytree(example / "ex", tmp_path / "ex")


@pytest.fixture
def modo(folder) -> MODO:
    """An object that is encrypted for me, and what finds regions for a server."""
    modo = MODO.open(folder)
    modo.encrypt(ME.public, index_for=SERVER.public)
    return modo


def cuts_of(modo: MODO, element: str, secret: SecretKey) -> CutList:
    return open_cuts(modo.storage, modo.metadata[element], secret)


def opened_by(folder: Path, secret: SecretKey) -> set[str]:
    """The files below a folder of which a key opens a data key."""
    found = set()
    for path in folder.rglob("*.c4gh*"):
        data = path.read_bytes() if path.is_file() else b""
        if data[:8] == b"crypt4gh" and read_header(lambda start, end, data=data: data[start:end]).has_packets_for(secret):
            found.add(path.name)
    return found


def streamable(modo: MODO) -> list[str]:
    return [element for element, found in modo.metadata.items() if found.get("index_recipients")]


def test_the_server_opens_what_finds_regions_and_nothing_else(modo, folder):
    with_cuts = streamable(modo)
    assert {"data/demo1", "data/demo2"} <= set(with_cuts)
    names = {Path(cuts_name(modo.metadata[element]["data_path"])).name for element in with_cuts}
    assert opened_by(folder, SERVER) == names
    assert names < opened_by(folder, ME)
    keys = set()
    for path in folder.rglob("*.c4gh"):
        data = path.read_bytes()
        opened = read_header(lambda start, end, data=data: data[start:end]).decrypt(ME)
        assert opened.keys[0] not in keys, "each file has a data key of its own"
        keys.add(opened.keys[0])
    assert modo.find_problems() == []


def test_what_finds_regions_holds_no_base(modo):
    for element in streamable(modo):
        content = read_cuts(modo.storage, modo.metadata[element], SERVER)
        cuts = CutList.from_bytes(content)
        assert cuts.size == modo.metadata[element]["plain_size"]
        assert cuts.header.segments == ()


def test_who_it_is_for_is_shown(modo):
    found = {one.element_id: one for one in modo.recipients()}
    assert found["data/demo1"].servers == (SERVER.public.fingerprint,)
    assert SERVER.public.fingerprint not in found["data/demo1"].fingerprints
    assert {one.unknown for one in found.values()} == {0} == {one.missing for one in found.values()}


def test_a_recipient_is_no_server(folder):
    modo = MODO.open(folder)
    with pytest.raises(InvalidInputError, match="a key of its own|server"):
        modo.encrypt(ME.public, index_for=ME.public)
    assert not any(path.name.endswith(".c4gh") for path in folder.rglob("*"))
    modo.encrypt(ME.public)
    for more in ({"index_for": ME.public}, {"index_for": HER.public}):
        with pytest.raises(InvalidInputError):
            modo.share(ME, [HER.public], **more)
    modo.share(ME, [], index_for=SERVER.public)
    with pytest.raises(InvalidInputError):
        modo.share(ME, [SERVER.public])


def test_it_can_be_shared_later(folder):
    modo = MODO.open(folder)
    modo.encrypt(ME.public)
    before = {element: modo.metadata[element]["header_digests"] for element in ("data/demo1", "data/demo2")}
    changed = modo.share(ME, [], index_for=SERVER.public)
    assert set(before) <= set(changed)
    assert {element: modo.metadata[element]["header_digests"] for element in before} == before
    assert cuts_of(modo, "data/demo2", SERVER).size
    assert modo.share(ME, [], index_for=SERVER.public) == []
    assert modo.share(ME, [], ["data/demo2"], index_for=OTHER.public) == ["data/demo2"]
    assert modo.metadata["data/demo2"]["index_recipients"] == [str(SERVER.public), str(OTHER.public)]
    assert cuts_of(modo, "data/demo2", OTHER) and cuts_of(modo, "data/demo2", SERVER)
    assert modo.find_problems() == []


def test_it_is_taken_back(modo, folder):
    modo.share(ME, [], index_for=OTHER.public)
    old = read_cuts_key(modo, "data/demo1")
    assert set(modo.revoke(ME, [], index_for=OTHER.public)) == set(streamable(modo))
    assert read_cuts_key(modo, "data/demo1") != old, "what remains is encrypted anew"
    with pytest.raises(DecryptError):
        cuts_of(modo, "data/demo1", OTHER)
    assert cuts_of(modo, "data/demo1", SERVER)
    modo.revoke(ME, [], index_for=SERVER.public)
    assert not list(folder.rglob("*.cuts.c4gh")) and not streamable(modo)
    assert not any("cuts_checksum" in found for found in modo.metadata.values())
    assert modo.find_problems() == []


def read_cuts_key(modo: MODO, element: str) -> bytes:
    data, _ = modo.storage.read(cuts_name(modo.metadata[element]["data_path"]))
    return read_header(lambda start, end: data[start:end]).decrypt(ME).keys[0]


@pytest.mark.parametrize("rotate", [False, True])
def test_recipients_come_and_go_and_the_server_stays(modo, folder, rotate):
    modo.share(ME, [HER.public])
    assert cuts_of(modo, "data/demo1", SERVER) and cuts_of(modo, "data/demo1", HER)
    modo.revoke(ME, [HER.public], rotate=rotate)
    assert cuts_of(modo, "data/demo1", SERVER)
    with pytest.raises(DecryptError):
        cuts_of(modo, "data/demo1", HER)
    assert opened_by(folder, HER) == set()
    assert len(list(folder.rglob("*.cuts.c4gh"))) == len(streamable(modo))
    assert modo.find_problems() == []


def test_decrypting_drops_it(modo, folder):
    modo.decrypt(ME)
    assert not list(folder.rglob("*.c4gh"))
    assert not any({"index_recipients", "cuts_checksum"} & found.keys() for found in modo.metadata.values())
    assert modo.find_problems() == []


def test_another_file_of_the_element_is_found_by_its_own(modo, folder, example, tmp_path):
    import pysam

    other = tmp_path / "other.bam"
    with (
        pysam.AlignmentFile(str(example / "ex/demo2.bam")) as source,
        pysam.AlignmentFile(str(other), "wb", template=source) as out,
    ):
        for number, read in enumerate(source):
            if number % 2:
                out.write(read)
    before = cuts_of(modo, "data/demo2", SERVER)
    modo.update_element("data/demo2", {}, source_file=other)
    after = cuts_of(modo, "data/demo2", SERVER)
    assert after.size == other.stat().st_size != before.size
    assert [path.name for path in folder.glob("demo2*cuts*")] == [cuts_name(modo.metadata["data/demo2"]["data_path"])]
    assert modo.find_problems() == []


def test_a_new_plain_file_drops_it(modo, folder, example):
    modo.update_element("data/demo2", {}, source_file=example / "source/demo2.bam", plain=True)
    assert not list(folder.glob("demo2*cuts*")) and "index_recipients" not in modo.metadata["data/demo2"]
    assert modo.find_problems() == []


def test_it_goes_with_the_file(modo, folder, tmp_path):
    modo.update_element("data/demo2", {"data_path": "reads/other.bam.c4gh"})
    assert (folder / "reads/other.bam.cuts.c4gh").is_file() and not list(folder.glob("demo2*cuts*"))
    assert cuts_of(modo, "data/demo2", SERVER)
    copied = modo.download(tmp_path / "copy")
    assert cuts_of(copied, "data/demo2", SERVER) and copied.find_problems() == []
    modo.remove_element("data/demo2")
    assert not (folder / "reads/other.bam.cuts.c4gh").exists()


def test_a_file_without_index_has_none(example, tmp_path, caplog):
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "ex"))
    (tmp_path / "ex/demo2.bam.bai").unlink()
    modo.encrypt(ME.public, elements=["data/demo2"], index_for=SERVER.public)
    assert "has no index" in caplog.text and "index_recipients" not in modo.metadata["data/demo2"]
    assert not list((tmp_path / "ex").glob("*.cuts.c4gh"))


def test_another_one_in_its_place_is_found_out(modo, folder):
    path = folder / cuts_name(modo.metadata["data/demo2"]["data_path"])
    of_other = folder / cuts_name(modo.metadata["data/demo1"]["data_path"])
    whole = path.read_bytes()
    for data in (of_other.read_bytes(), whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(data)
        with pytest.raises(ChecksumMismatch):
            cuts_of(modo, "data/demo2", SERVER)
        assert any("cuts" in problem.message for problem in modo.find_problems())
    path.unlink()
    with pytest.raises(NotFoundError):
        cuts_of(modo, "data/demo2", SERVER)
    modo.share(ME, [HER.public])  # makes it anew
    assert cuts_of(modo, "data/demo2", SERVER) and modo.find_problems() == []


def test_it_cannot_be_set_by_hand(modo):
    for slot in ("index_recipients", "cuts_checksum"):
        with pytest.raises(InvalidInputError):
            modo.update_element("data/demo2", {slot: [str(OTHER.public)] if slot == "index_recipients" else "0" * 128})


def test_the_commands_say_so(folder, tmp_path):
    for name in ("me", "her", "server"):
        generate(tmp_path / f"{name}.sec", tmp_path / f"{name}.pub", None)
    me, her, server = (tmp_path / f"{name}.pub" for name in ("me", "her", "server"))
    secret = load_public_key(server)

    def modos(*words) -> str:
        done = commands.run(words, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    modos("c4gh", "encrypt", "-p", me, "--index-for", server, "--yes", folder)
    told = json.loads(modos("c4gh", "recipients", "--json", folder))
    assert told["data/demo1"]["index_recipients"] == [secret.fingerprint]
    assert f"{secret.fingerprint}  (a server: finds regions, opens no data)" in modos("c4gh", "recipients", folder)
    modos("c4gh", "share", "-s", tmp_path / "me.sec", "-p", her, folder)
    modos("c4gh", "revoke", "-s", tmp_path / "me.sec", "--index-for", server, folder)
    assert json.loads(modos("c4gh", "recipients", "--json", folder))["data/demo1"]["index_recipients"] == []
    modos("c4gh", "share", "-s", tmp_path / "me.sec", "--index-for", server, folder)
    assert json.loads(modos("c4gh", "recipients", "--json", folder))["data/demo1"]["index_recipients"] == [secret.fingerprint]
    assert commands.run(["c4gh", "share", "-s", tmp_path / "me.sec", folder], capture_output=True).returncode == 2
