"""The bytes of a file or of a region of it, from wherever they are served.

A source is a file behind an htsget server or straight in a storage. Both give
the same: the region that was meant, and a complete stream of the file's format
that holds all of its records, and neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from modos.errors import InvalidInputError, NotFoundError, RegionError, TruncatedStream
from modos.formats import FORMATS, FileFormat
from modos.htsget.client import HtsgetClient
from modos.htsget.protocol import Query, Ticket
from modos.planning import Planner, iter_segments
from modos.records import RecordReader
from modos.region import Region
from modos.storage import Storage


class Stream(NamedTuple):
    """A stream under way: its format, the region it was asked for, and its bytes."""

    format: FileFormat
    region: Region | None
    pieces: Iterator[bytes]


class Source(Protocol):
    """A genomic file that can be streamed."""

    name: str

    def open(self, region: str | Region | None) -> Stream:
        """Start a stream of a region, or of the whole file."""


class StorageSource:
    """A file read straight from its storage, by ranges."""

    def __init__(self, storage: Storage, key: str, planner: Planner | None = None):
        self._storage = storage
        self._key = key
        self._planner = planner or Planner(storage)
        self.name = f"{storage.url}/{key}"

    def open(self, region: str | Region | None) -> Stream:
        plan = self._planner.plan(self._key, region)
        segments = (*plan.header, *plan.body, *([plan.eof] if plan.eof else ()))
        return Stream(plan.format, plan.region, iter_segments(self._storage, self._key, segments))


class HtsgetSource:
    """A file behind an htsget server.

    Parameters
    ----------
    url
        The server.
    file_id
        Its id of the file.
    format
        The file's format.
    size
        The file's size in bytes, where it is known.
    """

    def __init__(self, url: str, file_id: str, format: FileFormat, size: int | None = None):
        self._client = HtsgetClient(url)
        self._file_id = file_id
        self._format = format
        self._size = size
        self.name = f"{url}/{format.kind}/{file_id}"

    def open(self, region: str | Region | None) -> Stream:
        if not isinstance(region, str):
            return self._open(region)
        try:
            return self._open(Region.parse(region))
        except (NotFoundError, RegionError) as error:
            contigs = self._contigs()
            if contigs is None:
                raise
            meant = Region.parse(region, contigs)
            if isinstance(error, RegionError):
                raise
            return self._open(meant)

    def _open(self, region: Region | None) -> Stream:
        def ask() -> Ticket:
            return self._client.ticket(self._format.kind, self._file_id, Query(self._format.name, region))

        ticket = ask()
        if ticket.format != self._format.name:
            raise InvalidInputError(f"the htsget server offers {self.name} as {ticket.format} only")
        pieces = self._client.iter_bytes(ticket, ask)
        return Stream(self._format, region, self._check_size(pieces) if region is None and self._size else pieces)

    def _check_size(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        received = 0
        for piece in pieces:
            received += len(piece)
            yield piece
        if received != self._size:
            raise TruncatedStream(f"{self.name}: {received:,} bytes arrived, the file has {self._size:,}")

    def _contigs(self) -> tuple[str, ...] | None:
        """The contigs of the file's header; None where there is no such file."""
        try:
            ticket = self._client.ticket(self._format.kind, self._file_id,
                                         Query(self._format.name, header_only=True))
        except NotFoundError:
            return None
        pieces = self._client.iter_bytes(ticket)
        with RecordReader(pieces, _without_end(self._format), name=self.name) as reader:
            return reader.contigs


def htsget_source(url: str, format_name: str | None = None) -> HtsgetSource:
    """The source behind `http://server/reads/ID` or `.../variants/ID`.

    Parameters
    ----------
    format_name
        BAM, CRAM, VCF or BCF; what the server has where it is None.
    """
    for kind in ("reads", "variants"):
        server, found, file_id = url.partition(f"/{kind}/")
        if found and file_id:
            names = [format_name] if format_name else [n for n, f in FORMATS.items() if f.kind == kind]
            return HtsgetSource(server, file_id, _offered(server, kind, file_id, names))
    raise InvalidInputError(f"{url} is not the address of a file on an htsget server",
                            "it ends with /reads/ID or /variants/ID")


def _offered(server: str, kind: str, file_id: str, names: list[str]) -> FileFormat:
    """The first of some formats that a server has of a file."""
    client = HtsgetClient(server)
    refusal: Exception | None = None
    for name in names:
        try:
            client.ticket(kind, file_id, Query(name, header_only=True))
        except InvalidInputError as error:
            refusal = error
            continue
        return FORMATS[name]
    raise refusal


def open_reader(source: Source, region: str | Region | None, reference_filename: str | None) -> tuple[RecordReader,
                                                                                                  Region | None]:
    """Start reading the records of a region; returns the reader and the region that was meant.

    The text of a region is settled against the header that comes with the
    stream; where it meant another contig than was asked for, the stream is
    asked for again.
    """
    stream = source.open(region)
    reader = RecordReader(stream.pieces, stream.format, reference_filename, source.name)
    try:
        if isinstance(region, str) and reader.contigs:
            meant = _settled(region, stream.region, reader.contigs)
            if meant != stream.region:
                reader.close()
                return open_reader(source, meant, reference_filename)
        return reader, stream.region
    except BaseException:
        reader.close()
        raise


def _settled(text: str, asked: Region | None, contigs: tuple[str, ...]) -> Region | None:
    try:
        return Region.parse(text, contigs)
    except NotFoundError:
        return asked  # a VCF may leave contigs out of its header


def iter_records(source: Source, region: str | Region | None, reference_filename: str | None) -> Iterator:
    """The pysam records of a region, and no others."""
    reader, meant = open_reader(source, region, reference_filename)
    with closing(reader):
        yield from reader.overlapping(meant)


def read_header(storage: Storage, key: str) -> Any:
    """The pysam header of a BAM, CRAM, VCF or BCF, read by range."""
    format, segments = Planner(storage).header_segments(key)
    with RecordReader(iter_segments(storage, key, segments), _without_end(format), name=key) as reader:
        return reader.header.copy()


def sequence_md5s(storage: Storage, key: str) -> dict[str, str]:
    """MD5 by name of the sequences a BAM or CRAM was made with, from the @SQ lines of its header."""
    lines = read_header(storage, key).to_dict().get("SQ", [])
    return {line["SN"]: line["M5"] for line in lines if re.fullmatch("[0-9a-f]{32}", line.get("M5", ""))}


def _without_end(format: FileFormat) -> FileFormat:
    """The format of a stream that has a header and no end marker."""
    return replace(format, eof_markers=())
