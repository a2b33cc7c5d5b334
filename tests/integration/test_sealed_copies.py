"""A copy of an encrypted file begins with the header of the original, whatever was there before."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, TransportError
from modos.storage.local import LocalStorage
from tests.support.older import forget_digests

ME, FRIEND, OTHER = SecretKey.random(), SecretKey.random(), SecretKey.random()
KEYS = ("demo2.bam.c4gh", "demo2.bam.bai.c4gh", "calls.vcf.gz.c4gh")
AT = 40  # a byte of the header


@pytest.fixture(params=["digests", "none"])
def sealed(request, example, tmp_path) -> MODO:
    """An encrypted object, of this version or of one without digests."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    MODO.open(tmp_path / "ex").encrypt(ME.public, ME)
    if request.param == "none":
        forget_digests(tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


def flip(data: bytes) -> bytes:
    return data[:AT] + bytes([data[AT] ^ 1]) + data[AT + 1 :]


def interrupt(sealed: MODO, target, monkeypatch, key: str, pieces) -> None:
    """Download an object until it comes to a file, of which some pieces come."""
    whole = LocalStorage.iter_range

    def faulty(self, name, start, end, unit=1):
        if name != key:
            yield from whole(self, name, start, end, unit)
            return
        yield from pieces(whole(self, name, start, end, unit))
        raise TransportError("the line broke")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStorage, "iter_range", faulty)
        with pytest.raises(TransportError):
            sealed.download(target)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_kept_of_a_header_is_not_believed(sealed, tmp_path, monkeypatch, key):
    interrupt(sealed, tmp_path / "back", monkeypatch, key, lambda pieces: [flip(next(pieces)[:100])])
    sealed.download(tmp_path / "back")
    assert (tmp_path / "back" / key).read_bytes() == (sealed.path / key).read_bytes()


@pytest.mark.parametrize("key", KEYS)
def test_a_whole_file_that_was_left_with_another_header_is_sent_again(sealed, tmp_path, monkeypatch, key):
    interrupt(sealed, tmp_path / "back", monkeypatch, "cohort.bcf.csi.c4gh", lambda pieces: [])
    left = tmp_path / "back" / key
    data = (sealed.path / key).read_bytes()
    left.write_bytes(flip(data))
    sealed.download(tmp_path / "back")
    assert left.read_bytes() == data


def test_a_file_with_another_header_under_its_old_key_is_not_taken_for_the_same(example, tmp_path):
    """With as many recipients it has as many bytes, and the same body."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    modo, path = MODO.open(tmp_path / "ex"), "demo2.bam.c4gh"
    modo.encrypt([ME.public, FRIEND.public], ME)
    copy = modo.download(tmp_path / "back")
    modo.revoke(ME, FRIEND.public, elements=["data/demo2"])
    modo.share(ME, OTHER.public, elements=["data/demo2"])
    for name in ("other.bam.c4gh", path):
        modo.update_element("data/demo2", {"data_path": name})
    assert modo.path.joinpath(path).stat().st_size == copy.path.joinpath(path).stat().st_size
    with pytest.raises(ConflictError, match=f"has another file demo2.bam.bai.c4gh, {path} than"):
        modo.download(tmp_path / "back")
    assert copy.find_problems() == []
