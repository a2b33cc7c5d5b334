"""Add the indexes beside a local file that is already encrypted, whether they are encrypted or plain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modos.encryption.keys import SecretKey
from modos.encryption.structure import check_encrypted_source, source_header
from modos.errors import AccessError, DecryptError, InvalidInputError
from modos.formats import ENCRYPTED_SUFFIX, format_of, index_names, is_encrypted, plain_name
from modos.formats.crypt4gh import is_crypt4gh
from modos.storage.local import LocalStorage

_PIECE = 1 << 20  # bytes that are read at once


def plan(source: Path, key: str, secret: SecretKey | None) -> list[tuple[Path | None, str]]:
    """Plan which index is brought with an encrypted file of this machine, and under which key; none can be built.

    Raises
    ------
    AccessError
        It is plain, and there is no key to encrypt it with.
    IntegrityError
        It is plain, and not of the file; or not encrypted as its name says.
    """
    beside = find(source)
    if beside is None:
        return []
    index_key = plain_name(key) + Path(plain_name(beside)).suffix + ENCRYPTED_SUFFIX
    if is_encrypted(beside) or is_crypt4gh(beside):
        check_encrypted_source(beside, index_key)
    else:
        if secret is None:
            raise AccessError(
                f"{beside} is not sealed, though {source.name} is",
                "give the secret key of a recipient "
                "(--secret-key, secret_key), so that it is sealed for the same; or move it away: regions "
                "cannot be streamed then",
            )
        _check_fit(source, beside, secret)
    return [(beside, index_key)]


def find(source: Path) -> Path | None:
    """Find the index beside an encrypted file of this machine: an encrypted one, else a plain one."""
    there = [path for path in map(Path, dict.fromkeys([*index_names(source), *_plain_names(source)])) if os.path.isfile(path)]
    return next((path for path in there if is_crypt4gh(path)), next(iter(there), None))


def encrypt(source: Path, index: Path, folder: Path, secret: SecretKey | None) -> Path:
    """Encrypt the plain index of an encrypted file for the recipients of that file; returns the new file."""
    from modos.encryption.beside import encrypt_beside

    if secret is None:
        raise InvalidInputError(f"{index} cannot be sealed without a key")
    target = folder / f"{index.name}{ENCRYPTED_SUFFIX}"

    def pieces() -> Iterator[bytes]:
        with open(index, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    header = source_header(source)
    with open(target, "wb") as file:
        for piece in encrypt_beside(header, secret, pieces()):
            file.write(piece)
    return target


def describe(source: Path, indexes: Sequence[Path]) -> dict[str, Any]:
    """Return what the metadata record of the headers and body of a file encrypted elsewhere, and of its indexes."""
    from modos.encryption.body import SEALED_PIECE, Digest

    try:
        headers = [source_header(path) for path in (source, *indexes)]
    except DecryptError:
        return {}  # reading the file reports it
    digest, real = Digest(), source.resolve()
    for piece in LocalStorage(real.parent).iter_range(real.name, headers[0].size, real.stat().st_size, SEALED_PIECE):
        digest.add(piece)
    return {"header_digests": [header.digest for header in headers], "seal_digest": digest.hexdigest()}


def _plain_names(source: Path) -> list[str]:
    """List where a plain index of an encrypted file may be: `a.cram.crai`, or `a.cram.c4gh.crai`."""
    name = plain_name(source)
    format = format_of(name)
    return [*index_names(name), *(f"{name}{ENCRYPTED_SUFFIX}{suffix}" for suffix in (format.index_suffixes if format else ()))]


def _check_fit(source: Path, index: Path, secret: SecretKey) -> None:
    from modos.encryption.view import DecryptedView
    from modos.genomics import indexer

    format, name, real = format_of(plain_name(source)), plain_name(source.name), source.resolve()
    if not format or not format.streamable or real.name != name + ENCRYPTED_SUFFIX:
        return
    view = DecryptedView(LocalStorage(real.parent), secret)
    indexer.check_bytes(view, name, index.name, index.read_bytes())
