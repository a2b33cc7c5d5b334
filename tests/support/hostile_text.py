"""A folder full of names and texts that a terminal would obey, a server that answers with them, and a way to run many commands there."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import unicodedata
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = "a\x1b[2J\x1b]8;;x\x07b\x9bc\u202ed\u2066e"  # ESC, OSC 8, C1 and two that turn text round
CONTIG = "a\x9bc\u202ed\u2066e"  # what a genome takes
FILE = "f\x1b[2J\x9b\u202e"
STORED = "d\x9b\u202e.txt"  # a key of an object
TEXT = f"{NAME}\nFORGED\n\x00z"
DATES = {"creation_date": "2024-01-01", "last_update_date": "2024-01-01"}
LETTERS = {
    chr(c)
    for c in range(0x2100)
    if unicodedata.category(chr(c)) in ("Cc", "Zl", "Zp")
    or unicodedata.bidirectional(chr(c)) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
} - {"\n", "\t"}

_DRIVER = """
import json, os, signal, sys
import modos.cli.app, modos.object.modo, modos.object.checking, modos.tracks.genome, pysam, zarr, rdflib, polars
from modos.cli import main
folder = sys.argv[1]
for number, words in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if not child:
        signal.alarm(50)
        for descriptor in (1, 2):
            os.dup2(os.open(f"{folder}/{number}.{descriptor}", os.O_WRONLY | os.O_CREAT), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        while words and "=" in words[0] and words[0].partition("=")[0].isupper():
            os.environ.__setitem__(*words.pop(0).split("=", 1))
        sys.argv = ["modos", *words]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def obeyed(data: bytes, *, forged: bool = True) -> list[str]:
    """What a terminal obeys in some output; lines that a name has forged, too, where its format does not quote them."""
    text = data.decode(errors="surrogateescape")
    return sorted(LETTERS.intersection(text)) + [line for line in text.splitlines() if forged and line.startswith("FORGED")]


def run_all(commands: list[list[str]], folder: Path, results: Path) -> list[tuple[int, bytes, bytes]]:
    """Exit code, stdout and stderr of each, run in a folder one after another; words like A=b in front are of the environment."""
    results.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(results)],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    codes = [int(line) for line in done.stdout.split()]
    return [(code, *((results / f"{number}.{stream}").read_bytes() for stream in (1, 2))) for number, code in enumerate(codes)]


def make(folder: Path) -> None:
    """Objects, stores and files with these names in every place that can hold them."""
    _make_files(folder)
    _make_object(folder)
    _make_malformed(folder)
    _make_stores(folder)
    _make_log(folder)


def _make_files(folder: Path) -> None:
    (folder / "g.fa").write_text(f">chr1\n{'ACGTN' * 40}\n>{CONTIG}\n{'ACGT' * 20}\n")
    (folder / "bad.fa").write_text(f">chr1\n{'ACGTN' * 40}\n>{NAME}\n{'ACGT' * 20}\n")
    (folder / "g.sizes").write_text(f"chr1\t200\n{NAME}\t80\n")
    (folder / "s.bedGraph").write_text(f"chr1\t0\t100\t3\n{CONTIG}\t0\t40\t2\n{NAME}2\t0\t5\t1\n")
    (folder / "bad.bedGraph").write_text(f"chr1\t0\t{NAME}\t3\n")
    (folder / "bad.wig").write_text(f"fixedStep chrom={NAME} start={NAME}\n1\n")
    (folder / "m.bed").write_text(f"chr1\t0\t10\n{NAME}3\t0\t10\n")
    (folder / "bad.bed").write_text(f"{NAME}\t{NAME}\t10\n")
    (folder / "g.gff3").write_text(
        "##gff-version 3\n"
        + "".join(
            f"chr1\t{source}\t{kind}\t11\t60\t.\t+\t{'0' if kind == 'CDS' else '.'}\t{attributes}\n"
            for source, kind, attributes in (
                (NAME, "gene", "ID=g1;Name=%1B[2J%C2%9B%E2%80%AE%0AFORGED;gene_biotype=%1B[2J"),
                (NAME, "mRNA", "ID=t1;Parent=g1;Name=%1B%0AFORGED"),
                (NAME, "exon", "ID=e1;Parent=t1"),
                (NAME, f"odd{NAME}", "ID=o"),
            )
        )
    )
    (folder / "bad.gff3").write_text(f"##gff-version 3\n{NAME}\tx\tgene\t{NAME}\t60\t.\t+\t.\tID=g\n")
    (folder / "alias.txt").write_text(f"# ucsc\tother\nchr1\tone{NAME}\n")
    (folder / "cells.obo").write_text(
        f'ontology: cl{NAME}\n\n[Term]\nid: CL:0000084\nname: T cell {NAME}\nsynonym: "{NAME}" EXACT []\n'
    )
    (folder / "d.yaml").write_text(f"- element: {{id: {json.dumps(NAME)}, '@type': {json.dumps(NAME)}}}\n")
    (folder / "s.tsv").write_text(f"id\t{NAME}\nx\ty\n")
    (folder / "t.tsv").write_text(f"id\tsex\tsource_file\nx{NAME}\t{NAME}\t{NAME}\n")
    (folder / "rules.toml").write_text(f'[[rule]]\nwho = ["{json.dumps(NAME)[1:-1]}"]\nread = [3]\n')
    (folder / f"{FILE}.txt").write_text("x")
    (folder / f"{FILE}.pub").write_text(f"-----BEGIN CRYPT4GH PUBLIC KEY-----\n{NAME}\n-----END CRYPT4GH PUBLIC KEY-----\n")
    (folder / f"{FILE}.genomedata").mkdir()
    _make_genomic(folder)


def _make_log(folder: Path) -> None:
    """A read log: anybody can seal entries for the officer's public key."""
    from modos.encryption.keys import generate
    from modos.readlog.chain_writer import ChainWriter
    from modos.readlog.read_entries import entry_to_line
    from modos.storage import open_storage

    public = generate(folder / "dpo.sec", folder / "dpo.pub", None)
    chain = ChainWriter(open_storage(folder / "reads"), public, writer=NAME)
    names = ("event", "id", "time", "caller", "file", "object", "behalf", "purpose", "range", "request", "via")
    chain.append([entry_to_line(dict.fromkeys(names, NAME) | {"regions": [[NAME, 1, 2]], "samples": [NAME], "groups": [NAME]})])
    chain.append([entry_to_line({key: {NAME: NAME} for key in (*names, "regions", "samples", "bytes")})])
    chain.close()


def _make_genomic(folder: Path) -> None:
    import pysam

    with gzip.open(folder / "broken.vcf.gz", "wt") as file:  # no BGZF
        file.write(f"##fileformat=VCFv4.2\n##contig=<ID={NAME}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    (folder / "v.vcf").write_text(
        f"##fileformat=VCFv4.2\n##contig=<ID=chr1,length=200>\n##contig=<ID={NAME},length=80>\n"
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{NAME}\n{NAME}\t5\t{NAME}\tA\tC\t.\t{NAME}\tX{NAME}=1\tGT\t0/1\n"
    )
    pysam.tabix_compress(str(folder / "v.vcf"), str(folder / "v.vcf.gz"), force=True)
    sam = f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:200\n@SQ\tSN:{NAME}\tLN:80\n@RG\tID:x{NAME}\tSM:{NAME}\n@CO\t{NAME}\n"
    header = pysam.AlignmentHeader.from_text(sam)
    with pysam.AlignmentFile(str(folder / "r.bam"), "wb", header=header) as file:
        read = pysam.AlignedSegment(header)
        read.query_name, read.reference_id, read.reference_start, read.cigarstring = f"r{NAME}", 1, 4, "4M"
        read.query_sequence, read.mapping_quality = "ACGT", 9
        file.write(read)


def _make_object(folder: Path) -> None:
    from modos.object import commits
    from modos.object.document import group_node
    from modos.object.modo import MODO
    from modos.storage import open_storage

    modo = MODO.create(folder / "ex", name=TEXT, description=TEXT)
    modo.add_element({"@type": "Sample", "id": "s", "name": TEXT, "description": TEXT, "collector": [TEXT]})
    modo.add_element(
        {"@type": "DataEntity", "id": "d", "name": TEXT, "data_path": STORED, "data_format": "TSV"}, folder / f"{FILE}.txt"
    )
    for name in ("r.bam", "v.vcf.gz"):
        modo.add_element({"@type": "DataEntity", "id": name[0]}, folder / name)

    def change(document):
        document.nodes[f"sample/{TEXT}"] = group_node({"@type": "Sample", "name": TEXT})
        document.nodes["data/e"] = group_node(
            {
                "@type": "DataEntity",
                "data_path": f"e{NAME}\nFORGED~2.cram.c4gh",
                "data_format": TEXT,
                "recipients": [TEXT],
                "sender": TEXT,
                "has_sample": [f"sample/{TEXT}"],
                "data_checksum": TEXT,
            }
        )
        document.nodes["data/f"] = group_node(
            {"@type": "DataEntity", "data_path": "f.txt.c4gh", "recipients": [TEXT], "sender": TEXT}
        )

    commits.commit(open_storage(folder / "ex"), change)
    (folder / "ex/f.txt.c4gh").write_bytes(b"crypt4gh\x01\x00\x00\x00\x01\x00\x00\x00" + bytes(200))
    (folder / "ex" / f"stray{FILE}\nFORGED").write_text("x")
    tracks = MODO.create(folder / "tr", id="tr")
    tracks.add_genome([str(folder / "g.fa")], id="genome")
    tracks.add_track(NAME, folder / "s.bedGraph")
    tracks.add_track("t", folder / "s.bedGraph")
    MODO.create(folder / "empty", id="other", name="other")


def _make_malformed(folder: Path) -> None:
    for number, own in enumerate(
        ({"id": [TEXT]}, {"id": "x", "@type": TEXT}, {"id": "x", TEXT: [[[[TEXT]]]], "name": {TEXT: TEXT}})
    ):
        root = folder / f"bad{number}/data.zarr"
        root.mkdir(parents=True)
        (root / "zarr.json").write_text(
            json.dumps(
                {
                    "node_type": "group",
                    "attributes": {"@type": "MODO", **own},
                    "consolidated_metadata": {"metadata": {f"sample/{TEXT}": {"attributes": {"@type": "Sample"}}}},
                }
            )
        )
    (folder / f"o{NAME}").mkdir()


def _make_stores(folder: Path) -> None:
    from modos.reference.adding import add_files
    from modos.reference.annotation_store import add_annotation
    from modos.reference.store import INDEX, ReferenceStore
    from modos.storage import open_storage

    store = ReferenceStore(open_storage(folder / "refs"))
    made = add_files(store, "g", [str(folder / "bad.fa")], str(folder / "alias.txt"), TEXT, None)
    add_annotation(store, "g.v1", made, folder / "g.gff3", TEXT, True, None)
    index = folder / "refs" / INDEX
    content = json.loads(index.read_text())
    content["assemblies"][TEXT] = content["assemblies"]["g"]
    content["assemblies"]["lost"] = content["assemblies"]["g"] | {"seqcol": TEXT}
    index.write_text(json.dumps(content))
    (folder / "kit").mkdir()
    (folder / f"kit/A{FILE}.cfg").write_text(f"refg={NAME}\n")
    (folder / "kit/B.cfg").write_text(f"refg={NAME}\n{NAME}\n")
    (folder / f"kit/{FILE}.chrom.sizes").write_text(f"{NAME}\tx\n")
    (folder / "kit/C.hash").write_text(NAME)


@contextmanager
def hostile_server():
    """A server that answers whatever it is asked with such texts; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, body = _answer_of(self.path, self.server.server_port)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _answer_of(path: str, port: int) -> tuple[int, str, bytes]:
    here, route = f"http://127.0.0.1:{port}", path.split("?")[0]
    raw = json.dumps(TEXT, ensure_ascii=False)[1:-1].replace("\\u0000", "")
    if route == "/":
        return (
            200,
            "application/json",
            json.dumps(
                {
                    "status": TEXT,
                    "s3": here,
                    "htsget": here,
                    "root": TEXT,
                    "auth": {
                        "type": "oidc",
                        "device_authorization_endpoint": f"{here}/device",
                        "token_endpoint": f"{here}/token",
                        "client_id": TEXT,
                    },
                }
            ).encode(),
        )
    if route == "/whoami":
        return 200, "application/json", json.dumps({"name": TEXT, "groups": [TEXT], "read": [TEXT], "write": [TEXT]}).encode()
    if route == "/list":
        return (
            200,
            "application/json",
            json.dumps({"data": [f"s3://b/{TEXT}", TEXT], "left_out": [{"path": TEXT, "reason": TEXT}]}).encode(),
        )
    if route == "/device":
        return (
            200,
            "application/json",
            json.dumps({"device_code": "x", "verification_uri": TEXT, "user_code": TEXT, "interval": 0}).encode(),
        )
    if route == "/token":
        return 400, "application/json", json.dumps({"error": TEXT, "error_description": TEXT}).encode()
    if "/reads/ticket" in route:
        return 200, "application/json", json.dumps({"htsget": {"format": TEXT, "urls": [{"url": TEXT}], TEXT: TEXT}}).encode()
    if "/reads/" in route or "/variants/" in route:
        return 400, "application/json", json.dumps({"htsget": {"error": TEXT, "message": TEXT}}).encode()
    if route.endswith("index.json"):
        return 200, "application/json", json.dumps({"format": TEXT, "assemblies": {TEXT: {}}}).encode()
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>Odd{NAME[1]}</Code><Message>{NAME}</Message></Error>".replace(
        "\x1b", "&#27;"
    ).replace("\x07", "")
    return 400, f"application/xml; {raw[:3]}", text.encode()
