"""Metadata become the RDF and the RO-Crate that others read."""

from __future__ import annotations

import json
import shutil

import pytest
import rdflib
from rdflib import Graph, Literal, URIRef

from modos.api import MODO
from modos.errors import InvalidInputError
from modos.metadata.graph import element_uri, expand, select, serialize
from modos.metadata.ro_crate import FILE_NAME

BASE = "https://example.org/ex"
MODOS = "https://w3id.org/sdsc-ordes/modos-schema/"


@pytest.fixture(scope="module")
def modo(example):
    return MODO.open(example / "ex")


@pytest.mark.parametrize("base", ["http://x", "http://x/", "http://x//"])
def test_one_slash_between_prefix_and_path(base):
    assert element_uri(base, "assay/a") == element_uri(base, "/assay/a") == "http://x/assay/a"
    assert element_uri(base, "sample/a b#?é") == "http://x/sample/a%20b%23%3F%C3%A9"


def test_triples_have_the_names_of_the_schema(modo):
    graph = modo.knowledge_graph(BASE)
    data = URIRef(f"{BASE}/data/demo1")
    assert (data, rdflib.RDF.type, URIRef(MODOS + "AlignmentSet")) in graph
    assert (data, URIRef("http://schema.org/name"), Literal("demo1")) in graph
    assert (data, URIRef(MODOS + "data_format"), URIRef("http://edamontology.org/format_3462")) in graph
    assert (data, URIRef(MODOS + "data_path"), URIRef(f"{BASE}/demo1.cram")) in graph
    assert (data, URIRef(MODOS + "has_sample"), URIRef(f"{BASE}/sample/sample1")) in graph
    assay = URIRef(f"{BASE}/assay/assay1")
    assert (assay, URIRef(MODOS + "omics_type"), URIRef("http://purl.obolibrary.org/obo/NCIT_C84343")) in graph
    own = URIRef(f"{BASE}/ex")
    assert (own, URIRef(MODOS + "has_assay"), assay) in graph
    assert (own, URIRef(MODOS + "creation_date"), Literal("2025-01-15", datatype=rdflib.XSD.date)) in graph


@pytest.mark.parametrize("format", ["turtle", "xml", "json-ld", "nt"])
def test_every_format_says_the_same(modo, format):
    graph = modo.knowledge_graph(BASE)
    again = Graph().parse(data=serialize(graph, format), format="xml" if format == "xml" else format)
    assert set(again) == set(graph)


def test_without_a_prefix_names_are_the_objects_place(modo):
    subjects = {str(subject) for subject in modo.knowledge_graph().subjects()}
    assert all(subject.startswith(modo.path.resolve().as_uri() + "/") for subject in subjects)


@pytest.mark.parametrize("base", ["", "x", "not a uri", "http:// x", "/data"])
def test_a_prefix_that_is_no_uri_is_refused(modo, base):
    with pytest.raises(InvalidInputError):
        modo.knowledge_graph(base)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("NCBITaxon:9606", "http://purl.obolibrary.org/obo/NCBITaxon_9606"),
        ("https://x.org/a", "https://x.org/a"),
        ("http://purl.obolibrary.org/obo/CL_1", "http://purl.obolibrary.org/obo/CL_1"),
        ("/data/x.fa", None),
        ("words here", None),
    ],
)
def test_curies_become_uris(text, uri):
    assert expand(text) == uri


def test_queries(modo):
    rows = modo.query("SELECT ?d ?s WHERE { ?d modos:has_sample ?s ; a modos:VariantSet } ORDER BY ?d ?s", BASE)
    assert len(rows) == 4 and rows[0] == {"d": f"{BASE}/data/calls", "s": f"{BASE}/sample/sample1"}
    assert modo.query("ASK { ?x a modos:Sample }") == [{"answer": "true"}]
    assert modo.query("SELECT ?n WHERE { ?x a modos:Nothing ; schema:name ?n }") == []
    assert len(modo.query("CONSTRUCT { ?x a modos:Y } WHERE { ?x a modos:Sample }")) == 2
    assert modo.query("SELECT ?x ?m WHERE { ?x a modos:Sample OPTIONAL { ?x modos:nothing ?m } }")[0]["m"] is None


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT",
        "SELECT ?x WHERE { ?x foo:bar ?y }",
        "DELETE WHERE { ?s ?p ?o }",
        "SELECT * WHERE { SERVICE <http://x.org> { ?s ?p ?o } }",
        "SELECT * FROM <file:///etc/passwd> WHERE { ?s ?p ?o }",
    ],
)
def test_bad_queries_are_refused(modo, query):
    with pytest.raises(InvalidInputError):
        select(modo.knowledge_graph(BASE), query)


def test_an_existing_library_reads_the_crate(example, tmp_path):
    from rocrate.rocrate import ROCrate

    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    (tmp_path / "ex" / FILE_NAME).write_text(json.dumps(modo.ro_crate()))
    crate = ROCrate(tmp_path / "ex")
    assert crate.name == "Demo"
    files = {entity.id for entity in crate.data_entities}
    assert files == {"demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf", "reference.fa"}
    cram = crate.get("demo1.cram")
    assert "http://edamontology.org/format_3462" in cram["encodingFormat"]
    assert cram["contentSize"] == str((tmp_path / "ex/demo1.cram").stat().st_size)
    assert [entity.id for entity in cram["modos:has_sample"]] == ["#sample/sample1"]
    crate.write(tmp_path / "written")
    assert (tmp_path / "written/demo1.cram").exists()


def test_every_reference_in_the_crate_leads_somewhere(modo):
    entities = {entity["@id"]: entity for entity in modo.ro_crate()["@graph"]}

    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if set(value) == {"@id"} else ()
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for entity in entities.values():
        for value in entity.values():
            assert {r for r in references(value) if not r.startswith("https://")} <= entities.keys()
