"""The gateway over a slow S3: round trips and bytes of a region, against `modos stream`, and a file read from end to end.

python gateway.py [FOLDER]: keeps its files in the folder, and uses MinIO where that is installed (`make test-stack`), else moto.
Prints each figure with the one to reach.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from regions import write_genotypes, write_short_reads
from streaming import MODOS

from modos.api import MODO
from modos.encryption.keys import generate
from modos.gateway import open_gateway
from modos.storage.s3 import S3Storage

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

DELAY = 0.03  # seconds
LENGTH = 5_000_000  # bases
KEYS = {"key": "modos-bench", "secret": "modos-bench"}
MINIO = Path(os.environ.get("STACK_CACHE") or Path.home() / ".cache/modos/stack") / "bin" / "minio"
REGION = "chr1:2,000,001-2,010,000"
REGIONS = (REGION, "chr1:1,234,567-1,244,566", "chr1:3,000,001-3,050,000", "chr1:4,000,001-4,000,100", "chr1:100,001-1,100,000")
FILES = ("short.bam", "short.cram", "calls.vcf.gz")
BUCKET = "bench"


@contextmanager
def serving_s3(folder: Path) -> Iterator[str]:
    """Run an S3 server on the loopback address; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if MINIO.is_file():
        command = [str(MINIO), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "s3")]
    else:
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"MINIO_ROOT_USER": KEYS["key"], "MINIO_ROOT_PASSWORD": KEYS["secret"]}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if not asked.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def make_objects(folder: Path) -> Path:
    """Make an object with reads and variants, and one with the same sealed; returns the secret key."""
    if not (folder / "calls.vcf.gz").exists():
        write_short_reads(folder / "short.bam", LENGTH * 30 // 150, LENGTH)
        for words in (
            ["view", "-C", "--output-fmt-option", "no_ref=1", "-o", "short.cram", "short.bam"],
            ["index", "short.cram"],
        ):
            subprocess.run(["samtools", *words], cwd=folder, check=True)
        write_genotypes(folder / "calls.vcf.gz", 200_000, length=LENGTH)
    if not (folder / "me.sec").exists():
        generate(folder / "me.sec", folder / "me.pub", None)
    for name in ("plain", "sealed"):
        shutil.rmtree(folder / name, ignore_errors=True)
        modo = MODO(folder / name)
        for file in FILES:
            kind = "VariantSet" if "vcf" in file else "AlignmentSet"
            modo.add_element({"id": file.partition(".")[2].replace(".", ""), "@type": kind}, folder / file)
    MODO(folder / "sealed").encrypt([folder / "me.pub"])
    return folder / "me.sec"


def bench_regions(url: str, folder: Path, key: Path) -> None:
    """Count the requests and the bytes of regions by `modos stream`, and by samtools and bcftools through the gateway."""
    for name in ("plain", "sealed"):
        for file in FILES:
            for region in REGIONS:
                with Proxy(url, delay=DELAY) as near:
                    words = ["--secret-key", str(key)] if name == "sealed" else []
                    begin = time.perf_counter()
                    count_streamed(near.url, f"s3://{BUCKET}/{name}/{file}", region, words)
                    streamed = near.count, near.answered, time.perf_counter() - begin
                with (
                    Proxy(url, delay=DELAY) as near,
                    opened(near.url, name, key) as gateway,
                    tempfile.TemporaryDirectory() as empty,
                ):
                    before = near.count, near.answered
                    begin = time.perf_counter()
                    read_region(gateway.addresses[file], region, empty)
                    through = near.count - before[0], near.answered - before[1], time.perf_counter() - begin
                    asked = [f"{path.rpartition('/')[2][:30]} {part}" for _, path, part in near.requests[before[0] :]]
                print(
                    f"{name:<6} {file:<12} {region:<25} stream {streamed[0]:3} requests {streamed[1]:9,} bytes {streamed[2]:.2f} s   "
                    f"gateway {through[0]:3} requests {through[1]:9,} bytes {through[2]:.2f} s   "
                    f"{through[0] - streamed[0]:+d} (goal <= +2), {through[1] / streamed[1]:.2f} x (goal <= 1.2)",
                    flush=True,
                )
                if os.environ.get("VERBOSE"):
                    print("\n".join(asked))


def bench_sequential(url: str, folder: Path, key: Path) -> None:
    """Read a whole file by curl through the gateway, and by `modos stream`, in turn."""
    for name in ("plain", "sealed"):
        ratios, speeds = [], []
        size = (folder / "short.bam").stat().st_size
        for _ in range(5):
            with Proxy(url, delay=DELAY) as near:
                words = ["--secret-key", str(key)] if name == "sealed" else []
                begin = time.perf_counter()
                environment = os.environ | s3_environment(near.url)
                command = [MODOS, "-q", "stream", "--raw", *words, f"s3://{BUCKET}/{name}/short.bam"]
                subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
                ours = time.perf_counter() - begin
            with Proxy(url, delay=DELAY) as near, opened(near.url, name, key) as gateway:
                begin = time.perf_counter()
                subprocess.run(["curl", "-sf", "-o", "/dev/null", gateway.addresses["short.bam"]], check=True)
                through = time.perf_counter() - begin
            ratios.append(ours / through)
            speeds.append((size / ours / 1e6, size / through / 1e6))
        print(
            f"{name:<6} {size:,} bytes: stream {median(a for a, _ in speeds):.0f} MB/s, gateway {median(b for _, b in speeds):.0f} "
            f"MB/s, {median(ratios):.2f} (goal >= 0.7)",
            flush=True,
        )


def opened(url: str, name: str, key: Path):
    """Open the gateway of an object."""
    secret = key if name == "sealed" else None
    return open_gateway(f"s3://{BUCKET}/{name}", services={"s3": url}, s3_kwargs=KEYS, secret_key=secret, told=print)


def s3_environment(url: str) -> dict[str, str]:
    """Return what tells a program of the S3 server."""
    return {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEYS["key"], "AWS_SECRET_ACCESS_KEY": KEYS["secret"]}


def count_streamed(url: str, file: str, region: str, words: list[str]) -> None:
    """Stream a region by the command."""
    command = [MODOS, "-q", "stream", "-r", region, *words, file]
    subprocess.run(command, env=os.environ | s3_environment(url), stdout=subprocess.DEVNULL, check=True)


def read_region(address: str, region: str, folder: str) -> None:
    """Read a region by samtools or bcftools, in an empty folder: they keep indexes where they run."""
    region = region.replace(",", "")
    words = ["bcftools", "view", "-H", "-r", region, address] if "vcf" in address else ["samtools", "view", address, region]
    subprocess.run(words, cwd=folder, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Run all."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="modos-bench-"))
    folder.mkdir(exist_ok=True)
    key = make_objects(folder)
    shutil.rmtree(folder / "s3", ignore_errors=True)
    with serving_s3(folder) as url:
        S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=url, s3_kwargs=KEYS).create_bucket()
        for name in ("plain", "sealed"):
            MODO(folder / name).upload(f"s3://{BUCKET}/{name}", services={"s3": url}, s3_kwargs=KEYS)
        if "sequential" not in sys.argv[2:]:
            bench_regions(url, folder, key)
        if "regions" not in sys.argv[2:]:
            bench_sequential(url, folder, key)


if __name__ == "__main__":
    main()
