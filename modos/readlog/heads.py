"""Heads: how many frames a chain has, and the digest of the last."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modos.errors import InvalidInputError
from modos.readlog.ratchet import Ratchet
from modos.storage.given import read_given

CHAIN = r"[0-9]{8}T[0-9]{6}-[0-9a-f]{16}"  # a chain's name: when it was begun (UTC), and 64 random bits
_LINE = re.compile(rf"modos-log-head 1 ({CHAIN}) ([0-9]{{20}}) ([0-9a-f]{{64}}) ([0-9a-f]{{64}})\n".encode())
_NOTED = re.compile(rf"({CHAIN}):([0-9]{{1,19}}):([0-9a-f]{{64}})")
SIZE = len("modos-log-head 1 ") + 32 + 1 + 20 + 1 + 64 + 1 + 64 + 1  # bytes of a line
_MOST = 64 << 20  # bytes of a file of heads


@dataclass(frozen=True)
class Head:
    """State of a chain.

    Parameters
    ----------
    chain
        Its name.
    count
        Frames that it has.
    digest
        SHA-256 of the last, in hexadecimal digits.
    mac
        By the key after the last frame; empty in a head that somebody noted.
    """

    chain: str
    count: int
    digest: str
    mac: str = ""

    @classmethod
    def sign(cls, chain: str, count: int, digest: bytes, ratchet: Ratchet) -> Head:
        """Make the head of a chain whose last frame was sealed just now."""
        head = cls(chain, count, digest.hex())
        return cls(chain, count, digest.hex(), ratchet.sign_head(head._signed))

    @classmethod
    def parse(cls, line: bytes) -> Head | None:
        """Parse a line of a head; None if it is none."""
        match = _LINE.fullmatch(line)
        return cls(match[1].decode(), int(match[2]), match[3].decode(), match[4].decode()) if match else None

    @property
    def _signed(self) -> bytes:
        return f"{self.chain} {self.count:020} {self.digest}".encode()

    def is_signed_by(self, ratchet: Ratchet) -> bool:
        """Return whether the MAC is one of the key after the last frame."""
        return ratchet.has_signed(self._signed, self.mac)

    def to_bytes(self) -> bytes:
        """Return it as a line of `SIZE` bytes."""
        return f"modos-log-head 1 {self.chain} {self.count:020} {self.digest} {self.mac}\n".encode()

    def __str__(self) -> str:
        """Return what is noted elsewhere: CHAIN:COUNT:DIGEST."""
        return f"{self.chain}:{self.count}:{self.digest}"


def read_noted(given: str | Path) -> list[Head]:
    """Read heads that were noted: `CHAIN:COUNT:DIGEST`, or a file with one a line.

    Raises
    ------
    InvalidInputError
        Something in it is no head.
    NotFoundError
        There is no such file.
    """
    if _NOTED.fullmatch(str(given)):
        return _parse_noted([str(given)], str(given))
    text = read_given(given, _MOST).decode("ascii", "replace")
    return _parse_noted((line for line in text.splitlines() if line.strip() and not line.startswith("#")), str(given))


def _parse_noted(lines: Iterable[str], where: str) -> list[Head]:
    found = []
    for line in lines:
        match = _NOTED.fullmatch(line.strip())
        if not match:
            raise InvalidInputError(
                f"{where}: {line[:60]!r} is no head of a log", "write CHAIN:COUNT:DIGEST, as `modos log verify` prints it"
            )
        found.append(Head(match[1], int(match[2]), match[3]))
    return found
