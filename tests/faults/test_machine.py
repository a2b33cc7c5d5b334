"""Any sequence of changes and crashes: the object is what a dictionary says it is."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from modos.api import MODO
from modos.errors import AlreadyExistsError, NotFoundError
from modos.object import checking
from tests.support.sampling import most

from .conftest import check_whole, expected_files, files, interrupted, state

NAMES = st.sampled_from(["s1", "s2", "s3"])
VALUES = st.sampled_from(["x", "y", None])
CRASHES = st.none() | st.integers(0, 12)


class Crash(BaseException):
    """The program ends here."""


def crash():
    """End the program."""
    raise Crash


class Machine(RuleBasedStateMachine):
    """Adds, updates and removes elements with and without files, some of it cut short for good."""

    bams: Path

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.modo = MODO.create(f"{self.folder.name}/ex")
        self.known = state(self.modo)

    def teardown(self):
        self.folder.cleanup()

    def attempt(self, change, at):
        """Make a change that may crash; then the object is as it was or as it should be."""
        model_before = self.known
        crashing = interrupted(at, crash, for_good=True) if at is not None else contextlib.nullcontext()
        crashed = False
        try:
            with crashing:
                change()
        except Crash:
            crashed = True
        except (AlreadyExistsError, NotFoundError):
            assert at is not None or state(MODO.open(self.modo.path)) == model_before
        self.modo = MODO.open(self.modo.path)
        self.known = state(self.modo)
        return crashed, model_before

    @rule(name=NAMES, with_file=st.booleans(), at=CRASHES)
    def add(self, name, with_file, at):
        element = {"id": name, "@type": "AlignmentSet" if with_file else "Sample"}
        element_id = f"{'data' if with_file else 'sample'}/{name}"
        source = self.bams / "a.bam" if with_file else None
        path = {"data_path": f"{name}.bam"} if with_file else {}
        crashed, before = self.attempt(lambda: self.modo.add_element(element | path, source), at)
        if element_id in before:
            assert self.known == before
        else:
            rest = {i: a for i, a in self.known.items() if i != element_id}
            assert rest == before and (crashed or element_id in self.known)

    @rule(name=NAMES, value=VALUES, at=CRASHES)
    def update(self, name, value, at):
        element_id = f"sample/{name}"
        crashed, before = self.attempt(lambda: self.modo.update_element(element_id, {"description": value}), at)
        if element_id not in before:
            assert self.known == before
            return
        changed = {k: v for k, v in before[element_id].items() if k != "description"}
        changed |= {"description": value} if value else {}
        assert self.known in ([before, before | {element_id: changed}] if crashed else [before | {element_id: changed}])

    @rule(name=NAMES, source=st.sampled_from(["a.bam", "b.bam"]), at=CRASHES)
    def replace(self, name, source, at):
        element_id = f"data/{name}"
        crashed, before = self.attempt(lambda: self.modo.update_element(element_id, {}, self.bams / source), at)
        if element_id in before and not crashed:
            assert self.known[element_id]["data_size"] == (self.bams / source).stat().st_size
        assert {i: a for i, a in self.known.items() if i != element_id} == {i: a for i, a in before.items() if i != element_id}

    @rule(name=NAMES, group=st.sampled_from(["sample", "data"]), at=CRASHES)
    def remove(self, name, group, at):
        element_id = f"{group}/{name}"
        crashed, before = self.attempt(lambda: self.modo.remove_element(element_id), at)
        after = {i: a for i, a in before.items() if i != element_id}
        assert self.known in ([before, after] if crashed else [after])

    @rule()
    def mend(self):
        checking.fix(self.modo.storage, list(checking.find_problems(self.modo.storage)))
        assert check_whole(self.modo.storage) == [] and files(self.modo.storage) == expected_files(self.modo)

    @invariant()
    def whole(self):
        check_whole(self.modo.storage)


@pytest.mark.parametrize("steps", [12])
def test_any_sequence(bams, steps):
    machine = type("BoundMachine", (Machine,), {"bams": bams})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=most(60, 10), stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
