"""Keys that are used once: each is derived from the one before, which is forgotten."""

from __future__ import annotations

import hashlib
import hmac

KEY = 32  # bytes of each key
_NEXT, _HEAD = b"modos log next", b"modos log head"  # what BLAKE2b is personalised by


class Ratchet:
    """Key of the next frame of a segment; whoever learns it learns none of those before.

    Parameters
    ----------
    key
        Of the first frame: 32 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes):
        self._key = key

    def step(self) -> bytes:
        """Return the key that seals the next frame (32 bytes), and go on to the one after it."""
        made = hashlib.blake2b(key=self._key, digest_size=2 * KEY, person=_NEXT).digest()
        self._key = made[:KEY]
        return made[KEY:]

    def copy(self) -> Ratchet:
        """Return one that goes on from the same frame."""
        return Ratchet(self._key)

    def sign_head(self, text: bytes) -> str:
        """Return the MAC of a head after the frames that were sealed so far, in hexadecimal digits."""
        return hashlib.blake2b(text, key=self._key, digest_size=KEY, person=_HEAD).hexdigest()

    def has_signed(self, text: bytes, mac: str) -> bool:
        """Return whether a MAC is that of a head after the frames so far."""
        return hmac.compare_digest(self.sign_head(text), mac)
