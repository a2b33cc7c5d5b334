"""What a file is called, and where it lies: the mark of a version in a key."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modos.formats import FORMATS, find_keys, index_names, key_of, name_of, version_of
from modos.object.written_metadata import to_yaml

ENDINGS = [*sorted({suffix for format in FORMATS.values() for suffix in format.suffixes}), ".xyz", ""]


@pytest.mark.parametrize(
    ("key", "name", "version"),
    [
        ("a.cram", "a.cram", 1),
        ("a~2.cram", "a.cram", 2),
        ("r/a~13.cram", "r/a.cram", 13),
        ("a~2.cram.c4gh", "a.cram", 2),
        ("a~2.vcf.gz", "a.vcf.gz", 2),
        ("a~2.vcf.gz.tbi", "a.vcf.gz.tbi", 2),
        ("a~2.cram.crai.c4gh", "a.cram.crai", 2),
        ("a~2.bai", "a.bai", 2),
        ("a~2.fa.gz.gzi", "a.fa.gz.gzi", 2),
        ("a~3.xyz", "a.xyz", 3),
        ("a~2", "a", 2),
        ("x.y/a~2", "x.y/a", 2),
        ("A~2.BAM", "A.BAM", 2),
        ("a-2.cram", "a-2.cram", 1),
        ("a~1.cram", "a~1.cram", 1),
        ("a~02.cram", "a~02.cram", 1),
        ("a~2x.cram", "a~2x.cram", 1),
        ("a.cram~2", "a.cram~2", 1),
        ("~2.cram", "~2.cram", 1),
        ("r/~2.cram", "r/~2.cram", 1),
        ("r~2/a.cram", "r~2/a.cram", 1),
    ],
)
def test_a_name_and_a_version_are_in_a_key(key, name, version):
    assert (name_of(key), version_of(key)) == (name, version)


@given(
    stem=st.text("ab~-.1", min_size=1, max_size=6),
    ending=st.sampled_from(ENDINGS),
    sealed=st.sampled_from(["", ".c4gh"]),
    version=st.integers(2, 2000),
)
def test_a_key_of_a_name_tells_both(stem, ending, sealed, version):
    name = stem + ending
    if name_of(name) != name or stem.endswith(".") or (not ending and "." in stem):
        return
    key = key_of(name + sealed, version)
    assert (name_of(key), version_of(key)) == (name, version) and key.endswith(sealed) and key_of(name, 1) == name
    for before, after in zip(index_names(name + sealed), index_names(key)):
        assert name_of(after) == name_of(before) and version_of(after) == version


def test_a_key_counts_before_a_name():
    known = ["a~2.cram", "b.cram.c4gh", "b-2.cram", "c.cram", "c~2.cram", "c~3.cram", "d.bam", "d~2.bam.c4gh"]
    assert find_keys(known, "a.cram") == ["a~2.cram"] == find_keys(known, "a~2.cram")
    assert find_keys(known, "b.cram") == ["b.cram.c4gh"] == find_keys(known, "b.cram.c4gh")
    assert find_keys(known, "c.cram") == ["c.cram"] and find_keys(known[5:], "c.cram") == ["c~3.cram"]
    assert find_keys(known[4:], "c.cram") == ["c~2.cram", "c~3.cram"]
    assert find_keys(known, "d.bam.c4gh") == ["d~2.bam.c4gh"]
    assert find_keys(known, "a~3.cram") == find_keys(known, "a.cram.c4gh") == find_keys(known, "b~2.cram") == []


@pytest.mark.parametrize("name", ["a.cram", "a # b.cram", "word " * 30 + "a.cram", "no: yes.cram", "é.cram"])
def test_yaml_has_names_and_says_where_they_lie(name):
    key = key_of(name, 3) + ".c4gh"
    metadata = {
        "ex": {"@type": "MODO"},
        "data/a": {"@type": "DataEntity", "data_path": key, "description": "x\n  data_path: y\n"},
        "data/b": {"data_path": "b.bam"},
        "data/c": {"data_path": "data.zarr/data/c~2"},
    }
    text = to_yaml(metadata)
    assert yaml.safe_load(text) == metadata | {"data/a": metadata["data/a"] | {"data_path": name}}
    assert text.count("# stored as") == 1 and f"  # stored as {key}\n" in text
