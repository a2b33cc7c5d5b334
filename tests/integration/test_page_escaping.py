"""Nothing of the data becomes a part of a page: a hostile text in every slot of the schema, and wherever else a text can stand.

The slots are those of the schema, so that a new one is tried as well. What is known to be harmless is what the pages of a
plain object have; whatever a hostile one has beyond that came from its data.
"""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import numpy as np
import pytest
import requests
import zarr

from modos.api import MODO
from modos.metadata.model.schema import class_names, describe, tables
from modos.object import commits
from modos.object.document import ROOT_KEY, group_node
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.pages import BROWSER, Page, find_faults

HOSTILE = (
    "<modos-xss title=\"x\" onfocus='x'>\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    "</textarea></title></pre></style>--><!--&lt;b&gt;{{7*7}}{% raw %}${7*7}\x1b[2J\x9b\u202egnp\u2066\u2028\x00"
)
ADDRESS = "javascript:alert(3)//"
NAME = "<img src=x onerror=alert(4)>\"'`&#38;{{7*7}}"  # of what lies in a folder: it has no slash
LINKS = ("ghost", NAME)


def text_for(slot):
    return f"seen-{slot} {HOSTILE}"


def attributes_of(class_name, hostile):
    """A value for each slot of a class: hostile where a slot takes a text, else one that fits."""
    found = {"@type": class_name}
    for name, slot in describe(class_name)["slots"].items():
        if name == "id":
            continue
        if slot["links_to"]:
            value = f"{slot['links_to']}/{NAME}" if hostile else f"{slot['links_to']}/plain"
        elif slot["range"] == "integer":
            value = 12
        elif name == "data_path":
            value = f"{NAME}.bam" if hostile else "a.bam"
        elif not hostile:
            value = (
                "2025-01-15"
                if slot["range"] == "datetime"
                else "https://example.org/x"
                if slot["range"] == "uriorcurie"
                else "plain"
            )
        else:
            value = ADDRESS + text_for(name) if slot["range"] == "uriorcurie" else text_for(name)
        found[name] = [value, value] if slot["multivalued"] else value
    return found


def write_object(folder, hostile):
    """An object with an element of each class, by its document, as no command would write it."""
    name = NAME if hostile else "plain"
    MODO.create(folder / name, id="ex")
    storage = open_storage(folder / name)
    document = commits.load(storage)
    document.attributes.update(
        {k: v for k, v in attributes_of("MODO", hostile).items() if k not in ("creation_date", "last_update_date")}
        if hostile
        else {"name": "x", "description": "x", "source_uri": "https://example.org"}
    )
    for class_name in class_names():
        group = describe(class_name)["group"]
        if group:
            document.nodes[f"{group}/{class_name}{name}"] = group_node(attributes_of(class_name, hostile))
            document.nodes[f"{group}/{name}"] = group_node(attributes_of(class_name, hostile))
    data = attributes_of("AlignmentSet", hostile)
    document.nodes["data/browsed"] = group_node({**data, "data_format": "BAM"})
    document.nodes["data/sealed"] = group_node({**data, "data_path": f"{data['data_path']}.c4gh"})
    document.nodes["data/unknown"] = group_node(
        {"@type": HOSTILE if hostile else "Other", HOSTILE if hostile else "slot": {"a": [HOSTILE]}}
    )
    storage.write(ROOT_KEY, document.to_bytes())
    return name


def write_tree(path, hostile):
    root = zarr.open_group(path, mode="w")
    name = "<img src=x onerror=alert(5)>&'\"" if hostile else "group"
    group = root.create_group(name)
    group.create_array("X", data=np.arange(12.0).reshape(3, 4))
    group.create_array(name, data=np.array([[np.nan, np.inf], [1, -2]]))
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    names = [write_object(folder, hostile) for hostile in (False, True)]
    for hostile in (False, True):
        modo = MODO.create(folder / f"tree{hostile}", id="trees")
        made = tmp_path_factory.mktemp("made")
        modo.add_element({"@type": "DataEntity", "id": "tree"}, write_tree(made / "tree.zarr", hostile))
        table = made / "ms.mztab"
        table.write_text(
            "MTD\tmzTab-version\t1.0.0\n" + ("".join(f"{word}\tx\n" for word in ("<script>", "PRH")) if hostile else "PRH\tx\n")
        )
        modo.add_element({"@type": "MassSpectrometryResults", "id": "ms", "data_format": "mzTab"}, table)
    (folder / "damaged/data.zarr").mkdir(parents=True)
    (folder / "damaged" / ROOT_KEY).write_text(
        json.dumps({"attributes": {"@type": HOSTILE}, "zarr_format": 3, "node_type": "group"})
    )
    with BackgroundServer(create_app(open_storage(folder))) as server:
        yield server.url, folder, names


def ask(url, path, **options):
    answer = requests.get(url + path, headers={"Accept": BROWSER}, timeout=60, **options)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8", path
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "private, no-store"
    assert len(answer.content) <= 200_000, path
    return answer.status_code, Page(answer.text)


def pages_of(folder, name):
    """The addresses of all pages about an object."""
    document = commits.load(open_storage(folder / name))
    key = quote(name)
    yield f"/objects/{key}"
    for group in ("data", "sample", HOSTILE[:60]):
        yield f"/objects/{key}?group={quote(group)}"
    for element_id in document.ids():
        yield f"/elements/{key}/{quote(element_id)}"


@pytest.fixture(scope="module")
def known(served):
    """Tags and attributes of pages without anything hostile."""
    url, folder, names = served
    paths = [
        "/",
        "/docs",
        "/?search=plain&class=Sample",
        "/?search=nothing",
        "/?search=slot%3D",
        "/nothing",
        *pages_of(folder, names[0]),
    ]
    paths += [f"/elements/treeFalse/data/{name}" for name in ("tree", "ms")] + [
        "/elements/treeFalse/data/tree?array=nothing",
        "/objects/treeFalse",
    ]
    shapes = [ask(url, path)[1] for path in paths]
    assert not [fault for page in shapes for fault in find_faults(page, page.shape)]
    return set().union(*(page.shape for page in shapes)) | {("span", "class"), ("details", "class")}


def test_pages_of_a_hostile_object_have_the_elements_of_a_plain_one(served, known):
    url, folder, names = served
    seen = ""
    for path in ["/", "/?search=seen", *pages_of(folder, names[1])]:
        status, page = ask(url, path)
        assert status == 200, (path, page.text)
        assert not find_faults(page, known), (path, find_faults(page, known))
        seen += page.text
    hidden = {
        name
        for described in tables()["classes"].values()
        for name, slot in described["slots"].items()
        if slot["links_to"] or slot["range"] == "integer"
    }
    wanted = {name for described in tables()["classes"].values() for name in described["slots"]} - hidden
    wanted -= {"id", "data_path", "creation_date", "last_update_date"}
    assert {name for name in wanted if f"seen-{name} <modos-xss" not in seen and f"seen-{name}" not in seen} == set(), (
        "each is shown"
    )
    assert "<modos-xss title=\"x\" onfocus='x'>" in seen and "\\u001b[2J\\u009b\\u202egnp\\u2066\\u2028\\u0000" in seen
    assert "49" not in [word for word in seen.split() if word == "49"], "no template is run from the data"


def test_so_have_those_of_trees(served, known):
    url, _, _ = served
    for path in ("/objects/treeTrue", "/elements/treeTrue/data/ms", "/elements/treeTrue/data/tree"):
        status, page = ask(url, path)
        assert status == 200 and not find_faults(page, known), (path, find_faults(page, known))
    links = [link for link in page.links("array=") if "onerror" in link]
    assert links
    for link in links:
        status, shown = ask(url, link.partition("#")[0])
        assert status == 200 and not find_faults(shown, known) and "<img src=x onerror=alert(5)>&'\"" in shown.text


@pytest.mark.parametrize("word", [HOSTILE.replace("\x00", ""), "\x00", "a\nb", '"', "x=<b>", "%ff", "ß" * 300, "(" * 900, "\\"])
@pytest.mark.parametrize(
    "parameter", ["search", "class", "organism", "sex", "assembly", "format", "after", "part", HOSTILE.replace("\x00", "")]
)
def test_so_have_answers_to_hostile_requests(served, known, parameter, word):
    url, _, _ = served
    for path in ("/", f"/objects/{quote(served[2][0])}", "/elements/treeFalse/data/tree"):
        status, page = ask(url, f"{path}?{quote(parameter)}={quote(word)}")
        assert status in (200, 400, 404), status
        assert not find_faults(page, known), (path, find_faults(page, known))


@pytest.mark.parametrize(
    "path",
    [
        "/{}",
        "/objects/{}",
        "/elements/{}",
        "/elements/treeFalse/data/{}",
        "/elements/treeFalse/{}/tree",
        "/files/{}",
        "/htsget/reads/{}",
        "/assets/{}",
    ],
)
def test_so_have_errors(served, known, path):
    url, _, _ = served
    for name in (HOSTILE.replace("\x00", ""), f"{NAME}!", "a\r\nSet-Cookie: x=y", "%2e%2e%2f", "\ufffe"):
        status, page = ask(url, path.format(quote(name, safe="")))
        assert status in (400, 403, 404), (path, name, status)
        assert not find_faults(page, known), (path, find_faults(page, known))


def test_a_damaged_object_is_told_of(served, known):
    url, _, _ = served
    status, page = ask(url, "/")
    assert status == 200 and "damaged" in page.text and "/objects/damaged" in page.links()
    status, page = ask(url, "/objects/damaged")
    assert status == 500 and "damaged" in page.text and not find_faults(page, known)
    assert ask(url, "/elements/damaged/data/x")[0] == 500


def test_exports_hold_what_the_metadata_say(served):
    url, _, names = served
    for format in ("ro-crate", "json-ld"):
        answer = requests.get(f"{url}/objects/{quote(names[1])}?format={format}", timeout=60)
        assert answer.status_code == 200 and HOSTILE[:20] in json.dumps(answer.json()).replace('\\"', '"')
        assert (
            answer.headers["Content-Disposition"].startswith("attachment;") and "text/html" not in answer.headers["Content-Type"]
        )


def test_so_does_turtle(served):
    url, _, names = served
    answer = requests.get(f"{url}/objects/{quote(names[1])}?format=turtle", timeout=60)
    assert answer.status_code == 200, answer.text
    graph = pytest.importorskip("rdflib").Graph().parse(data=answer.text, format="turtle")
    assert any("seen-description <modos-xss" in str(value) for _, _, value in graph)


def test_arrays_without_an_element_and_a_tree_that_is_damaged_leave_the_rest_of_the_page(tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"@type": "DataEntity", "id": "tree"}, write_tree(tmp_path / "tree.zarr", False))
    document = commits.load(open_storage(tmp_path / "ex"))
    array = {"node_type": "array", "zarr_format": 3, "attributes": {}}
    document.nodes["data/ghost/values"], document.nodes["data/ghost/zoom"] = array, array
    open_storage(tmp_path / "ex").write(ROOT_KEY, document.to_bytes())
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        assert "/elements/ex/data/tree" in ask(server.url, "/objects/ex")[1].links()
        for path in (tmp_path / "ex").rglob("tree.zarr/**/zarr.json"):
            path.write_text("{}")
        status, page = ask(server.url, "/elements/ex/data/tree")
        assert status == 200 and "The tree cannot be read" in page.text and str(tmp_path) not in page.text
        assert ask(server.url, "/elements/ex/data/ghost")[0] == 404


def test_an_object_of_ten_thousand_elements_that_link_in_circles_is_shown_a_page_at_a_time(tmp_path):
    MODO.create(tmp_path / "big", id="big")
    storage = open_storage(tmp_path / "big")
    document = commits.load(storage)
    count = 10_000
    for number in range(count):
        document.nodes[f"assay/a{number:05}"] = group_node(
            {"@type": "Assay", "omics_type": ["GENOMICS"], "has_data": [f"data/d{number:05}", f"data/d{(number + 1) % count:05}"]}
        )
        document.nodes[f"data/d{number:05}"] = group_node(
            {
                "@type": "AlignmentSet",
                "data_path": f"f{number:05}.bam",
                "data_format": "BAM",
                "has_sample": ["sample/one"],
                "data_size": 5,
            }
        )
        document.nodes[f"reference/r{number:05}"] = group_node(
            {"@type": "ReferenceGenome", "data_path": "x.fa", "has_sequence": [f"reference/r{(number + 1) % 3:05}"]}
        )
    document.nodes["sample/one"] = group_node({"@type": "Sample"})
    storage.write(ROOT_KEY, document.to_bytes())
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        status, page = ask(server.url, "/objects/big")
        assert status == 200 and "30,001" in page.text
        begin = time.process_time()
        status, page = ask(server.url, "/objects/big")
        assert time.process_time() - begin < 10
        seen, path = [], "/objects/big?group=data"
        for _ in range(3):
            status, page = ask(server.url, path)
            assert status == 200
            seen += [link for link in page.links("/elements/big/data/") if link not in seen]
            path = next(one.attributes["href"] for one in page.elements if one.attributes.get("rel") == "next").partition("#")[0]
        assert {f"/elements/big/data/d{number:05}" for number in range(300)} <= set(seen)
        assert ask(server.url, "/elements/big/sample/one")[0] == 200
