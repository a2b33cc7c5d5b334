"""What samtools and bcftools say of a form of a foreign file, and of what modos writes of it."""

from __future__ import annotations

import gzip
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modos.errors import ModosError
from modos.genomics.region import Region

from .files import Form, bgzipped
from .oracle import Oracle, Refused, lines_of


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives; an error as text, `!` before one that is not ours nor the oracle's."""
    try:
        return call()
    except Refused as refusal:
        return f"refused: {' '.join(str(refusal).split())[-300:]}"
    except ModosError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"!{type(error).__name__}: {error}"


def texts(records: Iterable[Any]) -> list[str]:
    """Records as the lines of SAM or VCF."""
    return [(record.to_string() if hasattr(record, "to_string") else str(record)).rstrip("\n") for record in records]


def bytes_of(write: Callable[[int], None]) -> bytes:
    """What a call writes into a file."""
    with tempfile.TemporaryFile() as file:
        write(file.fileno())
        file.seek(0)
        return file.read()


@dataclass
class Asked:
    """What the oracle says of a form."""

    oracle: Oracle
    form: Form
    known: dict[Any, list[str] | Refused] = field(default_factory=dict)

    def view(self, few: tuple[Region, ...], header: bool = False, samples: tuple[str, ...] = ()) -> list[str]:
        """The records of some regions, or all; Refused where it cannot."""
        key = few, header, samples
        if key not in self.known:
            try:
                self.known[key] = self._view(few, header, samples)
            except Refused as refusal:
                self.known[key] = refusal
        found = self.known[key]
        if isinstance(found, Refused):
            raise found
        return found

    def _view(self, few: tuple[Region, ...], header: bool, samples: tuple[str, ...]) -> list[str]:
        if len(few) < 2:
            return self.ask(few, header, samples)
        found = set(itertools.chain.from_iterable(self.view((region,), False, samples) for region in few))
        everything = self.view((), header, samples)
        return [line for line in everything if line in found or is_header(line, self.form)]

    def ask(self, few: tuple[Region, ...], header: bool = False, samples: tuple[str, ...] = ()) -> list[str]:
        """What one command of the oracle gives."""
        form = self.form
        if form.has_reads:
            words = ["--no-PG", *(["-h"] if header else []), *(["-T", form.reference] if form.reference else [])]
            words += ["-M"] if len(few) > 1 else []
            return self.oracle.lines("samtools", "view", *words, form.path, *map(text_of, few))
        words = ["--no-version", *([] if header else ["-H"]), *(["-I", "-s", ",".join(samples)] if samples else [])]
        words += ["-r", ",".join(map(text_of, few))] if few else []
        return self.oracle.lines("bcftools", "view", *words, form.path)

    def converted(self, few: tuple[Region, ...], name: str, samples: tuple[str, ...] = ()) -> list[str]:
        """Header and records of some regions, after a way through a format."""
        if name == "CRAM":
            through = dict(zip(self.view((), True), self._through_cram()))
            return [through[line] for line in self.view(few, True)]
        if name == "BCF":
            self._through_bcf(samples)
        return self.view(few, True, samples)

    def _through_cram(self) -> list[str]:
        """Header and records after a way through a CRAM, which keeps no `=` and `X`."""
        if "CRAM" not in self.known:
            words = ["-T", self.form.reference] if self.form.reference else []
            cram = self.form.path.with_name("through.cram")
            self.oracle.run("samtools", "view", "--no-PG", "-O", "cram,no_ref=1", *words, "-o", cram, self.form.path)
            self.known["CRAM"] = self.oracle.lines("samtools", "view", "--no-PG", "-h", cram)
        return self.known["CRAM"]

    def _through_bcf(self, samples: tuple[str, ...]) -> None:
        """Raise Refused where the oracle cannot write the file as a BCF."""
        key = "BCF", samples
        if key not in self.known:
            words = ["-I", "-s", ",".join(samples)] if samples else []
            try:
                self.known[key] = self.oracle.lines("bcftools", "view", "--no-version", "-Ou", *words, self.form.path) and []
            except Refused as refusal:
                self.known[key] = refusal
        if isinstance(self.known[key], Refused):
            raise self.known[key]

    def contigs(self) -> dict[str, int | None]:
        """The contigs of the header."""
        import pysam

        if self.form.has_reads:
            with pysam.AlignmentFile(self.form.path, check_sq=False) as file:
                return dict(zip(file.references, file.lengths))
        with pysam.VariantFile(self.form.path) as file:
            return {name: contig.length for name, contig in file.header.contigs.items()}

    def header(self) -> list[str]:
        """The lines of the header: of a VCF its own."""
        if self.form.has_reads:
            return self.oracle.lines("samtools", "view", "--no-PG", "-H", self.form.path)
        if self.form.name.endswith(".bcf"):
            return self.oracle.lines("bcftools", "view", "--no-version", "-h", self.form.path)
        return [line for line in lines_of(gzip.decompress(self.form.path.read_bytes())) if line.startswith("#")]

    def served(self, data: bytes, few: tuple[Region, ...]) -> str:
        """Whether bytes as they are served are a file of whole records, in order, with all that are wanted."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.form.name
            path.write_bytes(data)
            if path.name.endswith(".vcf.gz"):
                records = self.reread(data)
            else:
                words = ["-T", self.form.reference] if self.form.reference else []
                records = self.oracle.lines(
                    *(("samtools", "view", *words) if self.form.has_reads else ("bcftools", "view", "-H")), path
                )
        rest = iter(self.view(()))
        if strange := [line for line in records if line not in rest]:
            return f"not a record of the file, or not in its order: {strange[0][:300]}"
        missed = [line for line in self.view(few) if line not in set(records)]
        return f"missed: {missed[0][:300]}" if missed else "whole records"

    def samples(self) -> list[str]:
        return [] if self.form.has_reads else self.oracle.lines("bcftools", "query", "-l", self.form.path)

    def written(self, write: Callable[[int], None]) -> list[str]:
        """What is written, as the oracle reads it."""
        with tempfile.NamedTemporaryFile() as file:
            write(file.fileno())
            if self.form.has_reads:
                is_cram = os.pread(file.fileno(), 4, 0) == b"CRAM"  # a SAM without contigs would get those of the reference
                words = ["-T", self.form.reference] if self.form.reference and is_cram else []
                return self.oracle.lines("samtools", "view", "--no-PG", "-h", *words, file.name)
            return self.oracle.lines("bcftools", "view", "--no-version", file.name)

    def reread(self, data: bytes) -> list[str]:
        """The records of a VCF that was written, as the oracle reads them; with an index, so that contigs need no declaration."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "written.vcf.gz"
            path.write_bytes(bgzipped(data))
            with suppress(Refused):
                self.oracle.run("bcftools", "index", "-t", path)
            return self.oracle.lines("bcftools", "view", "-H", path)

    def untouched(self, data: bytes) -> str:
        """Whether what is written of a VCF is its header and some of its lines, byte for byte and in order."""
        ours = lines_of(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        theirs = lines_of(gzip.decompress(self.form.path.read_bytes()))
        for line in theirs:
            if line.startswith("#") and (not ours or ours.pop(0) != line):
                return f"not the header line {line[:200]}"
        rest = iter(theirs)
        return next(
            (f"not a line of the file, or not in its order: {line[:300]}" for line in ours if line not in rest),
            "lines of the file",
        )


def is_header(line: str, form: Form) -> bool:
    """Whether a line of SAM or VCF is one of the header."""
    return line.startswith("@") and line[3:4] == "\t" and line[1:3].isupper() if form.has_reads else line.startswith("#")


def text_of(region: Region) -> str:
    """A region as the oracle takes it."""
    if region.contig == "*":
        return "*"
    name = f"{{{region.contig}}}" if any(letter in region.contig for letter in ":,") else region.contig
    if region.end is None:
        return f"{name}:{region.start + 1}-" if region.start else name
    return f"{name}:{region.start + 1}-{region.end}"
