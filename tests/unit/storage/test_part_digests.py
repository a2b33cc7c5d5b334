"""The list of digests is what format.md says, whatever pieces it was made of, and tells any change."""

from __future__ import annotations

import random
import struct

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError
from modos.storage.part_digests import (
    DIGEST,
    GROUP,
    PART,
    DigestList,
    Layout,
    ListHasher,
    PartHasher,
    digest_parts,
    join_lists,
    root_of,
)


def list_by_hand(contents: list[bytes], part: int) -> tuple[bytes, str]:
    """The list and its root, straight from the specification."""
    parts, groups = b"", b""
    for content in contents:
        own = [blake3(content[at : at + part]).digest() for at in range(0, len(content), part)]
        groups += b"".join(blake3(b"".join(own[at : at + 1024])).digest() for at in range(0, len(own), 1024))
        parts += b"".join(own)
    head = b"modospd1" + struct.pack("<II", part, len(contents)) + b"".join(struct.pack("<Q", len(one)) for one in contents)
    return head + groups + parts, blake3(head + groups).hexdigest()


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 17])
def test_the_list_is_the_specified_one(size):
    content = random.Random(size).randbytes(size)
    hasher = PartHasher()
    hasher.update(content)
    found = hasher.finish()
    assert (found.to_bytes(), found.root) == list_by_hand([content], PART)
    assert found.root == root_of(content)
    assert found.is_stored == (size > PART)


def test_a_list_of_several_groups_and_files_is_the_specified_one():
    part, rng = 16, random.Random(1)
    contents = [rng.randbytes(size) for size in (0, 5, part * GROUP, part * GROUP + 1, part * GROUP * 2 + 3)]
    lists = []
    for content in contents:
        hasher = PartHasher(part)
        hasher.update(content)
        lists.append(hasher.finish())
    joined = join_lists(lists)
    assert (joined.to_bytes(), joined.root) == list_by_hand(contents, part)


@given(st.data(), st.integers(0, 400), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_pieces_do_not_matter(data, size, part):
    content = random.Random(size).randbytes(size)
    hasher, at = PartHasher(part), 0
    while at < size:
        step = data.draw(st.integers(1, 90))
        hasher.update(content[at : at + step])
        at += step
    found = hasher.finish()
    assert found.digests == digest_parts(content, part)
    assert found.layout == Layout((size,), part)


@given(st.lists(st.integers(0, 9000), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_groups_cover_each_part_once_and_stay_within_a_file(sizes):
    layout = Layout(tuple(sizes), 4)
    covered = []
    for group in range(layout.groups):
        first, beyond = layout.group_parts(group)
        assert 0 < beyond - first <= GROUP
        assert all(layout.group_of(part) == group for part in (first, beyond - 1))
        covered += range(first, beyond)
    assert covered == list(range(layout.parts))
    assert layout.size == layout.table_size + DIGEST * layout.parts


def test_any_other_byte_or_order_gives_another_root():
    content = bytearray(random.Random(2).randbytes(5 * PART + 100))
    root = root_of(content)
    swapped = content[PART : 2 * PART] + content[:PART] + content[2 * PART :]
    assert root_of(swapped) != root
    assert root_of(content[:-1]) != root
    assert root_of(content + b"\0") != root
    for at in (0, PART, len(content) - 1):
        content[at] ^= 1
        assert root_of(content) != root
        content[at] ^= 1
    assert root_of(bytes(PART)) != root_of(bytes(2 * PART))
    assert root_of(content, PART) != root_of(content, PART + 28)


def test_a_list_of_another_length_is_refused():
    with pytest.raises(IntegrityError):
        DigestList(Layout((PART + 1,)), bytes(DIGEST))


def test_a_stored_list_is_compared_with_its_own_groups():
    part = 8
    hasher = PartHasher(part)
    hasher.update(random.Random(3).randbytes(part * GROUP * 2 + 5))
    found = hasher.finish()
    stored = found.to_bytes()

    def root(data: bytes, step: int) -> str:
        checked = ListHasher(found.layout)
        for at in range(0, len(data), step):
            checked.update(data[at : at + step])
        return checked.root

    assert root(stored, 1000) == root(stored, 7) == root(stored, len(stored)) == found.root
    assert root(stored[:-1], 1000) == root(stored + b"\0", 1000) == root(b"", 1) == ""
    for at in (*range(0, found.layout.table_size, 5), *range(found.layout.table_size, len(stored), 997)):
        changed = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        assert root(changed, 1000) != found.root
