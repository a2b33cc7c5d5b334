"""Parts of the real stack fail at bad moments: nothing is lost, nothing half is visible, and the message says what to do."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pysam
import pytest

from modos.api import MODO
from modos.errors import ModosError
from tests.support.proxy import Answer, Proxy
from tests.support.waiting import wait_until

from .conftest import ALICE

pytestmark = pytest.mark.stack
MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]
SIZE = 150_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> MODO:
    """An object with one large file and a small one."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "plain").write_bytes(random.Random(1).randbytes(SIZE))
    modo = MODO(folder / "ex")
    modo.add_element({"id": "large", "@type": "DataEntity", "data_format": "TSV", "data_path": "large.tsv"}, folder / "plain")
    (folder / "plain").write_bytes(b"a\tb\n")
    modo.add_element({"id": "small", "@type": "DataEntity", "data_format": "TSV", "data_path": "small.tsv"}, folder / "plain")
    return modo


@pytest.fixture
def server(native, monkeypatch):
    """The credentials of one who writes."""
    credentials = native.credentials("server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials["secret"])


@pytest.fixture
def url(request) -> str:
    return f"s3://modos-demo/faults/{request.node.originalname}-{os.urandom(4).hex()}"


def ended(process) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    return process.returncode, said


def is_object(native, url):
    return MODO.exists(url, services={"s3": native.s3}, s3_kwargs=native.credentials("server"))


def restart(native, *services):
    native.run("kill", *services)
    native.run("start", *services)


def interrupt(native, words, killed, passed, rate=None):
    """Kill a transfer halfway, or the S3 server under it, which then comes back; so much `passed` through the proxy."""
    halfway, released = threading.Event(), threading.Event()

    def hold(proxy, handler, answer: Answer) -> None:  # or it would end before it is killed
        if passed(proxy) > SIZE * 0.5:
            halfway.set()
            released.wait()

    with Proxy(native.s3, rate=rate, fault=hold) as proxy:
        process = subprocess.Popen(words, env=os.environ | {"AWS_ENDPOINT_URL": proxy.url}, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: halfway.is_set() or process.poll() is not None)
            if killed == "client":
                process.kill()
            else:
                native.run("kill", "s3")
            released.set()
            code, said = ended(process)
        finally:
            released.set()
            process.kill()
    if killed == "server":
        native.run("start", "s3")
        assert code == 5 and "the same command goes on from where it stopped" in said, said


def go_on(native, words) -> Proxy:
    """Give the same command again; the proxy, which has counted what passed."""
    with Proxy(native.s3) as proxy:
        environment = os.environ | {"AWS_ENDPOINT_URL": proxy.url}
        again = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
    return proxy


@pytest.mark.parametrize("killed", ["client", "server"])
def test_an_upload_goes_on_where_it_was_killed(native, server, large, url, killed):
    words = [*MODOS, "remote", "upload", large.path, url]
    interrupt(native, words, killed, lambda proxy: proxy.received)
    assert not is_object(native, url)
    assert go_on(native, words).received < SIZE * 0.5 + 30_000_000  # what was not there, and the parts that were under way
    copy = MODO.open(url, services={"s3": native.s3})
    assert copy.find_problems() == [] and copy.checksum() == large.checksum()
    assert not [info.key for info in copy.storage.iter_files(".modos")]


@pytest.mark.parametrize("killed", ["client", "server"])
def test_a_download_goes_on_where_it_was_killed(native, server, large, url, tmp_path, killed):
    remote = large.upload(url, services={"s3": native.s3})
    assert remote.find_problems(checksums=False) == []
    words = [*MODOS, "remote", "download", url, tmp_path / "copy"]
    interrupt(native, words, killed, lambda proxy: proxy.answered, rate=20e6)
    assert not MODO.exists(tmp_path / "copy")
    assert go_on(native, words).answered < SIZE * 0.75
    copy = MODO.open(tmp_path / "copy")
    assert copy.find_problems() == [] and copy.checksum() == large.checksum()
    assert not [path for path in copy.path.rglob("*") if path.name.endswith(".part")]


@pytest.fixture(scope="module")
def reads(tmp_path_factory) -> MODO:
    """An object with a BAM of 40 MB."""
    folder, generator = tmp_path_factory.mktemp("reads"), random.Random(2)
    bases = "".join(generator.choices("ACGT", k=1_010_000))
    with pysam.AlignmentFile(folder / "a.bam", "wb", reference_names=["chr1"], reference_lengths=[10_000_000]) as out:
        for number in range(30_000):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.reference_id, read.reference_start, read.cigartuples = (
                f"r{number}",
                0,
                number * 300,
                [(0, 1000)],
            )
            read.query_sequence = bases[number * 30 : number * 30 + 1000]
            read.query_qualities = array("B", generator.randbytes(1000).translate(bytes(n % 40 for n in range(256))))
            out.write(read)
    modo = MODO(folder / "ex")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "reads.bam"}, folder / "a.bam")
    return modo


@pytest.mark.parametrize("pause", [0.2, 20])
@pytest.mark.parametrize("region", [(), ("-r", "chr1:1,000-9,000,000")])
def test_a_stream_outlives_a_restart_or_fails_in_words(native, reads, url, server, tmp_path, pause, region):
    def start_again() -> float:
        time.sleep(pause)
        native.run("start", "s3")
        return time.monotonic()

    reads.upload(url, services={"s3": native.s3})
    whole = subprocess.run([*MODOS, "stream", *region, reads.path / "reads.bam"], capture_output=True, check=True).stdout
    assert len(whole) > 20_000_000
    with open(tmp_path / "got", "wb") as out:
        process = subprocess.Popen(
            [*MODOS, "--endpoint", native.url, "stream", *region, f"{url}/reads.bam"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out.write(process.stdout.read(1 << 16))
        native.run("kill", "s3")
        gone = time.monotonic()
        with ThreadPoolExecutor() as pool:
            back = pool.submit(start_again)
            shutil.copyfileobj(process.stdout, out)
            said, code = process.stderr.read().decode(), process.wait(120)
            outage = back.result() - gone
    assert "Traceback" not in said
    if code == 0:  # the blocks may be cut elsewhere, what is in them is the same
        assert gzip.decompress((tmp_path / "got").read_bytes()) == gzip.decompress(whole)
    else:
        assert code in (5, 6) and said.startswith("error: ") and outage > 5, (code, said, outage)  # for so long the gateway waits


def test_what_was_committed_is_there_after_a_crash(native, server, url):
    modo = MODO.create(url, services={"s3": native.s3})
    done, stop = [], threading.Event()

    def add() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                modo.add_element({"id": f"s{number}", "@type": "Sample"})
                done.append(f"sample/s{number}")
            except ModosError:
                time.sleep(0.05)

    def wait_for_two_more() -> None:
        before = len(done)
        wait_until(lambda: len(done) >= before + 2)

    worker = threading.Thread(target=add, daemon=True)
    worker.start()
    for _ in range(3):
        wait_for_two_more()
        restart(native, "s3")
    wait_for_two_more()
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    again = MODO.open(url, services={"s3": native.s3})
    assert set(done) <= set(again.metadata)
    assert [finding for finding in again.find_problems() if finding.kind != "mirror"] == []


def test_without_the_htsget_server_the_ranges_are_read(native):
    native.run("stop", "htsget")
    try:
        stream = [*MODOS, "--debug", "--endpoint", native.url, "stream", "-r", "chr1:20,001-25,000"]
        for words in (
            ["-c", "s3://modos-demo/ex/demo1.cram"],
            ["-O", "sam", "--fields", "QNAME", "s3://modos-demo/ex/demo2.bam"],
        ):
            result = subprocess.run([*stream, *words], capture_output=True, text=True, timeout=120)
            assert result.returncode == 0, result.stderr
            if "-c" in words:
                assert result.stdout == "969\n"  # which needs no server, as it has digests
            else:
                assert result.stdout and "is read from s3://modos-demo/ex/demo2.bam" in result.stderr
        quiet = subprocess.run(
            [*MODOS, "--endpoint", native.url, "stream", "-c", "s3://modos-demo/ex/demo2.bam"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert int(quiet.stdout) > 969 and quiet.stderr == ""
    finally:
        native.run("start", "htsget")


def test_a_gateway_that_reaches_nothing_says_so(native):
    native.run("stop", "modos")
    try:
        result = subprocess.run(
            [*MODOS, "--endpoint", native.url, "show", "s3://modos-demo/ex"], capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 5 and "HTTP 502" in result.stderr and "Traceback" not in result.stderr
        doctor = subprocess.run([*MODOS, "--endpoint", native.url, "doctor"], capture_output=True, text=True, timeout=120)
        assert doctor.returncode == 1 and "failed   endpoint" in doctor.stdout
    finally:
        native.run("start", "modos")


def test_credentials_that_end_on_the_way_are_renewed(private, monkeypatch, tmp_path):
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    refused = []

    def expire(proxy, handler, answer: Answer) -> None:
        if (
            "demo2.bam" in handler.path
            and "X-Amz-Signature" not in handler.path
            and len(refused) < 2
            and handler.command == "GET"
        ):
            refused.append(handler.path)
            answer.body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
            answer.status = 403
            answer.headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(answer.body)))]

    given = []
    from modos.remote import access

    ask = access._ask
    monkeypatch.setattr(access, "_ask", lambda *args, **options: given.append(1) or ask(*args, **options))
    with Proxy(private.s3, fault=expire) as proxy:
        modo = MODO(path="s3://modos-demo/lab-a/ex", endpoint=private.url, services={"s3": proxy.url})
        copy = modo.download(tmp_path / "copy")
    assert refused and len(given) >= 2 and copy.find_problems() == []


@pytest.mark.parametrize("minutes", [20, -20])
def test_a_clock_that_is_off_is_named(native, server, minutes):
    assert shutil.which("faketime"), "faketime is not installed"
    words = ["faketime", "-f", f"{minutes:+}m", *MODOS, "--endpoint", native.url]
    result = subprocess.run([*words, "show", "s3://modos-demo/ex"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 4 and "clock" in result.stderr and "NTP" in result.stderr, result.stderr
    doctor = subprocess.run([*words, "doctor"], capture_output=True, text=True, timeout=120)
    assert doctor.returncode == 1 and "failed   clock" in doctor.stdout and "20 minutes" in doctor.stdout, doctor.stdout


def test_two_who_write_one_object_lose_nothing(private, monkeypatch):
    """One with temporary credentials, one with the server's own."""
    url = f"s3://modos-demo/lab-a/two-{os.urandom(4).hex()}"
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    MODO.create(url, endpoint=private.url)
    writers = [
        MODO.open(url, endpoint=private.url),
        MODO.open(url, services={"s3": private.s3}, s3_kwargs=private.credentials("server")),
    ]

    def write(number: int) -> None:
        for at in range(15):
            writers[number].add_element({"id": f"w{number}-{at}", "@type": "Sample"})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = MODO.open(url, endpoint=private.url)
    assert set(found.metadata) >= {f"sample/w{number}-{at}" for number in range(2) for at in range(15)}
    assert found.find_problems() == []


def test_a_full_disk_leaves_nothing(native, server, large, url):
    """A target folder on a file system of 40 MB."""
    large.upload(url, services={"s3": native.s3})
    folder = Path("/tmp") / f"modos-full-{os.getpid()}"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], capture_output=True)
    try:
        limits = ["prlimit", "--fsize=40000000"] if mounted.returncode else []
        result = subprocess.run(
            [*limits, *MODOS, "remote", "download", url, folder / "copy"],
            capture_output=True,
            text=True,
            env=os.environ | {"AWS_ENDPOINT_URL": native.s3},
            timeout=120,
        )
        assert result.returncode == 1 and "Traceback" not in result.stderr
        assert "No space left" in result.stderr or "too large" in result.stderr
        assert not (folder / "copy").exists()
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)
