"""Read the metadata section of an mzTab file (HUPO-PSI mzTab 1.0 and mzTab-M 2.0)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from modos.errors import IntegrityError

_SAMPLE = re.compile(r"sample\[(\d+)\](?:-(\w+)(?:\[\d+\])?)?")
_PARAM = re.compile(r"\[\s*([^,\]]*),\s*([^,\]]*),\s*(.*),\s*([^,\]]*)\]")
_MAX_LINES = 100_000


@dataclass
class MzTabSample:
    """A sample: its number, name, and terms as CURIEs."""

    number: int
    name: str | None = None
    description: str | None = None
    species: list[str] = field(default_factory=list)
    cell_types: list[str] = field(default_factory=list)
    tissues: list[str] = field(default_factory=list)


@dataclass
class MzTab:
    """Contents of the metadata section."""

    version: str
    title: str | None
    description: str | None
    samples: list[MzTabSample]

    @property
    def is_metabolomics(self) -> bool:
        """Return whether it is mzTab-M."""
        return self.version.upper().endswith("-M")


def parse_mztab(lines: Iterable[str]) -> MzTab:
    """Read the MTD lines; raise IntegrityError for what is no mzTab."""
    values: dict[str, str] = {}
    samples: dict[int, MzTabSample] = {}
    for number, line in enumerate(lines):
        fields = line.rstrip("\r\n").split("\t")
        if number > _MAX_LINES or (values and fields[0] not in ("MTD", "COM", "")):
            break
        if fields[0] != "MTD" or len(fields) < 3:
            continue
        key, value = fields[1].strip(), "\t".join(fields[2:]).strip()
        match = _SAMPLE.fullmatch(key)
        if match:
            sample = samples.setdefault(int(match[1]), MzTabSample(int(match[1])))
            _set(sample, match[2], value)
        else:
            values[key.lower()] = value
    if "mztab-version" not in values:
        raise IntegrityError("there is no mzTab-version in its metadata section: it is not an mzTab file")
    return MzTab(
        values["mztab-version"], values.get("title"), values.get("description"), [samples[number] for number in sorted(samples)]
    )


def _set(sample: MzTabSample, key: str | None, value: str) -> None:
    if key is None:
        sample.name = value
    elif key == "description":
        sample.description = value
    elif key in ("species", "cell_type", "tissue"):
        terms = {"species": sample.species, "cell_type": sample.cell_types, "tissue": sample.tissues}[key]
        if curie := _curie(value):
            terms.append(curie)


def _curie(param: str) -> str | None:
    """Return the accession of a parameter `[CV, accession, name, value]` as a CURIE; NEWT and NCBI taxa become NCBITaxon."""
    match = _PARAM.fullmatch(param)
    if not match or not match[2].strip():
        return None
    vocabulary, accession = match[1].strip().upper(), match[2].strip()
    local = accession.partition(":")[2] or accession
    if vocabulary in ("NEWT", "NCBITAXON", "NCBI"):
        return f"NCBITaxon:{local}"
    return f"{vocabulary}:{local}" if re.fullmatch(r"[A-Z]\w*", vocabulary) else None
