"""A change under way is not taken for abandoned; and where it is, its commit fails, and nothing that was acknowledged is lost.

The processes are real ones: in namespaces of process numbers of their own, as
containers on the network of their host have them, with other names of the
machine, and with clocks that are off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from modos.api import MODO
from modos.errors import ConflictError, ModosError, TransportError
from modos.object import checking, journal
from modos.storage.local import LocalStorage
from modos.storage.processes import ownership
from modos.storage.s3 import S3Storage

from .conftest import check_whole, expected_files, files, write_description

pytestmark = pytest.mark.sweep(3)

WRITER = """
import json, sys
from modos.storage.processes import ownership
from modos.api import MODO
from modos.object import journal
from modos.errors import ModosError
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage

path, options, change, pause, renewed_every, bam = json.loads(sys.argv[1])
ownership.RENEWED_EVERY = renewed_every
started = False

def wait():
    global started
    if not started:
        started = True
        print("ready", flush=True)
        sys.stdin.readline()

def pausing(original):
    def write(self, key, *args, **kwargs):
        if key == "data.zarr/zarr.json" and pause == "before the root":
            wait()
        return original(self, key, *args, **kwargs)
    return write

modo = None if change in ("create", "copy") else MODO.open(path, **options)
for kind in (LocalStorage, S3Storage):
    kind.write = pausing(kind.write)
if pause == "before the check" and hasattr(journal, "Journal"):
    check = journal.Journal.check
    journal.Journal.check = lambda self, *args: (wait(), check(self, *args))[1]
elif pause == "before the check":
    pause = "before the root"
try:
    if change == "add":
        modo.add_element({"id": "new", "@type": "AlignmentSet"}, bam)
    elif change == "update":
        modo.update_element("data/old", {"description": "again"}, bam)
    elif change == "remove":
        modo.remove_element("data/old")
    elif change == "create":
        MODO.from_file(bam, path, **options)
    elif change == "copy":
        source = MODO.open(bam)
        source.upload(path, **options) if options else source.download(path)
    print("done", flush=True)
except ModosError as error:
    print(error.kind, flush=True)
"""

OTHER = """
import json, sys
from modos.api import MODO
from modos.object import checking, journal
from modos.object.address import ObjectAddress

path, options, limit = json.loads(sys.argv[1])
modo = MODO.open(path, **options) if MODO.exists(path, **options) else None
if modo is None:
    journal.recover(ObjectAddress(path, **options).connect().storage, limit)
elif limit is None:
    modo.update_element("sample/s", {"description": "by another"})
    journal.recover(modo.storage)
else:
    checking.fix(modo.storage, list(checking.find_problems(modo.storage, limit=limit)), limit)
"""

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
MACHINE = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"]
TWO_DAYS_ON = ["env", "NO_FAKE_STAT=1", "faketime", "-f", "+2d"]


def can(wrapper) -> bool:
    return shutil.which(wrapper[0]) is not None and subprocess.run([*wrapper, "true"], capture_output=True).returncode == 0


def needs(*wrappers):
    for wrapper in wrappers:
        if wrapper and not can(wrapper):
            pytest.skip(f"{wrapper[0]} is not there or not permitted")


@contextlib.contextmanager
def writing(place, path, bams, change="add", pause="before the check", wrapper=(), renewed_every=600.0, source=None):
    """A process that stops before its commit; gives what lets it go on and returns how it ended."""
    arguments = json.dumps([path, place.options, change, pause, renewed_every, str(source or bams / "b.bam")])
    with subprocess.Popen(
        [*wrapper, sys.executable, "-c", WRITER, arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def go_on(process) -> str:
    return process.communicate("\n", timeout=120)[0].strip()


def other(place, path, wrapper=(), limit=None):
    """Another process that makes a change, or mends with a limit."""
    subprocess.run([*wrapper, sys.executable, "-c", OTHER, json.dumps([path, place.options, limit])], check=True, timeout=120)


@pytest.fixture
def path(place, bams):
    modo = MODO.create(path := place.new(), **place.options)
    modo.add_element({"id": "s", "@type": "Sample"})
    modo.add_element({"id": "old", "@type": "AlignmentSet"}, bams / "a.bam")
    return path


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "writer, cleaner",
    [(CONTAINER, CONTAINER), ([], CONTAINER), (CONTAINER, []), ([], [*MACHINE, *TWO_DAYS_ON]), ([*MACHINE, *TWO_DAYS_ON], [])],
    ids=[
        "two containers, both process 1",
        "a container cleans",
        "a container writes",
        "another machine cleans, two days ahead",
        "another machine writes, two days ahead",
    ],
)
def test_a_change_under_way_elsewhere_is_left_alone(place, path, bams, writer, cleaner):
    needs(writer, cleaner)
    with writing(place, path, bams, wrapper=writer) as process:
        other(place, path, cleaner)
        other(place, path, cleaner, limit=ownership.ABANDONED_AFTER)
        assert go_on(process) == "done"
    modo = place.open(path)
    assert "data/new" in modo.metadata and check_whole(modo.storage) == []
    assert files(modo.storage) == expected_files(modo)


@pytest.mark.sweep(1)
def test_a_change_that_takes_longer_than_the_limit_renews_its_mark(place, path, bams):
    needs(MACHINE)
    with writing(place, path, bams, renewed_every=0.2) as process:
        time.sleep(7)
        other(place, path, MACHINE, limit=6.0)
        assert go_on(process) == "done"
    assert check_whole(place.open(path).storage) == [] and "data/new" in place.open(path).metadata


@pytest.mark.sweep(1)
@pytest.mark.parametrize("pause", ["before the check", "before the root"])
@pytest.mark.parametrize("change", ["add", "update", "remove"])
def test_a_change_that_was_taken_for_abandoned_is_not_committed(place, path, bams, pause, change):
    """Also when it was so after it looked, right before it replaces the root."""
    needs(MACHINE)
    before = place.open(path).metadata
    with writing(place, path, bams, change, pause) as process:
        other(place, path, MACHINE, limit=0)
        ended = go_on(process)
    modo = place.open(path)
    removed_all_the_same = change == "remove" and pause == "before the root"  # nothing was to be deleted but by the commit
    assert ended == ("done" if removed_all_the_same else "conflict")
    assert ("data/old" not in modo.metadata) if removed_all_the_same else modo.metadata == before
    checking.fix(modo.storage, check_whole(modo.storage), 0)
    assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", ["add", "update", "remove"])
def test_what_a_killed_container_left_is_cleaned_up_by_another_in_time(place, path, bams, change):
    needs(CONTAINER, MACHINE)
    before = place.open(path).metadata
    with writing(place, path, bams, change, wrapper=CONTAINER) as process:
        process.kill()
        process.wait()
    modo = place.open(path)
    left = files(modo.storage)
    other(place, path, MACHINE)
    assert files(modo.storage) == left, "it may still be at work, for all that can be seen"
    other(place, path, MACHINE, limit=0)
    assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)
    assert modo.metadata.items() >= {k: v for k, v in before.items() if k.startswith("data/")}.items()


@pytest.mark.core
@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", ["add", "update", "remove"])
def test_what_a_killed_process_left_is_cleaned_up_by_the_next_change(place, path, bams, change):
    with writing(place, path, bams, change) as process:
        process.kill()
        process.wait()
    modo = place.open(path)
    assert list(modo.storage.iter_files(".modos"))
    modo.add_element({"id": "third", "@type": "AlignmentSet", "data_path": "third.bam"}, bams / "b.bam")
    assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("pause, ended", [("before the check", "conflict"), ("before the root", "integrity")])
def test_an_object_that_is_made_and_taken_for_abandoned(place, bams, tmp_path, pause, ended):
    """There is no root to write anew: what came too late to be refused is said."""
    needs(MACHINE)
    path = place.new()
    with writing(place, path, bams, "create", pause, source=write_description(tmp_path, bams)) as process:
        other(place, path, MACHINE, limit=0)
        assert go_on(process) == ended
    assert MODO.exists(path, **place.options) is (ended == "integrity")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", ["create", "copy"])
def test_who_makes_an_object_is_told_of_a_killed_container_and_how_to_go_on(place, bams, tmp_path, change):
    """There is no object to be mended yet."""
    needs(CONTAINER)
    description = write_description(tmp_path, bams)
    source = MODO.from_file(description, tmp_path / "source")
    path = place.new()
    with writing(
        place, path, bams, change, wrapper=CONTAINER, source=description if change == "create" else source.path
    ) as process:
        process.kill()
        process.wait()

    def copy():
        source.upload(path, **place.options) if place.is_remote else source.download(path)

    def create():
        MODO.from_file(description, path, **place.options)

    for attempt in (
        copy,
        create,
        lambda: MODO.create(path, **place.options),
        lambda: MODO.remove(path, **place.options),
        lambda: MODO.find_rest(path, **place.options, fix=True),
    ):
        with pytest.raises(ConflictError, match="somebody is changing") as told:
            attempt()
        assert f"`modos check {place_storage(place, path).url} --fix --older-than 0`" in told.value.hint
    found = MODO.find_rest(path, **place.options, older_than=0, fix=True)
    assert found and all(finding.kind == "leftover" for finding in found)
    assert files(place_storage(place, path)) == set() and MODO.find_rest(path, **place.options, older_than=0) == []
    {"copy": copy, "create": create}[change]()
    modo = place.open(path)
    assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("harm", ["removed", "cut"])
def test_no_root_names_a_file_that_is_gone_or_cut(place, path, bams, harm):
    """Whoever took it away; a program that knows no records, for one."""
    before = place.open(path).metadata
    with writing(place, path, bams) as process:
        storage = place.open(path).storage
        storage.delete("b.bam")
        if harm == "cut":
            storage.write("b.bam", b"BAM")
        assert go_on(process) == "conflict"
    assert place.open(path).metadata == before


def test_a_copy_whose_files_are_gone_is_not_committed(place, bams, tmp_path, monkeypatch):
    source = MODO.create(tmp_path / "source")
    source.add_element({"id": "d", "@type": "AlignmentSet"}, bams / "a.bam")
    target = place.new()
    check = journal.Journal.check

    def take_away(self, *args):
        self._storage.delete("a.bam")
        return check(self, *args)

    monkeypatch.setattr(journal.Journal, "check", take_away)
    with pytest.raises(ConflictError, match="a.bam .* was removed"):
        source.upload(target, **place.options) if place.is_remote else source.download(target)
    assert not MODO.exists(target, **place.options)


@pytest.mark.sweep(1)
def test_a_clean_up_that_is_killed_is_completed(place, path, bams):
    """Between its claim and its end, with nobody but the killed one that knew."""
    from .conftest import killed_at

    for at in range(4):
        with writing(place, path, bams) as process:
            process.kill()
            process.wait()
        killed_at(at, lambda: journal.recover(place.open(path).storage))
        modo = place.open(path)
        journal.recover(modo.storage)
        assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)


def test_what_is_claimed_by_one_is_not_claimed_by_another(place, path, bams):
    with writing(place, path, bams) as process:
        process.kill()
        process.wait()
    storage = place.open(path).storage
    (entry,), mark = journal.entries(storage), ownership.new_mark()
    assert entry.claim(storage, mark) and not entry.claim(storage, mark)
    assert journal.recover(storage) == [] and storage.exists("b.bam")
    ownership.release(mark)
    assert journal.recover(storage) == ["b.bam", "b.bam.bai"]


def test_requests_that_a_change_takes(place, path, bams, monkeypatch):
    """A file with its index: one look at the record, and one at each file."""
    if not place.is_remote:
        pytest.skip("requests are those of S3")
    calls, call, get = [], S3Storage._call, S3Storage._get
    monkeypatch.setattr(
        S3Storage,
        "_call",
        lambda self, method, key, **arguments: (calls.append(f"{method} {key}"), call(self, method, key, **arguments))[1],
    )
    monkeypatch.setattr(
        S3Storage,
        "_get",
        lambda self, key, *most, **arguments: (calls.append(f"get {key}"), get(self, key, *most, **arguments))[1],
    )
    modo = place.open(path)
    calls.clear()
    modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam")
    kinds = sorted(c.partition(" ")[0] for c in calls if ".modos" in c or ".bam" in c)
    assert kinds.count("head_object") == 2 and kinds.count("get") == 1
    calls.clear()
    modo.update_element("sample/s", {"description": "no files"})
    assert not [c for c in calls if ".modos" in c or ".bam" in c]


def test_a_number_that_another_process_has_now_is_no_sign_of_life():
    mark = ownership.new_mark()
    place_of, pid, rest = mark.split("-")
    assert ownership.is_at_work(mark) is True
    ownership.release(mark)
    assert ownership.is_at_work(mark) is False
    parent = os.getppid()
    start = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[19])
    assert ownership.is_at_work(f"{place_of}-{parent}-{rest[:8]}{start:x}") is True
    assert ownership.is_at_work(f"{place_of}-{parent}-{rest[:8]}{start + 1:x}") is False


@pytest.mark.parametrize("mark", ["9f3a01c2-1-5be0c1d2", "doctor", "", f"{'0' * 16}-1-{'0' * 8}"])
def test_marks_of_elsewhere_and_of_before_are_judged_by_their_age(mark):
    assert not ownership.is_abandoned(mark, 23 * 3600) and ownership.is_abandoned(mark, 25 * 3600)


def test_without_proc_a_running_process_is_judged_by_its_age(monkeypatch):
    """As on macOS, where a number may have passed to another process unseen."""
    monkeypatch.setattr(ownership, "_sees_own_processes", lambda: False)
    place_of, _, rest = ownership.new_mark().split("-")
    running, gone = f"{place_of}-{os.getppid()}-{rest[:8]}", f"{place_of}-999999999-{rest[:8]}"
    assert ownership.is_at_work(running) is None and ownership.is_at_work(gone) is False


def test_the_clock_is_that_of_the_storage(place, path, monkeypatch):
    if place.is_remote:
        pytest.skip("the server runs in this process")
    storage = place.open(path).storage
    (info,) = (i for i in storage.iter_files() if i.key == "a.bam")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 10 * 86400)
    assert abs(storage.now() - real) < 60 and abs(info.modified - real) < 60
    assert not list((storage.path).glob(".clock*"))


def test_an_old_record_is_understood(tmp_path, bams):
    """Of another machine for all that is known: left alone for a day; then it goes, and its files are reported."""
    modo = MODO.create(tmp_path / "ex")
    storage: LocalStorage = modo.storage
    storage.write("data.zarr/data/x/values-1/c/0", b"1")
    storage.write("old.bam", b"1")
    record = {"files": ["old.bam"], "folders": ["data.zarr/data/x/values-1"], "time": time.time() - 3600}
    storage.write(".modos/9f3a01c2-1-5be0c1d2.json", json.dumps(record).encode())
    assert journal.recover(storage) == []
    os.utime(tmp_path / "ex" / ".modos" / "9f3a01c2-1-5be0c1d2.json", (time.time() - 90000,) * 2)
    assert {(f.kind, f.where) for f in checking.find_problems(storage)} == {
        ("leftover", ".modos/9f3a01c2-1-5be0c1d2.json"),
        ("unknown", "old.bam"),
        ("unknown", "data.zarr/data/x/values-1/c/0"),
    }
    assert journal.recover(storage) == [] and not list(storage.iter_files(".modos"))
    assert storage.exists("old.bam")


@pytest.mark.sweep(1)
def test_what_is_written_after_the_change_was_taken_for_abandoned_is_cleaned_up(place, path, bams):
    """By the writer itself, when it sees that, and nothing that another change has put there since."""
    before = place.open(path)
    before_files = files(before.storage)
    with writing(place, path, bams) as process:
        storage = place.open(path).storage
        other(place, path, MACHINE, limit=0)
        storage.write("b.bam", b"written by one that did not know")
        assert go_on(process) == "conflict"
    assert files(storage) == before_files


def test_a_copy_does_not_replace_what_is_not_known_to_be_left(place, bams, tmp_path):
    """A record from elsewhere names a file that the user has put there."""
    source = MODO.create(tmp_path / "source")
    source.add_element({"id": "d", "@type": "AlignmentSet"}, bams / "a.bam")
    target = place.new()
    storage = place_storage(place, target)
    storage.write("a.bam", b"the user's")
    record = {"files": ["a.bam"], "folders": [], "time": 0, "claimed": ownership_of_the_dead()}
    storage.write(".modos/x.json", json.dumps(record).encode())
    with pytest.raises(ModosError, match="exists already|another file"):
        source.upload(target, **place.options) if place.is_remote else source.download(target)
    assert storage.read("a.bam")[0] == b"the user's"


def place_storage(place, url):
    if not place.is_remote:
        return LocalStorage(url)
    return S3Storage.from_url(url, endpoint_url=place.options["services"]["s3"], s3_kwargs=place.options["s3_kwargs"])


def ownership_of_the_dead() -> str:
    """A mark of a process of this place that has ended."""
    mark = ownership.new_mark()
    ownership.release(mark)
    return mark


def test_parts_of_before_and_of_elsewhere_are_judged_by_their_age(tmp_path):
    storage = MODO.create(tmp_path / "ex").storage
    for name, age in ((".a.bam.9f3a01c2-1-5be0c1d2.part", 90000), (".b.bam.9f3a01c2-1-5be0c1d2.part", 3600)):
        (tmp_path / "ex" / name).write_bytes(b"part")
        os.utime(tmp_path / "ex" / name, (time.time() - age,) * 2)
    with journal.keep_record(storage, ["c.bam"], ()):
        assert not list(checking.find_problems(storage)), "they may be of the change that is under way"
    assert [f.where for f in checking.find_problems(storage)] == [".a.bam.9f3a01c2-1-5be0c1d2.part"]


@pytest.mark.parametrize("place", ["nothing", "object", "rest"])
def test_what_others_left_below_a_folder_is_theirs(tmp_path, place):
    """`modos rm FOLDER` and `check FOLDER --fix` took what was being written in objects below the folder."""
    part = ".a.bam.9f3a01c2-1-5be0c1d2.part"
    outer = tmp_path / "cohort"
    inner = [MODO.create(outer / "one").storage.path, outer / "two", outer / "deep" / "three"]
    commits = MODO.create(tmp_path / "model").storage.path
    (inner[1] / ".modos").mkdir(parents=True)
    (inner[1] / ".modos" / "x").write_bytes(b"")
    inner[2].parent.mkdir()
    shutil.copytree(commits, inner[2])
    if place != "nothing":
        storage = MODO.create(tmp_path / "new").storage
        for name in os.listdir(storage.path):
            os.rename(storage.path / name, outer / name)
    if place == "rest":
        (outer / "data.zarr" / "zarr.json").unlink()
        (outer / ".modos").mkdir(exist_ok=True)
        (outer / ".modos" / "x").write_bytes(b"")
        os.utime(outer / ".modos" / "x", (time.time() - 90000,) * 2)
    for folder in (outer, *inner):
        (folder / part).write_bytes(b"part")
        os.utime(folder / part, (time.time() - 90000,) * 2)
    found = MODO.find_rest(outer, fix=True) if place != "object" else MODO.open(outer).find_problems()
    checking.fix(MODO.open(outer).storage, found) if place == "object" else None
    assert all((folder / part).exists() for folder in inner)
    assert (outer / part).exists() == (place == "nothing")


def test_an_upload_of_a_change_under_way_is_left_alone(place, path):
    if not place.is_remote:
        pytest.skip("uploads are those of S3")
    storage = place.open(path).storage
    with journal.keep_record(storage, ["large.bam"], ()):
        storage._call("create_multipart_upload", "large.bam")
        assert not list(checking.find_problems(storage, limit=0))
    assert [f.kind for f in checking.find_problems(storage, limit=0)] == ["leftover"]
    checking.fix(storage, [], 0)
    assert not list(checking.find_problems(storage, limit=0))


def test_a_file_whose_part_was_taken_away_is_not_written(tmp_path):
    storage = MODO.create(tmp_path / "ex").storage

    def pieces():
        yield b"first"
        for part in (tmp_path / "ex").glob(".a.bam.*.part"):
            part.unlink()
        yield b"second"

    with pytest.raises(ConflictError, match="was removed before it was whole"):
        storage.write_stream("a.bam", pieces(), size=11)
    assert not storage.exists("a.bam")


def test_files_stay_where_a_commit_without_an_answer_may_be_on_its_way(place, path, bams, monkeypatch):
    """Its root arrives when the writer has given up and cleans up."""
    if not place.is_remote:
        pytest.skip("a folder answers")
    monkeypatch.setattr("modos.object.commits.time.sleep", lambda seconds: None)
    modo, late, write, delete = place.open(path), [], S3Storage.write, S3Storage.delete

    def lose(self, key, data, **conditions):
        if key == "data.zarr/zarr.json" and len(late) < 20:
            late.append((key, data, conditions))
            raise TransportError("no answer")
        return write(self, key, data, **conditions)

    def arrive(self, key):
        while late:
            name, data, conditions = late.pop()
            with contextlib.suppress(ConflictError):
                write(self, name, data, **conditions)
        delete(self, key)

    monkeypatch.setattr(S3Storage, "write", lose)
    monkeypatch.setattr(S3Storage, "delete", arrive)
    with pytest.raises(ModosError):
        modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam")
    monkeypatch.undo()
    assert check_whole(place.open(path).storage) == [] and "data/new" not in place.open(path).metadata
