"""Readers of texts: tables, annotations, tracks, descriptions, settings."""

from __future__ import annotations

from pathlib import Path

from .trying import Target


def _read_sizes(path: Path) -> None:
    from modos.tracks.assembly import read_sizes

    read_sizes([str(path)])


TARGETS = [
    Target("sizes", ".sizes", _read_sizes, lambda: [b"chr1\t1000\nchr2\t500\n", b"# sizes\r\n1 77\r\n"], (b"chr1", b"\t0", b"\t-5")),
]
