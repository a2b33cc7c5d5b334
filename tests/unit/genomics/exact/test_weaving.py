"""What is woven has the data that stay and those that are put in, in order, and whole blocks that stay are untouched."""

from __future__ import annotations

import gzip
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from modos.formats import BGZF_EOF
from modos.genomics.exact.blocks import Batch, Block
from modos.genomics.exact.weaving import Edited, weave
from modos.genomics.index.bgzf import compress
from modos.genomics.slicing import block_batches
from tests.support.sampling import most


@settings(max_examples=most(400, 60), deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=40),
    records=st.lists(st.integers(1, 90), max_size=60),
    fates=st.lists(st.sampled_from(["keep", "keep", "keep", "drop", "change"]), min_size=60, max_size=60),
    batch_size=st.integers(1, 7),
    loose=st.sets(st.integers(0, 20)),
)
def test_any_edits_of_any_blocks(sizes, records, fates, batch_size, loose):
    total = sum(records)
    stream = random.Random(1).randbytes(total)
    blocks, at = [], 0
    for size in [*sizes, *([60] * (total // 60 + 1))]:
        data = stream[at : at + size]
        if data or size == 0:
            blocks.append(Block(at, at + len(data), memoryview(compress(data)), data))
        at += len(data)
    edges = [0]
    for size in records:
        edges.append(edges[-1] + size)
    batches, edits, first, expected = [], {}, 0, []
    for number in range(0, len(blocks), batch_size):
        group = blocks[number : number + batch_size]
        end = group[-1].end
        last = max(n for n, edge in enumerate(edges) if edge <= end)
        starts = [edge - edges[first] for edge in edges[first : last + 1]]
        batch = Batch(stream[edges[first] : end], edges[first], starts, group, edges[last], len(batches) in loose)
        parts, changes = [], []
        for record in range(first, last):
            begin, beyond = starts[record - first], starts[record - first + 1]
            if fates[record] == "keep":
                parts.append((begin, beyond))
                changes.append(batch.data[begin:beyond])
            elif fates[record] == "change":
                parts.append(b"changed")
                changes.append(b"changed")
        edits[id(batch)] = Edited(parts, len(changes), [])
        expected += changes
        batches.append(batch)
        first = last
    seen = []
    data = b"".join(weave(batches, lambda batch: edits[id(batch)], seen.append, 2))
    assert gzip.decompress(data + BGZF_EOF) == b"".join(expected)
    assert seen == list(edits.values())
    if not loose and set(fates[: len(records)]) <= {"keep"} and records:
        given = {bytes(block) for _, batch in block_batches(iter([data])) for block in batch}
        assert {bytes(block.raw) for block in blocks if block.data} <= given


def test_a_block_with_another_field_in_its_header_is_made_anew():
    block = compress(b"records")
    hiding = block[:10] + b"\x10\x00" + b"XX\x06\x00secret" + block[12:16] + (len(block) + 9).to_bytes(2, "little") + block[18:]
    assert gzip.decompress(hiding) == b"records"
    batch = Batch(b"records", 0, [0, 7], [Block(0, 7, memoryview(hiding), b"records")], 7)
    data = b"".join(weave([batch], lambda batch: Edited([(0, 7)], 1, []), lambda edited: None, 1))
    assert gzip.decompress(data) == b"records"
    assert b"secret" not in data
