"""Write the read log for many threads at once, together what comes while one of them writes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from modos.encryption.keys import PublicKey
from modos.errors import ModosError
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.read_entries import entry_to_line
from modos.storage import Storage

LATER = 0.05  # seconds after which the head follows, and an entry is written that nobody waits for
PATIENCE = 20.0  # seconds for which an entry waits for its turn
_MOST = 1 << 20  # bytes of entries that are written together; a larger one is written alone
_MOST_WAITING = 64 << 20  # bytes of entries that nobody waits for, while they cannot be written
_TURN = 60.0  # seconds between two looks at the age of the segment

logger = logging.getLogger(__name__)


class UnloggedError(ModosError):
    """A read that cannot be logged."""

    kind = "unlogged"


class _Waiting:
    """Entry that is to be written, or a thread that wants to write for others."""

    __slots__ = ("done", "error", "gate", "is_leader", "line")

    def __init__(self, line: bytes = b""):
        self.line = line
        self.done = self.is_leader = False
        self.error: Exception | None = None
        self.gate = threading.Lock()
        self.gate.acquire()


class ReadLog:
    """Log of who read what, to which threads add.

    Parameters
    ----------
    storage
        The place: a folder or a prefix of a bucket.
    officer
        Public key of who can open it.
    is_required
        Whether what cannot be logged is refused.
    logs_refusals
        Whether callers who may not read something are logged, too.
    """

    def __init__(
        self,
        storage: Storage,
        officer: PublicKey,
        limits: Limits = Limits(),
        *,
        is_required: bool = False,
        logs_refusals: bool = False,
        writer: str = "server",
    ):
        self.is_required, self.logs_refusals = is_required, logs_refusals
        self._chain = ChainWriter(storage, officer, limits, is_required=is_required, writer=writer, shows_later=True)
        self._lock = threading.Lock()  # of what follows
        self._has_leader = False  # a thread that writes for all who wait
        self._waiting: list[_Waiting] = []
        self._later: list[_Waiting] = []
        self._later_size = 0
        self._wake = threading.Event()
        self._ended = False
        self._looked = time.monotonic()
        self._keeper: threading.Thread | None = None

    def begin(self) -> None:
        """Begin the chain, so that the first entry need not wait for it."""
        self._lead(_Waiting(), self._chain.begin)
        self._start_keeper()

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write an entry, which is durable afterwards.

        Raises
        ------
        UnloggedError
            It cannot be written, or not in time.
        """
        mine = _Waiting(entry_to_line(entry))
        self._lead(mine, self._write_waiting)
        if not self._wake.is_set():
            self._start_keeper()
            self._wake.set()
        if mine.error:
            reason = mine.error.message if isinstance(mine.error, ModosError) else str(mine.error)
            raise UnloggedError(f"the read log is not written: {reason}") from mine.error

    def _lead(self, mine: _Waiting, act: Callable[[], object]) -> None:
        """Do something as the one thread that writes, unless another one has written for this one meanwhile."""
        with self._lock:
            self._waiting.append(mine)
            mine.is_leader, self._has_leader = not self._has_leader, True
        if not mine.is_leader and not mine.gate.acquire(timeout=PATIENCE):
            with self._lock:
                if not mine.is_leader and not mine.done:
                    if mine in self._waiting:
                        self._waiting.remove(mine)
                    raise UnloggedError("the read log is not written: it takes too long")
        if not mine.is_leader:
            return
        try:
            if mine.line:
                act()
            else:
                with self._lock:
                    self._waiting.remove(mine)
                act()
        finally:
            with self._lock:
                self._has_leader = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].is_leader = True
                    self._waiting[0].gate.release()

    def write_later(self, entry: Mapping[str, Any]) -> None:
        """Write an entry within a second, without waiting; it is lost where the process is killed before."""
        mine = _Waiting(entry_to_line(entry))
        with self._lock:
            if self._later_size + len(mine.line) > _MOST_WAITING:
                logger.error("the end of a read is not logged: too many wait")
                return
            self._later.append(mine)
            self._later_size += len(mine.line)
        self._start_keeper()
        self._wake.set()

    def close(self) -> None:
        """Write what is left, and end the chain in order."""
        self._ended = True
        self._wake.set()
        if self._keeper:
            self._keeper.join(timeout=PATIENCE)
        try:
            self._lead(_Waiting(), self._write_last)
        except (ModosError, OSError) as error:
            logger.error("the read log is not closed: %s", error)

    def _write_last(self) -> None:
        self._write_waiting()
        self._chain.close()

    def _write_waiting(self) -> None:
        """Write all that waits; called by the leader. What goes wrong is told to those who wait."""
        with self._lock:
            waiting, later = [one for one in self._waiting if one.line], self._later
            self._waiting = [one for one in self._waiting if not one.line]
            self._later, self._later_size = [], 0
        batch, size = list[_Waiting](), 0
        for one in [*later, *waiting]:
            if batch and size + len(one.line) > _MOST:
                self._write_batch(batch)
                batch, size = [], 0
            batch.append(one)
            size += len(one.line)
        if batch:
            self._write_batch(batch)
        failed = [_Waiting(one.line) for one in later if one.error]
        with self._lock:  # to be tried again
            self._later[:0] = failed
            self._later_size += sum(len(one.line) for one in failed)

    def _write_batch(self, batch: list[_Waiting]) -> None:
        error: Exception | None = None
        try:
            self._chain.append([one.line for one in batch])
        except Exception as found:  # whoever waits is told, whatever it is
            error = found
        for one in batch:
            one.error, one.done = error, True
            if not one.is_leader:
                one.gate.release()

    def _start_keeper(self) -> None:
        if self._keeper is None:
            with self._lock:
                if self._keeper is None:
                    self._keeper = threading.Thread(target=self._keep, name="modos-read-log", daemon=True)
                    self._keeper.start()

    def _keep(self) -> None:
        """Replace the head, write what nobody waits for, and end segments that are old."""
        while not self._ended:
            self._wake.wait(_TURN)
            self._wake.clear()
            if not self._ended:
                time.sleep(LATER)
            with suppress(ModosError):  # it takes too long
                self._lead(_Waiting(), self._look_after)
            if self._later:  # which failed
                self._wake.set()

    def _look_after(self) -> None:
        if self._later:
            self._write_waiting()
        try:
            self._chain.show_head()
        except (ModosError, OSError) as error:
            logger.error("the head of the read log is behind: %s", error)
        if time.monotonic() - self._looked >= _TURN:
            self._looked = time.monotonic()
            self._rotate()

    def _rotate(self) -> None:
        try:
            self._chain.rotate()
        except (ModosError, OSError) as error:
            logger.error("the read log cannot begin a segment: %s", error)
