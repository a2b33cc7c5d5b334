"""Fields and tags left out of SAM as text: what modos does with bytes is held against this."""

from __future__ import annotations

import subprocess
from pathlib import Path

FIELDS = ("QNAME", "FLAG", "RNAME", "POS", "MAPQ", "CIGAR", "RNEXT", "PNEXT", "TLEN", "SEQ", "QUAL")
MISSING = ("*", "0", "*", "0", "255", "*", "*", "0", "0", "*", "*")


def sam(path: Path | str, *regions: str) -> list[str]:
    """The records of a file as samtools prints them, with the contig of the mate in full."""
    text = subprocess.run(
        ["samtools", "view", *(("-M",) if regions else ()), str(path), *regions], capture_output=True, text=True, check=True
    ).stdout
    return [spelled_out(line) for line in text.splitlines()]


def spelled_out(line: str) -> str:
    parts = line.split("\t")
    if parts[6] == "=":
        parts[6] = parts[2]
    return "\t".join(parts)


def left(line: str, fields=(), tags=None, notags=()) -> str:
    """What is left of a record."""
    parts = line.split("\t")
    kept = [value if not fields or name in fields else missing for name, value, missing in zip(FIELDS, parts, MISSING)]
    if fields and "QUAL" in fields and "SEQ" not in fields and parts[10] != "*":
        kept[9] = "N" * len(parts[9])
    if kept[9] == "*":
        kept[10] = "*"
    return "\t".join(kept + [tag for tag in parts[11:] if (tags is None or tag[:2] in tags) and tag[:2] not in notags])
