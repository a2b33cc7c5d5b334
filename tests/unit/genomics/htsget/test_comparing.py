"""The digests in a ticket: written and read again, and compared with what is fetched."""

from __future__ import annotations

import base64
import json
import random

import pytest

from modos.errors import ChecksumMismatch, ProtocolError
from modos.genomics.htsget.comparing import compare_parts
from modos.genomics.htsget.protocol import Block, Ticket
from modos.storage.part_digests import digest_parts

PART = 64
CONTENT = random.Random(1).randbytes(PART * 5 + 9)


def block(content: bytes = CONTENT, start: int = PART * 3) -> Block:
    span = {"Range": f"bytes={start}-{start + len(content) - 1}"}
    return Block("http://localhost/files/a.bam?signed", span, part=PART, digests=digest_parts(content, PART))


def never(start: int, end: int) -> bytes:
    raise AssertionError("nothing is fetched again")


@pytest.mark.parametrize("step", [1, 63, 64, 65, 1000])
def test_what_fits_passes(step):
    pieces = (CONTENT[at : at + step] for at in range(0, len(CONTENT), step))
    assert b"".join(compare_parts(pieces, block(), never)) == CONTENT


@pytest.mark.parametrize("at", [0, PART - 1, PART, 3 * PART + 5, len(CONTENT) - 1])
def test_a_part_that_does_not_fit_is_fetched_again_alone(at):
    spoilt, asked = bytearray(CONTENT), []
    spoilt[at] ^= 1

    def fetch_again(start: int, end: int) -> bytes:
        asked.append((start, end))
        return CONTENT[start:end]

    assert b"".join(compare_parts([bytes(spoilt)], block(), fetch_again)) == CONTENT
    first = at // PART * PART
    assert asked == [(first, min(first + PART, len(CONTENT)))]


def test_a_part_that_does_not_fit_again_is_not_given_out():
    spoilt = bytearray(CONTENT)
    spoilt[2 * PART] ^= 1
    given = []
    with pytest.raises(ChecksumMismatch, match=f"bytes {PART * 5}-{PART * 6 - 1} "):
        given.extend(compare_parts([bytes(spoilt[:PART]), bytes(spoilt[PART:])], block(), lambda s, e: bytes(spoilt[s:e])))
    assert b"".join(given) == CONTENT[:PART]


def test_without_digests_everything_passes():
    assert b"".join(compare_parts([b"abc", b""], Block("http://localhost/x"), never)) == b"abc"


def test_a_ticket_keeps_them():
    ticket = Ticket("BAM", (block(), Block("", content=b"abc"), Block("http://localhost/x", {"Range": "bytes=0-4"})))
    again = Ticket.from_json(ticket.to_bytes(), "BAM")
    assert again.blocks[0] == ticket.blocks[0]
    assert again.blocks[2].digests == b"" and not again.is_comparable
    assert Ticket.from_json(Ticket("BAM", ticket.blocks[:2]).to_bytes(), "BAM").is_comparable


@pytest.mark.parametrize(
    "change",
    [
        {"part": 0},
        {"part": -1},
        {"part": 1 << 40},
        {"part": "64"},
        {"part": 128},
        {"blake3": "!"},
        {"blake3": ""},
        {"blake3": base64.b64encode(bytes(31)).decode()},
        {"blake3": 7},
    ],
)
def test_digests_that_are_not_of_the_range_are_no_ticket(change):
    body = json.loads(Ticket("BAM", (block(),)).to_bytes())
    body["htsget"]["urls"][0]["modos:digests"] |= change
    with pytest.raises(ProtocolError):
        Ticket.from_json(json.dumps(body).encode(), "BAM")


def test_digests_of_what_is_no_range_are_no_ticket():
    body = json.loads(Ticket("BAM", (block(),)).to_bytes())
    del body["htsget"]["urls"][0]["headers"]
    with pytest.raises(ProtocolError):
        Ticket.from_json(json.dumps(body).encode(), "BAM")
