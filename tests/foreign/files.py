"""The foreign files of some folders, and the forms in which each can be put into an object."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .oracle import Oracle, Refused, lines_of

KINDS = {".bam": "BAM", ".cram": "CRAM", ".sam": "SAM", ".vcf": "VCF", ".vcf.gz": "VCF", ".vcf.bgz": "VCF", ".bcf": "BCF"}
READS = ("BAM", "CRAM", "SAM")
REFERENCES = ("ce.fa", "reference.fa")  # beside the files, or in a folder above them
_FIRST = 4096


@dataclass(frozen=True)
class Foreign:
    """A file written by others.

    Parameters
    ----------
    name
        Its path within the folder it was found in.
    """

    path: Path
    name: str
    kind: str

    @property
    def has_reads(self) -> bool:
        return self.kind in READS

    @property
    def reference(self) -> Path | None:
        """The FASTA that lies nearest to it."""
        found = (folder / name for folder in self.path.parents for name in REFERENCES)
        return next((fasta for fasta in found if fasta.is_file()), None) if self.has_reads else None


@dataclass
class Form:
    """A foreign file as it is put into an object: its format and index."""

    path: Path
    index: Path | None = None
    reference: Path | None = None
    lines: list[str] = field(default_factory=list)  # all records, as the oracle has them

    @property
    def has_reads(self) -> bool:
        return self.path.suffix in (".bam", ".cram")

    @property
    def name(self) -> str:
        return self.path.name

    def body(self) -> list[str] | None:
        """The lines of a VCF as they are in the file; None for other forms."""
        if not self.name.endswith(".vcf.gz"):
            return None
        return [line for line in lines_of(gzip.decompress(self.path.read_bytes())) if not line.startswith("#")]


def find_foreign(folders: list[Path]) -> list[Foreign]:
    """Every genomic file of some folders, by its name or else by its first bytes."""
    found = []
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            kind = kind_of(path)
            if kind:
                found.append(Foreign(path, path.relative_to(folder).as_posix(), kind))
    return found


def foreign_folders() -> list[Path]:
    """The folders in MODOS_FOREIGN, else that of the shared data; none where they are not here."""
    given = os.environ.get("MODOS_FOREIGN")
    shared = os.environ.get("MODOS_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    folders = [Path(part) for part in given.split(os.pathsep)] if given else [Path(shared)]
    return [folder for folder in folders if folder.is_dir()]


def kind_of(path: Path) -> str | None:
    """What a file is, by its name or else by its first bytes."""
    endings = [ending for ending in KINDS if path.name.lower().endswith(ending)]
    if endings:
        return KINDS[max(endings, key=len)]
    with open(path, "rb") as file:
        start = file.read(_FIRST)
    if start[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                start = file.read(_FIRST)
        except (OSError, EOFError):
            return None
    magics = {b"BAM\1": "BAM", b"CRAM": "CRAM", b"BCF\2": "BCF", b"##fileformat=VCF": "VCF", b"@HD\t": "SAM", b"@SQ\t": "SAM"}
    return next((kind for magic, kind in magics.items() if start.startswith(magic)), None)


@dataclass
class Forms:
    """The forms of a foreign file, and what samtools and bcftools would not make of it."""

    taken: list[Form] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def make_forms(file: Foreign, oracle: Oracle, folder: Path) -> Forms:
    """Compress and index a file in each way it can be."""
    forms = Forms()
    steps = _forms_of_reads(file, oracle, folder) if file.has_reads else _forms_of_variants(file, oracle, folder)
    for name, step in steps.items():
        try:
            forms.taken.append(step())
        except (Refused, OSError, subprocess.CalledProcessError) as refusal:
            forms.left_out.append(f"{name}: {' '.join(str(refusal).split())[-200:]}")
    return forms


def _forms_of_variants(file: Foreign, oracle: Oracle, folder: Path):
    def compressed(name: str) -> Path:
        (folder / name).write_bytes(bgzipped(file.path.read_bytes()))
        return folder / name

    def bcf(name: str) -> Path:
        oracle.run("bcftools", "view", "--no-version", "-Ob", "-o", folder / name, file.path)
        return folder / name

    def index(path: Path, *options: str) -> Form:
        suffix = ".tbi" if "-t" in options else ".csi"
        made = path.with_name(path.name + suffix)
        try:
            oracle.run("bcftools", "index", *options, "-o", made, path)
        except Refused:
            made.unlink(missing_ok=True)
            return Form(path)
        return Form(path, made)

    if file.kind == "BCF":
        return {"bcf": lambda: index(Path(shutil.copy(file.path, folder / "csi.bcf")))}
    return {
        "tbi": lambda: index(compressed("tbi.vcf.gz"), "-t"),
        "csi": lambda: index(compressed("csi.vcf.gz"), "-c"),
        "bcf": lambda: index(bcf("bcf.bcf")),
    }


def bgzipped(data: bytes) -> bytes:
    """The same text in BGZF blocks; as it is where it lies in them."""
    if data[:2] == b"\x1f\x8b" and data[3:4] == b"\x04" and data[12:14] == b"BC":
        return data
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return subprocess.run(["bgzip", "-c"], input=text, capture_output=True, check=True).stdout


def _forms_of_reads(file: Foreign, oracle: Oracle, folder: Path):
    reference = file.reference
    words = ("--reference", reference) if reference else ()

    def make(name: str, form: str, *options: str) -> Form:
        path = folder / name
        if file.kind == form:
            shutil.copy(file.path, path)
            path.chmod(0o644)
        else:
            oracle.run("samtools", "view", "--no-PG", "-O", _output(form), *words, "-o", path, file.path)
        index = path.with_name(path.name + (".crai" if form == "CRAM" else ".csi" if "-c" in options else ".bai"))
        try:
            oracle.run("samtools", "index", *options, "-o", index, path)
        except Refused:
            unsorted = path.with_name(f"unsorted.{path.name}")
            path.rename(unsorted)
            oracle.run("samtools", "sort", "--no-PG", "-O", _output(form), *words, "-o", path, unsorted)
            oracle.run("samtools", "index", *options, "-o", index, path)
        return Form(path, index, reference)

    def given() -> Form:
        path = Path(shutil.copy(file.path, folder / "given.cram"))
        return Form(path, Path(shutil.copy(f"{file.path}.crai", folder / "given.cram.crai")), reference)

    if file.kind == "CRAM":
        return {"crai": lambda: make("crai.cram", "CRAM")} | ({"given": given} if Path(f"{file.path}.crai").is_file() else {})
    return {
        "bai": lambda: make("bai.bam", "BAM"),
        "csi": lambda: make("csi.bam", "BAM", "-c"),
        "crai": lambda: make("crai.cram", "CRAM"),
    }


def _output(form: str) -> str:
    """The format to write; a CRAM with its bases, so that reading it takes no reference."""
    return "cram,no_ref=1" if form == "CRAM" else form.lower()
