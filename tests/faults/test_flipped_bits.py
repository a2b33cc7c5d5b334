"""One bit that is flipped on the way: a copy is what was recorded, or it has no end and the exit says so."""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.body import SEALED
from modos.encryption.keys import generate
from modos.encryption.stored import read_stored_header
from modos.errors import ChecksumMismatch, DecryptError, IntegrityError, RemoteError, TruncatedStream
from modos.formats import FORMATS
from modos.genomics.verification import Recorded, check_blocks, verify
from modos.object.changes import Update
from modos.object.finding import open_served_file
from modos.server import htsget as server_module
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from tests.support import commands
from tests.support.older import forget_digests
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(12)

FILES = ("demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf")
TOKEN = "a-token-of-many-letters"


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def run(*arguments, **environment):
    with tempfile.TemporaryFile() as out:  # into a pipe, a CRAM is not copied
        result = commands.run(
            arguments,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=120,
            env=os.environ | environment,
        )
        out.seek(0)
        result.stdout = out.read()
        return result


@pytest.fixture(params=["folder", "s3", "files", "htsget"])
def damaged(request, example, stack, tmp_path, monkeypatch):
    """Gives for a file of an object what to call the command with, so that one bit is another; of the folder or of the way."""
    wanted = []

    def fault(proxy, handler, answer):
        path = handler.path.partition("?")[0]
        if handler.command == "GET" and answer.status in (200, 206) and path.endswith(wanted[0]) and len(answer.body) > 1000:
            answer.body = flipped(answer.body, len(answer.body) * 2 // 3)

    def folder(name):
        shutil.copytree(example / "ex", tmp_path / "ex")
        path = tmp_path / "ex" / name
        path.write_bytes(flipped(path.read_bytes(), path.stat().st_size * 2 // 3))
        return ["stream", str(path)], {}

    def remote(options, environment):
        def given(name):
            wanted[:] = [name]
            return [*options, "stream", f"s3://{BUCKET}/ex/{name}"], environment

        return given

    if request.param == "folder":
        yield folder
        return
    monkeypatch.setattr(server_module, "INLINE", 0)
    with Proxy(stack.s3, fault=fault) as proxy:
        storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS, public_url=proxy.url)
        if request.param == "files":
            monkeypatch.setattr("modos.storage.sts.scoped_credentials", refuse)
            access = Access({TOKEN: "alice"}, Rules((Rule(frozenset({"user:alice"}), read=("ex",)),)))
            with BackgroundServer(create_app(storage, access=access)) as server:
                yield remote(["--endpoint", server.url], {"MODOS_TOKEN": TOKEN})
        elif request.param == "htsget":
            with BackgroundServer(create_app(storage)) as server:
                yield remote(["--endpoint", server.url], {})
        else:
            yield remote(["--anon"], {"AWS_ENDPOINT_URL": proxy.url})


def refuse(*_, **__):
    raise RemoteError("the S3 server gives no temporary credentials")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", FILES)
def test_a_copy_of_a_whole_file(damaged, example, tmp_path, name):
    arguments, environment = damaged(name)
    original = (example / "ex" / name).read_bytes()
    result = run(*arguments, **environment)
    assert result.returncode == 6, result.stderr
    assert (
        re.search(rb"do not use what has come of it|bytes [\d,-]+ are not those that are recorded", result.stderr)
        and len(result.stderr.splitlines()) <= 2
    )
    assert len(result.stdout) < len(original) and not result.stdout.endswith(FORMATS[format_of(name)].eof_markers)
    out = tmp_path / f"copy{name[name.index('.') :]}"
    assert run(*arguments, "-o", str(out), **environment).returncode == 6
    assert not out.exists() and not list(tmp_path.glob(".copy*"))


def format_of(name):
    return {"cram": "CRAM", "bam": "BAM", "vcf": "VCF", "bcf": "BCF"}[name.split(".")[1]]


@contextmanager
def flipping(folder, monkeypatch):
    """A server over a folder behind a proxy that flips a bit of each file once it is told to; gives the proxy and the fault."""
    monkeypatch.setattr(server_module, "INLINE", 0)

    def fault(proxy, handler, answer):
        if handler.path.startswith("/files/") and len(answer.body) > 500:
            answer.body = flipped(answer.body, len(answer.body) * 2 // 3)

    with BackgroundServer(create_app(open_storage(folder))) as server, Proxy(server.url) as proxy:
        yield proxy, fault


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", ["demo1.cram", "demo2.bam", "calls.vcf.gz"])
def test_a_file_without_an_object(example, tmp_path, monkeypatch, name):
    """Nothing is recorded: the checksums within the file are looked at."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    with flipping(tmp_path, monkeypatch) as (proxy, fault):
        address = f"{proxy.url}/htsget/{'variants' if 'vcf' in name else 'reads'}/ex/{name.partition('.')[0]}"
        good = run("stream", address)
        assert good.returncode == 0, good.stderr
        proxy.fault = fault
        result = run("stream", address)
    assert result.returncode == 6, result.stderr
    assert not good.stdout.startswith(result.stdout) or len(result.stdout) < len(good.stdout)
    assert not result.stdout.endswith(FORMATS[format_of(name)].eof_markers)


@pytest.mark.parametrize("name", ["demo1", "demo2"])
def test_the_bytes_of_a_region_without_an_object(example, tmp_path, monkeypatch, name):
    """They are looked at, too; without digests `--raw` leaves it to samtools, which does not take them."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    forget_digests(tmp_path / "ex")
    with flipping(tmp_path, monkeypatch) as (proxy, fault):
        address = f"{proxy.url}/htsget/reads/ex/{name}"
        assert b"".join(open_served_file(address, None).iter_bytes("chr1"))
        proxy.fault = fault
        with pytest.raises(IntegrityError):
            b"".join(open_served_file(address, None).iter_bytes("chr1"))
        raw = run("stream", "--raw", "-r", "chr1", address)
    assert raw.returncode == 0
    reference = ["-T", str(example / "source/reference.fa")] if name == "demo1" else []
    assert subprocess.run(["samtools", "view", "-c", *reference, "-"], input=raw.stdout, capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["demo1", "demo2"])
def test_the_digests_of_a_ticket_tell_of_it(example, tmp_path, monkeypatch, name):
    shutil.copytree(example / "ex", tmp_path / "ex")
    with flipping(tmp_path, monkeypatch) as (proxy, fault):
        address = f"{proxy.url}/htsget/reads/ex/{name}"
        whole = run("stream", "--raw", "-r", "chr1", address)
        assert whole.returncode == 0
        proxy.fault = fault
        raw = run("stream", "--raw", "-r", "chr1", address)
    assert (raw.returncode, b"are not those that are recorded" in raw.stderr) == (6, True) or raw.stdout == whole.stdout
    assert raw.returncode == 6 or name == "demo1"  # all of a small region comes with the ticket


def test_records_of_a_file_with_a_bit_that_no_decoder_looks_at(example, tmp_path):
    """In the name that a CRAM has for itself."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    path = tmp_path / "ex" / "demo1.cram"
    path.write_bytes(flipped(path.read_bytes(), 10))
    modo = MODO.open(tmp_path / "ex")
    for read in (
        lambda: list(modo.file("demo1.cram").fetch()),
        lambda: modo.count("demo1.cram"),
        lambda: list(modo.file("demo1.cram").iter_bytes()),
        lambda: modo.count("demo1.cram", "chr1:20,001-25,000"),
    ):
        with pytest.raises(ChecksumMismatch, match="demo1.cram"):
            read()
    forget_digests(tmp_path / "ex")
    assert MODO.open(tmp_path / "ex").count("demo1.cram", "chr1:20,001-25,000") == 969


def test_an_encrypted_file_whose_segments_were_swapped(example, tmp_path):
    """Each segment opens; together they are another file."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    modo = MODO.open(tmp_path / "ex")
    modo.encrypt(tmp_path / "me.pub")
    copy = modo.file("demo2.bam.c4gh", secret_key=tmp_path / "me.sec")
    assert b"".join(copy.iter_bytes()) == (example / "ex/demo2.bam").read_bytes()
    path = tmp_path / "ex" / "demo2.bam.c4gh"
    data, start = path.read_bytes(), read_stored_header(modo.storage, "demo2.bam.c4gh")[0].size
    first, second = data[start + SEALED : start + 2 * SEALED], data[start + 2 * SEALED : start + 3 * SEALED]
    path.write_bytes(data[: start + SEALED] + second + first + data[start + 3 * SEALED :])
    with pytest.raises(ChecksumMismatch, match="are not those that are recorded"):
        b"".join(modo.file("demo2.bam.c4gh", secret_key=tmp_path / "me.sec").iter_bytes())
    with modo.transaction() as transaction:  # as an older version has left it
        transaction._make(Update("data/demo2", {"data_digest": None}, transaction.view.element("data/demo2")))
    with pytest.raises(DecryptError, match="missing, repeated or moved"):
        b"".join(MODO.open(tmp_path / "ex").file("demo2.bam.c4gh", secret_key=tmp_path / "me.sec").iter_bytes())


# --- what passes by ---


def test_the_last_piece_is_held_back():
    given = []
    with pytest.raises(ChecksumMismatch):
        given.extend(verify(iter([b"a", b"b", b"c"]), Recorded(3, "0" * 128), "x"))
    assert given == [b"a", b"b"]
    with pytest.raises(TruncatedStream):
        list(verify(iter([b"a", b"b"]), Recorded(3), "x"))
    assert list(verify(iter([b"a", b"b"]), Recorded(2), "x")) == [b"a", b"b"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [7, 5000, 1 << 20])
def test_what_is_sound_passes_as_it_is(example, name, step):
    data = (example / "ex" / name).read_bytes()
    data = data if step > 7 else data[: min(len(data) // 2, 100_000)]
    passed = check_blocks((data[at : at + step] for at in range(0, len(data), step)), FORMATS[format_of(name)], name)
    if step > 7:
        assert b"".join(passed) == data
    else:
        with pytest.raises(TruncatedStream):
            list(passed)


@pytest.mark.parametrize("name", FILES)
def test_no_bit_that_matters_is_missed(example, name):
    """All but the name that a CRAM has for itself, its minor version, and what BGZF has no checksum for: time and system."""
    data = (example / "ex" / name).read_bytes()[-30_000 if name == "demo2.bam" else 0 :]
    if name == "demo2.bam":
        data = data[data.index(b"\x1f\x8b\x08\x04") :]
    unchecked = range(5, 26) if name == "demo1.cram" else range(4, 10)
    for at in [*range(60), *range(60, len(data), len(data) // 40)]:
        if at in unchecked:
            continue
        with pytest.raises(IntegrityError):
            list(check_blocks(iter([flipped(data, at)]), FORMATS[format_of(name)], name))


def test_real_crams_pass(shared_data):
    found = sorted(shared_data.rglob("*.cram"))[:20]
    assert found
    for path in found:
        data = path.read_bytes()
        assert b"".join(check_blocks(iter([data]), FORMATS["CRAM"], path.name)) == data
