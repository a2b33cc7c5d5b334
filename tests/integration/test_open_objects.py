"""An object that is open shows what others commit: at once on a folder, within a second on a server, and never a mixture."""

from __future__ import annotations

import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from modos.api import MODO
from modos.encryption.keys import generate
from modos.encryption.view import DecryptedView
from modos.errors import ConflictError, NotFoundError, TransportError
from modos.genomics.planning import Planner
from modos.object.document import ROOT_KEY, Document
from modos.object.newest import Newest
from modos.object.open_object import OpenObject
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from tests.support.hard_files import CASES
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep(6)


@pytest.fixture(params=["folder", "s3"])
def opened(request, tmp_path):
    """Opens the same object again and again, and says how long it takes until one sees what another has committed."""
    if request.param == "folder":
        path, options = tmp_path / "ex", {}
    else:
        from modos.demo.stack import BUCKET, CREDENTIALS

        stack = request.getfixturevalue("stack")
        path, options = f"s3://{BUCKET}/open/{tmp_path.name}", {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}

    def open_object() -> MODO:
        return MODO(path, **options)

    open_object.wait = 0.0 if request.param == "folder" else 1.1
    return open_object


def again(modo):
    """The object at the same address, opened by somebody who knows nothing of it."""
    return MODO(OpenObject(modo._object.address))


@pytest.mark.core
@pytest.mark.sweep(1)
def test_what_one_commits_the_other_sees(opened, tmp_path):
    source = CASES["vcf-tbi"](tmp_path).path
    (tmp_path / "other").mkdir()
    other = CASES["vcf-other-order"](tmp_path / "other").path
    generate(tmp_path / "key.sec", tmp_path / "key.pub", None)
    writer, reader = opened(), opened()
    commits = [
        lambda: writer.add_element({"id": "a", "@type": "VariantSet"}, source),
        lambda: writer.add_element({"id": "s", "@type": "Sample"}),
        lambda: writer.update_element("a", {"description": "x"}, other),
        lambda: writer.encrypt([tmp_path / "key.pub"]),
        lambda: writer.remove_element("s"),
    ]
    for commit in commits:
        before = reader.metadata
        commit()
        time.sleep(opened.wait)
        expected = again(reader).metadata
        assert reader.metadata == expected != before
        assert reader.show_contents() == writer.show_contents() and reader.list_nodes() == writer.list_nodes()
        assert reader._repr_html_() == writer._repr_html_() and reader.checksum() == writer.checksum()
        assert reader.refresh() is False


def test_refresh_looks_at_once(opened):
    writer, reader = opened(), opened()
    for number in range(3):
        assert reader.metadata and reader.refresh() is False
        writer.add_element({"id": f"s{number}", "@type": "Sample"})
        assert reader.refresh() is True and f"sample/s{number}" in reader.metadata
        assert f"sample/s{number}" in writer.metadata


def test_a_transaction_starts_from_the_newest(opened):
    writer, other = opened(), opened()
    assert other.metadata
    writer.add_element({"id": "s", "@type": "Sample"})
    with other.transaction() as transaction:
        assert "sample/s" in transaction.view
        transaction.update_element("s", {"sex": "Male"})
    assert writer.refresh() and writer.metadata["sample/s"]["sex"] == "Male"


def test_an_object_that_is_removed_is_not_found(opened):
    reader = opened()
    again(reader).remove_object()
    time.sleep(opened.wait)
    for ask in (
        lambda: reader.metadata,
        reader.show_contents,
        reader.list_samples,
        lambda: reader["x"],
        reader.refresh,
    ):
        with pytest.raises(NotFoundError, match="no MODO at"):
            ask()
    assert "no MODO at" in reader._repr_html_(), "a notebook shows the reason"


def test_a_server_is_asked_once_a_second_and_one_that_is_away_is_said(stack, tmp_path, monkeypatch):
    from modos.demo.stack import BUCKET, CREDENTIALS

    place = f"s3://{BUCKET}/open/{tmp_path.name}"
    writer = MODO(place, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    writer.add_element({"id": "s", "@type": "Sample"})
    with Proxy(stack.s3) as proxy:
        reader = MODO.open(place, services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        begin, before, answered = time.monotonic(), proxy.count, proxy.answered
        wait_until(lambda: "sample/s" in reader.metadata and proxy.count >= before + 2)
        asked, seconds = proxy.requests[before:], time.monotonic() - begin
        assert len(asked) <= seconds + 1 and {method for method, _, _ in asked} == {"GET"}
        assert proxy.answered == answered  # nothing but that it is the same
        with monkeypatch.context() as patched:
            patched.setattr("modos.object.newest._FRESH", 60.0)
            reader.refresh()
            count = proxy.count
            proxy.fault = cut_off
            for _ in range(100):
                assert "sample/s" in reader.metadata
            assert proxy.count == count
        time.sleep(1.1)
        for ask in (lambda: reader.metadata, reader.refresh):
            with pytest.raises(TransportError):
                ask()
        proxy.fault = None
        assert "sample/s" in reader.metadata


def cut_off(proxy: Proxy, handler, answer) -> None:
    """Let no answer through."""
    raise ConnectionResetError


def test_what_is_served_without_keys_is_new_within_a_second(stack, tmp_path, monkeypatch):
    from modos.demo.stack import BUCKET, CREDENTIALS
    from modos.errors import RemoteError
    from modos.remote.served import ServedStorage
    from modos.server.app import create_app
    from modos.server.auth import Access
    from modos.server.rules import Rule, Rules
    from modos.server.run import BackgroundServer
    from modos.storage.s3 import S3Storage

    def none(*_, **__):
        raise RemoteError("the S3 server gives no temporary credentials")

    monkeypatch.setattr("modos.storage.sts.scoped_credentials", none)
    monkeypatch.setenv("MODOS_TOKEN", "a-token-of-many-letters")
    writer = MODO(f"s3://{BUCKET}/served-{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS)
    rules = Rules((Rule(frozenset({"user:alice"}), read=(f"served-{tmp_path.name}",)),))
    with BackgroundServer(create_app(storage, access=Access({"a-token-of-many-letters": "alice"}, rules))) as server:
        reader = MODO.open(f"s3://{BUCKET}/served-{tmp_path.name}", endpoint=server.url)
        assert isinstance(reader.storage, ServedStorage)
        assert reader.metadata and reader.refresh() is False
        writer.add_element({"id": "s", "@type": "Sample"})
        assert reader.refresh() is True and "sample/s" in reader.metadata
        writer.remove_element("s")
        time.sleep(1.1)
        assert "sample/s" not in reader.metadata


def test_nothing_is_read_anew_where_nothing_has_changed(tmp_path, monkeypatch):
    modo = MODO(tmp_path / "ex")
    time.sleep(0.1)
    document = modo._document
    assert document is modo._document
    monkeypatch.setattr(LocalStorage, "read", lambda *_: pytest.fail("it was read"))
    assert modo.refresh() is False and modo._document is document and modo.metadata


def test_files_of_one_moment_and_one_size_and_one_inode_are_told_apart(tmp_path, monkeypatch):
    """As where two commits follow each other within a tick of the clock, and the second gets the inode of the first."""
    storage = LocalStorage(tmp_path)
    _, tag = storage.write("a", b"1"), storage.read("a")[1]
    real = os.fstat

    def same(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        now = time.time_ns()
        return os.stat_result(
            (found.st_mode, 7, 1, 1, 0, 0, found.st_size, 0, 0, 0),
            {"st_mtime_ns": fixed or now, "st_ctime_ns": fixed or now, "st_atime_ns": 0},
        )

    fixed = time.time_ns() // 1000 * 1000 + 1
    monkeypatch.setattr("modos.storage.local.os.fstat", same)
    assert storage.read("a") == (b"1", tag)
    (tmp_path / "a").write_bytes(b"2")
    assert storage.read_changed("a", tag) is not None


def test_an_old_layout_is_seen_to_be_brought_up_to_date(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "old/data.zarr"), mode="w", zarr_format=2)
    group.attrs.update({"@type": "MODO", "id": "old", "creation_date": "2024-01-01", "last_update_date": "2024-01-01"})
    zarr.consolidate_metadata(group.store, zarr_format=2)
    reader, writer = MODO.open(tmp_path / "old"), MODO.open(tmp_path / "old")
    assert reader._document.zarr_format == 2 and reader._document is reader._document
    writer.upgrade()
    assert reader._document.zarr_format == 3


def replaced(modo: MODO, tmp_path) -> None:
    """Have another file under the key of the one that is there."""
    (tmp_path / "other").mkdir()
    modo.remove_element("a")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-no-contig-lines"](tmp_path / "other").path)


def test_a_file_that_was_opened_is_not_another_one(opened, tmp_path):
    writer, reader = opened(), opened()
    writer.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    reader.refresh()
    old, element = reader.file("a.vcf.gz"), reader["a"]
    contigs = list(old.header.contigs)
    assert old.count("chr1")
    replaced(writer, tmp_path)
    reader.refresh()
    for ask in (
        lambda: old.count("chr1"),
        lambda: list(old.fetch()),
        lambda: b"".join(old.iter_bytes("chr1")),
        lambda: element.file,
        lambda: element.count("chr1"),
    ):
        with pytest.raises(ConflictError, match="since it was opened"):
            ask()
    new = reader.file("a.vcf.gz")
    direct = again(reader).file("a.vcf.gz")
    assert list(new.header.contigs) == list(direct.header.contigs) != contigs
    assert [str(record) for record in new.fetch("chr1")] == [str(record) for record in direct.fetch("chr1")]
    assert new.count() == direct.count() and reader["a"].count("chr2") == direct.count("chr2")


def test_a_file_that_stays_is_read_on_while_others_commit(opened, tmp_path):
    writer, reader = opened(), opened()
    writer.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    reader.refresh()
    file = reader.file("a.vcf.gz")
    expected = file.count("chr1")
    writer.update_element("a", {"description": "the same file"})
    reader.refresh()
    assert file.count("chr1") == expected
    if not reader.storage.is_remote:
        assert pickle.loads(pickle.dumps(file)).count("chr1") == expected


def test_a_sealed_file_that_was_replaced_is_opened_anew(tmp_path):
    """Also by who keeps the view and the planner: an index of another file leads nowhere."""
    from modos.encryption.keys import load_secret_key

    generate(tmp_path / "key.sec", tmp_path / "key.pub", None)
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    modo.encrypt([tmp_path / "key.pub"])
    view = DecryptedView(modo.storage, load_secret_key(tmp_path / "key.sec"))
    planner = Planner(view, revalidate=False)
    planner._files._revalidate = False  # as of a storage that is far away
    first = view.read_part("a.vcf.gz.tbi", 0, 1 << 20)[0]
    assert planner.contigs("a.vcf.gz") and modo.file("a.vcf.gz", secret_key=tmp_path / "key.sec").count("chr1")
    replaced(modo, tmp_path)
    modo.encrypt([tmp_path / "key.pub"])
    fresh = DecryptedView(modo.storage, load_secret_key(tmp_path / "key.sec"))
    assert view.read_part("a.vcf.gz.tbi", 0, 1 << 20)[0] == fresh.read_part("a.vcf.gz.tbi", 0, 1 << 20)[0] != first
    planner.forget("a.vcf.gz")
    assert planner.contigs("a.vcf.gz") == Planner(fresh).contigs("a.vcf.gz")
    assert modo.file("a.vcf.gz", secret_key=tmp_path / "key.sec").count("chr2") == MODO.open(tmp_path / "ex").file(
        "a.vcf.gz", secret_key=tmp_path / "key.sec"
    ).count("chr2")


@pytest.mark.sweep(1)
def test_a_genome_is_the_newest_when_it_is_opened_and_stays_as_it_is(opened, tmp_path):
    writer, reader = opened(), opened()
    (tmp_path / "sizes").write_text("chr1\t9000\n")
    values = np.arange(9000, dtype=np.float32)
    writer.add_genome(sizes=tmp_path / "sizes")
    writer.add_track("t", {"chr1": values})
    reader.refresh()
    genome = reader.genome
    assert reader.genome is genome
    np.testing.assert_array_equal(genome["chr1"][5:50, "t"], values[5:50])
    writer.replace_track("t", {"chr1": values + 1})
    writer.add_track("u", {"chr1": values})
    reader.refresh()
    np.testing.assert_array_equal(reader.genome["chr1"][5:50, "t"], values[5:50] + 1)
    assert "u" in reader.genome.tracks and "u" not in genome.tracks
    fetched = again(reader)
    stale = fetched.genome
    writer.replace_track("t", {"chr1": values + 2})
    with pytest.raises(ConflictError, match="is gone"):
        stale["chr1"][5:50, "t"]
    fetched.refresh()
    np.testing.assert_array_equal(fetched.genome["chr1"][5:50, "t"], values[5:50] + 2)


def test_one_answer_is_of_one_state_while_another_process_commits(tmp_path):
    """A name is found and its attributes are told of one document, however often the element comes and goes."""
    writer, reader = MODO(tmp_path / "ex"), MODO(tmp_path / "ex")
    writer.add_element({"id": "s", "@type": "Sample"})
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            writer.remove_element("s")
            writer.add_element({"id": "s", "@type": "Sample"})

    def ask(number: int) -> int:
        seen = 0
        for _ in range(60):
            for question in (lambda: reader["s"]["@type"], lambda: reader.show_contents("s"), lambda: reader.files_of("s")):
                try:
                    question()
                    seen += 1
                except NotFoundError as error:
                    assert "no element s" in error.message
        return seen

    with ThreadPoolExecutor(5) as pool:
        busy = pool.submit(come_and_go)
        try:
            assert sum(pool.map(ask, range(4)))
        finally:
            stop.set()
        busy.result()


def test_what_was_committed_last_is_not_lost_from_sight(tmp_path):
    storage = open_storage(tmp_path / "ex")
    mine, theirs = MODO(tmp_path / "ex"), MODO(tmp_path / "ex")
    mine.add_element({"id": "a", "@type": "Sample"})
    newest, committed = Newest(storage), mine._document
    theirs.add_element({"id": "b", "@type": "Sample"})
    assert "sample/b" in newest.get()
    newest.put(committed)  # its commit was the earlier one, and its answer came late
    newest._looked = time.monotonic()
    assert "sample/b" in newest._document


def test_a_child_looks_by_itself(tmp_path):
    modo = MODO(tmp_path / "ex")
    with modo._object.newest._lock:  # as another thread may have it while this one forks
        child = os.fork()
        if child == 0:
            os._exit(0 if modo.metadata else 1)
    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        try:
            MODO.open(tmp_path / "ex").add_element({"id": "s", "@type": "Sample"})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert "sample/s" in modo.metadata


def test_a_root_that_is_written_in_place_by_another_program_is_seen(tmp_path):
    modo = MODO(tmp_path / "ex")
    root = tmp_path / "ex" / ROOT_KEY
    for number in range(20):
        document = Document.from_bytes(root.read_bytes(), "", "")
        document.attributes["name"] = f"name {number:03d}"
        root.write_bytes(document.to_bytes())
        assert modo.metadata["ex"]["name"] == f"name {number:03d}"
