"""Codes over HTTP, as fuzon and its clients have it; on the command line; and in the questions on a terminal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from modos import codes
from modos.cli.input import ask_element
from modos.codes.service import Service
from modos.codes.term_index import Index
from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError, ProtocolError, TransportError
from modos.remote.services import discover
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.run import BackgroundServer, Settings
from modos.storage import open_storage
from tests.support import commands
from tests.support.terminal import on_a_terminal
from tests.unit.codes.test_index import CELLS, TAXA

pytestmark = pytest.mark.sweep(25)

TOKEN = "a-token-of-at-least-16-characters"


@pytest.fixture
def index(tmp_path):
    (tmp_path / "cl.obo").write_text(CELLS)
    (tmp_path / "taxa.obo").write_text(TAXA)
    return codes.build([tmp_path / "cl.obo", tmp_path / "taxa.obo"], tmp_path / "site.index")


@pytest.fixture
def served(index, tmp_path):
    (tmp_path / "data").mkdir()
    with BackgroundServer(create_app(open_storage(tmp_path / "data"), index=Index(index.path, mapped=False))) as server:
        yield server.url


def get(url, **params):
    return requests.get(url, params=params, timeout=20)


# --- our server ---


def test_the_answer_is_that_of_fuzon(served):
    answer = get(f"{served}/codes/top", collection="cell_type", query="leukocite", num=1)
    assert answer.status_code == 200 and answer.headers["X-Content-Type-Options"] == "nosniff"
    first = answer.json()["codes"][0]
    assert (first["label"], first["uri"]) == ("leukocyte", "<http://purl.obolibrary.org/obo/CL_0000738>") and 0 < first[
        "score"
    ] <= 1
    assert get(f"{served}/collections").json() == {
        "collections": ["cell_type", "source_material", "taxon_id", "data_format", "omics_type", "sex"]
    }
    assert get(f"{served}/codes/top", collection="cell_type", query="nowhere near").json() == {"codes": []}
    every, one = (
        get(f"{served}/codes/top", collection="cell_type", query="cell", **how).json()["codes"] for how in ({}, {"top": 1})
    )
    assert one == every[:1] != every  # a version of fuzon calls it so
    assert len(get(f"{served}//codes/top/", collection="cell_type", query="cell").json()["codes"]) > 2


def test_discovery_names_it(served, tmp_path):
    assert get(served).json()["fuzon"] == served and discover(served).fuzon == served
    plain = create_app(open_storage(tmp_path / "data"), fuzon_url="http://127.0.0.1:9/fuzon")
    with BackgroundServer(plain) as server:
        assert get(server.url).json()["fuzon"] == "http://127.0.0.1:9/fuzon"
        assert get(f"{server.url}/codes/top", collection="cell_type", query="x").status_code == 404


@pytest.mark.sweep(6)
@pytest.mark.parametrize(
    "params, status, words",
    [
        ({"query": "x"}, 400, "collection"),
        ({"collection": "cell_type"}, 400, "query"),
        ({"collection": "cell_type", "query": ""}, 400, "query"),
        ({"collection": "cell_type", "query": "x" * 201}, 400, "query"),
        ({"collection": "cell_type", "query": "x", "num": 0}, 400, "num"),
        ({"collection": "cell_type", "query": "x", "num": 101}, 400, "num"),
        ({"collection": "cell_type", "query": "x", "num": "many"}, 400, "num"),
        ({"collection": "cell_type", "query": "x", "number": 3}, 400, "no parameter number"),
        ({"collection": "cell_type", "query": "x", "top": 3, "num": 4}, 400, "differ"),
        ({"collection": "cell_type", "query": "x", "top": 0}, 400, "top"),
        ({"collection": ["a", "b"], "query": "x"}, 400, "more than once"),
        ({"collection": "celltype", "query": "x"}, 404, "celltype"),
        ({"collection": "sample_processing", "query": "x"}, 404, "sample_processing"),
        ({"collection": "x" * 5000, "query": "x"}, 400, "collection"),
        ({"collection": "cell_type", "query": "  "}, 400, "words"),
    ],
)
def test_what_cannot_be_asked_says_why(served, params, status, words):
    answer = get(f"{served}/codes/top", **params)
    assert answer.status_code == status and words in answer.json()["message"], answer.text


def test_only_for_those_who_may_read(index, tmp_path):
    app = create_app(open_storage(tmp_path), access=Access({TOKEN: "alice"}), index=index)
    with BackgroundServer(app) as server:
        for path in ("/codes/top?collection=cell_type&query=neuron", "/collections"):
            assert get(server.url + path).status_code == 403
            assert requests.get(server.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20).status_code == 200
        with pytest.raises(AccessError):
            codes.search("cell_type", "neuron", endpoint=server.url)


def test_the_clients_token_comes_along(index, tmp_path, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    with BackgroundServer(create_app(open_storage(tmp_path), access=Access({TOKEN: "alice"}), index=index)) as server:
        assert codes.search("cell_type", "neuron", endpoint=server.url)[0].value == "CL:0000540"


def test_a_new_index_is_served_and_a_damaged_one_is_not(index, served, tmp_path):
    def label():
        return [code["label"] for code in get(f"{served}/codes/top", collection="cell_type", query="CL:0000182").json()["codes"]]

    assert label() == ["hepatocyte"]
    (tmp_path / "cl.obo").write_text(CELLS.replace("hepatocyte", "liver cell"))
    codes.build([tmp_path / "cl.obo", tmp_path / "taxa.obo"], index.path)
    assert label() == ["liver cell"]
    data = bytearray(index.path.read_bytes())
    data[-10] ^= 255
    (tmp_path / "part").write_bytes(data[:-1])
    os.replace(tmp_path / "part", index.path)
    assert label() == ["liver cell"]
    index.path.write_bytes(data[:1000])  # over what is there: where it is mapped, that ends the process
    assert label() == ["liver cell"] and get(f"{served}/codes/top", collection="taxon_id", query="human").json()["codes"]
    index.path.unlink()
    assert label() == ["liver cell"]


def test_the_server_does_not_start_with_an_index_that_is_no_good(index, tmp_path):
    assert Settings(str(tmp_path), codes=str(index.path)).app()
    data = bytearray(index.path.read_bytes())
    data[-10] ^= 255
    (tmp_path / "damaged").write_bytes(data[:-1])
    for path in ("damaged", "none", "cl.obo"):
        with pytest.raises(ModosError):
            Settings(str(tmp_path), codes=str(tmp_path / path)).app()


def test_many_ask_at_once(served):
    answers = []

    def ask(number):
        answers.append(
            get(f"{served}/codes/top", collection="taxon_id", query=["human", "musculus", "homo sapiens"][number % 3]).status_code
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 30


# --- a server of others ---


class Fuzon(BaseHTTPRequestHandler):
    """Answers as fuzon-http does."""

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append(
            (parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}, self.headers.get("Authorization"))
        )
        status, body = self.server.answer(parts.path.rstrip("/"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A test closes a connection so."""


@pytest.fixture
def fuzon():
    with Server(("127.0.0.1", 0), Fuzon) as server:
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def answers(codes, collections=("cell_type",)):
    def answer(path):
        return (200, {"codes": codes}) if path.endswith("/codes/top") else (200, {"collections": list(collections)})

    return answer


def test_fuzon_is_asked_in_its_own_words(fuzon, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    fuzon.answer = answers(
        [
            {"label": "T cell", "uri": "<http://purl.obolibrary.org/obo/CL_0000084>", "score": None},
            {"label": '"say \\"T\\""@en', "uri": "http://purl.obolibrary.org/obo/GO_1", "score": 0.5},
            {"label": "third", "uri": "<http://example.org/x>"},
        ]
    )
    found = codes.search(
        "cell_type", "t cell & more", 2, services={"fuzon": f"{fuzon.url}/fuzon/"}, endpoint="http://127.0.0.1:9"
    )
    assert [(code.value, code.label, code.score) for code in found] == [
        ("CL:0000084", "T cell", None),
        ("http://purl.obolibrary.org/obo/GO_1", 'say "T"', 0.5),
    ]
    assert fuzon.asked == [
        ("/fuzon/codes/top", {"collection": "cell_type", "query": "t cell & more", "num": "2", "top": "2"}, None)
    ]


def test_a_slot_that_it_does_not_have(fuzon):
    fuzon.answer = lambda path: (500, b"") if path.endswith("top") else (200, {"collections": ["cell_type"]})
    with pytest.raises(NotFoundError) as error:
        Service(fuzon.url).search("taxon_id", "human")
    assert "cell_type" in error.value.hint
    with pytest.raises(ProtocolError, match="500"):
        Service(fuzon.url).search("cell_type", "human")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"codes": None},
        {"codes": [None]},
        {"codes": [{}]},
        {"codes": [{"label": 1, "uri": "http://x/y"}]},
        {"codes": [{"label": "x", "uri": "no address"}]},
        {"codes": [{"label": "x", "uri": "http://x/\x1b[2J"}]},
        {"codes": [{"label": "x", "uri": "<<>"}]},
        b"not JSON",
        b"[" * 100_000,
        b" " * (2 << 20),
    ],
)
def test_nonsense_is_told(fuzon, body):
    fuzon.answer = lambda path: (200, {"collections": ["cell_type"]}) if path.endswith("collections") else (200, body)
    with pytest.raises(ProtocolError) as error:
        Service(fuzon.url).search("cell_type", "x")
    assert "\n" not in error.value.message and "\x1b" not in error.value.message


def test_a_name_is_one_cell_of_a_table_and_a_score_is_a_number(fuzon, tmp_path):
    """What a server says adds no rows, and JSON stays JSON."""
    fuzon.answer = lambda path: (
        200,
        b'{"codes": [{"label": "a\\nCL:9\\tb", "uri": "http://x/y", "score": NaN, "synonym": "c\\r\\nd"},'
        b'{"label": "e", "uri": "http://x/z", "score": 1e999}, {"label": "f", "uri": "http://x/z", "score": -7}]}',
    )
    search = ("codes", "search", "cell_type", "x")
    config = {"MODOS_ENDPOINT": fuzon.url}
    found = Service(fuzon.url).search("cell_type", "x")
    assert [(code.label, code.synonym, code.score) for code in found] == [
        ("a CL:9 b", "c d", None),
        ("e", None, None),
        ("f", None, None),
    ]
    answer = fuzon.answer
    fuzon.answer = lambda path: (200, {"status": "success", "fuzon": fuzon.url}) if not path else answer(path)
    assert good(*search, cwd=tmp_path, **config).stdout.splitlines() == [
        "http://x/y\ta CL:9 b\tc d",
        "http://x/z\te",
        "http://x/z\tf",
    ]
    assert json.loads(good(*search, "--json", cwd=tmp_path, **config).stdout, parse_constant=pytest.fail)[0]["score"] is None


def test_a_server_that_is_away_and_one_that_redirects(fuzon):
    with pytest.raises(TransportError):
        codes.search("cell_type", "x", services={"fuzon": "http://127.0.0.1:9"})
    with pytest.raises(InvalidInputError):
        codes.search("cell_type", "x", services={"fuzon": "ftp://x"})


def test_the_clients_of_the_peer_are_served(served):
    """Its request, and what its prompt takes of an answer: the address within brackets at the end of a line."""
    import re

    answer = requests.get(f"{served}/codes/top?collection=cell_type&query=t lymphocyte&num=50", timeout=20).json()["codes"]
    line = f"{answer[0]['label']} {answer[0]['uri']}"
    assert re.match(r".* <(http[^>]*)>$", line)[1] == "http://purl.obolibrary.org/obo/CL_0000084"


# --- the command line ---


def modos(*arguments, cwd, **settings):
    return commands.run(
        arguments,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=os.environ | settings,
    )


def good(*arguments, cwd, **settings):
    result = modos(*arguments, cwd=cwd, **settings)
    assert result.returncode == 0, result.stderr
    return result


def test_build_search_and_list(index, tmp_path):
    made = good("codes", "build", "cl.obo", "taxa.obo", cwd=tmp_path)
    assert made.stdout == "" and made.stderr.splitlines() == [
        "cl.obo: 8 terms, 1 obsolete one left out, 1 of other ontologies left out",
        "taxa.obo: 3 terms",
        f"built {tmp_path}/cache/codes/codes.index: cell_type 7 terms, source_material 1 term, taxon_id 3 terms",
    ]
    assert good("codes", "search", "cell_type", "leukocite", "-n", "1", cwd=tmp_path).stdout == "CL:0000738\tleukocyte\n"
    assert (
        good("codes", "search", "cell_type", "white", "cell", "--top", "1", cwd=tmp_path).stdout
        == "CL:0000738\tleukocyte\twhite blood cell\n"
    )
    assert json.loads(good("codes", "search", "taxon_id", "human", "--json", cwd=tmp_path).stdout) == [
        {
            "value": "NCBITaxon:9606",
            "label": "Homo sapiens",
            "uri": "http://purl.obolibrary.org/obo/NCBITaxon_9606",
            "score": 0.99,
            "synonym": "human",
        }
    ]
    nothing = good("codes", "search", "cell_type", "zebrafish", cwd=tmp_path)
    assert nothing.stdout == "" and "zebrafish" in nothing.stderr
    assert json.loads(good("codes", "search", "cell_type", "zebrafish", "--json", cwd=tmp_path).stdout) == []
    assert good("codes", "list", cwd=tmp_path).stdout.splitlines()[:3] == [
        "cell_type\t7 terms",
        "source_material\t1 term",
        "taxon_id\t3 terms",
    ]
    told = json.loads(good("codes", "list", "--json", "--index", "site.index", cwd=tmp_path).stdout)
    assert told["place"] == "site.index" and told["counts"]["taxon_id"] == {"terms": 3, "names": 5}
    summary = json.loads(good("codes", "build", "taxa.obo", "-o", "new.index", "--json", cwd=tmp_path).stdout)
    assert summary["slots"] == {"taxon_id": {"terms": 3, "names": 5}} and summary["files"][0]["name"] == "taxa.obo"


def test_a_pipe_is_a_file(tmp_path):
    (tmp_path / "cl.obo").write_text(CELLS)
    subprocess.run(
        ["bash", "-c", f"gzip -c cl.obo | {shlex.join(commands.MODOS)} codes build -"], cwd=tmp_path, check=True, timeout=60
    )
    assert good("codes", "search", "cell_type", "neuron", cwd=tmp_path).stdout == "CL:0000540\tneuron\n"


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("search", "celltype", "x"), 3, "did you mean cell_type"),
        (("search", "cell_type"), 2, "no words"),
        (("search", "cell_type", "x", "-n", "0"), 2, "not in the range"),
        (("search", "cell_type", "x"), 3, "codes build"),
        (("search", "cell_type", "x", "--index", "none"), 3, "no index of codes none"),
        (("search", "cell_type", "x", "--index", "cl.obo"), 2, "cl.obo is no index"),
        (("build", "none.obo"), 3, "none.obo"),
        (("build", "text.txt"), 2, "no file of terms"),
        (("build", "cl.obo", "-o", "text.txt"), 1, "is no index"),
        (("build", "slot=cl.obo"), 2, "no codes for slot"),
        (("build", "cl.obo", "-o", "cl.obo/x"), 4, "cannot write"),
        (("build", "taxa.obo", "-o", "site.index"), 1, "cl.obo"),
    ],
)
def test_errors_are_a_line_and_a_hint(index, tmp_path, arguments, code, words):
    (tmp_path / "text.txt").write_text("hello\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    result = modos("codes", *arguments, cwd=tmp_path)
    assert result.returncode == code and words in result.stderr and "Traceback" not in result.stderr and result.stdout == "", (
        result.stderr
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_what_the_index_loses_is_asked_about(index, tmp_path):
    refused = modos("codes", "build", "taxa.obo", "-o", index.path, cwd=tmp_path)
    assert (
        refused.returncode == 1 and "--yes" in refused.stderr and Index(index.path).slots[:2] == ["cell_type", "source_material"]
    )
    good("codes", "build", "taxa.obo", "-o", index.path, "--yes", cwd=tmp_path)
    assert Index(index.path).slots[0] == "taxon_id"
    for answer, code, name in (("n", 130, "taxa.obo"), ("y", 0, "cl.obo")):
        ended, said, _ = on_a_terminal("codes", "build", "cl.obo", "-o", index.path, answers=[answer], cwd=tmp_path)
        assert ended == code and "- taxa.obo" in said and Index(index.path).facts["sources"][0]["name"] == name


def test_an_endpoint_is_searched(served, tmp_path):
    assert (
        good("--endpoint", served, "codes", "search", "cell_type", "nerve cell", "-n", "1", cwd=tmp_path).stdout
        == "CL:0000540\tneuron\tnerve cell\n"
    )
    assert "taxon_id" in good("codes", "list", cwd=tmp_path, MODOS_ENDPOINT=served).stdout
    assert (
        good("--endpoint", "http://127.0.0.1:9", "codes", "search", "sex", "woman", cwd=tmp_path).stdout
        == "Female\tfemale\twoman\n"
    )
    assert modos("--endpoint", "http://127.0.0.1:9", "codes", "search", "cell_type", "x", cwd=tmp_path).returncode == 5


def test_a_terminal_obeys_no_label(tmp_path):
    (tmp_path / "x.obo").write_text("[Term]\nid: CL:1\nname: evil\x1b[2J cell\n")
    codes.build([tmp_path / "x.obo"])
    assert good("codes", "search", "cell_type", "evil", cwd=tmp_path).stdout == "CL:1\tevil\\u001b[2J cell\n"


# --- questions ---


def sample(cwd, cell_type=(), taxon_id=("",), **settings):
    """A sample that is added with some answers to the questions for cell_type and taxon_id."""
    given = {"id": ["s"], "cell_type": list(cell_type) or [""], "taxon_id": list(taxon_id)}
    lines = [line for name in asked_of_a_sample() for line in given.get(name, [""])]
    code, said, _ = on_a_terminal("add", "ex", "sample", answers=lines, cwd=cwd, **settings)
    assert code == 0, said
    return json.loads(good("show", "ex", "s", "--json", cwd=cwd).stdout)["sample/s"], said


@cache
def asked_of_a_sample():
    """The slots in the order in which they are asked for."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "modos.cli.input.read_answer", lambda prompt: asked.append(prompt.split()[0]) or ("s" if asked == ["id"] else "")
        )
        ask_element("Sample", {})
    return asked


@pytest.fixture
def ex(index, tmp_path):
    codes.build([tmp_path / "cl.obo", tmp_path / "taxa.obo"])
    good("create", "ex", cwd=tmp_path)
    return tmp_path


def test_words_are_looked_up_and_a_number_is_taken(ex):
    found, said = sample(ex, cell_type=["leukocite", "2"])
    assert found["cell_type"] == "CL:0000766" and "words are looked up" in said
    assert "1  leukocyte  CL:0000738" in said and "2  myeloid leukocyte  CL:0000766" in said


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "typed, value",
    [
        (["CL:0000084"], "CL:0000084"),
        (["http://example.org/own"], "http://example.org/own"),
        (["t cell", "CL:0000236"], "CL:0000236"),
        (["leukocite", "neuron", "1"], "CL:0000540"),
        (["lab cell 7", "="], "lab cell 7"),
        (["t cell", ""], None),
        ([""], None),
        (["cellule nerveuse", "99", "1"], None),
        (["zebrafish", "hepatocyte", "1"], "CL:0000182"),
    ],
)
def test_a_code_other_words_the_same_or_nothing(ex, typed, value):
    lines = [*typed, ""] if typed[-1] == "1" and "99" in typed else typed
    assert sample(ex, cell_type=lines)[0].get("cell_type") == value


def test_several_values(ex):
    found, said = sample(ex, taxon_id=["human, NCBITaxon:1423, mouse", "1", "1"])
    assert found["taxon_id"] == ["NCBITaxon:9606", "NCBITaxon:1423", "NCBITaxon:10090"] and "(human)" in said


def test_a_server_suggests(ex, served):
    found, _ = sample(ex, cell_type=["nerve cell", "1"], MODOS_ENDPOINT=served, MODOS_CACHE_DIR=str(ex / "empty"))
    assert found["cell_type"] == "CL:0000540"


def test_without_codes_what_is_typed_stays(ex):
    found, said = sample(ex, cell_type=["some cell"], MODOS_CACHE_DIR=str(ex / "empty"))
    assert found["cell_type"] == "some cell" and "looked up" not in said


def test_a_service_that_went_away_is_asked_once(ex, fuzon):
    """Who types on does not wait for it at each answer."""

    def answer(path):
        if path.endswith("/codes/top"):
            raise ConnectionError  # no answer
        return (200, {"status": "success", "fuzon": fuzon.url}) if not path else (200, {"collections": ["cell_type", "taxon_id"]})

    fuzon.answer = answer
    found, said = sample(ex, cell_type=["t cell"], taxon_id=["human, mouse"], MODOS_ENDPOINT=fuzon.url)
    assert (found["cell_type"], found["taxon_id"]) == ("t cell", ["human", "mouse"]) and said.count("was not looked up") == 1
    assert len({tuple(params.items()) for path, params, _ in fuzon.asked if path == "/codes/top"}) == 1


def test_a_service_that_fails_is_told_and_stops_nobody(ex, fuzon):
    def answer(path):
        return (
            (200, {"status": "success", "fuzon": fuzon.url})
            if not path
            else (200, {"collections": ["cell_type"]})
            if "coll" in path
            else (503, b"")
        )

    fuzon.answer = answer
    found, said = sample(ex, cell_type=["t cell"], MODOS_ENDPOINT=fuzon.url)
    assert found["cell_type"] == "t cell" and "t cell was not looked up" in said


def test_browsing(ex):
    code, said, output = on_a_terminal("codes", "search", "cell_type", answers=["leukocite", "2"], cwd=ex)
    assert code == 0 and output == "CL:0000766\tmyeloid leukocyte\n" and "words for cell_type" in said
