"""Streams of a file behind an htsget server.

The server decides how much of a file it gives for a region, and whether it
answers several regions at once: what comes is as `modos.genomics.sources` has it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.stream import plain_pieces
from modos.errors import AccessError, InvalidInputError, NotFoundError, ProtocolError, RegionError, listing
from modos.formats import FORMATS, FileFormat, RecordKind
from modos.genomics.blanking import PLACING
from modos.genomics.htsget.client import WORKERS, HtsgetClient
from modos.genomics.htsget.protocol import Ticket, UnreadStorageError
from modos.genomics.htsget.query import Query
from modos.genomics.index import open_stream
from modos.genomics.region import Region, RegionLike, Regions, settle
from modos.genomics.sources import Stream, whole_stream
from modos.genomics.verification import Recorded

_SCHEME = "c4gh"
logger = logging.getLogger(__name__)
_BOUNDS = {"notags": "all tags but", "info": "INFO keys", "formats": "FORMAT keys"}
_ADDRESS = re.compile(r"(?P<server>\w+://[^/]+.*?)/(?P<kind>reads|variants)/(?P<id>.+)")


class HtsgetSource:
    """A file behind an htsget server.

    Parameters
    ----------
    client
        The server's.
    file_id
        Its id of the file.
    format
        The file's format.
    recorded
        What is known of the whole file, to compare it with.
    hints
        The fields and tags that are wanted; the server may send more.
    secret
        The key to open the answers with, where the server encrypts them.
    senders
        Of whom one must have encrypted them; anybody may, and they may be
        plain, where it is None.
    """

    def __init__(
        self,
        client: HtsgetClient,
        file_id: str,
        format: FileFormat,
        recorded: Recorded = Recorded(),
        hints: Query = Query(),
        secret: SecretKey | None = None,
        senders: Sequence[PublicKey] | None = None,
    ):
        if format.kind is None:
            raise InvalidInputError(f"{format.name} files have no records that can be streamed")
        self._client = client
        self._kind = format.kind
        self._file_id = file_id
        self._recorded = recorded
        self._query = replace(hints, format=format.name, encryption_scheme=_SCHEME if secret else None)
        self._secret = secret
        self._senders = senders
        self._is_told = False
        self.format = format
        self.name = f"{client.url}/{format.kind}/{file_id}"

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open one stream, or one for each region where the server cannot answer several with one."""
        if regions is None:
            pieces = self._iter(self._query, self._ask(self._query))
            yield whole_stream(pieces, Recorded() if self._query.is_partial else self._recorded, self.name)
        elif len(regions) == 1:
            yield self._open_one(regions[0])
        else:
            contigs = self.contigs()
            if self.format.name == "VCF":
                places = [r if isinstance(r, Region) else _resolve_region(r, Region.parse(r), contigs) for r in regions]
                regions = places
                for region in places:
                    if region.contig not in contigs:  # which only the index may know
                        self._ask(replace(self._query, regions=(region,)))
            yield from self._open_several(settle(regions, contigs or None))

    def open_header(self) -> Iterator[bytes]:
        """Open the header, as the server gives it."""
        query = Query(self.format.name, header_only=True, encryption_scheme=self._query.encryption_scheme)
        return self._iter(query, self._ask(query))

    def _open_one(self, region: RegionLike) -> Stream:
        """Open a stream of one region; text is settled against the header that comes with it, and asked for anew."""
        if isinstance(region, Region):
            return next(self._open_several((region,)))
        guess = Region.parse(region)
        try:
            stream = next(self._open_several((guess,)))
        except (NotFoundError, RegionError):
            contigs = self.contigs()
            meant = Region.parse(region, contigs) if contigs else guess
            if meant == guess:
                raise
            return next(self._open_several((meant,)))
        opening = open_stream(self.format, stream.pieces)
        meant = _resolve_region(region, guess, opening.header.contigs)
        return Stream((guess,), None, opening.pieces) if meant == guess else next(self._open_several((meant,)))

    def _open_several(self, regions: Regions) -> Iterator[Stream]:
        """Open streams of regions in the file's order, with the fields that say which reads are in them."""
        last: Region | None = None
        fields = tuple(dict.fromkeys((*self._query.fields, *PLACING))) if self._query.fields else ()
        asked = replace(self._query, regions=regions, fields=fields)
        for query, ticket in self._client.fetch_tickets(self._kind, self._file_id, asked):
            self._tell_bounds(query, ticket)
            yield Stream(query.regions, last, self._iter(query, ticket))
            last = query.regions[-1]

    def _ask(self, query: Query) -> Ticket:
        ticket = self._client.fetch_ticket(self._kind, self._file_id, query)
        self._tell_bounds(query, ticket)
        return ticket

    def _tell_bounds(self, query: Query, ticket: Ticket) -> None:
        """Warn where the server gives less than was asked for, once; raise AccessError where what it gives could be misread."""
        allowed = ticket.allowed
        parts = []
        if allowed is not None and not query.header_only and not (query.regions and settle(query.regions) == settle(allowed)):
            parts.append(listing(map(str, allowed)) or "nothing")
        fields = ticket.bounds.get("fields")
        if query.regions and fields is not None and not set(PLACING) <= set(fields):
            raise AccessError(
                f"{self.name}: you may not read where its reads lie, only {listing(fields)}: regions cannot be told apart",
                "leave the regions out, or get the bytes of an exact slice: curl .../slices/reads/ID?referenceName=...",
            )
        parts += [f"{_BOUNDS.get(name, name)} {listing(names) or 'none'}" for name, names in ticket.bounds.items()]
        if parts and not self._is_told:
            self._is_told = True
            logger.warning("%s: you may read only %s of it, and that is all you get", self.name, "; ".join(parts))

    def _iter(self, query: Query, ticket: Ticket) -> Iterator[bytes]:
        if ticket.format != self.format.name:
            raise InvalidInputError(f"the htsget server offers {self.name} as {ticket.format} only")
        if not ticket.is_comparable:
            logger.info("%s: the htsget server gives no digests, and what it sends is not compared with any", self.name)
        pieces, is_part = self._client.iter_bytes(ticket, lambda: self._ask(query)), bool(query.regions or query.header_only)
        return plain_pieces(pieces, self._secret, self.name, self._senders, is_part=is_part)

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the header; none if there is no such file."""
        try:
            return tuple(open_stream(self.format, self.open_header()).header.contigs)
        except NotFoundError:
            return ()

    def measure(self, regions: Sequence[Region]) -> None:
        """Return None: a server does not show its index."""


def _resolve_region(text: str, asked: Region, contigs: Iterable[str]) -> Region:
    try:
        return Region.parse(text, dict.fromkeys(contigs))
    except NotFoundError:
        return asked  # a VCF may leave contigs out of its header


def htsget_source(
    url: str,
    *,
    hints: Query = Query(),
    token: str | None = None,
    secret: SecretKey | None = None,
    workers: int = WORKERS,
    senders: Sequence[PublicKey] | None = None,
) -> HtsgetSource:
    """Return the source behind `http://server/reads/ID` or `.../variants/ID`.

    Parameters
    ----------
    hints
        The fields and tags that are wanted.
    token
        Bearer token for the server.
    secret
        The key to open the answers with, where the server encrypts them.
    workers
        How many parts are fetched at once.
    senders
        Of whom one must have encrypted the answers; None for anybody.
    """
    found = _ADDRESS.fullmatch(url)
    if not found:
        raise InvalidInputError(
            f"{url} is not the address of a file on an htsget server", "it ends with /reads/ID or /variants/ID"
        )
    kind: RecordKind = "reads" if found["kind"] == "reads" else "variants"
    file_id = unquote(found["id"])
    key = None if secret is None else secret.public.to_pem()
    client = HtsgetClient(found["server"], workers=workers, token=token, public_key=key)
    format = _discover_format(client, kind, file_id, _SCHEME if secret else None)
    return HtsgetSource(client, file_id, format, hints=hints, secret=secret, senders=senders)


def _discover_format(client: HtsgetClient, kind: RecordKind, file_id: str, scheme: str | None) -> FileFormat:
    """Discover the format that a server gives a file in, else return the first that it has."""
    refusal: Exception | None = None
    for name in (None, *(name for name, format in FORMATS.items() if format.kind == kind)):
        try:
            ticket = client.fetch_ticket(kind, file_id, Query(name, header_only=True, encryption_scheme=scheme))
        except (InvalidInputError, NotFoundError, UnreadStorageError) as error:
            refusal = refusal if isinstance(refusal, UnreadStorageError) else error
            continue
        if FORMATS[ticket.format].kind == kind:
            return FORMATS[ticket.format]
    raise refusal or ProtocolError(f"{client.url}/{kind}/{file_id} has no {kind}")
