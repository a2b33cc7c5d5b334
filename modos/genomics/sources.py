"""The bytes of a file or of regions of it, from wherever they are served.

A source is a file behind an htsget server or straight in a storage. Both give
the same: the regions that were meant, and complete streams of the file's
format that hold all of their records, and neighbours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.stream import plain_pieces
from modos.errors import (
    AccessError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProtocolError,
    RegionError,
    RemoteError,
    TruncatedStream,
)
from modos.formats import FORMATS, FileFormat, RecordKind, streamable_format
from modos.genomics.blanking import PLACING
from modos.genomics.htsget.client import WORKERS, HtsgetClient
from modos.genomics.htsget.protocol import Ticket
from modos.genomics.htsget.query import Query
from modos.genomics.index import open_stream
from modos.genomics.planning import Plan, Planner, iter_plan
from modos.genomics.region import Region, RegionLike, Regions, settle
from modos.genomics.verification import Recorded, verify
from modos.storage import Readable

_SCHEME = "c4gh"
_ADDRESS = re.compile(r"(?P<server>\w+://[^/]+.*?)/(?P<kind>reads|variants)/(?P<id>.+)")
_INLINE = 8 << 20  # bytes of small stretches of a file, each read at once with its edges

logger = logging.getLogger(__name__)


class Stream(NamedTuple):
    """A stream under way.

    Parameters
    ----------
    regions
        What of the file it is for, in the file's order; None for all of it.
    after
        The region before these, whose records are in another stream; None
        where there is none.
    pieces
        The bytes of a file of the source's format.
    is_verified
        They end in an error where they are not those that the object's
        metadata tell of.
    """

    regions: Regions | None
    after: Region | None
    pieces: Iterator[bytes]
    is_verified: bool = False


class Source(Protocol):
    """A genomic file that can be streamed."""

    name: str
    format: FileFormat

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open streams of some regions, or of the whole file: one, or several in the file's order."""

    def open_header(self) -> Iterator[bytes]:
        """Open the file's header, without an end marker."""

    def contigs(self) -> tuple[str, ...]:
        """Return the contigs of the header and, if it is known, of the index; none if there is no such file."""


class ConfirmedSource:
    """A source that is asked only as long as its file is the one that is meant.

    Parameters
    ----------
    confirm
        Raises ConflictError where it is not any more.
    """

    def __init__(self, source: Source, confirm: Callable[[], object]):
        self._source = source
        self._confirm = confirm
        self.format = source.format
        self.name = source.name

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open its streams; each is there before it is decided which of the two sources the file is."""
        self._confirm()
        for stream in self._source.open(regions):
            self._confirm()
            yield stream

    def open_header(self) -> Iterator[bytes]:
        """Open the stream of its header."""
        self._confirm()
        return self._source.open_header()

    def contigs(self) -> tuple[str, ...]:
        """List its contigs."""
        self._confirm()
        return self._source.contigs()


class StorageSource:
    """A file read straight from its storage, by ranges.

    Parameters
    ----------
    recorded
        What is known of the whole file, to compare it with.
    """

    def __init__(
        self, storage: Readable, key: str, planner: Planner | None = None, workers: int = WORKERS, recorded: Recorded = Recorded()
    ):
        self._storage = storage
        self._key = key
        self._planner = planner or Planner(storage)
        self._workers = workers
        self._recorded = recorded
        self.format = streamable_format(key)
        self.name = f"{storage.url}/{key}"

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open one stream."""
        try:
            stream = self._start(regions)
        except ConflictError:
            self._planner.forget(self._key)
            stream = self._start(regions)
        yield stream

    def _start(self, regions: Sequence[RegionLike] | None) -> Stream:
        """Start a stream up to its first bytes, to know that what was remembered of the file holds."""
        plan = self._plan(regions)
        if self._recorded.size not in (None, plan.info.size):
            raise TruncatedStream(
                f"{self.name} has {plan.info.size:,} bytes, recorded are {self._recorded.size:,}: it is damaged, or was replaced",
                "`modos check` says more; open the object again where somebody else has changed it",
            )
        pieces = self._iter(plan)
        started = chain(list(islice(pieces, len(plan.header) + 1)), pieces)
        return Stream(plan.regions, None, started) if regions is not None else _whole_stream(started, self._recorded, self.name)

    def _plan(self, regions: Sequence[RegionLike] | None) -> Plan:
        return self._planner.plan(self._key, regions, inline=_INLINE, workers=self._workers)

    def open_header(self) -> Iterator[bytes]:
        """Open the header, read by range."""
        return self._iter(self._planner.plan_header(self._key))

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the header and the index."""
        return self._planner.contigs(self._key)

    def _iter(self, plan: Plan) -> Iterator[bytes]:
        return iter_plan(self._storage, plan, self._workers)


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
        self.format = format
        self.name = f"{client.url}/{format.kind}/{file_id}"

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open one stream, or one for each region where the server cannot answer several with one."""
        if regions is None:
            pieces = self._iter(self._query, self._ask(self._query))
            yield _whole_stream(pieces, Recorded() if self._query.is_partial else self._recorded, self.name)
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
            yield Stream(query.regions, last, self._iter(query, ticket))
            last = query.regions[-1]

    def _ask(self, query: Query) -> Ticket:
        return self._client.fetch_ticket(self._kind, self._file_id, query)

    def _iter(self, query: Query, ticket: Ticket) -> Iterator[bytes]:
        if ticket.format != self.format.name:
            raise InvalidInputError(f"the htsget server offers {self.name} as {ticket.format} only")
        return plain_pieces(self._client.iter_bytes(ticket, lambda: self._ask(query)), self._secret, self.name, self._senders)

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the header; none if there is no such file."""
        try:
            return tuple(open_stream(self.format, self.open_header()).header.contigs)
        except NotFoundError:
            return ()


def _whole_stream(pieces: Iterator[bytes], recorded: Recorded, name: str) -> Stream:
    """Open a stream of a whole file."""
    known = any(recorded)
    return Stream(None, None, verify(pieces, recorded, name) if known else pieces, recorded.checksum is not None)


class FallbackSource:
    """A file behind an htsget server that may be away: it is read from its storage then.

    Where the server fails after the first stream has begun, that is an error:
    what has been handed out cannot be taken back.
    """

    def __init__(self, served: HtsgetSource, stored: StorageSource):
        self._served = served
        self._stored = stored
        self.format = served.format
        self.name = served.name

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open the streams of the server, or else of the storage."""
        streams = self._served.open(regions)
        try:
            first = next(streams)
        except RemoteError as error:
            yield from self._fall_back(error).open(regions)
            return
        yield first
        yield from streams

    def open_header(self) -> Iterator[bytes]:
        """Open the server's header, or else the storage's."""
        try:
            return self._served.open_header()
        except RemoteError as error:
            return self._fall_back(error).open_header()

    def contigs(self) -> tuple[str, ...]:
        """List the contigs of the stored file, or else those that the server names."""
        try:
            return self._stored.contigs()
        except (AccessError, RemoteError):
            return self._served.contigs()

    def _fall_back(self, error: RemoteError) -> StorageSource:
        logger.info("%s is read without the htsget server: %s", self._stored.name, error)
        return self._stored


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
        except (InvalidInputError, NotFoundError) as error:
            refusal = error
            continue
        if FORMATS[ticket.format].kind == kind:
            return FORMATS[ticket.format]
    raise refusal or ProtocolError(f"{client.url}/{kind}/{file_id} has no {kind}")
