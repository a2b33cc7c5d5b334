"""A genome and annotations like GENCODE's, of any size: the same ones every time."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CONTIGS = {f"chr{name}": 50_000_000 for name in [*range(1, 23), "X", "Y"]}


def write_genome(folder: Path, contigs: dict[str, int]) -> tuple[Path, Path, Path]:
    """A FASTA with index, a 2bit file and a table of sizes, of random bases."""
    source, fasta, sizes = np.random.default_rng(7), folder / "genome.fa", folder / "genome.chrom.sizes"
    numbers = {name: source.integers(0, 4, length, np.uint8) for name, length in contigs.items()}
    with open(fasta, "wb") as file, open(f"{fasta}.fai", "w") as index:
        for name, bases in numbers.items():
            file.write(f">{name}\n".encode())
            index.write(f"{name}\t{len(bases)}\t{file.tell()}\t60\t61\n")
            text = np.frombuffer(b"TCAG", np.uint8)[bases]
            lines = np.full((-(-len(text) // 60), 61), ord("\n"), np.uint8)
            lines[: len(text) // 60, :60] = text[: len(text) // 60 * 60].reshape(-1, 60)
            lines[-1:, : len(text) % 60 or 60] = text[-(len(text) % 60 or 60) :]
            file.write(lines.tobytes()[: len(text) + len(text) // 60] + b"\n")
    _write_twobit(folder / "genome.2bit", numbers)
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in contigs.items()))
    return fasta, folder / "genome.2bit", sizes


def _write_twobit(path: Path, numbers: dict[str, np.ndarray]) -> None:
    offset, index, bodies = 16 + sum(5 + len(name) for name in numbers), b"", []
    for name, bases in numbers.items():
        padded = np.concatenate((bases, np.zeros(-len(bases) % 4, np.uint8))).reshape(-1, 4)
        packed = (padded[:, 0] << 6 | padded[:, 1] << 4 | padded[:, 2] << 2 | padded[:, 3]).astype(np.uint8).tobytes()
        body = struct.pack("<IIII", len(bases), 0, 0, 0) + packed
        index += bytes([len(name)]) + name.encode() + struct.pack("<I", offset)
        offset += len(body)
        bodies.append(body)
    path.write_bytes(struct.pack("<IIII", 0x1A412743, 0, len(numbers), 0) + index + b"".join(bodies))


def write_annotation(path: Path, rows: int, transcripts: float = 8, long: bool = False) -> int:
    """A GFF3 with about so many lines, in the attributes of GENCODE; returns how many there are.

    Parameters
    ----------
    transcripts
        Of a gene that codes, in the mean.
    long
        Whether one transcript covers 49 Mb.
    """
    count = 0
    with open(path, "w") as file:
        file.write("##gff-version 3\n")
        for number, contig in enumerate(CONTIGS):
            for line in _lines(contig, rows // len(CONTIGS), transcripts, number):
                file.write(line)
                count += 1
        if long:
            for kind, more in (
                ("gene", "ID=GLONG;gene_id=GLONG;gene_type=lncRNA;gene_name=LONG;level=2"),
                (
                    "transcript",
                    "ID=TLONG;Parent=GLONG;gene_id=GLONG;transcript_id=TLONG;gene_type=lncRNA;gene_name=LONG;transcript_type=lncRNA;"
                    "transcript_name=LONG-1;level=2",
                ),
                (
                    "exon",
                    "ID=exon:TLONG:1;Parent=TLONG;gene_id=GLONG;transcript_id=TLONG;gene_type=lncRNA;gene_name=LONG;transcript_type=lncRNA;"
                    "transcript_name=LONG-1;exon_number=1;exon_id=ELONG;level=2",
                ),
            ):
                file.write(f"chr1\tHAVANA\t{kind}\t5001\t49005000\t.\t+\t.\t{more}\n")
    return count


def _lines(contig: str, rows: int, transcripts: float, number: int) -> Iterator[str]:
    source, at, written = random.Random(number), 10_000, 0
    gene_id, transcript_id, exon_id = 10_000_000 * (number + 1), 20_000_000 * (number + 1), 30_000_000 * (number + 1)
    step = CONTIGS[contig] / (rows / (transcripts * 4))  # the lines end before the contig does
    while written < rows and at < CONTIGS[contig] - 400_000:
        gene_id += source.randint(1, 9)
        strand, codes = source.choice("+-"), source.random() < 0.5
        exons, place = [], at
        for _ in range(source.randint(3, 16) if codes else source.randint(1, 5)):
            exon_id += source.randint(1, 7)
            size = source.randint(60, 400)
            exons.append((place, place + size, exon_id))
            place += size + 50 + int(source.expovariate(1 / 1500))
        kind, gene, name = (
            "protein_coding" if codes else "lncRNA",
            f"ENSG{gene_id:011d}.{source.randint(1, 20)}",
            f"GENE{gene_id}",
        )
        base = f"gene_id={gene};gene_type={kind};gene_name={name};"
        yield _line(
            contig,
            "gene",
            exons[0][0],
            exons[-1][1],
            strand,
            ".",
            f"ID={gene};{base}level=2;hgnc_id=HGNC:{gene_id};havana_gene=OTTHUMG{gene_id:011d}.2",
        )
        written += 1
        for copy in range(max(1, round(source.expovariate(1 / transcripts))) if codes else source.randint(1, 4)):
            transcript_id += source.randint(1, 9)
            for line in _transcript(
                source,
                contig,
                strand,
                exons,
                codes,
                copy,
                f"ENST{transcript_id:011d}.{source.randint(1, 9)}",
                transcript_id,
                gene,
                base,
                name,
                kind,
            ):
                yield line
                written += 1
        at += int(source.expovariate(1 / step)) + 10


def _transcript(source, contig, strand, exons, codes, copy, transcript, number, gene, base, name, kind) -> Iterator[str]:
    low = source.randint(0, min(2, len(exons) - 1))
    chosen = exons[low : source.randint(max(low, len(exons) - 3), len(exons) - 1) + 1]
    start, end, coding = chosen[0][0], chosen[-1][1], codes and source.random() < 0.7
    tags = "basic,CCDS,Ensembl_canonical,MANE_Select,appris_principal_1" if coding and not copy else "basic"
    own = f"transcript_id={transcript};transcript_type={kind};transcript_name={name}-{201 + copy};"
    tail = (
        f"level=2;protein_id=ENSP{number:011d}.2;transcript_support_level={source.randint(1, 5)};tag={tags};"
        f"havana_gene=OTTHUMG{number:011d}.2;havana_transcript=OTTHUMT{number:011d}.2"
    )
    yield _line(contig, "transcript", start, end, strand, ".", f"ID={transcript};Parent={gene};{base}{own}{tail}")
    first, last = start + source.randint(10, 50), end - source.randint(10, 50)
    for rank, (low, high, exon) in enumerate(chosen if strand == "+" else chosen[::-1], 1):
        more = f"{base}{own}exon_number={rank};exon_id=ENSE{exon:011d}.1;{tail}"
        yield _line(contig, "exon", low, high, strand, ".", f"ID=exon:{transcript}:{rank};Parent={transcript};{more}")
        if not coding:
            continue
        if max(low, first) <= min(high, last):
            yield _line(
                contig,
                "CDS",
                max(low, first),
                min(high, last),
                strand,
                str(source.randint(0, 2)),
                f"ID=CDS:{transcript};Parent={transcript};{more}",
            )
        sides = ("five_prime_UTR", "three_prime_UTR") if strand == "+" else ("three_prime_UTR", "five_prime_UTR")
        if low < first:
            yield _line(
                contig, sides[0], low, min(high, first - 1), strand, ".", f"ID=UTR:{transcript};Parent={transcript};{more}"
            )
        if high > last:
            yield _line(
                contig, sides[1], max(low, last + 1), high, strand, ".", f"ID=UTR:{transcript};Parent={transcript};{more}"
            )


def _line(contig: str, kind: str, start: int, end: int, strand: str, phase: str, attributes: str) -> str:
    return f"{contig}\tHAVANA\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{attributes}\n"
