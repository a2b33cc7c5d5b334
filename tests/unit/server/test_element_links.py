"""The tree and the graph of an object's elements: complete, bounded, and whole where links go in circles."""

import random

import pytest

from modos.server.pages.element_links import count_groups, draw_links, grow_tree, iter_links


def assay(*data, samples=()):
    return {"@type": "Assay", "has_data": [f"data/{name}" for name in data], "has_sample": [f"sample/{name}" for name in samples]}


def walk(branches):
    for branch in branches:
        yield branch
        yield from walk(branch.branches)


OWN = {"@type": "MODO", "has_assay": ["assay/a"]}
ELEMENTS = {
    "assay/a": assay("one", "two", "gone", samples=["s"]),
    "data/one": {"@type": "AlignmentSet", "has_sample": ["sample/s"], "has_reference": ["reference/r"]},
    "data/two": {"@type": "VariantSet", "has_sample": "sample/s"},
    "sample/s": {"@type": "Sample"},
    "reference/r": {"@type": "ReferenceGenome", "has_sequence": ["sequence/c"]},
    "sequence/c": {"@type": "ReferenceSequence"},
    "data/alone": {"@type": "Array"},
}


def test_links_are_those_of_the_schema():
    found = [
        (link.source, link.slot, link.target, link.is_there) for i, a in ELEMENTS.items() for link in iter_links(i, a, ELEMENTS)
    ]
    assert ("assay/a", "has_data", "data/gone", False) in found and ("data/two", "has_sample", "sample/s", True) in found
    assert len(found) == 8


def test_a_tree_has_every_element_once_with_its_branches():
    tree, left = grow_tree(OWN, ELEMENTS)
    assert left == 0 and [branch.id for branch in tree] == ["assay/a", "data/alone"]
    full = [branch.id for branch in walk(tree) if not branch.is_repeated and not branch.is_missing]
    assert sorted(full) == sorted(ELEMENTS)
    assert [branch.id for branch in walk(tree) if branch.is_missing] == ["data/gone"]
    assert [branch.id for branch in tree[0].branches] == ["data/one", "data/two", "data/gone", "sample/s"]


@pytest.mark.parametrize("seed", range(30))
def test_circles_end_and_large_ones_are_cut(seed):
    rng, count = random.Random(seed), random.Random(seed).choice([1, 5, 40, 2000])
    elements = {
        f"reference/r{n}": {
            "@type": "ReferenceGenome",
            "has_sequence": [f"reference/r{rng.randrange(count + 1)}" for _ in range(rng.randrange(5))],
        }
        for n in range(count)
    }
    tree, left = grow_tree({"@type": "MODO"}, elements)
    found = list(walk(tree))
    full = [branch.id for branch in found if not branch.is_repeated and not branch.is_missing]
    assert len(found) <= 150 and len(set(full)) == len(full) == count - left
    assert left == 0 or len(found) == 150
    drawing = draw_links(elements)
    assert len(drawing.boxes) <= 14 and drawing.left_out == max(0, count - (count if count <= 14 else 13))


def test_a_drawing_has_a_box_for_each_and_a_path_for_each_link():
    drawing = draw_links(ELEMENTS)
    assert {box.id for box in drawing.boxes} == set(ELEMENTS) and drawing.left_out == 0
    assert [name for _, name in drawing.columns] == ["assay", "sample", "data", "reference", "sequence"]
    assert len(drawing.paths) == 7, "one for each link whose ends are there"
    places = [(box.x, box.y) for box in drawing.boxes]
    assert len(set(places)) == len(places)
    assert all(box.x + drawing.box[0] <= drawing.width and box.y + drawing.box[1] <= drawing.height for box in drawing.boxes)


def test_nothing_is_drawn_of_nothing():
    assert grow_tree({}, {}) == ([], 0) and draw_links({}).boxes == [] and count_groups({}) == {}
