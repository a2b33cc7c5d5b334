"""The requests of htsget, as GET parameters and POST bodies, without any I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modos.errors import RegionError, did_you_mean
from modos.formats import FORMATS, RecordKind
from modos.genomics.htsget.protocol import SCHEMES, HtsgetError
from modos.genomics.region import UNMAPPED, Region, Regions

HEADER_CLASS = "header"
FIELDS = ("QNAME", "FLAG", "RNAME", "POS", "MAPQ", "CIGAR", "RNEXT", "PNEXT", "TLEN", "SEQ", "QUAL")
_LISTS = ("fields", "tags", "notags")
_TAG = re.compile("[A-Za-z][A-Za-z0-9]")


@dataclass(frozen=True)
class Query:
    """Request of a client for one file.

    Parameters
    ----------
    format
        BAM, CRAM, VCF or BCF; None leaves it to the server.
    regions
        The regions (0-based half-open); empty for the whole file. More than
        one take a POST request.
    header_only
        Ask for the header alone (`class=header`).
    encryption_scheme
        How the answer may be encrypted, such as c4gh; None for not at all
        (hts-specs pull request 808, htsget-rs).
    fields, tags, notags
        SAM fields that are wanted, empty for all; tags that are wanted, None
        for all and empty for none; and tags that are not. Hints: a server may
        send more.

    Raises
    ------
    HtsgetError
        There is no such field; a tag is not of two letters, or both wanted
        and not.
    """

    format: str | None = None
    regions: Regions = ()
    header_only: bool = False
    fields: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    notags: tuple[str, ...] = ()
    encryption_scheme: str | None = None

    def __post_init__(self) -> None:
        for name in self.fields:
            if name not in FIELDS:
                near = did_you_mean(name, FIELDS)
                raise HtsgetError(
                    "InvalidInput",
                    f"there is no field {name[:50]}",
                    f"did you mean {near}?" if near else f"the fields are {', '.join(FIELDS)}",
                )
        for name in (*(self.tags or ()), *self.notags):
            if not _TAG.fullmatch(name):
                raise HtsgetError(
                    "InvalidInput", f"{name[:50]!r} is not the name of a tag", "a tag is named like NM, with two letters"
                )
        if both := set(self.tags or ()) & set(self.notags):
            raise HtsgetError("InvalidInput", f"{', '.join(sorted(both))} stands in both tags and notags")

    @property
    def is_partial(self) -> bool:
        """Return whether not all fields and tags are wanted."""
        return bool(self.fields or self.tags is not None or self.notags)

    @classmethod
    def from_params(cls, params: Mapping[str, str], kind: RecordKind) -> Query:
        """Read and check a GET request's parameters; raise HtsgetError for what the protocol forbids."""
        contig = params.get("referenceName")
        start, end = (_position(params.get(name), name) for name in ("start", "end"))
        if contig is None and (start is not None or end is not None):
            raise HtsgetError("InvalidInput", "start and end need a referenceName")
        regions = () if contig is None else (_region(contig, start, end),)
        lists = {name: tuple(item for item in params[name].split(",") if item) for name in _LISTS if name in params}
        query = cls._from_checked(
            kind, params.get("format"), params.get("class"), regions, lists, narrows=contig is not None or bool(lists)
        )
        return replace(query, encryption_scheme=_scheme(params.get("encryptionScheme")))

    @classmethod
    def from_body(cls, body: bytes, kind: RecordKind) -> Query:
        """Read and check a POST request's body; raise HtsgetError for what the protocol forbids."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise HtsgetError("InvalidInput", "the request is not JSON") from None
        if not isinstance(content, dict):
            raise HtsgetError("InvalidInput", "the request is not a JSON object")
        lists = {name: _strings(content[name], name) for name in _LISTS if content.get(name) is not None}
        regions = content.get("regions")
        if regions is not None and (not isinstance(regions, list) or not regions):
            raise HtsgetError("InvalidInput", "regions is not a list of at least one region")
        query = cls._from_checked(
            kind,
            _text(content, "format"),
            _text(content, "class"),
            tuple(_region_of(entry) for entry in regions or ()),
            lists,
            narrows=regions is not None or bool(lists),
        )
        return replace(query, encryption_scheme=_scheme(_text(content, "encryptionScheme")))

    @classmethod
    def _from_checked(
        cls,
        kind: RecordKind,
        format_name: str | None,
        class_name: str | None,
        regions: Regions,
        lists: Mapping[str, tuple[str, ...]],
        *,
        narrows: bool,
    ) -> Query:
        if format_name is not None and (format_name not in FORMATS or FORMATS[format_name].kind != kind):
            raise HtsgetError("UnsupportedFormat", f"format {format_name[:50]} is not one of the {kind} formats")
        if class_name not in (None, HEADER_CLASS):
            raise HtsgetError("InvalidInput", "class can only be header")
        if class_name and narrows:
            raise HtsgetError("InvalidInput", "class=header goes with no other parameter than format")
        if lists.get("fields") == ():
            raise HtsgetError("InvalidInput", "fields has no field", "leave it out for all of them")
        return cls(format_name, regions, bool(class_name), lists.get("fields", ()), lists.get("tags"), lists.get("notags", ()))

    def to_params(self) -> dict[str, str]:
        """Return the parameters of a GET request, of one region at most."""
        params = self._named_params()
        if self.header_only:
            return params | {"class": HEADER_CLASS}
        for region in self.regions:
            params |= {name: str(value) for name, value in _region_to_json(region).items()}
        return params | {name: ",".join(names) for name, names in self.lists().items()}

    def lists(self) -> dict[str, tuple[str, ...]]:
        """Return the wanted and unwanted fields and tags by parameter, without those that are not given."""
        return {name: getattr(self, name) for name in _LISTS if getattr(self, name) or (name == "tags" and self.tags is not None)}

    def _named_params(self) -> dict[str, str]:
        named = {"format": self.format, "encryptionScheme": self.encryption_scheme}
        return {name: value for name, value in named.items() if value}

    def to_body(self) -> bytes:
        """Serialise the body of a POST request."""
        content: dict[str, Any] = self._named_params()
        if self.header_only:
            content["class"] = HEADER_CLASS
        content |= {name: list(names) for name, names in self.lists().items()}
        if self.regions:
            content["regions"] = [_region_to_json(region) for region in self.regions]
        return json.dumps(content).encode()


def _region_to_json(region: Region) -> dict[str, Any]:
    entry: dict[str, Any] = {"referenceName": region.contig}
    if region.start:
        entry["start"] = region.start
    if region.end is not None:
        entry["end"] = region.end
    return entry


def _region_of(entry: Any) -> Region:
    """Parse a region of a POST request."""
    if not isinstance(entry, dict) or not isinstance(entry.get("referenceName"), str):
        raise HtsgetError("InvalidInput", "a region without a referenceName")
    places = [entry.get(name) for name in ("start", "end")]
    if not all(place is None or (type(place) is int and place >= 0) for place in places):
        raise HtsgetError("InvalidInput", "start and end of a region are whole numbers")
    return _region(entry["referenceName"], *places)


def _region(contig: str, start: int | None, end: int | None) -> Region:
    if contig == UNMAPPED:
        if start is not None or end is not None:
            raise HtsgetError("InvalidInput", "start and end need a referenceName other than *")
        return Region(UNMAPPED)
    if end is not None and (start or 0) >= end:
        raise HtsgetError("InvalidRange", f"start {start or 0} is not before end {end}")
    try:
        return Region(contig, start or 0, end)
    except RegionError as error:
        raise HtsgetError("InvalidRange" if contig else "InvalidInput", error.message) from None


def _position(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise HtsgetError("InvalidInput", f"{name} is not a whole number")
    return int(text)


def _strings(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise HtsgetError("InvalidInput", f"{name} is not a list of names")
    return tuple(value)


def _scheme(text: str | None) -> str | None:
    """Check the name of a way to encrypt."""
    if text is not None and text.lower() not in SCHEMES:
        raise HtsgetError("UnsupportedFormat", f"there is no encryptionScheme {text[:50]}", f"it is {' or '.join(SCHEMES)}")
    return text


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise HtsgetError("InvalidInput", f"{name} is not a text")
    return value
