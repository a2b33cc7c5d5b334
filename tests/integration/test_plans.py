"""Plans over objects at S3 and at a modos server read what a folder gives, and only what the caller may."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from modos import open_catalog
from modos.api import MODO
from modos.catalog.element_catalog import refresh_catalog
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import AccessError, PartitionError
from modos.plans import opened, panel_completeness
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.cohort import make_cohort

KINDS = ["reads", "variants", "coverage", "tracks"]
REGIONS = ["chr1:1-3000", "chr2:1-500"]
ALICE, ROOT = "a-token-of-alice-with-letters", "a-token-of-root-with-letters"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 3)


@pytest.fixture(scope="module")
def at_s3(place, stack):
    for path in sorted(place.iterdir()):
        MODO.open(path).upload(f"s3://{BUCKET}/cohort/{path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    return f"s3://{BUCKET}/cohort"


@pytest.fixture
def served(place):
    """A server of which alice may read two of the objects, and root all."""
    rules = Rules(
        (Rule(frozenset({"user:alice"}), read=("s000", "s002")), Rule(frozenset({"user:root"}), read=("s000", "s001", "s002")))
    )
    app = create_app(open_storage(place), access=Access({ALICE: "alice", ROOT: "root"}, rules))
    with BackgroundServer(app) as server:
        yield server.url


@pytest.fixture
def keys_in_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS["secret"])


def read(partition):
    return partition.to_arrow()


@pytest.mark.parametrize("kind", KINDS)
def test_at_s3(place, at_s3, stack, kind, keys_in_environment):
    plan = open_catalog(at_s3, services={"s3": stack.s3}).scan(kind, REGIONS)
    expected = open_catalog(place).scan(kind, REGIONS)
    assert plan.to_polars().equals(expected.to_polars())
    pickled = pickle.dumps(plan)
    assert b"aws_secret" not in pickled and b"s3_kwargs" not in pickled
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert [table.num_rows for table in pool.map(read, plan)] == [table.num_rows for table in expected.iter_arrow()]


def test_keys_that_are_given_are_used_in_threads_and_stay_here(place, at_s3, stack):
    plan = open_catalog(at_s3, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS).scan("coverage", REGIONS)
    assert plan.to_arrow().equals(open_catalog(place).scan("coverage", REGIONS).to_arrow())
    with pytest.raises(AccessError, match="in the pickle"):
        pickle.dumps(plan[0])


@pytest.mark.parametrize("kind", KINDS)
def test_at_a_server_what_one_may_read(place, served, kind, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    plan = open_catalog(served).scan(kind, REGIONS)
    expected = open_catalog(place).scan(kind, REGIONS, where="object <> 's001'")
    assert plan.objects == expected.objects and plan.to_polars().equals(expected.to_polars())
    assert ALICE.encode() not in pickle.dumps(plan)


def test_what_one_may_not_read_is_named(served, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", ROOT)
    plan = open_catalog(served).scan("coverage", "chr1:1-100")
    assert plan.objects == ["s000", "s001", "s002"] and plan.to_arrow().num_rows == 3
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    for kept in (opened._objects, opened._files):
        kept._start()  # as in another process
    with pytest.raises(PartitionError, match="1 of 3 partitions failed: s001 data/reads chr1:1-100") as raised:
        plan.to_arrow()
    ((name, error),) = raised.value.failures
    assert isinstance(error, AccessError) and raised.value.exit_code == AccessError.exit_code
    assert [table is None for table in raised.value.results] == [False, True, False]


def test_a_catalogue_that_is_kept(place, tmp_path):
    import shutil

    copied = shutil.copytree(place, tmp_path / "cohort")
    refresh_catalog(copied)
    catalog = open_catalog(copied)
    assert catalog.is_made
    for kind in KINDS:
        assert catalog.scan(kind, REGIONS).to_polars().equals(open_catalog(place).scan(kind, REGIONS).to_polars())


def test_a_question_at_a_server(place, served, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", ROOT)
    asked = [panel_completeness(open_catalog(where), regions=REGIONS, min_depth=5) for where in (served, place)]
    assert asked[0].equals(asked[1])


def test_a_server_that_is_gone_is_named(place, monkeypatch):
    monkeypatch.setattr("modos.plans.running.time.sleep", lambda _: None)
    with BackgroundServer(create_app(open_storage(place))) as server:
        plan = open_catalog(server.url).scan("coverage", "chr1:1-100")
        assert plan.to_arrow().num_rows == 3
    with pytest.raises(PartitionError, match="3 of 3 partitions failed: s000 data/reads chr1:1-100"):
        plan.to_arrow()
