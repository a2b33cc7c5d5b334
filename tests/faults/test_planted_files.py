"""What another user has put in the place where a file is to be made: links, pipes, names of other files, files of theirs.

Nothing is written through it, nobody waits for it, and it is not taken for one's own. Run by root, they are planted by another user.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets as random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from modos.demo.init import make_secrets
from modos.errors import ModosError
from modos.reference import proofs
from modos.reference.cache import Wanted, bring, sequence_path
from modos.reference.cached_store import keep
from modos.storage import open_storage

BASES = b"GATTACA" * 50
MD5 = hashlib.md5(BASES).hexdigest()
IS_ROOT = os.geteuid() == 0 and shutil.which("setpriv")
PLANT = """
import os, sys
kind, place, diary = sys.argv[1:]
{"a link": lambda: os.symlink(diary, place), "a dangling link": lambda: os.symlink(diary + ".new", place), "a pipe": lambda: os.mkfifo(place),
 "another name": lambda: os.link(diary, place), "a file": lambda: open(place, "w").write("planted")}[kind]()
"""
KINDS = ["a link", "a dangling link", "a pipe", "another name", "a file"]


@pytest.fixture(autouse=True)
def deadline():
    """Nothing may wait."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the pipe"))
    signal.alarm(300)
    yield
    signal.alarm(0)


@pytest.fixture
def tmp_path():
    """One that everybody can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="modos-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def open_folder(tmp_path):
    """A folder that everybody can write to."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def diary(tmp_path, open_folder):
    path = tmp_path / "diary"
    path.write_bytes(b"dear diary")
    path.chmod(0o600)
    yield path
    assert path.read_bytes() == b"dear diary" and path.stat().st_mode & 0o777 == 0o600 and path.stat().st_uid == os.geteuid()
    assert not path.with_name("diary.new").exists()


def plant(kind, place, diary):
    own = kind == "another name"  # protected_hardlinks of Linux keeps others from it
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if IS_ROOT and not own else []
    subprocess.run(
        [*command, "/usr/bin/python3" if command else sys.executable, "-c", PLANT, kind, str(place), str(diary)], check=True
    )


def fetch(folder, monkeypatch):
    monkeypatch.setenv("MODOS_CACHE_DIR", str(folder))
    path = bring(Wanted(sequence_path(MD5), len(BASES), "md5", MD5, "x"), lambda start: iter([BASES[start:]]))
    assert path.read_bytes() == BASES and not path.is_symlink() and path.stat().st_uid == os.geteuid()


def planted_cache(name):
    """A folder of a cache that everybody can write to, with something planted below it."""

    def make(folder, monkeypatch, kind, diary):
        place = folder / name
        for one in reversed([place.parent, *place.parent.parents]):
            if folder in one.parents:
                one.mkdir(exist_ok=True)
                one.chmod(0o777)
        plant(kind, place, diary)
        fetch(folder, monkeypatch)

    return make


def a_file_of_an_object(folder, monkeypatch, kind, diary):
    plant(kind, folder / "a.bam", diary)
    storage = open_storage(folder)
    with pytest.raises(ModosError):
        storage.write_stream("a.bam", iter([b"BAM"]), size=3)
    if kind not in ("a link", "a dangling link"):
        storage.write("a.bam", b"BAM")
        assert (folder / "a.bam").read_bytes() == b"BAM" and not (folder / "a.bam").is_symlink()


def a_part_of_an_upload(folder, monkeypatch, kind, diary):
    part = folder / ".a.bam.9f3a01c2-1-5be0c1d2.part"
    plant(kind, part, diary)
    os.utime(part, (1, 1), follow_symlinks=False)
    storage = open_storage(folder)
    assert storage.kept_size("a.bam") == 0 or not IS_ROOT
    if kind == "a file" and not IS_ROOT:
        return
    storage.write_stream("a.bam", iter([b"BAM"]), size=3, resume=True)
    assert (folder / "a.bam").read_bytes() == b"BAM"


def a_lock(folder, monkeypatch, kind, diary):
    (folder / ".modos").mkdir()
    (folder / ".modos").chmod(0o777)
    plant(kind, folder / ".modos/.commit.lock", diary)
    try:
        open_storage(folder).write("a", b"x", if_absent=True)
    except ModosError as error:
        assert len(str(error).splitlines()) == 1


def an_output(folder, monkeypatch, kind, diary):
    from modos.storage.modes import replace_output

    plant(kind, folder / "out", diary)
    with replace_output(folder / "out") as descriptor:
        os.write(descriptor, b"data")
    assert (
        (folder / "out").read_bytes() == b"data" and not (folder / "out").is_symlink() and (folder / "out").stat().st_nlink == 1
    )


def what_is_kept_of_a_store(folder, monkeypatch, kind, diary):
    plant(kind, folder / "mini.json", diary)
    monkeypatch.setenv("MODOS_CACHE_DIR", str(folder))
    keep(folder / "mini.json", b"{}")
    assert (folder / "mini.json").read_bytes() == b"{}" and not (folder / "mini.json").is_symlink()


def a_note(folder, monkeypatch, kind, diary):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    path = diary.with_name("sequence")
    path.write_bytes(BASES)
    note = proofs._note_of(path)
    note.parent.mkdir(parents=True)
    for one in (note.parent, note.parent.parent):
        one.chmod(0o777)
    plant(kind, note, diary)
    proofs._known.clear()
    assert proofs.digests_of(path, "md5")["md5"] == MD5


def keys(folder, monkeypatch, kind, diary):
    from modos.encryption.keys import generate

    plant(kind, folder / "me.sec", diary)
    with pytest.raises(ModosError):
        generate(folder / "me.sec", folder / "me.pub", None)
    assert not (folder / "me.pub").exists()


def passwords_of_a_stack(folder, monkeypatch, kind, diary):
    plant(kind, folder / "s3-root-password", diary)
    if kind == "another name":
        return  # that of a file of one's own, which nobody else reads
    with pytest.raises(ModosError, match="known to others"):
        make_secrets(folder)


def passwords_below_a_link(folder, monkeypatch, kind, diary):
    plant(kind, folder / "run", diary.parent if kind == "a link" else diary)
    with pytest.raises((OSError, ModosError)):
        make_secrets(folder / "run")


def tokens(folder, monkeypatch, kind, diary):
    from modos.remote.tokens import Login, _write_file, token_file

    monkeypatch.setenv("MODOS_CONFIG_DIR", str(folder))
    plant(kind, folder / "tokens.json", diary)
    _write_file({"http://x": vars(Login("secret"))})
    assert (
        token_file().stat().st_mode & 0o777 == 0o600
        and token_file().stat().st_uid == os.geteuid()
        and not token_file().is_symlink()
    )


def demo_files(folder, monkeypatch, kind, diary):
    from modos.cli.demo import _write_files

    plant(kind, folder / "demo", diary)
    with pytest.raises(ModosError):
        _write_files(folder / "demo")


MD5_PATH = f"sequences/{MD5[:2]}/{MD5[2:4]}/{MD5[4:]}"
PLACES = [
    planted_cache(MD5_PATH),
    planted_cache(f"sequences/{MD5[:2]}/{MD5[2:4]}/.{MD5[4:]}.{os.geteuid()}.part"),
    a_file_of_an_object,
    a_part_of_an_upload,
    a_lock,
    an_output,
    what_is_kept_of_a_store,
    a_note,
    keys,
    passwords_of_a_stack,
    passwords_below_a_link,
    tokens,
    demo_files,
]
NAMES = ["a sequence", "a part of a sequence", *(place.__name__ for place in PLACES[2:])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", PLACES, ids=NAMES)
def test_what_was_planted_harms_nothing(open_folder, monkeypatch, diary, make, kind):
    make(open_folder, monkeypatch, kind, diary)


def test_a_lock_of_the_cache_that_is_a_link_is_refused(open_folder, monkeypatch, diary):
    (open_folder / "locks").mkdir()
    (open_folder / "locks").chmod(0o777)
    for number in range(256):
        (open_folder / "locks" / f"{number:02x}").symlink_to(diary)
    with pytest.raises(ModosError, match="cannot write to the cache"):
        fetch(open_folder, monkeypatch)


@pytest.mark.skipif(not IS_ROOT, reason="takes root to be two users")
@pytest.mark.parametrize("folder", ["locks", "sequences", f"sequences/{MD5[:2]}"])
def test_folders_of_the_cache_are_no_links_of_others(open_folder, monkeypatch, diary, folder):
    elsewhere = diary.parent / "documents"
    elsewhere.mkdir()
    place = open_folder / folder
    place.parent.mkdir(exist_ok=True)
    place.parent.chmod(0o777)
    plant("a link", place, elsewhere)
    with pytest.raises(ModosError, match="made it a link"):
        fetch(open_folder, monkeypatch)
    assert not list(elsewhere.iterdir())


def test_own_links_in_the_cache_are_followed(open_folder, monkeypatch, diary):
    (diary.parent / "large").mkdir()
    (open_folder / "sequences").symlink_to(diary.parent / "large")
    fetch(open_folder, monkeypatch)


def test_a_part_that_is_exchanged_while_it_is_opened_is_not_written(open_folder, monkeypatch, diary):
    part = open_folder / f".a.bam.9f3a01c2-1-{random.token_hex(4)}.part"
    part.write_bytes(b"B")
    os.utime(part, (1, 1))
    real = os.rename

    def rename(source, target):
        real(source, target)
        os.unlink(target)
        os.link(diary, target)

    monkeypatch.setattr("modos.storage.local.os.rename", rename)
    with pytest.raises(ModosError, match="replaced by somebody else"):
        open_storage(open_folder).write_stream("a.bam", iter([b"AM"]), size=3, resume=True)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    import numpy as np

    from modos.api import MODO

    folder = tmp_path_factory.mktemp("tracks")
    (folder / "sizes").write_text("chr1\t1000\n")
    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=folder / "sizes")
    modo.add_track("t", {"chr1": np.arange(1000, dtype=np.float32)})
    return modo.genome.track("t")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x.bw", "x.bedGraph", "x.bedGraph.gz", "x.wig", "x.svg", "x.png"])
def test_exports_and_pictures_are_not_written_through_what_was_planted(track, open_folder, diary, kind, name):
    from modos.figures import plot, save
    from modos.tracks.export import export

    target = open_folder / name
    plant(kind, target, diary)
    save(plot([track], "chr1"), target) if name.endswith(("svg", "png")) else export(track, str(target), force=True)
    data = target.read_bytes()
    assert not target.is_symlink() and target.stat().st_nlink == 1 and len(data) > 100
    if name.endswith("bw"):
        from modos.tracks.bigwig import open_bigwig

        assert open_bigwig(str(target)).track("x").values("chr1:11-13").tolist() == [10, 11, 12]
    if name.endswith("gz"):
        assert gzip.decompress(data).startswith(b"chr1\t0\t1\t0\n") or b"chr1\t1\t2\t1" in gzip.decompress(data)


def test_the_pipe_in_the_place_of_a_sequence_is_not_waited_for_by_htslib(open_folder, monkeypatch):
    """Though the sequence is not to be had, and the cache is searched for others."""
    from modos.reference.assembly import StoredContig
    from modos.reference.cache import has_sequence

    monkeypatch.setenv("MODOS_CACHE_DIR", str(open_folder))
    sequence_path(MD5).parent.mkdir(parents=True)
    os.mkfifo(sequence_path(MD5))
    assert not has_sequence(StoredContig("chr1", len(BASES), MD5, "")) and not sequence_path(MD5).exists()


def test_a_pipe_in_an_archive_of_genomedata_is_not_waited_for(tmp_path):
    pytest.importorskip("h5py")
    from modos.tracks.genomedata import Archive

    os.mkfifo(tmp_path / "chr1.genomedata")
    with pytest.raises(ModosError, match="is no file"):
        Archive(tmp_path)
