"""What is fetched for a reader: all that it reads, in order, and not much more; in bounded memory."""

from __future__ import annotations

import asyncio
import random
import resource
import threading
import time

import pytest

from modos.errors import TransportError
from modos.gateway import kept_pieces
from modos.gateway.kept_pieces import KeptPieces
from modos.gateway.read_ahead import FIRST, LARGEST, WINDOW, ReadAhead, Wanted
from modos.gateway.stops import Stops
from modos.object.plain_files import PlainFile
from modos.storage import ObjectInfo
from tests.support.waiting import wait_until


class Numbers:
    """A file of any size, whose bytes tell where they are; notes what is read."""

    url, is_remote = "far:", True

    def __init__(self, size, delay=0.0, broken_from=None, together_from=None):
        self.size, self.delay, self.broken_from, self.together_from = size, delay, broken_from, together_from
        self.reads: list[tuple[int, int]] = []
        self.at_once = self.most_at_once = 0
        self.lock, self.six = threading.Lock(), threading.Event()

    def stat(self, key):
        return ObjectInfo(key, self.size, "tag")

    def read_part(self, key, start, end, *, if_match=None):
        assert if_match == "tag"
        with self.lock:
            self.reads.append((start, end))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if self.at_once >= 6:
                self.six.set()
        try:
            time.sleep(self.delay)
            if self.together_from is not None and start >= self.together_from:
                assert self.six.wait(60), "fewer than six are read at once"
            if self.broken_from is not None and end > self.broken_from:
                raise TransportError("the server is gone")
            return content(start, min(end, self.size)), ObjectInfo(key, self.size, "tag")
        finally:
            with self.lock:
                self.at_once -= 1

    def local_path(self, key):
        return None


_PATTERN = bytes(random.Random(1).randbytes(65_521))  # a prime, so that no piece is like its neighbour


def content(start, end):
    first = start % len(_PATTERN)
    return (_PATTERN * ((end - start + first) // len(_PATTERN) + 1))[first : first + end - start]


def plain(numbers, name="a.bam"):
    return PlainFile(name, numbers, name, "tag", name, ObjectInfo(name, numbers.size, "tag"))


async def take(ahead, most=None):
    got = bytearray()
    async for part in ahead.read():
        got += part
        if most is not None and len(got) >= most:
            break
    return bytes(got)


async def count(ahead):
    """How many bytes come; of a result that has them all `asyncio.run` would make a text, which takes long."""
    return sum([len(part) async for part in ahead.read()])


@pytest.mark.parametrize("seed", range(8))
def test_any_ranges_by_several_readers_at_once_are_the_files_bytes(seed):
    rng = random.Random(seed)
    numbers = Numbers(3_000_000)
    kept = KeptPieces(most=rng.choice([1 << 16, 1 << 20, 1 << 24]))
    file = plain(numbers)
    stops = Stops(tuple(sorted(rng.sample(range(1, numbers.size), 50))))

    async def read_one():
        start = rng.randrange(numbers.size)
        end = rng.choice([numbers.size, rng.randrange(start + 1, numbers.size + 1)])
        wanted = Wanted(start, end, is_open=end == numbers.size)
        assert await take(ReadAhead(kept, file, wanted, lambda: 0, stops)) == content(start, end)

    async def read_all():
        await asyncio.gather(*(read_one() for _ in range(12)))

    asyncio.run(read_all())


def test_who_asks_for_the_rest_and_reads_little_costs_little():
    numbers = Numbers(17 << 30)
    ahead = ReadAhead(KeptPieces(), plain(numbers), Wanted(1 << 30, numbers.size, is_open=True), lambda: 0, Stops())
    assert asyncio.run(take(ahead, 10)) == content(1 << 30, (1 << 30) + FIRST)
    assert numbers.reads == [(1 << 30, (1 << 30) + FIRST)]


def test_the_first_piece_ends_where_the_index_says_that_readers_stop():
    numbers = Numbers(1 << 30)
    stops = Stops((5_000, 1_000_500, 1_300_000, 2_000_000))
    ahead = ReadAhead(KeptPieces(), plain(numbers), Wanted(1_000_000, numbers.size, is_open=True), lambda: 0, stops)
    asyncio.run(take(ahead, 10))
    assert numbers.reads == [(1_000_000, 1_300_000)]


def test_nothing_is_fetched_for_a_client_that_does_not_read():
    numbers, unread = Numbers(1 << 30), [1 << 20]
    ahead = ReadAhead(KeptPieces(), plain(numbers), Wanted(0, numbers.size, is_open=True), lambda: unread[-1], Stops())

    async def stall():
        taking = asyncio.create_task(take(ahead, 4 * FIRST))
        await asyncio.to_thread(wait_until, lambda: numbers.reads)
        await asyncio.sleep(0.3)
        assert numbers.reads == [(0, FIRST)] and not taking.done()
        unread.append(0)
        assert len(await asyncio.wait_for(taking, 60)) >= 4 * FIRST

    asyncio.run(stall())
    assert len(numbers.reads) > 1


def test_who_goes_on_gets_large_pieces_in_parallel():
    numbers = Numbers(200 << 20, together_from=64 << 20)
    ahead = ReadAhead(KeptPieces(), plain(numbers), Wanted(0, numbers.size, is_open=True), lambda: 0, Stops())
    assert asyncio.run(count(ahead)) == numbers.size and numbers.most_at_once >= 6
    assert len(numbers.reads) < 90 and max(end - start for start, end in numbers.reads) == LARGEST
    assert sum(end - start for start, end in numbers.reads) == numbers.size


def test_threads_without_work_end_and_others_begin_where_there_is_some(monkeypatch):
    monkeypatch.setattr(kept_pieces, "_IDLE", 0.05)
    pieces, before = KeptPieces(), set(threading.enumerate())
    for at in range(0, 5 << 20, 1 << 20):
        numbers = Numbers(1 << 30, delay=0.05)
        asyncio.run(take(ReadAhead(pieces, plain(numbers), Wanted(at, numbers.size, is_open=True), lambda: 0, Stops()), 10))
        begun = set(threading.enumerate()) - before
        assert numbers.reads
        for thread in begun:
            thread.join(60)
        assert set(threading.enumerate()) <= before


def test_two_readers_of_the_same_fetch_it_once():
    numbers = Numbers(20 << 20, delay=0.005)
    kept, file = KeptPieces(), plain(numbers)

    async def both():
        wanted = Wanted(0, numbers.size, is_open=False)
        await asyncio.gather(*(take(ReadAhead(kept, file, wanted, lambda: 0, Stops())) for _ in range(2)))

    asyncio.run(both())
    assert sum(end - start for start, end in numbers.reads) == numbers.size


def test_an_error_ends_it_and_is_not_kept():
    numbers = Numbers(10 << 20, broken_from=5 << 20)
    kept, file = KeptPieces(), plain(numbers)
    wanted = Wanted(0, numbers.size, is_open=False)
    with pytest.raises(TransportError):
        asyncio.run(take(ReadAhead(kept, file, wanted, lambda: 0, Stops())))
    numbers.broken_from = None
    assert asyncio.run(take(ReadAhead(kept, file, wanted, lambda: 0, Stops()))) == content(0, numbers.size)


def test_two_gigabytes_pass_in_little_memory():
    numbers = Numbers(2 << 30)
    kept = KeptPieces()
    ahead = ReadAhead(kept, plain(numbers), Wanted(0, numbers.size, is_open=True), lambda: 0, Stops())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert asyncio.run(count(ahead)) == numbers.size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (320 << 10)  # of 96 MB that are kept, and the window
    assert kept.size <= (96 << 20) + WINDOW
