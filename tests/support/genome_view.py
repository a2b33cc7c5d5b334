"""An object with all that a genome browser draws: reads, variants, a track, genes and bases, made by other programs."""

from __future__ import annotations

import random
from pathlib import Path

import pysam
import pysam.bcftools

from modos.api import MODO

CONTIGS = {"chr1": 400_000, "chr2": 60_000}
READ, DEPTH = 150, 20
GENES = [(contig, start, start + 6000) for contig, length in CONTIGS.items() for start in range(2000, length - 9000, 9000)]


def write_sources(folder: Path) -> dict[str, str]:
    """Write bases.fa, reads.bam, packed.cram, calls.vcf.gz, cohort.bcf, signal.bedGraph and genes.gff3, all indexed; gives the bases."""
    rng = random.Random(1)
    bases = {name: "".join(rng.choices("ACGT", k=length)) for name, length in CONTIGS.items()}
    lines = (f">{name}\n" + "".join(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60)) for name, text in bases.items())
    (folder / "bases.fa").write_text("".join(lines))
    pysam.faidx(str(folder / "bases.fa"))
    _write_reads(folder, bases)
    _write_variants(folder, bases)
    rows = (
        f"{contig}\t{at}\t{at + 50}\t{rng.random() * 10 - 2:.3f}\n"
        for contig, length in CONTIGS.items()
        for at in range(0, length, 50)
        if rng.random() < 0.9
    )
    (folder / "signal.bedGraph").write_text("".join(rows))
    (folder / "genes.gff3").write_text("\n".join(["##gff-version 3", *map(_format_gene, range(len(GENES)))]) + "\n")
    return bases


def _write_reads(folder: Path, bases: dict[str, str]) -> None:
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": name, "LN": length} for name, length in CONTIGS.items()],
        "RG": [{"ID": "one", "SM": "s1"}],
    }
    for name, mode in (("reads.bam", "wb"), ("packed.cram", "wc")):
        rng = random.Random(2)
        with pysam.AlignmentFile(folder / name, mode, header=header, reference_filename=str(folder / "bases.fa")) as out:
            for contig, length in CONTIGS.items():
                for number, start in enumerate(sorted(rng.randrange(length - 2 * READ) for _ in range(length * DEPTH // READ))):
                    out.write(_make_read(out.header, rng, contig, start, number, bases[contig]))
        pysam.index(str(folder / name))


def _make_read(header, rng, contig, start, number, bases):
    read = pysam.AlignedSegment(header)
    read.query_name = f"{contig}-{number}"
    read.flag = rng.choice((0, 16, 16, 0, 0x400, 0x100, 0x200)) if rng.random() < 0.2 else rng.choice((0, 16))
    read.reference_name, read.reference_start, read.mapping_quality = contig, start, 60
    read.cigarstring = rng.choice(("150M", "150M", "150M", "70M5D80M", "50M20I80M", "100M50S", "30M100N120M"))
    text = list(bases[start : start + READ])
    for _ in range(2):
        text[rng.randrange(READ)] = rng.choice("ACGT")
    read.query_sequence, read.query_qualities = "".join(text), pysam.qualitystring_to_array("I" * READ)
    read.set_tag("RG", "one")
    return read


def _write_variants(folder: Path, bases: dict[str, str]) -> None:
    rng = random.Random(3)
    head = [
        "##fileformat=VCFv4.3",
        *(f"##contig=<ID={name},length={length}>" for name, length in CONTIGS.items()),
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Kind">',
        '##ALT=<ID=DEL,Description="Deletion">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2",
    ]
    lines = []
    for contig, length in CONTIGS.items():
        for place in sorted(rng.sample(range(1, length), length // 200)):
            base = bases[contig][place - 1]
            alt, info = rng.choice([("ACGT".replace(base, "")[0], "DP=7"), ("<DEL>", f"END={place + 900};SVTYPE=DEL")])
            lines.append(f"{contig}\t{place}\tv{place}\t{base}\t{alt}\t50\tPASS\t{info}\tGT\t0/1\t1/1")
    (folder / "calls.vcf").write_text("\n".join([*head, *lines]) + "\n")
    pysam.tabix_index(str(folder / "calls.vcf"), preset="vcf", force=True)
    pysam.bcftools.view("-Ob", "-o", str(folder / "cohort.bcf"), str(folder / "calls.vcf.gz"), catch_stdout=False)
    pysam.bcftools.index("-f", str(folder / "cohort.bcf"), catch_stdout=False)


def _format_gene(number: int) -> str:
    """A gene of two transcripts, of four and three exons, coding in the second and third."""
    contig, start, end = GENES[number]
    strand, gene = "+-"[number % 2], f"GENE{number}"
    rows = [f"{contig}\tx\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tID={gene};Name=Name{number}"]
    for which in range(2):
        transcript = f"{gene}.t{which}"
        rows.append(f"{contig}\tx\tmRNA\t{start + 1}\t{end}\t.\t{strand}\t.\tID={transcript};Parent={gene}")
        for part in range(4 - which):
            first = start + 1 + part * 1500
            rows.append(f"{contig}\tx\texon\t{first}\t{first + 499}\t.\t{strand}\t.\tParent={transcript}")
            if part in (1, 2):
                rows.append(f"{contig}\tx\tCDS\t{first}\t{first + 499}\t.\t{strand}\t0\tParent={transcript}")
    return "\n".join(rows)


def make_object(place: Path, source: Path) -> None:
    """Make the object of the files of `write_sources`: linked to its reference, with the track along its contigs."""
    modo = MODO.create(place, id=place.name)
    modo.add_element({"@type": "ReferenceGenome", "id": "bases"}, source_file=source / "bases.fa")
    for name, kind, file_format in (
        ("reads.bam", "AlignmentSet", "BAM"),
        ("packed.cram", "AlignmentSet", "CRAM"),
        ("calls.vcf.gz", "VariantSet", "VCF"),
        ("cohort.bcf", "VariantSet", "BCF"),
        ("genes.gff3", "DataEntity", "GFF3"),
    ):
        about = {"@type": kind, "id": name.partition(".")[0], "data_format": file_format, "has_reference": ["reference/bases"]}
        modo.add_element(about, source_file=source / name)
    modo.add_genome(source / "bases.fa", id="grid")
    modo.add_track("signal", source / "signal.bedGraph")
