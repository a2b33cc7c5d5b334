"""Crypt4GH against the crypt4gh package and cp: files, objects, memory, regions, sharing.

Each case runs both sides in turn and prints the median of the ratios, with the ratio to reach.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from regions import write_short_reads
from streaming import MODOS

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.encryption.keys import SecretKey

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

PACKAGE = f"{sys.executable} -m crypt4gh"
SIZE = 1_000_000_000
SEAL = """
import os, sys
from modos.encryption import body, header, keys
source, target, public = sys.argv[1:]
key = os.urandom(32)
with open(source, "rb") as file, open(target, "wb") as out:
    out.write(header.encrypt_header(key, keys.as_public_keys(public)))
    for part in body.encrypt(iter(lambda: file.read(body.PIECE), b""), key):
        out.write(part)
"""
OPEN = """
import sys
from modos.encryption import body, header, keys
source, target, secret = sys.argv[1:]
with open(source, "rb") as file, open(target, "wb") as out:
    def read(start, end):
        file.seek(start)
        return file.read(end - start)
    found = header.read_header(read)
    file.seek(found.size)
    for part in body.decrypt(iter(lambda: file.read(body.SEALED_PIECE), b""), found.decrypt(keys.as_secret_key(secret)).keys):
        out.write(part)
"""


def shell(command: str, folder: Path) -> Callable[[], float]:
    """How long a command takes that writes `out`, a file that is not there before."""

    def run() -> float:
        (folder / "out").unlink(missing_ok=True)
        bytearray(b"\1") * (3 * SIZE)  # a virtual machine's host takes memory back, and whoever comes first waits for it
        begin = time.perf_counter()
        subprocess.run(["bash", "-c", command], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - begin

    return run


Timed = Callable[[], float]


def compare(cases: dict[str, tuple[Timed, Timed, float]], rounds: int = 5) -> None:
    """Print for each case how many times as fast modos is as the package, and how fast that should be; the cases take turns."""
    found: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, (ours, theirs, _goal) in cases.items():
            found[case].append((ours(), theirs()))
    for case, pairs in found.items():
        mine, its = (median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = median(b / a for a, b in pairs)
        print(f"{case:<34} modos {mine:6.2f} s   package {its:6.2f} s   ratio {ratio:5.2f}  (goal {cases[case][2]})", flush=True)


def bench_files(folder: Path) -> None:
    """A file of 1 GB, from file to file: sealing and opening alone."""
    (folder / "seal.py").write_text(SEAL)
    (folder / "open.py").write_text(OPEN)
    subprocess.run([sys.executable, "seal.py", "plain", "sealed.c4gh", "me.pub"], cwd=folder, check=True)
    for cores, where, goals in (("", "two cores", (1.8, 2.2)), ("taskset -c 0 ", "one core", (1.2, 1.6))):
        compare(
            {
                f"seal 1 GB, {where}": (
                    shell(f"{cores}{sys.executable} seal.py plain out me.pub", folder),
                    shell(f"{cores}{PACKAGE} encrypt --recipient_pk me.pub < plain > out", folder),
                    goals[0],
                ),
                f"open 1 GB, {where}": (
                    shell(f"{cores}{sys.executable} open.py sealed.c4gh out me.sec", folder),
                    shell(f"{cores}{PACKAGE} decrypt --sk me.sec < sealed.c4gh > out", folder),
                    goals[1],
                ),
            }
        )


def peak(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[float, int]:
    """Seconds and peak memory in MB of a command."""
    begin, memory = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        memory = max(memory, int(match[1]) // 1024 if match else 0)
        time.sleep(0.02)
    assert process.returncode == 0, command
    return time.perf_counter() - begin, memory


def bench_object(folder: Path) -> None:
    """An object with a file of 1 GB, whole commands: digests, a check of each segment, flushing to the disk, and a commit."""
    modo = MODO(folder / "ex")
    modo.add_element({"id": "large", "@type": "DataEntity", "data_format": "TSV", "data_path": "large.tsv"}, folder / "plain")
    encrypt, decrypt = (
        f"{PACKAGE} encrypt --recipient_pk me.pub < plain > out",
        f"{PACKAGE} decrypt --sk me.sec < sealed.c4gh > out",
    )
    seal, unseal = (shell(f"{MODOS} c4gh {words} ex", folder) for words in ("encrypt -p me.pub", "decrypt -s me.sec"))
    compare({"encrypt an object of 1 GB": (seal, shell(encrypt, folder), 1.3), "decrypt": (unseal, shell(decrypt, folder), 1.5)})
    print("where the package's command removes a file of 1 GB, too, as modos does:")
    encrypt, decrypt = f"{encrypt} && rm out", f"{decrypt} && rm out"
    compare({"encrypt an object of 1 GB": (seal, shell(encrypt, folder), 1.3), "decrypt": (unseal, shell(decrypt, folder), 1.5)})
    other = SecretKey.random()
    _, memory = peak([MODOS, "c4gh", "encrypt", "-p", "me.pub", "ex"], folder)
    modo = MODO(folder / "ex")
    begin = time.perf_counter()
    modo.share(folder / "me.sec", other.public)
    shared = time.perf_counter() - begin
    copied = shell("cp plain out", folder)()
    _, memory_too = peak([MODOS, "c4gh", "decrypt", "-s", "me.sec", "ex"], folder)
    print(
        f"{'object of 1 GB':<34} share {shared:.2f} s, cp {copied:.2f} s; peak memory {max(memory, memory_too)} MB  "
        "(goal <= 100 MB; share >= 0.9 of cp)",
        flush=True,
    )


def bench_region(folder: Path) -> None:
    """A region of an encrypted BAM on S3, against the plain one."""
    write_short_reads(folder / "short.bam", 3_000_000)
    plain = MODO(folder / "plain-ex")
    plain.add_element({"id": "short", "@type": "AlignmentSet"}, folder / "short.bam")
    with run_stack() as services, Proxy(services.s3) as proxy:
        found = {}
        for name in ("plain", "encrypted"):
            url = f"s3://{BUCKET}/{name}"
            MODO.open(folder / "plain-ex").upload(url, endpoint=services.endpoint, s3_kwargs=CREDENTIALS)
            if name == "encrypted":
                MODO.open(url, services={"s3": services.s3}, s3_kwargs=CREDENTIALS).encrypt(folder / "me.pub")
            modo = MODO.open(url, services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
            proxy.answered, begin = 0, time.perf_counter()
            count = modo.count("short.bam", "chr1:50000000-50200000", secret_key=folder / "me.sec")
            found[name] = count, proxy.answered, time.perf_counter() - begin
        (count, plain_bytes, plain_time), (again, sealed_bytes, sealed_time) = found["plain"], found["encrypted"]
        assert count == again
        print(
            f"{'200 kb of a BAM on S3':<34} encrypted {sealed_bytes:,} bytes, {sealed_time:.2f} s   plain {plain_bytes:,} bytes, "
            f"{plain_time:.2f} s   {sealed_bytes / plain_bytes:.2f} x the bytes (goal <= 1.2), {sealed_time / plain_time:.2f} x "
            "the time (goal <= 2)"
        )


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder = Path(name)
        with open(folder / "plain", "wb") as file:
            for _ in range(SIZE // 10_000_000):
                file.write(os.urandom(10_000_000))
        subprocess.run([MODOS, "c4gh", "keygen", "--no-passphrase", "me.sec"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        bench_files(folder)
        bench_object(folder)
        shutil.rmtree(folder / "ex")
        bench_region(folder)
