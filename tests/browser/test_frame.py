"""The browser of a notebook's cell, in a frame of a page of another site, as notebooks are."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modos.api import MODO
from tests.support.browsing import PATIENCE, SCREENSHOTS

pytest.importorskip("igv_notebook", reason="igv.js comes with igv-notebook, which the extra `igv` installs")


@contextmanager
def notebook(cell):
    """A page at http://localhost, for which the frame's 127.0.0.1 is another site: no cookie goes there."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>notebook</title><h1>A notebook</h1>{cell}".encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_reads_are_seen_in_a_cell(folder, chromium):
    failed = []
    with (
        MODO.open(folder / "ex")["data/demo2"].browse("chr1:1,000-3,000", height=700) as browser,
        notebook(browser._repr_html_()) as url,
    ):
        page = chromium.new_page(viewport={"width": 1000, "height": 800})
        page.set_default_timeout(PATIENCE)
        page.on("response", lambda answer: answer.status >= 400 and failed.append(f"{answer.status} {answer.url}"))
        page.on("console", lambda told: told.type == "error" and failed.append(told.text))
        page.goto(url)
        frame = page.frame_locator("iframe")
        frame.locator(".igv-viewport canvas").first.wait_for()
        page.wait_for_load_state("networkidle")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "notebook-cell.png")
        frame.get_by_label("Gene or region").fill("chr2:5,000-6,000")
        frame.get_by_role("button", name="Go").click()
        page.frames[1].wait_for_url(re.compile("chr2:5,000-6,000"))
        page.close()
    assert failed == []
