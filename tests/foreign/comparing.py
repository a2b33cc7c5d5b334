"""A foreign file in an object, compared with what samtools and bcftools say of it, text for text."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modos.errors import ModosError
from modos.genomics import GenomicFile
from modos.genomics.region import Region
from modos.genomics.writer import OutputFormat

from .asking import Asked, attempt, bytes_of, texts
from .files import Foreign, Form, make_forms
from .oracle import Oracle, Refused, lines_of
from .regions import several, some_regions
from .ways import WAYS, Object, Ways

OUTPUTS = {
    "reads": [OutputFormat("SAM"), OutputFormat("BAM"), OutputFormat("BAM", False), OutputFormat("CRAM")],
    "variants": [OutputFormat(name, compressed) for name in ("VCF", "BCF") for compressed in (True, False)],
}


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
        if form.has_reads and way == "folder" and len(few) > 1 and _takes_together(form, few, list(asked.contigs())):
            together = attempt(lambda: asked.ask(few))  # samtools view -M
            if isinstance(together, list):
                self._check(form, way, "-M", few, ours, together)

    def _compare_writing(self, thing: Object, form: Form, way: str, asked: Asked, asked_for: list[tuple[Region, ...]]) -> None:
        file = thing.file(way, form)
        some = [(), *asked_for[:1], *asked_for[-1:]] if way == "folder" else [(), *asked_for[-1:]]
        for few, target in itertools.product(some, OUTPUTS["reads" if form.has_reads else "variants"]):
            what = f"write {target.name}{'' if target.compressed else ' plain'}"
            write = partial(file.write, region=few or None, output=target)
            if target.name == "VCF" and file.format.name == "VCF":
                data = attempt(lambda: bytes_of(write))
                self._check(
                    form,
                    way,
                    f"{what} untouched",
                    few,
                    data if isinstance(data, str) else asked.untouched(data),
                    "lines of the file",
                )
                ours, theirs = (
                    data if isinstance(data, str) else attempt(lambda: asked.reread(data)),
                    attempt(lambda: asked.view(few)),
                )
            else:
                ours, theirs = attempt(lambda: asked.written(write)), attempt(lambda: asked.converted(few, target.name))
            self._check(form, way, what, few, ours, theirs)
        self._compare_served(file, form, way, asked, some)
        samples = asked.samples()
        for few, name in itertools.product(some if samples else (), ("VCF", "BCF")):
            chosen = tuple(dict.fromkeys([samples[-1], samples[0]]))
            write = partial(file.write, region=few or None, output=OutputFormat(name), samples=chosen)
            theirs = attempt(lambda: asked.converted(few, name, chosen))
            self._check(form, way, f"samples {name}", few, attempt(lambda: asked.written(write)), theirs)

    def _compare_served(self, file: GenomicFile, form: Form, way: str, asked: Asked, some: list[tuple[Region, ...]]) -> None:
        text = OutputFormat("SAM" if form.has_reads else "VCF", form.has_reads)
        ours = attempt(lambda: lines_of(bytes_of(partial(file.write_header, output=text))))
        self._check(form, way, "header", (), ours, attempt(asked.header))
        for few in some[1:]:
            ours = attempt(lambda: asked.served(bytes_of(partial(file.write_raw, region=few)), few))
            if "as one stream" not in ours:
                self._check(form, way, "raw", few, ours, "whole records")

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
    return (
        isinstance(ours, str)
        and isinstance(theirs, str)
        and theirs.startswith("refused:")
        and ": " in ours
        and not ours.startswith(("!", "refused:"))
    )


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


def _takes_together(form: Form, few: tuple[Region, ...], contigs: list[str]) -> bool:
    """Whether `samtools view -M` gives all of some regions; see the table of what differs."""
    names = [name for name in dict.fromkeys(line.split("\t")[2] for line in form.lines) if name in contigs]
    is_in_order = form.path.suffix != ".cram" or names == sorted(names, key=contigs.index)
    return is_in_order and not any(":" in region.contig or (region.start and not region.end) for region in few)
