"""Make htsget tickets of encrypted files, with a key to what regions are found by, and none to the files.

The answer is a Crypt4GH file: the packets of the file as they are, an edit list
that is made here for the reader's public key, and the segments that are touched.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modos.catalog.catalog import Catalog
from modos.encryption.body import plain_size
from modos.encryption.excerpts import Excerpt
from modos.encryption.header import Header
from modos.encryption.keyforms import UnusableKey, lines_of, public_bytes
from modos.encryption.keys import KEY_BYTES, PublicKey, SecretKey
from modos.encryption.recorded import SealRecord
from modos.encryption.segments import SealedSegments, open_segments
from modos.errors import DecryptError, IntegrityError, InvalidInputError, NotFoundError
from modos.formats import plain_name, streamable_format
from modos.formats.crypt4gh import SEALED
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER, Block, HtsgetError, Ticket
from modos.genomics.htsget.query import HEADER_CLASS, Query
from modos.genomics.index.cuts import CutList
from modos.genomics.region import settle
from modos.object.cut_lists import open_cuts
from modos.server.rewrapping import KeyService
from modos.storage import ByteRange, ObjectInfo, Storage
from modos.storage.part_digests import Layout
from modos.storage.stored_digests import StoredDigests

MAX_BLOCK = 1 << 30  # bytes
INLINE = 4 * SEALED  # bytes of a file that come with the ticket
_MOST_DIGESTS = 1 << 14  # in a ticket: of 1 GiB
_MAX_FILES = 64
_MAX_CUTS = 256 << 20  # bytes that are remembered
_MAX_KEY = 4096  # characters of a public key in a header

Address = Callable[[str], tuple[str, dict[str, str]]]  # where a client gets a file, and the headers that this takes

logger = logging.getLogger(__name__)


def parse_reader(text: str | None) -> PublicKey | None:
    """Parse the public key of a request: Base64 of its 32 bytes, or of a key file, as htsget-rs has it; None without one."""
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True) if len(text) <= _MAX_KEY else b""
        return PublicKey(data if len(data) == KEY_BYTES else public_bytes(lines_of(data)))
    except (binascii.Error, UnusableKey, InvalidInputError, ValueError, IndexError):
        raise HtsgetError(
            "InvalidInput", f"{PUBLIC_KEY_HEADER} is not a public key: it is Base64 of 32 bytes, or of a key file"
        ) from None


@dataclass(frozen=True)
class _Sealed:
    """Encrypted file, with what its object records of it."""

    key: str
    storage: Storage  # of its object
    attributes: Mapping[str, Any]
    header: Header
    segments: SealedSegments
    digests: StoredDigests | None
    info: ObjectInfo

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.info.size


class SealedTickets:
    """Makes tickets of encrypted files.

    Parameters
    ----------
    secret
        Opens what regions are found by, where it was encrypted for it; None if nothing is.
    keys
        The service that encrypts headers for readers who are no recipients; None if there is none.
    """

    def __init__(self, catalog: Catalog, secret: SecretKey | None = None, keys: KeyService | None = None):
        self._catalog = catalog
        self._secret = secret
        self._keys = keys
        self._known: OrderedDict[tuple[str, str], tuple[CutList, int]] = OrderedDict()
        self._files: OrderedDict[str, _Sealed] = OrderedDict()
        self._lock = threading.Lock()

    def make_ticket(
        self, key: str, query: Query, reader: PublicKey | None, authorization: str | None, find_address: Address
    ) -> Ticket:
        """Make the ticket for an encrypted file or regions of it.

        Parameters
        ----------
        key
            Of the encrypted file.
        reader
            Whom the answer is for.
        authorization
            The header of that name, for the key service.
        find_address
            Tells where the client gets the file.

        Raises
        ------
        HtsgetError
            The reader is no recipient, or is not named; or this server has no key to find regions with.
        IntegrityError
            The file is not what is recorded.
        """
        file = self._open(key)
        is_part = query.header_only or bool(query.regions)
        if reader is None and is_part:
            raise HtsgetError(
                "InvalidInput", f"{plain_name(key)} is encrypted: send your public key in {PUBLIC_KEY_HEADER}, as Base64"
            )
        header = file.header if reader is None else self._admit(file, reader, authorization)
        head, ranges = header.to_bytes(), [ByteRange(file.header.size, file.size)]
        if is_part and reader is not None:
            excerpt = Excerpt.of_ranges(self._plan(file, query))
            head, ranges = header.add_edits(excerpt.edits, [reader]), excerpt.locate(file.header.size, file.size)
        block_class = HEADER_CLASS if query.header_only else None
        blocks = tuple(self._blocks(file, head, ranges, block_class, find_address))
        return Ticket(streamable_format(plain_name(key)).name, blocks, encryption_scheme=query.encryption_scheme)

    def _open(self, key: str) -> _Sealed:
        object_key, path = self._catalog.find_object(key)
        metadata = self._catalog.metadata(object_key)
        attributes = next((found for found in metadata.values() if found.get("data_path") == path), None)
        if attributes is None:
            raise NotFoundError(f"there is no file {key}")
        storage = self._catalog.storage.child(object_key) if object_key else self._catalog.storage
        with self._lock:
            known = self._files.get(key)
        if known and known.attributes == attributes and known.info == storage.stat(path):
            return known
        header, segments, info = open_segments(storage, path, SealRecord.from_attributes(attributes))
        layout, record = Layout((info.size - header.size,), SEALED), SealRecord.from_attributes(attributes)
        is_listed = bool(record.roots) and layout.parts > 1
        listed = StoredDigests(storage, record.list_key, layout, record.roots[0]) if is_listed else None
        found = _Sealed(key, storage, attributes, header, segments, listed, info)
        with self._lock:
            self._files[key] = found
            while len(self._files) > _MAX_FILES:
                self._files.popitem(last=False)
        return found

    def _admit(self, file: _Sealed, reader: PublicKey, authorization: str | None) -> Header:
        """Return the packets for a reader: those of the file for its recipients, for others those of the key service."""
        recorded = file.attributes.get("recipients") or ()
        if str(reader) in recorded:
            return file.header
        if self._keys is not None:
            return self._keys.fetch_header(file.key, file.header, reader, authorization)
        raise HtsgetError(
            "PermissionDenied",
            f"{plain_name(file.key)} is not encrypted for the key {reader.fingerprint}"
            + ("" if recorded else ", as far as is known: no recipient is recorded"),
        )

    def _plan(self, file: _Sealed, query: Query) -> list[ByteRange]:
        cuts = self._find_cuts(file)
        if cuts.size != plain_size(file.size - file.header.size):
            raise IntegrityError(f"what regions of {file.key} are found by is of another file")
        if query.header_only:
            return [cuts.plan_header()]
        return cuts.plan(settle(query.regions, cuts.contigs))

    def _find_cuts(self, file: _Sealed) -> CutList:
        """Find what regions of a file are found by, opened with the server's key."""
        checksum = file.attributes.get("cuts_checksum")
        if (
            self._secret is None
            or not checksum
            or str(self._secret.public) not in (file.attributes.get("index_recipients") or ())
        ):
            raise _no_regions_error(file.key)
        if str(self._secret.public) in (file.attributes.get("recipients") or ()):
            logger.warning("%s is encrypted for the key of this server, which could open it", file.key)
        known = file.key, checksum
        with self._lock:
            if known in self._known:
                self._known.move_to_end(known)
                return self._known[known][0]
        try:
            cuts = open_cuts(file.storage, file.attributes, self._secret)
        except (DecryptError, NotFoundError) as error:
            logger.error("%s: %s", file.key, error.message)
            raise _no_regions_error(file.key) from None
        with self._lock:
            self._known[known] = cuts, len(cuts.index_bytes) + 8 * len(cuts.places)
            while len(self._known) > _MAX_FILES or sum(size for _, size in self._known.values()) > _MAX_CUTS:
                self._known.popitem(last=False)
        return cuts

    def _blocks(
        self, file: _Sealed, head: bytes, ranges: list[ByteRange], block_class: str | None, find_address: Address
    ) -> Iterator[Block]:
        """Yield blocks of the header and of whole segments: a few as bytes, the others as ranges, with their digests."""
        url, headers = find_address(file.key)
        held = head  # bytes that come with the ticket
        start, left, inline = file.header.size, _MOST_DIGESTS, INLINE
        listed = file.digests
        step = MAX_BLOCK // SEALED * SEALED
        for span in (ByteRange(at, min(at + step, whole.end)) for whole in ranges for at in range(whole.start, whole.end, step)):
            first, beyond = (span.start - start) // SEALED, -(-(span.end - start) // SEALED)
            if span.size <= inline:
                inline -= span.size
                held += file.segments.read(first, beyond)
                continue
            if held:
                yield Block("", block_class=block_class, content=held)
                held = b""
            asked = {"Range": f"bytes={span.start}-{span.end - 1}"} | headers
            if listed is None or beyond - first > left:
                yield Block(url, asked, block_class)
                continue
            left -= beyond - first
            yield Block(url, asked, block_class, part=SEALED, digests=listed.read(first, beyond))
        if held:
            yield Block("", block_class=block_class, content=held)


def _no_regions_error(key: str) -> HtsgetError:
    return HtsgetError(
        "UnsupportedFormat",
        f"{plain_name(key)} is encrypted, and this server cannot find regions in it; read them from "
        f"/files/{key} with your key, or have its index encrypted for the server (modos c4gh share --index-for)",
    )
