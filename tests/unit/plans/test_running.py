"""A plan is run in order, what fails for a while is tried again, and what fails is named with what came back."""

import logging
import pickle
import threading

import pytest

from modos.errors import AccessError, ConflictError, PartitionError, RemoteError, TransportError
from modos.plans import running
from modos.plans.partition import Partition


@pytest.fixture
def plan(catalog):
    return catalog.scan("coverage", ["chr1:1-100", "chr1:101-300"])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    waits = []
    monkeypatch.setattr(running.time, "sleep", waits.append)
    return waits


class Failing:
    """A function that fails some times for each partition that is named, then returns its name."""

    def __init__(self, error, names, times):
        self.error, self.names, self.left = error, names, dict.fromkeys(names, times)

    def __call__(self, partition):
        if self.left.get(partition.name, 0):
            self.left[partition.name] -= 1
            raise self.error
        return partition.name


def test_results_are_in_order(plan):
    assert plan.map(lambda partition: partition.name, workers=5) == [partition.name for partition in plan]


def test_what_passes_is_tried_again(plan, no_waiting):
    function = Failing(TransportError("broke"), ["s001 data/reads chr1:1-100"], 3)
    assert plan.map(function) == [partition.name for partition in plan] and len(no_waiting) == 3
    assert no_waiting[0] < no_waiting[2] < 1
    slow = RemoteError("busy")
    slow.retry_after = 7.0
    plan.map(Failing(slow, ["s001 data/reads chr1:1-100"], 1))
    assert no_waiting[3] == 7.0


@pytest.mark.parametrize("error", [AccessError("no"), ConflictError("other"), ValueError("a bug")])
def test_what_does_not_pass_is_not(plan, no_waiting, error):
    with pytest.raises(PartitionError):
        plan.map(Failing(error, ["s001 data/reads chr1:1-100"], 1))
    assert no_waiting == []


def test_failures_are_named_with_what_came_back(plan):
    names = ["s001 data/reads chr1:1-100", "s004 data/reads chr1:101-300"]
    with pytest.raises(PartitionError) as raised:
        plan.map(Failing(TransportError("the server is away"), names, 100))
    error = raised.value
    assert error.message == f"2 of 12 partitions failed: {names[0]}: the server is away; {names[1]}: the server is away"
    assert [name for name, _ in error.failures] == names and error.exit_code == TransportError.exit_code
    assert error.results == [None if partition.name in names else partition.name for partition in plan]
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.results, again.exit_code) == (error.message, error.results, error.exit_code)


def test_many_failures_are_a_short_message(catalog):
    plan = catalog.scan("coverage", [f"chr1:{at}-{at}" for at in range(1, 50)])
    with pytest.raises(PartitionError, match=r"294 of 294 .*; and 289 more") as raised:
        plan.map(Failing(ValueError("\x1b[31m"), [partition.name for partition in plan], 1))
    assert len(str(raised.value)) < 2000 and "\x1b" not in str(raised.value) and len(raised.value.failures) == 294


def test_it_folds_in_order(plan):
    assert plan.reduce(lambda a, b: a + b, "", each=lambda p: p.name) == "".join(partition.name for partition in plan)
    assert plan.reduce(lambda total, table: total + table.num_rows, 0) == 12
    assert plan.reduce(lambda a, b: max(a, b), each=lambda p: p.cost) == max(p.cost for p in plan)
    with pytest.raises(PartitionError) as raised:
        plan.reduce(lambda a, b: a + b, 0, each=Failing2())
    assert raised.value.results == 11


class Failing2:
    def __call__(self, partition):
        if partition.name == "s002 data/reads chr1:1-100":
            raise ValueError
        return 1


def test_no_more_is_held_than_there_are_workers(plan):
    alive, most, lock = set(), [0], threading.Lock()

    class Held:
        def __init__(self, name):
            with lock:
                alive.add(name)
                most[0] = max(most[0], len(alive))
            self.name = name

        def __del__(self):
            alive.discard(self.name)

    assert plan.reduce(lambda a, _: a + 1, 0, each=lambda p: Held(p.name), workers=2) == 12
    assert most[0] <= 2 * 2 + 1  # under way, waiting, and the one that is folded


def test_tables_one_by_one(plan):
    tables = list(plan.iter_arrow(workers=2))
    assert [table["object"][0].as_py() for table in tables] == plan.objects


def test_what_is_left_out_is_none_and_told(catalog, caplog):
    plan = catalog.scan("coverage", ["chr1:1-100", "chrNone"], missing="skip")
    with caplog.at_level(logging.WARNING):
        results = plan.map(Partition.to_arrow)
    assert [result is None for result in results] == [False, True] * 6
    assert len(plan.skipped) == 6 and plan.skipped[0] == ("s000 data/reads chrNone", "no contig chrNone")
    plan.map(Partition.to_arrow)
    assert len(plan.skipped) == 6  # of the latest run


def test_groups_are_bounded_by_bytes_number_and_workers(catalog):
    plan = catalog.scan("coverage", [f"chr1:{at}-{at + 1}" for at in range(1, 401)])
    cost = plan[0].cost
    assert [len(group) for group in plan.groups(3 * cost)] != [] and max(len(g) for g in plan.groups(3 * cost)) <= 4
    assert max(len(group) for group in plan.groups()) == 64
    assert len(list(plan.groups(1 << 40, workers=20))) >= 80
    assert [p for group in plan.groups() for p in group] == list(plan)
