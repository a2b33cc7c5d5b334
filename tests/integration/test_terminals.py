"""Whatever command: what strangers wrote is shown, and no terminal obeys it. Data that are streamed stay as they are."""

from __future__ import annotations

import re

import pytest
import typer

from modos.cli.app import app
from tests.support.hostile_text import CONTIG, FILE, NAME, STORED, TEXT, hostile_server, make, obeyed, run_all
from tests.support.sampling import ALL, some

HERE = "http://127.0.0.1:PORT"
S3 = ["AWS_ENDPOINT_URL=http://127.0.0.1:PORT", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_MAX_ATTEMPTS=1"]
REFS = ["MODOS_REFERENCE_STORE=refs"]
SAMPLE = f"sample/{TEXT}".replace("\x00", "")
DATA = ("stream", "track export")  # what they, and `track query --runs`, write to stdout is the data, byte for byte

COMMANDS = {
    "create": [
        [f"new{NAME}"],
        ["new", "-f", "d.yaml"],
        ["new", "-f", "s.tsv", "--type", "sample"],
        ["new", "-f", "t.tsv", "--type", "sample"],
        ["new", "-m", f'{{"id": "x{NAME}"}}'],
        ["new", "-f", f"{FILE}.yaml"],
        ["new", "-m", '{"\\u001b[2J\\nFORGED": 1}'],
        ["bad0"],
    ],
    "add": [
        ["ex", f"x{NAME}"],
        ["ex", "sample", "-e", f'{{"id": "{FILE}"}}'.replace("\x1b", "\\u001b")],
        ["ex", "data", "-e", '{"id": "n"}', "-s", f"{FILE}.txt"],
        ["ex", "sample", "-e", f"{{{NAME}"],
        ["ex", "sample", "-f", "d.yaml"],
        ["ex", "data", "-e", '{"id": "w"}', "-s", "broken.vcf.gz"],
        ["ex", "sample", "-e", '{"id": "n2", "sex": "\\u001b[2J\\nFORGED", "\\u009bslot": 1}'],
        ["ex", "data", "-e", '{"id": "q"}', "-s", f"{FILE}.none", "-p", NAME],
    ],
    "template": [["sample"], [NAME], ["sample", "-o", f"{FILE}.tsv"], ["sample", "-o", f"{FILE}.tsv"]],
    "codes build": [
        ["cells.obo", "-o", "c.index"],
        ["cells.obo", "-o", "c.index", "--json"],
        [f"{FILE}.txt"],
        [f"no{NAME}"],
        [f"{NAME}=cells.obo"],
    ],
    "codes search": [
        ["cell_type", "cell", "-i", "c.index"],
        ["cell_type", "cell", "-i", "c.index", "--json"],
        ["cell_type", NAME, "-i", "c.index"],
        [NAME, "x"],
        ["sex", "x", "-i", f"{FILE}.txt"],
        ["--endpoint", HERE, "cell_type", NAME],
    ],
    "codes list": [["-i", "c.index"], ["-i", f"no{NAME}"], ["--endpoint", HERE]],
    "update": [
        ["ex", "s", "-e", '{"name": "\\u001b[2J"}'],
        ["ex", "-c", "t.tsv", "--type", "sample", "--dry-run"],
        ["ex", NAME, "-e", "{}"],
        ["ex", SAMPLE, "-e", '{"name": null}'],
        ["ex", "d", "-e", '{"data_path": "\\u009bnew.txt"}'],
        ["ex", "-c", "d.yaml"],
        ["ex", "ex", "-e", '{"creation_date": "\\u001b"}'],
    ],
    "remove": [
        ["ex", "--dry-run"],
        ["ex"],
        ["ex", "d", "--dry-run"],
        ["ex", NAME],
        ["bad1", "-y"],
        ["ex", SAMPLE, "--dry-run"],
        [f"o{NAME}", "--dry-run"],
    ],
    "rm": [["ex", "d", "--dry-run"], [f"no{NAME}"]],
    "ls": [["ex"], ["ex", "--json"], [f"no{NAME}"]],
    "help": [[], ["show"], [NAME]],
    "enrich": [["ex"], ["bad2"]],
    "show": [
        ["ex"],
        ["ex", "--json"],
        ["ex", "--files"],
        ["ex", "--zarr"],
        ["ex", "--files", "--json"],
        ["ex", "--zarr", "--json"],
        ["ex", "d"],
        ["ex", NAME],
        ["bad0"],
        ["bad1"],
        ["bad2"],
        [f"no{NAME}"],
        [*S3, "s3://bucket/ex"],
        ["--endpoint", HERE, f"s3://b/{NAME}"],
        ["--debug", *["s3://b/x"]],
        ["tr", "--zarr"],
        [f"{HERE}/files/x"],
        ["ex", SAMPLE],
    ],
    "find": [
        ["."],
        [".", "--json"],
        [".", "--csv", "--class", "Sample"],
        [".", "--where", f"name = '{NAME}'"],
        [".", "--where", NAME],
        [".", "--class", NAME],
        [".", "--columns", NAME],
        [f"no{NAME}"],
    ],
    "catalog refresh": [["."], [f"no{NAME}"]],
    "query": [
        ["ex", "SELECT ?o WHERE {?s ?p ?o}"],
        ["ex", "SELECT ?o WHERE {?s ?p ?o}", "-O", "json"],
        ["ex", f"SELECT {NAME}"],
        ["ex", f"@{FILE}.rq"],
        ["ex", f"@{FILE}.txt"],
        ["ex", "SELECT ?o WHERE {?s ?p ?o}", "-O", NAME],
    ],
    "publish": [
        ["ex", "-O", name, "--base-uri", "http://x.org/ex"] for name in ("turtle", "xml", "json-ld", "nt", "ro-crate", NAME)
    ]
    + [["ex", "--base-uri", NAME], ["bad0"], ["ex", "-o", f"no{NAME}/x"]],
    "check": [["ex"], ["ex", "--json"], ["ex", "--thorough"], ["ex", "--quick"], ["bad0"], ["bad2"], [f"o{NAME}"], ["tr"]],
    "diff": [["ex", "empty"], ["empty", "ex", "--json"], ["empty", "ex"], ["ex", f"no{NAME}"]],
    "convert": [["ex", "--to", NAME], [f"ex/{NAME}", "--to", "vcf-zarr"], ["bad1/r.bam", "--to", "vcf-zarr"]],
    "pack": [["bad0", "p.zip"], ["ex", f"{NAME}.zip"], [f"no{NAME}", "p.zip"]],
    "unpack": [["ex", "un"], [f"no{NAME}.zip", "un"], [f"{FILE}.yaml", "un"]],
    "upgrade": [["bad0"], ["ex"], [f"no{NAME}"]],
    "stream": [
        ["ex/r.bam", "-O", "sam"],
        ["ex/v.vcf.gz", "-O", "vcf"],
        ["ex/r.bam", "-r", f"no{NAME}"],
        ["ex/r.bam", "-r", NAME, "-c"],
        ["ex/v.vcf.gz", "--samples", f"x{NAME}"],
        [f"ex/{NAME}"],
        [f"ex/{STORED}"],
        ["ex/v.vcf.gz", "-R", "bad.bed"],
        [f"{HERE}/htsget/reads/x"],
        [f"{HERE}/htsget/reads/ticket"],
        ["ex/r.bam", "-O", NAME],
        ["ex/r.bam", "-o", f"no{NAME}/x.sam"],
        ["ex/f.txt.c4gh"],
        ["ex/e"],
        ["ex/r.bam", "--fields", NAME],
        ["ex/r.bam", "-T", f"{FILE}.fa"],
    ],
    "coverage": [
        ["ex/r.bam"],
        ["ex/r.bam", "--json"],
        ["ex/r.bam", "-r", NAME],
        ["ex/r.bam", "-r", f"no{NAME}"],
        ["ex/v.vcf.gz"],
    ],
    "serve": [
        [f"no{NAME}"],
        [".", "--access", "rules.toml"],
        [".", "--log", NAME],
        [".", "--references", f"no{NAME}", "--token-file", f"{FILE}.none"],
    ],
    "view": [[f"no{NAME}", "--no-browser"], [f"ex/{NAME}", "--no-browser"], ["ex", "-r", f"chr1{NAME}", "--no-browser"]],
    "gateway": [[f"no{NAME}"], ["bad1"], ["ex", "--secret-key", f"no{NAME}"]],
    "keyserver": [[f"no{NAME}", "--secret-key", "me.sec", "--access", "rules.toml", "--keys", f"no{NAME}"]],
    "demo": [["--write", "ex"], ["--write", f"{FILE}.txt"]],
    "doctor": [["--endpoint", HERE], [*S3, "s3://bucket/ex"], ["--endpoint", HERE, "--json"], ["--endpoint", NAME]],
    "login": [["--endpoint", HERE], ["--endpoint", HERE, "--token-stdin"]],
    "whoami": [["--endpoint", HERE], ["--endpoint", HERE, "--json"]],
    "logout": [["--endpoint", HERE], ["--endpoint", NAME]],
    "config show": [
        [f"REF_PATH={TEXT}".replace("\x00", "")],
        ["--endpoint", f"http://{NAME}"],
        ["MODOS_ENDPOINT=\x1b[2J", "--json"],
    ],
    "remote list": [
        ["--endpoint", HERE],
        ["--endpoint", HERE, "--json"],
        ["--endpoint", HERE, "--search", "x"],
        [*S3, "s3://bucket"],
        [NAME],
        ["--endpoint", HERE, "--search", f"{NAME}=1"],
    ],
    "remote upload": [[*S3, "ex", "s3://bucket/ex", "--dry-run"], ["ex", NAME]],
    "remote download": [["ex", "copy", "--dry-run"], ["tr", "copy2"], ["ex", f"copy{NAME}"], ["ex", "copy3", "--include", NAME]],
    "remote stream": [["ex", "r.bam", "-c"], ["ex", f"r.bam{NAME}", "-c"], [f"no{NAME}", "r.bam"]],
    "remote push": [[*S3, "ex", "s3://bucket/ex"]],
    "remote pull": [["empty", "copy4"], ["bad0", "copy5"]],
    "c4gh keygen": [
        ["--no-passphrase", f"{FILE}.sec"],
        ["--no-passphrase", f"{FILE}.txt"],
        ["--no-passphrase", "k.sec"],
        ["--passphrase-file", f"{FILE}.none", "k2.sec"],
    ],
    "c4gh encrypt": [
        ["-p", f"{FILE}.pub", "ex"],
        ["-p", "k.pub", "ex", NAME],
        ["-p", "k.pub", "ex", "--yes"],
        ["-p", f"{FILE}.none", "ex"],
    ],
    "c4gh decrypt": [
        ["-s", "k.sec", "ex"],
        ["-s", "k.sec", "ex", NAME],
        ["-s", f"{FILE}.txt", "ex"],
        ["-s", f"{FILE}.none", "ex"],
    ],
    "c4gh share": [["-s", "k.sec", "-p", "k.pub", "ex"], ["-s", "k.sec", "-p", f"{FILE}.pub", "ex"]],
    "c4gh revoke": [["-s", "k.sec", "-p", "k.pub", "ex"], ["-s", "k.sec", "--rotate", "ex", "data/f"]],
    "c4gh recipients": [["ex"], ["ex", "--json"], ["ex", "-s", "k.sec"], ["-s", "k.sec", "tr"]],
    "c4gh verify": [["-s", "k.sec", "ex"], ["-s", "k.sec", "ex", "data/f"], ["-s", "k.sec", "ex", NAME]],
    "log verify": [["reads"], ["reads", "-s", "dpo.sec"], ["reads", "--json"], [NAME], ["reads", "--head", NAME]],
    "log show": [
        ["reads", "-s", "dpo.sec"],
        ["reads", "-s", "dpo.sec", "--json"],
        ["reads", "-s", "dpo.sec", "--sample", NAME],
        ["reads", "-s", "dpo.sec", "--since", NAME],
        ["reads", "-s", f"{FILE}.txt"],
    ],
    "log export": [["reads", "-s", "dpo.sec", "-o", f"{FILE}.jsonl"], ["reads", "-s", "dpo.sec", "-o", f"no{NAME}/x"]],
    "genome init": [
        ["empty", "--sizes", "g.sizes", "--id", "g2"],
        ["empty", "bad.fa"],
        ["empty", "g.fa", "--id", NAME],
        ["empty", f"{FILE}*.fa"],
        ["empty", "--sizes", "bad.bed"],
        ["empty", "--assembly", "bad.bed"],
        ["empty", "g.fa", "--assembly-report", "alias.txt"],
        ["empty", "g.fa", "--chromosome-map", f"{FILE}.txt"],
    ],
    "genome info": [["tr"], ["tr", "--json"], ["tr", "-g", NAME], ["empty"]],
    "genome contigs": [["tr"], ["ex"]],
    "genome sizes": [["tr"], [f"{FILE}.txt"]],
    "genome seq": [["tr", CONTIG], ["tr", f"no{NAME}"], ["tr", f"{CONTIG}:1-10"]],
    "track add": [
        ["tr", f"x{NAME}=s.bedGraph"],
        ["tr", "y=bad.bedGraph"],
        ["tr", "z=bad.wig"],
        ["tr", f"w={FILE}.txt"],
        ["tr", NAME],
        ["tr", "v=s.bedGraph", "--mask", "bad.bed"],
        ["tr", "u=s.bedGraph", "--mask", "m.bed", "--strict"],
        ["tr", "q=s.bedGraph", "--strict"],
    ],
    "track replace": [["tr", f"{NAME}=s.bedGraph"], ["tr", f"no{NAME}=s.bedGraph"]],
    "track remove": [["tr", NAME], ["tr", f"no{NAME}", "-y"]],
    "track rename": [["tr", "t", f"t{NAME}"], ["tr", f"no{NAME}", "x"]],
    "track list": [["tr"], ["tr", "--json"], ["empty"]],
    "track info": [["tr", NAME], ["tr", NAME, "--json"], ["tr", f"no{NAME}"]],
    "track query": [
        ["tr", "-r", "chr1:1-5"],
        ["tr", "-r", CONTIG],
        ["tr", NAME, "-r", CONTIG, "--runs"],
        ["tr", NAME, "-R", "bad.bed"],
    ],
    "track stats": [["tr"], ["tr", "--by-contig"], ["tr", NAME, "--histogram", "3"], ["tr", "--json", "-r", CONTIG]],
    "track mask": [
        ["tr", NAME, "m.bed", "--dry-run"],
        ["tr", NAME, f"{FILE}.bed"],
        ["tr", NAME, "lt", NAME],
        ["tr", NAME, "bad.bed"],
        ["tr", NAME, "m.bed", "--hard"],
    ],
    "track unmask": [["tr", NAME], ["tr", f"no{NAME}"]],
    "track plot": [["tr", "chr1:1-100"], ["tr", CONTIG, NAME], ["tr", CONTIG, "-o", f"no{NAME}/x.svg"]],
    "track export": [["tr", NAME, "-O", "wig"], ["tr", NAME, "-o", f"{FILE}.bw"], ["tr", f"no{NAME}"], ["tr", NAME, "-O", NAME]],
    "track import-genomedata": [["empty", f"{FILE}.genomedata"], ["empty", f"{FILE}.txt"]],
    "reference list": [
        REFS,
        [*REFS, "--json"],
        ["--store", NAME],
        ["--store", f"{HERE}/refs"],
        ["--endpoint", HERE, "--remote"],
        [*S3, "--store", "s3://bucket/refs"],
    ],
    "reference show": [
        [*REFS, "g"],
        [*REFS, "g", "--json"],
        [*REFS, "g.v1"],
        [*REFS, "g.v1", "--json"],
        [*REFS, NAME],
        [*REFS, "lost"],
    ],
    "reference add": [
        ["--store", f"new{FILE}", "h", "g.fa"],
        [*REFS, "g", "--gff3", "bad.gff3"],
        [*REFS, "h", f"{FILE}.fa"],
        [*REFS, NAME, "g.fa"],
        [*REFS, "i", "g.fa", "--names", "bad.bed"],
        [*REFS, "g", "--gff3", "g.gff3", "--annotation", "g.v2"],
    ],
    "reference import": [["kit", *["--store", "refs2"]], [f"kit{NAME}", "--store", "refs2"], ["kit", NAME, "--store", "refs2"]],
    "reference pull": [[*REFS, "g"], [*REFS, "g.v1"], [*REFS, "g", "--contig", f"no{NAME}"], [*REFS, NAME]],
    "reference push": [
        [*REFS, "g", f"refs{FILE}"],
        [*REFS, "g.v1", f"refs{FILE}"],
        [*REFS, NAME, "refs3"],
        [*S3, *REFS, "g", "s3://bucket/x"],
    ],
    "reference verify": [[*REFS, "g"], [*REFS, "lost"], [*REFS, "g.v1"], [*REFS, NAME]],
    "reference dna": [[*REFS, "g", f"{NAME}:1-10"], [*REFS, "g", f"no{NAME}"], [*REFS, NAME, "x"]],
    "reference features": [
        [*REFS, "g.v1"],
        [*REFS, "g.v1", "--json"],
        [*REFS, "g.v1", "--gene", NAME],
        [*REFS, "g.v1", "-k", NAME],
        [*REFS, "g.v1", NAME],
        [*REFS, "g.v1", "-k", "transcript"],
    ],
    "reference rm": [[*REFS, "g.v1"], [*REFS, NAME], [*REFS, "lost", "-y"]],
    "reference env": [[f"MODOS_CACHE_DIR=/tmp/{NAME}"]],
    "reference cache": [[], ["--verify"], ["--forget", NAME], [f"MODOS_CACHE_DIR={FILE}"]],
}


def names(command, path=()):
    """Every command of the app, as it is typed."""
    below = getattr(command, "commands", None)
    return [" ".join(path)] if not below else [name for word, one in below.items() for name in names(one, (*path, word))]


def line(name, words, port):
    """A command line: the environment, the global options, the command, the rest."""
    words = [word.replace("PORT", str(port)) for word in words]
    settings = [word for word in words if re.match("[A-Z0-9_]+=", word)]
    words = [word for word in words if word not in settings]
    first = words.index("--endpoint") if "--endpoint" in words else None
    options = [] if first is None else [words.pop(first), words.pop(first)]
    options += [words.pop(words.index("--debug"))] if "--debug" in words else []
    return [*settings, *options, *name.split(), *words]


def test_no_command_is_forgotten():
    assert set(names(typer.main.get_command(app))) == set(COMMANDS)


def chosen(name):
    """The lines of a command that are tried: of those whose output is looked at all."""
    return COMMANDS[name] if name in DATA else some(COMMANDS[name], 1)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    make(folder / "")
    with hostile_server() as port:
        lines = [(name, line(name, words, port)) for name in COMMANDS for words in chosen(name)]
        lines += [
            (name, ["--debug", *words])
            for name, words in lines
            if name in ("create", "show", "whoami", "track add", "reference import")
        ]
        results = run_all([words for _, words in lines], folder, tmp_path_factory.mktemp("told") / "results")
    return [(name, words, *result) for (name, words), result in zip(lines, results)]


def test_no_terminal_obeys_what_they_say(told):
    bad = [
        (words, code, found)
        for name, words, code, out, err in told
        if (found := obeyed(err + (b"" if name in DATA or "--runs" in words else out), forged=name != "publish"))
    ]
    assert not bad


def test_no_defect_comes_to_light_and_nothing_hangs(told):
    bad = [
        (words, code, err[-600:])
        for name, words, code, out, err in told
        if code < 0 or b"defect of modos" in err or (b"Traceback" in err and "--debug" not in words)
    ]
    assert not bad


def test_data_are_streamed_as_they_are(told):
    streamed = {tuple(words): out for name, words, code, out, err in told if name in DATA and code == 0}
    assert (
        NAME.encode() in streamed["stream", "ex/r.bam", "-O", "sam"]
        and NAME.encode() in streamed["stream", "ex/v.vcf.gz", "-O", "vcf"]
    )
    assert NAME.encode() in streamed["track", "export", "tr", NAME, "-O", "wig"]


@pytest.mark.skipif(not ALL, reason="not of each command the line that shows it is tried: make test-all")
def test_the_hostile_texts_are_in_what_is_told(told):
    """The sweep is about something: of most commands some line has the text, written out."""
    with_text = {
        name for name, words, code, out, err in told if b"\\u001b" in out + err or b"\\x1b" in out + err or b"\\e[" in out
    }
    assert len(with_text) > 0.9 * len(COMMANDS), set(COMMANDS) - with_text
