"""An index of codes: what is found, also with slips of the finger; what it is made of; and what damage does to it."""

from __future__ import annotations

import json
import random
import threading
import time
import zlib

import numpy as np
import pytest
from rapidfuzz.distance import OSA

from modos import codes
from modos.codes.collection import Collection
from modos.codes.index_builder import build
from modos.codes.packed import make_arrays
from modos.codes.slots import check_slot, enumerations, meanings
from modos.codes.term_index import Index
from modos.codes.terms import LABEL, RELATED
from modos.codes.words import split
from modos.errors import AccessError, AlreadyExistsError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.metadata import model
from modos.metadata.model.schema import ONTOLOGIES, tables

pytestmark = pytest.mark.sweep(60)

CELLS = """format-version: 1.4
ontology: cl

[Term]
id: CL:0000084
name: T cell
synonym: "T lymphocyte" EXACT []
synonym: "T-cell" EXACT []

[Term]
id: CL:0000236
name: B cell
synonym: "B lymphocyte" EXACT []

[Term]
id: CL:0000738
name: leukocyte
synonym: "white blood cell" EXACT []

[Term]
id: CL:0000766
name: myeloid leukocyte

[Term]
id: CL:0000624
name: CD4-positive, alpha-beta T cell

[Term]
id: CL:0000182
name: hepatocyte

[Term]
id: CL:0000540
name: neuron
synonym: "nerve cell" EXACT []
synonym: "cellule nerveuse" RELATED []

[Term]
id: CL:0000001
name: obsolete primary cell
is_obsolete: true

[Term]
id: UBERON:0000178
name: blood

[Term]
id: GO:0000001
name: mitochondrion inheritance
"""
TAXA = """[Term]
id: NCBITaxon:9606
name: Homo sapiens
synonym: "human" EXACT []

[Term]
id: NCBITaxon:10090
name: Mus musculus
synonym: "house mouse" EXACT []

[Term]
id: NCBITaxon:1423
name: Bacillus subtilis
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "cl.obo").write_text(CELLS)
    (tmp_path / "taxa.obo").write_text(TAXA)
    return [tmp_path / "cl.obo", tmp_path / "taxa.obo"]


@pytest.fixture
def index(files, tmp_path):
    return codes.build(files, tmp_path / "index")


# --- what is found ---


@pytest.mark.parametrize(
    "slot, words, value",
    [
        ("cell_type", "T cell", "CL:0000084"),
        ("cell_type", "t-CELL", "CL:0000084"),
        ("cell_type", "cell T", "CL:0000084"),
        ("cell_type", "t lymphocyte", "CL:0000084"),
        ("cell_type", "leukocite", "CL:0000738"),
        ("cell_type", "leukcoyte", "CL:0000738"),
        ("cell_type", "leukoctye", "CL:0000738"),
        ("cell_type", "leuko", "CL:0000738"),
        ("cell_type", "kocyte", "CL:0000738"),
        ("cell_type", "white bloood cell", "CL:0000738"),
        ("cell_type", "white", "CL:0000738"),
        ("cell_type", "cd4 alpha beta", "CL:0000624"),
        ("cell_type", "myeloid", "CL:0000766"),
        ("cell_type", "myeloyd leukocytes", "CL:0000766"),
        ("cell_type", "Hépatocyte", "CL:0000182"),
        ("cell_type", "cellule nerv", "CL:0000540"),
        ("cell_type", "CL:0000182", "CL:0000182"),
        ("cell_type", "0000182", "CL:0000182"),
        ("cell_type", "http://purl.obolibrary.org/obo/CL_0000182", "CL:0000182"),
        ("taxon_id", "9606", "NCBITaxon:9606"),
        ("taxon_id", "ncbitaxon:9606", "NCBITaxon:9606"),
        ("taxon_id", "NCBITaxon_9606", "NCBITaxon:9606"),
        ("cell_type", "CL_0000084", "CL:0000084"),
        ("taxon_id", "human", "NCBITaxon:9606"),
        ("taxon_id", "homo sapien", "NCBITaxon:9606"),
        ("taxon_id", "mouse", "NCBITaxon:10090"),
        ("taxon_id", "b subtilis", "NCBITaxon:1423"),
        ("source_material", "blod", "UBERON:0000178"),
        ("sex", "woman", "Female"),
        ("sex", "f", "Female"),
        ("sex", "PATO:0000384", "Male"),
        ("omics_type", "rna-seq", "TRANSCRIPTOMICS"),
        ("data_format", "variants", "VCF"),
        ("data_format", "http://edamontology.org/format_3462", "CRAM"),
    ],
)
def test_the_first_that_is_found(index, slot, words, value):
    assert index.search(slot, words)[0].value == value


def test_a_synonym_says_that_it_is_one(index):
    first = index.search("cell_type", "white blood cell", 1)[0]
    assert vars(first) == {
        "value": "CL:0000738",
        "label": "leukocyte",
        "uri": "http://purl.obolibrary.org/obo/CL_0000738",
        "score": 0.99,
        "synonym": "white blood cell",
    }
    assert index.search("cell_type", "leukocyte", 1)[0].synonym is None


def test_a_term_comes_once_the_best_first_and_no_more_than_are_wanted(index):
    found = index.search("cell_type", "cell")
    assert len({code.uri for code in found}) == len(found) > 2
    assert [code.score for code in found] == sorted((code.score for code in found), reverse=True)
    assert index.search("cell_type", "cell", 2) == found[:2]


@pytest.mark.parametrize(
    "words", ["zebrafish", "obsolete", "primary", "mitochondrion", "CL:0000001", "CL:9999999", "GO:0000001", "!!!", "\U0001f9ec"]
)
def test_nothing_is_made_up(index, words):
    assert index.search("cell_type", words) == []


@pytest.mark.parametrize(
    "slot, words, num, error",
    [
        ("cell_type", "", 10, InvalidInputError),
        ("cell_type", "  ", 10, InvalidInputError),
        ("cell_type", "x" * 201, 10, InvalidInputError),
        ("cell_type", "x", 0, InvalidInputError),
        ("cell_type", "x", 101, InvalidInputError),
        ("celltype", "x", 10, NotFoundError),
        ("sample_processing", "x", 10, NotFoundError),
        ("collector", "x", 10, NotFoundError),
    ],
)
def test_what_cannot_be_asked(index, slot, words, num, error):
    with pytest.raises(error):
        index.search(slot, words, num)


def generated(seed, count):
    chance = random.Random(seed)
    syllables = ["ba", "co", "lia", "phyl", "us", "strep", "myc", "ti", "ro", "ne", "x", "\u03b1", "\u00e9l"]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 5))) for _ in range(count // 2)]
    return [
        (
            f"http://purl.obolibrary.org/obo/CL_{at:07}",
            [
                (" ".join(chance.choices(words, k=chance.randint(1, 4))), LABEL),
                *((" ".join(chance.choices(words, k=2)), RELATED) for _ in range(chance.randint(0, 2))),
            ],
        )
        for at in range(count)
    ]


def test_every_name_is_found_and_with_a_slip_of_the_finger():
    terms = generated(1, 3000)
    collection, chance = Collection(make_arrays(terms)), random.Random(2)
    for uri, names in chance.sample(terms, 150):
        name = names[-1][0]
        found = collection.search(name, 100)
        assert (
            found[0].score >= 0.94
            and split(found[0].synonym or found[0].label) == split(name)
            and (uri in {one.uri for one in found if split(one.synonym or one.label) == split(name)})
        ), name
    missed = 0
    for uri, names in chance.sample([term for term in terms if len(term[1][0][0]) > 7], 150):
        name = names[0][0]
        long = [at for at in range(len(name) - 1) if name[at] != " "]
        at = chance.choice(long)
        slip = name[:at] + chance.choice(["", "q", name[at] * 2]) + name[at + 1 :]
        missed += uri not in {one.uri for one in collection.search(slip, 100)}
    assert missed <= 3


def test_words_that_are_near_are_those_of_a_comparison_with_all():
    terms = generated(3, 2000)
    collection = Collection(make_arrays(terms))
    vocabulary = sorted({word for _, names in terms for name, _ in names for word in split(name)})
    chance = random.Random(4)
    for word in chance.sample([word for word in vocabulary if len(word.encode()) >= 8], 60):
        at = chance.randrange(1, len(word))
        slip = (word[:at] + word[at + 1 :]).encode()
        distance = 1 if len(slip) < 8 else 2
        expected = {text for text in vocabulary if 0 < OSA.distance(slip, text.encode()) <= distance}
        found = {collection._text("words", at).decode() for worth, at in collection._find_near(slip) if worth != 0.6}
        assert word in found and (found == expected or len(found) == 300), slip


def test_search_from_many_threads(index):
    expected = index.search("cell_type", "leukocite")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(Index(index.path).search("cell_type", "leukocite") == expected))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 12


def test_a_hundred_thousand_terms_take_some_milliseconds():
    collection = Collection(make_arrays(generated(5, 100_000)))
    queries = [names[0][0] for _, names in generated(6, 40)]
    collection.search("cell", 10)
    begin = time.process_time()
    for query in queries:
        collection.search(query, 10)
    assert (time.process_time() - begin) / len(queries) < 0.05


# --- what it is made of ---


def test_files_are_told_and_kept_in_the_index(index, files):
    assert json.loads(json.dumps(index.facts)) == {
        "sources": [
            {"name": "cl.obo", "slot": None, "terms": 8, "obsolete": 1, "others": 1},
            {"name": "taxa.obo", "slot": None, "terms": 3, "obsolete": 0, "others": 0},
        ],
        "slots": {
            "cell_type": {"terms": 7, "names": 12},
            "source_material": {"terms": 1, "names": 1},
            "taxon_id": {"terms": 3, "names": 5},
        },
    }
    assert index.slots == ["cell_type", "source_material", "taxon_id", "data_format", "omics_type", "sex"]


def test_all_terms_of_a_file_for_a_slot(tmp_path, files):
    (tmp_path / "lab.obo").write_text("[Term]\nid: LAB:1\nname: fixation in formalin\n\n[Term]\nid: OBI:0000070\nname: assay\n")
    index = codes.build([files[0], f"sample_processing={tmp_path}/lab.obo"], tmp_path / "index")
    assert [code.value for code in index.search("sample_processing", "formalin fixation")] == [
        "http://purl.obolibrary.org/obo/LAB_1"
    ]
    assert len(index.search("sample_processing", "assay")) == 1
    with pytest.raises(InvalidInputError, match="no codes for proces"):
        codes.build([f"proces={tmp_path}/lab.obo"], tmp_path / "index")
    (tmp_path / "a=b.obo").write_text(TAXA)
    assert len(codes.build([tmp_path / "a=b.obo"], tmp_path / "other").search("taxon_id", "human")) == 1


def test_a_term_of_several_files_is_one(tmp_path):
    (tmp_path / "a.obo").write_text(
        '[Term]\nid: CL:1\nname: nerve\nsynonym: "x" EXACT []\n\n[Term]\nid: CL:2\nname: gone later\n'
    )
    (tmp_path / "b.obo").write_text(
        '[Term]\nid: CL:1\nname: neuron\nsynonym: "x" EXACT []\n\n[Term]\nid: CL:2\nname: gone later\nis_obsolete: true\n'
    )
    index = codes.build([tmp_path / "a.obo", tmp_path / "b.obo"], tmp_path / "index")
    assert index.facts["slots"]["cell_type"] == {"terms": 1, "names": 3} and index.search("cell_type", "gone later") == []
    assert vars(index.search("cell_type", "neuron")[0])["label"] == "nerve"


def test_files_without_terms_for_a_slot_are_refused(tmp_path):
    for text, words in (("[Term]\nid: GO:1\nname: x\n", "SLOT=FILE"), ("ontology: x\n", "no terms")):
        (tmp_path / "x.obo").write_text(text)
        with pytest.raises(InvalidInputError) as error:
            codes.build([tmp_path / "x.obo"], tmp_path / "index")
        assert words in f"{error.value.message} {error.value.hint}" and not (tmp_path / "index").exists()
    with pytest.raises(InvalidInputError):
        codes.build([], tmp_path / "index")
    with pytest.raises(NotFoundError):
        codes.build([tmp_path / "none.obo"], tmp_path / "index")


def test_what_other_files_gave_is_not_lost_without_a_word(files, tmp_path):
    codes.build(files, tmp_path / "index")
    before = (tmp_path / "index").read_bytes()
    with pytest.raises(AlreadyExistsError, match="taxa.obo"):
        codes.build(files[:1], tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == before
    with pytest.raises(
        AlreadyExistsError, match="other files"
    ):  # the same file for one slot alone: what it gave to others would go
        codes.build([f"taxon_id={files[0]}", *files[1:]], tmp_path / "index")
    codes.build(files[::-1], tmp_path / "index")
    assert codes.build(files[:1], tmp_path / "index", replace=True).slots[:2] == ["cell_type", "source_material"]


def test_another_file_is_not_overwritten(files, tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(AlreadyExistsError):
        codes.build(files, files[0])
    with pytest.raises(AlreadyExistsError):
        codes.build(files, tmp_path / "thesis.doc", replace=True)
    assert (tmp_path / "thesis.doc").read_text() == "years of work" and files[0].read_text() == CELLS


def test_a_build_that_fails_leaves_what_was_there(files, tmp_path):
    codes.build(files, tmp_path / "index")
    before, names = (tmp_path / "index").read_bytes(), sorted(path.name for path in tmp_path.iterdir())
    files[1].write_text(TAXA + "x" * (2 << 20))
    with pytest.raises(InvalidInputError):
        codes.build(files, tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == before and sorted(path.name for path in tmp_path.iterdir()) == names
    (tmp_path / "file").write_text("")
    files[1].write_text(TAXA)
    with pytest.raises(AccessError):
        build(files, tmp_path / "file" / "index")


def test_an_old_index_goes_on_while_a_new_one_takes_its_place(index, files, tmp_path):
    files[0].write_text(CELLS.replace("hepatocyte", "liver cell"))
    codes.build(files, index.path)
    assert (
        index.search("cell_type", "hepatocyte")[0].value == "CL:0000182"
        and Index(index.path).search("cell_type", "liver cell", 1)[0].label == "liver cell"
    )


# --- where it is found ---


def test_the_users_own_index(files, tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="no index of codes for cell_type"):
        codes.search("cell_type", "x")
    assert codes.search("sex", "woman")[0].value == "Female"
    made = codes.build(files)
    assert (
        made.path == tmp_path / "cache" / "codes" / "codes.index" and codes.search("cell_type", "neuron")[0].value == "CL:0000540"
    )
    monkeypatch.setenv("MODOS_CODES", str(tmp_path / "site.index"))
    with pytest.raises(NotFoundError, match="site.index"):
        codes.search("cell_type", "neuron")
    assert codes.build(files[:1]).path == tmp_path / "site.index"
    assert codes.search("taxon_id", "human", index=made.path)[0].value == "NCBITaxon:9606"


# --- damage ---


def test_each_flipped_byte_is_told(index, tmp_path):
    data, path = index.path.read_bytes(), tmp_path / "damaged"
    chance = random.Random(1)
    places = [*range(24), *chance.sample(range(24, len(data)), 400)]
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            found = Index(path).check()
            assert [vars(code) for code in found.search("cell_type", "leukocite")] == [
                vars(code) for code in index.search("cell_type", "leukocite")
            ]
            assert not data[at], "between the arrays there is nothing"
        except ModosError as error:
            assert error.exit_code in (2, 3, 6) and "\n" not in error.message


FACTS = {"sources": [], "slots": {"cell_type": {"terms": 50}}}


def headed(head):
    return len(head).to_bytes(4, "little") + zlib.crc32(head).to_bytes(4, "little") + head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"modos codes 1\n\0\0",
        b"modos codes 1\n\0\0" + b"\xff" * 8,
        b"modos codes 1\n\0\0" + bytes(8),
        b"modos codes 1\n\0\0" + headed(b"{}"),
        b"modos codes 1\n\0\0" + headed(b"[" * 60_000),
    ],
)
def test_files_that_are_none(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ModosError):
        Index(tmp_path / "x")


@pytest.mark.parametrize(
    "part, change",
    [
        ("facts", {}),
        ("facts", {"sources": []}),
        ("facts", {"sources": [1], "slots": {}}),
        ("facts", {"sources": [], "slots": {"cell_type": 7}}),
        ("facts", []),
        ("slots", {}),
        ("slots", {"no\x1bslot": {}}),
        ("slots", {"cell_type": []}),
        ("size", 1e400),
        ("crc32", 1e400),
        ("at", "x"),
        ("at", -64),
        ("size", 10**30),
    ],
)
def test_a_head_that_says_something_else(index, tmp_path, part, change):
    """Whoever wrote it, with the checksum of it: no command fails of it in a way of its own."""
    data = index.path.read_bytes()
    size = int.from_bytes(data[16:20], "little")
    head = json.loads(data[24 : 24 + size])
    if part in head and part != "size":
        head[part] = change
    else:
        head["slots"]["cell_type"]["words"][part] = change
    made = json.dumps(head).encode().ljust(size)
    (tmp_path / "x").write_bytes(data[:16] + headed(made) + data[24 + len(made) :])
    with pytest.raises(IntegrityError, match="is damaged"):
        Index(tmp_path / "x").check()


def test_a_part_of_an_index(index, tmp_path):
    data = index.path.read_bytes()
    for size in (20, 30, 500, len(data) // 2, len(data) - 1):
        (tmp_path / "part").write_bytes(data[:size])
        with pytest.raises(IntegrityError):
            Index(tmp_path / "part")


@pytest.mark.parametrize(
    "name, change",
    [
        ("postings", lambda a: a + 100),
        ("postings", lambda a: a - 1),
        ("gram_words", lambda a: a + 10_000),
        ("word_ends", lambda a: a[::-1].copy()),
        ("first", lambda a: a[:-1].copy()),
        ("name_ends", lambda a: a * 2),
        ("sizes", lambda a: a[:1].copy()),
        ("uri_ends", lambda a: a[:0].copy()),
    ],
)
def test_arrays_that_do_not_fit_each_other(tmp_path, name, change):
    from modos.codes.storing import write

    arrays = make_arrays(generated(1, 50))
    arrays[name] = change(arrays[name])
    write(tmp_path / "x", {"cell_type": arrays}, FACTS)
    with pytest.raises(IntegrityError, match="is not whole"):
        Index(tmp_path / "x").search("cell_type", "lia")


def test_an_index_without_terms(tmp_path):
    from modos.codes.storing import write

    write(tmp_path / "x", {"cell_type": make_arrays([])}, FACTS)
    assert Index(tmp_path / "x").check().search("cell_type", "lia") == []
    assert isinstance(make_arrays([])["first"], np.ndarray)


# --- the schema's own values ---


def test_every_value_of_the_schema_has_its_meaning():
    for slot, enumeration in enumerations().items():
        values = tables()["enums"][enumeration]
        known = {code.value: code.uri for code, _ in meanings(slot)}
        assert known.keys() == values.keys()
        assert all(known[value] == entry["meaning"] for value, entry in values.items() if entry["meaning"])


def test_slots_are_those_of_the_schema():
    slots = model.slots()
    assert set(ONTOLOGIES) | set(enumerations()) <= slots
    assert set(enumerations()) == {"sex", "omics_type", "data_format"}
    with pytest.raises(NotFoundError) as error:
        check_slot("cel_type")
    assert "cell_type" in error.value.hint
