"""A server of encrypted files never has what is in them: its memory is searched while it serves, and afterwards."""

from __future__ import annotations

import gzip
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import pysam
import pytest

from modos.api import MODO
from modos.encryption.header import read_header
from modos.encryption.keys import SecretKey, generate, load_secret_key
from modos.formats import cuts_name
from modos.object.cut_lists import open_cuts
from modos.object.finding import open_served_file
from tests.support.commands import MODOS
from tests.support.memory import find_in_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="memory is searched where Linux shows it")


@pytest.fixture(scope="module")
def reads() -> list[str]:
    chance = random.Random(5)
    return ["".join(chance.choices("ACGT", k=200)) for _ in range(20_000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, reads) -> Path:
    """An object with a BAM of known reads, encrypted for Alice, and keys."""
    folder = tmp_path_factory.mktemp("blind")
    path, header = folder / "a.bam", pysam.AlignmentHeader.from_references(["chr1"], [10_000_000])
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number, bases in enumerate(reads):
            read = pysam.AlignedSegment(header)
            read.query_name, read.query_sequence, read.reference_id = f"patient7-{number}", bases, 0
            read.reference_start, read.cigarstring, read.mapping_quality = number * 100, "200M", 60
            out.write(read)
    pysam.index(str(path))
    for name in ("alice", "server"):
        generate(folder / f"{name}.sec", folder / f"{name}.pub", None)
    modo = MODO.create(folder / "data/ex")
    modo.add_element({"@type": "AlignmentSet", "id": "data/a"}, source_file=path)
    modo.encrypt(folder / "alice.pub", index_for=folder / "server.pub")
    return folder


@pytest.fixture
def server(folder):
    """A real process of `modos serve --index-key`: its id, and its URL."""
    words = ["serve", folder / "data", "--port", "0", "--index-key", folder / "server.sec"]
    process = subprocess.Popen([*MODOS, *map(str, words)], stderr=subprocess.PIPE, text=True)
    try:
        told = next(filter(None, (re.search(r"at (http://\S+)", line) for line in process.stderr)))
        yield process, told[1]
    finally:
        process.kill()
        process.wait()


def needles_of(folder: Path, reads: list[str]) -> dict[str, bytes]:
    """What must not be there: bases as text and packed, names, the bytes of the BAM, the data key, and the reader's key."""
    alice = load_secret_key(folder / "alice.sec")
    sealed, plain = (folder / "data/ex/a.bam.c4gh").read_bytes(), (folder / "a.bam").read_bytes()
    key = read_header(lambda start, end: sealed[start:end]).decrypt(alice).keys[0]
    packed = {"A": 1, "C": 2, "G": 4, "T": 8}
    found = {"data key": key, "data key in hex": key.hex().encode(), "reader's key": alice.raw}
    for number in range(0, len(reads), 997):
        bases = reads[number][:64]
        found[f"bases {number}"] = bases.encode()
        found[f"packed bases {number}"] = bytes(packed[a] << 4 | packed[b] for a, b in zip(bases[::2], bases[1::2], strict=True))
        found[f"name {number}"] = f"patient7-{number}\0".encode()
    inflated = gzip.decompress(plain)
    assert all(found[f"packed bases {number}"] in inflated for number in range(0, len(reads), 997))
    found |= {f"BAM {at}": plain[at : at + 32] for at in range(1000, len(plain) - 100, 50_021)}
    return found


def test_neither_bases_nor_keys_are_in_the_memory_of_the_server(folder, server, reads):
    process, url = server
    alice, needles = load_secret_key(folder / "alice.sec"), needles_of(folder, reads)
    try:
        find_in_memory(process.pid, {"any": b"modos"})
    except PermissionError:
        pytest.skip("the memory of other processes is closed here")
    expected = MODO.open(folder / "data/ex").count("a.bam", "chr1:500,000-900,000", secret_key=alice)
    file = open_served_file(f"{url}/htsget/reads/ex/a", None, secret=alice)
    errors: list[BaseException] = []

    def ask() -> None:
        chance = random.Random(threading.get_ident())
        try:
            for _ in range(8):
                start = chance.randrange(1_900_000)
                file.count(f"chr1:{start}-{start + 50_000}")
            assert file.count("chr1:500,000-900,000") == expected > 4000
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    during = find_in_memory(process.pid, needles)
    for thread in threads:
        thread.join()
    assert not errors and file.count() == len(reads)
    assert during == set() == find_in_memory(process.pid, needles)
    modo = MODO.open(folder / "data/ex")
    cuts = open_cuts(modo.storage, modo.metadata["data/a"], alice)
    known = {
        "index": cuts.index_bytes[len(cuts.index_bytes) // 2 :][:64],
        "server's key": load_secret_key(folder / "server.sec").raw,
        "name of the file": cuts_name("a.bam.c4gh").encode(),
    }
    assert find_in_memory(process.pid, known) == set(known), "the search finds what is there"


def test_the_search_finds_what_a_process_has_read(folder, reads):
    """The same search of a process that opens the file finds nearly all."""
    code = f"""
import sys
from modos.api import MODO
records = list(MODO({str(folder / "data/ex")!r}).stream_genomics("a.bam", secret_key={str(folder / "alice.sec")!r}))
text = [record.to_string() for record in records]
print(len(text), flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
    try:
        assert int(process.stdout.readline()) == len(reads)
        needles = needles_of(folder, reads)
        try:
            found = find_in_memory(process.pid, needles)
        except PermissionError:
            pytest.skip("the memory of other processes is closed here")
        bases = {name for name in needles if name.startswith("bases")}
        assert bases <= found and "reader's key" in found
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_key_of_the_server_is_refused_at_the_start(folder):
    for given in (folder / "server.pub", folder / "nothing.sec"):
        done = subprocess.run(
            [*MODOS, "serve", str(folder / "data"), "--port", "0", "--index-key", str(given)], capture_output=True, timeout=60
        )
        assert done.returncode in (2, 3) and b"Traceback" not in done.stderr


def test_neither_key_nor_passphrase_is_in_the_words_of_the_process(folder, server):
    process, _ = server
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
    secret: SecretKey = load_secret_key(folder / "server.sec")
    assert secret.raw not in words and secret.raw.hex().encode() not in words
