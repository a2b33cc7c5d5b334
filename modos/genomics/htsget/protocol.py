"""The tickets and errors of htsget, without any I/O."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from modos.errors import (
    AccessError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    ProtocolError,
    RegionError,
    RemoteError,
)
from modos.formats import FORMATS
from modos.genomics.region import UNMAPPED, Region, Regions
from modos.storage import ByteRange
from modos.storage.http.asking import read_json
from modos.storage.part_digests import DIGEST

MEDIA_TYPE = "application/vnd.ga4gh.htsget.v1.3.0+json"
PUBLIC_KEY_HEADER = "Htsget-Context-Public-Key"  # htsget-rs: Base64 of the client's key file
SCHEMES = ("c4gh", "crypt4gh")  # names of Crypt4GH, in any case
MAX_TICKET = 32 << 20  # bytes
MAX_BLOCKS = 1 << 18  # of a ticket
_DIGESTS = "modos:digests"  # of a block: the parts of its range, which readers that do not know it pass over
_MOST_PART = 1 << 20  # bytes
BOUNDS = "modos:bounds"  # of a ticket

# htsget.md, "Error response", with the HTTP status each has.
ERROR_STATUS = {
    "InvalidAuthentication": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "PayloadTooLarge": 413,
    "UnsupportedFormat": 400,
    "InvalidInput": 400,
    "InvalidRange": 400,
    "InternalError": 500,
}


class HtsgetError(InvalidInputError):
    """A request that a server refuses, with the name the protocol has for the reason."""

    kind = "htsget"

    def __init__(self, name: str, message: str, hint: str | None = None):
        super().__init__(message, hint)
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return HtsgetError, (self.name, self.message, self.hint)

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        return ERROR_STATUS[self.name]


@dataclass(frozen=True)
class Block:
    """Piece of the answer: a URL (http, https or data) and the headers to send with it.

    Parameters
    ----------
    content
        What a data URI stands for, in its place; then there is no URL.
    part
        Bytes of the parts that a modos server gives digests of, 0 without.
    digests
        BLAKE3 (32 bytes) of each part of the range, which begins with one.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    block_class: str | None = None
    content: bytes | None = None
    part: int = 0
    digests: bytes = b""

    @property
    def byte_range(self) -> ByteRange | None:
        """Bytes that its Range header asks for, 0-based half-open; None without one.

        Raises
        ------
        ProtocolError
            A Range header that is not one range with both ends.
        """
        for name, value in self.headers.items():
            if name.lower() == "range":
                match = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})", value.strip())
                if not match or int(match[1]) > int(match[2]):
                    raise ProtocolError(f"the htsget ticket has a Range that cannot be used: {value[:100]}")
                return ByteRange(int(match[1]), int(match[2]) + 1)
        return None

    def decode_inline(self) -> bytes | None:
        """Decode a data URI (RFC 2397) into bytes; None for another URL."""
        if self.content is not None:
            return self.content
        if self.url[:5].lower() != "data:":
            return None
        media, comma, text = self.url[5:].partition(",")
        try:
            if not comma:
                raise ValueError("it has no comma")
            raw = unquote_to_bytes(text)
            return base64.b64decode(raw, validate=True) if media.lower().endswith(";base64") else raw
        except (ValueError, binascii.Error) as error:
            raise ProtocolError(f"the htsget ticket has a damaged data block: {error}") from None


@dataclass(frozen=True)
class Ticket:
    """The answer to a request: where the pieces of the stream are, in order.

    Parameters
    ----------
    allowed
        The regions, of those that were asked for, of which the sender may have records (0-based half-open),
        where not all of the file is allowed; the field `allowed` of htsget-rs.
    bounds
        What of each record the sender may have, where that is not all: names of `samples`, `fields`, `tags`, `notags`,
        `info` and `formats`; the field `modos:bounds`.
    """

    format: str
    blocks: tuple[Block, ...]
    allowed: Regions | None = None
    encryption_scheme: str | None = None
    bounds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: bytes, default_format: str, asked: str | None = None) -> Ticket:
        """Read a ticket; raise ProtocolError for anything that is none.

        Parameters
        ----------
        asked
            The format that was asked for, where the ticket names Crypt4GH in
            the place of one.
        """
        try:
            body = read_json(text)["htsget"]
            entries = body["urls"]
            if len(entries) > MAX_BLOCKS:
                raise ProtocolError(f"the htsget ticket has more than {MAX_BLOCKS:,} blocks")
            blocks = tuple(_block(entry) for entry in entries)
            format_name, scheme = str(body.get("format", default_format)), body.get("encryptionScheme")
            allowed = None if body.get("allowed") is None else tuple(map(_allowed_region, body["allowed"]))
            bounds = {str(name): tuple(map(str, names)) for name, names in (body.get(BOUNDS) or {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ProtocolError("the htsget server's answer is not a ticket") from None
        if scheme is not None and str(scheme).lower() not in SCHEMES:
            raise ProtocolError(
                f"the htsget server encrypts its answers in a way that is not known: {str(scheme)[:50]!r}",
                f"known is Crypt4GH ({' or '.join(SCHEMES)})",
            )
        if format_name.lower() in SCHEMES:
            format_name = asked or default_format
        if format_name not in FORMATS or not FORMATS[format_name].streamable:
            raise ProtocolError(f"the htsget server answers in a format that is not known: {format_name[:50]!r}")
        return cls(format_name, blocks, allowed, bounds=bounds)

    @property
    def is_one_stream(self) -> bool:
        """Return whether the blocks go forward in their files.

        Some servers answer several regions with several whole files, one
        after the other, each from its first byte on.
        """
        ends: dict[str, int] = {}
        for block in self.blocks:
            if span := block.byte_range:
                place = block.url.partition("?")[0]
                if span.start < ends.get(place, 0):
                    return False
                ends[place] = span.end
        return True

    @property
    def is_comparable(self) -> bool:
        """Return whether what is fetched for it can be compared with digests."""
        return all(block.digests or block.content is not None or block.url[:5].lower() == "data:" for block in self.blocks)

    def to_bytes(self) -> bytes:
        """Serialise the ticket in the protocol's JSON."""
        named = {b"format": self.format, b"encryptionScheme": self.encryption_scheme}
        facts = b"".join(b'"%s":%s,' % (key, json.dumps(value).encode()) for key, value in named.items() if value)
        urls, allowed = b",".join(map(_to_json, self.blocks)), b""
        if self.allowed is not None:
            allowed = b',"allowed":%s' % json.dumps([_allowed_to_json(region, self.format) for region in self.allowed]).encode()
        if self.bounds:
            allowed += b',"%s":%s' % (BOUNDS.encode(), json.dumps(self.bounds).encode())
        return b'{"htsget":{%s"urls":[%s]%s}}' % (facts, urls, allowed)


def _allowed_to_json(region: Region, format_name: str) -> dict[str, Any]:
    span = {} if region.contig == UNMAPPED else {"start": region.start, "end": region.end}
    return {"name": region.contig, "format": format_name} | {key: value for key, value in span.items() if value is not None}


def _allowed_region(entry: Mapping[str, Any]) -> Region:
    """Read what a server allows; a whole contig where it says no more."""
    name, start, end = entry["name"], entry.get("start") or 0, entry.get("end")
    if not isinstance(name, str) or not all(isinstance(place, (int, type(None))) for place in (start, end)):
        raise TypeError
    return Region(name, start, end)


def _to_json(block: Block) -> bytes:
    """Format a block as in the protocol; content is put in unescaped, as its letters mean nothing else in JSON."""
    entry = {"headers": dict(block.headers), "class": block.block_class}
    rest = b"".join(b',"%s":%s' % (key.encode(), json.dumps(value).encode()) for key, value in entry.items() if value)
    if block.digests:
        digests = {"part": block.part, "blake3": base64.b64encode(block.digests).decode()}
        rest += b',"%s":%s' % (_DIGESTS.encode(), json.dumps(digests).encode())
    if block.content is None:
        return b'{"url":%s%s}' % (json.dumps(block.url).encode(), rest)
    return b'{"url":"data:;base64,%s"%s}' % (base64.b64encode(block.content), rest)


def _block(entry: Mapping[str, Any]) -> Block:
    url, headers = entry["url"], entry.get("headers") or {}
    if not isinstance(url, str) or not all(isinstance(text, str) for pair in headers.items() for text in pair):
        raise TypeError
    scheme = urlsplit(url[:2000]).scheme.lower()
    if scheme not in ("http", "https", "data"):
        raise ProtocolError(
            f"the htsget ticket points to a {scheme or 'relative'} address; only http, https and data are followed"
        )
    block = Block(url, dict(headers), entry.get("class"))
    return block if entry.get(_DIGESTS) is None else _with_digests(block, entry[_DIGESTS])


def _with_digests(block: Block, told: Mapping[str, Any]) -> Block:
    span, part = block.byte_range, told["part"]
    try:
        digests = base64.b64decode(told["blake3"], validate=True)
    except binascii.Error:
        raise ValueError from None
    if span is None or not isinstance(part, int) or not 0 < part <= _MOST_PART or len(digests) != -(-span.size // part) * DIGEST:
        raise ProtocolError("the htsget ticket has digests that are not those of its range")
    return replace(block, part=part, digests=digests)


def error_to_json(name: str, message: str) -> dict[str, Any]:
    """Format the body of an error response."""
    return {"htsget": {"error": name, "message": message}}


class UnreadStorageError(RemoteError):
    """An htsget server cannot read its own storage; whether the file is there is not known."""


def error_from_response(status: int, body: bytes, what: str) -> ModosError:
    """Make the error that an answer other than 200 stands for.

    Parameters
    ----------
    what
        What was asked for, for the message.
    """
    try:
        details = read_json(body)["htsget"]
        name, message = str(details["error"]), str(details.get("message", ""))[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        name, message = "", f"HTTP {status}"
    if name == "NotFound" and message.startswith("aws error"):  # so htsget-rs has it: refused, unreachable or not trusted
        return UnreadStorageError(
            f"the htsget server cannot read its storage for {what}: {message}",
            "its log says why; whether the file is there is open",
        )
    if name == "NotFound" or (not name and status == 404):
        return NotFoundError(f"the htsget server has no {what}: {message}")
    if name in ("InvalidAuthentication", "PermissionDenied") or status in (401, 403):
        return AccessError(f"the htsget server refuses {what}: {message}")
    if name == "InvalidRange":
        return RegionError(f"the htsget server refuses the region: {message}")
    if name in ("InvalidInput", "UnsupportedFormat", "PayloadTooLarge"):
        return InvalidInputError(f"the htsget server refuses {what}: {message}")
    return RemoteError(f"the htsget server failed on {what}: {message}")
