"""Crypt4GH headers: the recipients of a file, the data keys of its body, and its edit list.

A header is a list of packets, each encrypted for one recipient. Packets do not
name their recipient: a key is tried on each.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from modos.encryption.keys import KEY_BYTES, PublicKey, SecretKey, as_public_keys
from modos.errors import DecryptError, InvalidInputError
from modos.formats.crypt4gh import MAGIC

VERSION = 1
MAX_PACKETS, MAX_HEADER = 1 << 16, 16 << 20
DATA_PACKET = 124  # bytes of a header with the data key for one recipient
_START = struct.Struct("<8sII")  # magic, version, packets
_NUMBER = struct.Struct("<I")
_DATA_KEY, _EDIT_LIST = 0, 1  # types of packets
_X25519_CHACHA20 = 0  # how packets and bodies are encrypted
_SMALLEST_PACKET = 4 + 4 + 32 + 12 + 16

Edits = tuple[int, ...]  # plain bytes to skip, to keep, to skip, ...


@dataclass(frozen=True)
class Opened:
    """Contents of a decrypted header: data keys and edit list.

    Parameters
    ----------
    keys
        The keys of the body; almost always one.
    edits
        Lengths to skip and to keep, in turn; None, or none at all, where all counts.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    edits: Edits | None


@dataclass(frozen=True)
class Header:
    """A header's packets as they are, and its size in bytes."""

    packets: tuple[bytes, ...]
    size: int

    @property
    def digest(self) -> str:
        """BLAKE2b-512 of its bytes, in hexadecimal digits."""
        return digest_of(self.to_bytes())

    def decrypt(
        self, secret: SecretKey, sender: PublicKey | Iterable[PublicKey] | None = None, *, edits_of_anyone: bool = False
    ) -> Opened:
        """Decrypt the header.

        Parameters
        ----------
        sender
            The writer that is required, or several of whom one is; anybody where
            it is None. Data keys of others do not count.
        edits_of_anyone
            Whether the edit list may be of anybody, as that of a server that gives away a part of a file is.

        Raises
        ------
        DecryptError
            The key opens no packet, or none with a data key; or what is in
            them is not what it should be, or an edit list is of somebody else.
        """
        senders = None if sender is None else as_public_keys(sender)
        found = self._decrypt_packets(secret)
        plain = [
            content
            for packet, content in found
            if senders is None or writer_of(packet) in senders or (edits_of_anyone and _kind(content) == _EDIT_LIST)
        ]
        if not found:
            raise DecryptError("the file is not sealed for this key", f"the key's fingerprint is {secret.public.fingerprint}")
        if not any(_kind(content) == _DATA_KEY for content in plain) and senders is not None:
            raise DecryptError(
                "the file is not sealed for this key by that sender, but by "
                + _list_fingerprints(writer_of(packet) for packet, _ in found),
                "who shares a file or revokes writes packets, too: give the keys of all whose word you take",
            )
        if any(_kind(content) == _EDIT_LIST for _, content in found if content not in plain):
            raise DecryptError("what counts of the file is said by somebody else than that sender")
        keys = tuple(dict.fromkeys(_data_key(content) for content in plain if _kind(content) == _DATA_KEY))
        edits = [_edit_list(content) for content in plain if _kind(content) == _EDIT_LIST]
        if not keys or len(edits) > 1 or any(_kind(content) not in (_DATA_KEY, _EDIT_LIST) for content in plain):
            raise DecryptError("the header is damaged: it has no data key, several edit lists, or unknown packets")
        return Opened(keys, edits[0] if edits else None)

    def packets_for(self, secret: SecretKey) -> tuple[bytes, ...]:
        """List the packets that a key decrypts."""
        return tuple(packet for packet, _ in self._decrypt_packets(secret))

    def _decrypt_packets(self, secret: SecretKey) -> list[tuple[bytes, bytes]]:
        """Decrypt the packets that a key opens."""
        found = ((packet, _decrypt_packet(packet, secret)) for packet in self.packets)
        return [(packet, content) for packet, content in found if content is not None]

    def has_packets_for(self, secret: SecretKey) -> bool:
        """Return whether a key opens any packet."""
        return bool(self._decrypt_packets(secret))

    def reencrypt(self, secret: SecretKey, recipients: Iterable[PublicKey], *, keep: bool) -> bytes:
        """Encrypt the header for more recipients, or with `keep` false for these alone, as bytes; the body stays as it is.

        The owner of the key that decrypts it is not added again: a second edit
        list would lock them out.
        """
        return self._add_recipients(self.packets if keep else (), secret, recipients)

    def reencrypt_for_others(self, secret: SecretKey, others: Iterable[PublicKey]) -> bytes:
        """Encrypt the header for the owner of the key, whose packets stay as they are, and for others alone, as bytes."""
        return self._add_recipients(self.packets_for(secret), secret, others)

    def _add_recipients(self, packets: Sequence[bytes], secret: SecretKey, recipients: Iterable[PublicKey]) -> bytes:
        new = (one for one in recipients if not (packets and one == secret.public))
        return _serialise([*packets, *_encrypt_packets(self.decrypt(secret), new, secret)])

    def add_edits(self, edits: Edits, readers: Iterable[PublicKey]) -> bytes:
        """Add an edit list for some recipients to the packets, which stay as they are, as bytes; that takes no key.

        It is encrypted with a key for this one use, and says nothing of who made it.
        """
        return _serialise([*self.packets, *_encrypt_contents([_edits_content(edits)], readers, SecretKey.random())])

    def to_bytes(self) -> bytes:
        """Serialise the header as in the file."""
        return _serialise(self.packets)


def digest_of(head: bytes) -> str:
    """Return BLAKE2b-512 of the bytes of a header, in hexadecimal digits."""
    return hashlib.blake2b(head).hexdigest()


def writer_of(packet: bytes) -> PublicKey | None:
    """Return the public key that a packet names as its writer: proven only where a key has decrypted the packet."""
    key = packet[4 : 4 + KEY_BYTES]
    return PublicKey(key) if any(key) else None


def _list_fingerprints(writers: Iterable[PublicKey | None]) -> str:
    return ", ".join(dict.fromkeys(writer.fingerprint for writer in writers if writer))


def encrypt_header(
    key: bytes, recipients: Sequence[PublicKey], sender: SecretKey | None = None, edits: Edits | None = None
) -> bytes:
    """Encrypt the header of a body that is encrypted with a key.

    Parameters
    ----------
    sender
        Whose secret key seals it; one for this use where it is None.
    """
    if not recipients:
        raise InvalidInputError("no recipient is given", "give at least one public key")
    return _serialise(_encrypt_packets(Opened((key,), edits), dict.fromkeys(recipients), sender or SecretKey.random()))


def read_header(read: Callable[[int, int], bytes]) -> Header:
    """Read the packets of a file's header.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file, fewer where it ends.

    Raises
    ------
    DecryptError
        The file is not Crypt4GH version 1, or ends within its header.
    """
    start = read(0, _START.size)
    if start[:8] != MAGIC[: len(start[:8])] or not start:
        raise DecryptError("not a Crypt4GH file")
    if len(start) < _START.size:
        raise DecryptError("the file ends within its header")
    _, version, count = _START.unpack(start)
    if version != VERSION:
        raise DecryptError(f"Crypt4GH version {version} is not supported")
    if not 0 < count <= MAX_PACKETS:
        raise DecryptError(f"the header is damaged: it says that it has {count:,} packets")
    packets, at = [], _START.size
    for _ in range(count):
        length = read(at, at + 4)
        size = _NUMBER.unpack(length)[0] if len(length) == 4 else 0
        if at + size > MAX_HEADER or size < _SMALLEST_PACKET:
            raise DecryptError(
                "the file ends within its header" if len(length) < 4 else "the header is damaged: a packet of an absurd length"
            )
        packet = read(at + 4, at + size)
        if len(packet) < size - 4:
            raise DecryptError("the file ends within its header")
        packets.append(packet)
        at += size
    return Header(tuple(packets), at)


def _serialise(packets: Sequence[bytes]) -> bytes:
    if len(packets) > MAX_PACKETS:
        raise InvalidInputError(f"a header has at most {MAX_PACKETS:,} packets")
    return _START.pack(MAGIC, VERSION, len(packets)) + b"".join(_NUMBER.pack(len(packet) + 4) + packet for packet in packets)


def _encrypt_packets(opened: Opened, recipients: Iterable[PublicKey], sender: SecretKey) -> list[bytes]:
    from crypt4gh import header

    contents = [header.make_packet_data_enc(_X25519_CHACHA20, key) for key in opened.keys]
    if opened.edits:
        contents.append(_edits_content(opened.edits))
    return _encrypt_contents(contents, recipients, sender)


def _edits_content(edits: Edits) -> bytes:
    return _NUMBER.pack(_EDIT_LIST) + _NUMBER.pack(len(edits)) + struct.pack(f"<{len(edits)}Q", *edits)


def _encrypt_contents(contents: Sequence[bytes], recipients: Iterable[PublicKey], sender: SecretKey) -> list[bytes]:
    from crypt4gh import header

    method = _NUMBER.pack(_X25519_CHACHA20)
    return [
        method + bytes(header.encrypt_X25519_Chacha20_Poly1305(content, sender.raw, recipient.raw))
        for recipient in recipients
        for content in contents
    ]


def _decrypt_packet(packet: bytes, secret: SecretKey) -> bytes | None:
    """Decrypt the content of a packet; None if the key does not fit."""
    from crypt4gh import header

    if _NUMBER.unpack_from(packet)[0] != _X25519_CHACHA20:
        return None
    try:
        content = header.decrypt_X25519_Chacha20_Poly1305(packet[4:], secret.raw)
    except Exception:  # the package has one for each way to fail
        return None
    return bytes(content) if len(content) >= 4 else None


def _kind(content: bytes) -> int:
    return int(_NUMBER.unpack_from(content)[0])


def _data_key(content: bytes) -> bytes:
    if len(content) < 8 + KEY_BYTES:
        raise DecryptError("the header is damaged: a data key is too short")
    method = _NUMBER.unpack_from(content, 4)[0]
    if method != _X25519_CHACHA20:
        raise DecryptError(f"the body is sealed with method {method}, which is not supported")
    return content[8 : 8 + KEY_BYTES]


def _edit_list(content: bytes) -> Edits:
    count = _NUMBER.unpack_from(content, 4)[0] if len(content) >= 8 else -1
    if count < 0 or len(content) < 8 + 8 * count:
        raise DecryptError("the header is damaged: its edit list is cut")
    return struct.unpack_from(f"<{count}Q", content, 8)
