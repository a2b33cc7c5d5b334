"""Generate the demo data set: a small genome, reads, variants and their metadata.

    reference.fa   .fai    two contigs of 60 and 40 kb
    demo1.cram     .crai   paired reads of SAMPLE1, 20-fold coverage
    demo2.bam      .bai    the same reads
    calls.vcf.gz   .tbi    about 200 variants of SAMPLE1 and SAMPLE2
    cohort.bcf     .csi    the same variants
    modo.yaml              the elements that describe these files

Everything is drawn from one seed: two runs write the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from modos.demo.bases import make_genome, write_fasta
from modos.demo.reads import READ_GROUP, Sequencer
from modos.demo.variants import SAMPLES, Variant, make_variants

SEED = 7
DATE = "2025-01-15"
REFERENCE = "reference.fa"

_CRAM_OPTIONS = [b"version=3.0", b"seqs_per_slice=1000"]  # small slices, so that a region is a small part
_CRAM_FILE_ID = slice(6, 26)  # CRAMv3 section 6


def generate(folder: Path) -> Path:
    """Write the data set into a folder, in place of what it has of the same names.

    Parameters
    ----------
    folder
        Created where it does not exist.

    Returns
    -------
    Path
        The description of the object, `modo.yaml` in that folder.

    Raises
    ------
    OSError
        The folder cannot be created or written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = Random(SEED)
    genome = make_genome(rng)
    variants = make_variants(rng, genome)
    checksums = {name: hashlib.md5(sequence.encode(), usedforsecurity=False).hexdigest() for name, sequence in genome.items()}
    _write_reference(folder / REFERENCE, genome)
    _write_reads(folder, _sam_header(genome, checksums), Sequencer(rng, genome, variants).sam_lines())
    _write_variants(folder, _vcf_header(genome, checksums), variants)
    description = folder / "modo.yaml"
    description.write_text(_to_yaml(_elements(checksums)), encoding="utf-8", newline="\n")
    return description


def _write_reference(path: Path, genome: dict[str, str]) -> None:
    import pysam

    write_fasta(path, genome)
    pysam.faidx(str(path))


def _write_reads(folder: Path, header: str, lines: Sequence[str]) -> None:
    import pysam

    bam, cram = folder / "demo2.bam", folder / "demo1.cram"
    with pysam.AlignmentFile(bam, "wb", text=header) as out:
        _write_alignments(out, lines)
    with pysam.AlignmentFile(cram, "wc", text=header, format_options=_CRAM_OPTIONS) as out:  # type: ignore[arg-type]  # it takes bytes
        # Only after the header is written: htslib would add the absolute path of the reference to it, as UR.
        out.add_hts_options([f"reference={folder / REFERENCE}".encode()])  # type: ignore[list-item]
        _write_alignments(out, lines)
    _name_cram(cram)
    for path in (bam, cram):
        pysam.index(str(path))


def _write_alignments(out: Any, lines: Sequence[str]) -> None:
    from pysam import AlignedSegment

    for line in lines:
        out.write(AlignedSegment.fromstring(line, out.header))


def _name_cram(path: Path) -> None:
    """Give a CRAM file its bare name as file id, where htslib writes its path."""
    size = _CRAM_FILE_ID.stop - _CRAM_FILE_ID.start
    with path.open("r+b") as cram:
        cram.seek(_CRAM_FILE_ID.start)
        cram.write(path.name.encode().ljust(size, b"\0"))


def _write_variants(folder: Path, header: Sequence[str], variants: Sequence[Variant]) -> None:
    import pysam
    import pysam.bcftools

    for name, mode, index_option in (("calls.vcf.gz", "wz", "--tbi"), ("cohort.bcf", "wb", "--csi")):
        path = str(folder / name)
        vcf_header = pysam.VariantHeader()
        for line in header:
            vcf_header.add_line(line)
        vcf_header.add_samples(SAMPLES)
        with pysam.VariantFile(path, mode, header=vcf_header) as out:
            for variant in variants:
                out.write(_variant_record(out, variant))
        pysam.bcftools.index("--force", index_option, path)


def _variant_record(out: Any, variant: Variant) -> Any:
    calls = zip(variant.genotypes, variant.depths, variant.qualities)
    return out.new_record(
        contig=variant.contig,
        start=variant.start,
        alleles=(variant.ref, variant.alt),
        filter="PASS",
        qual=10 * sum(variant.depths),
        info={"DP": sum(variant.depths), "AF": variant.allele_frequency},
        samples=[{"GT": tuple(sorted(genotype)), "DP": depth, "GQ": quality} for genotype, depth, quality in calls],
    )


def _sam_header(genome: dict[str, str], checksums: dict[str, str]) -> str:
    return "".join(
        [
            "@HD\tVN:1.6\tSO:coordinate\n",
            *(f"@SQ\tSN:{name}\tLN:{len(sequence)}\tM5:{checksums[name]}\n" for name, sequence in genome.items()),
            f"@RG\tID:{READ_GROUP}\tSM:{SAMPLES[0]}\tLB:library1\tPL:ILLUMINA\n",
            "@CO\tSimulated reads of the modos demo\n",
        ]
    )


def _vcf_header(genome: dict[str, str], checksums: dict[str, str]) -> list[str]:
    return [
        f"##reference={REFERENCE}",
        *(f"##contig=<ID={name},length={len(sequence)},md5={checksums[name]}>" for name, sequence in genome.items()),
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Read depth over all samples">',
        '##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency of the alternate allele">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Read depth">',
        '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Genotype quality">',
    ]


def _elements(checksums: dict[str, str]) -> list[dict[str, Any]]:
    """Return the object, its assay, samples, reference and data, parents before their parts."""
    return [
        _element("ex", "MODO", "Demo", "Simulated reads and variants of two samples.", creation_date=DATE, last_update_date=DATE),
        _element(
            "assay/assay1",
            "Assay",
            "Whole genome sequencing",
            "Paired reads, 2 x 100 bases, 20-fold coverage.",
            omics_type=["GENOMICS"],
            sample_processing=["DNA extraction", "Library preparation", "Sequencing"],
        ),
        *(_sample(number, sex) for number, sex in ((1, "Female"), (2, "Male"))),
        _element(
            "reference/reference1",
            "ReferenceGenome",
            "Demo genome",
            "A made-up genome of two contigs.",
            {"source_file": REFERENCE},
            data_path=REFERENCE,
            version="1",
        ),
        *(
            _element(
                f"sequence/{name}",
                "ReferenceSequence",
                name,
                f"Contig {name} of the demo genome.",
                {"part_of": "reference/reference1"},
                sequence_md5=checksum,
            )
            for name, checksum in checksums.items()
        ),
        _data("demo1", "AlignmentSet", "CRAM", "demo1.cram", "Aligned reads of SAMPLE1.", [1]),
        _data("demo2", "AlignmentSet", "BAM", "demo2.bam", "The same reads as BAM.", [1]),
        _data("calls", "VariantSet", "VCF", "calls.vcf.gz", "Variants of both samples.", [1, 2]),
        _data("cohort", "VariantSet", "BCF", "cohort.bcf", "The same variants as BCF.", [1, 2]),
    ]


def _sample(number: int, sex: str) -> dict[str, Any]:
    return _element(
        f"sample/sample{number}",
        "Sample",
        SAMPLES[number - 1],
        f"Simulated sample {number}.",
        sex=sex,
        cell_type="http://purl.obolibrary.org/obo/CL_0000738",
        source_material="http://purl.obolibrary.org/obo/UBERON_0000178",
    )


def _data(name: str, kind: str, data_format: str, file: str, description: str, samples: list[int]) -> dict[str, Any]:
    return _element(
        f"data/{name}",
        kind,
        name,
        description,
        {"source_file": file, "part_of": "assay/assay1"},
        data_path=file,
        data_format=data_format,
        has_sample=[f"sample/sample{number}" for number in samples],
        has_reference=["reference/reference1"],
    )


def _element(
    element_id: str, kind: str, name: str, description: str, args: dict[str, str] | None = None, **slots: Any
) -> dict[str, Any]:
    element = {"id": element_id, "@type": kind, "name": name, "description": description, **slots}
    return {"element": element, "args": args} if args else {"element": element}


def _to_yaml(elements: Sequence[dict[str, Any]]) -> str:
    import yaml

    entries = [yaml.safe_dump([element], sort_keys=False, width=100) for element in elements]
    return "# The elements of the demo object. Source files are relative to this file.\n\n" + "\n".join(entries)
