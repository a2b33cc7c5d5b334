"""The errors of the library, as one tree.

Every error carries a one-line `message` (what is wrong and why; it stays short, and
characters of names and values that a terminal obeys are escaped, see `escaping`),
an optional `hint` (what to do about it), a stable `kind` for programs, and the exit code
the command line ends with.

    ModosError                         1
      NotFoundError (KeyError)         3
        BucketNotFoundError
      AlreadyExistsError               1
      ConflictError                    1
      StorageFullError                 1
      InvalidInputError (ValueError)   2
        RegionError
        SchemaError
        NewerFormatError
        MissingPackageError
      AccessError (PermissionError)    4
      RemoteError (OSError)            5
        TransportError
        ProtocolError
      IntegrityError                   6
        ChecksumMismatch
        TruncatedStream
        DecryptError
      PartitionError                   that of its failures, or 1

In: a message and a hint, with whatever names and values they quote. Out: an
exception whose text is safe to show. It imports `escaping` alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from modos.errors.escaping import escape_line

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_TERMINATED = 143
_MOST = 3500  # characters of a message or a hint, whatever it quotes


class ModosError(Exception):
    """Base of all errors that modos raises on purpose."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, hint: str | None = None):
        self.message = _shorten(escape_line(_shorten(message)))
        self.hint = hint and _shorten(escape_line(_shorten(hint)))
        super().__init__(self.message)

    def __str__(self) -> str:
        """Return the message, and the hint in brackets, as a traceback or a notebook shows them."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class NotFoundError(ModosError, KeyError):
    """Something that was named does not exist."""

    kind = "not_found"
    exit_code = 3


class BucketNotFoundError(NotFoundError):
    """A bucket of S3 that does not exist: nothing is known of what would be in it, and nothing can be written there."""


class AlreadyExistsError(ModosError):
    """Something that was to be created is already there."""

    kind = "already_exists"


class ConflictError(ModosError):
    """Somebody else changed the same thing at the same time."""

    kind = "conflict"


class StorageFullError(ModosError):
    """No space is left, or what one may use is used up."""

    kind = "storage_full"


class InvalidInputError(ModosError, ValueError):
    """Input that cannot be accepted as it is."""

    kind = "invalid_input"
    exit_code = 2


class NewerFormatError(InvalidInputError):
    """Something that a newer modos wrote, in a format that this one does not know."""

    kind = "newer_format"


class MissingPackageError(InvalidInputError):
    """Something that takes a package which this installation does not have."""

    kind = "missing_package"


class RegionError(InvalidInputError):
    """A genomic region that is malformed or ambiguous."""

    kind = "region"


class SchemaError(InvalidInputError):
    """Metadata that do not fit the schema.

    Parameters
    ----------
    path
        Where, as `element.slot` (or `element` for the element as a whole).
    expected, got
        What the schema asks for and what was found there.
    """

    kind = "schema"

    def __init__(self, message: str, hint: str | None = None, *, path: str = "", expected: str = "", got: str = ""):
        super().__init__(message, hint)
        self.path = path
        self.expected = expected
        self.got = got


class AccessError(ModosError, PermissionError):
    """Credentials or permissions that do not allow what was asked."""

    kind = "access"
    exit_code = 4


class RemoteError(ModosError, OSError):
    """A service that is away, fails, or answers nonsense; `retry_after` are the seconds that it wants to be left alone for."""

    kind = "remote"
    exit_code = 5
    retry_after = 0.0


class TransportError(RemoteError):
    """A connection that could not be made or broke."""

    kind = "transport"


class ProtocolError(RemoteError):
    """An answer that does not follow the protocol."""

    kind = "protocol"


class IntegrityError(ModosError):
    """Bytes that are not what they should be."""

    kind = "integrity"
    exit_code = 6


class ChecksumMismatch(IntegrityError):
    """Content that does not have the recorded checksum."""

    kind = "checksum_mismatch"


class TruncatedStream(IntegrityError):
    """A file or stream that ends before its end marker or declared length."""

    kind = "truncated"


class DecryptError(IntegrityError):
    """Encrypted data that do not open with the key at hand."""

    kind = "decrypt"


class PartitionError(ModosError):
    """Some partitions of a plan that failed, after they were tried again.

    Parameters
    ----------
    results
        What came back, in the order of the plan: None in the place of a
        partition that failed; or what a reduction had made of the others.
    failures
        The names of the partitions that failed, each with its error.
    """

    kind = "partition"

    def __init__(
        self, message: str, hint: str | None = None, *, results: Any = (), failures: Sequence[tuple[str, BaseException]] = ()
    ):
        super().__init__(message, hint)
        self.results = results
        self.failures = list(failures)
        codes = {getattr(error, "exit_code", 1) for _, error in self.failures}
        self.exit_code = codes.pop() if len(codes) == 1 else 1


def _shorten(text: str) -> str:
    """Shorten a text by its middle if it is longer than anybody reads."""
    return text if len(text) <= _MOST else f"{text[: _MOST * 3 // 4]} ... {text[-_MOST // 4 + 5 :]}"


def make_locked_error(what: str) -> AccessError:
    """Make the error for something encrypted that there is no key for."""
    return AccessError(f"{what} is encrypted", "give the secret key it is encrypted for (--secret-key, secret_key)")


def refuse_newer(what: str, format: object, known: int) -> None:
    """Raise NewerFormatError for what is of a later format than the one that is known; anything but an integer is let pass."""
    if isinstance(format, int) and format > known:
        told = f"{format}" if format < 1 << 64 else f"{format}"[:20] + "..."
        raise NewerFormatError(f"{what} is of format {told}, and this modos reads {known}", "install a newer modos")


def check_format(what: str, format: object, known: int) -> None:
    """Check the format that something says it is of: NewerFormatError for a later one, ValueError for what no modos wrote."""
    refuse_newer(what, format, known)
    if type(format) is not int or format < 1:
        raise ValueError("this is no version of a format")


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate nearest to a misspelt `word`, if one is near; case does not count."""
    folded = {candidate.casefold(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def listing(names: Iterable[str], limit: int = 10) -> str:
    """List names for a one-line message: `a, b, c and 7 more`."""
    names = list(names)
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
