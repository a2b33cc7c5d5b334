"""Seal small messages under a key that both sides have (ChaCha20-Poly1305, RFC 8439)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


def seal(key: bytes, nonce: bytes, content: bytes, vouched: bytes = b"") -> bytes:
    """Seal a content.

    Parameters
    ----------
    key, nonce
        32 and 12 bytes; the same two never seal another content.
    vouched
        Bytes that stay plain, and for which the seal vouches, too.

    Returns
    -------
    bytes
        The nonce, the ciphertext and the tag: 28 bytes more than the content.
    """
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, content, vouched)


def unseal(key: bytes, nonce: bytes, sealed: bytes, vouched: bytes = b"") -> bytes | None:
    """Open ciphertext and tag; None where the key is another one, or something was changed."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, vouched)
    except InvalidTag:
        return None
