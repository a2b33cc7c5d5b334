"""Seal short texts that others keep for a server, such as cookies, so that the server alone reads them."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from modos.encryption.keys import refuse_readable
from modos.errors import InvalidInputError
from modos.storage.given import read_given

SHORTEST = 32  # characters of a secret
_NONCE = 12  # bytes (NIST SP 800-38D, 8.2.2: random ones, for 2^32 texts of a key at most)
_TAG = 16  # bytes
_LARGEST = 1 << 20  # bytes of a text that is opened
_LARGEST_FILE = 1 << 16  # bytes of a file of secrets


class TextSeal:
    """Seals texts with AES-256-GCM, under a key that is derived from a secret (HKDF with SHA-256).

    Parameters
    ----------
    secrets
        The first one seals; what any of them has sealed is opened. Without one
        a random one is drawn, and what it has sealed ends with this object.
    """

    def __init__(self, secrets: Sequence[bytes] = ()):
        self._secrets = tuple(secrets) or (os.urandom(32),)

    @classmethod
    def from_file(cls, path: str | Path) -> TextSeal:
        """Read secrets from a file that only its owner can read, one a line; `#` begins a comment.

        To replace one, put another line before it, and take the old one out once what it sealed has ended.

        Raises
        ------
        NotFoundError
            There is no such file.
        AccessError
            Others can read it.
        InvalidInputError
            It has no secret, or one of less than 32 characters.
        """
        content = read_given(path, _LARGEST_FILE)
        refuse_readable(path)
        lines = (line.strip() for line in content.splitlines())
        secrets = [line for line in lines if line and not line.startswith(b"#")]
        if not secrets or min(map(len, secrets)) < SHORTEST:
            raise InvalidInputError(
                f"{path} has no secret of {SHORTEST} characters in each of its lines", "write one: `openssl rand -hex 32`"
            )
        return cls(secrets)

    def seal(self, content: bytes, purpose: str) -> str:
        """Seal bytes for a purpose, as text of letters, digits, `-` and `_`; it is compressed before."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._ciphers[0].encrypt(nonce, zlib.compress(content, 9), purpose.encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, text: str, purpose: str) -> bytes | None:
        """Open what was sealed for a purpose; None if it was not, or is not whole."""
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        if len(sealed) < _NONCE + _TAG or len(sealed) > _LARGEST:
            return None
        for cipher in self._ciphers:
            try:
                content: bytes = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
            except InvalidTag:
                continue
            return zlib.decompress(content)
        return None

    @cached_property
    def _ciphers(self) -> list[Any]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return [AESGCM(HKDF(SHA256(), 32, None, b"modos sealed texts").derive(secret)) for secret in self._secrets]
