"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.sampling import ALL, SEED, most, rank

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile("modos", deadline=None, max_examples=most(100, 40))  # a machine may have other work
settings.load_profile("modos")


def pytest_configure():
    """Programs that are started can be interrupted and hung up, also where whoever runs the tests ignores that (nohup)."""
    for number, handle in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handle)


def pytest_report_header():
    """What is left out, and how to have it."""
    return "all cases of sweeps" if ALL else f"sweeps: a sample (MODOS_SEED={SEED}); all with MODOS_ALL=1"


def pytest_collection_modifyitems(config, items):
    """Keep a sample of each sweep: the same for the same seed, on all workers; with MODOS_ALL all of it.

    First of each test of many cases, then of each module that is a sweep: of that, what is marked `core` always.
    """
    if ALL:
        return
    kept = items
    for of in (pytest.Function, pytest.Module):
        kept = _sample(kept, of)
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=list(set(items).difference(kept)))
        items[:] = kept


def _sample(items: list, of: type) -> list:
    """The items without those that the sweeps of one kind leave out: of a function, or of a module."""
    cases = defaultdict(list)
    for item in items:
        most = [mark.args[0] for node, mark in item.iter_markers_with_node("sweep") if isinstance(node, of)]
        if most and not (of is pytest.Module and item.get_closest_marker("core")):
            cases[item.nodeid.partition("[" if of is pytest.Function else "::")[0], most[0]].append(item)
    left = {item for (_, most), found in cases.items() for item in sorted(found, key=lambda item: rank(item.nodeid))[most:]}
    return [item for item in items if item not in left]


@pytest.fixture(autouse=True)
def no_foreign_settings(monkeypatch, tmp_path):
    """No test sees the credentials, endpoint or caches of whoever runs it."""
    for name in list(os.environ):
        if (name.startswith(("AWS_", "MODOS_")) and name != "MODOS_SHARED_DATA") or name in ("REF_PATH", "REF_CACHE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MODOS_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files written by others."""
    folder = Path(os.environ.get("MODOS_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the shared real files are not here (MODOS_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def example(tmp_path_factory) -> Path:
    """A folder with the demo data set (`source/`) and the object made of it (`ex/`)."""
    from modos.demo.dataset import generate
    from modos.object.modo import MODO

    folder = tmp_path_factory.mktemp("example")
    MODO.from_file(generate(folder / "source"), folder / "ex")
    return folder


@pytest.fixture(scope="session")
def stack(example):
    """The embedded services, with the example object at s3://modos-demo/ex."""
    from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
    from modos.object.modo import MODO

    with run_stack() as services:
        MODO.open(example / "ex").upload(f"s3://{BUCKET}/ex", endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
        yield services


def pytest_terminal_summary(terminalreporter):
    """A line that says how much was compared with files written by others."""
    made: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if getattr(report, "when", None) == "call":
            for name, counts in report.user_properties:
                made.update(json.loads(counts) if name == "foreign" else {})
    if made:
        terminalreporter.write_line("foreign files: " + ", ".join(f"{count:,} {what}" for what, count in made.items()))
