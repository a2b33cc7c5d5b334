"""The command line as people use it: exit codes, one-line errors, data alone on stdout, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.waiting import wait_until_read

pytestmark = pytest.mark.sweep(16)


def modos(*arguments, cwd=None, **environment):
    return commands.run(
        arguments,
        capture_output=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        timeout=180,
    )


def fails(result, code, *words):
    """It ended with that code, said one line and maybe a hint, and no traceback or data."""
    text = result.stderr.decode()
    assert result.returncode == code, text
    assert result.stdout == b""
    lines = text.strip().splitlines()
    assert lines[0].startswith("error: ") and len(lines) <= 2 and "Traceback" not in text, text
    for word in words:
        assert word in text


@pytest.fixture
def ex(example, tmp_path):
    """An object of one's own."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    return tmp_path / "ex"


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.core
def test_version_and_help():
    assert modos("--version").stdout.startswith(b"modos ")
    for command in ("create", "add", "show", "stream", "serve", "demo"):
        result = modos(command, "--help")
        assert result.returncode == 0 and result.stdout.count(b"modos") >= 2, command


@pytest.mark.core
def test_create_add_show(tmp_path):
    assert modos("create", "new", "-m", '{"name": "New"}', cwd=tmp_path).returncode == 0
    assert modos("add", "new", "assay", "-e", '{"id": "a1", "omics_type": "GENOMICS"}', cwd=tmp_path).returncode == 0
    shown = json.loads(modos("show", "new", "--json", cwd=tmp_path).stdout)
    assert shown["new"]["has_assay"] == ["assay/a1"] and shown["new"]["name"] == "New"
    assert shown["assay/a1"] == {"@type": "Assay", "omics_type": ["GENOMICS"]}


def test_plain_zarr_opens_what_is_written(ex):
    import zarr

    group = zarr.open_group(str(ex / "data.zarr"), mode="r")
    assert group["data/demo1"].attrs["data_path"] == "demo1.cram"
    unconsolidated = zarr.open_group(str(ex / "data.zarr"), mode="r", use_consolidated=False)
    assert unconsolidated["data/demo1"].attrs["data_path"] == "demo1.cram"


def test_an_object_of_sdsc_ordes_opens(shared_data):
    shown = json.loads(modos("show", shared_data / "modos-ex/ex", "--json").stdout)
    assert set(shown) == {
        "ex",
        "data/demo1",
        "reference/reference1",
        "sample/sample1",
        "assay/assay1",
        "sequence/BA000007.3_bd7522",
    }
    assert shown["ex"]["has_assay"] == ["assay/assay1"]


def test_read_commands_create_nothing(tmp_path):
    for command in (["show", "typo"], ["show", "typo", "--files"], ["stream", "typo/a.bam"]):
        fails(modos(*command, cwd=tmp_path), 3, "typo")
    assert files_below(tmp_path) == []


def test_unknown_element_and_file_suggest_the_nearest(ex):
    fails(modos("show", ex, "data/demo3"), 3, "data/demo3", "data/demo")
    fails(modos("stream", ex / "demo1.crm"), 3, "demo1.crm", "demo1.cram")


def test_bad_regions(ex):
    fails(modos("stream", "-r", "chr9:1-2", ex / "demo1.cram"), 3, "chr9", "chr1, chr2")
    fails(modos("stream", "-r", "chr1:2-1", ex / "demo1.cram"), 2, "chr1:2-1")
    fails(modos("stream", "-r", "chr1:1x", ex / "demo1.cram"), 2, "chr1:1x")


def test_a_missing_source_leaves_nothing(ex):
    before = files_below(ex)
    fails(modos("add", ex, "data", "-e", '{"id": "x"}', "-s", "no.bam"), 3, "no.bam")
    assert files_below(ex) == before


def test_a_truncated_source_is_refused(ex, tmp_path):
    before = files_below(ex)
    (tmp_path / "cut.bam").write_bytes((ex / "demo2.bam").read_bytes()[:-40])
    fails(modos("add", ex, "data", "-e", '{"id": "x"}', "-s", tmp_path / "cut.bam"), 6, "truncated")
    assert files_below(ex) == before


def test_wrong_metadata_leaves_nothing(ex):
    before = files_below(ex)
    source = ex / "demo2.bam"
    fails(
        modos("add", ex, "data", "-e", '{"id": "x", "data_format": "BAMM", "data_path": "x.bam"}', "-s", source), 2, "BAMM", "BAM"
    )
    fails(modos("add", ex, "data", "-e", '{"id": "x", "colour": 1, "data_path": "x.bam"}', "-s", source), 2, "colour")
    fails(modos("add", ex, "data", "-e", '{"id": "x", "data_path": "../x.bam"}', "-s", source), 2, "../x.bam")
    fails(
        modos("add", ex, "data", "-e", '{"id": "x", "data_path": "y.bam", "has_sample": "nobody"}', "-s", source),
        3,
        "sample/nobody",
    )
    fails(modos("add", ex, "data", "-e", '{"id": "x"}', "-s", source), 1, "demo2.bam")
    fails(modos("add", ex, "data", "-e", '{"id": "demo1", "data_path": "y.bam"}', "-s", source), 1, "data/demo1")
    assert files_below(ex) == before and not (ex.parent / "x.bam").exists()


def test_targets_that_exist_are_refused(ex, example, stack):
    fails(modos("create", ex), 1, "exists already")
    fails(modos("create", ex, "-f", example / "source/modo.yaml"), 1, "exists already")
    other = example.parent / "other-object"
    assert modos("create", other).returncode == 0
    fails(modos("--endpoint", stack.endpoint, "remote", "upload", other, "s3://modos-demo/ex"), 1, "has changes that")
    fails(modos("--endpoint", stack.endpoint, "remote", "download", "s3://modos-demo/ex", other), 1, "has changes that")


def test_a_removal_that_was_killed_is_completed(ex, tmp_path):
    """The root goes first: there is no object any more, and its files are left."""
    program = (
        "import os, signal; from modos.api import MODO; from modos.storage.local import LocalStorage; delete = LocalStorage.delete\n"
        "def once(self, key):\n    delete(self, key)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"LocalStorage.delete = once; MODO.remove({str(ex)!r})"
    )
    (ex / "mine.txt").write_text("mine")
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9 and (ex / "demo1.cram").exists()
    fails(modos("remove", ex), 2, "--yes")
    fails(modos("remove", ex, "demo1", "--yes"), 3, "no MODO")
    assert "- demo1.cram\n" in modos("remove", ex, "--dry-run").stdout.decode() and (ex / "demo1.cram").exists()
    checked = modos("check", ex)
    assert checked.returncode == 3 and b"demo1.cram" in checked.stdout and b"was interrupted" in checked.stderr
    assert modos("remove", ex, "--yes").returncode == 0
    assert [name for name in files_below(ex) if "." in name and not name.startswith((".modos", "data.zarr"))] == ["mine.txt"]
    fails(modos("remove", ex, "--yes"), 3, "no MODO")
    fails(modos("check", ex), 3, "no MODO")


def test_a_failed_description_leaves_nothing(example, tmp_path):
    text = (example / "source/modo.yaml").read_text().replace("data_format: BCF", "data_format: BCFF")
    (example / "source/bad.yaml").write_text(text)
    fails(modos("create", tmp_path / "new", "-f", example / "source/bad.yaml"), 2, "BCFF")
    assert files_below(tmp_path) == []


def test_endpoint_down(tmp_path):
    fails(modos("--endpoint", "http://127.0.0.1:9", "show", "s3://modos-demo/ex"), 5, "127.0.0.1:9", "refused")


def test_local_objects_never_touch_the_network(ex):
    assert modos("--endpoint", "http://127.0.0.1:9", "stream", "-r", "chr1:1-9", ex / "demo2.bam").returncode == 0


def test_wrong_credentials(tmp_path):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        import requests

        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        requests.put(f"{url}/private-bucket", timeout=60)
        requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=60)
        keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ENDPOINT_URL": url}
        fails(modos("show", "s3://private-bucket/ex", **keys), 4, "refuses access", "AWS_ACCESS_KEY_ID")
    finally:
        requests.post(f"{url}/moto-api/reset-auth", data="inf", timeout=60)
        server.stop()


def test_a_pipe_closed_early_is_quiet(ex):
    for arguments in (["stream", ex / "demo2.bam"], ["stream", "-r", "chr1", ex / "demo2.bam"]):
        process = commands.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) in (141, 0)  # 0: all of it was in the pipe already


def test_bytes_without_a_region_are_the_file(ex, stack):
    local = (ex / "demo2.bam").read_bytes()
    assert modos("stream", ex / "demo2.bam").stdout == local
    assert modos("--endpoint", stack.endpoint, "stream", "s3://modos-demo/ex/demo2.bam").stdout == local


def test_raw_regions_are_a_superset(ex, tmp_path, stack):
    import pysam

    def count(*options):
        (tmp_path / "r.bam").write_bytes(
            modos(
                "--endpoint", stack.endpoint, "stream", "-r", "chr1:30,000-30,100", *options, "s3://modos-demo/ex/demo2.bam"
            ).stdout
        )
        with pysam.AlignmentFile(tmp_path / "r.bam") as file:
            return sum(1 for _ in file)

    assert count("--raw") > count() > 0


def test_output_appears_only_when_complete(ex, tmp_path):
    assert modos("stream", "-r", "chr1:1-9", "-o", tmp_path / "a.bam", ex / "demo2.bam").returncode == 0
    assert (tmp_path / "a.bam").stat().st_size > 0
    fails(modos("stream", "-r", "chrX", "-o", tmp_path / "b.bam", ex / "demo2.bam"), 3)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.bam"]


def test_a_damaged_file_is_no_short_success(ex):
    data = bytearray((ex / "demo2.bam").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    (ex / "demo2.bam").write_bytes(data)
    result = modos("stream", "-r", "chr1", ex / "demo2.bam")
    assert result.returncode == 6 and b"error: " in result.stderr
    assert not result.stdout.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


def test_a_server_killed_in_the_middle_is_no_short_success(ex, tmp_path):
    """A stream that stops half-way ends with an error, raw and exact."""
    big = tmp_path / "objects"
    write_large_object(big)
    for options in (["--raw"], ["-r", "chr1"]):
        server = commands.start(["serve", big, "--port", "0"], stderr=subprocess.PIPE, text=True)
        url = next(word for word in server.stderr.readline().split() if word.startswith("http://"))
        client = commands.start(
            ["stream", *options, f"{url}/htsget/reads/ex/large"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        client.stdout.read(100_000)
        server.kill()
        server.wait()
        rest, message = client.communicate(timeout=60)
        assert client.returncode in (5, 6), message
        assert message.startswith(b"error: ") and b"Traceback" not in message
        assert not rest.endswith(bytes.fromhex("0003000000000000000000"))


def write_large_object(folder: Path) -> None:
    """An object whose BAM is larger than all buffers on the way: 60 MB that do not compress."""
    import pysam

    from modos.api import MODO

    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 10_000_000}]})
    path = folder.parent / "large.bam"
    with pysam.AlignmentFile(path, "wb", header=header) as file:
        read = pysam.AlignedSegment(header)
        read.flag, read.reference_id, read.cigarstring, read.query_sequence = 0, 0, "100M", "A" * 100
        for number in range(1200):
            read.query_name, read.reference_start = f"r{number}", number * 100
            read.set_tag("XX", os.urandom(25_000).hex())
            file.write(read)
    MODO(folder / "ex").add_element({"id": "large", "@type": "AlignmentSet"}, path)


@pytest.mark.core
@pytest.mark.skipif(not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools")
@pytest.mark.parametrize("target", ["pipe", "file"])
@pytest.mark.parametrize(
    ("file", "region", "view"),
    [
        ("demo1.cram", "chr1:20,001-25,000", ["samtools", "view"]),
        ("demo2.bam", "chr1:20,001-25,000", ["samtools", "view"]),
        ("calls.vcf.gz", "chr2:1-20,000", ["bcftools", "view", "-H"]),
        ("cohort.bcf", "chr2:1-20,000", ["bcftools", "view", "-H"]),
        ("cohort.bcf", "chr2:39,999-40,000", ["bcftools", "view", "-H"]),
    ],
)
def test_a_region_is_exactly_that_of_samtools(ex, tmp_path, stack, file, region, view, target):
    """In the file's own format, to a pipe and to a file; a CRAM needs no reference to be read."""
    remote = f"s3://modos-demo/ex/{file}"
    options = ["--endpoint", stack.endpoint, "stream", "-r", region]
    if target == "pipe":
        got = modos(*options, remote).stdout
    else:
        assert modos(*options, "-o", tmp_path / file, remote).returncode == 0
        got = (tmp_path / file).read_bytes()
    reference = ["-T", str(ex / "reference.fa")] if file.endswith("cram") else []
    place = (
        [str(ex / file), region.replace(",", "")] if view[0] == "samtools" else ["-r", region.replace(",", ""), str(ex / file)]
    )
    wanted = subprocess.run([*view, *reference, *place], capture_output=True, check=True).stdout
    streamed = subprocess.run([*view, "-"], input=got, capture_output=True, check=True).stdout

    def fields(text):
        return [sorted(line.split(b"\t")) for line in text.splitlines()]

    assert fields(streamed) == fields(wanted)


def test_debug_shows_what_is_tried_again():
    result = modos("--debug", "stream", "--raw", "http://127.0.0.1:1/reads/x")
    assert result.returncode != 0 and result.stderr.count(b"; again in ") >= 4


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 143, "terminated")],
)
def test_a_command_that_is_stopped_says_so(ex, number, code, word):
    with commands.start(["query", ex, "@-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_until_read(running, b"#\n")
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (code, b"") and err.decode().startswith(f"{word}: ") and len(err.splitlines()) == 1


def test_it_says_so_while_it_is_being_loaded():
    """Which takes longer than somebody needs to see a slip."""
    code = "import modos.cli as cli, os, signal; cli.keep_freed = lambda: os.kill(os.getpid(), signal.SIGINT); cli.main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted: nothing was begun\n")


def test_modos_runs_as_a_module_of_python():
    result = subprocess.run([sys.executable, "-m", "modos", "--version"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.startswith("modos ")
