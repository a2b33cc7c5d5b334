"""A reader of foreign data takes any bytes: it reads them, or says in one line what is wrong with them."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modos.errors import ModosError
from modos.errors.escaping import is_plain

CORPUS = Path(__file__).parent / "corpus"
SLOWEST, LONGEST = 20.0, 120.0  # seconds of work, and in all, for some kilobytes; what takes longer is a step that grows too fast
_MESSAGE = 4000  # characters of the longest message
_DEFECT = "defect of modos"


@dataclass(frozen=True)
class Target:
    """A reader, and files that it takes.

    Parameters
    ----------
    read
        Given the path of a file it reads all that there is to it, as a user would have it read.
    seeds
        Whole files, of a few kilobytes at most.
    words
        What the format is made of; mutations put them in.
    exits
        Of the errors that it may raise, the codes that the command line ends with.
    """

    name: str
    suffix: str
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    exits: tuple[int, ...] = (2, 4, 6)

    @property
    def kept(self) -> list[bytes]:
        """The files that were wrongly read once."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]

    @property
    def corpus(self) -> list[bytes]:
        """The seeds, and the files that were wrongly read once."""
        return [*self.seeds(), *self.kept]


def attempt(target: Target, data: bytes) -> bool:
    """Whether a reader takes some bytes; AssertionError where it neither does nor says properly why not."""
    with tempfile.TemporaryDirectory(prefix="modos-fuzz-") as folder:
        path = Path(folder) / f"file{target.suffix}"
        path.write_bytes(data)
        begun, worked = time.monotonic(), time.process_time()
        try:
            target.read(path)
        except ModosError as error:
            check_message(error, target.exits)
            return False
        finally:
            assert time.process_time() - worked < SLOWEST and time.monotonic() - begun < LONGEST, (
                f"{target.name} took long for {len(data):,} bytes"
            )
    return True


def check_message(error: ModosError, exits: tuple[int, ...]) -> None:
    """AssertionError where an error is not one plain line, or ends the command line as none of what a reader may raise."""
    text = str(error)
    longest = max(len(error.message), len(error.hint or ""))
    assert text and longest < _MESSAGE and "\n" not in text, f"not one line: {text[:500]!r}"
    assert is_plain(text), f"control characters: {text[:500]!r}"
    assert _DEFECT not in text, text
    assert error.exit_code in exits, f"exit {error.exit_code}: {text[:500]}"


def mutations(target: Target, seed: int, seconds: float) -> Iterator[bytes]:
    """Damaged files, the same ones for the same seed, for some time."""
    dice, corpus = random.Random(seed), target.corpus
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = bytearray(dice.choice(corpus))
        for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
            dice.choice(_WAYS)(data, dice, target.words, dice.choice(corpus))
        yield bytes(data)


_NUMBERS = (
    b"0",
    b"-1",
    b"1e400",
    b"nan",
    b"-inf",
    b"99999999999999999999",
    b"2147483648",
    b"1.5",
    b"",
    b"1" * 400,
    "\u0661".encode(),
)
_STRANGE = (
    b"\x00",
    b"\xff",
    b"\x1b]8;;",
    b"\r",
    b"\n",
    b"\t",
    b"\n\n",
    "\u202e".encode(),
    b"\xed\xa0\x80",
    "\u0085".encode(),
    b"\xef\xbb\xbf",
)


def _flip(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _set(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def _set_number(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    width = dice.choice((2, 4, 8))
    if len(data) >= width:
        at, bits = dice.randrange(len(data) - width + 1), 8 * width
        value = dice.choice(
            (0, 1, (1 << bits) - 1, 1 << bits - 1, (1 << bits - 1) - 1, dice.getrandbits(bits), dice.randrange(1 << 16))
        )
        data[at : at + width] = (value % (1 << bits)).to_bytes(width, dice.choice(("little", "big")))


def _cut(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    start = dice.randrange(len(data) + 1)
    del data[start : dice.choice((len(data), start + dice.randrange(1, 64)))]


def _put_in(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.choice((*_STRANGE, *_NUMBERS, *words, bytes([dice.randrange(256)]) * dice.randrange(1, 2000)))


def _repeat(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    start = dice.randrange(len(data) + 1)
    piece = bytes(data[start : start + dice.randrange(1, 512)])
    data[start:start] = piece * dice.choice((1, 2, 50))


def _mix(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    start, at = dice.randrange(len(other) + 1), dice.randrange(len(data) + 1)
    data[at : at + dice.choice((0, 64))] = other[start : start + dice.randrange(1, 512)]


def _change_field(data: bytearray, dice: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    """Another value between two separators of a text."""
    lines = bytes(data).split(b"\n")
    at = dice.randrange(len(lines))
    separator = dice.choice((b"\t", b" ", b"=", b":", b",", b";"))
    fields = lines[at].split(separator)
    fields[dice.randrange(len(fields))] = dice.choice((*_NUMBERS, *_STRANGE, *words))
    lines[at] = separator.join(fields)
    data[:] = b"\n".join(lines)


_WAYS = (_flip, _set, _set_number, _cut, _put_in, _repeat, _mix, _change_field, _change_field)
