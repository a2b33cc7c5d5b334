"""htsget's requests, tickets and errors are read and written as the specification has them."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import AccessError, InvalidInputError, NotFoundError, ProtocolError, RegionError, RemoteError
from modos.genomics.htsget.protocol import ERROR_STATUS, Block, HtsgetError, Ticket, error_from_response, error_to_json
from modos.genomics.htsget.query import Query
from modos.genomics.region import UNMAPPED, Region
from modos.storage import ByteRange

positions = st.integers(0, 2**31 - 2)


@given(st.sampled_from(["chr1", "HLA-A*01:01:01:01", "1"]), positions, st.none() | st.integers(1, 2**20))
def test_a_query_comes_back_from_its_parameters(contig, start, width):
    region = Region(contig, start, None if width is None else start + width)
    query = Query("BAM", (region,))
    assert Query.from_params(query.to_params(), "reads") == query


def test_the_other_queries_come_back_too():
    for query in (
        Query(),
        Query("CRAM"),
        Query("BAM", header_only=True),
        Query("BAM", (Region(UNMAPPED),)),
        Query(tags=()),
        Query(fields=("SEQ",), tags=("NM",), notags=("MD",)),
    ):
        assert Query.from_params(query.to_params(), "reads") == query


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"format": "VCF"}, "UnsupportedFormat"),
        ({"format": "bam"}, "UnsupportedFormat"),
        ({"class": "body"}, "InvalidInput"),
        ({"class": "header", "referenceName": "chr1"}, "InvalidInput"),
        ({"start": "1"}, "InvalidInput"),
        ({"end": "1"}, "InvalidInput"),
        ({"referenceName": "*", "start": "1"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "-1"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "1.5"}, "InvalidInput"),
        ({"referenceName": "chr1", "start": "5", "end": "5"}, "InvalidRange"),
        ({"referenceName": "chr1", "start": "9", "end": "5"}, "InvalidRange"),
        ({"referenceName": "chr1", "end": "0"}, "InvalidRange"),
        ({"tags": "NM,MD", "notags": "NM"}, "InvalidInput"),
        ({"fields": "QNAM"}, "InvalidInput"),
        ({"fields": ""}, "InvalidInput"),
        ({"tags": "N"}, "InvalidInput"),
        ({"notags": "NMX"}, "InvalidInput"),
        ({"class": "header", "tags": ""}, "InvalidInput"),
    ],
)
def test_what_the_protocol_forbids_has_its_name(params, name):
    with pytest.raises(HtsgetError) as caught:
        Query.from_params(params, "reads")
    assert caught.value.name == name and caught.value.status == 400


@given(st.binary(max_size=300))
def test_data_uris_hold_any_bytes(data):
    ticket = Ticket("BAM", (Block("", content=data, block_class="body"),))
    (block,) = Ticket.from_json(ticket.to_bytes(), "BAM").blocks
    assert ticket.blocks[0].decode_inline() == block.decode_inline() == data and block.block_class == "body"
    assert Block("data:application/vnd.ga4gh.bam;base64," + base64.b64encode(data).decode()).decode_inline() == data
    assert Block("data:," + "".join(f"%{byte:02x}" for byte in data)).decode_inline() == data


@pytest.mark.parametrize("url", ["data:", "data:;base64", "data:;base64,@@@", "data:;base64,QQ=", "data:;base64,Q"])
def test_damaged_data_uris_are_refused(url):
    with pytest.raises(ProtocolError):
        Block(url).decode_inline()


def test_another_url_is_not_inline():
    assert Block("http://host/data:,x").decode_inline() is None


@pytest.mark.parametrize(("value", "expected"), [("bytes=0-0", ByteRange(0, 1)), (" bytes=5-99 ", ByteRange(5, 100))])
def test_ranges_are_half_open_inside(value, expected):
    assert Block("http://x/", {"range": value}).byte_range == expected


@pytest.mark.parametrize("value", ["bytes=5-", "bytes=-5", "bytes=9-5", "bytes=1-2,4-5", "lines=1-2", "", "bytes=a-b"])
def test_ranges_that_cannot_be_checked_are_refused(value):
    with pytest.raises(ProtocolError):
        _ = Block("http://x/", {"Range": value}).byte_range


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'{"htsget": 3}',
        b'{"htsget": {}}',
        b'{"htsget": {"urls": 3}}',
        b'{"htsget": {"urls": [3]}}',
        b'{"htsget": {"urls": [{}]}}',
        b'{"htsget": {"urls": [{"url": 3}]}}',
        b'{"htsget": {"urls": [{"url": "http://x", "headers": {"a": 1}}]}}',
        b'{"htsget": {"urls": [{"url": "file:///x"}]}}',
        b'{"htsget": {"urls": [{"url": "ftp://x/y"}]}}',
        b'{"htsget": {"urls": [{"url": "x"}]}}',
        b'{"htsget": {"format": "EXE", "urls": []}}',
        b'{"htsget": {"format": "FASTA", "urls": []}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_ticket_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        Ticket.from_json(text, "BAM")


def test_a_ticket_comes_back_from_its_json():
    ticket = Ticket("CRAM", (Block("data:,x", {}, "header"), Block("https://x/y?z", {"Range": "bytes=0-9"}, "body")))
    assert Ticket.from_json(ticket.to_bytes(), "BAM") == ticket
    assert Ticket.from_json(b'{"htsget": {"urls": []}}', "VCF") == Ticket("VCF", ())


KINDS = {
    "InvalidAuthentication": AccessError,
    "PermissionDenied": AccessError,
    "NotFound": NotFoundError,
    "PayloadTooLarge": InvalidInputError,
    "UnsupportedFormat": InvalidInputError,
    "InvalidInput": InvalidInputError,
    "InvalidRange": RegionError,
    "InternalError": RemoteError,
}


@pytest.mark.parametrize("name", ERROR_STATUS)
def test_errors_keep_the_servers_words(name):
    body = json.dumps(error_to_json(name, "because of this")).encode()
    error = error_from_response(ERROR_STATUS[name], body, "ex/demo1")
    assert type(error) is KINDS[name] and "because of this" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessError), (403, AccessError), (404, NotFoundError), (500, RemoteError), (503, RemoteError), (418, RemoteError)],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"htsget": {}}', b'{"error": "x"}'])
def test_bare_statuses_mean_what_they_mean(status, kind, body):
    assert type(error_from_response(status, body, "x")) is kind


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["url", "headers", "class", "Range", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional={"format": json_values, "urls": json_values, "x": json_values}) | json_values)
def test_any_answer_is_a_ticket_or_a_clear_error(content):
    for text in (json.dumps({"htsget": content}).encode(), json.dumps(content).encode()):
        try:
            ticket = Ticket.from_json(text, "BAM")
            for block in ticket.blocks:
                block.decode_inline(), block.byte_range
            ticket.is_one_stream
            assert Ticket.from_json(ticket.to_bytes(), "BAM") == ticket
        except ProtocolError as error:
            assert "\n" not in error.message and len(error.message) < 300


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_clear_error(body):
    try:
        Query.from_body(body, "reads")
    except HtsgetError as error:
        assert error.status == 400


@given(
    st.lists(st.tuples(st.sampled_from(["chr1", "HLA:01", "*x"]), positions, st.none() | st.integers(1, 2**20)), min_size=1),
    st.lists(st.sampled_from(["QNAME", "POS"]), unique=True),
    st.none() | st.lists(st.sampled_from(["NM", "MD"]), unique=True),
)
def test_a_query_comes_back_from_its_body(regions, fields, tags):
    query = Query(
        "CRAM",
        tuple(Region(c, start, width and start + width) for c, start, width in regions),
        fields=tuple(fields),
        tags=None if tags is None else tuple(tags),
    )
    assert Query.from_body(query.to_body(), "reads") == query
