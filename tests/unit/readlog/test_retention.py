"""Old segments are deleted whole, and word is left of them; what is missing without word is a problem."""

import os
import time

import pytest

from modos.encryption.keys import SecretKey
from modos.readlog import chain_writer, retention
from modos.readlog.chain_writer import DAY, ChainWriter, Limits
from modos.readlog.log_verification import verify
from modos.storage import open_storage
from tests.support.read_logs import entries, problems, write_chain

SECRET = SecretKey.random()


class Clock:
    """The clock of the machine, which goes as far ahead as it is told, and the files that grow old with it."""

    def __init__(self, monkeypatch, place):
        self._ahead, self._place = 0.0, place
        real, fixed = time.time, chain_writer.datetime

        class Later(fixed):
            @classmethod
            def now(cls, zone=None):
                return fixed.fromtimestamp(real() + self._ahead, zone)

        monkeypatch.setattr(retention.time, "time", lambda: real() + self._ahead)
        monkeypatch.setattr(chain_writer, "datetime", Later)
        self._real = real

    def advance(self, days):
        """Go ahead; files that are there keep their times, new ones get those of the clock by `settle`."""
        self.settle()
        self._ahead += days * DAY

    def settle(self):
        for path in self._place.rglob("*"):
            if path.is_file() and path.stat().st_mtime <= self._real() and path not in getattr(self, "_seen", set()):
                os.utime(path, (self._real() + self._ahead,) * 2)
        self._seen = {path for path in self._place.rglob("*") if path.is_file()}


@pytest.fixture
def clock(monkeypatch, tmp_path):
    return Clock(monkeypatch, tmp_path)


def test_what_is_old_goes_whole_and_word_stays(tmp_path, clock):
    old = write_chain(tmp_path, SECRET, 4, size=1, keep=30 * DAY)
    clock.advance(31)
    new = write_chain(tmp_path, SECRET, 2, size=1, keep=30 * DAY)
    assert [one.name for one in tmp_path.iterdir()] == [new]
    found = verify(open_storage(tmp_path), SECRET)
    assert found.problems == [] and old in found.gone and found.entries == 2


def test_what_is_not_old_enough_stays(tmp_path, clock):
    write_chain(tmp_path, SECRET, 4, size=1)
    clock.advance(29)
    write_chain(tmp_path, SECRET, 2, keep=30 * DAY)
    assert problems(tmp_path, SECRET) == [] and len(entries(tmp_path, SECRET)) == 6


def test_a_chain_that_goes_on_loses_its_beginning_alone(tmp_path, clock, monkeypatch):
    ticks = [0.0]
    monkeypatch.setattr(chain_writer.time, "monotonic", lambda: ticks[0])
    chain = ChainWriter(open_storage(tmp_path), SECRET.public, Limits(keep=30 * DAY))
    for number in range(40):
        chain.append([b'{"event": "sent", "id": "%d"}' % number])
        clock.advance(2)
        ticks[0] += 2 * DAY
    chain.close()
    found = verify(open_storage(tmp_path), SECRET)
    assert found.problems == [] and len(found.chains) == 1 and found.chains[0].deleted > 20
    assert 10 < found.entries < 20
    assert problems(tmp_path) == []
    first = min(tmp_path.rglob("*.log"))
    first.unlink()
    assert "are missing" in problems(tmp_path)[0]


def test_a_segment_that_was_made_anew_behind_a_deletion_shows(tmp_path, clock, monkeypatch):
    """The word of a deletion names the frame that is the first from then on."""
    from modos.readlog.sealed_frames import HEADER, Kind, seal_frame, size_of_frame

    ticks = [0.0]
    monkeypatch.setattr(chain_writer.time, "monotonic", lambda: ticks[0])
    chain = ChainWriter(open_storage(tmp_path), SECRET.public, Limits(keep=30 * DAY))
    for _ in range(20):
        chain.append([b'{"event": "sent"}'])
        clock.advance(2)
        ticks[0] += 2 * DAY
    chain.close()
    assert problems(tmp_path) == []
    first = min(tmp_path.rglob("*.log"))
    data = first.read_bytes()
    size = size_of_frame(data[: HEADER.size])
    _, _, number, before, plain, _ = HEADER.unpack_from(data)
    again = seal_frame(Kind.BEGIN, number, before, data[HEADER.size : HEADER.size + plain], b"", bytes(32), 1)
    assert size == len(again)
    first.write_bytes(again + data[size:])
    assert problems(tmp_path)


def test_a_chain_that_was_never_closed_goes_as_well(tmp_path, clock):
    write_chain(tmp_path, SECRET, 4, close=False)
    clock.advance(31)
    write_chain(tmp_path, SECRET, 1, keep=30 * DAY)
    assert len(list(tmp_path.iterdir())) == 1 and problems(tmp_path, SECRET) == []


def test_word_of_a_deletion_outlives_the_segment_that_it_stood_in(tmp_path, clock):
    """One chain tells of the first, which the second deleted; when the second goes, its word is passed on."""
    write_chain(tmp_path, SECRET, 2)
    clock.advance(29)
    write_chain(tmp_path, SECRET, 2)  # it notes the first
    clock.advance(1.5)
    write_chain(tmp_path, SECRET, 2, keep=30 * DAY)  # it deletes the first
    clock.advance(30.2)
    write_chain(tmp_path, SECRET, 2, keep=30 * DAY)
    assert problems(tmp_path, SECRET) == []


def test_a_deletion_before_its_time_shows(tmp_path, clock, monkeypatch):
    """Who writes a chain of their own to excuse a removal cannot make the removed one older than its name."""
    write_chain(tmp_path, SECRET, 2)
    clock.advance(3)
    real = retention._expired_of
    monkeypatch.setattr(retention, "_expired_of", lambda storage, chain, now, keep, age: real(storage, chain, now, DAY, DAY))
    write_chain(tmp_path, SECRET, 2, keep=30 * DAY)
    assert "before" in problems(tmp_path, SECRET)[0]


def test_what_cannot_be_deleted_keeps_nothing_from_being_logged(tmp_path, clock, monkeypatch):
    from modos.errors import ModosError

    write_chain(tmp_path, SECRET, 2)
    clock.advance(40)

    def fail(*_):
        raise ModosError("no")

    monkeypatch.setattr(chain_writer, "delete_expired", fail)
    write_chain(tmp_path, SECRET, 2, keep=30 * DAY)
    assert problems(tmp_path, SECRET) == [] and len(entries(tmp_path, SECRET)) == 4
