"""Encrypt, for servers that have no key to a file, what it takes to find regions in it.

Beside an encrypted file `a.bam.c4gh` lies `a.bam.cuts.c4gh`: its index, and the
places where it can be cut (`modos.genomics.index.cuts`), encrypted under a key
of its own for the recipients of the file and for the servers. Who opens it opens
nothing of the file: its data key is in no header but the file's own.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modos.encryption import body
from modos.encryption.header import encrypt_header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.writing import write_new
from modos.errors import ChecksumMismatch, DecryptError, InvalidInputError, NewerFormatError, NotFoundError
from modos.formats import cuts_name, format_of, index_names, is_encrypted, plain_name, streamable_format
from modos.storage import Readable
from modos.storage.write_log import WriteLog

if TYPE_CHECKING:
    from modos.genomics.index.cuts import CutList

MOST = 512 << 20  # bytes
_NONE: dict[str, Any] = {"index_recipients": None, "cuts_checksum": None}
_HOW = "`modos c4gh share --index-for` makes it anew"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readers:
    """Whom the cuts of a file are encrypted for.

    Parameters
    ----------
    recipients
        The recipients of the file.
    servers
        Those that open the cuts alone; there are none without them.
    """

    recipients: tuple[PublicKey, ...] = ()
    servers: tuple[PublicKey, ...] = ()


def can_be_cut(path: str) -> bool:
    """Return whether regions of a file can be found, by its name."""
    format = format_of(plain_name(path))
    return format is not None and format.streamable


def read_servers(attributes: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """Read for which servers the cuts of an element's file are encrypted, as is recorded."""
    return tuple(PublicKey.parse(key) for key in attributes.get("index_recipients") or ())


def find_index(files: Readable, key: str) -> bytes | None:
    """Find the index beside a file, and return its bytes; None if there is none."""
    for name in index_names(key):
        with suppress(NotFoundError):
            return files.read_part(name, 0, files.stat(name).size)[0]
    return None


def make_cuts(files: Readable, key: str, name: str, index: bytes | None) -> bytes | None:
    """Make the list of the places where a plain file can be cut, by going through it; None if it has no index.

    Parameters
    ----------
    name
        The file's name, which says its format.

    Raises
    ------
    IntegrityError
        The file is damaged, or the index is not of it.
    """
    from modos.genomics.index import parse_index
    from modos.genomics.index import read_header as read_file_header
    from modos.genomics.index.cuts import find_cuts
    from modos.genomics.index.fit import check_fit
    from modos.genomics.planning import WORKERS

    if index is None:
        return None
    format, info = streamable_format(name), files.stat(key)

    def read(start: int, end: int) -> bytes:
        return files.read_part(key, start, end, if_match=info.etag)[0]

    header = read_file_header(format, read, info.size)
    check_fit(format, read, info.size, header, parse_index(index), WORKERS if files.is_remote else 1)
    return find_cuts(format, read, info.size, header, index).to_bytes()


def stage_cuts(log: WriteLog, target: str, content: bytes | None, readers: Readers, like: str | None) -> dict[str, Any]:
    """Encrypt and write the cuts of a file under a new data key; returns what the element says of them.

    Parameters
    ----------
    target
        Key of the encrypted file.
    content
        What `make_cuts` gives.
    like
        A file whose mode they get.
    """
    if not readers.servers:
        return _NONE
    if content is None:
        logger.warning("%s has no index: nothing was encrypted for the server", target)
        return _NONE
    key = os.urandom(32)
    head = encrypt_header(key, [*readers.recipients, *readers.servers])
    sealed = b"".join((head, *body.encrypt(iter((content,)), key)))
    write_new(log.storage, cuts_name(target), iter((sealed,)), len(sealed), like=like)
    log.wrote(cuts_name(target))
    servers = [str(server) for server in dict.fromkeys(readers.servers)]
    return {"index_recipients": servers, "cuts_checksum": hashlib.blake2b(sealed).hexdigest()}


def find_damaged_cuts(storage: Readable, attributes: Mapping[str, Any]) -> str | None:
    """Describe what is wrong with the cuts of an element's file; None if they are those that are recorded."""
    try:
        _read_recorded(storage, attributes)
    except (NotFoundError, ChecksumMismatch) as error:
        return f"{error.message} ({_HOW})"
    return None


def _read_recorded(storage: Readable, attributes: Mapping[str, Any]) -> bytes:
    """Read the encrypted cuts of an element's file, if they are those that are recorded."""
    path, recorded = attributes["data_path"], attributes.get("cuts_checksum")
    if not recorded or not is_encrypted(path):
        raise NotFoundError(f"no cuts of {path} are recorded", _HOW)
    name = cuts_name(path)
    sealed, _ = storage.read_part(name, 0, MOST + 1)
    if len(sealed) > MOST or hashlib.blake2b(sealed).hexdigest() != recorded:
        raise ChecksumMismatch(f"{storage.url}/{name} is not what is recorded: it was changed or replaced", _HOW)
    return sealed


def read_cuts(storage: Readable, attributes: Mapping[str, Any], secret: SecretKey) -> bytes:
    """Read and decrypt the cuts of an element's file.

    Raises
    ------
    NotFoundError
        There are none.
    ChecksumMismatch
        They are not those that are recorded.
    DecryptError
        They are not encrypted for the key.
    """
    sealed, name = _read_recorded(storage, attributes), cuts_name(attributes["data_path"])
    header = read_header(lambda start, end: sealed[start:end])
    opened = header.decrypt(secret)
    if opened.edits:
        raise DecryptError(f"{storage.url}/{name} has an edit list", _HOW)
    return b"".join(body.decrypt(iter((sealed[header.size :],)), opened.keys))


def open_cuts(storage: Readable, attributes: Mapping[str, Any], secret: SecretKey) -> CutList:
    """Open the cuts of an element's file; raises what `read_cuts` does, and IntegrityError if they are of another file."""
    from modos.genomics.index.cuts import CutList

    path = attributes["data_path"]
    try:
        cuts = CutList.from_bytes(read_cuts(storage, attributes, secret))
    except NewerFormatError as error:
        raise NewerFormatError(f"{storage.url}/{cuts_name(path)}: {error.message}", error.hint) from None
    except InvalidInputError as error:
        raise DecryptError(f"{storage.url}/{cuts_name(path)}: {error.message}", _HOW) from None
    if cuts.format != format_of(plain_name(path)) or cuts.size != attributes.get("plain_size", cuts.size):
        raise DecryptError(f"{storage.url}/{cuts_name(path)} is of another file", _HOW)
    return cuts


def parse_servers(given: Sequence[PublicKey], recipients: Sequence[PublicKey]) -> tuple[PublicKey, ...]:
    """Return the keys of servers, each once; raise InvalidInputError where one is that of a recipient, who opens all."""
    if both := [key for key in given if key in recipients]:
        raise InvalidInputError(
            f"the key {both[0].fingerprint} is of a server that may open the index alone, and of a recipient of the data",
            "give the server a key of its own: modos c4gh keygen server.sec",
        )
    return tuple(dict.fromkeys(given))
