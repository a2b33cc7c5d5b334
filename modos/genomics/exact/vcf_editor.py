"""Edit the lines of a VCF to those of some regions, without what locates elsewhere, other samples and keys."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

from modos.errors import IntegrityError
from modos.genomics.exact.blocks import Batch
from modos.genomics.exact.permitted import Places
from modos.genomics.exact.read_editor import unsorted_error
from modos.genomics.exact.variant_info import Rules, count_alleles
from modos.genomics.exact.variant_places import LOCATING, PHASE_SETS, Site, is_phase_within, mask_site
from modos.genomics.exact.weaving import Edited, Part
from modos.genomics.index.layout import Layout

_LINE = re.compile(
    rb"([^\t\n]+)\t([0-9]{1,15})\t[^\t\n]*\t([^\t\n]+)\t([^\t\n]+)\t[^\t\n]*\t[^\t\n]*\t([^\t\n\r]*)(?:\t([^\t\n\r]*))?"
)
_LOCATING = re.compile(rb"(?:^|;)(?:" + b"|".join(sorted(LOCATING)) + rb")(?:[=;]|$)")
_PHASED = re.compile(rb"(?:^|:)(?:" + b"|".join(sorted(PHASE_SETS)) + rb")(?:$|:)")
_ALLELE = re.compile(rb"[0-9]+")
_MISSING = b"."


class VcfEditor:
    """Says of batches of lines what becomes of them.

    Parameters
    ----------
    regions
        The variants to give overlap these; None for all.
    allowed
        What points outside of these is taken away; None for nothing.
    rules
        What of each line is given.
    """

    def __init__(self, layout: Layout, regions: Places | None, allowed: Places | None, rules: Rules):
        self._layout, self._regions, self._allowed, self._rules = layout, regions, allowed, rules
        self._decode = lru_cache(1024)(lambda name: name.decode("utf-8", "backslashreplace"))

    def edit(self, batch: Batch) -> Edited:
        """Edit a batch.

        Raises
        ------
        IntegrityError
            A line is damaged, or they are not sorted.
        """
        data, starts = batch.data, batch.starts
        if (zero := data.find(b"\0")) >= 0:  # where a line ends for some readers
            _refuse(data, zero)
        parts: list[Part] = []
        places: list[tuple[int | str, int, int]] = []
        count, first = 0, -1  # where the lines begin that stay as they are
        last: tuple[bytes, int] = (b"", -1)
        match = _LINE.match
        is_changing = not self._rules.is_free
        most_tabs = 8 + self._rules.all_samples if self._rules.is_by_sample else None
        for number in range(len(starts) - 1):
            at = starts[number]
            line = match(data, at)
            if line is None:
                _refuse(data, at)
            name, position = line[1], int(line[2]) - 1
            if name != last[0]:
                places.append((self._decode(name), position, position))
            elif position < last[1] and self._regions is not None:
                raise unsorted_error()
            last = (name, position)
            places[-1] = (*places[-1][:2], position)
            if not self._overlaps(data, at, places[-1][0], position):
                if first >= 0:
                    parts.append((first, at))
                first = -1
                continue
            if most_tabs is not None and data.count(b"\t", at, starts[number + 1]) > most_tabs:
                _refuse(data, at)
            count += 1
            if first < 0:
                first = at
            if is_changing or (self._allowed is not None and _may_locate(line)):
                end = starts[number + 1]
                changed = self._change(data[at:end], places[-1][0], line)
                if changed is not None:
                    if first < at:
                        parts.append((first, at))
                    if changed:
                        parts.append(changed)
                    else:
                        count -= 1
                    first = -1
        if first >= 0:
            parts.append((first, starts[-1]))
        return Edited(parts, count, places if self._regions is not None else [])

    def _overlaps(self, data: bytes, at: int, contig: int | str, position: int) -> bool:
        regions = self._regions
        if regions is None:
            return True
        number = regions.number(str(contig))
        if number < 0:
            return False
        if position >= 0 and regions.overlaps(number, position, position + 1):
            return True
        try:
            end = self._layout.end(data, at)
        except ValueError:
            _refuse(data, at)
        return end > position >= -1 and end > 0 and regions.overlaps(number, max(position, 0), end)

    def _change(self, text: bytes, contig: int | str, line: re.Match[bytes]) -> bytes | None:
        """Return the line that is given out; None for the same, nothing where there is none."""
        try:
            return self._rewrite(text, str(contig), line)
        except (ValueError, IndexError):
            _refuse(text, 0)

    def _rewrite(self, text: bytes, contig: str, line: re.Match[bytes]) -> bytes | None:
        rules, end = self._rules, b"\r\n" if text.endswith(b"\r\n") else b"\n"
        columns = text[: -len(end)].split(b"\t")
        info = [(entry.partition(b"=")[0], entry) for entry in columns[7].split(b";") if entry not in (b"", _MISSING)]
        if self._allowed is not None:
            before, info = info, self._mask(columns, info, contig, self._allowed)
            if len(info) < len(before) and not self._still_overlaps(columns, before, info, contig):
                return b""
        info = [(key, entry) for key, entry in info if rules.gives(key)]
        if len(columns) != 9 + rules.all_samples and (rules.all_samples or len(columns) > 8):
            raise ValueError
        if len(columns) > 8:
            if rules.samples is not None:
                columns[9:] = [columns[9 + number] for number in rules.samples]
            if self._allowed is not None and _PHASED.search(columns[8]):
                _mask_phases(columns, contig, self._allowed)
            if rules.samples is not None:
                info = _count_anew(info, columns, rules)
            if rules.formats is not None:
                _select_formats(columns, rules.formats)
        columns[7] = b";".join(entry for _, entry in info) or _MISSING
        changed = b"\t".join(columns) + end
        return None if changed == text else changed

    def _still_overlaps(
        self, columns: list[bytes], before: list[tuple[bytes, bytes]], info: list[tuple[bytes, bytes]], contig: str
    ) -> bool:
        """Return whether a line overlaps the regions still, if it lost its END, which was of another contig."""
        if self._regions is None or {b"END"} & {key for key, _ in before} == {b"END"} & {key for key, _ in info}:
            return True
        start = int(columns[1]) - 1
        return self._regions.overlaps(self._regions.number(contig), max(start, 0), start + len(columns[3]))

    @staticmethod
    def _mask(columns: list[bytes], info: list[tuple[bytes, bytes]], contig: str, allowed: Places) -> list[tuple[bytes, bytes]]:
        values = {key: entry.partition(b"=")[2] for key, entry in info}
        site = Site(contig, int(columns[1]) - 1, columns[3], columns[4].split(b","), values.get)
        alleles, dropped = mask_site(site, values.keys(), allowed)
        columns[4] = b",".join(alleles)
        return [(key, entry) for key, entry in info if key not in dropped]


def _may_locate(line: re.Match[bytes]) -> bool:
    """Return whether a line may tell of another place."""
    alleles, keys = line[4], line[6]
    return (
        b"[" in alleles
        or b"]" in alleles
        or _LOCATING.search(line[5]) is not None
        or (keys is not None and _PHASED.search(keys) is not None)
    )


def _mask_phases(columns: list[bytes], contig: str, allowed: Places) -> None:
    """Take away the phase sets that are named by a position outside."""
    keys = columns[8].split(b":")
    places = [(at, key) for at, key in enumerate(keys) if key in PHASE_SETS]
    for column in range(9, len(columns)):
        values = columns[column].split(b":")
        for at, key in places:
            if at < len(values) and not is_phase_within(key, values[at], contig, allowed):
                values[at] = _MISSING
        columns[column] = b":".join(values)


def _count_anew(info: list[tuple[bytes, bytes]], columns: list[bytes], rules: Rules) -> list[tuple[bytes, bytes]]:
    """Count the alleles of the samples that are left, where the line has the counts of all; without genotypes they go."""
    if not any(rules.counts_anew(key) for key, _ in info):
        return info
    keys = columns[8].split(b":")
    alleles = 0 if columns[4] == _MISSING else columns[4].count(b",") + 1
    counted: dict[bytes, bytes] = {}
    if b"GT" in keys:
        at = keys.index(b"GT")
        values = [column.split(b":") for column in columns[9:]]
        calls = [map(int, _ALLELE.findall(value[at])) for value in values if at < len(value)]
        counts, total = count_alleles(calls, alleles)
        counted[b"AN"] = b"AN=%d" % total
        if counts:
            counted[b"AC"] = b"AC=" + b",".join(b"%d" % count for count in counts)
    anew = [(key, counted.get(key) if rules.counts_anew(key) else entry) for key, entry in info]
    return [(key, entry) for key, entry in anew if entry is not None]


def _select_formats(columns: list[bytes], formats: frozenset[bytes]) -> None:
    """Keep some keys of FORMAT."""
    keys = columns[8].split(b":")
    kept = [at for at, key in enumerate(keys) if key in formats]
    if len(kept) == len(keys):
        return
    columns[8] = b":".join(keys[at] for at in kept) or _MISSING
    if kept == [0]:
        columns[9:] = [column.partition(b":")[0] for column in columns[9:]]
        return
    for column in range(9, len(columns)):
        values = columns[column].split(b":", kept[-1] + 1) if kept else []
        columns[column] = b":".join([values[at] for at in kept if at < len(values)]) or _MISSING


def _refuse(data: bytes, at: int) -> NoReturn:
    line = data[at : at + 60].split(b"\n")[0]
    raise IntegrityError(
        f"a line of the VCF is malformed: {line.decode('utf-8', 'replace')!r}", "the file is damaged: get it again"
    )
