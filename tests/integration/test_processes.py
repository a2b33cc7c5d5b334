"""Objects in several processes: those that are forked, whatever was going on then, and those that are started."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import AccessError, ModosError, NotFoundError
from modos.object.finding import open_served_file
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep(2)

URL, FILES, REGION = f"s3://{BUCKET}/ex", ("demo1.cram", "demo2.bam", "calls.vcf.gz"), "chr1:1-20,000"
WAYS = {"s3": lambda stack: {"services": {"s3": stack.s3}}, "endpoint": lambda stack: {"endpoint": stack.endpoint}}


@pytest.fixture(scope="module")
def local(example):
    return MODO.open(example / "ex")


@pytest.fixture(params=WAYS)
def modo(request, stack):
    """An object that was used: connections are open, headers and indexes are known."""
    modo = MODO.open(URL, **WAYS[request.param](stack))
    counts(modo)
    return modo


def counts(modo):
    return [modo.count(file, REGION) for file in FILES]


def first_position(file):
    return next(file.fetch(REGION)).reference_start


def raise_not_found(modo):
    modo.file("none.bam")


class busy:
    """A thread that reads all the time."""

    def __init__(self, modo):
        self._modo, self._ended = modo, threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _read(self):
        while not self._ended.is_set():
            counts(self._modo)


def fork(work, seconds=60):
    """What some work gives in a child; what it holds is not pickled. TimeoutError where it hangs."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:
            answer = error
        os.write(write, pickle.dumps(answer))
        os._exit(0)
    os.close(write)
    ended = threading.Timer(seconds, os.kill, (child, 9))
    ended.start()
    with open(read, "rb") as pipe:
        answer = pipe.read()
    ended.cancel()
    os.waitpid(child, 0)
    if not answer:
        raise TimeoutError("the child hangs, or was killed")
    answer = pickle.loads(answer)
    if isinstance(answer, BaseException):
        raise answer
    return answer


@pytest.mark.sweep(1)
def test_a_child_goes_on_with_what_its_parent_has_used(modo, local):
    file = modo.file("demo2.bam")
    first_position(file)
    with busy(modo):
        for _ in range(4):
            assert fork(lambda: (counts(modo), first_position(file))) == (counts(local), first_position(local.file("demo2.bam")))
    assert counts(modo) == counts(local)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("way", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["pool", "futures"])
def test_pools_of_processes(modo, local, way, kind):
    context = multiprocessing.get_context(way)
    with busy(modo):
        if kind == "pool":
            with context.Pool(2) as pool:
                found = pool.map_async(counts, [modo] * 4).get(60)
                places = pool.map_async(first_position, [modo.file("demo2.bam")]).get(60)
                with pytest.raises(NotFoundError, match="none.bam"):
                    pool.apply_async(raise_not_found, (modo,)).get(60)
        else:
            with ProcessPoolExecutor(2, context) as pool:
                found = list(pool.map(counts, [modo] * 4, timeout=60))
                places = list(pool.map(first_position, [modo.file("demo2.bam")], timeout=60))
                with pytest.raises(NotFoundError, match="none.bam"):
                    pool.submit(raise_not_found, modo).result(60)
    assert found == [counts(local)] * 4 and places == [first_position(local.file("demo2.bam"))]


def test_what_a_thread_holds_at_the_fork_is_free_in_the_child(stack, local):
    """The thread waits for the header, and holds the planner's turn for the file and what is computed once."""
    held, forked, go_on = [], threading.Event(), threading.Event()

    def hold(proxy, handler, answer):
        if not forked.is_set():
            held.append(handler.path)
            go_on.wait()

    with Proxy(stack.s3) as proxy:
        modo = MODO.open(URL, services={"s3": proxy.url})
        proxy.fault = hold
        files = [modo.file("demo2.bam"), modo.file("demo2.bam")]
        threads = [threading.Thread(target=lambda file=file: file.header) for file in files]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: held)
            forked.set()  # what the child asks for is answered
            expected = local.file("demo2.bam").header.nreferences
            assert fork(lambda: [file.header.nreferences for file in files]) == [expected] * 2
            assert all(thread.is_alive() for thread in threads)
        finally:
            go_on.set()
        for thread in threads:
            thread.join()
        assert files[0].header.nreferences == expected


EXITS = """
import os, sys
from modos.api import MODO
modo = MODO.open(sys.argv[1], services={"s3": sys.argv[2]})
modo.count("demo2.bam", "chr1")
rest = modo.file("demo2.bam").iter_bytes()
next(rest)
child = os.fork()
if child == 0:
    if sys.argv[3] == "used":
        modo.count("demo2.bam", "chr1")
    del modo, rest
    sys.exit(0)  # with all that Python does at an exit
assert os.waitpid(child, 0)[1] == 0
print(modo.count("demo2.bam", "chr1"))
"""


@pytest.mark.sweep(1)
@pytest.mark.parametrize("child", ["used", "unused"])
def test_a_child_that_exits_takes_no_connection_away(stack, local, child):
    result = subprocess.run([sys.executable, "-c", EXITS, URL, stack.s3, child], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert int(result.stdout) == local.count("demo2.bam", "chr1")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("go_on", [lambda file: iter(file.fetch()), lambda file: file.iter_bytes("chr1")])
def test_a_stream_that_was_begun_is_not_gone_on_with_in_a_child(modo, go_on):
    file = modo.file("demo2.bam")
    stream = go_on(file)
    next(stream)
    with pytest.raises(ModosError, match="before a fork"):
        fork(lambda: sum(1 for _ in stream))
    assert sum(1 for _ in stream) + 1 == sum(1 for _ in go_on(file))


def test_a_file_of_an_htsget_server(stack, local):
    file = open_served_file(f"{stack.endpoint}/htsget/reads/ex/demo2", None)
    first_position(file)
    expected = first_position(local.file("demo2.bam"))
    assert fork(lambda: first_position(file)) == expected
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(first_position, file).result(60) == expected


# --- tracks ---


def values(genome):
    return genome["chr1"][100:200, "signal"]


def test_tracks(stack, tmp_path):
    (tmp_path / "sizes").write_text("chr1\t200000\n")
    (tmp_path / "signal.bedGraph").write_text("".join(f"chr1\t{at}\t{at + 1}\t{at % 7}\n" for at in range(0, 200000, 2)))
    made, url = MODO.create(tmp_path / "tracks"), f"s3://{BUCKET}/{tmp_path.name}"
    made.add_genome(sizes=tmp_path / "sizes")
    made.add_track("signal", tmp_path / "signal.bedGraph")
    made.upload(url, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    with pytest.raises(AccessError, match="not pickled"):
        pickle.dumps(MODO.open(url, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS).genome)
    genome = MODO.open(url, services={"s3": stack.s3}).genome
    expected = values(genome)
    np.testing.assert_array_equal(fork(lambda: values(genome)), expected)
    np.testing.assert_array_equal(fork(lambda: genome["chr1"][150000:150100, "signal"]), genome["chr1"][150000:150100, "signal"])
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply_async(values, (genome,)).get(60), expected)


# --- what is pickled ---


@pytest.mark.parametrize(
    "given",
    [
        {"key": "AK", "secret": "hidden"},
        {"key": "AK", "secret": "no", "token": "hidden"},
        {"client_kwargs": {"aws_access_key_id": "AK", "aws_secret_access_key": "hidden"}},
    ],
)
def test_no_secret_is_in_a_pickle(stack, given):
    modo = MODO.open(URL, services={"s3": stack.s3}, s3_kwargs=given)
    for what in (modo, modo.file("demo2.bam")):
        with pytest.raises(AccessError, match="not pickled"):
            pickle.dumps(what)


def test_no_secret_key_is_in_a_pickle():
    from modos.encryption.keys import SecretKey

    with pytest.raises(AccessError, match="not pickled"):
        pickle.dumps(SecretKey.random())
