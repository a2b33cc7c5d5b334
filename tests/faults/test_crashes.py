"""Whatever is interrupted wherever: the object is the old or the new one, whole, and the operation can be repeated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AlreadyExistsError, ModosError, NotFoundError
from modos.object import checking
from modos.tracks import joining
from modos.tracks.conditions import Condition
from tests.support.sampling import some

from .conftest import (
    check_whole,
    expected_files,
    fail,
    files,
    interrupted,
    killed_at,
    state,
    write_description,
)

pytestmark = pytest.mark.sweep(4)


def add(bams, tmp_path):
    return lambda modo: modo.add_element({"id": "new", "@type": "AlignmentSet"}, bams / "b.bam", part_of="assay/a")


def update(bams, tmp_path):
    return lambda modo: modo.update_element("data/old", {"description": "again"}, bams / "b.bam")


def replace_in_place(bams, tmp_path):
    """As encryption does: other bytes, another name, the old ones gone."""
    (tmp_path / "a.bam").write_bytes((bams / "b.bam").read_bytes())
    return lambda modo: modo.update_element("data/old", {}, tmp_path / "a.bam")


def remove(bams, tmp_path):
    return lambda modo: modo.remove_element("data/old")


def bring_up_to_date(bams, tmp_path):
    description = write_description(tmp_path, bams)
    return lambda modo: MODO.from_file(description, modo.test_path, **modo.test_options)


def encrypt(bams, tmp_path):
    return lambda modo: modo.encrypt(KEY.public)


def encrypt_for_a_server(bams, tmp_path):
    """With what a server finds regions by."""
    return lambda modo: modo.encrypt(KEY.public, index_for=OTHER.public)


def take_back_from_a_server(bams, tmp_path):
    def operation(modo):
        return modo.revoke(KEY, [], index_for=OTHER.public)

    operation.before = lambda modo: modo.encrypt(KEY.public, index_for=OTHER.public)
    return operation


def replace_what_a_server_serves(bams, tmp_path):
    def operation(modo):
        return modo.update_element("data/old", {}, bams / "b.bam")

    operation.before = lambda modo: modo.encrypt(KEY.public, index_for=OTHER.public)
    return operation


def replace_encrypted(bams, tmp_path):
    """By a plain file, which is encrypted on its way."""

    def operation(modo):
        return modo.update_element("data/old", {}, bams / "b.bam")

    operation.before = lambda modo: modo.encrypt(KEY.public)
    return operation


def decrypt(bams, tmp_path):
    def operation(modo):
        return modo.decrypt(KEY)

    operation.before = lambda modo: modo.encrypt(KEY.public)
    return operation


def share(bams, tmp_path):
    def operation(modo):
        return modo.share(KEY, OTHER.public)

    operation.before = lambda modo: modo.encrypt(KEY.public)
    return operation


def rotate(bams, tmp_path):
    def operation(modo):
        return modo.revoke(KEY, OTHER.public, rotate=True)

    operation.before = lambda modo: modo.encrypt([KEY.public, OTHER.public])
    return operation


def rename(bams, tmp_path):
    return lambda modo: modo.update_element("data/old", {"data_path": "reads/new.bam"})


def rename_sealed(bams, tmp_path):
    def operation(modo):
        return modo.update_element("data/old", {"data_path": "reads/new.bam"})

    operation.before = lambda modo: modo.encrypt(KEY.public)
    return operation


def replace_again(bams, tmp_path):
    def operation(modo):
        return modo.update_element("data/old", {}, bams / "b.bam")

    operation.before = lambda modo: modo.update_element("data/old", {}, bams / "c0.bam")
    return operation


def add_track(bams, tmp_path):
    def operation(modo):
        return modo.add_track("new", {"chr1": NOISE, "chr2": STEPS[:5000]}, part_of="assay/a")

    operation.before = genome_maker(tmp_path)
    return operation


def replace_track(bams, tmp_path):
    def operation(modo):
        return modo.replace_track("old", {"chr2": NOISE[:9000]})

    operation.before = genome_maker(tmp_path)
    return operation


def append_to_track(bams, tmp_path):
    """A small track, that is written anew."""

    def operation(modo):
        return modo.append_track("old", {"chr2": NOISE[:9000]})

    operation.before = genome_maker(tmp_path)
    return operation


def append_to_shards(bams, tmp_path):
    """A track whose shards get one more name."""

    def operation(modo):
        with patch.object(joining, "SMALL", -1):
            return modo.append_track("noise", {"chr2": NOISE[:9000]})

    def before(modo):
        genome_maker(tmp_path)(modo)
        modo.add_track("noise", {"chr1": NOISE})

    operation.before = before
    return operation


def mask_track(bams, tmp_path):
    def operation(modo):
        return modo.mask_track("old", Condition("gt", 2))

    operation.before = genome_maker(tmp_path)
    return operation


def remove_track(bams, tmp_path):
    def operation(modo):
        return modo.remove_track("old")

    operation.before = genome_maker(tmp_path)
    return operation


def genome_maker(tmp_path):
    def before(modo):
        sizes = tmp_path / "sizes"
        sizes.write_text("chr1\t50000\nchr2\t9000\n")
        modo.add_genome(sizes=sizes)
        modo.add_track("old", {"chr1": STEPS})

    return before


STEPS = np.repeat(np.arange(400, dtype=np.float32) % 5, 100)
NOISE = np.random.default_rng(1).normal(size=45_000).round(3).astype(np.float32)
KEY, OTHER = SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33)))
OPERATIONS: list[Callable] = [
    add,
    update,
    replace_in_place,
    remove,
    bring_up_to_date,
    encrypt,
    encrypt_for_a_server,
    take_back_from_a_server,
    replace_what_a_server_serves,
    replace_encrypted,
    decrypt,
    share,
    rotate,
    rename,
    rename_sealed,
    replace_again,
    add_track,
    replace_track,
    append_to_track,
    append_to_shards,
    mask_track,
    remove_track,
]


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.__name__)
def operation(request, bams, tmp_path):
    return request.param(bams, tmp_path)


def make(place, bams, operation=None):
    modo = MODO.create(path := place.new(), **place.options)
    modo.add_element({"id": "a", "@type": "Assay", "omics_type": "GENOMICS"})
    modo.add_element({"id": "old", "@type": "AlignmentSet"}, bams / "a.bam", part_of="a")
    getattr(operation, "before", lambda modo: None)(modo)
    return path


def open_(place, path):
    modo = place.open(path)
    modo.test_path, modo.test_options = path, place.options
    return modo


def outcome(place, bams, operation):
    """The states before and after, and the number of changes that it takes."""
    path = make(place, bams, operation)
    old = state(place.open(path))
    with interrupted(10**9, fail) as begun:
        operation(open_(place, path))
    return old, {i.replace(path.rpartition("/")[2], "OBJECT"): a for i, a in state(place.open(path)).items()}, len(begun)


def named(path, states):
    return {
        i.replace("OBJECT", path.rpartition("/")[2]): (a | {"id": path.rpartition("/")[2]} if "id" in a else a)
        for i, a in states.items()
    }


def verify(place, path, old, new, operation):
    modo = open_(place, path)
    now = state(modo)
    assert now in (named(path, old), named(path, new))
    left = check_whole(modo.storage)
    extra = files(modo.storage) - expected_files(modo)
    assert {f.where for f in left if f.kind == "leftover"} >= {key for key in extra if not key.endswith("/zarr.json")}
    checking.fix(modo.storage, left)
    assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)
    if now == named(path, old):
        operation(modo)
    assert state(place.open(path)) == named(path, new) and check_whole(modo.storage) == []
    assert files(modo.storage) == expected_files(place.open(path))


@pytest.fixture
def bounds(place, bams, operation):
    old, new, steps = outcome(place, bams, operation)
    name = "o1"
    return {i.replace(name, "OBJECT"): a for i, a in old.items()}, new, steps


def sampled(steps, place):
    """Steps to interrupt: all with MODOS_ALL=1, else some, fewer on S3."""
    return some(range(steps), 1 if place.is_remote else 4)


@pytest.mark.sweep(1)
def test_killed_before_any_change(place, bams, operation, bounds):
    old, new, steps = bounds
    assert steps > 2
    for at in sampled(steps, place):
        path = make(place, bams, operation)
        assert killed_at(at, lambda: operation(open_(place, path)))
        verify(place, path, old, new, operation)


@pytest.fixture
def append_after_others(monkeypatch):
    """Append chr2 to a track, and let somebody else append chr3 when the new arrays are there, before the root is written."""
    monkeypatch.setattr(joining, "SMALL", -1)
    join = joining.TrackJoiner.join

    def operation(modo):
        def join_late(self, base, part):
            specs = join(self, base, part)
            if part.loaded_contigs() == ["chr2"] and "chr3" not in base.loaded_contigs():
                MODO.open(modo.test_path, **modo.test_options).append_track("noise", {"chr3": NOISE[:800]})
            return specs

        with patch.object(joining.TrackJoiner, "join", join_late):
            modo.append_track("noise", {"chr2": NOISE[:9000]})

    return operation


@pytest.mark.sweep(1)
def test_killed_while_others_append(place, tmp_path, append_after_others):
    """What the others have just made is replaced, too: nothing is left of it, and nothing of it is lost."""
    (tmp_path / "sizes").write_text("chr1\t50000\nchr2\t9000\nchr3\t900\n")

    def make_noise():
        modo = MODO.create(path := place.new(), **place.options)
        modo.add_genome(sizes=tmp_path / "sizes")
        modo.add_track("noise", {"chr1": NOISE})
        return path

    path = make_noise()
    with interrupted(10**9, fail) as begun:
        append_after_others(open_(place, path))
    assert len(place.open(path).genome.tracks["noise"].statistics()) == 3
    assert files(place.open(path).storage) == expected_files(place.open(path))
    table = place.open(path).genome.tracks["noise"].table
    for at in sampled(len(begun), place):
        path = make_noise()
        assert killed_at(at, lambda: append_after_others(open_(place, path)))
        modo = open_(place, path)
        checking.fix(modo.storage, check_whole(modo.storage))
        assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(modo)
        for name, values in {"chr2": NOISE[:9000], "chr3": NOISE[:800]}.items():
            if name not in modo.open_genome().tracks["noise"].statistics():
                modo.append_track("noise", {name: values})
        track = modo.open_genome().tracks["noise"]
        assert (track.table == table).all() and (track.values("chr3")[:800] == NOISE[:800]).all()
        assert check_whole(modo.storage) == [] and files(modo.storage) == expected_files(place.open(path))


@pytest.mark.sweep(1)
def test_a_change_that_fails_once(place, bams, operation, bounds):
    old, new, steps = bounds
    for at in sampled(steps, place):
        path = make(place, bams, operation)
        with interrupted(at, fail):
            with contextlib.suppress(ModosError):
                operation(open_(place, path))
        verify(place, path, old, new, operation)


@pytest.mark.sweep(1)
def test_a_storage_that_fails_for_good(place, bams, operation, bounds, monkeypatch):
    monkeypatch.setattr("modos.object.commits.time.sleep", lambda seconds: None)
    old, new, steps = bounds
    for at in sampled(steps, place):
        path = make(place, bams, operation)
        with interrupted(at, fail, for_good=True):
            with contextlib.suppress(ModosError):
                operation(open_(place, path))
        verify(place, path, old, new, operation)


@pytest.mark.sweep(1)
def test_the_operation_can_be_repeated_at_once(place, bams, operation, bounds):
    """Without `check --fix` in between."""
    old, new, steps = bounds
    for at in sampled(steps, place):
        path = make(place, bams, operation)
        assert killed_at(at, lambda: operation(open_(place, path)))
        modo = open_(place, path)
        if state(modo) == named(path, old):
            operation(modo)
        assert state(place.open(path)) == named(path, new)


@pytest.mark.sweep(1)
def test_creation_that_is_killed_can_be_repeated(place, bams, tmp_path):
    description = write_description(tmp_path, bams)
    for at in some((0, 1, 2, 5, 9, 13, 14, 18, 30), 2):
        path = place.new()
        assert killed_at(at, lambda: MODO.from_file(description, path, **place.options))
        try:
            modo = place.open(path)
        except NotFoundError:
            modo = MODO.from_file(description, path, **place.options)
        assert len(modo.metadata) == 21
        checking.fix(modo.storage, list(checking.find_problems(modo.storage)))
        assert files(modo.storage) == expected_files(modo) and check_whole(modo.storage) == []


@pytest.mark.sweep(1)
def test_removal_of_an_object_that_is_killed_can_be_repeated(place, bams):
    for at in some(range(0, 12, 2), 2):
        path, neighbour = make(place, bams), None
        neighbour = make(place, bams)
        modo = place.open(path)
        before = state(modo)
        killed_at(at, lambda: place.open(path).remove_object())
        try:
            again = place.open(path)
        except NotFoundError:
            MODO.remove(path, **place.options)
        else:
            assert state(again) == before and check_whole(again.storage) is not None
            again.remove_object()
        assert files(modo.storage) == set()
        assert check_whole(place.open(neighbour).storage) == []


@pytest.mark.sweep(1)
def test_a_copy_that_is_killed_can_be_repeated(place, bams, tmp_path):
    source = MODO.open(make_local(bams, tmp_path))

    def copy(target):
        if place.is_remote:
            return source.upload(target, **place.options)
        return source.download(target)

    with interrupted(10**9, fail) as begun:
        copy(place.new())
    for at in sampled(len(begun), place):
        target = place.new()
        assert killed_at(at, lambda: copy(target))
        if MODO.exists(target, **place.options):
            assert begun[at].startswith("delete .modos/")
        else:
            copy(target)
        modo = place.open(target)
        checking.fix(modo.storage, list(checking.find_problems(modo.storage)))
        assert modo.checksum() == source.checksum() and files(modo.storage) == expected_files(modo)


def make_local(bams, tmp_path):
    modo = MODO.create(tmp_path / "source")
    modo.add_element({"id": "r", "@type": "AlignmentSet"}, bams / "a.bam")
    genome_maker(tmp_path)(modo)
    return modo.path


@pytest.mark.sweep(1)
def test_files_that_are_not_ours_stay(place, bams):
    path = make(place, bams)
    modo = place.open(path)
    modo.storage.write("notes.txt", b"mine")
    killed_at(3, lambda: add(bams, None)(place.open(path)))
    findings = list(checking.find_problems(modo.storage))
    assert [f.where for f in findings if f.kind == "unknown"] == ["notes.txt"]
    checking.fix(modo.storage, findings)
    assert modo.storage.read("notes.txt")[0] == b"mine"
    assert modo.remove_object() == ["notes.txt"] and files(modo.storage) == {"notes.txt"}


def steps_before_commit(place, bams):
    modo = place.open(make(place, bams))
    with interrupted(10**9, fail) as begun:
        add(bams, None)(modo)
    return begun.index("write data.zarr/zarr.json")


@pytest.mark.sweep(1)
def test_a_change_under_way_is_not_swept_away(place, bams):
    """Another process checks and mends while one is between its files and its commit."""
    path = make(place, bams)
    modo = place.open(path)

    def mend_from_elsewhere():
        child = os.fork()
        if child == 0:
            other = place.open(path).storage
            checking.fix(other, list(checking.find_problems(other)))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    before_commit = steps_before_commit(place, bams)
    with interrupted(before_commit, mend_from_elsewhere):
        add(bams, None)(modo)
    assert check_whole(modo.storage) == []


@pytest.mark.sweep(1)
def test_two_with_one_file_name(place, bams):
    """The second is refused, and the first keeps its file."""
    path = make(place, bams)
    first, second = place.open(path), place.open(path)

    def other_adds():
        with pytest.raises(AlreadyExistsError):
            second.add_element({"id": "other", "@type": "AlignmentSet"}, bams / "b.bam")

    before_commit = steps_before_commit(place, bams)
    with interrupted(before_commit, other_adds):
        add(bams, None)(first)
    assert check_whole(first.storage) == [] and "data/other" not in place.open(path).metadata
