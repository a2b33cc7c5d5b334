"""What a stranger writes into metadata, names and answers does not reach a terminal as it is."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import unicodedata

import pytest
import requests
import yaml

from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.errors.escaping import escape_line, escape_text, escape_xml, is_plain
from modos.genomics.htsget.protocol import HtsgetError
from modos.object import commits
from modos.object.document import Document
from modos.server.app import create_app
from modos.server.metrics import JsonLines, TextLines
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

BAD = "a\x1b]0;owned\x07b\x9b2Jc\u202ed\u2066e\x7ff\rg\u2028h\u200fi"
OBEYED = [
    chr(c)
    for c in range(0x110000)
    if unicodedata.category(chr(c)) in ("Cc", "Zl", "Zp", "Cs")
    or unicodedata.bidirectional(chr(c)) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
]
BASE = "http://x.org/ex"


def obeyed(text):
    return sorted({character for character in text if character in OBEYED and character not in "\n\t"})


@pytest.fixture
def ex(tmp_path):
    storage = open_storage(tmp_path / "ex")
    commits.create(
        storage, Document({"@type": "MODO", "id": "ex", "creation_date": "2024-01-01", "last_update_date": "2024-01-01"})
    )
    commits.commit(
        storage, lambda d: d.add("sample/s", {"@type": "Sample", "name": BAD, "description": "été", "collector": [BAD]})
    )
    commits.commit(
        storage, lambda d: d.add("data/d", {"@type": "DataEntity", "name": "d", "data_path": "a\u202eb.txt", "data_format": BAD})
    )
    return tmp_path / "ex"


def run(*command):
    return commands.run(command, capture_output=True, timeout=60)


def test_every_character_that_unicode_calls_so_is_written_out():
    for character in OBEYED:
        assert not is_plain(character) and not obeyed(escape_line(character) + escape_text(character) + escape_xml(character))
    assert escape_text("été\tñ\n漢字 😀") == "été\tñ\n漢字 😀" and is_plain("été ñ 漢字 😀")
    assert json.loads(escape_text(json.dumps(BAD, ensure_ascii=False))) == BAD


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["show", "--json"],
        ["check"],
        ["check", "--json"],
        ["publish", "--base-uri", BASE],
        ["publish", "--base-uri", BASE, "-O", "nt"],
        ["publish", "--base-uri", BASE, "-O", "xml"],
        ["publish", "--base-uri", BASE, "-O", "json-ld"],
        ["publish", "--base-uri", BASE, "-O", "ro-crate"],
    ],
    ids=" ".join,
)
def test_no_command_shows_them_raw(ex, command):
    done = run(command[0], ex, *command[1:])
    assert not obeyed(done.stdout.decode() + done.stderr.decode())
    assert "owned" in done.stdout.decode() and "Traceback" not in done.stderr.decode()


def test_what_show_writes_is_still_what_the_object_says(ex):
    assert yaml.safe_load(run("show", ex).stdout)["sample/s"]["name"] == BAD
    assert json.loads(run("show", ex, "--json").stdout)["sample/s"]["name"] == BAD


def test_queries_and_differences_do_not_either(ex, tmp_path):
    done = run("query", ex, "SELECT ?n WHERE { ?s schema:name ?n }", "--base-uri", BASE)
    assert b"owned" in done.stdout and not obeyed(done.stdout.decode())
    commits.create(open_storage(tmp_path / "other"), Document({"@type": "MODO", "id": "ex", "name": BAD}))
    done = run("diff", ex, tmp_path / "other")
    assert b"owned" in done.stdout and not obeyed(done.stdout.decode() + done.stderr.decode())


def test_errors_are_a_line_without_them():
    error = InvalidInputError(f"{BAD}\nerror: all is well", f"try {BAD}")
    assert not obeyed(str(error) + error.message + error.hint) and "\n" not in str(error)
    assert "\n" not in str(ModosError("a\nb"))


def test_the_text_of_an_error_has_its_hint_once():
    error = NotFoundError("no file x", "did you mean y?")
    assert str(error) == "no file x (did you mean y?)" and (error.message, error.hint) == ("no file x", "did you mean y?")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(ModosError("no file x")) == "no file x"
    refused = HtsgetError("InvalidInput", "no", "yes")
    assert str(pickle.loads(pickle.dumps(refused))) == str(refused) == "no (yes)"


@pytest.mark.parametrize("style", [TextLines(), JsonLines()])
def test_a_log_is_a_line_a_request(style):
    record = logging.LogRecord("modos", logging.INFO, "", 0, "%s", (f"{BAD}\n00:00:00 info forged",), None)
    record.path = f"/{BAD}\n"
    line = style.format(record)
    assert not obeyed(line) and "\n" not in line


def test_every_answer_of_a_server_says_that_its_type_is_meant(ex):
    with BackgroundServer(create_app(open_storage(ex.parent), tokens=["a-token-that-is-long-enough"])) as server:
        token = {"Authorization": "Bearer a-token-that-is-long-enough"}
        for path in (
            "/",
            "/healthz",
            "/metrics",
            "/list",
            "/meta",
            "/nowhere",
            "/files/ex/data.zarr/zarr.json",
            "/htsget/reads/x",
            "/meta?limit=x",
            "/docs",
            "/openapi.json",
            "/refget/sequence/service-info",
            "/ga4gh/drs/v1/service-info",
        ):
            for headers in ({}, token, {"Authorization": "Bearer wrong"}, token | {"Origin": "http://x.org"}):
                answer = requests.get(server.url + path, headers=headers, timeout=60)
                assert answer.headers.get("X-Content-Type-Options") == "nosniff", path
                assert answer.headers.get("Cache-Control", "").startswith("private"), path


def test_an_answer_to_a_defect_says_so_too(ex, monkeypatch):
    app = create_app(open_storage(ex.parent))
    app.add_api_route("/broken", lambda: 1 / 0)
    with BackgroundServer(app) as server:
        answer = requests.get(f"{server.url}/broken", timeout=60)
    assert answer.status_code == 500 and answer.headers["X-Content-Type-Options"] == "nosniff" and "message" in answer.json()


def test_text_that_is_written_in_pieces_is_guarded_on_a_terminal_alone(capfdbinary, monkeypatch):
    from modos.cli.output import text_file

    assert text_file() is sys.stdout.buffer
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = text_file()
    for byte in f"é {BAD}\n".encode():
        out.write(bytes([byte]))
    out.flush()
    written = capfdbinary.readouterr().out.decode()
    assert written.startswith("é a\\u001b") and not obeyed(written)


def test_what_is_noted_without_being_asked_is_guarded_too():
    program = f"import logging; from modos.cli.output import guard_log; guard_log(); logging.getLogger('x').warning({BAD!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert b"owned" in done.stderr and not obeyed(done.stderr.decode())


def test_names_in_a_reference_store_are_shown_so(tmp_path):
    (tmp_path / "a.fa").write_text(">chr\x1b[2J\u202e1\nACGT\n")
    assert run("reference", "--help").returncode == 0
    program = "import os, sys; os.environ['MODOS_REFERENCE_STORE'] = sys.argv.pop(1); from modos.cli import main; main()"
    for command in (["add", "a", str(tmp_path / "a.fa")], ["show", "a"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "store"), "reference", *command], capture_output=True, timeout=60
        )
        assert done.returncode == 0 and not obeyed(done.stdout.decode() + done.stderr.decode())
