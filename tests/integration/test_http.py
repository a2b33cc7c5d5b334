"""The modos server: discovery, catalogue, tickets that hold all that was asked for, and no file that is not data."""

from __future__ import annotations

import json
import shutil
import socket
from urllib.parse import urlsplit

import pysam
import pytest
import requests

from modos.genomics.htsget.protocol import Block, Ticket
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

FILES = {
    "BAM": ("reads", "ex/demo2", "demo2.bam"),
    "CRAM": ("reads", "ex/demo1", "demo1.cram"),
    "VCF": ("variants", "ex/calls", "calls.vcf.gz"),
    "BCF": ("variants", "ex/cohort", "cohort.bcf"),
}


@pytest.fixture(scope="module")
def root(example, tmp_path_factory):
    """A folder of objects: ex, ex2, deep/er/ex3, a damaged one; and files that are nobody's data."""
    root = tmp_path_factory.mktemp("served") / "root"
    for name in ("ex", "ex2", "deep/er/ex3"):
        shutil.copytree(example / "ex", root / name)
    shutil.copytree(example / "ex", root / "damaged")
    (root / "damaged/data.zarr/zarr.json").write_text("{")
    for place in (root, root.parent, root / "ex"):
        shutil.copy(example / "source/demo2.bam", place / "secret.bam")
        (place / "secret.txt").write_text("secret")
    return root


@pytest.fixture(scope="module")
def folder(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


@pytest.fixture(params=["folder", "s3"])
def url(request, folder, stack):
    return folder if request.param == "folder" else stack.endpoint


def get(url, **params):
    return requests.get(url, params=params, timeout=20)


def body_of(answer):
    blocks = Ticket.from_json(answer.content, "BAM").blocks
    return b"".join(bytes_of(block) for block in blocks)


def bytes_of(block: Block) -> bytes:
    data = block.decode_inline()
    if data is not None:
        return data
    answer = requests.get(block.url, headers=dict(block.headers), timeout=20)
    assert answer.status_code == (206 if block.byte_range else 200)
    return answer.content


def test_discovery(folder, stack):
    assert get(folder).json() == {
        "status": "success",
        "auth": None,
        "s3": None,
        "htsget": f"{folder}/htsget",
        "credentials": None,
        "fuzon": None,
        "kms": None,
        "refget": None,
        "references": None,
        "root": None,
    }
    answer = get(stack.endpoint).json()
    assert answer["s3"] == stack.s3 and answer["root"] == "s3://modos-demo"


@pytest.mark.parametrize("path", ["/list", "//list", "/list/"])
def test_objects_are_listed(folder, path):
    assert get(folder + path).json() == {"data": ["damaged", "deep/er/ex3", "ex", "ex2"]}


def test_a_damaged_object_hides_no_other(folder):
    data = get(f"{folder}/meta").json()["data"]
    assert [entry["path"] for entry in data] == ["deep/er/ex3", "ex", "ex2"]
    assert data[1]["meta"]["data/demo1"]["data_path"] == "demo1.cram"


def test_search(folder, stack):
    def found(url, **params):
        return list(get(f"{url}/get", **params).json()["data"])

    assert [list(entry) for entry in found(folder, query="ex")] == [["ex"]]
    assert [next(iter(entry)) for entry in found(folder, query="EX", fuzzy="true")] == ["ex3", "ex", "ex2"]
    assert found(folder, query="none") == []
    assert {"ex": {"s3_endpoint": stack.s3, "modo_path": "s3://modos-demo/ex"}} in found(stack.endpoint, query="ex")
    assert get(f"{folder}/get").status_code == 400


@pytest.mark.parametrize("kind", ["reads", "variants"])
def test_service_info(url, kind):
    info = get(f"{url}/htsget/{kind}/service-info").json()
    assert info["type"]["artifact"] == "htsget" and info["htsget"]["datatype"] == kind


@pytest.mark.parametrize("format", FILES)
def test_the_whole_file_is_its_own_bytes(url, example, format):
    kind, file_id, file = FILES[format]
    answer = get(f"{url}/htsget/{kind}/{file_id}", format=format)
    assert answer.headers["content-type"].startswith("application/vnd.ga4gh.htsget.v1.3.0+json")
    assert body_of(answer) == (example / "ex" / file).read_bytes()


@pytest.mark.parametrize("format", FILES)
def test_a_region_holds_all_of_its_records(url, example, tmp_path, format):
    kind, file_id, file = FILES[format]
    path = tmp_path / file
    path.write_bytes(body_of(get(f"{url}/htsget/{kind}/{file_id}", format=format, referenceName="chr2", start=3000, end=9000)))
    got, wanted = records(path, example), records(example / "ex" / file, example, ("chr2", 3000, 9000))
    assert wanted and set(wanted) <= set(got)
    assert path.stat().st_size < (example / "ex" / file).stat().st_size


def records(path, example, region=None):
    if path.suffix in (".bam", ".cram"):
        with pysam.AlignmentFile(str(path), reference_filename=str(example / "ex/reference.fa")) as file:
            return [r.to_string() for r in (file.fetch(*region) if region else file.fetch(until_eof=True))]
    with pysam.VariantFile(str(path)) as file:
        return [str(r) for r in (file.fetch(*region) if region else file)]


@pytest.mark.parametrize("format", FILES)
def test_a_header_alone_can_be_read(url, format):
    kind, file_id, _ = FILES[format]
    answer = get(f"{url}/htsget/{kind}/{file_id}", **{"format": format, "class": "header"})
    assert {entry["class"] for entry in answer.json()["htsget"]["urls"]} == {"header"}
    assert len(body_of(answer)) < 20_000


def refusal(answer):
    return answer.status_code, answer.json()["htsget"]["error"]


def test_a_format_that_is_not_there_is_refused(url):
    assert refusal(get(f"{url}/htsget/reads/ex/demo1", format="BAM")) == (400, "UnsupportedFormat")
    assert refusal(get(f"{url}/htsget/reads/ex/demo1", format="VCF")) == (400, "UnsupportedFormat")
    assert get(f"{url}/htsget/reads/ex/demo1").json()["htsget"]["format"] == "CRAM"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"referenceName": "chr9"}, (404, "NotFound")),
        ({"referenceName": "chr1", "start": 10, "end": 10}, (400, "InvalidRange")),
        ({"start": 10}, (400, "InvalidInput")),
        ({"class": "header", "referenceName": "chr1"}, (400, "InvalidInput")),
    ],
)
def test_a_request_that_cannot_be_met_says_why(url, params, expected):
    assert refusal(get(f"{url}/htsget/reads/ex/demo2", **params)) == expected


def test_ids_keep_their_slashes(folder):
    assert get(f"{folder}/htsget/reads/deep/er/ex3/demo2").status_code == 200


@pytest.mark.parametrize("file_id", ["none", "ex/none", "ex", "", "ex2/calls", "damaged"])
def test_unknown_ids(folder, file_id):
    assert refusal(get(f"{folder}/htsget/reads/{file_id}")) == (404, "NotFound")


SECRETS = [
    "ex/secret.bam",
    "ex/secret.txt",
    "secret.bam",
    "secret.txt",
    "../secret.bam",
    "ex/../secret.bam",
    "ex/../../secret.txt",
    "%2e%2e/secret.bam",
    "ex%2f..%2f..%2fsecret.bam",
    "ex/%2e%2e/%2e%2e/secret.txt",
    "..%5csecret.bam",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "ex/data.zarr/data/zarr.json",
    "ex/data.zarr/../secret.bam",
    "ex/./secret.bam",
    "ex/secret.bam%00",
]


def raw_get(url, path):
    """GET without a client that tidies the path."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_nobodys_data_is_not_served(folder, root, secret):
    for path in (f"/files/{secret}", f"/htsget/reads/{secret}", f"/htsget/reads/{secret.removesuffix('.bam')}"):
        answer = raw_get(folder, path)
        assert answer.split(b" ", 2)[1] in (b"400", b"404"), (path, answer[:200])
        assert b"secret\n" not in answer and str(root).encode() not in answer and b"root:" not in answer


def test_no_answer_tells_a_path_of_the_machine(folder, root):
    for path in ("", "list", "meta", "get?query=ex", "htsget/reads/ex/demo2", "htsget/reads/damaged/demo2", "files/x"):
        assert str(root.parent) not in get(f"{folder}/{path}").text


def test_a_damaged_object_is_an_error_of_the_server(folder):
    answer = get(f"{folder}/htsget/reads/damaged/demo2")
    assert answer.status_code == 500 and json.loads(answer.text)["htsget"]["message"]


def test_files_by_range(folder, example):
    data, url = (example / "ex/demo2.bam").read_bytes(), f"{folder}/files/ex/demo2.bam"
    part = requests.get(url, headers={"Range": "bytes=10-99"}, timeout=20)
    assert (part.status_code, part.content) == (206, data[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(data)}"
    assert requests.get(url, headers={"Range": f"bytes={len(data)}-"}, timeout=20).status_code == 416
    assert get(url).content == data
    head = requests.head(url, timeout=20)
    assert head.status_code == 200 and int(head.headers["content-length"]) == len(data)
    assert get(f"{url}.bai").content == (example / "ex/demo2.bam.bai").read_bytes()
