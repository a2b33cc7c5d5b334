"""The queries of the plug-in: the address of a file, and what is wanted of it or recorded with it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from snakemake_interface_storage_plugins.io import WILDCARD_REGEX

from modos.errors import InvalidInputError, did_you_mean
from modos.filesystem.object_places import iter_places, strip_protocol

_QUESTION = re.compile(r"\?(?![^{}]*\})")  # outside of the pattern that a wildcard may have
_START = "modos://"
_OF_INPUTS = ("region", "format")
_OF_OUTPUTS = ("from", "rule", "id", "type", "part_of")
_SEVERAL = ("region", "from")
_KINDS = {"https://": "https", "http://": "http", "/": "folder"}
_LONGEST = 200  # bytes of a name that is written as it is: most disks take 255
_ENDINGS = {"bam": ".bam", "cram": ".cram", "sam": ".sam", "vcf": ".vcf.gz", "bcf": ".bcf"}


@dataclass(frozen=True)
class Query:
    """A query, taken apart; wildcards stay in it.

    Parameters
    ----------
    address
        Of the file, `modos://bucket/ex/demo1.cram`.
    regions
        As they are written: `chr1:1-1000`, 1-based and inclusive; none for the whole file.
    format
        Name of the format that a region is written in; None for that of the file.
    recorded
        What an output's element records, by the name of the parameter.
    """

    address: str
    regions: tuple[str, ...] = ()
    format: str | None = None
    recorded: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, query: str) -> Query:
        """Take a query apart.

        Raises
        ------
        InvalidInputError
            It does not begin with `modos://`, or could lead out of an object; a
            parameter is unknown, given twice or without a value.
        """
        address, *rest = _QUESTION.split(query, 1)
        told = "".join(rest)
        if not address.startswith(_START):
            raise InvalidInputError(f"{query} does not begin with {_START}", "write modos://bucket/OBJECT/FILE")
        list(iter_places(strip_protocol(WILDCARD_REGEX.sub(r"{\g<name>}", address))))
        given: list[tuple[str, str]] = []
        for part in told.split("&") if told else ():
            name, _, value = part.partition("=")
            if name not in _OF_INPUTS + _OF_OUTPUTS or not value:
                near = did_you_mean(name, _OF_INPUTS + _OF_OUTPUTS)
                hint = (
                    f"did you mean {near}=...?" if near and near != name else f"there are {', '.join(_OF_INPUTS + _OF_OUTPUTS)}"
                )
                raise InvalidInputError(f"{query}: {part!r} is no parameter with a value", hint)
            if name not in _SEVERAL and name in dict(given):
                raise InvalidInputError(f"{query}: {name} is given twice", "give it once")
            given.append((name, unquote(value)))
        return cls(
            address,
            tuple(value for name, value in given if name == "region"),
            _check_format(query, dict(given).get("format")),
            tuple((name, value) for name, value in given if name in _OF_OUTPUTS),
        )._check()

    def _check(self) -> Query:
        if self.format and not self.regions:
            raise InvalidInputError(f"{self.address}: a format is given, and no region", "a whole file is fetched as it is")
        if self.regions and self.recorded:
            raise InvalidInputError(f"{self.address}: an output is a whole file", "leave the region out")
        return self

    def values(self, name: str) -> list[str]:
        """Return the values of a parameter of outputs."""
        return [value for one, value in self.recorded if one == name]

    @property
    def local_path(self) -> str:
        """Path of the local copy: says where the file is, and which region it is, so that none is taken for another."""
        place = strip_protocol(self.address)
        start = next((start for start in _KINDS if place.startswith(start)), "")
        kind, place = _KINDS.get(start, "s3"), place.removeprefix(start)
        if not self.regions:
            return f"{kind}/{place}"
        name = place.rpartition("/")[2]
        if self.format and "{" not in self.format:
            name = _stem(name) + _ENDINGS[self.format]
        wanted = "+".join(quote(region, safe="{}-,") for region in self.regions)
        if len(wanted) > _LONGEST and "{" not in wanted:
            wanted = hashlib.sha256(wanted.encode()).hexdigest()
        return f"{kind}-regions/{place}/{wanted}/{name}"


def _check_format(query: str, format: str | None) -> str | None:
    if format is not None and "{" not in format and format not in _ENDINGS:
        raise InvalidInputError(f"{query}: {format} is no format to write", f"choose {', '.join(_ENDINGS)}")
    return format


def _stem(name: str) -> str:
    from modos.formats import stem_of

    return stem_of(name)
