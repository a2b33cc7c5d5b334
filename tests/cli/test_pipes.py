"""Every file that a command reads may come through a pipe: the result is that of the file, or a refusal that says so.

`CASES` has a run of each command for all its files, `OTHERS` the parameters
that are no files to be read; together they have to name all that there are.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import typing
from dataclasses import dataclass, field

import pytest
import requests
import typer.main

from modos.cli.app import app
from modos.errors import AccessError
from modos.object.modo import MODO

pytestmark = pytest.mark.sweep(6)

MODOS = f"{shlex.quote(sys.executable)} -c 'from modos.cli import main; main()'"
TOKEN = "0123456789abcdef0123"

# Objects, places, targets, names, JSON, URLs: what is no file that is read.
OTHERS = {  # secret_key and passphrase_file among them are read as those of `c4gh verify` and `stream`
    "": "endpoint",
    "create": "path type meta map worksheet",
    "add": "path element parent map",
    "template": "class_name output",
    "update": "path element type values map worksheet",
    "remove": "path element",
    "rm": "path element",
    "ls": "place",
    "help": "words",
    "enrich": "path passphrase_file secret_key",
    "show": "path element passphrase_file secret_key",
    "query": "path format base_uri where",
    "publish": "path format base_uri output",
    "check": "path repair_from",
    "diff": "path other",
    "upgrade": "path",
    "stream": "file region output output_format samples fields tags notags columns",
    "coverage": "file region annotation cohort colours dpi font_size genes limits output scale size title units where with_ y_label",
    "serve": "place host s3_url public_url htsget_url references log fuzon_url rewrap read_log read_log_key session_key",
    "keyserver": "place host keys access secret_key passphrase_file",
    "view": "path region secret_key passphrase_file",
    "gateway": "path secret_key passphrase_file",
    "demo": "write",
    "doctor": "place",
    "remote list": "place search",
    "remote upload": "path target include exclude",
    "remote download": "path target include exclude",
    "remote push": "path target include exclude",
    "remote pull": "path target include exclude",
    "c4gh keygen": "secret public comment",
    "c4gh encrypt": "place elements",
    "c4gh decrypt": "place elements",
    "c4gh share": "place elements",
    "c4gh revoke": "place elements",
    "c4gh recipients": "place",
    "c4gh verify": "place elements",
    "genome init": "place reference id name_style passphrase_file secret_key",
    "genome info": "genome",
    "genome contigs": "genome",
    "genome sizes": "genome",
    "genome seq": "regions genome passphrase_file secret_key",
    "track add": "place genome parent element",
    "track replace": "place",
    "track remove": "place names",
    "track rename": "place name new",
    "track list": "genome passphrase_file secret_key",
    "track info": "name genome passphrase_file secret_key",
    "track query": "names region genome passphrase_file secret_key",
    "track stats": "names region genome passphrase_file secret_key",
    "track mask": "place scores values",
    "track unmask": "place name",
    "track plot": "region names output genome annotation colours dpi font_size genes limits region_option scale size title units with_ y_label passphrase_file secret_key",
    "track export": "name output output_format region genome passphrase_file secret_key",
    "track import-genomedata": "place id",
    "reference list": "store",
    "reference show": "name store",
    "reference add": "name annotation source store",
    "reference import": "place name store",
    "reference pull": "name contig store",
    "reference push": "name target store",
    "reference verify": "name store",
    "reference dna": "name region store",
    "codes search": "slot query words",
    "codes build": "output",
    "reference features": "name region kind strand gene store",
    "reference rm": "name store",
    "catalog refresh": "place",
    "convert": "file id to passphrase_file secret_key",
    "find": "class_name columns parquet place where",
    "log export": "object output place sample since until user passphrase_file secret_key",
    "log show": "object place sample since until user passphrase_file secret_key",
    "log verify": "head place passphrase_file secret_key",
    "pack": "path target",
    "unpack": "exclude include path target",
    "reference cache": "forget store",
}


@dataclass
class Case:
    """A run of a command, with `{parameter}` where a file's name goes; the files; and whether a pipe is refused."""

    command: str
    words: str
    files: dict[str, str]
    refused: bool = False
    covers: tuple[str, ...] = field(default=())  # other parameters that are tested elsewhere


CASES = [
    Case("create", "new -f {file}", {"file": "modo.yaml"}),
    Case("create", "new --type sample -f {file}", {"file": "samples.tsv"}, covers=("secret_key", "passphrase_file")),
    Case("create", "new --type sample -f {file}", {"file": "samples.csv"}),
    Case("create", "new --type sample -f {file}", {"file": "samples.xlsx"}),
    Case("create", "new {files} -r {reference}", {"files": "demo2.bam", "reference": "ref.fa"}, refused=True),
    Case("add", "ex {what} -r {reference}", {"what": "demo2.bam", "reference": "ref.fa"}, refused=True),
    Case("add", "ex sample -f {file}", {"file": "sample.yaml"}),
    Case("add", 'ex data -e \'{{"id": "d", "data_path": "d.bam"}}\' -s {source}', {"source": "demo2.bam"}, refused=True),
    Case(
        "add",
        'ex data -e \'{{"id": "d", "data_path": "d.bam.c4gh"}}\' -s sealed/demo2.bam.c4gh --secret-key {secret_key} --passphrase-file {passphrase_file}',
        {"secret_key": "locked.sec", "passphrase_file": "passphrase"},
    ),
    Case("update", "ex -c {config} --prune --yes", {"config": "modo.yaml"}, covers=("secret_key", "passphrase_file")),
    Case("update", "ex data/coverage -s {source}", {"source": "demo2.bam"}, refused=True),
    Case("query", "ex @{sparql} --base-uri https://example.org/ex", {"sparql": "query.rq"}),
    Case("stream", "-c -R {regions_file} demo/demo2.bam", {"regions_file": "regions.txt"}),
    Case("stream", "-c -R {regions_file} demo/demo2.bam", {"regions_file": "regions.txt.gz"}),
    Case("stream", "-c -R bed:{regions_file} demo/demo2.bam", {"regions_file": "regions.bed"}),
    Case(
        "stream",
        "-c --secret-key {secret_key} --sender {sender} --passphrase-file {passphrase_file} sealed/demo2.bam",
        {"secret_key": "locked.sec", "sender": "open.pub", "passphrase_file": "passphrase"},
    ),
    Case("stream", "-c -T {reference} demo/demo1.cram", {"reference": "demo.fa"}, refused=True),
    Case(
        "check",
        "sealed --secret-key {secret_key} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "passphrase_file": "passphrase"},
    ),
    Case(
        "coverage",
        "-R {regions_file} --secret-key {secret_key} --sender {sender} --passphrase-file {passphrase_file} sealed/demo2.bam",
        {"regions_file": "regions.txt", "secret_key": "locked.sec", "sender": "open.pub", "passphrase_file": "passphrase"},
    ),
    Case("coverage", "-T {reference} demo/demo1.cram", {"reference": "demo.fa"}, refused=True),
    Case(
        "serve", "demo --workers 2 --port 0 --token-file {token_file}", {"token_file": "tokens"}, refused=True, covers=("access",)
    ),
    Case(
        "serve",
        "demo --workers 2 --port 0 --index-key {index_key} --passphrase-file {passphrase_file}",
        {"index_key": "locked.sec", "passphrase_file": "passphrase"},
        refused=True,
    ),
    Case("codes build", "{files} -o made.index", {"files": "cells.obo"}),
    Case("codes search", "cell_type cell --index {index}", {"index": "codes.index"}, refused=True),
    Case("codes list", "--index {index}", {"index": "codes.index"}, refused=True),
    Case("serve", "demo --port 0 --codes {codes}", {"codes": "codes.index"}, refused=True),
    Case("c4gh keygen", "made.sec --passphrase-file {passphrase_file}", {"passphrase_file": "passphrase"}),
    Case(
        "c4gh encrypt",
        "ex -p {public_key} -s {secret_key} --passphrase-file {passphrase_file}",
        {"public_key": "open.pub", "secret_key": "locked.sec", "passphrase_file": "passphrase"},
    ),
    Case("c4gh encrypt", "ex -p {public_key}", {"public_key": "ssh.pub"}),
    Case("c4gh encrypt", "demo -p {public_key} --index-for {index_for}", {"public_key": "ssh.pub", "index_for": "open.pub"}),
    Case(
        "c4gh share",
        "sealed -s {secret_key} --index-for {index_for} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "index_for": "ssh.pub", "passphrase_file": "passphrase"},
        covers=("public_key",),
    ),
    Case(
        "c4gh revoke",
        "sealed -s {secret_key} -p {public_key} --index-for {index_for} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "public_key": "open.pub", "index_for": "ssh.pub", "passphrase_file": "passphrase"},
    ),
    Case(
        "c4gh decrypt",
        "sealed -s {secret_key} --sender {sender} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "sender": "open.pub", "passphrase_file": "passphrase"},
    ),
    Case(
        "c4gh share",
        "sealed -s {secret_key} -p {public_key} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "public_key": "ssh.pub", "passphrase_file": "passphrase"},
    ),
    Case(
        "c4gh revoke",
        "sealed -s {secret_key} -p {public_key} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "public_key": "open.pub", "passphrase_file": "passphrase"},
    ),
    Case(
        "c4gh recipients",
        "sealed -s {secret_key} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "passphrase_file": "passphrase"},
    ),
    Case(
        "c4gh verify",
        "sealed -s {secret_key} --sender {sender} --passphrase-file {passphrase_file}",
        {"secret_key": "locked.sec", "sender": "open.pub", "passphrase_file": "passphrase"},
    ),
    Case("genome init", "bare {fasta} --assembly-report {assembly_report}", {"fasta": "ref.fa", "assembly_report": "report.txt"}),
    Case("genome init", "bare {fasta}", {"fasta": "ref.fa.gz"}),
    Case(
        "genome init",
        "bare --sizes {sizes} --chromosome-map {chromosome_map}",
        {"sizes": "ref.sizes", "chromosome_map": "names.txt"},
    ),
    Case("genome init", "bare --assembly {assembly}", {"assembly": "ref.agp"}),
    Case(
        "track add",
        "ex new={sources} --mask {mask} --keep {keep}",
        {"sources": "new.bedGraph", "mask": "mask.bed", "keep": "keep.bed"},
    ),
    Case("track add", "ex new={sources} more=new.bedGraph --mask {mask}", {"sources": "new.bedGraph.gz", "mask": "mask.bed"}),
    Case("track add", "ex new={sources}", {"sources": "new.bw"}),
    Case(
        "track replace",
        "ex coverage={sources} --mask {mask} --keep {keep}",
        {"sources": "new.bedGraph", "mask": "mask.bed", "keep": "keep.bed"},
    ),
    Case("track query", "ex -R {regions_file}", {"regions_file": "regions.txt"}),
    Case("track stats", "ex -R {regions_file}", {"regions_file": "regions.txt"}),
    Case("track mask", "ex coverage {words}", {"words": "mask.bed"}),
    Case("track mask", "ex coverage {words} --scores 'ge 4'", {"words": "new.bw"}),
    Case("track export", "ex coverage -R {regions_file}", {"regions_file": "regions.txt"}),
    Case("track import-genomedata", "ex {archive}", {"archive": "new.bw"}, refused=True),
    Case("reference add", "new {files} --names {names} --source x --store refs", {"files": "ref.fa", "names": "alias.txt"}),
    Case("reference add", "new {files} --source x --store refs", {"files": "ref.2bit"}),
    Case("reference add", "mini --gff3 {gff3} --annotation a --source x --store refs", {"gff3": "genes.gff3"}),
    Case("reference add", "mini --gff3 {gff3} --annotation a --source x --store refs", {"gff3": "genes.gff3.gz"}),
    Case("reference add", "mini --gff3 {gff3} --annotation a --source x --store refs", {"gff3": "refGene.txt"}),
    *(
        Case(f"{group} {name}", f"{{place}} {more}", {"place": "new.bw"}, refused=True)
        for group, name, more in (
            ("genome", "info", ""),
            ("genome", "contigs", ""),
            ("genome", "sizes", ""),
            ("genome", "seq", "chr1:1-10"),
            ("track", "list", ""),
            ("track", "info", "new"),
            ("track", "query", ""),
            ("track", "stats", ""),
            ("track", "plot", "chr1"),
            ("track", "export", "new"),
        )
    ),
]
NAMES = [f"{number:02}-{case.command}-{'-'.join(case.files.values())}" for number, case in enumerate(CASES)]


def parameters():
    """Of each command the parameters that are text or paths."""

    def walk(command, name):
        for word, below in getattr(command, "commands", {}).items():
            yield from walk(below, f"{name} {word}".strip())
        hints = typing.get_type_hints(command.callback) if command.callback else {}
        names = {p.name for p in command.params if hints.get(p.name) not in (bool, int, float, bool | None, int | None, None)}
        if names:
            yield name, names

    return dict(walk(typer.main.get_command(app), ""))


@pytest.mark.core
def test_every_parameter_is_in_the_tables():
    """A parameter that is new has to be said to be a file that is read, with a run of it, or to be none."""
    told = {command: set(names.split()) for command, names in OTHERS.items()}
    for case in CASES:
        told.setdefault(case.command, set()).update(case.files, case.covers)
    told["remote stream"] = told["stream"]  # the same function
    assert told == parameters()


BASES = {name: "".join(random.Random(name).choices("ACGTacgt", k=3000)) for name in ("chr1", "chr2")}
GFF3 = (
    "##gff-version 3\n"
    + "# a comment\n" * 9000
    + "".join(
        f"chr2\tT\t{kind}\t{start}\t{start + 50}\t.\t-\t.\t{more}\n"
        for start in range(1, 2900, 100)
        for kind, more in (
            ("gene", f"ID=g{start};gene_name=A{start}"),
            ("mRNA", f"ID=t{start};Parent=g{start}"),
            ("exon", f"ID=e{start};Parent=t{start}"),
        )
    )
)


def write_xlsx(path, rows):
    import openpyxl

    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)


def twobit(bases):
    """A 2bit file of sequences in upper case."""
    index, records, at = b"", b"", 16 + sum(5 + len(name) for name in bases)
    for name, text in bases.items():
        index += bytes([len(name)]) + name.encode() + struct.pack("<I", at + len(records))
        codes = ["TCAG".index(base) for base in text.upper()]
        packed = bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*(codes[k::4] for k in range(4))))
        records += struct.pack("<IIII", len(text), 0, 0, 0) + packed
    return struct.pack("<4I", 0x1A412743, 0, len(bases), 0) + index + records


@pytest.fixture(scope="session")
def kept(example, tmp_path_factory):
    """A folder with the files of all cases, and objects: `ex` with a track, `bare`, `demo` with reads, `sealed`, a store `refs`."""
    from modos.codes.index_builder import build
    from modos.encryption import keys
    from modos.reference.adding import add_files
    from modos.reference.locate import open_store

    folder = tmp_path_factory.mktemp("kept")
    rows = random.Random(1).choices(range(9), k=200)
    new = "".join(f"chr{1 + at // 100}\t{at % 100 * 30}\t{at % 100 * 30 + 30}\t{value}\n" for at, value in enumerate(rows))
    texts = {
        "modo.yaml": "- element: {id: s1, '@type': Sample, sex: Female}\n- element: {id: s2, '@type': Sample, sex: Male}\n",
        "samples.tsv": "id\tsex\ns1\tFemale\ns2\tMale\n",
        "samples.csv": "id,sex\ns1,Female\ns2,Male\n",
        "sample.yaml": "{id: s3, sex: Male}\n",
        "query.rq": "SELECT ?s ?o WHERE { ?s a ?o } ORDER BY ?s ?o\n",
        "regions.txt": "chr1\t101\t900\nchr2\t5\t50\n",
        "regions.bed": "chr1\t100\t900\nchr2\t4\t50\n",
        "tokens": f"me {TOKEN}\n",
        "access.toml": "tokens = 'FILE'\n[[rule]]\nwho = ['user:me']\nread = ['/']\n",
        "passphrase": "secret words\n",
        "ref.fa": "".join(
            f">{name} x\n" + "\n".join(text[at : at + 50] for at in range(0, 3000, 50)) + "\n" for name, text in BASES.items()
        ),
        "report.txt": "# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\tRelationship\t"
        "RefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name\n"
        + "".join(f"{n}\tassembled-molecule\t{n}\tChromosome\tCM{n}.1\t=\tNC_{n}.1\tP\t3000\tchr{n}\n" for n in (1, 2)),
        "ref.sizes": "chr1\t3000\nchr2\t3000\n",
        "names.txt": "chr1\t1\nchr2\t2\n",
        "alias.txt": "# ucsc\trefseq\nchr1\tNC_1.1\nchr2\tNC_2.1\n",
        "ref.agp": "chr1\t1\t1000\t1\tW\tx\t1\t1000\t+\nchr1\t1001\t2000\t2\tN\t1000\tscaffold\tyes\tna\nchr1\t2001\t3000\t3\tW\ty\t1\t1000\t+\n",
        "new.bedGraph": new,
        "mask.bed": "chr1\t100\t1500\n",
        "keep.bed": "chr1\t0\t2000\nchr2\t0\t300\n",
        "genes.gff3": GFF3,
        "cells.obo": "ontology: cl\n\n[Term]\nid: CL:0000084\nname: T cell\n",
        "refGene.txt": "585\tNM_1\tchr1\t+\t10\t400\t20\t300\t2\t10,200,\t100,400,\t0\tABC\tcmpl\tcmpl\t0,0,\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    for name in ("regions.txt", "ref.fa", "new.bedGraph", "genes.gff3"):
        (folder / f"{name}.gz").write_bytes(gzip.compress(texts[name].encode()))
    (folder / "ref.2bit").write_bytes(twobit(BASES))
    build([str(folder / "cells.obo")], folder / "codes.index")
    write_xlsx(folder / "samples.xlsx", [line.split("\t") for line in texts["samples.tsv"].splitlines()])
    for name in ("tokens", "passphrase"):
        (folder / name).chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "ssh"], check=True) if shutil.which(
        "ssh-keygen"
    ) else keys.generate(folder / "ssh", folder / "ssh.pub", None)
    keys.generate(folder / "open.sec", folder / "open.pub", None)
    keys.generate(folder / "locked.sec", folder / "locked.pub", "secret words")
    shutil.copy(example / "source/demo2.bam", folder)
    shutil.copy(example / "source/reference.fa", folder / "demo.fa")
    shutil.copytree(example / "ex", folder / "demo")
    _make_objects(folder)
    shutil.copytree(example / "ex", folder / "sealed")
    public = [keys.load_public_key(folder / f"{name}.pub") for name in ("open", "locked")]
    MODO.open(folder / "sealed").encrypt(public, keys.load_secret_key(folder / "open.sec"))
    add_files(open_store(str(folder / "refs")), "mini", [str(folder / "ref.fa")])
    return folder


def _make_objects(folder):
    from modos.tracks.export import export

    MODO.create(folder / "bare")
    modo = MODO.create(folder / "ex")
    modo.add_genome(folder / "ref.fa")
    modo.add_track("coverage", folder / "new.bedGraph")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "demo2.bam"}, folder / "demo2.bam")
    export(modo.open_genome().track("coverage"), str(folder / "new.bw"))


@pytest.fixture
def place(kept, tmp_path):
    """All of it for oneself: the objects are copied, the rest is linked."""
    folder = tmp_path / "place"
    folder.mkdir()
    for path in kept.iterdir():
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=os.link)
        else:
            os.link(path, folder / path.name)
    return folder


def run(case, how, folder):
    """Run a case in a folder; `how` says for a parameter whether it is a `file`, a `pipe` of the shell, a `fifo` or `-`."""
    makes, before, names = "", "", {}
    for parameter, file in case.files.items():
        way, fifo = how.get(parameter, "file"), f"{folder}.{file}"
        names[parameter] = {"file": file, "pipe": f"<({_give(file)})", "fifo": fifo, "-": "-"}[way]
        if way == "-":
            before = f"{_give(file)} | "
        elif way == "fifo":
            makes += f"mkfifo {fifo}; {_give(file)} > {fifo} & "
    command = f"{makes}{before}{MODOS} {case.command} {case.words.format(**names)}; code=$?; kill $(jobs -p) 2> {os.devnull}; exit $code"
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def _give(file):
    """A writer that gives the file in two parts; a reader that ends early is no mistake."""
    return f"(head -c 100 {file}; sleep 0.02; tail -c +101 {file}) 2>/dev/null"


def state(folder):
    """What is in the objects, the store and the key files: all that a person could see."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "refs":
            modo = MODO.open(path)
            names = sorted(p.name.partition(".header-")[0] for p in path.iterdir())  # a header is called by its digest
            found[path.name] = [_plain(modo.metadata), names, _tracks(modo), _recipients(modo)]
        elif path.is_dir():
            found[path.name] = {
                str(file.relative_to(path)): hashlib.md5(file.read_bytes()).hexdigest()
                for file in path.rglob("*")
                if file.is_file()
            }
        else:
            found[path.name] = None
    return found


def _plain(metadata):
    random_ones = ("creation_date", "last_update_date", "data_checksum", "data_size", "seal_digest", "header_digests")
    random_ones += ("data_digest", "index_digests", "cuts_checksum")
    return {
        i: {k: v for k, v in a.items() if k not in random_ones or (k == "data_checksum" and a.get("data_format") == "Zarr")}
        for i, a in metadata.items()
    }


def _tracks(modo):
    try:
        genome = modo.open_genome()
    except KeyError:
        return None
    try:
        bases = {name: genome[name].seq[:].tobytes() if genome.sequence is not None else None for name in genome.contigs}
    except AccessError:
        return "encrypted"
    return (
        bases,
        dict(genome.contigs.aliases),
        {name: genome.contigs[name].supercontigs for name in genome.contigs},
        {name: (track.total, track.values(next(iter(genome.contigs))).tobytes()) for name, track in genome.tracks.items()},
    )


def _recipients(modo):
    return [(one.element_id, one.packets, sorted(one.fingerprints)) for one in modo.recipients()]


@pytest.mark.sweep(4)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_through_a_pipe_as_from_a_file(case, kept, place, tmp_path, monkeypatch):
    """All files of a command by `<(...)` or as FIFOs, then each by `-`: as from files, or refused with nothing changed."""
    monkeypatch.delenv("C4GH_PASSPHRASE", raising=False)
    unchanged = state(place)
    if not case.refused:
        wanted = run(case, {}, place)
        assert wanted.returncode == 0, wanted.stderr
        wanted_state = state(place)
    ways = [dict.fromkeys(case.files, "pipe" if CASES.index(case) % 2 else "fifo")]
    ways += [{parameter: "-"} for parameter in case.files if parameter != "place"]
    for number, how in enumerate(ways):
        folder = tmp_path / f"{number}"
        shutil.copytree(kept, folder, copy_function=os.link)
        got = run(case, how, folder)
        if case.refused:
            assert (got.returncode, got.stdout, state(folder)) == (2, "", unchanged), got.stderr
            first, *hint = got.stderr.splitlines()
            assert first.startswith("error: ") and "pipe" in first and len(hint) <= 1 and hint[0].startswith("hint: ")
        else:
            assert got.returncode == 0, got.stderr
            assert got.stdout == wanted.stdout and state(folder) == wanted_state


ENDS = {
    "samples.tsv": "head -c 5",
    "modo.yaml": "head -c 20",
    "open.pub": "head -c 40",
    "ref.fa.gz": "head -c 600",
    "new.bedGraph.gz": "head -c 200",
    "genes.gff3.gz": "head -c 300",
    "regions.txt.gz": "head -c 30",
    "new.bw": "head -c 900",
}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("how", ["empty", "cut"])
@pytest.mark.parametrize(
    "number",
    [
        number
        for number, case in enumerate(CASES)
        if len(case.files) == 1
        and not case.refused
        and case.command not in ("update", "track mask")
        and set(case.files.values()) & ENDS.keys()
    ],
    ids=lambda number: NAMES[number],
)
def test_a_pipe_that_is_empty_or_ends_early(number, how, kept, place, tmp_path):
    """It ends, and as from a file with the same bytes."""
    case = CASES[number]
    ((parameter, file),) = case.files.items()
    broken = tmp_path / "broken"
    subprocess.run(f"{ENDS[file] if how == 'cut' else 'head -c 0'} {file} > {broken}", shell=True, cwd=kept, check=True)
    results = []
    for way in ("file", "pipe"):
        folder = tmp_path / way
        shutil.copytree(kept, folder, copy_function=os.link)
        (folder / file).unlink()
        shutil.copy(broken, folder / file)
        result = run(case, {parameter: way}, folder)
        results.append((result.returncode, result.stdout, state(folder)))
        assert result.returncode and result.stderr.startswith("error: ") and "Traceback" not in result.stderr
    assert results[0] == results[1]


def test_stdin_is_read_once(place):
    """What was read already is not taken for an empty file, under whatever name it comes."""
    unchanged = state(place)
    for words in ("x=- --mask -", "x=- y=/dev/stdin", "x=/dev/fd/0 --keep /proc/self/fd/0", "x=- --mask /dev/stdin"):
        result = subprocess.run(
            ["bash", "-c", f"cat new.bedGraph | {MODOS} track add ex {words}"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2 and "pipe that was read already" in result.stderr and state(place) == unchanged
    result = subprocess.run(
        ["bash", "-c", f"{MODOS} track add ex x=/dev/stdin --mask /dev/fd/0 < mask.bed"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "pipe" not in result.stderr  # of a file there is a beginning each time


def test_bed_through_a_pipe_is_not_taken_for_a_table(place):
    """The name of a pipe does not tell BED: what looks like it is refused, and of anything else the reading is told."""

    def stream(text, name="-"):
        return subprocess.run(
            ["bash", "-c", f"printf '{text}' | {MODOS} stream -c -R {name} demo/demo2.bam"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=60,
        )

    for text in ("chr1\\t0\\t900\\n", "chr1\\t5\\t9\\tx\\t0\\t+\\n", "chr1\\t7\\t9\\nchr1\\t0\\t5\\n"):
        result = stream(text)
        assert result.returncode == 2 and "looks like BED" in result.stderr and result.stdout == "", result.stderr
    assert "taken as 1-based" in stream("chr1\\t101\\t900\\n").stderr
    assert stream("chr1\\t100\\t900\\n", "bed:-").stdout == stream("chr1\\t101\\t900\\n").stdout
    assert stream("chr1\\n").stderr == ""


def test_an_annotation_from_a_pipe_needs_a_name(place):
    unchanged = state(place)
    for words in ("<(cat ref.fa) --gff3 <(cat genes.gff3)", "ref.fa --gff3 -"):
        result = subprocess.run(
            ["bash", "-c", f"{MODOS} reference add new {words} --store refs < genes.gff3"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2 and "--annotation" in result.stderr and state(place) == unchanged, result.stderr


@pytest.mark.parametrize(
    "option", ["--token-file <(cat tokens)", "--access <(sed s:FILE:$PWD/tokens: access.toml)", "--token-file - < tokens"]
)
def test_the_server_takes_tokens_and_rules_from_a_pipe(place, option):
    server = subprocess.Popen(
        ["bash", "-c", f"exec {MODOS} serve demo --port 0 {option}"],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        url = server.stderr.readline().split(" at ")[1].split()[0]
        assert requests.get(f"{url}/list", timeout=60).status_code in (401, 403)
        assert requests.get(f"{url}/list", timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
