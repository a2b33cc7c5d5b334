"""Somebody whose right has bounds asks every route of the server, in every spelling: nothing outside comes, in no answer.

Written without a look at how it is done: records outside say so in their names, and stored files are known by their bytes. An
unbounded caller takes the same walk, so that the test is known to find what is there.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import shutil
from collections import defaultdict
from urllib.parse import quote, unquote, urlencode

import pysam
import pysam.bcftools
import pytest
import requests

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.integration.test_trees import write_tree
from tests.support.sampling import ALL, SEED
from tests.support.visas import DATASET, Broker
from tests.support.walking import Call, Evidence, Walker, all_windows, blocks_of, bodies, routes_of, spellings, windows_of

pytest.importorskip("modos.server.slices", reason="rules with bounds are not there yet")

ALICE, BOB, CAROL = ("the-token-of-alice", "the-token-of-bobby", "the-token-of-carol")
CONTIGS = {"chr1": 30_000, "chr2": 8_000}
START, END = 10_000, 12_000  # of chr1, 0-based half-open, may be read
BOUNDS = """
read = ["ex"]
regions = ["chr1:10,001-12,000"]
samples = ["shown"]
notags = ["XS"]
"""
RULES = f"""
tokens = "tokens"

[[rule]]
who = ["user:alice"]
read = ["/"]

[[rule]]
who = ["user:bob"]
{BOUNDS}

[[rule]]
who = ["user:carol"]
{BOUNDS}
metadata = true

[[rule]]
who = ["visa:{DATASET}"]
{BOUNDS}
"""
RECORDS, METADATA, ELSEWHERE = b"SECRET", b"HIDDENMETA", b"chr2,78,+"
READS, VARIANTS = ("ex/reads", "ex/packed_reads"), ("ex/calls", "ex/cohort")
ELEMENTS = (
    "data/reads",
    "data/calls",
    "data/counts",
    "data/sealed_reads",
    "sample/HIDDENMETAsample",
    "reference/bases",
    "data/signal",
)
METADATA_NAMES = {one.rpartition("/")[2] for one in ELEMENTS}
BROWSER = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),)
REFUSED = (400, 401, 403, 404, 405, 412, 413, 416, 421, 422)
FIRST = 12  # steps on each route that are always taken
ANSWERED = (200, 204, 206, 304)


# --- what is served ---


def write_reads(folder):
    """Reads of two samples: those that may be read are called open, all others SECRET; each has a secret tag."""
    rng = random.Random(1)
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": name, "LN": length} for name, length in CONTIGS.items()],
        "RG": [{"ID": "one", "SM": "shown"}, {"ID": "two", "SM": "SECRETSAMPLE"}],
    }
    allowed = set()
    places = sorted((contig, rng.randrange(CONTIGS[contig] - 100)) for contig in CONTIGS for _ in range(CONTIGS[contig] // 10))
    places += [("chr1", START - 100), ("chr1", START - 99), ("chr1", END - 1), ("chr1", END)]
    with (
        pysam.AlignmentFile(folder / "reads.bam", "wb", header=header) as bam,
        pysam.AlignmentFile(
            folder / "packed_reads.cram", "wc", header=header, format_options=[b"no_ref=1", b"seqs_per_slice=300"]
        ) as cram,
    ):
        for number, (contig, start) in enumerate(sorted(places)):
            read = pysam.AlignedSegment(bam.header)
            is_shown = number % 3 > 0
            is_open = is_shown and contig == "chr1" and start < END and start + 100 > START
            read.query_name = f"{'open' if is_open else 'SECRET'}{number:05}"
            read.flag = 97
            read.reference_name, read.reference_start, read.mapping_quality = contig, start, 60
            read.cigarstring = "100M"
            read.query_sequence = "".join(rng.choices("ACGT", k=100))
            read.query_qualities = pysam.qualitystring_to_array("I" * 100)
            read.next_reference_name, read.next_reference_start = "chr2", 77  # outside
            read.set_tags(
                [("RG", "one" if is_shown else "two", "Z"), ("XS", "SECRETTAG", "Z"), ("SA", "chr2,78,+,50M50S,60,0;", "Z")]
            )
            if is_open:
                allowed.add((read.query_name, start, read.query_sequence))
            bam.write(read), cram.write(read)
    for name in ("reads.bam", "packed_reads.cram"):
        pysam.index(str(folder / name))
    return allowed


def write_variants(folder):
    rng = random.Random(2)
    head = ["##fileformat=VCFv4.3", *(f"##contig=<ID={name},length={length}>" for name, length in CONTIGS.items())]
    head += [
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    ]
    head += ['##FORMAT=<ID=NO,Number=1,Type=String,Description="Note">']
    lines = ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tshown\tSECRETSAMPLE"]
    places = sorted({(contig, rng.randrange(1, CONTIGS[contig])) for contig in CONTIGS for _ in range(CONTIGS[contig] // 20)})
    for number, (contig, position) in enumerate(
        sorted({*places, ("chr1", START), ("chr1", START + 1), ("chr1", END), ("chr1", END + 1)})
    ):
        is_open = contig == "chr1" and START < position <= END
        name = f"{'open' if is_open else 'SECRET'}{number:05}"
        lines.append(
            f"{contig}\t{position}\t{name}\tA\tC\t50\tPASS\tDP={rng.randrange(99)}\tGT:NO\t0/1:x\t1/1:SECRETNOTE{number}"
        )
    plain = folder / "calls.vcf"
    plain.write_text("\n".join([*head, *lines]) + "\n")
    pysam.tabix_index(str(plain), preset="vcf", force=True)
    with (
        pysam.VariantFile(folder / "calls.vcf.gz") as source,
        pysam.VariantFile(folder / "cohort.bcf", "wb", header=source.header) as bcf,
    ):
        for record in source:
            bcf.write(record)
    pysam.bcftools.index("-f", str(folder / "cohort.bcf"), catch_stdout=False)


def write_nothing(path):
    """A CRAM of the same form with reads of no interest: what is in it is in every such CRAM."""
    rng = random.Random(9)
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 9000}], "RG": [{"ID": "one", "SM": "shown"}]}
    for tags in ([("RG", "one", "Z"), ("XS", "x", "Z"), ("SA", "y", "Z")], [("RG", "one", "Z")], []):
        with pysam.AlignmentFile(path, "wc", header=header, format_options=[b"no_ref=1"]) as cram:
            for number in range(500):
                read = pysam.AlignedSegment(cram.header)
                read.query_name, read.flag, read.reference_name, read.reference_start = (
                    f"open{number:05}",
                    97,
                    "chr1",
                    10 * number,
                )
                read.cigarstring, read.query_sequence = "100M", "".join(rng.choices("ACGT", k=100))
                read.query_qualities, read.mapping_quality = pysam.qualitystring_to_array("I" * 100), 60
                read.set_tags(tags)
                cram.write(read)
        yield from all_windows(path.read_bytes())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with objects, and the reads that may be given: also sealed, packed, and with a tree, a genome and a track."""
    folder = tmp_path_factory.mktemp("walk")
    source, served = folder / "source", folder / "served"
    source.mkdir()
    allowed = write_reads(source)
    write_variants(source)
    rng = random.Random(3)
    fasta = source / "bases.fa"
    fasta.write_text("".join(f">{name}\n{''.join(rng.choices('ACGT', k=length))}\n" for name, length in CONTIGS.items()))
    (source / "signal.bedGraph").write_text(
        "".join(f"chr1\t{at}\t{at + 10}\t{rng.random():.6f}\n" for at in range(0, 30_000, 10))
    )
    (source / "notes.tsv").write_text("".join(f"SECRETNOTES\t{rng.random()}\n" for _ in range(200)))
    for name in ("sealed_reads.bam", "sealed_reads.bam.bai"):
        shutil.copy(source / name.removeprefix("sealed_"), source / name)
    modo = MODO.create(served / "ex", id="ex")
    for name, kind, file_format in (
        ("reads.bam", "AlignmentSet", "BAM"),
        ("packed_reads.cram", "AlignmentSet", "CRAM"),
        ("sealed_reads.bam", "AlignmentSet", "BAM"),
        ("calls.vcf.gz", "VariantSet", "VCF"),
        ("cohort.bcf", "VariantSet", "BCF"),
        ("notes.tsv", "DataEntity", "TSV"),
    ):
        element = {"@type": kind, "id": name.partition(".")[0], "data_format": file_format, "description": "HIDDENMETA"}
        modo.add_element(element, source_file=source / name)
    modo.add_element({"@type": "Sample", "id": "HIDDENMETAsample"})
    modo.add_element({"@type": "DataEntity", "id": "counts"}, write_tree(source / "counts.zarr"))
    modo.add_element({"@type": "ReferenceGenome", "id": "bases"}, source_file=fasta)
    modo.add_genome(fasta)
    modo.add_track("signal", source / "signal.bedGraph")
    modo.encrypt([SecretKey.random().public], elements=["data/sealed_reads"])
    MODO.open(served / "ex").pack(folder / "packed.zip")
    shutil.copy(folder / "packed.zip", served / "packed.zip")
    return served, allowed


def evidence_of(served, allowed, *, with_metadata):
    words = (RECORDS, ELSEWHERE) if with_metadata else (RECORDS, ELSEWHERE, METADATA)
    windows = set()
    for path in served.rglob("*"):
        if not path.is_file() or (with_metadata and path.name == "zarr.json") or path.suffix == ".zip":
            continue
        content = path.read_bytes()
        if path.name in ("reads.bam", "calls.vcf.gz", "cohort.bcf"):  # the first block has the header, the last is the end
            for block in list(blocks_of(content))[1:-1]:
                windows |= windows_of(block)
        elif path.suffix == ".cram":
            windows |= windows_of(content[2000:-60])
        else:
            windows |= windows_of(content)
    common = set(write_nothing(served.parent / "nothing.cram"))
    windows = {window for window in windows - common if b"BC\x02\x00\x1b\x00" not in window}  # the end of BGZF
    return Evidence(words, windows, allowed, [str(served), str(served.parent)])


def keys_of(served):
    """Everything that is stored, each file and each folder, by its key."""
    return sorted(str(path.relative_to(served)) for path in served.rglob("*"))


# --- how each route is asked ---

REGIONS = [
    {},
    {"class": "header"},
    {"referenceName": "chr1"},
    {"referenceName": "chr1", "start": START, "end": END},
    {"referenceName": "chr1", "start": START - 500, "end": END + 500},
    {"referenceName": "chr1", "start": END, "end": END + 5000},
    {"referenceName": "chr2"},
    {"referenceName": "*"},
    {"referenceName": "chr3"},
    {"referenceName": "chr1", "start": START, "end": START + 1},
]
OPTIONS = [
    {},
    {"partial": "true"},
    {"exact": "true"},
    {"exact": "true", "partial": "true"},
    {"format": "BAM"},
    {"format": "CRAM"},
    {"format": "VCF"},
    {"format": "BCF"},
    {"fields": "QNAME,SEQ,RNEXT,PNEXT"},
    {"tags": "XS,SA"},
    {"tags": "XS", "partial": "true"},
    {"notags": "RG"},
]
BODIES = [
    {},
    {"format": "BAM", "regions": [{"referenceName": "chr1", "start": 0, "end": 30000}, {"referenceName": "chr2"}]},
    {"regions": [{"referenceName": "chr1", "start": START, "end": END}, {"referenceName": "chr2"}], "partial": True},
    {"regions": [{"referenceName": "chr1", "start": END - 10, "end": END + 4000}], "fields": ["QNAME", "SEQ"]},
    {"tags": ["XS"], "regions": [{"referenceName": "chr1", "start": START, "end": END}]},
]
STORED = (("Modos-Stored-Key", "1"),)
EXACT = (("Modos-Exact", "true"), ("Modos-Partial", "true"))


def main_keys(keys):
    """The data files, and whatever else is tried in all spellings."""
    wanted = (
        "ex/reads.bam",
        "ex/packed_reads.cram",
        "ex/calls.vcf.gz",
        "ex/cohort.bcf",
        "ex/notes.tsv",
        "ex/data.zarr/zarr.json",
        "packed.zip",
    )
    return [key for key in keys if key in wanted]


def files(keys, prefix="/files/"):
    for key in keys:
        yield Call("GET", prefix + quote(key))
        yield Call("GET", prefix + quote(key), STORED)
    for key in (*main_keys(keys), "ex/sealed_reads.bam.c4gh", "ex/reads.bam.bai"):
        for target in (prefix + spelled for spelled in spellings(key)):
            yield Call("GET", target)
            yield Call("HEAD", target)
            yield Call("GET", target, (("Range", "bytes=0-99"), *STORED))
        for header in ("bytes=70000-", "bytes=-5000", "bytes=0-10,70000-80000", "bytes=99999999-"):
            yield Call("GET", prefix + quote(key), (("Range", header),))
        yield Call("GET", prefix + quote(key), (("If-None-Match", '"x"'), ("If-Range", '"x"'), ("Range", "bytes=1-")))
        yield Call("POST", prefix + quote(key), (), b"{}")
        yield Call("GET", f"{prefix}{quote(key)}?token=x")
        yield Call("GET", f"{prefix}{quote(key)}~1")
        yield Call("GET", f"/files//{quote(key)}"), Call("GET", f"//files/{quote(key)}")
    for inner in ("data.zarr/zarr.json", "reads.bam"):
        yield Call("GET", f"{prefix}packed.zip/{inner}")


def drs_ids(keys):
    for key in (*keys, "", "ex/reads", "ex/counts.zarr/a", "ex/data.zarr/track"):
        plain = object_id(key)
        yield plain or "="
    for key in main_keys(keys):
        plain = object_id(key)
        yield from (
            f"{plain}=",
            f"{plain}==",
            f"{plain}%3D",
            quote(key, safe=""),
            f"{plain}/",
            object_id(f"{key}/"),
            object_id(f"/{key}"),
        )
        yield from (object_id(f"./{key}"), object_id(key.replace("/", "//")), object_id(f"ex/../{key}"), object_id(f"{key}\0"))


def drs(keys):
    for drs_id in drs_ids(keys):
        target = f"/ga4gh/drs/v1/objects/{drs_id}"
        yield Call("GET", target)
        yield Call("GET", f"{target}?expand=true")
        yield Call("POST", target, (), b'{"expand": true}')


def drs_access(keys):
    for drs_id in drs_ids(keys):
        for access_id in ("file", "s3", "https", "file/", "%66ile"):
            yield Call("GET", f"/ga4gh/drs/v1/objects/{drs_id}/access/{access_id}")
        yield Call("POST", f"/ga4gh/drs/v1/objects/{drs_id}/access/file", (), b'{"passports": []}')


def htsget(kind, ids, *, base="/htsget", with_bodies=True):
    def calls(keys):
        for file_id in (*ids, "ex/sealed_reads", "ex", "ex/notes", "packed/reads", "packed.zip/reads"):
            for region, option in itertools.product(REGIONS, OPTIONS):
                yield Call("GET", f"{base}/{kind}/{file_id}?{urlencode(region | option)}")
            yield Call("GET", f"{base}/{kind}/{file_id}", (*EXACT, *STORED))
            for body in bodies(BODIES if with_bodies else ()):
                for headers in ((), EXACT):
                    yield Call("POST", f"{base}/{kind}/{file_id}", headers, body)
                yield Call("POST", f"{base}/{kind}/{file_id}?partial=true", (), body)
        for file_id in ids:
            for spelled in spellings(file_id):
                yield Call("GET", f"{base}/{kind}/{spelled}")
                yield Call("GET", f"{base}/{kind}/{spelled}?referenceName=chr2&partial=true")
        for key in keys:
            yield Call("GET", f"{base}/{kind}/{quote(key)}")

    return calls


def data(keys):
    for key in main_keys(keys):
        for first, last in ((0, 1 << 40), (0, 1 << 16), (5 << 16, 1 << 50)):
            query = urlencode({"start": first, "end": last, "fields": "QNAME,SEQ"})
            yield Call("GET", f"/htsget/data/{quote(key)}?{query}")
        for spelled in spellings(key):
            yield Call("GET", f"/htsget/data/{spelled}?fields=QNAME")


def slices(keys):
    for kind, ids in (("reads", READS), ("variants", VARIANTS)):
        yield from htsget(kind, ids, base="/slices", with_bodies=False)(keys)
    yield Call("GET", "/slices/other/ex/reads"), Call("GET", "/slices/reads/ex/calls")


def credentials(keys):
    prefixes = [
        "",
        "/",
        "ex",
        "ex/",
        "/ex",
        "EX",
        "e",
        "ex/reads",
        "ex//",
        ".",
        "..",
        "ex/..",
        "ex/data.zarr",
        "packed.zip",
        *main_keys(keys),
    ]
    prefixes += [f"s3://modos-demo/walk/{prefix}" for prefix in ("", "ex", "ex/reads.bam")]
    for prefix, write in itertools.product(prefixes, (False, True)):
        yield Call("POST", "/credentials", (), json.dumps({"prefix": prefix, "write": write}).encode())
    yield Call("POST", "/credentials", (), b"{}"), Call("GET", "/credentials")


def logins(keys):
    """What is asked for without a session: by a page of another host, and by none."""
    yield from catalog("/login", "/login?next=/objects/ex", "/login?by=provider", "/login?next=//evil.example.org")(keys)
    for headers in ((), (("Origin", "https://evil.example.org"),), (("Sec-Fetch-Site", "same-origin"),)):
        for form in (b"", b"token=the-token-of-alice&state=x&next=/", b"token=the-token-of-alice&token=x", b"\xff=\xff"):
            yield Call("POST", "/login", headers, form), Call("POST", "/logout", headers, form)


def catalog(*targets):
    def calls(keys):
        for target in targets:
            yield Call("GET", target)
            yield Call("HEAD", target)
            yield Call("GET", f"/{target}"), Call("GET", target.replace("?", "/?"))

    return calls


def pages(start, *ids):
    """Pages, in the spellings of what they are about, as a browser and as a program asks for them."""

    def calls(keys):
        for name in (*ids, *main_keys(keys)[:20]):
            for spelled in spellings(name):
                yield Call("GET", f"{start}/{spelled}", BROWSER), Call("GET", f"{start}/{spelled}")
            for query in ("format=turtle", "format=ro-crate", "format=json-ld", "group=sample", "array=X", "array=counts/X"):
                yield Call("GET", f"{start}/{quote(name)}?{query}", BROWSER), Call("GET", f"{start}/{quote(name)}?{query}")

    return calls


def front_page(keys):
    yield from catalog("/")(keys)
    for query in ("", "search=IDDENMET", "search=ex", "class=Sample", "format=BAM", "after=a", "part=found", "search=id%3Dreads"):
        yield Call("GET", f"/?{query}", BROWSER), Call("GET", f"//?{query}", BROWSER)


def authorize(keys):
    for uri in (
        "/htsget/reads/ex/reads",
        "/htsget/variants/ex/calls?referenceName=chr2",
        "/files/ex/reads.bam",
        "/htsget/reads//ex/reads",
        "x",
    ):
        yield Call("GET", "/authorize", (("X-Forwarded-Uri", uri),))
        yield Call("GET", "//authorize", (("X-Forwarded-Uri", uri),))


ROUTES = {
    "/openapi.json": catalog("/openapi.json"),
    "/docs": catalog("/docs"),
    "/assets/{name}": catalog("/assets/pages.css", "/assets/pages.css?v=x", "/assets/base.html", "/assets/..%2frendering.py"),
    "/objects": catalog("/objects", "/objects?format=turtle"),
    "/objects/{key:path}": pages("/objects", "ex", "packed.zip", "ex/data", "e", "."),
    "/elements/{path:path}": pages("/elements", *(f"ex/{element}" for element in ELEMENTS)),
    "/healthz": catalog("/healthz"),
    "/readyz": catalog("/readyz"),
    "/metrics": catalog("/metrics"),
    "/": front_page,
    "/whoami": catalog("/whoami"),
    "/authorize": authorize,
    "/login": logins,
    "/login/callback": catalog("/login/callback", "/login/callback?code=x&state=y", "/login/callback?error=x&state=y&state=z"),
    "/logout": catalog("/logout"),
    "/credentials": credentials,
    "/list": catalog("/list", "/list?search=HIDDENMETA", "/list?limit=1", "/list?after=a", "/list?search=id%3Dreads"),
    "/meta": catalog("/meta", "/meta?search=ex", "/meta?limit=1", "/meta?after=a"),
    "/get": catalog("/get?query=ex", "/get?query=ex&fuzzy=true", "/get?query=reads&fuzzy=true"),
    "/find": catalog(
        *(f"/find?class={name}" for name in ("MODO", "Sample", "AlignmentSet", "DataEntity", "VariantSet", "ReferenceSequence"))
    ),
    "/tables/{table}": catalog("/tables/elements", "/tables/digests", "/tables/other"),
    "/htsget/reads/service-info": catalog("/htsget/reads/service-info"),
    "/htsget/variants/service-info": catalog("/htsget/variants/service-info"),
    "/htsget/reads/{file_id:path}": htsget("reads", READS),
    "/htsget/variants/{file_id:path}": htsget("variants", VARIANTS),
    "/htsget/data/{key:path}": data,
    "/slices/{kind}/{file_id:path}": slices,
    "/files/{key:path}": files,
    "/ga4gh/drs/v1/service-info": catalog("/ga4gh/drs/v1/service-info"),
    "/ga4gh/drs/v1/objects/{drs_id}": drs,
    "/ga4gh/drs/v1/objects/{drs_id}/access/{access_id}": drs_access,
}
GENOME = ("ex/data/reads", "ex/data/packed_reads", "ex/data/calls", "ex/data/signal", "ex/reference/bases", "ex/reference/genome")


def genome(base, params):
    """What the genome browser asks of elements: within, across and outside of what is allowed."""

    def calls(keys):
        elements = (
            *GENOME,
            "ex/reference/genome/signal",
            "ex/data/notes",
            "ex/data/none",
            "none/data/x",
            "ex",
            "data/reads",
            "packed.zip/data/reads",
        )
        places = (
            "chr1",
            "chr1:10,001-12,000",
            "chr1:9,001-13,000",
            "chr1:12,001-12,100",
            "chr1:10,001-10,010",
            "chr2",
            "{chr2}:1-100",
            "*",
            "chr3",
        )
        for element, place in itertools.product(elements, places):
            for more in params:
                yield Call("GET", f"{base}/{element}?{urlencode({'region': place} | more)}")
            yield Call(
                "GET", f"{base}/{element}?{urlencode({'region': place} | params[0])}", (("Accept", "application/octet-stream"),)
            )
        for element in GENOME:
            for spelled in spellings(element):
                yield Call("GET", f"{base}/{spelled}?{urlencode({'region': 'chr2:1-100'} | params[0])}")
        for key in keys:
            yield Call("GET", f"{base}/{quote(key)}?{urlencode({'region': 'chr1:1-100'} | params[0])}")

    return calls


def views(keys):
    for element in (*GENOME, "ex/data/none", "none/data/x", "ex/data/notes", "ex/data/counts", "ex/data/sealed_reads"):
        yield Call("GET", f"/genome?{urlencode({'element': element, 'locus': 'chr2:1-100'})}")
        yield Call("HEAD", f"/genome?element={element}")
    yield Call("GET", "/genome?" + "&".join(f"element={element}" for element in GENOME))
    yield Call("GET", "/genome"), Call("GET", "/genome?add=ex/data/reads"), Call("GET", "/genome?locus=chr1&locus=chr2")


ROUTES |= {
    "/genome": views,
    "/assets/igv.min.js": catalog("/assets/igv.min.js", "/assets/igv.min.js?v=x"),
    "/bins/{path:path}": genome("/bins", ({"bins": "5"}, {"size": "1000"}, {"bins": "100"})),
    "/coverage/{path:path}": genome(
        "/coverage", ({"bins": "5"}, {"bins": "5", "partial": "true"}, {"bins": "100", "partial": "true"})
    ),
    "/features/{path:path}": genome("/features", ({}, {"annotation": "data/notes"})),
    "/sequence/{path:path}": genome("/sequence", ({},)),
    "/contigs/{path:path}": catalog(
        *(f"/contigs/{element}{form}" for element in (*GENOME, "ex/data/none") for form in ("", "?format=fai"))
    ),
    "/genes": catalog(*(f"/genes?q=SECRET&element={element}" for element in (*GENOME, "ex/data/none", "none/data/x"))),
}
# What answers to a bounded caller with the data or the metadata itself
GIVING = {"/htsget/reads/{file_id:path}", "/htsget/variants/{file_id:path}", "/slices/{kind}/{file_id:path}"}
# The routes on which an unbounded caller's walk comes upon what is secret: they show that the test can find it
SHOWING = {
    *GIVING,
    "/files/{key:path}",
    "/objects/{key:path}",
    "/elements/{path:path}",
    "/meta",
    "/tables/{table}",
    "/ga4gh/drs/v1/objects/{drs_id}/access/{access_id}",
    "/htsget/data/{key:path}",
}


@pytest.fixture(scope="module", params=["folder", "S3"])
def walked(request, made, tmp_path_factory):
    """A server over the objects, its application, and what is in them."""
    served, allowed = made
    rules = tmp_path_factory.mktemp("rules")
    (rules / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\ncarol {CAROL}\n")
    (rules / "tokens").chmod(0o600)
    (rules / "access.toml").write_text(RULES)
    if request.param == "folder":
        storage = open_storage(served)
    else:
        from modos.demo.stack import BUCKET, CREDENTIALS

        stack = request.getfixturevalue("stack")
        storage = open_storage(f"s3://{BUCKET}/walk", s3_url=stack.s3, s3_kwargs=CREDENTIALS)
        for path in served.rglob("*"):
            if path.is_file():
                storage.write(str(path.relative_to(served)), path.read_bytes())
    app = create_app(storage, access=Access.from_file(rules / "access.toml"))
    with BackgroundServer(app) as server:
        yield server.url, app, served, allowed, request.param == "S3"


def test_every_route_is_known(walked):
    """A new route has to be put on the list, and thereby on the walk."""
    app = walked[1]
    assert {path for path, _ in routes_of(app)} == set(ROUTES)


def without(body, target):
    """A refusal without the key that was asked for, which it may repeat."""
    path = unquote(target).partition("?")[0]
    parts = path.split("/")
    asked = ["/".join(parts[at:]) for at in range(len(parts))]
    asked += [key_of(part) for part in parts]
    asked += [name for name in METADATA_NAMES if name in path]  # what stands around it a page escapes in its own ways
    for word in sorted(filter(None, {word.strip("/") for word in asked}), key=len, reverse=True):
        body = body.replace(word.encode(), b"")
    return body


def key_of(drs_id):
    try:
        return base64.urlsafe_b64decode(drs_id + "=" * (-len(drs_id) % 4)).decode()
    except ValueError:
        return ""


def walk(url, token, keys, evidence, routes, share=1.0):
    """Take a walk, or a sample of its steps.

    Returns what was found on each route that ought not to be there, refusals that are none, and how often there was an answer.
    """
    draw = random.Random(SEED)
    walker, found, wrong, answers = Walker(url, token), defaultdict(list), [], defaultdict(int)
    seen = set()

    def look(path, where, answer):
        if answer.status not in (*ANSWERED, *REFUSED, 301, 302, 303, 307, 308):
            wrong.append((path, where, answer.status, answer.body[:200]))
        if answer.status >= 400 and answer.body:
            text = answer.body.decode(errors="replace")
            if (
                "Traceback" in text
                or any(part in text for part in evidence.spoken)
                or not any(word in text for word in ("message", "<Error>", "detail", 'class="error"'))
            ):
                wrong.append((path, where, answer.status, answer.body[:300]))
        answers[path] += answer.status in (200, 206) and bool(answer.body)
        body = answer.body if answer.status < 400 else without(answer.body, asked)
        if body not in seen:
            seen.add(body)
            found[path] += [(where, answer.status, what) for what in evidence.find(body)]
        found[path] += [(where, answer.status, "in a header") for value in answer.headers.values() if RECORDS.decode() in value]

    for path in routes:
        steps = (call for calls in ROUTES[path](keys) for call in (calls if isinstance(calls, tuple) else (calls,)))
        for number, call in enumerate(steps):
            if ALL or number < FIRST or draw.random() < share:
                asked = call.target
                answer = walker.ask(call)
                look(path, call, answer)
                for where, other in walker.follow(answer) if path != "/" else ():
                    look("/htsget/data/{key:path}" if "/htsget/data/" in where else path, (call, where), other)
    return {path: what for path, what in found.items() if what}, wrong, answers


@pytest.mark.parametrize("name, token", [("bob", BOB), ("carol", CAROL)])
def test_nothing_outside_comes_by_any_route(walked, name, token):
    url, _, served, allowed, is_remote = walked
    evidence = evidence_of(served, allowed, with_metadata=name == "carol")
    share = 0.05 if is_remote else {"bob": 0.5}.get(name, 0.15)
    found, wrong, answers = walk(url, token, keys_of(served), evidence, ROUTES, share)
    assert not found, "\n".join(f"{path}: {one}" for path, what in found.items() for one in what[:4])
    assert not wrong, wrong[:10]
    assert all(answers[path] for path in GIVING), "what is allowed is given"
    shut = {"/files/{key:path}", "/ga4gh/drs/v1/objects/{drs_id}", "/htsget/data/{key:path}", "/credentials"}
    given = {"/files/{key:path}"} if name == "carol" else set()
    assert {path for path in shut if answers[path]} <= given
    root = requests.get(f"{url}/files/ex/data.zarr/zarr.json", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert root.ok == bool(given), "asked here, as a sample may leave it out"


def test_the_walk_finds_what_there_is(walked):
    """Alice, who may read everything, comes upon it on all routes that give data."""
    url, _, served, allowed, is_remote = walked
    evidence = evidence_of(served, allowed, with_metadata=False)
    found, wrong, _ = walk(url, ALICE, keys_of(served), evidence, SHOWING, 0.2)
    assert set(found) == SHOWING
    assert not wrong, wrong[:10]
    for what in ("bytes of a stored file", "SECRET in what it unpacks to", "a read"):
        assert any(what in reason for hits in found.values() for _, _, reason in hits), what


def test_nobody_and_strangers_get_nothing(walked):
    url, _, served, allowed, _ = walked
    evidence = evidence_of(served, set(), with_metadata=False)
    for token in (None, "the-token-of-nobody"):
        found, wrong, answers = walk(url, token, keys_of(served)[:20], evidence, GIVING | SHOWING, 0.1)
        assert not found and not wrong, (found, wrong[:5])
        assert not any(answers.values())


def test_addresses_of_others_are_of_no_use(walked):
    """What Alice is told, where to fetch and with which parameters, is nothing for Bob with his own token."""
    url, _, served, allowed, _ = walked
    alice, bob = Walker(url, ALICE), Walker(url, BOB)
    evidence = evidence_of(served, allowed, with_metadata=False)
    asked = 0
    for kind, file_id in (("reads", "ex/reads"), ("variants", "ex/calls"), ("reads", "ex/packed_reads")):
        for query in (
            "",
            "?referenceName=chr2&exact=true",
            "?referenceName=chr2&fields=QNAME,SEQ",
            "?exact=true&referenceName=chr1",
        ):
            ticket = alice.ask(Call("GET", f"/htsget/{kind}/{file_id}{query}"))
            if ticket.status != 200:
                continue
            for block in json.loads(ticket.body)["htsget"]["urls"]:
                if block["url"].startswith(url):
                    asked += 1
                    headers = {name: value for name, value in block.get("headers", {}).items() if name != "Authorization"}
                    answer = bob.ask(Call("GET", block["url"].removeprefix(url), tuple(headers.items())))
                    assert answer.status in (403, 404), (block, answer)
                    assert not evidence.find(answer.body)
    assert asked


def test_a_search_tells_nothing_of_metadata(walked):
    """Whether something is found is as secret as what it says."""
    url = walked[0]
    for token, expected in ((BOB, 0), (CAROL, 1)):
        walker = Walker(url, token)
        for path in ("/list?search=HIDDENMETA", "/meta?search=HIDDENMETA", "/find?class=Sample", "/find?class=AlignmentSet"):
            answer = walker.ask(Call("GET", path))
            assert answer.status == 200 and bool(json.loads(answer.body)["data"]) == expected, (path, answer)


def test_a_visa_opens_what_its_rule_bounds_and_no_more(made, tmp_path):
    """By a passport as bearer token, and in the bodies of DRS requests."""
    served, allowed = made
    evidence = evidence_of(served, allowed, with_metadata=False)
    with Broker() as broker:
        (tmp_path / "tokens").write_text(f"alice {ALICE}\n")
        (tmp_path / "tokens").chmod(0o600)
        passport = f'\n[passport]\nissuers = ["{broker.url}"]\nbrokers = ["{broker.url}"]\n'
        (tmp_path / "access.toml").write_text(RULES + passport)
        token = broker.passport([broker.visa()])
        with BackgroundServer(create_app(open_storage(served), access=Access.from_file(tmp_path / "access.toml"))) as server:
            found, wrong, answers = walk(server.url, token, keys_of(served), evidence, ROUTES, 0.05)
            assert not found and not wrong, (found, wrong[:5])
            assert all(answers[path] for path in GIVING)
            nobody = Walker(server.url, None)
            body = json.dumps({"passports": [token]}).encode()
            for key in ("ex", "ex/reads.bam", "ex/calls.vcf.gz"):
                for end in ("", "/access/file"):
                    answer = nobody.ask(Call("POST", f"/ga4gh/drs/v1/objects/{object_id(key)}{end}", (), body))
                    assert answer.status == 403, answer
