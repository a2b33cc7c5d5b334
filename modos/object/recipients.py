"""Work out the recipients of encrypted files, as far as headers and records tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from modos.encryption.header import Header, writer_of
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import header_key, index_names, is_encrypted
from modos.storage import Storage


@dataclass(frozen=True)
class Packets:
    """Packets of a header, compared with the recipients that are recorded.

    Parameters
    ----------
    count
        All of them.
    recorded
        Recipients in the metadata.
    own
        Packets that a key opens; None where none was given.
    unknown
        Packets beyond those that the recipients in the metadata and the owner
        of the key account for: at least so many are of somebody else.
    missing
        Packets that the recipients in the metadata would have to have, and
        that are not there.
    is_as_recorded
        The header has the digest that is recorded, or the key opens every
        packet.
    """

    count: int
    recorded: int
    own: int | None
    unknown: int
    missing: int
    is_as_recorded: bool

    @classmethod
    def count_in_files(cls, storage: Storage, header: Header, attributes: Mapping[str, Any], secret: SecretKey | None) -> Packets:
        """Count the packets of a data file's header, or of an index's where that has more of unknown recipients."""
        found = [cls.count_in_header(header, attributes, secret, SealRecord.from_attributes(attributes))]
        for index in index_names(attributes["data_path"]):
            with suppress(NotFoundError):
                of_index, _, _ = read_stored_header(storage, index)
                found.append(cls.count_in_header(of_index, attributes, secret, SealRecord.from_index_attributes(attributes)))
        most = max(found, key=lambda one: one.unknown)
        return replace(most, missing=max(one.missing for one in found), is_as_recorded=all(one.is_as_recorded for one in found))

    @classmethod
    def count_in_header(
        cls, header: Header, attributes: Mapping[str, Any], secret: SecretKey | None, record: SealRecord
    ) -> Packets:
        """Count the packets of a header; each recipient has as many as the key opens, and one if there is no key."""
        recorded = set(attributes.get("recipients", ()))
        own = None if secret is None else len(header.packets_for(secret))
        others = recorded if secret is None or not own else recorded - {str(secret.public)}
        left = len(header.packets) - (own or 0) - len(others) * (own or 1)
        return cls(
            len(header.packets),
            len(recorded),
            own,
            max(left, 0),
            max(-left, 0),
            header.digest in record.headers or len(header.packets) == own,
        )

    @property
    def are_accounted_for(self) -> bool:
        """Return whether no packet can be of somebody who is not recorded, as far as the metadata can be trusted."""
        return self.is_as_recorded and not self.unknown

    def describe_unknown(self) -> str:
        """Write `1 packet of an unknown recipient`, `3 packets of unknown recipients`."""
        return "1 packet of an unknown recipient" if self.unknown == 1 else f"{self.unknown:,} packets of unknown recipients"

    def describe_losses(self) -> Iterator[str]:
        """Say what changes when the header is made anew for those who are recorded and the owner of the key."""
        if self.unknown:
            yield (
                f"{self.describe_unknown()} {'was' if self.unknown == 1 else 'were'} removed as well, as one cannot "
                "be told from another"
            )
        elif not self.are_accounted_for:
            yield "sealed anew for the recorded recipients, as its packets do not say for whom they are"
        if not self.recorded:
            yield "no recipient was recorded: it is sealed for your key alone now"


@dataclass(frozen=True)
class Recipients:
    """Recipients of the file of an element.

    Parameters
    ----------
    packets
        In the header, which does not say for whom they are; of an index where
        that has more of unknown recipients.
    fingerprints
        Of the public keys in the metadata; only the header's writer knows
        whether it was encrypted for them.
    opens
        Whether a key opens it; None where none was given.
    own
        Packets that the key opens; None where none was given.
    unknown
        Packets beyond those that these recipients and the key account for.
    missing
        Packets that these recipients would have to have, and that are not
        there.
    sender
        Fingerprint of the recorded sender; None where none is recorded.
    writers
        Fingerprints of the writers of the packets that the key opens.
    servers
        Fingerprints of the recorded servers that find regions in it, and open no data.
    """

    element_id: str
    packets: int
    fingerprints: tuple[str, ...]
    opens: bool | None
    own: int | None = None
    unknown: int = 0
    missing: int = 0
    sender: str | None = None
    writers: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


def find_recipients(storage: Storage, metadata: Mapping[str, Mapping[str, Any]], secret: SecretKey | None) -> list[Recipients]:
    """Find the recipients of each encrypted file."""
    found = []
    for element_id, attributes in iter_encrypted(metadata):
        header, _, _ = read_stored_header(storage, header_key(attributes))
        packets = Packets.count_in_files(storage, header, attributes, secret)
        fingerprints = tuple(_fingerprint(key) for key in attributes.get("recipients", ()))
        writers = () if secret is None else (writer_of(packet) for packet in header.packets_for(secret))
        sender = attributes.get("sender")
        found.append(
            Recipients(
                element_id,
                packets.count,
                fingerprints,
                None if secret is None else header.has_packets_for(secret),
                packets.own,
                packets.unknown,
                packets.missing,
                None if sender is None else _fingerprint(sender),
                tuple(dict.fromkeys(writer.fingerprint for writer in writers if writer)),
                tuple(_fingerprint(key) for key in attributes.get("index_recipients") or ()),
            )
        )
    return found


def iter_encrypted(metadata: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Iterate over the elements that have an encrypted file, with their attributes."""
    return ((element_id, a) for element_id, a in metadata.items() if is_encrypted(a.get("data_path") or ""))


def _fingerprint(key: str) -> str:
    try:
        return PublicKey.parse(key).fingerprint
    except InvalidInputError:
        return f"not a key: {key[:60]!r}"
