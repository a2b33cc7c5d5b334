"""What the genome browser is given: bins, depth, genes and bases, against other programs, hostile requests, and rights."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import pairwise

import numpy as np
import pysam
import pytest
import requests

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.reference import annotation_store
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.genome import depth as depths
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.genome_view import CONTIGS, GENES, make_object, write_sources
from tests.support.waiting import Arrivals, wait_until

BINARY = {"Accept": "application/octet-stream"}
TOKENS = {"alice": "the-token-of-alice", "bob": "the-token-of-bobby", "carol": "the-token-of-carol", "dan": "the-token-of-daniel"}
RULES = """
tokens = "tokens"

[[rule]]
who = ["user:alice"]
read = ["/"]

[[rule]]
who = ["user:carol"]
read = ["ex"]
regions = ["chr1:10,001-12,000"]
metadata = true

[[rule]]
who = ["user:dan"]
read = ["ex"]
samples = ["s1"]
metadata = true

[[rule]]
who = ["user:bob"]
read = ["ex"]
regions = ["chr1:10,001-12,000"]
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return folder, write_sources(folder)


@pytest.fixture(scope="module")
def root(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_object(folder / "ex", source[0])
    return folder


@pytest.fixture(scope="module")
def url(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


@pytest.fixture(scope="module")
def bounded(root, tmp_path_factory):
    """`ask(who, path, **params)` of a server with rules."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "tokens").write_text("".join(f"{who} {token}\n" for who, token in TOKENS.items()))
    (folder / "tokens").chmod(0o600)
    (folder / "access.toml").write_text(RULES)
    with BackgroundServer(create_app(open_storage(root), access=Access.from_file(folder / "access.toml"))) as server:

        def ask(who, path, **params):
            headers = {"Authorization": f"Bearer {TOKENS[who]}"} if who else {}
            return requests.get(server.url + path, params=params, headers=headers, timeout=60)

        yield ask


def values_of(source, contig):
    """The values of the track as its file has them, NaN where there is none."""
    values = np.full(CONTIGS[contig], np.nan, np.float32)
    for line in (source[0] / "signal.bedGraph").read_text().splitlines():
        name, start, end, value = line.split("\t")
        if name == contig:
            values[int(start) : int(end)] = float(value)
    return values


def depth_of(source, contig, start, end):
    """The depth of each base as `samtools depth -a` gives it."""
    region = f"{contig}:{start + 1}-{end}"
    done = subprocess.run(["samtools", "depth", "-a", "-r", region, source[0] / "reads.bam"], capture_output=True, check=True)
    found = np.zeros(end - start)
    for line in done.stdout.decode().splitlines():
        _, position, count = line.split("\t")
        found[int(position) - 1 - start] = int(count)
    return found


# --- bins ---


@pytest.mark.parametrize(
    ("contig", "start", "end", "size"),
    [
        ("chr1", 0, 400_000, 1024),
        ("chr1", 0, 400_000, 8192),
        ("chr1", 4096, 12_288, 8),
        ("chr2", 100, 1100, 1),
        ("chr2", 0, 60_000, 256),
    ],
)
def test_bins_are_the_mean_least_and_largest_of_the_values(source, url, contig, start, end, size):
    answer = requests.get(
        f"{url}/bins/ex/data/signal", params={"region": f"{contig}:{start + 1}-{end}", "size": size}, headers=BINARY, timeout=60
    )
    rows = np.frombuffer(answer.content, "<f4").reshape(3, -1)
    values = values_of(source, contig)[start:end].astype(np.float64)
    assert rows.shape[1] == -(-len(values) // size)
    for bin, (mean, low, high) in enumerate(rows.T):
        part = values[bin * size : (bin + 1) * size]
        part = part[~np.isnan(part)]
        if len(part):
            assert (mean, low, high) == pytest.approx((part.mean(), part.min(), part.max()), rel=1e-6)
        else:
            assert np.isnan([mean, low, high]).all()


def test_bins_as_json_say_the_same_and_how_many_values_they_are_of(source, url):
    params = {"region": "chr2:1-1,000", "bins": 10}
    found = requests.get(f"{url}/bins/ex/data/signal", params=params, timeout=60).json()
    rows = np.frombuffer(requests.get(f"{url}/bins/ex/data/signal", params=params, headers=BINARY, timeout=60).content, "<f4")
    assert [found[name] for name in ("contig", "start", "end")] == ["chr2", 0, 1000]
    as_numbers = [[np.nan if value is None else value for value in found[row]] for row in ("mean", "min", "max")]
    np.testing.assert_allclose(np.array(as_numbers), rows.reshape(3, -1), rtol=1e-6)
    values = values_of(source, "chr2")[:1000].reshape(10, 100)
    assert found["n"] == (~np.isnan(values)).sum(1).tolist()


def test_a_track_of_a_reference_is_found_by_its_name(url):
    params = {"region": "chr1:1-1,000", "bins": 4}
    one, other = (
        requests.get(f"{url}/bins/{path}", params=params, timeout=60).json()
        for path in ("ex/data/signal", "ex/reference/grid/signal")
    )
    assert one == other


def test_an_answer_that_is_known_is_not_sent_again(url):
    params = {"region": "chr1:1-1,000", "bins": 4}
    for path in ("bins/ex/data/signal", "sequence/ex/data/reads", "features/ex/data/reads"):
        given = params if path.startswith("bins") else {"region": params["region"]}
        answer = requests.get(f"{url}/{path}", params=given, timeout=60)
        assert answer.headers["Cache-Control"] == "private, no-cache"
        again = requests.get(f"{url}/{path}", params=given, headers={"If-None-Match": answer.headers["ETag"]}, timeout=60)
        assert (again.status_code, again.content) == (304, b"")
    binary = requests.get(f"{url}/bins/ex/data/signal", params=params, headers=BINARY, timeout=60)
    plain = requests.get(f"{url}/bins/ex/data/signal", params=params, timeout=60)
    assert binary.headers["ETag"] != plain.headers["ETag"] and plain.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("params", "status", "said"),
    [
        ({"region": "chr1:1-1000"}, 400, "how many bins"),
        ({"region": "chr1:1-1000", "bins": 0}, 400, "bins"),
        ({"region": "chr1:1-1000", "bins": -1}, 400, "bins"),
        ({"region": "chr1:1-1000", "bins": 2001}, 400, "bins"),
        ({"region": "chr1:1-10", "bins": 11}, 400, "11 bins"),
        ({"region": "chr1:1-1000", "size": 0}, 400, "size"),
        ({"region": "chr1", "size": 1}, 400, "at most 2,000"),
        ({"region": "chr1", "bins": 3, "size": 4}, 400, "how many bins"),
        ({"region": "chr1:1-400001", "bins": 4}, 400, "past the end"),
        ({"region": "chr1:99999999999999999999-", "bins": 4}, 400, ""),
        ({"region": "chr9:1-10", "bins": 4}, 404, "chr9"),
        ({"region": "", "bins": 4}, 400, ""),
        ({"region": "chr1:1-10", "bins": 4, "wide": 1}, 400, "no parameter wide"),
    ],
)
def test_bins_that_cannot_be_are_refused_in_words(url, params, status, said):
    answer = requests.get(f"{url}/bins/ex/data/signal", params=params, timeout=60)
    assert answer.status_code == status and said in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "bins/ex/data/reads",
        "bins/ex/data/nothing",
        "bins/none/data/signal",
        "bins/signal",
        "bins/../data/signal",
        "bins/ex/reference/grid/none",
    ],
)
def test_what_is_no_track_is_not_there(url, path):
    assert requests.get(f"{url}/{path}", params={"region": "chr1:1-10", "bins": 1}, timeout=60).status_code == 404


def test_where_a_track_has_no_value_bins_are_null(tmp_path):
    (tmp_path / "sizes").write_text("chr1\t10000\n")
    (tmp_path / "one.bedGraph").write_text("chr1\t9000\t9010\t1\n")
    modo = MODO.create(tmp_path / "root/ex", id="ex")
    modo.add_genome(sizes=tmp_path / "sizes", id="grid")
    modo.add_track("values", tmp_path / "one.bedGraph")
    with modo.track_changes() as changes:
        changes.write("values", "chr1", 0, np.array([3, 1, -2, np.nan, np.nan, np.nan], np.float32))
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:

        def bins(region, count):
            return requests.get(f"{server.url}/bins/ex/data/values", params={"region": region, "bins": count}, timeout=60).json()

        found = bins("chr1:1-6", 3)
        assert found["max"] == [3.0, -2.0, None] and found["min"] == [1.0, -2.0, None]
        assert found["mean"] == [2.0, -2.0, None] and found["n"] == [2, 1, 0]
        assert bins("chr1:5,001-6,000", 2)["mean"] == [None, None]


def test_an_encrypted_track_is_not_there_for_a_server_without_the_key(root, source, tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_genome(source[0] / "bases.fa", id="grid")
    modo.add_track("signal", source[0] / "signal.bedGraph")
    modo.encrypt([SecretKey.random().public], elements=["data/signal"])
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        answer = requests.get(f"{server.url}/bins/ex/data/signal", params={"region": "chr1:1-10", "bins": 1}, timeout=60)
        assert answer.status_code == 404 and "encrypted" in answer.json()["message"]
        assert "encrypted" in requests.get(f"{server.url}/genome", params={"element": "ex/data/signal"}, timeout=60).text


# --- depth ---


@pytest.mark.parametrize("element", ["reads", "packed"])
@pytest.mark.parametrize(
    ("contig", "start", "end", "bins"), [("chr1", 10_000, 20_000, 50), ("chr2", 0, 60_000, 700), ("chr1", 5, 105, 100)]
)
def test_depth_is_that_of_samtools(source, url, element, contig, start, end, bins):
    params = {"region": f"{contig}:{start + 1}-{end}", "bins": bins}
    found = requests.get(f"{url}/coverage/ex/data/{element}", params=params, timeout=60).json()
    depth = depth_of(source, contig, start, end)
    edges = np.arange(bins + 1) * len(depth) // bins
    assert found["how"] == "exact"
    np.testing.assert_allclose(found["depth"], [depth[a:b].mean() for a, b in pairwise(edges)])
    binary = requests.get(f"{url}/coverage/ex/data/{element}", params=params, headers=BINARY, timeout=60)
    np.testing.assert_allclose(np.frombuffer(binary.content, "<f4"), found["depth"], rtol=1e-6)
    assert binary.headers["Modos-How"] == "exact"


@pytest.mark.parametrize("element", ["reads", "packed"])
def test_of_a_wide_region_the_index_tells_and_the_answer_says_so(source, url, monkeypatch, element):
    monkeypatch.setattr(depths, "EXACT_BASES", 1000)
    found = requests.get(f"{url}/coverage/ex/data/{element}", params={"region": "chr1", "bins": 8}, timeout=60).json()
    assert found["how"] == "estimate" and "estimate" in found["meaning"]
    assert np.mean(found["depth"]) == pytest.approx(1, abs=0.05)  # reads are spread evenly here
    assert max(found["depth"]) < 1.6 and min(found["depth"]) > 0.4


@pytest.mark.parametrize("options", [(), ("-c",), ("-c", "-m", "12")], ids=["BAI", "CSI", "fine CSI"])
def test_an_estimate_tells_where_reads_are(tmp_path, options):
    """Ten times as many reads in a quarter of a contig, and none in another."""
    rng = random.Random(4)
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "c", "LN": 4_000_000}]}
    with pysam.AlignmentFile(tmp_path / "r.bam", "wb", header=header) as out:
        for start in [*range(0, 1_000_000, 200), *range(1_000_000, 2_000_000, 20), *range(3_000_000, 3_999_000, 200)]:
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.flag, read.reference_id, read.reference_start = f"r{start}", 0, 0, start
            read.mapping_quality, read.cigarstring, read.query_sequence = 60, "100M", "".join(rng.choices("ACGT", k=100))
            out.write(read)
    pysam.index(*options, str(tmp_path / "r.bam"))
    modo = MODO.create(tmp_path / "root/ex", id="ex")
    modo.add_element({"@type": "AlignmentSet", "id": "r", "data_format": "BAM"}, source_file=tmp_path / "r.bam")
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        found = requests.get(f"{server.url}/coverage/ex/data/r", params={"region": "c", "bins": 4}, timeout=60).json()
    low, high, none, again = found["depth"]
    assert found["how"] == "estimate" and 4 < high / low < 15
    if options:  # a CSI tells of few reads no more than in which of its large bins they are
        assert high > 4 * max(low, none, again)
    else:
        assert none < 0.1 * low and again == pytest.approx(low, rel=0.3)


def test_a_track_that_was_made_of_the_reads_tells_exactly(source, tmp_path, monkeypatch):
    monkeypatch.setattr(depths, "EXACT_BASES", 1000)
    make_object(tmp_path / "ex", source[0])
    depth = depth_of(source, "chr1", 0, CONTIGS["chr1"])
    (tmp_path / "depth.bedGraph").write_text("".join(f"chr1\t{at}\t{at + 1}\t{int(count)}\n" for at, count in enumerate(depth)))
    modo = MODO.open(tmp_path / "ex")
    modo.add_track("coverage", tmp_path / "depth.bedGraph")
    modo.update_element("data/coverage", {"derived_from": ["data/reads"]})
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        found = requests.get(f"{server.url}/coverage/ex/data/reads", params={"region": "chr1", "bins": 5}, timeout=60).json()
    assert (found["how"], found["track"]) == ("track", "coverage")
    np.testing.assert_allclose(
        found["depth"], depth.reshape(5, -1).mean(1), rtol=2e-3
    )  # bins of the track do not end where these do


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"region": "chr1:1-100"}, 400),
        ({"region": "chr1:1-100", "bins": 0}, 400),
        ({"region": "chr1:1-100", "bins": 101}, 400),
        ({"region": "chr1:1-400001", "bins": 4}, 400),
        ({"region": "*", "bins": 4}, 400),
        ({"region": "chr9", "bins": 4}, 404),
    ],
)
def test_depth_that_cannot_be_is_refused(url, params, status):
    assert requests.get(f"{url}/coverage/ex/data/reads", params=params, timeout=60).status_code == status
    assert requests.get(f"{url}/coverage/ex/data/calls", params=params | {"bins": 4}, timeout=60).status_code in (400, 404)


def test_a_damaged_index_and_a_truncated_file_are_errors_and_no_zeros(source, tmp_path):
    make_object(tmp_path / "ex", source[0])
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        path = tmp_path / "ex/reads.bam"
        params = {"region": "chr1:300,001-310,000", "bins": 10}
        assert requests.get(f"{server.url}/coverage/ex/data/reads", params=params, timeout=60).status_code == 200
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert requests.get(f"{server.url}/coverage/ex/data/reads", params=params, timeout=60).status_code >= 500
        path.write_bytes(content)
        index = tmp_path / "ex/reads.bam.bai"
        index.write_bytes(index.read_bytes()[:200])
        assert requests.get(f"{server.url}/coverage/ex/data/reads", params=params, timeout=60).status_code >= 400


@pytest.fixture
def held(monkeypatch):
    """Counting that goes on until the event is set."""
    event, count = threading.Event(), depths.Depths._count

    def wait(*given):
        assert event.wait(180)
        return count(*given)

    monkeypatch.setattr(depths.Depths, "_count", wait)
    yield event
    event.set()


def test_who_counts_reads_keeps_no_thread_from_others(root, held):
    params = {"region": "chr1:1-100", "bins": 1}
    app = Arrivals(create_app(open_storage(root)))
    with BackgroundServer(app) as server, ThreadPoolExecutor(60) as pool:
        counted = [
            pool.submit(requests.get, f"{server.url}/coverage/ex/data/reads", params=params, timeout=120) for _ in range(60)
        ]
        wait_until(lambda: app.count == 60)
        time.sleep(1)
        assert requests.get(f"{server.url}/list", timeout=60).status_code == 200
        assert requests.get(f"{server.url}/objects/ex", timeout=60).status_code == 200
        held.set()
        assert {one.result().status_code for one in counted} == {200}


def test_only_so_many_requests_count_reads_at_once(root, held, monkeypatch):
    monkeypatch.setattr(depths, "_PATIENCE", 0.2)
    params = {"region": "chr1:1-100", "bins": 1}
    with BackgroundServer(create_app(open_storage(root))) as server, ThreadPoolExecutor(3) as pool:
        ask = partial(requests.get, f"{server.url}/coverage/ex/data/reads", params=params, timeout=60)
        counted = [pool.submit(ask) for _ in range(3)]
        refused = next(as_completed(counted)).result()
        held.set()
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "5"
        assert "busy with such requests" in refused.json()["message"]
        assert sorted(one.result().status_code for one in counted) == [200, 200, 503]
        assert ask().status_code == 200


def test_who_waits_for_genes_to_be_read_keeps_few_threads_from_others(root, monkeypatch):
    event, build = threading.Event(), annotation_store.build_annotation

    def wait(*given):
        assert event.wait(180)
        return build(*given)

    monkeypatch.setattr(annotation_store, "build_annotation", wait)
    params = {"region": "chr1:1-100"}
    with BackgroundServer(create_app(open_storage(root))) as server, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(requests.get, f"{server.url}/features/ex/data/reads", params=params, timeout=60) for _ in range(60)]
        refused = next(as_completed(asked)).result()
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "5"
        assert requests.get(f"{server.url}/list", timeout=60).status_code == 200
        event.set()
        assert {one.result().status_code for one in asked} == {200, 503}
        assert requests.get(f"{server.url}/features/ex/data/reads", params=params, timeout=60).status_code == 200


def test_an_object_may_be_called_reference(root, tmp_path):
    shutil.copytree(root / "ex", tmp_path / "grch38/reference")
    params = {"region": "chr1:1-1000", "bins": 10}
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        found = requests.get(f"{server.url}/bins/grch38/reference/data/signal", params=params, timeout=60)
        assert found.status_code == 200, found.text


def test_no_answer_says_where_the_data_lie(root, tmp_path):
    shutil.copytree(root / "ex", tmp_path / "root/damaged")
    shutil.copytree(root / "ex", tmp_path / "root/gone")
    for path in (tmp_path / "root").glob("*/*.*"):
        if path.is_file() and path.parent.name == "damaged":
            path.write_bytes(b"damaged")
        elif path.is_file():
            path.unlink()
    place, region = {"region": "chr1:1-1,000"}, "chr1:1-1,000"
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        for path in [f"{key}/{id}" for key in ("damaged", "gone") for id in MODO(root / "ex").metadata if "/" in id]:
            for address, params in (
                ("/genome", {"element": path, "locus": region}),
                (f"/bins/{path}", place | {"bins": 2}),
                (f"/coverage/{path}", place | {"bins": 2}),
                (f"/features/{path}", place),
                (f"/sequence/{path}", place),
                (f"/contigs/{path}", {}),
                ("/genes", {"q": "name", "element": path}),
            ):
                for accept in ("text/html", "application/json"):
                    answer = requests.get(server.url + address, params=params, headers={"Accept": accept}, timeout=60)
                    assert str(tmp_path) not in answer.text, answer.url
        assert "damaged" in requests.get(f"{server.url}/genome", params={"element": "damaged/data/packed"}, timeout=60).text


# --- genes ---


def test_features_are_those_of_the_file(url):
    """Every gene and transcript that overlaps, with the exons and the coding stretch that its lines have."""
    found = requests.get(f"{url}/features/ex/data/reads", params={"region": "chr1:20,001-60,000"}, timeout=60).json()
    wanted = {number for number, (contig, start, end) in enumerate(GENES) if contig == "chr1" and start < 60_000 and end > 20_000}
    assert (found["shown"], found["genes"], found["annotation"]) == ("all transcripts", len(wanted), "data/genes")
    assert {feature["id"] for feature in found["features"]} == {
        f"GENE{number}.t{which}" for number in wanted for which in range(2)
    }
    for feature in found["features"]:
        number, which = int(feature["gene"][4:]), int(feature["id"][-1])
        _, start, end = GENES[number]
        assert (feature["name"], feature["start"], feature["end"], feature["strand"]) == (
            f"Name{number}",
            start,
            end,
            "+-"[number % 2],
        )
        assert feature["exons"] == [[start + part * 1500, start + part * 1500 + 500] for part in range(4 - which)]
        assert feature["coding"] == [start + 1500, start + 3500]


@pytest.mark.parametrize("most", [(1000, 2000), (60, 2000), (10, 2000), (10, 20)])
def test_of_too_many_features_a_part_is_shown_and_the_answer_says_which(url, monkeypatch, most):
    from modos.server.genome import genes

    monkeypatch.setattr(genes, "MOST", most[0])
    monkeypatch.setattr(genes, "MOST_GENES", most[1])
    found = requests.get(f"{url}/features/ex/data/reads", params={"region": "chr1"}, timeout=60).json()
    total = sum(contig == "chr1" for contig, *_ in GENES)
    shown, count = {
        (1000, 2000): ("all transcripts", 2 * total),
        (60, 2000): ("one transcript of each gene", total),
        (10, 2000): ("genes alone", total),
        (10, 20): ("the longest genes alone", 20),
    }[most]
    assert (found["shown"], len(found["features"]), found["genes"]) == (shown, count, total)


def test_a_hundred_thousand_features_in_a_region_are_thinned(tmp_path):
    rows = ["##gff-version 3"]
    for number in range(100_000):
        start = number * 30 + 1
        rows.append(f"c\tx\tgene\t{start}\t{start + 20 + number % 7}\t.\t+\t.\tID=g{number};Name=n{number}")
    (tmp_path / "g.gff3").write_text("\n".join(rows) + "\n")
    (tmp_path / "c.fa").write_text(">c\n" + "ACGT" * 1_000_000 + "\n")
    modo = MODO.create(tmp_path / "root/ex", id="ex")
    modo.add_element({"@type": "ReferenceGenome", "id": "c"}, source_file=tmp_path / "c.fa")
    modo.add_element(
        {"@type": "DataEntity", "id": "g", "data_format": "GFF3", "has_reference": ["reference/c"]},
        source_file=tmp_path / "g.gff3",
    )
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        answer = requests.get(f"{server.url}/features/ex/reference/c", params={"region": "c"}, timeout=120)
        found = answer.json()
        assert (found["shown"], found["genes"], len(found["features"])) == ("the longest genes alone", 100_000, 2000)
        assert {feature["end"] - feature["start"] for feature in found["features"]} == {27} and len(answer.content) < 500_000
        few = requests.get(f"{server.url}/features/ex/reference/c", params={"region": "c:1-3,000"}, timeout=60).json()
        assert len(few["features"]) == 100 and few["shown"] == "all transcripts"


def test_genes_are_found_by_name_first_those_that_are_called_so(url):
    def search(words):
        return requests.get(f"{url}/genes", params={"q": words, "element": "ex/data/reads"}, timeout=60).json()["data"]

    found = search("name1")
    assert (found[0]["name"], found[0]["match"]) == ("Name1", "exact")
    assert {gene["match"] for gene in found[1:]} == {"prefix"} and all(gene["name"].startswith("Name1") for gene in found)
    contig, start, end = GENES[1]
    assert (found[0]["contig"], found[0]["start"], found[0]["end"]) == (contig, start, end)
    assert [gene["id"] for gene in search("GENE7")] == ["GENE7"] and search("no such gene") == []
    assert len(search("Name")) == 20
    assert requests.get(f"{url}/genes", params={"q": "", "element": "ex/data/reads"}, timeout=60).status_code == 400


# --- bases ---


def test_bases_are_those_of_the_file(source, url):
    for contig, start, end in (("chr1", 0, 60), ("chr1", 12_345, 23_456), ("chr2", 59_999, 60_000), ("chr1", 0, 400_000)):
        params = {"region": f"{contig}:{start + 1}-{end}"}
        assert requests.get(f"{url}/sequence/ex/data/reads", params=params, timeout=60).text == source[1][contig][start:end]
    assert (
        requests.get(f"{url}/sequence/ex/reference/grid", params={"region": "chr1:11-20"}, timeout=60).text
        == source[1]["chr1"][10:20]
    )


def test_bases_have_bounds(url, monkeypatch):
    from modos.server.genome import bases

    monkeypatch.setattr(bases, "MOST", 1000)
    assert requests.get(f"{url}/sequence/ex/data/reads", params={"region": "chr1:1-1,000"}, timeout=60).status_code == 200
    answer = requests.get(f"{url}/sequence/ex/data/reads", params={"region": "chr1:1-1,001"}, timeout=60)
    assert answer.status_code == 400 and "1,000 at most" in answer.json()["message"]
    for region, status in (("chr1:400,001-400,002", 400), ("chr1:400,000-400,001", 400), ("chr3", 404)):
        assert requests.get(f"{url}/sequence/ex/data/reads", params={"region": region}, timeout=60).status_code == status


def test_contigs_are_listed_with_their_lengths(url):
    found = requests.get(f"{url}/contigs/ex/data/calls", timeout=60).json()
    assert {one["name"]: one["length"] for one in found["contigs"]} == CONTIGS and found["path"] == "ex/reference/bases"
    rows = requests.get(f"{url}/contigs/ex/data/calls", params={"format": "fai"}, timeout=60).text.splitlines()
    assert [row.split("\t")[:2] for row in rows] == [[name, str(length)] for name, length in CONTIGS.items()]


# --- BCF as VCF ---


@pytest.mark.parametrize("region", [("chr1", 0, 50_000), ("chr1", 199_000, 199_500), ("chr2", 0, 60_000)])
def test_a_bcf_is_sliced_as_vcf_with_the_lines_of_bcftools(source, url, region):
    contig, start, end = region
    params = {"format": "VCF", "referenceName": contig, "start": start, "end": end}
    answer = requests.get(f"{url}/slices/variants/ex/cohort", params=params, timeout=60)
    text = gzip.decompress(answer.content).decode()
    place = f"{contig}:{start + 1}-{end}"
    wanted = subprocess.run(
        ["bcftools", "view", "--no-version", source[0] / "cohort.bcf", place], capture_output=True, check=True
    )
    assert text == wanted.stdout.decode() and text.count("\n") > 10
    ticket = requests.get(f"{url}/htsget/variants/ex/cohort", params=params | {"exact": "true"}, timeout=60).json()["htsget"]
    assert (
        ticket["format"] == "VCF" and gzip.decompress(requests.get(ticket["urls"][0]["url"], timeout=60).content).decode() == text
    )


def test_the_header_of_a_bcf_comes_as_vcf_and_a_damaged_one_has_no_end(source, url, tmp_path):
    answer = requests.get(f"{url}/slices/variants/ex/cohort", params={"format": "VCF", "class": "header"}, timeout=60)
    text = gzip.decompress(answer.content).decode()
    wanted = subprocess.run(["bcftools", "view", "-h", "--no-version", source[0] / "cohort.bcf"], capture_output=True, check=True)
    assert text == wanted.stdout.decode()
    assert requests.get(f"{url}/slices/variants/ex/calls", params={"format": "BCF"}, timeout=60).status_code == 400


# --- rights ---


def test_who_may_read_parts_gets_their_depth_and_null_elsewhere(source, bounded):
    whole = bounded("carol", "/coverage/ex/data/reads", region="chr1:9,001-13,000", bins=40)
    assert whole.status_code == 403 and "10001-12000" in whole.json()["htsget"]["message"]
    found = bounded("carol", "/coverage/ex/data/reads", region="chr1:9,001-13,000", bins=40, partial="true").json()["depth"]
    depth = depth_of(source, "chr1", 9000, 13_000).reshape(40, 100).mean(1)
    assert found[:10] == [None] * 10 and found[30:] == [None] * 10
    np.testing.assert_allclose(found[10:30], depth[10:30])
    assert bounded("carol", "/coverage/ex/data/reads", region="chr2:1-1,000", bins=2, partial="true").json()["depth"] == [
        None,
        None,
    ]


def test_who_may_read_parts_gets_no_estimate(bounded, monkeypatch):
    monkeypatch.setattr(depths, "EXACT_BASES", 100)
    assert bounded("carol", "/coverage/ex/data/reads", region="chr1", bins=4, partial="true").status_code == 403
    assert bounded("alice", "/coverage/ex/data/reads", region="chr1", bins=4).json()["how"] == "estimate"


@pytest.mark.parametrize("who", ["carol", "bob", None])
def test_tracks_bases_and_genes_of_the_object_are_for_who_may_read_it(bounded, who):
    for path, params in (
        ("/bins/ex/data/signal", {"region": "chr1:1-100", "bins": 2}),
        ("/sequence/ex/reference/bases", {"region": "chr1:1-100"}),
        ("/features/ex/reference/bases", {"region": "chr1:1-100"}),
        ("/contigs/ex/reference/bases", {}),
        ("/genes", {"q": "Name1", "element": "ex/reference/bases"}),
    ):
        assert bounded(who, path, **params).status_code == 403, path
        assert bounded("alice", path, **params).status_code == 200, path


def test_who_may_not_read_metadata_learns_nothing_of_elements(bounded):
    for path in ("ex/data/reads", "ex/data/none", "none/data/reads"):
        answers = {bounded(who, "/coverage/" + path, region="chr1:1-100", bins=2).status_code for who in ("bob", None)}
        assert answers == {403}
    assert "data/reads" not in bounded("bob", "/genome", element="ex/data/none").text.replace("ex/data/none", "")
    told = [bounded("bob", "/genome", element=f"ex/data/{name}").text.replace(name, "") for name in ("reads", "none")]
    assert told[0] == told[1] and "your right to a part of the data does not include" in told[0]


def test_a_view_says_what_is_not_shown_and_why(bounded):
    page = bounded("carol", "/genome", element=["ex/data/reads", "ex/data/signal"]).text
    assert "you may read the regions chr1:10001-12000 only" in page
    view = json.loads(page.split('id="genome-view">')[1].split("</script>")[0])
    assert [lane["kind"] for lane in view["lanes"]] == ["reads"] and view["lanes"][0]["is_bounded"]
    assert not view["frame"]["is_reference"] and not view["frame"]["has_bases"]
    assert "without the reference reference/bases" in page


def test_who_may_read_one_sample_is_not_told_how_many_there_are(bounded):
    for who, samples in (("alice", 2), ("dan", 1)):
        page = bounded(who, "/genome", element="ex/data/calls").text
        view = json.loads(page.split('id="genome-view">')[1].split("</script>")[0])
        assert [lane["samples"] for lane in view["lanes"] if lane["kind"] == "variants"] == [samples]


# --- the page ---


def test_the_page_has_what_its_script_needs_and_asks_no_other_server(url):
    answer = requests.get(f"{url}/genome", params={"element": ["ex/data/reads", "ex/data/cohort", "ex/data/signal"]}, timeout=60)
    view = json.loads(answer.text.split('id="genome-view">')[1].split("</script>")[0])
    assert [lane["kind"] for lane in view["lanes"]] == ["genes", "reads", "variants", "track"]
    contigs = [list(pair) for pair in CONTIGS.items()]
    frame = {"path": "ex/reference/bases", "name": "bases", "has_bases": True, "is_reference": True, "contigs": contigs}
    assert view["frame"] == frame
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert (
        policy["connect-src"] == "'self'"
        and policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        and "unsafe" not in policy["style-src"]
    )
    assert "http://" not in answer.text.replace(url, "") and "https://" not in answer.text
    assert len(answer.content) < 200_000


def test_igv_is_served_for_long_under_its_digest(url):
    page = requests.get(f"{url}/genome", params={"element": "ex/data/reads"}, timeout=60).text
    address = page.split('src="/assets/igv.min.js')[1].split('"')[0]
    answer = requests.get(f"{url}/assets/igv.min.js{address}", timeout=60)
    assert "immutable" in answer.headers["Cache-Control"] and b"igv" in answer.content[:2000]
    again = requests.get(f"{url}/assets/igv.min.js", headers={"If-None-Match": answer.headers["ETag"]}, timeout=60)
    assert again.status_code == 304


def test_without_igv_the_page_says_how_to_get_it(url, monkeypatch):
    from modos.server.genome import viewing

    monkeypatch.setattr(viewing, "find_igv", lambda: None)
    page = requests.get(f"{url}/genome", params={"element": "ex/data/reads"}, timeout=60).text
    assert "modos-store[igv]" in page and '<script src="/assets/genome' not in page


def test_elements_that_cannot_be_shown_are_named_with_the_reason(url):
    elements = ["ex/data/reads", "ex/data/none", "none/data/x", "<script>alert(1)</script>", "ex/reference/grid/none"]
    page = requests.get(f"{url}/genome", params={"element": elements}, timeout=60).text
    assert "there is no element data/none in ex" in page and "there is no object none" in page
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "has no track none" in page


def test_genes_of_another_assembly_are_told_and_matched_by_names(tmp_path):
    """A GFF3 of an object whose chr1 is another one does not pass for that of the view; one with other names is found."""
    for name, contig, length in (("a", "chr1", 20_000), ("b", "chr1", 24_000), ("c", "1", 20_000)):
        (tmp_path / f"{name}.fa").write_text(f">{contig}\n{'ACGT' * (length // 4)}\n")
        pysam.faidx(str(tmp_path / f"{name}.fa"))
        (tmp_path / f"{name}.gff3").write_text(f"##gff-version 3\n{contig}\tx\tgene\t101\t900\t.\t+\t.\tID={name}\n")
        modo = MODO.create(tmp_path / "root" / name, id=name)
        modo.add_element({"@type": "ReferenceGenome", "id": "own"}, source_file=tmp_path / f"{name}.fa")
        about = {"@type": "DataEntity", "id": "genes", "data_format": "GFF3", "has_reference": ["reference/own"]}
        modo.add_element(about, source_file=tmp_path / f"{name}.gff3")
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        chosen = [("element", f"{name}/data/genes") for name in "abc"]
        page = requests.get(f"{server.url}/genome", params=chosen, timeout=60).text
        view = json.loads(re.search(r'id="genome-view">(.*?)</script>', page)[1])
    assert "is not of own: chr1 has 24,000 bases in the file and 20,000 in own" in page
    assert [lane["names"] for lane in view["lanes"]] == [None, None, {"chr1": "1"}]
    assert len({lane["label"] for lane in view["lanes"]}) == 3


def test_answers_tell_what_they_are_of(source, tmp_path):
    """Each path has one version until what it gives is changed."""
    make_object(tmp_path / "ex", source[0])
    asked = (
        ("/bins/ex/data/signal", {"region": "chr1:1-1000", "size": 100}),
        ("/coverage/ex/data/reads", {"region": "chr1:1-1000", "bins": 10}),
        ("/features/ex/data/reads", {"region": "chr1:1-9000"}),
        ("/sequence/ex/data/reads", {"region": "chr1:1-1000"}),
        ("/slices/reads/ex/reads", {"format": "BAM", "referenceName": "chr1", "start": 0, "end": 900}),
        ("/slices/reads/ex/packed", {"format": "BAM", "referenceName": "chr1", "start": 0, "end": 900}),
        ("/slices/variants/ex/cohort", {"format": "VCF", "referenceName": "chr1", "start": 0, "end": 900}),
    )
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:

        def versions():
            answers = [requests.get(server.url + path, params=params, timeout=60) for path, params in asked]
            return [answer.headers["Modos-Version"] for answer in answers]

        before = versions()
        assert versions() == before
        pysam.AlignmentFile(tmp_path / "few.bam", "wb", template=pysam.AlignmentFile(source[0] / "reads.bam")).close()
        pysam.index(str(tmp_path / "few.bam"))
        element = {"@type": "AlignmentSet", "id": "reads", "data_format": "BAM"}
        MODO.open(tmp_path / "ex").update_element("data/reads", element, source_file=tmp_path / "few.bam")
        after = versions()
    assert [one != other for one, other in zip(before, after)] == [True, True, False, True, True, False, False]


def test_parameters_of_the_page_are_checked(url):
    assert requests.get(f"{url}/genome", timeout=60).status_code == 200
    for query in ("elements=x", "locus=a&locus=b", "&".join("element=a" for _ in range(21))):
        assert requests.get(f"{url}/genome?{query}", timeout=60).status_code == 400


def test_contigs_by_other_names_are_matched_where_their_lengths_agree(source, tmp_path):
    """A BAM that calls chr1 `1`, and one whose chr2 is shorter, which is said."""
    modo = MODO.create(tmp_path / "root/ex", id="ex")
    modo.add_element({"@type": "ReferenceGenome", "id": "bases"}, source_file=source[0] / "bases.fa")
    for name, contigs in (
        ("bare", {"1": 400_000, "2": 60_000}),
        ("short", {"chr1": 400_000, "chr2": 50_000}),
        ("alien", {"x": 10}),
    ):
        header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": n, "LN": length} for n, length in contigs.items()]}
        pysam.AlignmentFile(tmp_path / f"{name}.bam", "wb", header=header).close()
        pysam.index(str(tmp_path / f"{name}.bam"))
        about = {"@type": "AlignmentSet", "id": name, "data_format": "BAM", "has_reference": ["reference/bases"]}
        modo.add_element(about, source_file=tmp_path / f"{name}.bam")
    with BackgroundServer(create_app(open_storage(tmp_path / "root"))) as server:
        elements = [f"ex/data/{name}" for name in ("bare", "short", "alien")]
        page = requests.get(f"{server.url}/genome", params={"element": elements}, timeout=60).text
    view = json.loads(page.split('id="genome-view">')[1].split("</script>")[0])
    assert [lane["names"] for lane in view["lanes"]] == [{"chr1": "1", "chr2": "2"}, None]
    assert "chr2 has 50,000 bases in the file and 60,000 in bases" in page and "have no contig in common" in page


def test_values_are_little_endian(url):
    answer = requests.get(f"{url}/bins/ex/data/signal", params={"region": "chr1:1-50", "bins": 1}, headers=BINARY, timeout=60)
    found = requests.get(f"{url}/bins/ex/data/signal", params={"region": "chr1:1-50", "bins": 1}, timeout=60).json()
    if found["mean"] != [None]:
        assert struct.unpack("<3f", answer.content) == pytest.approx((found["mean"][0], found["min"][0], found["max"][0]))
