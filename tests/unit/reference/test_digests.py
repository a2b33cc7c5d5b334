"""Digests of references are computed from the bytes: those of a stranger's store, and of a cache that others write to, are not believed."""

import json
import os
import time
from pathlib import Path

import pytest

from modos.errors import IntegrityError, NotFoundError
from modos.reference import proofs
from modos.reference.adding import add_files, push
from modos.reference.assembly import Assembly, StoredContig, assembly_key, sequence_key
from modos.reference.cache import sequence_path, table_path
from modos.reference.cached_store import CachedStore, find_missing
from modos.reference.digests import seqcol_digest
from modos.reference.locate import open_reference, open_store
from modos.reference.store import ReferenceStore
from modos.storage.local import LocalStorage
from tests.support import commands

TRUE, OTHER = "GATTACAGATTACA", "GATTACAGATTACC"


class FarStorage(LocalStorage):
    """A folder that behaves like one that is elsewhere."""

    is_remote = True
    url = "far://refs"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process that has computed nothing."""
    monkeypatch.setattr(proofs, "_known", {})


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path, "refs", TRUE)


def make_store(tmp_path, name, bases):
    (tmp_path / f"{name}.fa").write_text(f">chr1\n{bases}\n")
    store = open_store(tmp_path / name)
    add_files(store, "mini", [str(tmp_path / f"{name}.fa")])
    return store


@pytest.fixture
def forged(tmp_path, store):
    """A store with other bases, by their MD5, that calls them by the `SQ.` and seqcol digests of the true ones."""
    evil, true = make_store(tmp_path, "evil", OTHER), store.assembly("mini")
    contig = evil.assembly("mini").contig("chr1")
    contigs = (StoredContig("chr1", contig.length, contig.md5, true.contig("chr1").ga4gh),)
    evil.storage.write(assembly_key("mini"), Assembly("mini", contigs, seqcol_digest([vars(c) for c in contigs])).to_bytes())
    assert evil.assembly("mini").seqcol == true.seqcol
    return evil


def test_a_forged_digest_of_a_store_of_this_machine_gives_no_bases(tmp_path, store, forged):
    seqcol = store.assembly("mini").seqcol
    assert open_reference("mini", tmp_path / "refs", seqcol=seqcol).dna("chr1", 0, 14) == TRUE
    for asked in (seqcol, None):
        with pytest.raises(IntegrityError, match="GA4GH"):
            open_reference("mini", tmp_path / "evil", seqcol=asked).dna("chr1", 0, 14)


def test_a_forged_digest_of_a_store_elsewhere_gives_no_bases(tmp_path, store, forged, monkeypatch):
    seqcol = store.assembly("mini").seqcol
    monkeypatch.setattr("modos.reference.locate.open_folder", lambda place, *_: FarStorage(Path(place)))
    assert open_reference("mini", tmp_path / "refs", seqcol=seqcol).dna("chr1", 0, 14) == TRUE
    with pytest.raises(IntegrityError):
        open_reference("mini", tmp_path / "evil", seqcol=seqcol).dna("chr1", 0, 14)
    with pytest.raises(IntegrityError):
        CachedStore(ReferenceStore(FarStorage(tmp_path / "evil"))).locate(forged.assembly("mini").contig("chr1"))
    assert not sequence_path(forged.assembly("mini").contig("chr1").md5).exists()


@pytest.mark.parametrize("has_bases", [False, True], ids=["that lacks the bases", "that has the bases by their own name"])
def test_a_forged_digest_is_not_pushed_into_a_clean_store(tmp_path, forged, has_bases):
    clean = open_store(tmp_path / "clean")
    if has_bases:
        (tmp_path / "own.fa").write_text(f">1\n{OTHER}\n")
        add_files(clean, "own", [str(tmp_path / "own.fa")])
    with pytest.raises(IntegrityError, match="GA4GH"):
        push(forged, clean, "mini")
    assert list(clean.index()) == (["own"] if has_bases else [])


def test_what_is_right_is_pushed(tmp_path, store):
    clean = open_store(tmp_path / "clean")
    assert push(store, clean, "mini") == 14 and push(store, clean, "mini") == 0 and list(clean.verify("mini")) == []


def poisoned(tmp_path):
    """A cached store, and its contig, in whose place is another one of the same size."""
    cached = CachedStore(ReferenceStore(FarStorage(tmp_path / "refs")))
    contig = cached.assembly("mini").contig("chr1")
    path = sequence_path(contig.md5)
    path.parent.mkdir(parents=True)
    path.write_text(OTHER)
    return cached, contig


def test_a_poisoned_file_in_the_cache_is_fetched_anew(tmp_path, store):
    cached, contig = poisoned(tmp_path)
    assert find_missing(cached, [contig]) == [contig]
    assert cached.locate(contig).read_text() == TRUE and find_missing(cached, [contig]) == []


def test_offline_a_poisoned_file_is_not_used(tmp_path, store, monkeypatch):
    cached, contig = poisoned(tmp_path)
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    with pytest.raises(NotFoundError):
        cached.locate(contig)


def test_a_poisoned_table_is_not_used(tmp_path, store):
    import hashlib

    import polars as pl

    pl.DataFrame({"contig": ["a"]}).write_parquet(tmp_path / "true.parquet")
    true = (tmp_path / "true.parquet").read_bytes()
    evil = bytes(len(true))
    store.storage.write("annotations/a/v1/x.parquet", true)
    digest = hashlib.sha256(true).hexdigest()
    path = table_path(digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(evil)
    far = CachedStore(ReferenceStore(FarStorage(tmp_path / "refs")))
    assert far.locate_file("annotations/a/v1/x.parquet", len(true), digest).read_bytes() == true
    (tmp_path / "refs/annotations/a/v1/x.parquet").write_bytes(evil)
    with pytest.raises(IntegrityError):
        CachedStore(store).locate_file("annotations/a/v1/x.parquet", len(true), digest)


def aged(path):
    """A file that was not changed just now."""
    time.sleep(0.1 if path.stat().st_ctime_ns % 1_000_000 else 3)
    return path


def count_hashes(monkeypatch):
    made = []
    monkeypatch.setattr(proofs, "new_digests", lambda kind: made.append(kind) or proofs.SequenceDigests())
    return made


def test_digests_are_computed_once(tmp_path, store, monkeypatch):
    contig = store.assembly("mini").contig("chr1")
    path = aged(store.storage.local_path(sequence_key(contig.md5)))
    path.chmod(0o644)
    aged(path)
    CachedStore(store).locate(contig)
    made = count_hashes(monkeypatch)
    CachedStore(store).locate(contig)
    monkeypatch.setattr(proofs, "_known", {})  # as in another process
    CachedStore(store).locate(contig)
    assert made == []
    os.utime(path)
    CachedStore(store).locate(contig)
    assert made == ["md5"]


@pytest.mark.parametrize("where", ["the note", "the folder of notes", "the file"])
def test_a_note_that_others_could_have_written_is_not_believed(tmp_path, store, monkeypatch, where):
    contig = store.assembly("mini").contig("chr1")
    path = store.storage.local_path(sequence_key(contig.md5))
    path.chmod(0o644)
    CachedStore(store).locate(contig) if aged(path) else None
    note = proofs._note_of(path)
    assert note.exists()
    monkeypatch.setattr(proofs, "_known", {})
    path.write_text(OTHER)
    path.chmod(0o666 if where == "the file" else 0o644)
    given = json.loads(note.read_text())
    note.write_text(json.dumps(given | {"marks": proofs.file_marks(path.stat())}))
    if where == "the note":
        note.chmod(0o666)
    if where == "the folder of notes":
        note.parent.chmod(0o777)
    with pytest.raises(IntegrityError, match="MD5"):
        CachedStore(store).locate(contig)


def test_the_cache_is_verified_whatever_is_noted(tmp_path, store):
    cached = CachedStore(ReferenceStore(FarStorage(tmp_path / "refs")))
    path = cached.locate(cached.assembly("mini").contig("chr1"))
    words = ["reference", "cache", "--verify"]
    done = commands.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "what their names say" in done.stderr
    path.write_text(OTHER)
    done = commands.run(words, capture_output=True, text=True, timeout=60)
    assert (
        done.returncode == 6 and done.stdout == f"{path}\n" and "1 file in" in done.stderr and len(done.stderr.splitlines()) <= 2
    )
