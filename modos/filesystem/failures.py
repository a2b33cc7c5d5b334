"""The errors of modos as those of the operating system, which users of fsspec expect."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from modos.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    StorageFullError,
)


class NoSuchFileError(NotFoundError, FileNotFoundError):
    """A file, folder or object that is not there."""

    errno = errno.ENOENT


class FolderMeantError(InvalidInputError, IsADirectoryError):
    """A folder that is read like a file."""

    errno = errno.EISDIR


class ReadOnlyError(AccessError):
    """An object that is written to by an address."""

    errno = errno.EROFS


class DamagedFileError(IntegrityError, OSError):
    """Bytes that are not those that are recorded, or that the key does not open."""

    errno = errno.EIO


class StaleFileError(ConflictError, OSError):
    """A file that somebody has replaced since it was opened."""

    errno = errno.ESTALE


class BadAddressError(InvalidInputError, OSError):
    """An address, or an option, that cannot be."""

    errno = errno.EINVAL


class OtherFileError(ModosError, OSError):
    """Any other failure."""

    errno = errno.EIO


_KINDS: dict[type[ModosError], type[ModosError]] = {
    NotFoundError: NoSuchFileError,
    IntegrityError: DamagedFileError,
    ConflictError: StaleFileError,
    InvalidInputError: BadAddressError,
    StorageFullError: OtherFileError,
}


def as_os_error(error: ModosError) -> Exception:
    """Return an error that is an OSError, too, with the message and the hint of another one."""
    if isinstance(error, OSError):
        return error
    kind = next((ours for theirs, ours in _KINDS.items() if isinstance(error, theirs)), OtherFileError)
    return kind(error.message, error.hint)


@contextmanager
def translate() -> Iterator[None]:
    """Raise the errors of modos as errors of the operating system, which have their cause with them."""
    try:
        yield
    except ModosError as error:
        raised = as_os_error(error)
        if raised is error:
            raise
        raise raised from error
