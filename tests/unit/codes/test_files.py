"""Terms of OBO and OWL files: what the formats say, what an RDF library finds, and files that are none or mean harm."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time

import pytest

from modos.codes.reading import read_terms
from modos.codes.terms import EXACT, LABEL, RELATED, prefix_of, uri_of, value_of
from modos.errors import InvalidInputError, ModosError, NotFoundError

pytestmark = pytest.mark.sweep(40)

OBO = "http://purl.obolibrary.org/obo/"
HEAD = 'format-version: 1.4\nontology: lab\nidspace: LAB https://lab.example.org/terms# "ours"\n'
RDF = """<?xml version="1.0"?>
<rdf:RDF xml:base="http://example.org/onto" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:owl="http://www.w3.org/2002/07/owl#"
 xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:oio="http://www.geneontology.org/formats/oboInOwl#"
 xmlns:obo="http://purl.obolibrary.org/obo/" xmlns:skos="http://www.w3.org/2004/02/skos/core#" xmlns:efo="http://www.ebi.ac.uk/efo/">
"""


def read(tmp_path, text, name="terms"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_terms(path))


def refused(tmp_path, text, *words):
    with pytest.raises(InvalidInputError) as error:
        read(tmp_path, text)
    assert "\n" not in error.value.message and all(word in error.value.message for word in words), error.value.message
    return error.value


# --- OBO ---


def test_a_stanza_is_a_term(tmp_path):
    found = read(
        tmp_path,
        HEAD
        + """
[Term]
id: CL:0000084 ! T cell
name: T cell
def: "A cell: with a \\"quote\\"." [x]
synonym: "T-cell" EXACT [GOC:x]
synonym: "T lymphocyte" RELATED LANGUAGE [] {a="b"}
synonym: "thymus cell" NARROW []
exact_synonym: "old style" []
is_a: CL:0000542 ! lymphocyte

[Typedef]
id: part_of
name: part of

[Term]
id: CL:0000001
name: obsolete thing
is_obsolete: true
""",
    )
    assert [(term.uri, term.names, term.is_obsolete) for term in found] == [
        (
            f"{OBO}CL_0000084",
            (("T cell", LABEL), ("T-cell", EXACT), ("T lymphocyte", RELATED), ("thymus cell", RELATED), ("old style", EXACT)),
            False,
        ),
        (f"{OBO}CL_0000001", (("obsolete thing", LABEL),), True),
    ]


@pytest.mark.parametrize(
    "written, name",
    [
        ("a \\{b\\}", "a {b}"),
        ('say \\"x\\"', 'say "x"'),
        ("two\\nlines", "two lines"),
        ("a\\Wb\\tc", "a b c"),
        ("back\\\\slash", "back\\slash"),
        ("plain ! a comment", "plain"),
        ("5! is 120", "5! is 120"),
        ("kept \\! here", "kept ! here"),
        ('it {source="x"}', "it"),
        ('it {a="b"} ! both', "it"),
        ("{no modifier}", "{no modifier}"),
        ("a \\\nb", "a b"),
        ("caf\u00e9 \u03b1", "caf\u00e9 \u03b1"),
        ("x\r", "x"),
        ("colon: inside", "colon: inside"),
    ],
)
def test_escapes_comments_and_modifiers(tmp_path, written, name):
    assert read(tmp_path, f"{HEAD}\n[Term]\nid: CL:1\nname: {written}\n")[0].names == ((name, LABEL),)


@pytest.mark.parametrize(
    "code, uri",
    [
        ("CL:0000084", f"{OBO}CL_0000084"),
        ("NCBITaxon:9606", f"{OBO}NCBITaxon_9606"),
        ("LAB:12", "https://lab.example.org/terms#12"),
        ("EFO:0001", "http://www.ebi.ac.uk/efo/EFO_0001"),
        ("http://example.org/x", "http://example.org/x"),
        ("plain", f"{OBO}lab#plain"),
    ],
)
def test_ids_are_addresses(tmp_path, code, uri):
    assert read(tmp_path, f"{HEAD}\n[Term]\nid: {code}\nname: x\n")[0].uri == uri


@pytest.mark.parametrize(
    "stanza", ["id: CL:1\n", "name: x\n", "id: bad id<>\nname: x\n", "id: CL:1\nname: " + "x" * 2000 + "\n" + "is_a: y\n"]
)
def test_what_has_no_address_or_no_name_is_no_term(tmp_path, stanza):
    assert all(not term.names for term in read(tmp_path, f"{HEAD}\n[Term]\n{stanza}"))


def test_the_last_line_may_lack_its_end_and_the_first_have_a_mark(tmp_path):
    text = "[Term]\nid: CL:1\nname: x"
    assert (
        read(tmp_path, text)
        == read(tmp_path, "\ufeff" + text)
        == read(tmp_path, gzip.compress(text.replace("\n", "\r\n").encode()))
    )


# --- OWL ---

OWL = (
    RDF
    + """
<owl:Ontology rdf:about="http://example.org/onto"/>
<owl:ObjectProperty rdf:about="http://example.org/p"><rdfs:label>a property</rdfs:label></owl:ObjectProperty>
<owl:Class rdf:about="http://purl.obolibrary.org/obo/CL_0000084">
  <skos:prefLabel xml:lang="en">T for short</skos:prefLabel>
  <rdfs:label xml:lang="de">T-Zelle</rdfs:label>
  <rdfs:label xml:lang="en">T
     cell &amp; more</rdfs:label>
  <owl:equivalentClass><owl:Class><owl:intersectionOf rdf:parseType="Collection">
    <rdf:Description rdf:about="http://purl.obolibrary.org/obo/CL_1"><rdfs:label>inner</rdfs:label></rdf:Description>
  </owl:intersectionOf><rdfs:label>anonymous</rdfs:label></owl:Class></owl:equivalentClass>
  <oio:hasExactSynonym><![CDATA[T <cell>]]></oio:hasExactSynonym>
  <obo:IAO_0000118>T lymphocyte</obo:IAO_0000118>
  <oio:hasNarrowSynonym>narrow one</oio:hasNarrowSynonym>
</owl:Class>
<owl:Axiom><owl:annotatedTarget>not a name</owl:annotatedTarget><rdfs:label>of an axiom</rdfs:label></owl:Axiom>
<rdf:Description rdf:about="http://www.ebi.ac.uk/efo/EFO_0000001">
  <efo:alternative_term>other</efo:alternative_term><rdfs:label>described</rdfs:label>
  <rdf:type rdf:resource="http://www.w3.org/2002/07/owl#Class"/>
</rdf:Description>
<rdf:Description rdf:about="http://example.org/i"><rdfs:label>an individual</rdfs:label></rdf:Description>
<skos:Concept rdf:about="http://example.org/c"><skos:prefLabel>concept</skos:prefLabel><skos:altLabel>alias</skos:altLabel></skos:Concept>
<owl:Class rdf:about="#local"><rdfs:label>local</rdfs:label></owl:Class>
<owl:Class rdf:ID="given"><rdfs:label>given</rdfs:label></owl:Class>
<owl:Class rdf:about="http://example.org/gone"><rdfs:label>gone</rdfs:label>
  <owl:deprecated rdf:datatype="http://www.w3.org/2001/XMLSchema#boolean">true</owl:deprecated></owl:Class>
<owl:Class rdf:about="http://example.org/nameless"/>
</rdf:RDF>"""
)


def test_classes_and_concepts_are_terms(tmp_path):
    found = {term.uri: term for term in read(tmp_path, OWL)}
    assert found.keys() == {
        f"{OBO}CL_0000084",
        "http://www.ebi.ac.uk/efo/EFO_0000001",
        "http://example.org/c",
        "http://example.org/onto#local",
        "http://example.org/onto#given",
        "http://example.org/gone",
    }
    assert found[f"{OBO}CL_0000084"].names == (
        ("T cell & more", LABEL),
        ("T for short", EXACT),
        ("T-Zelle", RELATED),
        ("T <cell>", EXACT),
        ("T lymphocyte", EXACT),
        ("narrow one", RELATED),
    )
    assert found["http://www.ebi.ac.uk/efo/EFO_0000001"].names == (("described", LABEL), ("other", EXACT))
    assert [uri for uri, term in found.items() if term.is_obsolete] == ["http://example.org/gone"]


def test_an_rdf_library_finds_the_same(tmp_path):
    import rdflib
    from rdflib.namespace import OWL as OWL_TERMS
    from rdflib.namespace import RDFS, SKOS

    graph = rdflib.Graph().parse(data=OWL, format="xml")
    expected = {}
    for kind in (OWL_TERMS.Class, SKOS.Concept):
        for subject in set(graph.subjects(rdflib.RDF.type, kind)):
            labels = {" ".join(label.split()) for of in (RDFS.label, SKOS.prefLabel) for label in graph.objects(subject, of)}
            if isinstance(subject, rdflib.URIRef) and labels:
                expected[str(subject)] = labels
    found = {term.uri: {name for name, _ in term.names} for term in read(tmp_path, OWL)}
    assert found.keys() == expected.keys() and all(labels <= found[uri] for uri, labels in expected.items())


def test_what_an_rdf_library_writes_is_read(tmp_path):
    import rdflib

    graph = rdflib.Graph().parse(data=OWL, format="xml")
    expected = sorted((term.uri, sorted(term.names), term.is_obsolete) for term in read(tmp_path, OWL))
    for format in ("xml", "pretty-xml"):
        found = sorted(
            (term.uri, sorted(term.names), term.is_obsolete) for term in read(tmp_path, graph.serialize(format=format))
        )
        assert [(uri, {name.replace("\n", " ") for name, _ in names}, gone) for uri, names, gone in found] == [
            (uri, {name for name, _ in names}, gone) for uri, names, gone in expected
        ]


def test_entities_as_ontologies_have_them(tmp_path):
    text = OWL.replace("<rdf:RDF", '<!DOCTYPE rdf:RDF [<!ENTITY obo "http://purl.obolibrary.org/obo/">]>\n<rdf:RDF').replace(
        'rdf:about="http://purl.obolibrary.org/obo/CL_0000084"', 'rdf:about="&obo;CL_0000084"'
    )
    assert "&obo;" in text and read(tmp_path, text) == read(tmp_path, OWL)


def test_other_encodings_and_gzip(tmp_path):
    expected = read(tmp_path, OWL)
    assert read(tmp_path, gzip.compress(OWL.encode())) == expected
    assert read(tmp_path, OWL.replace("<?xml", "<?xml", 1).encode("utf-16")) == expected
    assert read(tmp_path, OWL.replace('"1.0"?', '"1.0" encoding="ISO-8859-1"?').encode("latin1")) == expected


# --- what is no file of terms ---


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ("empty",)),
        ('{"graphs": []}', ("OBO Graphs",)),
        ("a\tb\n1\t2\n", ("neither",)),
        (b"\x89PNG\r\n", ("neither",)),
        ("<html><body/></html>", ("no RDF/XML",)),
        ('<Ontology xmlns="http://www.w3.org/2002/07/owl#"/>', ("no RDF/XML",)),
        (RDF + "<owl:Class>", ("no element found", "line 5")),
        (RDF + "<a></b>", ("mismatched tag",)),
        (RDF + "&undefined;", ("undefined entity",)),
        ('<?xml version="1.0" encoding="klingon"?><a/>', ("encoding",)),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', ("OWL",)),
        ((HEAD + "\n[Term]\nname: caf\u00e9\n").encode("latin1"), ("UTF-8", "line 6")),
        (gzip.compress(HEAD.encode(), mtime=0)[:-9], ("damaged",)),
        (b"\x1f\x8b" + b"x" * 50, ("damaged",)),
    ],
)
def test_other_files_are_refused_in_a_line(tmp_path, text, words):
    refused(tmp_path, text, *words)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError):
        list(read_terms(tmp_path / "none.obo"))


def doctype(inside):
    return f"<?xml version='1.0'?>\n<!DOCTYPE rdf:RDF {inside}>\n" + RDF.partition("\n")[2]


BOMBS = {
    "billion laughs": doctype(
        "[" + '<!ENTITY a "ha">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)) + "]"
    )
    + "<owl:Class rdf:about='http://x/y'><rdfs:label>&j;</rdfs:label></owl:Class></rdf:RDF>",
    "quadratic": doctype(f'[<!ENTITY a "{"x" * 100_000}">]')
    + "<owl:Class rdf:about='http://x/y'><rdfs:label>"
    + "&a;" * 10_000
    + "</rdfs:label></owl:Class></rdf:RDF>",
    "external": doctype('[<!ENTITY a SYSTEM "file:///etc/passwd">]')
    + "<owl:Class rdf:about='http://x/y'><rdfs:label>&a;</rdfs:label></owl:Class></rdf:RDF>",
    "parameter": doctype('[<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]') + "</rdf:RDF>",
    "many": doctype("[" + "".join(f'<!ENTITY e{i} "x">' for i in range(5000)) + "]") + "</rdf:RDF>",
    "deep": RDF + "<a>" * 100_000,
    "a large tag": RDF + f"<owl:Class rdf:about='{'x' * (12 << 20)}'/></rdf:RDF>",
    "many names": RDF + "<owl:Class rdf:about='http://x/y'>" + "<rdfs:label>x</rdfs:label>" * 20_000 + "</owl:Class></rdf:RDF>",
    "a long line": HEAD + "name: " + "x" * (3 << 20),
    "a line that goes on": HEAD + "name: " + ("x" * 1000 + "\\\n") * 3000,
    "large synonyms": HEAD + "[Term]\nid: CL:1\nname: x\n" + f'synonym: "{"x" * 900_000}" EXACT []\n' * 20,
    "expanded": doctype(f'[<!ENTITY a "{"x" * 200}">]') + f"<owl:Class rdf:about='{'&a;' * 1_000_000}'/></rdf:RDF>",
    "many synonyms": HEAD + "[Term]\nid: CL:1\nname: x\n" + 'synonym: "x" EXACT []\n' * 20_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_means_harm_is_refused(tmp_path, name):
    refused(tmp_path, BOMBS[name])


@pytest.mark.parametrize(
    "value",
    [
        "{" + "=" * 900_000 + "}}",
        " {=" * 300_000 + "}}",
        "\\" * 450_000 + " !",
        " !" * 400_000,
        '"' + "\\a" * 400_000,
        "x:" * 450_000,
        "{" * 900_000 + "}",
        " " * 900_000 + "!",
    ],
)
def test_no_line_takes_long(tmp_path, value):
    begin = time.process_time()
    for tag in ("id", "name", "synonym", "is_obsolete"):
        read(tmp_path, f"{HEAD}\n[Term]\nid: CL:1\n{tag}: {value}\n")
    assert time.process_time() - begin < 5


def test_an_external_document_type_is_not_fetched(tmp_path):
    text = (
        doctype('SYSTEM "http://127.0.0.1:1/owl.dtd"')
        + "<owl:Class rdf:about='http://x/y'><rdfs:label>x</rdfs:label></owl:Class></rdf:RDF>"
    )
    assert [term.uri for term in read(tmp_path, text)] == ["http://x/y"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "begin, piece, end",
    [
        (RDF + "<owl:Class rdf:about='http://x/y'><rdfs:label>", "x" * 1000, "</rdfs:label></owl:Class></rdf:RDF>"),
        (RDF, "<!-- " + "x" * 990 + " -->\n", "</rdf:RDF>"),
        (HEAD, "\n" * 1000, ""),
        (HEAD + "[Term]\n", "id: CL:1\n" * 5, "name: x\n"),
        (RDF, "<owl:Class rdf:about='http://x/y'><rdfs:comment>x</rdfs:comment></owl:Class>", "</rdf:RDF>"),
    ],
)
def test_memory_is_bounded(tmp_path, begin, piece, end):
    """64 MB of anything, out of 100 kB of gzip, is read or refused within some megabytes."""
    with gzip.open(tmp_path / "large", "wb", 6) as file:
        file.write(begin.encode())
        for _ in range((64 << 20) // (len(piece) * 100)):
            file.write(piece.encode() * 100)
        file.write(end.encode())
    code = (
        "import resource, sys\nfrom modos.codes.reading import read_terms\nfrom modos.errors import InvalidInputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    for _ in read_terms(sys.argv[1]): pass\nexcept InvalidInputError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "large"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert int(grown) < 40 << 10, grown


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bytes_are_read_or_refused(tmp_path, seed):
    import random

    chance = random.Random(seed)
    for text in (OWL, HEAD + '\n[Term]\nid: CL:1\nname: x\nsynonym: "y" EXACT []\n'):
        for packed in (False, True):
            for _ in range(100):
                data = bytearray(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
                for _ in range(chance.randint(1, 4)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                try:
                    read(tmp_path, bytes(data))
                except ModosError as error:
                    assert "\n" not in error.message and error.exit_code in (2, 6)


# --- codes ---


def test_codes_and_addresses():
    assert value_of(f"{OBO}CL_0000084") == "CL:0000084" and uri_of("CL:0000084") == f"{OBO}CL_0000084"
    assert value_of(f"{OBO}OBI_0000070") == f"{OBO}OBI_0000070" == uri_of("OBI:0000070")
    assert value_of("http://www.ebi.ac.uk/efo/EFO_0001") == "http://www.ebi.ac.uk/efo/EFO_0001" == uri_of("EFO:0001")
    assert (
        prefix_of(f"{OBO}NCBITaxon_9606") == "NCBITaxon"
        and prefix_of("http://example.org/CL_1") is None
        and prefix_of(f"{OBO}cl.owl") is None
    )
