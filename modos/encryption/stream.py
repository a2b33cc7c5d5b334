"""Decrypt a stream if it is encrypted, and pass it on if it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from modos.encryption.header import Header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AccessError, DecryptError
from modos.formats.crypt4gh import MAGIC


def plain_pieces(
    pieces: Iterator[bytes],
    secret: SecretKey | None,
    name: str,
    senders: Sequence[PublicKey] | None = None,
    *,
    is_part: bool = False,
) -> Iterator[bytes]:
    """Yield the plain bytes of a stream, without what its edit list leaves out.

    Parameters
    ----------
    senders
        Of whom one must have encrypted it; anybody may, and it may be plain,
        where it is None.
    is_part
        Whether it is a part of a file that a server gives away, whose edit list is of the server.

    Raises
    ------
    AccessError
        It is encrypted, and there is no key.
    DecryptError
        The key does not open it, or it was changed; or it is of nobody of
        the senders.
    """
    held = b""
    for piece in pieces:
        held += piece
        if len(held) >= len(MAGIC):
            break
    if not held.startswith(MAGIC):
        if senders is not None:
            raise DecryptError(f"{name} is not sealed: nothing says who sent it", "leave the sender out to take it all the same")
        yield from chain((held,) if held else (), pieces)
        return
    if secret is None:
        raise AccessError(f"{name} is encrypted", "give the secret key it is encrypted for (--secret-key)")
    from modos.encryption.body import THREADS, apply_edits, decrypt

    try:
        header, rest = _header(held, pieces)
        opened = header.decrypt(secret, senders, edits_of_anyone=is_part)
        threads = 1 if is_part else THREADS  # to start them takes longer than to decrypt a region
        yield from apply_edits(decrypt(chain((rest,), pieces), opened.keys, threads=threads), opened.edits)
    except DecryptError as error:
        raise DecryptError(f"{name}: {error.message}", error.hint) from None


def _header(held: bytes, pieces: Iterator[bytes]) -> tuple[Header, bytes]:
    """Read the header, and return it with the bytes that follow it in the pieces read."""
    data = bytearray(held)

    def read(start: int, end: int) -> bytes:
        while len(data) < end and (piece := next(pieces, None)) is not None:
            data.extend(piece)
        return bytes(data[start:end])

    header = read_header(read)
    return header, bytes(data[header.size :])
