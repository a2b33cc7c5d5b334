"""Encrypt an index for the recipients of the file that it belongs to, whose keys need not be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modos.encryption import body
from modos.encryption.header import Header
from modos.encryption.keys import SecretKey
from modos.errors import DecryptError


def encrypt_beside(
    header: Header, secret: SecretKey, plain: Iterable[bytes], digests: body.BodyDigests | None = None
) -> Iterator[bytes]:
    """Encrypt plain bytes with header and data key of an encrypted file: the keys that decrypt that file decrypt these.

    Parameters
    ----------
    digests
        Takes in what passes.

    Raises
    ------
    DecryptError
        The key does not open the header, or the header has an edit list,
        which would hold for these bytes, too.
    """
    opened = header.decrypt(secret)
    if opened.edits is not None:
        raise DecryptError(
            "an index cannot be sealed as the file is, whose header has an edit list",
            "seal the file anew: modos c4gh revoke --rotate",
        )
    yield header.to_bytes()
    yield from body.encrypt(plain, opened.keys[0], digests=digests)
