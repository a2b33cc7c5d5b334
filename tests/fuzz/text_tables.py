"""Readers of tables: contigs and their names, sequences, tracks, places, annotations, headers."""

from __future__ import annotations

import gzip
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from .trying import Target


def dressed(*texts: bytes) -> list[bytes]:
    """Texts; the first of them also compressed in two ways, with a byte order mark, and with the ends of lines of Windows."""
    from modos.formats import BGZF_EOF
    from modos.genomics.index.bgzf import compress

    first = texts[0]
    return [
        *texts,
        gzip.compress(first, mtime=0),
        compress(first) + BGZF_EOF,
        b"\xef\xbb\xbf" + first,
        first.replace(b"\n", b"\r\n"),
    ]


@cache
def _contigs() -> Any:
    from modos.tracks.contigs import Contigs

    return Contigs({"chr1": 1000, "chr2": 500}, aliases={"1": "chr1"})


@cache
def assembly() -> Any:
    """Contigs of this name and length, of which no bases are there."""
    from modos.reference.assembly import Assembly, StoredContig
    from modos.reference.digests import seqcol_digest

    contigs = tuple(
        StoredContig(name, length, f"{number:032x}", f"SQ.{number:032d}", (name[3:],))
        for number, (name, length) in enumerate({"chr1": 100_000, "chr2": 50_000, "chrM": 16_569}.items())
    )
    return Assembly("small", contigs, seqcol_digest([vars(contig) for contig in contigs]))


def check_read(place: Path) -> None:
    """AssertionError where an object that was written cannot be read."""
    from modos.api import MODO
    from modos.errors import ModosError

    try:
        MODO(place).show_contents()
    except ModosError as error:
        raise AssertionError(f"what was written cannot be read: {error}") from error


def _read_sizes(path: Path) -> None:
    from modos.tracks.contig_files import read_sizes

    read_sizes([str(path)])


def _read_agp(path: Path) -> None:
    from modos.tracks.contig_files import read_agp

    read_agp([str(path)])


def _read_report(path: Path) -> None:
    from modos.formats.assembly_report import NAME_STYLES, read_report
    from modos.reference.adding import read_aliases
    from modos.tracks.contig_files import rename_contigs

    for style in NAME_STYLES:
        rename_contigs(_contigs(), read_report(str(path), style), str(path))
    list(read_aliases(str(path)))


def _read_map(path: Path) -> None:
    from modos.tracks.contig_files import read_map, rename_contigs

    rename_contigs(_contigs(), read_map(str(path)), str(path))


def _read_aliases(path: Path) -> None:
    from modos.reference.adding import add_files
    from modos.reference.store import ReferenceStore
    from modos.storage import open_storage

    fasta = path.parent / "small.fa"
    fasta.write_bytes(_FASTA)
    add_files(ReferenceStore(open_storage(path.parent / "store")), "small", [str(fasta)], str(path))


def _import_folder(path: Path) -> None:
    from modos.reference.genomekit import import_from
    from modos.reference.store import ReferenceStore
    from modos.storage import open_storage

    folder = path.parent / "folder"
    folder.mkdir()
    (folder / "small.2bit").write_bytes(_TWOBIT)
    (folder / "small.chrom.sizes").write_bytes(b"chr1\t8\n")
    (folder / "genes.gff3").write_bytes(b"chr1\tx\tgene\t1\t8\t.\t+\t.\tID=g\n")
    shutil.move(path, folder / "genes.cfg")
    list(import_from(open_storage(folder), ReferenceStore(open_storage(path.parent / "store"))))


def _compare_sizes(path: Path) -> None:
    from modos.reference.genomekit import import_from
    from modos.reference.store import ReferenceStore
    from modos.storage import open_storage

    folder = path.parent / "folder"
    folder.mkdir()
    (folder / "small.2bit").write_bytes(_TWOBIT)
    shutil.move(path, folder / "small.chrom.sizes")
    list(import_from(open_storage(folder), ReferenceStore(open_storage(path.parent / "store"))))


def _read_fai(path: Path) -> None:
    from modos.reference.fai import check_fai, parse_fai
    from modos.reference.fasta_assembly import digest_fasta, open_fasta
    from modos.storage import open_storage

    (path.parent / "file.fa").write_bytes(_FASTA)
    storage = open_storage(path.parent)
    entries = parse_fai(path.read_bytes())
    check_fai(lambda start, end: _FASTA[start:end], len(_FASTA), path.read_bytes(), thorough=True)
    digest_fasta(storage, "file.fa")
    reference = open_fasta(storage, "file.fa", "small")
    for name, entry in entries.items():
        if entry.length:
            reference.dna(name)


def _read_fasta(path: Path) -> None:
    from modos.reference.adding import add_files
    from modos.reference.store import ReferenceStore
    from modos.storage import open_storage
    from modos.tracks.contig_files import measure_fasta

    measure_fasta([str(path)])
    add_files(ReferenceStore(open_storage(path.parent / "store")), "small", [str(path)])


def _read_track(path: Path) -> None:
    from modos.storage import open_storage
    from modos.storage.write_log import WriteLog
    from modos.tracks.arrays import Names
    from modos.tracks.loading import build_track, read_source

    build_track(WriteLog(open_storage(path.parent / "object")), _contigs(), Names("data/track"), read_source(str(path)))


def _read_mask(path: Path) -> None:
    from modos.tracks.mask_files import MaskFile

    mask = MaskFile(str(path))
    mask.place_on(_contigs())
    mask.check_ends(_contigs())


def _read_scores(path: Path) -> None:
    from modos.tracks.conditions import Condition
    from modos.tracks.mask_files import MaskFile

    mask = MaskFile(str(path), Condition.parse("ge 0.5"))
    mask.place_on(_contigs())
    mask.check_ends(_contigs())


def _read_regions(path: Path) -> None:
    from modos.genomics.region import read_regions, settle

    list(map(str, settle(read_regions(str(path)))))


def _read_annotation(path: Path) -> None:
    from modos.reference.annotation_store import add_annotation
    from modos.reference.store import ReferenceStore
    from modos.storage import open_storage

    add_annotation(ReferenceStore(open_storage(path.parent / "store")), "genes", assembly(), str(path))


def _read_header(path: Path) -> None:
    """The text of a SAM header in a BAM, that of a VCF, or an mzTab: what is said there becomes elements of an object."""
    from modos.api import MODO
    from modos.formats import BGZF_EOF
    from modos.formats.mztab import parse_mztab
    from modos.genomics.index.bgzf import compress
    from modos.object.enrichment import read_header
    from modos.storage import open_storage

    data, (type, format, name) = path.read_bytes(), _HEADERS[path.suffix]
    text = data.decode(errors="replace")
    if path.suffix == ".sam":
        data = b"BAM\1" + len(data).to_bytes(4, "little") + data + b"\0" * 4
    place = path.parent / "object"
    modo = MODO(place, id="x")
    (place / name).write_bytes(data if path.suffix == ".mztab" else compress(data) + BGZF_EOF)
    modo.add_element({"@type": type, "id": "data/d", "data_format": format, "data_path": name})
    if modo.enrich_metadata():
        parse_mztab(text.splitlines(keepends=True)) if path.suffix == ".mztab" else read_header(open_storage(place), name)
    check_read(place)


_HEADERS = {
    ".sam": ("AlignmentSet", "BAM", "x.bam"),
    ".vcf": ("VariantSet", "VCF", "x.vcf.gz"),
    ".mztab": ("MassSpectrometryResults", "mzTab", "x.mztab"),
}
_FASTA = b">chr1 first\nACGTNNacgt\nACGTACGTAC\nAC\n>chr2\nTTTT\n"
_TWOBIT = (
    bytes.fromhex("4327411a00000000010000000000000004") + b"chr1" + bytes.fromhex("19000000080000000000000000000000000000001b1b")
)

_AGP = (
    b"##agp-version\t2.1\nchr1\t1\t400\t1\tW\tscaffold1\t1\t400\t+\nchr1\t401\t500\t2\tN\t100\tscaffold\tyes\tpaired-ends\n"
    b"chr1\t501\t1000\t3\tW\tscaffold2\t1\t500\t-\nchr2\t1\t500\t1\tF\tAC1.1\t1\t500\t+\n"
)
_REPORT = (
    b"# Assembly name:  small\r\n# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\tRelationship\t"
    b"RefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name\r\n"
    b"1\tassembled-molecule\t1\tChromosome\tCM1.1\t=\tNC_1.1\tPrimary Assembly\t1000\tchr1\r\n"
    b"2\tunplaced-scaffold\tna\tna\tCM2.1\t=\tNC_2.1\tPrimary Assembly\t500\tchr2\r\n"
)
_ALIASES = [
    b"# sequenceName\talias names\tUCSC database: small\nchr1\t1\tCM1.1\tNC_1.1\nchr2\t2\tCM2.1\n",
    b"1\tchr1\tensembl,ucsc\nNC_2.1\tchr2\trefseq\n",
    b"# alias\tchrom\tsource\n1\tchr1\tensembl\n",
]
_FAI = b"chr1\t22\t12\t10\t11\nchr2\t4\t43\t4\t5\n"

_BEDGRAPH = b'track type=bedGraph name="a track"\nbrowser position chr1:1-100\n# comment\nchr1\t0\t10\t1.5\nchr1\t10\t20\t-3\nchr2\t5\t6\tnan\n'
_FIXED = b"fixedStep chrom=chr1 start=1 step=1\n1\n2.5\n-3e2\nfixedStep chrom=chr2 start=10 step=5 span=2\n1\n0\n"
_VARIABLE = b"variableStep chrom=chr1 span=2\n1 1.5\n10 2\nvariableStep chrom=chr2\n3 4\n"
_LATER = b"variableStep chrom=chr1\n100 1\n105 nan\n"
_TRACK_WORDS = (
    b"fixedStep",
    b"variableStep chrom=chr1",
    b"chrom=",
    b"start=",
    b"step=",
    b"span=",
    b"chr1",
    b"chr2",
    b"track",
    b"\t",
    b"nan",
    b"inf",
)
_BED = b"track name=x\nchr1\t0\t10\ta\t500\t+\nchr2\t5\t9\tb\t0.1\t-\n"
_BED12 = b"chr1\t0\t100\tt\t960\t+\t10\t90\t255,0,0\t2\t20,30,\t0,70,\n"

_GFF3 = (
    b"##gff-version 3\n##sequence-region chr1 1 100000\nchr1\tx\tregion\t1\t100000\t.\t+\t.\tID=chr1;Is_circular=true\n"
    b"chr1\tx\tgene\t100\t5000\t.\t+\t.\tID=gene1;Name=A;gene_biotype=protein_coding;Dbxref=GeneID:1;description=some%20words\n"
    b"chr1\tx\tmRNA\t100\t5000\t.\t+\t.\tID=rna1;Parent=gene1;Name=NM_1\n"
    b"chr1\tx\texon\t100\t500\t.\t+\t.\tID=e1;Parent=rna1\nchr1\tx\texon\t1000\t5000\t.\t+\t.\tID=e2;Parent=rna1\n"
    b"chr1\tx\tCDS\t200\t500\t.\t+\t0\tID=cds1;Parent=rna1;protein_id=NP_1\nchr1\tx\tCDS\t1000\t2000\t0.5\t+\t2\tID=cds1;Parent=rna1\n"
    b"chr2\tx\tncRNA_gene\t10\t90\t.\t?\t.\tID=g2\n###\n##FASTA\n>chr1\nACGT\n"
)
_GTF = (
    b'#!genome-build small\nchr1\tx\tgene\t100\t5000\t.\t-\t.\tgene_id "G1"; gene_name "A; B"; gene_type "protein_coding"; level 2;\n'
    b'chr1\tx\ttranscript\t100\t5000\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; tag "basic"; tag "CCDS"; transcript_support_level "1";\n'
    b'chr1\tx\texon\t100\t500\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; exon_number 2; exon_id "E2";\n'
    b'chr1\tx\texon\t1000\t5000\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; exon_number 1;\n'
    b'chr1\tx\tCDS\t1000\t2000\t.\t-\t0\tgene_id "G1"; transcript_id "T1"; protein_id "P1";\n'
    b'chr1\tx\tstop_codon\t997\t999\t.\t-\t0\tgene_id "G1"; transcript_id "T1";\n'
)
_GFF_WORDS = (
    b"ID=",
    b"Parent=",
    b"Parent=gene1,rna1",
    b"gene",
    b"mRNA",
    b"exon",
    b"CDS",
    b"five_prime_UTR",
    b"Is_circular=true",
    b"%09",
    b"%0A",
    b"%1B",
    b"%",
    b"%C3",
    b'gene_id "',
    b'transcript_id "T1"',
    b'"',
    b"; ",
    b"chr1",
    b"\t.\t",
    b"+",
    b"-",
    b"?",
    b"##FASTA\n",
    b"chrM",
)
_REFGENE = b"585\tNM_1\tchr1\t+\t100\t5000\t200\t4000\t2\t100,1000,\t500,5000,\t0\tA\tcmpl\tcmpl\t0,1,\n585\tNR_2\tchr2\t-\t10\t90\t90\t90\t1\t10,\t90,\t0\tB\tunk\tunk\t-1,\n"
_REFFLAT = b"#geneName\tname\tchrom\tstrand\ttxStart\ttxEnd\tcdsStart\tcdsEnd\texonCount\texonStarts\texonEnds\nA\tNM_1\tchr1\t+\t100\t5000\t200\t4000\t2\t100,1000,\t500,5000,\n"
_KNOWN = b"uc1.1\tchr1\t+\t100\t5000\t200\t4000\t2\t100,1000,\t500,5000,\tP1\tuc1.1\n"

_SAM = (
    b"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:1000\tM5:0123456789abcdef0123456789abcdef\tUR:https://example.org/x.fa\n@SQ\tSN:chr2\tLN:500\tAN:2,two\n"
    b"@RG\tID:a\tSM:s1\tPL:ILLUMINA\n@PG\tID:bwa\tPN:bwa\tCL:bwa mem\n@CO\tany words\n"
)
_VCF = (
    b'##fileformat=VCFv4.3\n##contig=<ID=chr1,length=1000,md5=0123456789abcdef0123456789abcdef>\n##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, of all">\n'
    b'##FILTER=<ID=q10,Description="low">\n##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n##ALT=<ID=DEL,Description="x">\n##META=<ID=a,Values=[b,c]>\n'
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2\nchr1\t10\t.\tA\tC\t1\tPASS\tDP=3\tGT\t0/1\t./.\n"
)
_MZTAB = (
    b"COM\twords\nMTD\tmzTab-version\t2.0.0-M\nMTD\ttitle\tA study\nMTD\tdescription\tof something\nMTD\tsample[1]\ts1\n"
    b"MTD\tsample[1]-species[1]\t[NCBITaxon, NCBITaxon:9606, Homo sapiens, ]\nMTD\tsample[1]-cell_type[1]\t[CL, CL:0000182, hepatocyte, ]\n"
    b"MTD\tsample[2]-tissue[1]\t[BTO, BTO:0000759, liver, ]\nMTD\tsample[2]-description\twords\n\nSMH\tSML_ID\nSML\t1\n"
)

TARGETS = [
    Target(
        "sizes",
        ".sizes",
        _read_sizes,
        lambda: dressed(b"chr1\t1000\nchr2\t500\n", b"# sizes\r\n1 77\r\n"),
        (b"chr1", b"\t0", b"\t-5"),
    ),
    Target("agp", ".agp", _read_agp, lambda: dressed(_AGP), (b"chr1\t1\t400\t1\tW\n", b"N", b"U", b"chr2")),
    Target(
        "report",
        ".txt",
        _read_report,
        lambda: dressed(_REPORT),
        (b"# Sequence-Name\t", b"UCSC-style-name", b"na", b"chr1", b"assembled-molecule"),
    ),
    Target(
        "map", ".tsv", _read_map, lambda: dressed(b"chr1\tone\nchr2\ttwo\n", b"# names\nchr1 one\n"), (b"chr1", b"chr2", b"one")
    ),
    Target(
        "aliases",
        ".txt",
        _read_aliases,
        lambda: dressed(*_ALIASES),
        (b"chr1", b"ensembl", b"ucsc", b"# alias\tchrom\t", b"1\tchr1\tucsc\n"),
    ),
    Target(
        "cfg",
        ".cfg",
        _import_folder,
        lambda: [b"# an annotation\nrefg=small\n", b"\r\nrefg = small\r\n"],
        (b"refg=", b"=", b"small", b"../"),
    ),
    Target("imported-sizes", ".sizes", _compare_sizes, lambda: dressed(b"chr1\t8\n"), (b"chr1", b"\t8")),
    Target("fai", ".fa.fai", _read_fai, lambda: [_FAI], (b"chr1", b"\t0", b"\t10", b"\t11")),
    Target(
        "fasta", ".fa", _read_fasta, lambda: dressed(_FASTA), (b">", b">chr1", b"N" * 100, b"acgt", b"*", b"-", b";", b"ACGT")
    ),
    Target("bedgraph", ".bedGraph", _read_track, lambda: dressed(_BEDGRAPH, b"chr1 0 10 1\n1 10 20 2\n"), _TRACK_WORDS),
    Target("wiggle", ".wig", _read_track, lambda: dressed(_FIXED, _VARIABLE, _FIXED + _LATER), _TRACK_WORDS),
    Target("mask", ".bed", _read_mask, lambda: dressed(_BED, _BED12, _FIXED), _TRACK_WORDS),
    Target("mask-scores", ".bed", _read_scores, lambda: dressed(_BED, _BED12, _VARIABLE), _TRACK_WORDS),
    Target("bed-regions", ".bed", _read_regions, lambda: dressed(_BED, _BED12), (b"chr1", b"track ", b"browser ", b"1,000")),
    Target(
        "regions",
        ".tsv",
        _read_regions,
        lambda: dressed(b"chr1\t1\t10\nchr2\t5\nchrM\n", b"chr1 1,000 2,000\n"),
        (b"chr1", b"*", b"1,000", b"\t-"),
    ),
    Target("gff3", ".gff3", _read_annotation, lambda: dressed(_GFF3), _GFF_WORDS),
    Target("gtf", ".gtf", _read_annotation, lambda: dressed(_GTF), _GFF_WORDS),
    Target(
        "genepred",
        ".txt",
        _read_annotation,
        lambda: dressed(_REFGENE, _REFFLAT, _KNOWN),
        (b"chr1", b"+", b"-", b"100,1000,", b"0,-1,", b"cmpl", b"\t585"),
    ),
    Target(
        "sam-header",
        ".sam",
        _read_header,
        lambda: [_SAM],
        (b"@SQ\t", b"@RG\t", b"\tSN:", b"\tLN:", b"\tM5:", b"\tSM:", b"@", b":", b"\tUR:http://x"),
    ),
    Target(
        "vcf-header",
        ".vcf",
        _read_header,
        lambda: [_VCF],
        (b"##contig=<", b"ID=", b"length=", b">", b"<", b'"', b"Number=", b"Type=Flag", b"\n#CHROM\tPOS", b"IDX="),
    ),
    Target(
        "mztab",
        ".mztab",
        _read_header,
        lambda: [_MZTAB],
        (b"MTD\t", b"sample[1]", b"sample[99999999999]-", b"[a, b, c, ]", b"mzTab-version", b"-M"),
    ),
]
