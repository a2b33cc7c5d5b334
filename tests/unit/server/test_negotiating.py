"""Who gets a page and who JSON, by the header Accept."""

import pytest

from modos.server.pages.negotiating import prefers_html
from tests.support.pages import BROWSER


@pytest.mark.parametrize(
    "accept",
    [
        BROWSER,
        "text/html",
        "text/html, application/json;q=0.9",
        "TEXT/HTML;Q=1",
        "application/json;q=0.2, text/*",
        "text/html;level=1;q=0.8, */*;q=0.1",
        "*/*;q=0.5, text/html",
        "text/html, application/json;q=0",
    ],
)
def test_browsers_get_pages(accept):
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json, text/html",
        "application/json, text/html;q=0.9",
        "text/html;q=0.5, application/json;q=0.6",
        "text/html;q=0, */*",
        "text/html;q=nan, application/xml",
        "text/html;q=2",
        "text/html;q=x",
        "text/html;q=0",
        "text/html;q=0.5, */*",
        "application/vnd.ga4gh.htsget.v1.3.0+json",
        ",,;;q=1",
        "html",
        "application/json, text/html, " * 1000,
    ],
)
def test_programs_get_json(accept):
    assert not prefers_html(accept)
