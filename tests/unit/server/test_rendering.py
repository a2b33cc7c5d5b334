"""How values are written into pages."""

import subprocess

import pytest
from markupsafe import Markup

from modos.server.pages import page_filters
from modos.server.pages.asset_files import ASSETS, find_asset
from modos.server.pages.rendering import TEMPLATES, environment, page_headers


def write(source, **values):
    return environment().from_string(source).render(**values)


def test_values_are_escaped_and_made_visible():
    assert write("{{ x }}", x="<b>&\"'\x1b[2J\u202eabc\n\ud800") == "&lt;b&gt;&amp;&#34;&#39;\\u001b[2J\\u202eabc\\u000a\\ud800"
    assert write("{{ x|lines }}", x="a\n<b>\x07\u2066") == "a\n&lt;b&gt;\\u0007\\u2066"
    assert write("{{ x }}{{ y }}", x=None, y=Markup("<i>")) == "<i>"


def test_code_and_sentences():
    assert write("{{ x|marked }}", x="a `<b>` c") == "a <code>&lt;b&gt;</code> c"
    assert write("{{ x|marked }}", x="a ` <c>") == "a ` &lt;c&gt;"
    assert write("{{ x|sentence }}", x="did you mean a?") == "Did you mean a?"
    assert write("{{ x|sentence }}", x="<b>") == "&lt;b&gt;." and write("{{ x|sentence }}", x="") == ""


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(Exception, match="undefined"):
        write("{{ nothing }}")


@pytest.mark.parametrize(
    "value, expected",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (716_446, "716 kB"),
        (99_960, "100 kB"),
        (1_500_000_000, "1.5 GB"),
        ("x", "x"),
        (True, "True"),
    ],
)
def test_bytes(value, expected):
    assert page_filters.format_bytes(value) == expected


@pytest.mark.parametrize(
    "value, expected",
    [
        ("2025-01-15", "2025-01-15"),
        ("2025-01-15T10:20:30", "2025-01-15 10:20"),
        ("2025-01-15T10:20:30Z", "2025-01-15 10:20 UTC"),
        ("2025-01-15T10:20:30+02:00", "2025-01-15 10:20 +0200"),
        ("soon", "soon"),
    ],
)
def test_moments(value, expected):
    assert page_filters.format_moment(value) == expected


@pytest.mark.parametrize("value", ["https://example.org/a?b=c#d", "http://example.org", "HTTPS://example.org/x"])
def test_addresses_of_the_web_are_led_to(value):
    assert page_filters.web_address(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https:evil",
        "http://",
        "https://a b",
        "https://a\n.b",
        " https://a",
        "java\tscript:x",
        "https:\\\\evil",
        "ftp://x",
        "https://[",
        5,
    ],
)
def test_others_are_not(value):
    assert page_filters.web_address(value) == ""


@pytest.mark.parametrize(
    "word",
    [
        "plain",
        "two words",
        "it's",
        "$(rm -rf /)",
        "a`b`",
        "-r",
        "x;y",
        "tab\there",
        "esc\x1b[0m",
        "\u202eturned",
        "line\nend",
        "'\\\x1b'",
    ],
)
def test_words_for_the_shell_come_back(word):
    written = page_filters.quote_shell(word)
    assert (
        subprocess.run(
            ["bash", "-c", f"printf %s {written}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
        ).stdout.decode()
        == word
    )
    assert "\x1b" not in written and "\u202e" not in written and "\n" not in written


def test_no_template_has_a_script_a_handler_or_a_style_of_its_own():
    for path in TEMPLATES.iterdir():
        text = path.read_text().lower()
        assert "style=" not in text and "<style" not in text and "javascript:" not in text, path
        assert not [
            part
            for part in text.split("<script")[1:]
            if "src=" not in part.partition(">")[0] and "application/json" not in part.partition(">")[0]
        ], path
        assert not [word for word in ("onclick", "onload", "onerror", "onchange", "onsubmit", "oninput") if word in text], path
        assert "|safe" not in text and "autoescape false" not in text, path


def test_the_policy_allows_nothing_of_others():
    policy = page_headers()["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy and "http" not in policy and "frame-ancestors 'none'" in policy
    widened = page_headers({"connect-src": "https://s3.example.org", "worker-src": "blob:"})["Content-Security-Policy"]
    assert "connect-src 'self' https://s3.example.org;" in widened and widened.endswith("worker-src blob:")


def test_assets_are_those_of_the_folder():
    assert all(find_asset(path.name) for path in ASSETS.iterdir())
    assert not any(
        find_asset(name) for name in ("", ".", "..", "../rendering.py", "base.html", "/etc/passwd", "nothing.css", "PAGES.CSS")
    )
