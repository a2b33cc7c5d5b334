"""A cohort of six objects."""

from __future__ import annotations

import pytest

from modos import open_catalog
from tests.support.cohort import make_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """The folder of the objects `s000` to `s005`; beside it lie the files that they were made of."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), 6)


@pytest.fixture(scope="session")
def catalog(cohort):
    return open_catalog(cohort)


@pytest.fixture(scope="session")
def files(cohort):
    return cohort.parent / "files"
