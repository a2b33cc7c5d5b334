"""The browser is watched: what goes wrong on a page fails the test that opened it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.browsing import NARROW, Served, tab_to, take_screenshots, width_of

POLICY = "default-src 'none'; script-src 'self'"
PAGES = {
    "/good": "<!doctype html><title>good</title><a href=/other>first</a> <a href=/good>second</a>",
    "/inline": "<!doctype html><script>window.ran = true</script>",
    "/style": "<!doctype html><p style='color: red'>red</p>",
    "/foreign": "<!doctype html><script src=http://127.0.0.2:9/x.js></script>",
    "/thrown": "<!doctype html><script src=/thrown.js></script>",
    "/thrown.js": "throw new Error('of the page')",
    "/lost": "<!doctype html><script src=/none.js></script>",
    "/broad": "<!doctype html><meta name=viewport content='width=device-width'><pre>" + "x" * 500,
}


@pytest.fixture(scope="module")
def bare():
    """A server of pages, good and bad, with a strict policy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = PAGES.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html")
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Served(f"http://127.0.0.1:{server.server_port}", "")
    server.shutdown()
    server.server_close()


def test_a_good_page_has_no_problems(bare, visit):
    assert visit(bare, "/good").page.title() == "good"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/inline", "CSP: script-src-elem refuses inline"),
        ("/style", "CSP: style-src-attr refuses inline"),
        ("/foreign", "CSP: script-src-elem refuses http://127.0.0.2:9/x.js"),
        ("/thrown", "script: of the page"),
        ("/lost", "answer 404: GET .*/none.js"),
    ],
)
def test_problems_are_found(bare, visit, path, problem):
    visitor = visit(bare, path)
    visitor.wait_for(problem)
    with pytest.raises(AssertionError, match=problem):
        visitor.check()
    assert visitor.page.evaluate("window.ran") is None
    visitor.expects(".")  # at the end of the test


def test_a_request_to_another_origin_is_found(bare, visit):
    visitor = visit(bare, "/good")
    visitor.page.evaluate("location.assign('http://127.0.0.2:9/')")
    visitor.wait_for("foreign: GET")
    with pytest.raises(AssertionError, match="foreign: GET http://127.0.0.2:9/"):
        visitor.check()
    visitor.expects(".")


def test_what_is_expected_has_to_come(bare, visit):
    visitor = visit(bare, "/good").expects("answer 404")
    with pytest.raises(AssertionError, match="expected, and not there"):
        visitor.check()
    visitor.page.goto(f"{bare.url}/lost")
    visitor.expects("console error: Failed to load resource")


def test_what_is_expected_is_waited_for_at_the_end(bare, visit):
    visitor = visit(bare, "/good").expects("console error: late")
    visitor.page.evaluate("() => void setTimeout(() => console.error('late'), 500)")


def test_what_is_too_wide_is_found(bare, visit, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.browsing.SCREENSHOTS", tmp_path)
    monkeypatch.setattr("tests.support.browsing.FITTED", 0.5)
    page = visit(bare, "/broad", viewport=NARROW).page
    assert width_of(page) > 375
    with pytest.raises(AssertionError, match="pixels wide"):
        take_screenshots(page, "broad")
    page.goto(f"{bare.url}/good")
    assert len(take_screenshots(page, "good")) == 4 == len(list(tmp_path.glob("good-*.png")))


def test_the_tabulator_leads_to_links(bare, visit):
    page = visit(bare, "/good").page
    tab_to(page, "second")
    with pytest.raises(AssertionError, match="does not lead to 'third'"):
        tab_to(page, "third", most=3)


def test_the_served_places_answer(served, visit):
    visitor = visit(served, "/healthz")
    assert "ok" in visitor.page.inner_text("body")
