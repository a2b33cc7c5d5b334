"""A real Chromium, servers to look at with it, and people who do; see tests/README.md, "Browsers"."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.browsing import PATIENCE, WIDE, Served, Visitor, take_screenshots

CHROMIUM = os.environ.get("MODOS_CHROMIUM") or "/usr/bin/chromium"  # before tests see no such settings


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark all that is in this folder, so that nothing of it runs where there may be no browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    """The browser; a test that cannot start it fails."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visitor]]:
    """`visit(served, "/path")`: somebody opens a page; whose pages had problems fails the test at its end.

    Each call is another person. `dark=True`, `viewport=NARROW`, `java_script_enabled=False` and what else
    `browser.new_context` takes go there.
    """
    visitors = []

    def visit(served: Served | str, path: str | None = "/", *, dark: bool = False, **options) -> Visitor:
        served = served if isinstance(served, Served) else Served(served, "")
        context = chromium.new_context(
            **({"viewport": WIDE, "color_scheme": "dark" if dark else "light", "locale": "en-GB"} | options)
        )
        context.set_default_timeout(PATIENCE)
        visitor = Visitor(context, served.origins)
        visitors.append(visitor)
        if path is not None:
            visitor.page.goto(served.url + path)
        return visitor

    yield visit
    for visitor in visitors:
        visitor.wait_for()
    for visitor in visitors:
        visitor.context.close()
    for visitor in visitors:
        visitor.check()


@pytest.fixture(scope="session")
def screenshot():
    """`screenshot(page, name)` keeps how a page looks in `build/screenshots/`: light and dark, wide and 375 pixels."""
    return take_screenshots


@pytest.fixture(scope="session")
def folder(example, tmp_path_factory) -> Path:
    """A folder with the demo's object at `ex`."""
    root = tmp_path_factory.mktemp("looked-at")
    shutil.copytree(example / "ex", root / "ex")
    return root


@pytest.fixture(scope="session")
def served_folder(folder) -> Iterator[Served]:
    """A server over the folder, open to all."""
    with BackgroundServer(create_app(open_storage(folder))) as server:
        yield Served(server.url, str(folder))


@pytest.fixture(scope="session")
def served_s3(stack) -> Served:
    """A server over a bucket with the demo's object at `ex`, open to all; its addresses lead to the S3 server."""
    return Served(stack.endpoint, "s3://modos-demo", (stack.s3,))


@pytest.fixture(params=["folder", "S3"])
def served(request) -> Served:
    """Both of them, one after the other."""
    return request.getfixturevalue("served_folder" if request.param == "folder" else "served_s3")
