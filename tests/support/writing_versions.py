"""Write the fixtures of `tests/data/versions`: objects and stores, each by the code of one landed version.

    python -m tests.support.writing_versions plain                  the plain files that all fixtures are made of
    python -m tests.support.writing_versions NAME CHECKOUT          one fixture, by the code of a checkout
    python -m tests.support.writing_versions all SCRATCH            all of them, by checkouts that are made in a folder

Each version is run as a user runs it, by its own command line.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "data" / "versions"
PEOPLE = ("alice", "bob", "carol", "server", "officer")
VERSIONS = json.loads((FOLDER / "versions.json").read_text()) if (FOLDER / "versions.json").exists() else {}

REGIONS = ("chr1", "chr1:5,000-6,000", "chr2:100-2,500", "chr2:5,999-6,000")
LONG = (2, 7)  # fixtures with a file of several parts and segments; those of others are small
_LENGTHS = {"chr1": 20_000, "chr2": 6_000}
_DESCRIPTION = """
- element: {id: NAME, "@type": MODO, name: An object of its time, has_assay: [assay/wgs]}
- element: {id: assay/wgs, "@type": Assay, name: Sequencing, omics_type: [GENOMICS]}
  args: {part_of: NAME}
- element: {id: sample/one, "@type": Sample, sex: Female, taxon_id: ["NCBITaxon:9606"]}
- element: {id: sample/two, "@type": Sample, sex: Male}
- element: {id: reference/fasta, "@type": ReferenceGenome, name: genome, data_path: genome.fa}
  args: {source_file: genome.fa}
- element: {id: data/reads, "@type": AlignmentSet, data_path: reads.bam, data_format: BAM, has_sample: [sample/one], has_reference: [reference/fasta]}
  args: {source_file: reads.bam, part_of: assay/wgs}
- element: {id: data/calls, "@type": VariantSet, data_path: calls.vcf.gz, data_format: VCF, has_sample: [sample/one, sample/two]}
  args: {source_file: first.vcf.gz, part_of: assay/wgs}
- element: {id: data/cohort, "@type": VariantSet, data_path: cohort.bcf, data_format: BCF, has_sample: [sample/one]}
  args: {source_file: cohort.bcf, part_of: assay/wgs}
"""
_CODES = """format-version: 1.2
ontology: toy

[Term]
id: CL:0000084
name: T cell
synonym: "T lymphocyte" EXACT []

[Term]
id: CL:0000236
name: B cell
"""
_LOG = """
import sys
from modos.encryption.keys import load_public_key
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.read_entries import entry_to_line, now_in_text
from modos.storage import open_storage

place, key = sys.argv[1:]
chain = ChainWriter(open_storage(place), load_public_key(key), Limits(1_500))
chain.begin()
for number in range(12):
    told = {"event": "granted", "id": f"{number}", "time": now_in_text(), "caller": "tester", "file": f"files/{number}"}
    chain.append([entry_to_line(told)])
chain.close()
"""


def make_plain(folder: Path) -> None:
    """Make the plain files: reads, variants, a genome, values, genes, terms, a Zarr tree and a description."""
    import numpy as np
    import pysam
    import zarr

    draw = random.Random(26)
    genome = {name: "".join(draw.choices("ACGT", k=length)) for name, length in _LENGTHS.items()}
    fasta = folder / "genome.fa"
    fasta.write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    pysam.faidx(str(fasta))
    _make_reads(folder, genome, draw)
    for name, seed, count in (("first.vcf.gz", 1, 60), ("calls.vcf.gz", 2, 120), ("cohort.bcf", 3, 120)):
        _make_variants(folder / name, genome, random.Random(seed), count)
    pairs = [(start, start + 40, draw.randrange(400) / 8) for start in range(1_000, 15_000, 60)]
    (folder / "signal.bedGraph").write_text("".join(f"chr1\t{start}\t{end}\t{value}\n" for start, end, value in pairs))
    (folder / "more.bedGraph").write_text("chr2\t100\t900\t2.5\nchr2\t2000\t2001\t-0.125\n")
    (folder / "mask.bed").write_text("chr1\t2000\t2100\n")
    rows = [("gene", "ID=g1;Name=one;gene_id=g1"), ("mRNA", "ID=t1;Parent=g1"), ("exon", "ID=e1;Parent=t1")]
    lines = [f"chr1\ttoy\t{kind}\t1001\t2000\t.\t+\t.\t{told}\n" for kind, told in rows]
    (folder / "genes.gff3").write_text("##gff-version 3\n" + "".join(lines))
    (folder / "toy.obo").write_text(_CODES)
    (folder / "modo.yaml").write_text(_DESCRIPTION.lstrip())
    group = zarr.open_group(str(folder / "counts.zarr"), mode="w")
    group.create_array("X", data=np.arange(600, dtype="int32").reshape(20, 30), chunks=(10, 30))


def _make_reads(folder: Path, genome: dict[str, str], draw: random.Random) -> None:
    import pysam

    head = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": len(bases)} for name, bases in genome.items()]}
    head["RG"] = [{"ID": "r1", "SM": "one"}]
    few = sorted((number, draw.randrange(len(bases) - 100)) for number, bases in enumerate(genome.values()) for _ in range(150))
    long = sorted(
        (number, draw.randrange(len(bases) - 100)) for number, bases in enumerate(genome.values()) for _ in range(2_500)
    )
    for name, mode, places in (("reads.bam", "wb", few), ("reads.cram", "wc", few), ("long.bam", "wb", long)):
        with pysam.AlignmentFile(str(folder / name), mode, header=head, reference_filename=str(folder / "genome.fa")) as file:
            for number, (target, start) in enumerate(places):
                read = pysam.AlignedSegment(file.header)
                read.query_name, read.reference_id, read.reference_start = f"r{number}", target, start
                read.query_sequence = list(genome.values())[target][start : start + 100]
                read.query_qualities = pysam.qualitystring_to_array("I" * 100)
                read.flag, read.mapping_quality, read.cigarstring = 16 * (number % 2), 60, "100M"
                read.set_tag("RG", "r1")
                file.write(read)
        pysam.index(str(folder / name))


def _make_variants(path: Path, genome: dict[str, str], draw: random.Random, count: int) -> None:
    import pysam

    header = pysam.VariantHeader()
    for name, bases in genome.items():
        header.contigs.add(name, length=len(bases))
    header.add_line('##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">')
    header.add_line('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    for sample in ("one", "two"):
        header.add_sample(sample)
    with pysam.VariantFile(str(path), "wb" if path.suffix == ".bcf" else "wz", header=header) as file:
        for name, bases in genome.items():
            for start in sorted(draw.sample(range(len(bases)), count // 2)):
                other = draw.choice([base for base in "ACGT" if base != bases[start]])
                record = file.new_record(contig=name, start=start, alleles=(bases[start], other), info={"AF": 0.25})
                for sample in ("one", "two"):
                    record.samples[sample]["GT"] = draw.choice([(0, 0), (0, 1), (1, 1)])
                file.write(record)
    pysam.tabix_index(str(path), preset="bcf" if path.suffix == ".bcf" else "vcf", csi=path.suffix == ".bcf", force=True)


def write_expected(folder: Path) -> dict[str, dict[str, str]]:
    """Return what samtools and bcftools give of regions of the plain files: SHA-256 of their lines."""
    found: dict[str, dict[str, str]] = {}
    for name in ("reads.bam", "reads.cram", "long.bam", "calls.vcf.gz", "cohort.bcf"):
        program = ["bcftools", "view", "-H"] if "am" not in name else ["samtools", "view", "-T", folder / "genome.fa"]
        for region in REGIONS:
            result = subprocess.run([*program, folder / name, region.replace(",", "")], stdout=subprocess.PIPE, check=True)
            found.setdefault(name, {})[region] = hashlib.sha256(result.stdout).hexdigest()
    return found


class Writer:
    """One version of modos, run by its command line in a folder; steps that came later are left out.

    Parameters
    ----------
    number
        That the version's fixture begins with.
    """

    def __init__(self, number: int, checkout: Path, folder: Path, plain: Path):
        self.number, self.checkout, self.folder, self.plain = number, checkout, folder, plain

    def run(self, *words: object, python: str | None = None) -> None:
        """Run a command; raise CalledProcessError where it fails."""
        start = ["-c", python] if python else ["-m", "modos"]
        result = subprocess.run(
            [sys.executable, *start, *map(str, words)],
            cwd=self.folder,
            env=environment(self.checkout, self.folder.parent / "home"),
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise RuntimeError(f"{words}: {result.stdout[-2000:]}{result.stderr[-2000:]}")

    def write(self) -> None:
        """Write all that this version can."""
        self._write_object("plain")
        if self.number >= 2:
            self._write_object("sealed")
            self._seal("sealed")
        if self.number >= 3:
            genes = ("--gff3", self.plain / "genes.gff3", "--annotation", "genes")
            self.run("reference", "add", "toy", self.plain / "genome.fa", *genes, "--store", "refs")
        if self.number >= 6:
            self.run("codes", "build", self.plain / "toy.obo", "--output", "codes.idx")
        if self.number >= 8:
            self.run("pack", "plain", "plain.zip")
        if self.number >= 9:
            self.run("catalog", "refresh", ".")
            self.run("update", "plain", "sample/two", "-e", '{"description": "announced"}')
        if self.number >= 10:
            self.run("log", self.plain / "officer.pub", python=_LOG)

    def _write_object(self, name: str) -> None:
        described = self.folder.parent / "modo.yaml"
        text = (self.plain / "modo.yaml").read_text().replace("NAME", name)
        described.write_text(text.replace("source_file: ", f"source_file: {self.plain}/"))
        self.run("create", name, "-f", described)
        told = {"id": "packed", "@type": "AlignmentSet", "data_path": "reads.cram", "data_format": "CRAM"}
        told["has_reference"] = ["reference/fasta"]
        self.run("add", name, "data", "-e", json.dumps(told), "-s", self.plain / "reads.cram", "-p", "assay/wgs")
        if self.number in LONG:
            told = {"id": "long", "@type": "AlignmentSet", "data_path": "long.bam", "data_format": "BAM"}
            self.run("add", name, "data", "-e", json.dumps(told), "-s", self.plain / "long.bam", "-p", "assay/wgs")
        self.run("update", name, "sample/one", "-e", '{"sex": "Male", "description": "two\\nlines, and ü"}')
        self.run("add", name, "sample", "-e", '{"id": "three"}')
        self.run("remove", name, "sample/three", "--yes")
        changed = ("-e", '{"data_path": "calls2.vcf.gz"}') if self.number < 5 else ()
        self.run("update", name, "data/calls", *changed, "-s", self.plain / "calls.vcf.gz", "--yes")
        if self.number >= 3:
            self.run("genome", "init", name, self.plain / "genome.fa", "--id", "genome")
            self.run("track", "add", name, f"signal={self.plain / 'signal.bedGraph'}", "-g", "reference/genome")
            if name == "plain":
                masked = f"masked={self.plain / 'signal.bedGraph'}"
                self.run("track", "add", name, masked, "-g", "reference/genome", "--mask", self.plain / "mask.bed")
        if self.number >= 8:
            more = f"signal={self.plain / 'more.bedGraph'}"
            self.run("track", "add", name, more, "--append")
            self.run("add", name, "data", "-e", '{"id": "rna"}', "-s", self.plain / "counts.zarr", "-p", "assay/wgs")

    def _seal(self, name: str) -> None:
        """Encrypt for two, share with a third, and take the second out again."""
        alice, bob, carol, server = (self.plain / f"{person}.pub" for person in PEOPLE[:4])
        mine = ("-s", self.plain / "alice.sec")
        served = ("--index-for", server) if self.number >= 10 else ()
        self.run("c4gh", "encrypt", "-p", alice, "-p", carol, *served, name, *(("--yes",) if self.number >= 5 else ()))
        self.run("c4gh", "share", *mine, "-p", bob, name)
        self.run("c4gh", "revoke", *mine, "-p", carol, name)


def environment(checkout: Path, home: Path) -> dict[str, str]:
    """Return the environment of a program that runs the code of a checkout, and sees nothing of whoever runs it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    home.mkdir(exist_ok=True)
    folders = {name: str(home) for name in ("HOME", "MODOS_CACHE_DIR", "MODOS_CONFIG_DIR", "XDG_STATE_HOME")}
    return kept | folders | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}


def pack(folder: Path, path: Path) -> None:
    """Pack a folder: names in order, times and owners of nobody, so that the same files give the same bytes."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(folder.rglob("*")):
            info = archive.gettarinfo(file, file.relative_to(folder).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            info.mode = 0o755 if file.is_dir() else 0o600 if file.suffix == ".sec" else 0o644
            info.type, info.linkname = (tarfile.REGTYPE, "") if info.islnk() else (info.type, info.linkname)
            info.size = file.stat().st_size if file.is_file() else 0
            with file.open("rb") if file.is_file() else BytesIO() as data:
                archive.addfile(info, data)
    path.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def unpack(name: str, folder: Path) -> Path:
    """Unpack a fixture, or the plain files, into a folder, and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def write_plain(path: Path) -> None:
    """Make the plain files and the keys of people who do not exist, and pack them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "plain")
        folder.mkdir()
        make_plain(folder)
        for person in PEOPLE:
            words = ["c4gh", "keygen", "--no-passphrase", "--comment", f"test key of {person}: everybody has it", f"{person}.sec"]
            subprocess.run([sys.executable, "-m", "modos", *words], cwd=folder, env=environment(ROOT, Path(scratch)), check=True)
        pack(folder, path)
        (FOLDER / "expected.json").write_text(json.dumps(write_expected(folder), indent=1) + "\n")


def write_fixture(name: str, checkout: Path, path: Path) -> None:
    """Write a fixture by the code of a checkout, and pack it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, name)
        folder.mkdir()
        Writer(int(name[:2]), checkout, folder, unpack("plain", Path(scratch, "plain"))).write()
        for lock in folder.rglob(".commit.lock"):
            lock.unlink()
        pack(folder, path)


def main() -> None:
    """Do what the words say."""
    name, *rest = sys.argv[1:]
    if name == "plain":
        write_plain(FOLDER / "plain.tar.xz")
    elif name == "all":
        for one, version in VERSIONS.items():
            checkout = Path(rest[0], one)
            subprocess.run(["git", "worktree", "add", "--detach", checkout, version["commit"]], cwd=ROOT, check=True)
            write_fixture(one, checkout, FOLDER / f"{one}.tar.xz")
            subprocess.run(["git", "worktree", "remove", "--force", checkout], cwd=ROOT, check=True)
            shutil.rmtree(checkout, ignore_errors=True)
    else:
        write_fixture(name, Path(rest[0]), FOLDER / f"{name}.tar.xz")
    for path in sorted(FOLDER.glob("*.tar.xz")):
        print(path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


if __name__ == "__main__":
    main()
