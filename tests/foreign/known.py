"""What differs from samtools, bcftools and Genomedata and stays so: one table, which the documentation has too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Known:
    """A difference with its reason.

    Parameters
    ----------
    title, reason
        As docs/explanation/regions.md has them.
    files
        Patterns of the foreign files that show it: each that matches must.
    what
        Pattern of what differs: form, way and question, with blanks between.
    shown_by
        The test that shows it where no foreign file does.
    """

    title: str
    reason: str
    files: tuple[str, ...] = ()
    what: str = ""
    shown_by: str = ""

    def is_of(self, name: str) -> bool:
        """Whether a file is to show it."""
        return any(fnmatch(name, pattern) for pattern in self.files)

    def explains(self, difference: object) -> bool:
        """Whether a difference is this one."""
        return bool(re.search(self.what, str(difference)))


KNOWN: tuple[Known, ...] = (
    Known("A CRAM whose reads are not sorted", "samtools indexes it without a word and stops at the first read beyond the region; modos reads on",
          ("*/cram-3.0/passed/0709_tag.cram", "*/cram-3.0/passed/0710_tag.cram", "*/cram-3.0/passed/090?_comp_*.cram"),
          r"^(crai|given)\.cram .* more "),
    Known("A file without its end marker", "samtools reads it with a warning, as it may have lost records; modos does not take it",
          ("*/failed/0000_empty_noeof.cram",), "TruncatedStream"),
)
