"""A person's browser that is watched: whatever goes wrong on its pages is found at the end, unless the test said that it would."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build/screenshots"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 375, "height": 812}  # CSS pixels
PATIENCE = 60_000.0  # milliseconds to wait for what is to appear
FITTED = 10.0  # seconds until scripts have made a page fit into a new width
_LOCAL = ("about:", "blob:", "data:")
# Seen before any script of the page; what it says comes to the console, as what chromium says of it does
_WATCH = """
document.addEventListener("securitypolicyviolation", event =>
    console.error(`CSP: ${event.effectiveDirective} refuses ${event.blockedURI || "inline"}`));
"""


@dataclass
class Served:
    """A running server: its URL, the folder or `s3://` URL that it serves, and where its pages may ask besides."""

    url: str
    place: str
    others: tuple[str, ...] = ()

    @property
    def origins(self) -> frozenset[str]:
        """The origins that pages may ask: the server's, and that of the S3 server to which signed addresses lead."""
        return frozenset(origin_of(url) for url in (self.url, *self.others))


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass
class Visitor:
    """One person: a browser context with cookies of its own, and a page in it.

    Of every page of the context these are problems: errors and warnings of the console (among them all violations of
    the Content-Security-Policy), exceptions of scripts, dialogs, requests to other origins than those of the server, requests
    that fail, and answers from 400 on. What the page itself gave up (`net::ERR_ABORTED`) is none.
    """

    context: Any
    origins: Collection[str]
    page: Any = None
    problems: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)
    _borne: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.origins = set(self.origins)
        self.context.add_init_script(_WATCH)
        self.context.on("page", self._watch)
        self.page = self.context.new_page()

    def expects(self, *patterns: str) -> Visitor:
        """Say what goes wrong in the test, as regular expressions: each has to be found, and is a problem no more."""
        self._expected += patterns
        return self

    def bears(self, *patterns: str) -> Visitor:
        """Say what may go wrong, or may not; only where it does no harm, and nobody can say when it comes."""
        self._borne += patterns
        return self

    def allows(self, *urls: str) -> Visitor:
        """Say which other servers the pages may lead to, such as that of a provider at which people log in."""
        self.origins |= {origin_of(url) for url in urls}
        return self

    def wait_for(self, *patterns: str) -> None:
        """Wait until there are some problems, for the browser tells of them in its own time; for those of `expects`, if none is given."""
        end = time.monotonic() + PATIENCE / 1000
        while self._absent(patterns or self._expected) and self.context.pages and time.monotonic() < end:
            self.context.pages[0].wait_for_timeout(20)

    def check(self) -> None:
        """Raise AssertionError if there was a problem that nobody expected, or none that somebody did."""
        known = [*self._expected, *self._borne]
        left = [text for text in self.problems if not any(re.search(pattern, text) for pattern in known)]
        assert not left, "problems of the page:\n" + "\n".join(left)
        absent = self._absent(self._expected)
        assert not absent, f"expected, and not there: {absent}"

    def _absent(self, patterns: Iterable[str]) -> list[str]:
        return [pattern for pattern in patterns if not any(re.search(pattern, text) for text in self.problems)]

    def _watch(self, page: Any) -> None:
        page.on("console", self._on_console)
        page.on("dialog", self._on_dialog)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_answer)

    def _on_dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_console(self, message: Any) -> None:
        url = message.location.get("url", "")
        if message.type in ("error", "warning") and not url.endswith("/favicon.ico"):  # which it asks for also with JSON
            self.problems.append(f"console {message.type}: {message.text} ({url})")

    def _on_request(self, request: Any) -> None:
        self.requests.append((request.method, request.url))
        if not request.url.startswith(_LOCAL) and origin_of(request.url) not in self.origins:
            self.problems.append(f"foreign: {request.method} {request.url}")

    def _on_failure(self, request: Any) -> None:
        if "ERR_ABORTED" not in (request.failure or ""):
            self.problems.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _on_answer(self, response: Any) -> None:
        if response.status >= 400:
            self.problems.append(f"answer {response.status}: {response.request.method} {response.url}")


def take_screenshots(page: Any, name: str) -> list[Path]:
    """Write `build/screenshots/NAME-{light,dark}-{wide,narrow}.png`; nothing may lie out of sight to the right."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    before, made = page.viewport_size, []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width, size in (("wide", WIDE), ("narrow", NARROW)):
            page.set_viewport_size(size)
            page.wait_for_timeout(100)  # for what scripts do with the new width
            end = time.monotonic() + FITTED
            while (found := width_of(page)) > size["width"] and time.monotonic() < end:
                page.wait_for_timeout(50)
            path = SCREENSHOTS / f"{name}-{scheme}-{width}.png"
            page.screenshot(path=path, full_page=True)
            made.append(path)
            assert found <= size["width"], f"{name} is {found} pixels wide, of {size['width']}"
    page.emulate_media(color_scheme=None)
    page.set_viewport_size(before or WIDE)
    return made


def width_of(page: Any) -> int:
    """The width of all that can be scrolled to, in CSS pixels."""
    return page.evaluate("document.documentElement.scrollWidth")


def focused(page: Any) -> str:
    """What has the focus of the keyboard, as a person would call it: its text, label or name."""
    return page.evaluate(
        "(e => (e.innerText || e.labels?.[0]?.innerText || e.getAttribute('aria-label') || e.name || e.id || e.tagName).trim())"
        "(document.activeElement)"
    )


def tab_to(page: Any, name: str, most: int = 60) -> None:
    """Go to what is called so by the tabulator alone; AssertionError where that does not lead there."""
    seen = []
    for _ in range(most):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if seen[-1] == name:
            return
    raise AssertionError(f"the tabulator does not lead to {name!r}, but to {seen}")
