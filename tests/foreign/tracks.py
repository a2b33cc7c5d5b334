"""Tracks written by others, loaded by Genomedata and by modos."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

ENDINGS = (".wig", ".wigFix", ".wigVar", ".bed", ".bedGraph")
LENGTHS = {"chr1": 300_000, "chr2": 10_000, "chr10": 10_000, "chrY": 60_000}


def find_tracks(folders: list[Path]) -> list[tuple[str, Path]]:
    """Every wiggle, bedGraph and BED file of some folders, gzipped or not, with its name there."""
    return [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.removesuffix(".gz").endswith(ENDINGS)
    ]


def sizes_of(path: Path) -> Path:
    """A table of the lengths of contigs."""
    path.write_text("".join(f"{name}\t{length}\n" for name, length in LENGTHS.items()))
    return path


def load_with_genomedata(track: Path, folder: Path) -> dict[str, np.ndarray] | str:
    """The values of each contig; what Genomedata says where it does not take the file."""
    import genomedata

    tools, shim = Path(sys.executable).parent, folder / "bin"
    shim.mkdir()
    (shim / "h5repack").write_text('#!/bin/sh\nfor last; do :; done\neval "from=\\${$(($#-1))}"\ncp "$from" "$last"\n')
    (shim / "h5repack").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PATH"] = f"{tools}:{environment['PATH']}:{shim}"
    command = [
        tools / "genomedata-load",
        "--sizes",
        "-s",
        sizes_of(folder / "sizes"),
        "-t",
        f"x={track}",
        folder / "x.genomedata",
    ]
    load = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if load.returncode:
        return load.stderr.strip().splitlines()[-1]
    warnings.simplefilter("ignore")
    with genomedata.Genome(str(folder / "x.genomedata")) as genome:
        return {name: np.asarray(genome[name][0:length, "x"]) for name, length in LENGTHS.items()}


def load_with_modos(track: Path, folder: Path) -> dict[str, np.ndarray] | str:
    """The same of modos."""
    from modos.api import MODO
    from modos.errors import ModosError

    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=sizes_of(folder / "ours.sizes"))
    try:
        with modo.track_changes() as changes:
            changes.add("x", track)
    except ModosError as error:
        return str(error)
    return {name: np.asarray(modo.genome[name][0:length, "x"]) for name, length in LENGTHS.items()}


def differing(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[str]:
    """Where the values of two genomes differ."""
    found = []
    for name in LENGTHS:
        at = np.flatnonzero(~((ours[name] == theirs[name]) | (np.isnan(ours[name]) & np.isnan(theirs[name]))))
        if len(at):
            found.append(
                f"{name}: {len(at)} bases, first {name}:{at[0] + 1} ours {ours[name][at[0]]} theirs {theirs[name][at[0]]}"
            )
    return found
