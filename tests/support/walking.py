"""Ask every route of a server for what somebody may not have, in every spelling, and look through the answers for it."""

from __future__ import annotations

import base64
import binascii
import http.client
import io
import json
import re
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

WINDOW = 24  # bytes; whatever is as long as nearly twice that holds a whole one that begins at a multiple
_DATA_URL = re.compile(rb"data:[\w/.+-]*;base64,([A-Za-z0-9+/=]+)")
_BASES = "=ACMGRSVTWYHKDBN"


@dataclass(frozen=True)
class Call:
    """A request; `target` is sent as it is."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Evidence:
    """What gives away that something is there which ought not to be.

    Parameters
    ----------
    words
        Texts that are in nothing else.
    windows
        Pieces of stored files.
    allowed
        Name, position (0-based) and bases of each read that may be given.
    """

    words: tuple[bytes, ...]
    windows: set[bytes] = field(default_factory=set)
    allowed: set[tuple[str, int, str]] = field(default_factory=set)
    spoken: list[str] = field(default_factory=list)  # parts of paths of the server's machine

    def find(self, body: bytes) -> list[str]:
        """What is in an answer that ought not to be."""
        found = []
        for name, part in unpacked(body):
            found += [f"{word.decode()} in {name}" for word in self.words if word in part]
            if part.startswith(b"BAM\1"):
                found += [f"a read {read} in {name}" for *read, mate in reads_in(part) if mate >= 0 or not self._allows(*read)][
                    :3
                ]
        if body.startswith(b"CRAM") and len(body) > 1000:
            for *read, mate, tags in reads_of_cram(body):
                if mate >= 0 or not self._allows(*read) or any(word.decode() in tags for word in self.words):
                    found.append(f"a read {read} of a CRAM")
                    break
        stored = next((at for at in range(len(body) - WINDOW + 1) if body[at : at + WINDOW] in self.windows), None)
        if stored is not None:
            found.append(f"bytes of a stored file, from {stored} of {len(body)}: {body[stored : stored + WINDOW]!r}")
        return found

    def _allows(self, name: str, position: int, bases: str) -> bool:
        """Whether a read may be given; what was left out of it is that of any."""
        if name != "*" and position >= 0 and bases:
            return (name, position, bases) in self.allowed
        told = ((0, name, "*"), (1, position, -1), (2, bases, ""))
        return any(all(value in (none, read[at]) for at, value, none in told) for read in self.allowed)


def unpacked(body: bytes) -> Iterator[tuple[str, bytes]]:
    """An answer, what is compressed in it from wherever it begins, and what it has in Base64, together with that."""
    yield "the answer", body
    inflated = b"".join(_members(body))
    if inflated:
        yield "what it unpacks to", inflated
    if body.startswith(b"PAR1") and body.endswith(b"PAR1"):
        import polars as pl

        yield "its table", json.dumps(pl.read_parquet(io.BytesIO(body)).to_dicts(), default=str).encode()
    data = b""
    for match in _DATA_URL.finditer(body):
        try:
            data += base64.b64decode(match[1])
        except binascii.Error:
            continue
    if data:
        for name, part in unpacked(data):
            yield f"{name}, of its data", part


def _members(body: bytes) -> Iterator[bytes]:
    at = body.find(b"\x1f\x8b\x08")
    while at >= 0:
        inflater = zlib.decompressobj(31)
        beyond = at + 3
        try:
            yield inflater.decompress(body[at:], 1 << 24)
            if inflater.eof:
                beyond = len(body) - len(inflater.unused_data)
        except zlib.error:
            pass
        at = body.find(b"\x1f\x8b\x08", beyond)


def reads_in(bam: bytes) -> Iterator[tuple[str, int, str, int]]:
    """Name, position, bases and contig of the mate of the reads of an unpacked BAM, as far as it goes."""
    try:
        yield from _iter_reads(bam)
    except struct.error:
        return


def reads_of_cram(content: bytes) -> Iterator[tuple[str, int, str, int, str]]:
    """Name, position, bases, contig of the mate and tags of the reads of a CRAM, as htslib reads them."""
    import pysam

    with tempfile.NamedTemporaryFile(suffix=".cram") as file:
        file.write(content)
        file.flush()
        with pysam.AlignmentFile(file.name, "rc", check_sq=False) as cram:
            for read in cram.fetch(until_eof=True):
                yield (
                    read.query_name,
                    read.reference_start,
                    read.query_sequence or "",
                    read.next_reference_id,
                    str(read.get_tags()),
                )


def _iter_reads(bam: bytes) -> Iterator[tuple[str, int, str, int]]:
    (length,) = struct.unpack_from("<i", bam, 4)
    at = 8 + length
    (contigs,) = struct.unpack_from("<i", bam, at)
    at += 4
    for _ in range(contigs):
        (length,) = struct.unpack_from("<i", bam, at)
        at += 8 + length
    while at + 36 <= len(bam):
        size, _, position, name_length, _, _, operations, _, bases, mate = struct.unpack_from("<iiiBBHHHii", bam, at)
        start = at + 36
        name = bam[start : start + name_length - 1].decode("latin-1")
        start += name_length + 4 * operations
        packed = bam[start : start + (bases + 1) // 2]
        yield name, position, "".join(_BASES[byte >> 4] + _BASES[byte & 15] for byte in packed)[:bases], mate
        at += 4 + size


def windows_of(content: bytes) -> set[bytes]:
    """The pieces of a file that tell it from others."""
    pieces = (content[at : at + WINDOW] for at in range(0, len(content) - WINDOW + 1, WINDOW))
    return {piece for piece in pieces if len(set(piece)) >= 10}


def all_windows(content: bytes) -> set[bytes]:
    """The pieces of a file that has nothing to hide, from wherever they begin."""
    return {content[at : at + WINDOW] for at in range(len(content) - WINDOW + 1)}


def blocks_of(bgzf: bytes) -> Iterator[bytes]:
    """The blocks of a BGZF file."""
    at = 0
    while at < len(bgzf):
        (size,) = struct.unpack_from("<H", bgzf, at + 16)
        yield bgzf[at : at + size + 1]
        at += size + 1


def spellings(path: str) -> list[str]:
    """A path as it may be written in a request, plainly first."""
    plain = quote(path)
    head, _, tail = plain.rpartition("/")
    return list(
        dict.fromkeys(
            [
                plain,
                plain.replace("/", "%2F"),
                plain.replace("/", "%2f"),
                plain.replace("/", "//"),
                f"/{plain}",
                f"//{plain}",
                f"{plain}/",
                f"{plain}//",
                f"./{plain}",
                f"{head}/./{tail}",
                f"x/../{plain}",
                f"..%2f{plain}",
                f"{head}/x/..%2F{tail}",
                plain.replace("e", "%65"),
                quote(plain.replace("/", "%2F")),
                f"{plain}%00",
                f"{plain}%20",
                f"{plain};x",
                f"{plain}%3Fa=b",
                plain.replace("/", "\\"),
                plain.replace("/", "%5C"),
                plain.upper(),
            ]
        )
    )


class Walker:
    """Sends requests of somebody, and follows where answers lead.

    Parameters
    ----------
    url
        The server.
    token
        Of the sender.
    """

    def __init__(self, url: str, token: str | None):
        self.url = url
        self._token = token
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def ask(self, call: Call) -> Answer:
        """Send a request, and read all of the answer."""
        headers = dict(call.headers)
        if self._token is not None:
            headers.setdefault("Authorization", f"Bearer {self._token}")
        return self._send(urlsplit(self.url).netloc, call, headers)

    def follow(self, answer: Answer, depth: int = 2) -> Iterator[tuple[str, Answer]]:
        """Fetch what an answer leads to: by a redirect, by addresses in its JSON, and by what these lead to."""
        if depth == 0:
            return
        leads = [(answer.headers["location"], {})] if "location" in answer.headers else []
        if answer.body and "json" in answer.headers.get("content-type", ""):
            leads += list(_addresses(json.loads(answer.body)))
        for url, headers in leads:
            parts = urlsplit(url)
            if (
                parts.scheme not in ("http", "https")
                or parts.hostname not in ("127.0.0.1", "localhost")
                or not parts.path.strip("/")
            ):
                continue
            if self._token is not None and parts.netloc == urlsplit(self.url).netloc:
                headers = {"Authorization": f"Bearer {self._token}"} | headers
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            found = self._send(parts.netloc, Call("GET", target), headers)
            yield url, found
            yield from self.follow(found, depth - 1)

    def _send(self, host: str, call: Call, headers: dict[str, str]) -> Answer:
        for is_last in (False, True):
            connection = self._connections.get(host)
            if connection is None:
                connection = self._connections[host] = http.client.HTTPConnection(host, timeout=30)
            try:
                connection.request(call.method, call.target, call.body, headers)
                found = connection.getresponse()
                names = {name.lower(): value for name, value in found.getheaders()}
                return Answer(found.status, names, found.read())
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                del self._connections[host]
                if is_last:
                    raise
        raise AssertionError


def _addresses(document: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """The addresses in a document, each with the headers that stand beside it."""
    if isinstance(document, dict):
        given = document.get("headers", {})
        if isinstance(given, list):
            given = dict(line.split(": ", 1) for line in given)
        for value in document.values():
            if isinstance(value, str) and value.startswith(("http://", "https://")):
                yield value, given if isinstance(given, dict) else {}
            else:
                yield from _addresses(value)
    elif isinstance(document, list):
        for value in document:
            yield from _addresses(value)


def routes_of(router: Any) -> Iterator[tuple[str, Any]]:
    """The path and the route of everything that an application answers."""
    for route in router.routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(route, "path") and not hasattr(route, "original_router"):
            yield route.path, route
        elif inner is not None and hasattr(inner, "routes"):
            yield from routes_of(inner)
        else:
            raise AssertionError(f"a route that nobody knows: {route!r}")


def bodies(documents: Iterable[Any]) -> Iterator[bytes]:
    """Documents as JSON."""
    for document in documents:
        yield json.dumps(document).encode()
