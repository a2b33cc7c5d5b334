"""What people type out of habit: options anywhere in the line, one meaning a letter, JSON of all that is read, `help`, `rm`, `ls`."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pysam
import pytest
import typer.main

from modos.cli.app import app
from modos.errors import NotFoundError
from modos.object.modo import MODO
from tests.support.commands import MODOS, run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep(38)

# What a letter is short for, everywhere but in OTHERS.
LETTERS = {
    "-@": "--threads",
    "-H": "--header-only",
    "-O": "--output-format",
    "-R": "--regions-file",
    "-T": "--reference",
    "-c": "--count",
    "-e": "--element",
    "-f": "--file",
    "-g": "--genome",
    "-h": "--help",
    "-i": "--index",
    "-k": "--kind",
    "-m": "--meta",
    "-n": "--top",
    "-o": "--output",
    "-p": "--parent",
    "-q": "--quiet",
    "-r": "--region",
    "-s": "--source",
    "-w": "--width",
    "-y": "--yes",
}
# Of keys, and a letter of before `-f` was taken everywhere: as modos of sdsc-ordes has them.
OTHERS = {
    ("c4gh", "-p"): "--public-key",
    ("c4gh", "-s"): "--secret-key",
    ("log", "-s"): "--secret-key",
    ("update", "-c"): "--config",
    ("create", "-r"): "--reference",
    ("add", "-r"): "--reference",
    ("query", "-O"): "--format",
    ("publish", "-O"): "--format",
}

# Commands that change or make something, or write data of a form of their own.
WRITING = {
    "catalog refresh",
    "enrich",
    "convert",
    "pack",
    "upgrade",
    "serve",
    "keyserver",
    "view",
    "demo",
    "login",
    "logout",
    "c4gh keygen",
    "c4gh encrypt",
    "c4gh decrypt",
    "c4gh share",
    "c4gh revoke",
    "log export",
    "genome init",
    "track add",
    "track replace",
    "track remove",
    "track rename",
    "track unmask",
    "track import-genomedata",
    "reference add",
    "reference import",
    "reference pull",
    "reference push",
    "reference rm",
}
OF_A_FORM = {"publish", "template", "track plot", "track export", "reference env", "help"}


def modos(*arguments, code=0, **environment):
    done = run(
        arguments,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env=os.environ | environment,
    )
    assert done.returncode == code, done.stderr
    return done


def commands():
    """Each command with its parameters."""

    def walk(command, name):
        below = getattr(command, "commands", {})
        for word, one in below.items():
            yield from walk(one, f"{name} {word}".strip())
        if not below:
            yield name, command.params

    return dict(walk(typer.main.get_command(app), ""))


def test_whatever_reads_has_json():
    lacking = {name for name, params in commands().items() if not any("--json" in param.opts for param in params)}
    assert lacking == WRITING | OF_A_FORM
    assert not [
        name for name, params in commands().items() if any("--dry-run" in param.opts for param in params) and name in lacking
    ]


def write_reads(path, number, *contigs):
    """A BAM with so many reads and its index."""
    header = pysam.AlignmentHeader.from_references(contigs or ["c"], [1000] * (len(contigs) or 1))
    with pysam.AlignmentFile(path, "wb", header=header) as file:
        for line in range(number):
            file.write(pysam.AlignedSegment.fromstring(f"r{line}\t0\tc\t{line + 1}\t60\t4M\t*\t0\t0\tACGT\tIIII", header))
    pysam.index(str(path))


def test_a_letter_means_one_thing():
    for name, params in commands().items():
        for param in params:
            for letter in (option for option in param.opts if re.fullmatch("-[^-]", option)):
                meant = OTHERS.get((name.split()[0], letter), LETTERS.get(letter))
                assert meant in param.opts, f"{name} has {letter} for {param.opts}, elsewhere it is {meant}"


def test_the_page_has_the_letters():
    page = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `(-.)` \| (.+) \|$", page))
    assert {letter: text.split("`")[1] for letter, text in rows.items()} == LETTERS
    assert all(meant in rows[letter] for (_, letter), meant in OTHERS.items())


@pytest.fixture(scope="module")
def ex(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("habits")
    shutil.copytree(example / "ex", folder / "ex")
    return folder / "ex"


@pytest.mark.parametrize(
    "line", ["{} show ex data/demo1", "show {} ex data/demo1", "show ex {} data/demo1", "show ex data/demo1 {}"]
)
def test_global_options_are_taken_anywhere(ex, line, monkeypatch):
    monkeypatch.chdir(ex.parent)
    wanted = modos("show", "ex", "data/demo1").stdout
    assert modos(*line.format("-q --no-progress --anon --endpoint http://127.0.0.1:9").split()).stdout == wanted
    assert "Traceback" in modos(*line.replace("data/demo1", "none").format("--debug").split(), code=3).stderr


WORDS = {
    "-q": ("quiet", True),
    "--debug": ("debug", True),
    "--anon": ("anon", True),
    "--no-progress": ("progress", False),
    "--endpoint=http://h:9": ("endpoint", "http://h:9"),
    "--endpoint http://h:9": ("endpoint", "http://h:9"),
    "--endpoint -q": ("endpoint", "-q"),
}


@pytest.mark.sweep(12)
@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_takes_them_at_every_place(name, monkeypatch):
    """Between words of options and arguments, and they become nothing else."""
    from modos.cli import app as application
    from modos.cli import groups
    from modos.cli.output import Options, options

    monkeypatch.delenv("MODOS_ENDPOINT", raising=False)
    monkeypatch.setattr(application, "show_log", lambda: None)
    monkeypatch.setattr(groups, "show_log", lambda: None)
    before, root = dict(vars(options)), typer.main.get_command(app)
    command, given = root, []
    for word in name.split():
        command = command.commands[word]
    monkeypatch.setattr(command, "callback", lambda **values: given.append((dict(vars(options)), values)))
    words = [
        *name.split(),
        *(
            word
            for param in command.params
            if param.required
            for word in (["1"] if param.param_type_name == "argument" else [f"{param.opts[0]}=1"])
        ),
    ]
    try:
        root.main(words, prog_name="modos", standalone_mode=False)
        plain = given.pop()[1]
        for text, (option, value) in WORDS.items():
            for place in range(len(words) + 1):
                root.main([*words[:place], *text.split(), *words[place:]], prog_name="modos", standalone_mode=False)
                assert given.pop() == (vars(Options(**{option: value})), plain), (text, place)
    finally:
        vars(options).update(before)


def test_they_are_for_the_command_they_stand_at(ex, monkeypatch):
    monkeypatch.chdir(ex.parent)
    for line in ("c4gh -q recipients ex", "c4gh recipients ex -q", "-q c4gh recipients ex"):
        assert modos(*line.split()).stderr == ""
    assert modos("c4gh", "recipients", "ex").stderr != ""
    asked = modos("whoami", "--endpoint", "http://127.0.0.1:9", code=5, MODOS_ENDPOINT="http://127.0.0.1:1").stderr
    assert "127.0.0.1:9" in asked
    assert "--endpoint" not in modos("show", "--help").stdout and "anywhere in the line" in modos("--help").stdout
    modos("show", "--", "-q", code=3)  # a name is a name


def test_help_is_a_word(ex):
    assert modos("help").stdout == modos("--help").stdout == modos("-h").stdout
    assert modos("help", "track", "query").stdout == modos("track", "query", "--help").stdout
    assert "No such command" in modos("help", "nonsense", code=2).stderr


def test_the_help_of_all_is_in_groups_and_fast():
    shown = modos("--help").stdout
    assert re.findall(r"^([A-Z][\w ]+):$", shown, re.MULTILINE) == ["Options", "Objects", "Data", "Servers and settings"]
    listed = re.findall(r"^  ([a-z]\S*)  ", shown, re.MULTILINE)
    assert set(listed) == set(typer.main.get_command(app).commands) - {"rm", "ls"}
    python = min(processor_time(command=[sys.executable, "-c", ""]) for _ in range(5))
    assert min(processor_time("--help") for _ in range(5)) < max(0.3, 10 * python)  # 0.15 s, five times as much as Python itself


def processor_time(*words, command=MODOS, **environment):
    """Seconds that a command takes of a processor, whoever else is at work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *map(str, words)], stdout=subprocess.DEVNULL, check=True, env=os.environ | environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("command", ["stream", "c4gh encrypt", "remote upload", "track add"])
def test_an_example_is_one_line_that_can_be_copied(command):
    shown = run([*command.split(), "-h"], capture_output=True, text=True, env=os.environ | {"COLUMNS": "60"}).stdout
    examples = [line.strip() for line in shown.splitlines() if line.startswith("  modos ") or " | modos " in line]
    assert len(examples) >= 2 and max(map(len, examples)) > 58, shown


def test_the_application_can_be_called_again_and_again():
    """Programs call `cli` in a loop: options are watched once, not once more each time."""
    for _ in range(1100):
        with pytest.raises(NotFoundError):
            app(["show", "nowhere", "--files"], standalone_mode=False)


@pytest.mark.parametrize(("words", "code"), [([], 2), (["remote"], 2), (["--help"], 141), (["stream", "-h"], 141)])
def test_help_that_nobody_reads_is_no_defect(words, code):
    read, write = os.pipe()
    os.close(read)
    done = run(words, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == code and done.stderr == b""


def test_rm_and_ls(ex, stack):
    assert modos("ls", ex).stdout == modos("show", ex, "--files").stdout
    assert "s3://modos-demo/ex" in modos("--endpoint", stack.endpoint, "ls").stdout
    assert "s3://modos-demo/ex/demo1.cram" in modos("ls", "s3://modos-demo/ex", "--endpoint", stack.endpoint).stdout.splitlines()
    assert "s3://modos-demo/ex" in json.loads(modos("ls", "s3://modos-demo", "--json", "--endpoint", stack.endpoint).stdout)
    assert modos("rm", ex, "demo2", "--dry-run").stdout == modos("remove", ex, "demo2", "--dry-run").stdout
    modos("ls", ex.parent / "none", code=3)
    assert modos("rm", ex.parent / "none", "--dry-run", "--json", code=3).stdout == ""


def test_every_removal_tells_elements_files_and_bytes(ex, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ex, "ex")
    held = sum((ex / name).stat().st_size for name in ("demo2.bam", "demo2.bam.bai"))
    kept = [
        {"element": attributes | {"id": name.rpartition("/")[2]}}
        for name, attributes in MODO.open("ex").metadata.items()
        if "/" in name and name != "data/demo2"
    ]
    Path("kept.json").write_text(json.dumps(kept))
    assert (
        f"removed 1 element, 2 files, {held / 1000:.1f} kB" in modos("update", "ex", "-c", "kept.json", "--prune", "--yes").stderr
    )
    Path("t.bedGraph").write_text("chr1\t1\t3\t0.1\n")
    modos("genome", "init", "ex", "ex/reference.fa", "--id", "g")
    modos("track", "add", "ex", "t=t.bedGraph")
    assert re.search(
        r"removed t from ex: 1 element, 0 files, [\d.]+ (bytes|kB)", modos("track", "remove", "ex", "t", "--yes").stderr
    )


def test_who_is_asked_is_told_about_what_even_where_nothing_else_is_said(capsys, monkeypatch):
    from modos.cli import input
    from modos.cli.output import options

    monkeypatch.setattr(options, "quiet", True)
    monkeypatch.setattr(input, "is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit):
        input.confirm(["- data/demo2"], False, "  1 element, 2 files, 716.9 kB")
    assert capsys.readouterr().err.splitlines()[:2] == ["- data/demo2", "  1 element, 2 files, 716.9 kB"]


def test_a_file_is_named_by_its_element_too(ex, stack):
    wanted = modos("stream", ex / "demo1.cram", "-c").stdout
    for name in ("data/demo1", "demo1"):
        assert modos("stream", ex / name, "-c").stdout == wanted
    assert modos("stream", "s3://modos-demo/ex/data/demo1", "-c", "--endpoint", stack.endpoint).stdout == wanted
    assert json.loads(modos("stream", ex / "demo1", "-c", "--json").stdout) == {
        "file": f"{ex}/demo1.cram",
        "records": int(wanted),
    }
    assert MODO.open(ex).count("data/demo1") == int(wanted)
    told = modos("stream", ex, code=2).stderr
    assert "is an object" in told and "demo1.cram" in told and "OBJECT/ELEMENT" in told
    assert "is an object" in modos("stream", f"{ex}/", code=2).stderr
    assert modos("stream", f"{ex}/data/demo1/", "-c").stdout == wanted
    assert "has no file" in modos("stream", ex / "sample/sample1", code=2).stderr


def test_what_is_the_name_of_one_file_and_the_id_of_another_is_neither(tmp_path, monkeypatch):
    """`ex/three.bam` was the file, `ex/data/three.bam` the other one's."""
    monkeypatch.chdir(tmp_path)
    for name, number in {"one.bam": 1, "three.bam": 3}.items():
        write_reads(name, number)
    modos("create", "ex", "-m", "{}")
    modos("add", "ex", "data", "-e", '{"id": "three.bam"}', "-s", "one.bam")
    modos("add", "ex", "data", "-e", '{"id": "other"}', "-s", "three.bam")
    told = modos("stream", "ex/three.bam", "-c", code=2).stderr
    assert "write data/other or data/three.bam" in told
    counts = {
        name: int(modos("stream", f"ex/{name}", "-c").stdout) for name in ("data/other", "data/three.bam", "other", "one.bam")
    }
    assert counts == {"data/other": 3, "data/three.bam": 1, "other": 3, "one.bam": 1}


def test_json_says_what_the_tables_say(ex, monkeypatch):
    monkeypatch.chdir(ex.parent)
    rows = [line.split("\t") for line in modos("query", "ex", "SELECT ?s WHERE { ?s a modos:Sample }").stdout.splitlines()[1:]]
    assert [
        [row["s"]] for row in json.loads(modos("query", "ex", "SELECT ?s WHERE { ?s a modos:Sample }", "--json").stdout)
    ] == rows
    assert "--count" in modos("stream", "ex/demo2.bam", "--json", code=2).stderr
    (ex.parent / "s.tsv").write_text("id\nfresh\n")
    changes = json.loads(modos("update", "ex", "-f", "s.tsv", "--type", "sample", "--dry-run", "--json").stdout)
    assert [(change["element_id"], change["kind"]) for change in changes] == [("sample/fresh", "added")]
    assert "--dry-run" in modos("update", "ex", "-f", "s.tsv", "--type", "sample", "--json", code=2).stderr


def test_json_of_a_genome_and_its_tracks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref.fa").write_text(">chr1\nACGTNACG\n>chr2\nGATTACA\n")
    (tmp_path / "t.bedGraph").write_text("chr1\t1\t3\t0.1\nchr2\t0\t2\t-7\n")
    modos("create", "ex", "-m", "{}")
    modos("genome", "init", "ex", "ref.fa")
    modos("track", "add", "ex", "t=t.bedGraph")
    assert json.loads(modos("genome", "sizes", "ex", "--json").stdout) == {"chr1": 8, "chr2": 7}
    table = [line.split("\t") for line in modos("genome", "contigs", "ex").stdout.splitlines()]
    assert [
        [r["contig"], str(r["start"]), str(r["end"])] for r in json.loads(modos("genome", "contigs", "ex", "--json").stdout)
    ] == table
    assert json.loads(modos("genome", "seq", "ex", "chr2:2-4", "--json").stdout) == [
        {"contig": "chr2", "start": 2, "end": 4, "bases": "ATT"}
    ]
    rows = [json.loads(line) for line in modos("track", "query", "ex", "-r", "chr1:1-4", "--json").stdout.splitlines()]
    assert [(row["contig"], row["position"], row["values"]["t"]) for row in rows] == [
        ("chr1", 1, None),
        ("chr1", 2, 0.1),
        ("chr1", 3, 0.1),
        ("chr1", 4, None),
    ]
    assert json.loads(modos("track", "mask", "ex", "t", "lt", "0", "--dry-run", "--json").stdout) == [
        {"track": "t", "values": 2, "unknown_contigs": []}
    ]


def test_json_of_the_cache_and_of_a_store(tmp_path):
    (tmp_path / "ref.fa").write_text(">chr1\nACGTNACG\n")
    store = {"MODOS_REFERENCE_STORE": str(tmp_path / "refs"), "MODOS_CACHE_DIR": str(tmp_path / "cache")}
    modos("reference", "add", "mini", tmp_path / "ref.fa", **store)
    assert json.loads(modos("reference", "dna", "mini", "chr1:2-4", "--json", **store).stdout) == [
        {"region": "chr1:2-4", "strand": "+", "bases": "CGT"}
    ]
    assert json.loads(modos("reference", "verify", "mini", "--json", **store).stdout) == []
    held = json.loads(modos("reference", "cache", "--json", **store).stdout)
    assert set(held) == {"folder", "sequences", "tables", "bytes", "limit"} and held["tables"] == 0


def test_json_of_a_copy_and_of_seals(ex, tmp_path, stack):
    plan = json.loads(
        modos("remote", "upload", ex, "s3://modos-demo/habits", "--dry-run", "--json", "--endpoint", stack.endpoint).stdout
    )
    assert plan["bytes"] == sum(file["bytes"] for file in plan["copied"]) > 0 and plan["present"] == 0
    shutil.copytree(ex, tmp_path / "sealed")
    modos("c4gh", "keygen", tmp_path / "me.sec", "--no-passphrase")
    modos("c4gh", "encrypt", "-p", tmp_path / "me.pub", tmp_path / "sealed", "demo2", "--yes")
    assert json.loads(modos("c4gh", "verify", "-s", tmp_path / "me.sec", tmp_path / "sealed", "--json").stdout) == ["data/demo2"]


def offered(line, **environment):
    """What a shell would offer for a line with the last word begun; where two seconds are too few, what a minute offers."""
    return offered_once(line, **environment) or offered_once(line, PATIENT, **environment)


PATIENT = [
    sys.executable,
    "-c",
    "import modos.cli.completion as completion; completion._DEADLINE = 60.0; from modos.cli import main; main()",
]


def offered_once(line, command=None, **environment):
    words = line.split(" ")
    environment |= {"_MODOS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    options = {"capture_output": True, "text": True, "timeout": 120, "env": os.environ | environment}
    done = subprocess.run(command, **options) if command else run([], **options)
    assert done.stderr == ""
    return done.stdout.split()


def test_what_a_shell_offers(ex, monkeypatch):
    monkeypatch.chdir(ex.parent)
    (ex.parent / "empty").mkdir(exist_ok=True)
    assert offered("modos sh") == ["show"] and offered("modos track que") == ["query"]
    assert offered("modos show e") == ["empty/", "ex"]
    assert offered("modos show ex data/demo") == ["data/demo1", "data/demo2"]
    assert offered("modos c4gh encrypt ex data/demo1 sample/") == sorted(
        i for i in MODO.open(ex).metadata if i.startswith("sample/")
    )
    assert "ex/demo1.cram" in offered("modos stream ex/dem") and offered("modos stream e") == ["empty/", "ex/"]
    assert offered("modos coverage ex/data/demo") == ["ex/data/demo1", "ex/data/demo2"]
    assert offered("modos stream ex/demo1.cram -r ch") == offered("modos track query ex -r ch") == ["chr1", "chr2"]


def test_a_single_folder_is_gone_into(ex, tmp_path, monkeypatch):
    """A shell takes a single offer for the end of the word, and puts a space after it."""
    shutil.copytree(ex, tmp_path / "only/ex")
    monkeypatch.chdir(tmp_path)
    assert offered("modos show on") == ["only/", "only/ex"]
    assert offered("modos stream only/e")[:2] == ["only/ex/", "only/ex/calls.vcf.gz"]


def test_contigs_are_those_of_the_file_or_of_the_genome(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref.fa").write_text(">g1\nACGT\n>g2\nAAA\n")
    write_reads("v.bam", 0, "v1", "v2")
    modos("create", "ex", "-m", "{}")
    modos("add", "ex", "data", "-e", '{"id": "v"}', "-s", "v.bam")
    assert offered("modos stream ex/data/v -r ") == ["v1", "v2"]
    modos("genome", "init", "ex", "ref.fa")
    assert offered("modos track query ex -r ") == offered("modos genome seq ex ") == ["g1", "g2"]


IDS = [
    "a b",
    "q'uote",
    'd"q',
    "$(touch made)",
    "`touch made`",
    "semi;touch made",
    "star*",
    "!x",
    "#h",
    "~h",
    "{a,b}",
    "back\\slash",
    "plain",
    "h\u00e9",
]
# Where Typer's own quoting for zsh ends early.
WORSE = ["x\\$(touch made)", 'b\\" <(touch made) \\"', 'e\\" =(touch made) \\"', "c\\`touch made`", 'f\\" *(e:"touch made":) \\"']


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """An object of somebody whose ids are made to be run by a shell, or to steer a terminal."""
    nodes = {
        f"data/{name}": {"attributes": {"@type": "DataEntity", "id": name}}
        for name in [*IDS, *WORSE, "esc\x1b[31m", "tab\tx", "bidi\u202e"]
    }
    (tmp_path / "h/data.zarr").mkdir(parents=True)
    (tmp_path / "h/data.zarr/zarr.json").write_text(json.dumps({"consolidated_metadata": {"metadata": nodes}}))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "made"


BY_BASH = 'eval "$(_MODOS_COMPLETE=source_bash modos)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _modos_completion modos; '
IN_PATH = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_what_bash_puts_into_the_line_is_a_word_and_nothing_that_it_runs(hostile):
    def meant(word):
        script = BY_BASH + 'for word in "${COMPREPLY[@]}"; do eval "printf \'%s\\n\' $word"; done'
        done = wait_until(lambda: that_offers("bash", "-c", script, "bash", "modos", "show", "h", word), 180)
        assert done.stderr == "" and not hostile.exists()
        return done.stdout.splitlines()

    assert sorted(meant("data/")) == sorted(f"data/{name}" for name in [*IDS, *WORSE])
    assert meant("data/a\\ ") == ["data/a b"] and meant("data/semi") == ["data/semi;touch made"]
    for quote in "'\"":
        assert offered_by_bash("modos", "show", "h", f"{quote}data/") == ["data/h\u00e9", "data/plain"]


@pytest.mark.parametrize("shell, refused", [("zsh", "\\'\""), ("powershell", " \\'\"$`;*!#~{}()"), ("pwsh", " \\'\"$`;*!#~{}()")])
def test_what_other_shells_would_run_is_not_offered(hostile, shell, refused):
    from modos.cli.completion import _offer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MODOS_COMPLETE", f"complete_{shell}")
        words = _offer("", lambda: [*IDS, *WORSE])
    assert words == [name for name in [*IDS, *WORSE] if not set(refused) & set(name)]


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_runs_nothing_of_what_is_offered(hostile, tmp_path):
    """Its function evaluates what modos writes, twice."""
    script = (
        '_arguments() { local ws; eval ws\\=\\( ${1[7,-3]} \\); print -l -- $ws }; compdef() { : }; eval "$(_MODOS_COMPLETE=source_zsh modos)"; '
        "words=(modos show h data/); CURRENT=4; _modos_completion"
    )
    done = wait_until(lambda: that_offers("zsh", "-f", "-c", script))
    assert (
        not hostile.exists() and "data/plain" in done.stdout.splitlines() and "data/$(touch made)" in done.stdout.splitlines()
    ), done.stderr


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_has_the_words(hostile):
    script = '_MODOS_COMPLETE=source_fish modos | source; complete -C "modos show h data/"'
    done = wait_until(lambda: that_offers("fish", "-c", script))
    assert not hostile.exists() and sorted(done.stdout.splitlines()) == sorted(f"data/{name}" for name in [*IDS, *WORSE])


def that_offers(*command):
    """A shell that has run to its end, and offers something; else None, as on a busy machine two seconds may offer nothing."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | IN_PATH)
    return done if done.stdout.strip() else None


def offered_by_bash(*words):
    """What bash would put there for the words of a line, broken as it breaks them."""
    script = BY_BASH + 'echo "${COMPREPLY[*]}"'
    return wait_until(lambda: that_offers("bash", "-c", script, "bash", *words), 180, lambda: words).stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_breaks_words_at_colons(stack):
    """It puts what is offered after the last one."""
    server = list(re.split("(:)", stack.endpoint))
    assert offered_by_bash("modos", "--endpoint", *server, "show", "s3", ":", "//modos-demo/e") == ["//modos-demo/ex"]
    assert offered_by_bash("modos", "--endpoint", *server, "show", "s3", ":", "//modos-demo/ex", "data/demo") == [
        "data/demo1",
        "data/demo2",
    ]
    assert offered_by_bash("modos", "--endpoint", *server, "stream", "s3", ":", "//modos-demo/ex/demo1") == [
        "//modos-demo/ex/demo1.cram"
    ]
    assert offered_by_bash("modos", "--endpoint", *server, "stream", "s3", ":", "//modos-demo/ex/demo1.cram", "-r", "c") == [
        "chr1",
        "chr2",
    ]
    assert offered_by_bash("modos", "sh") == ["show"]


@pytest.mark.parametrize(
    "line, joined",
    [
        ("modos show s3 : //b/e", ("modos show s3://b/e", 2)),
        ("modos show s3 :", ("modos show s3:", 2)),
        ("modos --endpoint http : //h : 80 show e", ("modos --endpoint http://h:80 show e", 4)),
        ("modos show ex data/d", ("modos show ex data/d", 3)),
        ("modos stream ex/a.bam -r chr1 : 5", ("modos stream ex/a.bam -r chr1 : 5", 6)),
    ],
)
def test_words_are_joined(line, joined):
    from modos.cli.completion import _join

    words, at = _join(line.split(" "), line.count(" "))
    assert (" ".join(words), at) == joined


@pytest.mark.parametrize("root", [None, b"", b"[]", b'{"consolidated_metadata": 1}', b"\xff"])
def test_what_is_damaged_is_offered_nothing_of(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if root is not None:
        (tmp_path / "ex/data.zarr").mkdir(parents=True)
        (tmp_path / "ex/data.zarr/zarr.json").write_bytes(root)
    for line in ("modos show ex data/d", "modos stream ex/d", "modos track query ex -r c", "modos show none/there/e"):
        assert offered_once(line) == []


def test_a_server_that_does_not_answer_holds_nobody_up(stack, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for line in ("modos show s3://modos-demo/e", "modos show s3://modos-demo/ex data/"):
            begin = time.monotonic()
            assert offered_once(line, MODOS_ENDPOINT=place) == []
            assert time.monotonic() - begin < 20  # of which two are waited; the answer itself would be waited for for 32
        assert offered_once("modos show nothing-loc", MODOS_ENDPOINT=place) == []  # which asks nobody


def test_offers_are_fast(ex, monkeypatch):
    monkeypatch.chdir(ex.parent)
    line = {"_MODOS_COMPLETE": "complete_bash", "COMP_WORDS": "modos show ex data/", "COMP_CWORD": "3"}
    python = min(processor_time(command=[sys.executable, "-c", ""]) for _ in range(5))
    assert min(processor_time(**line) for _ in range(5)) < max(0.35, 12 * python)  # 0.2 s, seven times as much as Python itself
