"""References and annotations against GenomeKit, pysam and htslib, on the same files and in the same run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from reference_data import CONTIGS, write_annotation, write_genome

from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.object.modo import MODO
from modos.reference.adding import add_files, push
from modos.reference.locate import open_store
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

ROWS = 1_000_000
SMALL = {"chr1": 30_000_000, "chr2": 20_000_000}
TIMED = """
import json, random, resource, sys, time
def timed(work, rounds=7):
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return sorted(found)[len(found) // 2]
source = random.Random(5)
"""
GENOMEKIT = (
    TIMED
    + """
import os
os.environ["GENOMEKIT_DATA_DIR"] = sys.argv[1]
begin = time.perf_counter()
import genome_kit.gk_data as data
from genome_kit import Genome, GenomeAnnotation, Interval
from genome_kit.data_manager import GKDataFileNotFoundError
imported = time.perf_counter() - begin
def get_file(name):
    if not os.path.exists(f"{sys.argv[1]}/{name}"):
        raise GKDataFileNotFoundError(name, name)
    return f"{sys.argv[1]}/{name}"
data.get_file = get_file
"""
)
PLACES = """
contigs = {"chr1": 30_000_000, "chr2": 20_000_000}
places = [(name := source.choice(list(contigs)), start := source.randrange(contigs[name] - 100), start + 100) for _ in range(10_000)]
"""
DNA = {
    "modos": TIMED
    + PLACES
    + """
import modos.reference
reference = modos.reference.open("genome", sys.argv[1])
print(json.dumps([timed(lambda: reference.dna_many(places)), timed(lambda: [reference.dna(*place) for place in places]), sum(map(hash, ())), reference.dna(*places[7])]))
""",
    "GenomeKit": GENOMEKIT
    + PLACES
    + """
genome = Genome("genome")
intervals = [Interval(name, "+", start, end, genome) for name, start, end in places]
print(json.dumps([timed(lambda: [genome.dna(interval) for interval in intervals]), imported, 0, genome.dna(intervals[7])]))
""",
    "pysam": TIMED
    + PLACES
    + """
import pysam
fasta = pysam.FastaFile(sys.argv[1])
print(json.dumps([timed(lambda: [fasta.fetch(*place) for place in places]), 0, 0, fasta.fetch(*places[7])]))
""",
}
QUERIES = """
queries = json.load(open(sys.argv[3]))
"""
OVERLAP = {
    "modos": TIMED
    + QUERIES
    + """
import numpy as np
import modos.reference
table = modos.reference.open("empty", sys.argv[1]).annotation(sys.argv[2]).transcripts
ask = table.overlap
def single():
    for contig, start, end in queries:
        ask(contig, start, end)
def stranded():
    for contig, start, end in queries:
        ask(contig, start, end, "+")
def used():
    for contig, start, end in queries[:10_000]:
        for feature in ask(contig, start, end, "+"):
            feature.start
single(), stranded(), used()
contigs, starts, ends = zip(*queries[:10_000])
starts, ends = np.array(starts), np.array(ends)
table.overlap_many(contigs, starts, ends)
rows = [sorted(table.overlap(*query).to_polars()["id"].to_list()) for query in queries[:20]]
print(json.dumps([len(table), len(queries) / timed(single), len(starts) / timed(lambda: table.overlap_many(contigs, starts, ends), 21), rows,
                  len(queries) / timed(stranded), 10_000 / timed(used)]))
""",
    "GenomeKit": GENOMEKIT
    + QUERIES
    + """
genome = Genome(sys.argv[2])
table = genome.transcripts
both = [(Interval(contig, "+", start, end, genome), Interval(contig, "-", start, end, genome)) for contig, start, end in queries[:20]]
intervals = [Interval(contig, "+", start, end, genome) for contig, start, end in queries]
ask = table.find_overlapping
def single():
    for interval in intervals:
        ask(interval)
def used():
    for interval in intervals[:10_000]:
        for feature in ask(interval):
            feature.start
rows = [sorted(found.id for one in pair for found in ask(one)) for pair in both]
print(json.dumps([len(table), 0, 0, rows, len(queries) / timed(single), 10_000 / timed(used)]))
""",
}
BUILD = (
    TIMED
    + """
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_store
import modos.reference
store = open_store(sys.argv[1])
begin = time.perf_counter()
made = add_annotation(store, sys.argv[2], store.assembly("empty"), sys.argv[3])
took = time.perf_counter() - begin
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
reference = modos.reference.open("empty", sys.argv[1])
begin = time.perf_counter()
annotation = reference.annotation(sys.argv[2])
opened = time.perf_counter() - begin
annotation.genes.overlap("chr1:1-1,000,000")
print(json.dumps([took, memory, made.size / 1e6, opened * 1e3, (time.perf_counter() - begin) * 1e3]))
"""
)
BUILD_GENOMEKIT = (
    GENOMEKIT
    + """
begin = time.perf_counter()
GenomeAnnotation.build_gencode(sys.argv[3], f"{sys.argv[1]}/{sys.argv[2]}", Genome("empty"))
took = time.perf_counter() - begin
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
begin = time.perf_counter()
Genome(sys.argv[2]).genes[0]
print(json.dumps([took, memory, os.path.getsize(f"{sys.argv[1]}/{sys.argv[2]}.v22.dganno") / 1e6, (time.perf_counter() - begin) * 1e3, 0]))
"""
)
FIRST = "import modos.reference, sys; print(modos.reference.open('genome', sys.argv[1]).dna('chr1', 0, 100))"
COUNT = "from modos.cli import main; main()"


def ask(code: str, *words: object, environment: dict[str, str] | None = None) -> list:
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder = Path(name)
        os.environ |= {"MODOS_CACHE_DIR": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
        fasta, twobit, _ = write_genome(folder, SMALL)
        store = open_store(folder / "refs")
        add_files(store, "genome", [str(twobit)])
        imports()
        lookups(folder, fasta)
        remote(folder)
        annotations(folder)
        processes(folder, fasta)


def imports() -> None:
    print("import, ms (limit 150)")
    for label, code in (
        ("modos.reference", "import modos.reference.locate, modos.reference.reference"),
        ("modos.reference.annotations", "import modos.reference.annotation_store, modos.reference.annotations.annotation"),
        ("genome_kit", "import genome_kit"),
    ):
        empty = _command([sys.executable, "-c", "pass"])
        print(f"  {label:<20}{1e3 * (_command([sys.executable, '-c', code]) - empty):8.0f}")


def _command(words: list[str]) -> float:
    found = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        found.append(time.perf_counter() - begin)
    return median(found)


def lookups(folder: Path, fasta: Path) -> None:
    found = {label: ask(code, place) for (label, code), place in zip(DNA.items(), (folder / "refs", folder, fasta))}
    assert len({answer[3] for answer in found.values()}) == 1
    ours = found["modos"][0]
    print(
        f"10,000 x 100 bases, ms: modos {ours * 1e3:.1f} (limit 6), one call each {found['modos'][1] * 1e3:.1f}, "
        + ", ".join(
            f"{label} {answer[0] * 1e3:.1f} = {answer[0] / ours:.1f} x" for label, answer in found.items() if label != "modos"
        )
    )


def remote(folder: Path) -> None:
    with run_stack() as services:
        place = f"s3://{BUCKET}/refs"
        push(open_store(folder / "refs"), open_store(place, services.endpoint, CREDENTIALS), "genome")
        with Proxy(services.s3) as proxy:
            environment = {
                "AWS_ENDPOINT_URL": proxy.url,
                "AWS_ACCESS_KEY_ID": CREDENTIALS["key"],
                "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"],
                "MODOS_CACHE_DIR": str(folder / "cold"),
            }
            subprocess.run(
                [sys.executable, "-c", FIRST, place], check=True, capture_output=True, env={**os.environ, **environment}
            )
            print(
                f"first 100 bases of a genome on S3: {proxy.count} requests (limit 5), {proxy.answered:,} bytes (limit 256,000); "
                f"GenomeKit takes the whole 2bit, {(folder / 'genome.2bit').stat().st_size:,} bytes"
            )


def annotations(folder: Path) -> None:
    sizes = folder / "empty.chrom.sizes"
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in CONTIGS.items()))
    for kind in ("2bit",):
        shutil.copy(folder / f"genome.{kind}", folder / f"empty.{kind}")
    _register_empty(folder)
    lines = write_annotation(folder / "big.gff3", ROWS)
    for number in range(2):
        write_annotation(folder / f"t{number}.gff3", 700_000, long=bool(number))
    mine = ask(BUILD, folder / "refs", "big", folder / "big.gff3")
    theirs = ask(BUILD_GENOMEKIT, folder, "big", folder / "big.gff3")
    labels = ("build, s (limit 8)", "memory, MB (limit 1000)", "size, MB (limit 12)", "open, ms (limit 10)")
    print(f"annotation of {lines:,} lines of GFF3: modos, GenomeKit, ratio")
    for label, our, their in zip(labels, mine, theirs):
        print(f"  {label:<26}{our:10.2f}{their:10.2f}{their / our:8.2f}")
    print(f"  open and the first answer, ms{mine[4]:7.1f}")
    for number, limit in ((0, "1 M single, 4 M batch"), (1, "0.5 M single")):
        ask(BUILD, folder / "refs", f"t{number}", folder / f"t{number}.gff3")
        ask(BUILD_GENOMEKIT, folder, f"t{number}", folder / f"t{number}.gff3")
        _write_queries(folder, number)
        found = {
            label: ask(code, place, f"t{number}", folder / "queries.json")
            for (label, code), place in zip(OVERLAP.items(), (folder / "refs", folder))
        }
        assert found["modos"][3] == found["GenomeKit"][3]
        count, single, batch, _, stranded, used = found["modos"]
        print(
            f"overlap on {count:,} transcripts{', one of 49 Mb' if number else ''}, M queries a second: single {single / 1e6:.2f}, batch {batch / 1e6:.2f} "
            f"(limit {limit})"
        )
        for label, our, their in (
            ("one strand", stranded, found["GenomeKit"][4]),
            ("and each start read", used, found["GenomeKit"][5]),
        ):
            print(f"  {label:<26}{our / 1e6:10.3f}{their / 1e6:10.3f}{our / their:8.2f}")


def _write_queries(folder: Path, number: int) -> None:
    """1,000 bases somewhere in a transcript; for the annotation with the long one all on its contig."""
    source = random.Random(number)
    lines = [line.split("\t", 5) for line in open(folder / f"t{number}.gff3") if "\ttranscript\t" in line]
    chosen = [(fields[0], int(fields[3]), int(fields[4])) for fields in lines if not number or fields[0] == "chr1"]
    places = [(contig, source.randrange(start, end)) for contig, start, end in source.choices(chosen, k=100_000)]
    (folder / "queries.json").write_text(json.dumps([(contig, start, start + 1000) for contig, start in places]))


def _register_empty(folder: Path) -> None:
    """An assembly of names and lengths: what an annotation is placed on."""
    from modos.reference.assembly import Assembly, StoredContig, assembly_key
    from modos.reference.digests import seqcol_digest

    contigs = tuple(
        StoredContig(name, length, f"{number:032x}", "SQ." + "A" * 32) for number, (name, length) in enumerate(CONTIGS.items())
    )
    assembly = Assembly("empty", contigs, seqcol_digest([vars(contig) for contig in contigs]))
    open_store(folder / "refs").storage.write(assembly_key("empty"), assembly.to_bytes())


def processes(folder: Path, fasta: Path) -> None:
    """Eight processes that have nothing, one CRAM on S3 whose FASTA is beside it."""
    sam = folder / "reads.sam"
    with open(f"{fasta}.fai") as index, open(sam, "w") as file, open(fasta, "rb") as bases:
        file.write("@HD\tVN:1.6\tSO:coordinate\n" + "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in SMALL.items()))
        offset = int(index.readline().split("\t")[2])
        for number in range(20_000):
            start = number * 1000
            bases.seek(offset + start + start // 60)
            text = bases.read(110).replace(b"\n", b"")[:100].decode()
            file.write(f"r{number}\t0\tchr1\t{start + 1}\t60\t100M\t*\t0\t0\t{text}\t{'I' * 100}\n")
    cram = folder / "reads.cram"
    subprocess.run(["samtools", "view", "-C", "-T", fasta, "--write-index", "-o", cram, sam], check=True, capture_output=True)
    modo = MODO.create(folder / "ex")
    modo.add_element({"id": "genome", "@type": "ReferenceGenome", "data_path": "genome.fa"}, fasta)
    modo.add_element(
        {"id": "reads", "@type": "AlignmentSet", "data_path": "reads.cram", "has_reference": ["reference/genome"]}, cram
    )
    with run_stack() as services:
        modo.upload(f"s3://{BUCKET}/ex", endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
        with Proxy(services.s3) as proxy:
            environment = {
                "AWS_ENDPOINT_URL": proxy.url,
                "AWS_ACCESS_KEY_ID": CREDENTIALS["key"],
                "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"],
                "MODOS_CACHE_DIR": str(folder / "eight"),
                "REF_PATH": "/nowhere",
            }
            _eight(
                [sys.executable, "-c", COUNT, "stream", "-c", f"s3://{BUCKET}/ex/reads.cram", "-r", "chr1:1-20,000,000"],
                environment,
            )
            ours = [request for request in proxy.requests if request[0] == "GET" and request[1].endswith(".fa")]
            wanted = SMALL["chr1"]
            sent = sum(_size(request[2]) for request in ours)
    store = open_store(folder / "refs")
    with BackgroundServer(create_app(open_storage(folder / "ex"), references=store)) as server, Proxy(server.url) as proxy:
        environment = {
            "REF_PATH": f"{proxy.url}/refget/sequence/%s".replace(":", "::"),
            "REF_CACHE": str(folder / "htslib/%2s/%2s/%s"),
        }
        _eight(["samtools", "view", "-c", str(cram)], environment)
        alone = proxy.answered
    print(
        f"8 cold processes, one CRAM: modos fetches {sent / wanted:.2f} x the contig in all ({len(ours)} ranges), htslib alone {alone / wanted:.2f} x"
    )


def _size(range: str) -> int:
    first, last = range.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def _eight(words: list[str], environment: dict[str, str]) -> None:
    started = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        for _ in range(8)
    ]
    for process in started:
        out, error = process.communicate()
        if out.strip() != "20000":
            raise SystemExit(f"{words[0]}: {out} {error}")
