"""A foreign file in an object, compared with what samtools and bcftools say of it, text for text."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modos.errors import ModosError
from modos.region import Region
from modos.writing import OutputFormat

from .files import Foreign, Form, bgzipped, make_forms
from .oracle import Oracle, Refused, lines_of
from .regions import several, some_regions
from .ways import WAYS, Object, Ways




OUTPUTS = {"reads": [OutputFormat("SAM"), OutputFormat("BAM"), OutputFormat("BAM", False), OutputFormat("CRAM")],
           "variants": [OutputFormat(name, compressed) for name in ("VCF", "BCF") for compressed in (True, False)]}


@dataclass(frozen=True)
class Difference:
    """Where modos and the oracle do not agree.

    Parameters
    ----------
    form
        The form of the file: `tbi.vcf.gz`.
    what
        What was compared: `records`, `count`, `write VCF`, `samples BCF`, ...
    how
        `more`, `fewer`, `other` records, or `error`.
    """

    form: str
    way: str
    what: str
    regions: str
    how: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.form} {self.way} {self.what} {self.how} {self.regions}\n    ours:   {self.ours}\n    oracle: {self.theirs}"


@dataclass
class Comparison:
    """What was compared, and what differs."""

    differences: list[Difference] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    regions: int = 0
    comparisons: int = 0


@dataclass
class Comparer:
    """Compares one file.

    Parameters
    ----------
    count
        Random regions of each form.
    ways
        The ways to take.
    written
        Those of them in which files are written, too.
    """

    file: Foreign
    oracle: Oracle
    count: int = 6
    ways: tuple[str, ...] = WAYS
    written: tuple[str, ...] = WAYS
    result: Comparison = field(default_factory=Comparison)

    def compare(self, ways: Ways, name: str, folder: Path) -> Comparison:
        """Make the forms of the file and an object of them, and ask for all that is asked of each."""
        forms = make_forms(self.file, self.oracle, folder)
        self.result.left_out = forms.left_out
        thing, refused = ways.put(name, forms.taken)
        for form in forms.taken:
            if form.name in refused:
                self._note_refusal(form, refused[form.name])
            else:
                self._compare_form(thing, form)
        return self.result

    def _note_refusal(self, form: Form, error: Exception) -> None:
        self.result.refused.append(f"{form.name}: {error}")
        if not isinstance(error, ModosError):
            self._differ(form, "folder", "add", (), f"{type(error).__name__}: {error}", "one of our errors")
        elif form.index is not None:
            self._differ(form, "folder", "add", (), f"{type(error).__name__}: {error}", "is indexed")

    def _compare_form(self, thing: Object, form: Form) -> None:
        asked = Asked(self.oracle, form)
        try:
            form.lines = asked.view(())
        except Refused as refusal:
            self._compare_refused(thing, form, refusal)
            return
        regions = some_regions(form, asked.contigs(), self.count, f"{self.file.name} {form.name}") if form.index else []
        asked_for = [(region,) for region in regions] + [tuple(few) for few in several(regions, self.file.name)]
        self.result.regions += len(regions)
        for way in self.ways:
            for few in [(), *asked_for]:
                self._compare_records(thing, form, way, asked, few)
            if way in self.written:
                self._compare_writing(thing, form, way, asked, asked_for)

    def _compare_refused(self, thing: Object, form: Form, refusal: Refused) -> None:
        """What the oracle cannot read to its end: an error of ours is right, and so is every line of a VCF."""
        for way in self.ways:
            ours = attempt(lambda: texts(thing.file(way, form).fetch()))
            is_right = ours == form.body() if isinstance(ours, list) else not ours.startswith("!")
            self._check(form, way, "damaged", (), ours, ours if is_right else f"refused: {refusal}")

    def _compare_records(self, thing: Object, form: Form, way: str, asked: Asked, few: tuple[Region, ...]) -> None:
        theirs = attempt(lambda: asked.view(few))
        ours = attempt(lambda: texts(thing.file(way, form).fetch(few or None)))
        self._check(form, way, "records", few, ours, theirs)
        if isinstance(theirs, list):
            self._check(form, way, "count", few, attempt(lambda: thing.file(way, form).count(few or None)), len(theirs))

    def _compare_writing(self, thing: Object, form: Form, way: str, asked: Asked, asked_for: list[tuple[Region, ...]]) -> None:
        file = thing.file(way, form)
        some = [(), *asked_for[:1], *asked_for[-1:]] if way == "folder" else [(), *asked_for[-1:]]
        for few, target in itertools.product(some, OUTPUTS["reads" if form.has_reads else "variants"]):
            what = f"write {target.name}{'' if target.compressed else ' plain'}"
            write = partial(file.write, region=few or None, output=target)
            if target.name == "VCF" and file.format.name == "VCF":
                data = attempt(lambda: _bytes_of(write))
                self._check(form, way, f"{what} untouched", few, data if isinstance(data, str) else asked.untouched(data), "lines of the file")
                ours, theirs = data if isinstance(data, str) else attempt(lambda: asked.reread(data)), attempt(lambda: asked.view(few))
            else:
                ours, theirs = attempt(lambda: asked.written(write)), attempt(lambda: asked.converted(few, target.name))
            self._check(form, way, what, few, ours, theirs)
        samples = asked.samples()
        for few, name in itertools.product(some if samples else (), ("VCF", "BCF")):
            chosen = tuple(dict.fromkeys([samples[-1], samples[0]]))
            write = partial(file.write, region=few or None, output=OutputFormat(name), samples=chosen)
            theirs = attempt(lambda: asked.converted(few, name, chosen))
            self._check(form, way, f"samples {name}", few, attempt(lambda: asked.written(write)), theirs)

    def _check(self, form: Form, way: str, what: str, few: tuple[Region, ...], ours: Any, theirs: Any) -> None:
        self.result.comparisons += 1
        if _are_refusals(ours, theirs):
            return
        if ours != theirs:
            self._differ(form, way, what, few, ours, theirs)

    def _differ(self, form: Form, way: str, what: str, few: tuple[Region, ...], ours: Any, theirs: Any) -> None:
        regions = ",".join(map(str, few)) or "-"
        difference = Difference(form.name, way, what, regions, _how(ours, theirs), *_first_difference(ours, theirs))
        self.result.differences.append(difference)


def _are_refusals(ours: Any, theirs: Any) -> bool:
    """Whether both say no, and we with an error of our own."""
    return (isinstance(ours, str) and isinstance(theirs, str) and theirs.startswith("refused:")
            and ": " in ours and not ours.startswith(("!", "refused:")))


def _how(ours: Any, theirs: Any) -> str:
    if isinstance(ours, str) or isinstance(theirs, str):
        return "error"
    ours, theirs = (value if isinstance(value, int) else len(value) for value in (ours, theirs))
    return "more" if ours > theirs else "fewer" if ours < theirs else "other"


def _first_difference(ours: Any, theirs: Any) -> tuple[str, str]:
    if not isinstance(ours, list) or not isinstance(theirs, list):
        return tuple(f"{len(x)} lines" if isinstance(x, list) else str(x) for x in (ours, theirs))
    pairs = itertools.zip_longest(ours, theirs, fillvalue="(no more)")
    number, pair = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    return tuple(f"{len(lines)} lines; line {number}: {line[:400]}" for lines, line in zip((ours, theirs), pair))


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


def _bytes_of(write: Callable[[int], None]) -> bytes:
    with tempfile.TemporaryFile() as file:
        write(file.fileno())
        file.seek(0)
        return file.read()


def texts(records: Iterable[Any]) -> list[str]:
    """Records as the lines of SAM or VCF."""
    return [(record.to_string() if hasattr(record, "to_string") else str(record)).rstrip("\n") for record in records]


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

    def samples(self) -> list[str]:
        return [] if self.form.has_reads else self.oracle.lines("bcftools", "query", "-l", self.form.path)

    def written(self, write: Callable[[int], None]) -> list[str]:
        """What is written, as the oracle reads it."""
        with tempfile.NamedTemporaryFile() as file:
            write(file.fileno())
            if self.form.has_reads:
                return self.oracle.lines("samtools", "view", "--no-PG", "-h", file.name)
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
        return next((f"not a line of the file, or not in its order: {line[:300]}" for line in ours if line not in rest), "lines of the file")


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
