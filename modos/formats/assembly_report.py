"""Read the names of sequences from assembly reports of NCBI (assembly_report.txt of its genomes FTP site)."""

from __future__ import annotations

from modos.errors import InvalidInputError, listing
from modos.formats.text import read_rows

NAME_STYLES = ("UCSC-style-name", "Sequence-Name", "GenBank-Accn", "RefSeq-Accn", "Assigned-Molecule")


def read_report(path: str, style: str) -> dict[str, str]:
    """Read an NCBI assembly report: the name in a style by each name; another style's if it has none."""
    if style not in NAME_STYLES:
        raise InvalidInputError(f"there is no name style {style}", f"there are {listing(NAME_STYLES)}")
    columns: list[str] = []
    names: dict[str, str] = {}
    for number, line in enumerate(read_rows(path), 1):
        if line.startswith("# Sequence-Name"):
            columns = line[2:].split("\t")
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if columns and len(fields) != len(columns):
            raise InvalidInputError(f"{path}, line {number}: it has {len(fields)} columns, and the header {len(columns)}")
        row = dict(zip(columns, fields))
        target = row.get(style, "na")
        if target in ("na", ""):
            target = next((row[s] for s in NAME_STYLES if row.get(s, "na") not in ("na", "")), "")
        for column in NAME_STYLES:
            is_unique = column != "Assigned-Molecule" or row.get("Sequence-Role") == "assembled-molecule"
            if target and is_unique and row.get(column, "na") not in ("na", ""):
                names.setdefault(row[column], target)
    if not names:
        raise InvalidInputError(f"{path} is no NCBI assembly report", "it has a line that begins with `# Sequence-Name`")
    return names
