"""Every reader takes damaged files without a crash, a traceback, a hang or a message that is none."""

from __future__ import annotations

import os

import pytest

from .targets import TARGETS
from .trying import attempt, mutations

SECONDS = 60.0 if os.environ.get("MODOS_ALL", "") not in ("", "0") else min(1.0, 30.0 / len(TARGETS))


@pytest.mark.sweep(5)
@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name):
    assert all(attempt(TARGETS[name], seed) for seed in TARGETS[name].seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_were_wrongly_read_once(name):
    for data in TARGETS[name].kept:
        attempt(TARGETS[name], data)


@pytest.mark.sweep(8)
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name):
    taken = [attempt(TARGETS[name], data) for data in mutations(TARGETS[name], 1, SECONDS)]
    assert taken
