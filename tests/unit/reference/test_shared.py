"""A cache that several users write to: what one has put there harms no file of another."""

import hashlib
import os

import pytest

from modos.reference.cache import Wanted, bring, clear, sequence_path
from modos.reference.cached_store import keep
from modos.reference.shared import open_part
from modos.storage import open_storage
from modos.storage.modes import create_file

BASES = b"ACGTACGTTTGA" * 50
MD5 = hashlib.md5(BASES).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    folder = sequence_path(MD5).parent
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def diary(tmp_path):
    """A file of a user that has nothing to do with the cache."""
    path = tmp_path / "diary"
    path.write_bytes(b"dear diary")
    path.chmod(0o600)
    return path


def fetch():
    path = bring(Wanted(sequence_path(MD5), len(BASES), "md5", MD5, "a sequence"), lambda start: iter([BASES[start:]]))
    assert path.read_bytes() == BASES and path.stat().st_mode & 0o7777 == 0o644 and not path.is_symlink()


def part_names(folder):
    name = sequence_path(MD5).name
    return [folder / f".{name}.part", folder / f".{name}.{os.geteuid()}.part"]


def is_untouched(diary):
    return diary.read_bytes() == b"dear diary" and diary.stat().st_mode & 0o777 == 0o600


def test_what_a_link_in_the_place_of_a_part_leads_to_is_not_written(cache, diary):
    for name in part_names(cache):
        name.symlink_to(diary)
    fetch()
    assert is_untouched(diary)


def test_another_name_of_a_file_is_no_part(cache, diary):
    for name in part_names(cache):
        os.link(diary, name)
    fetch()
    assert is_untouched(diary)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"AAAA")], ids=["a pipe", "a file that others write"])
def test_what_others_could_write_to_is_begun_anew(cache, make):
    for name in part_names(cache):
        make(name)
        name.chmod(0o666)
    fetch()


def test_an_own_part_is_gone_on_with(cache):
    with open_part(part_names(cache)[1]) as file:
        file.write(BASES[:100])
    asked = []
    bring(Wanted(sequence_path(MD5), len(BASES), "md5", MD5, "x"), lambda start: asked.append(start) or iter([BASES[start:]]))
    assert asked == [100] and sequence_path(MD5).read_bytes() == BASES


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to make a file another's")
def test_a_part_of_another_user_is_begun_anew(cache):
    for name in part_names(cache):
        name.write_bytes(BASES[:100])
        name.chmod(0o644)
        os.chown(name, 65534, 65534)
    fetch()
    assert sequence_path(MD5).stat().st_uid == 0


def test_clearing_does_not_follow_links_to_folders(cache, tmp_path, diary):
    folder = tmp_path / "documents"
    folder.mkdir()
    diary.rename(folder / "diary")
    (cache.parent / "zz").symlink_to(folder)
    sequence_path(MD5).write_bytes(BASES)
    clear()
    assert is_untouched(folder / "diary") and not sequence_path(MD5).exists()


def test_what_is_remembered_of_a_store_goes_through_no_link(tmp_path, diary):
    kept = tmp_path / "cache" / "mini.json"
    (tmp_path / "cache" / f".mini.json.{os.getpid()}").symlink_to(diary)
    keep(kept, b"{}")
    assert is_untouched(diary) and kept.read_bytes() == b"{}"


def test_a_link_among_parts_of_a_store_is_not_gone_on_with(tmp_path, diary):
    (tmp_path / "store").mkdir()
    part = tmp_path / "store" / ".a.bam.9f3a01c2-1-5be0c1d2.part"
    part.symlink_to(diary)
    os.utime(part, (1, 1), follow_symlinks=False)
    os.utime(diary, (1, 1))
    storage = open_storage(tmp_path / "store")
    assert storage.kept_size("a.bam") == 0
    storage.write_stream("a.bam", iter([b"BAM"]), size=3, resume=True)
    assert is_untouched(diary) and (tmp_path / "store" / "a.bam").read_bytes() == b"BAM"
    with pytest.raises(OSError):
        create_file(part, flags=os.O_APPEND)
    assert is_untouched(diary)
