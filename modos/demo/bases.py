"""A made-up genome of two contigs.

GC content drifts along each contig as isochores do; each contig has one gap of
N and one tandem repeat.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

LENGTHS = {"chr1": 60_000, "chr2": 40_000}
GAP_LENGTH = 200
REPEAT_UNIT = "CAG"
REPEAT_COPIES = 40
FASTA_COLUMNS = 60

_ISOCHORE = 2_000


def make_genome(rng: Random) -> dict[str, str]:
    """Draw the genome: upper-case sequences by contig name."""
    return {name: _make_contig(rng, length) for name, length in LENGTHS.items()}


def write_fasta(path: Path, genome: dict[str, str]) -> None:
    """Write the sequences as FASTA with lines of 60 bases."""
    with path.open("w", newline="\n") as fasta:
        for name, sequence in genome.items():
            fasta.write(f">{name}\n")
            for start in range(0, len(sequence), FASTA_COLUMNS):
                fasta.write(sequence[start : start + FASTA_COLUMNS] + "\n")


def _make_contig(rng: Random, length: int) -> str:
    sequence = _random_bases(rng, length)
    sequence = _overwrite(sequence, length // 3, "N" * GAP_LENGTH)
    return _overwrite(sequence, 3 * length // 4, REPEAT_UNIT * REPEAT_COPIES)


def _random_bases(rng: Random, length: int) -> str:
    """Generate bases whose GC content takes a random walk from isochore to isochore."""
    gc = 0.41
    pieces = []
    for start in range(0, length, _ISOCHORE):
        gc = min(max(gc + rng.gauss(0, 0.04), 0.34), 0.58)
        weights = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
        pieces += rng.choices("ACGT", weights, k=min(_ISOCHORE, length - start))
    return "".join(pieces)


def _overwrite(sequence: str, start: int, piece: str) -> str:
    return sequence[:start] + piece + sequence[start + len(piece) :]
