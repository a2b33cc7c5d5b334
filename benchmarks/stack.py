"""The real stack (Caddy, htsget-rs, MinIO, the modos server): transfers against `aws s3 cp`, streams against curl, a crowd.

Needs what `deploy/native/install` installs, and for the transfers the AWS command line (`aws` on the PATH, or AWS_CLI).
The crowd lasts CROWD seconds (60 where it is not set).
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from encryption import peak
from regions import write_short_reads
from streaming import MODOS

from modos.api import MODO
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

ROOT = Path(__file__).resolve().parents[1]
PORT = 19080
URL, S3 = f"http://localhost:{PORT}", f"http://localhost:{PORT + 1}"
SIZE = 1_000_000_000
CLIENTS, CROWD = 50, float(os.environ.get("CROWD", "60"))


def stack(state: Path, *words: str) -> str:
    """Call `deploy/native/stack`."""
    environment = os.environ | {"MODOS_STACK_STATE": str(state), "MODOS_STACK_PORT": str(PORT)}
    return subprocess.run(
        [sys.executable, ROOT / "deploy/native/stack", *words], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def bench_transfers(folder: Path, environment: dict) -> None:
    """1 GB up and down, in turn with the AWS command line."""
    aws = os.environ.get("AWS_CLI") or shutil.which("aws")
    if not aws:
        print("transfers: no AWS command line here (AWS_CLI)")
        return
    with open(folder / "plain", "wb") as file:
        for _ in range(SIZE // 10_000_000):
            file.write(os.urandom(10_000_000))
    MODO(folder / "large").add_element(
        {"id": "large", "@type": "DataEntity", "data_format": "TSV", "data_path": "large.tsv"}, folder / "plain"
    )
    ours, theirs = {"up": [], "down": []}, {"up": [], "down": []}
    for _ in range(3):
        for way, mine, other in (
            (
                "up",
                [MODOS, "-q", "remote", "upload", "large", "s3://modos-demo/bench"],
                ["s3", "cp", "--quiet", "plain", "s3://modos-demo/bench-aws"],
            ),
            (
                "down",
                [MODOS, "-q", "remote", "download", "s3://modos-demo/bench", "copy"],
                ["s3", "cp", "--quiet", "s3://modos-demo/bench-aws", "out"],
            ),
        ):
            ours[way].append(peak(mine, folder, environment))
            theirs[way].append(peak([aws, "--endpoint-url", URL, *other], folder, environment))
        subprocess.run(
            [aws, "--endpoint-url", URL, "s3", "rm", "--quiet", "--recursive", "s3://modos-demo/bench"],
            env=environment,
            check=True,
        )
        shutil.rmtree(folder / "copy")
    for way in ours:
        ratio = median(b[0] / a[0] for a, b in zip(ours[way], theirs[way]))
        print(
            f"1 GB {way:<5} modos {median(t for t, _ in ours[way]):5.2f} s, {max(m for _, m in ours[way])} MB   "
            f"aws s3 cp {median(t for t, _ in theirs[way]):5.2f} s, {max(m for _, m in theirs[way])} MB   "
            f"ratio {ratio:.2f}  (goal 0.8; <= 150 MB)",
            flush=True,
        )


def bench_stream(folder: Path, environment: dict) -> None:
    """A whole BAM through the gateway: its ticket from htsget-rs and its bytes from MinIO, against curl of the same bytes."""
    write_short_reads(folder / "short.bam", 11_000_000)
    modo = MODO(folder / "reads")
    modo.add_element({"id": "short", "@type": "AlignmentSet"}, folder / "short.bam")
    modo.upload(
        "s3://modos-demo/reads",
        services={"s3": S3},
        s3_kwargs={"key": environment["AWS_ACCESS_KEY_ID"], "secret": environment["AWS_SECRET_ACCESS_KEY"]},
    )
    size = (folder / "short.bam").stat().st_size
    curl, ours = [], []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(f"curl -s {URL}/modos-demo/reads/short.bam | cat > /dev/null", shell=True, check=True)
        middle = time.perf_counter()
        subprocess.run(
            f"{MODOS} --anon --endpoint {URL} stream s3://modos-demo/reads/short.bam | cat > /dev/null", shell=True, check=True
        )
        curl.append(middle - begin)
        ours.append(time.perf_counter() - middle)
    print(
        f"stream {size / 1e6:.0f} MB   modos {median(ours):5.2f} s   curl {median(curl):5.2f} s   ratio "
        f"{median(c / o for c, o in zip(curl, ours)):.2f}  (goal 0.7)",
        flush=True,
    )


def bench_catalogue(environment: dict) -> None:
    """10,000 objects: listed with and without their metadata, cold and warm."""
    credentials = {"key": environment["AWS_ACCESS_KEY_ID"], "secret": environment["AWS_SECRET_ACCESS_KEY"]}
    storage = open_storage("s3://modos-demo", s3_url=S3, s3_kwargs=credentials)
    root = storage.read("ex/data.zarr/zarr.json")[0]
    begin = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: storage.write(f"many/ex{n:05}/data.zarr/zarr.json", root), range(10_000)))
    made, times = time.perf_counter() - begin, {}
    server = open_storage("s3://modos-demo", s3_url=S3, s3_kwargs=credentials)
    with BackgroundServer(create_app(server, max_age=30)) as background:
        for name, path in (
            ("list", "/list"),
            ("list", "/list"),
            ("metadata", "/meta?limit=1000"),
            ("metadata", "/meta?limit=1000"),
            ("search", "/list?search=demo1&limit=100"),
            ("search", "/list?search=demo1&limit=100"),
        ):
            begin = time.perf_counter()
            with urllib.request.urlopen(background.url + path) as answer:
                answer.read()
            times.setdefault(name, []).append(time.perf_counter() - begin)
    print(
        f"10,000 objects (made in {made:.0f} s)   "
        + "   ".join(f"{name}: cold {cold:.2f} s, warm {warm:.3f} s" for name, (cold, warm) in times.items())
        + "   (goal: warm under 1 s)",
        flush=True,
    )


def bench_crowd(state: Path) -> None:
    """Clients that take regions for a while; the memory of the modos server before and after."""
    stop, counts, errors = time.monotonic() + CROWD, [], []

    def take(number: int) -> None:
        modo = MODO.open("s3://modos-demo/ex", endpoint=URL, s3_kwargs={"anon": True})
        done = 0
        while time.monotonic() < stop:
            try:
                start = 1 + (number * 397 + done * 101) % 30_000
                modo.file("demo2.bam").count(f"chr1:{start}-{start + 2000}")
                done += 1
            except Exception as error:
                errors.append(repr(error))
        counts.append(done)

    server = int((state / "modos.pid").read_text().split()[0])
    before = memory_of(server)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(CLIENTS)]
    middle = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(CROWD / 6)
        middle.append(memory_of(server))
    print(
        f"{CLIENTS} clients, {CROWD:.0f} s   {sum(counts):,} regions, {len(errors)} errors {errors[:1]}   modos server "
        f"{before} MB before, {' '.join(map(str, middle))} MB on the way  (goal: no error, flat)",
        flush=True,
    )


def memory_of(pid: int) -> int:
    """MB of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{one}/status").read_text())[1]) for one in (pid, *children)) // 1024


def main() -> None:
    """Run all on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder, state = Path(name), Path(name) / "state"
        begin = time.perf_counter()
        stack(state, "up")
        try:
            print(f"stack from nothing to ready: {time.perf_counter() - begin:.1f} s  (goal 10)")
            file = configparser.ConfigParser(interpolation=None)
            file.read(state / "secrets/server-credentials")
            environment = (
                os.environ
                | {"AWS_ENDPOINT_URL": URL, "AWS_DEFAULT_REGION": "us-east-1"}
                | {name.upper(): value for name, value in file["default"].items()}
            )
            bench_stream(folder, environment)
            bench_crowd(state)
            bench_catalogue(environment)
            bench_transfers(folder, environment)
        finally:
            stack(state, "down")


if __name__ == "__main__":
    main()
