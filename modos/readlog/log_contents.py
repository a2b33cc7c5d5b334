"""Look into a log with the officer's key: entries in the order of their times, and a note of who looked."""

from __future__ import annotations

import getpass
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from modos.encryption.keys import SecretKey
from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError
from modos.readlog.log_verification import LogReader, Verification
from modos.readlog.read_entries import ENDED, Entry, concerns_object, concerns_sample, now_in_text
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.readlog.segment_reader import list_chains, read_first
from modos.storage import Storage

logger = logging.getLogger(__name__)


@dataclass
class Wanted:
    """Entries that are looked for; all where nothing is given.

    Parameters
    ----------
    sample
        Id or name of a sample that they are about, or may be about.
    object
        Key of an object or file that they are about.
    user
        Who has read, or on whose behalf.
    since, until
        Times (ISO 8601; UTC where they name no zone) from which on, and before which.
    """

    sample: str | None = None
    object: str | None = None
    user: str | None = None
    since: str | None = None
    until: str | None = None
    _open: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self.since, self.until = (time and _normalise(time) for time in (self.since, self.until))

    def takes(self, entry: Mapping[str, Any]) -> bool:
        """Return whether an entry is wanted; the end of a read is if its beginning was."""
        number = entry.get("id")
        if entry.get("event") == ENDED:
            if number in self._open:
                self._open.discard(str(number))
                return True
            return self == Wanted()
        taken = self._matches(entry)
        if taken and entry.get("event") == "sent" and isinstance(number, str):
            self._open.add(number)
        return taken

    def _matches(self, entry: Mapping[str, Any]) -> bool:
        time = str(entry.get("time", ""))
        return (
            (self.sample is None or concerns_sample(entry, self.sample))
            and (self.object is None or concerns_object(entry, self.object))
            and (self.user is None or self.user in (entry.get("caller"), entry.get("behalf")))
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )

    def describe(self) -> dict[str, str]:
        """Return what is looked for, for the log."""
        given = {name: getattr(self, name) for name in ("sample", "object", "user", "since", "until")}
        return {name: value for name, value in given.items() if value is not None}


class Look:
    """A look into a log: iterating gives the wanted entries, each with the chain and the number of the frame it stands in.

    The log is told of it before the first entry.

    Parameters
    ----------
    storage
        The place.
    secret
        The officer's key.
    event
        SHOWN or EXPORTED.

    Attributes
    ----------
    found
        What is wrong with the log; complete at the end.
    damaged
        Entries that are none.

    Raises
    ------
    NotFoundError
        There is no log.
    AccessError
        It is sealed for other keys alone.
    UnloggedError
        The look cannot be logged, and the log is a required one.
    """

    def __init__(self, storage: Storage, secret: SecretKey, event: str, wanted: Wanted = Wanted()):
        check_sealed_for(storage, secret)
        self.is_logged = log_look(storage, secret, event, wanted)
        self._reader, self._wanted = LogReader(storage, secret), wanted
        self.damaged = 0

    @property
    def found(self) -> Verification:
        """Findings on the log."""
        return self._reader.found

    def __iter__(self) -> Iterator[Entry]:
        for chain, frame, entry in self._reader.entries():
            if entry is None:
                self.damaged += 1
            elif self._wanted.takes(entry):
                yield {"chain": chain, "frame": frame} | entry


def check_sealed_for(storage: Storage, secret: SecretKey) -> None:
    """See that some of a log is sealed for a key; raise NotFoundError where there is no log, AccessError otherwise."""
    officers = {
        str(read_first(storage, info).get("officer"))
        for chain in list_chains(storage).values()
        for info in list(chain.segments.values())[-1:]
    }
    if not officers:
        raise NotFoundError(f"there is no read log at {storage.url}")
    if secret.public.fingerprint not in officers:
        raise AccessError(
            f"the log is sealed for {', '.join(sorted(officers)[:3])}, and the key is {secret.public.fingerprint}",
            "give the data protection officer's secret key",
        )


def log_look(storage: Storage, secret: SecretKey, event: str, wanted: Wanted) -> bool:
    """Log that somebody looks into the log; return whether that went well, or raise UnloggedError where it has to."""
    entry = {
        "event": event,
        "id": os.urandom(8).hex(),
        "time": now_in_text(),
        "caller": f"{_user()}@{socket.gethostname()}",
        "how": "system",
        "wanted": wanted.describe() or None,
    }
    try:
        log = ReadLog(storage, secret.public, is_required=_is_required(storage), writer="modos log")
        try:
            log.write(entry)
        finally:
            log.close()
    except (ModosError, OSError) as error:
        if _is_required(storage):
            raise UnloggedError(
                f"this cannot be logged, and so nothing is shown: {getattr(error, 'message', error)}",
                "the log is a required one: make its place writable",
            ) from None
        logger.warning("this is not logged: %s", error)
        return False
    return True


def _is_required(storage: Storage) -> bool:
    """Return whether some server refuses what it cannot log here."""
    chains = list_chains(storage).values()
    return any(
        read_first(storage, info).get("required") is True for chain in chains for info in list(chain.segments.values())[-1:]
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _normalise(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is no time", "write it like 2026-11-27 or 2026-11-27T19:30:00") from None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
