"""Zarr trees of 50,000 chunks: added, encrypted, opened and shared, against one file, `cp -r` and `aws s3 sync`; AnnData from S3.

The comparison with S3 needs the real stack and the AWS command line (`benchmarks/stack.py` says how), AnnData its package.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import stack as services
import zarr
from encryption import peak
from streaming import MODOS

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.encryption.keys import SecretKey

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from proxy import Proxy

CHUNKS, CHUNK = 50_000, 20_000  # 1 GB
CELLS, GENES = 20_000, 2_000
DELAY = 0.03


def write_tree(path: Path) -> None:
    """An array of many small chunks."""
    group = zarr.open_group(path, mode="w")
    group.create_array("x", shape=(CHUNKS * CHUNK,), chunks=(CHUNK,), dtype="u1", compressors=None)
    folder, data = path / "x" / "c", os.urandom(CHUNK + CHUNKS)
    folder.mkdir()
    for number in range(CHUNKS):
        (folder / str(number)).write_bytes(data[number : number + CHUNK])


def clock(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def bench_local(folder: Path) -> None:
    """A tree against one file of as many bytes: both in objects."""
    with open(folder / "one.tsv", "wb") as file:
        for _ in range(CHUNKS * CHUNK // 10_000_000):
            file.write(os.urandom(10_000_000))
    me, objects = SecretKey.random(), {"tree": MODO(folder / "tree"), "file": MODO(folder / "file")}
    copied = clock(lambda: subprocess.run(["cp", "-r", "big.zarr", "copy"], cwd=folder, check=True))
    shutil.rmtree(folder / "copy")
    element = {"id": "m", "@type": "DataEntity", "data_format": "TSV"}
    added = clock(lambda: objects["tree"].add_element(element | {"data_format": "Zarr"}, folder / "big.zarr"))
    objects["file"].add_element(element, folder / "one.tsv")
    print(f"{'add a tree of 1 GB':<34} modos {added:6.2f} s   cp -r {copied:6.2f} s   ratio {copied / added:5.2f}", flush=True)
    for name, act in (("encrypt", lambda modo: modo.encrypt(me.public)), ("decrypt", lambda modo: modo.decrypt(me))):
        tree, file = (clock(lambda modo=modo: act(modo)) for modo in objects.values())
        print(f"{f'{name} a tree of 1 GB':<34} tree {tree:6.2f} s   file {file:6.2f} s   ratio {file / tree:5.2f}  (goal 0.6)")
        if name == "encrypt":
            shared = clock(lambda: objects["tree"].share(me, SecretKey.random().public))
            print(f"{'share it with one more':<34} {shared:.2f} s  (goal 1 s)", flush=True)


def bench_s3(folder: Path) -> None:
    """A tree brought to S3, against the AWS command line."""
    aws = os.environ.get("AWS_CLI") or shutil.which("aws")
    if not aws:
        print("a tree to S3: no AWS command line here (AWS_CLI)")
        return
    state = folder / "state"
    services.stack(state, "up")
    try:
        file = configparser.ConfigParser(interpolation=None)
        file.read(state / "secrets/server-credentials")
        environment = os.environ | {"AWS_ENDPOINT_URL": services.URL, "AWS_DEFAULT_REGION": "us-east-1"}
        environment |= {key.upper(): value for key, value in file["default"].items()}
        subprocess.run([MODOS, "create", "s3://modos-demo/tree"], cwd=folder, env=environment, check=True, capture_output=True)
        add = [MODOS, "-q", "add", "s3://modos-demo/tree", "data", "-e", '{"id": "m", "@type": "DataEntity"}', "-s", "big.zarr"]
        ours, memory = peak(add, folder, environment)
        sync = [aws, "--endpoint-url", services.URL, "s3", "sync", "--quiet", "big.zarr", "s3://modos-demo/other/big.zarr"]
        theirs, _ = peak(sync, folder, environment)
        print(
            f"{'add a tree of 50,000 chunks to S3':<34} modos {ours:6.2f} s, {memory} MB   aws s3 sync {theirs:6.2f} s   "
            f"ratio {theirs / ours:5.2f}  (goal 0.9; <= 200 MB)",
            flush=True,
        )
    finally:
        services.stack(state, "down")


def bench_anndata(folder: Path) -> None:
    """1,000 cells and 50 genes of an AnnData on S3, 30 ms away: opened lazily through modos, plain and encrypted, and by anndata."""
    if importlib.util.find_spec("anndata") is None:
        print("AnnData from S3: the package is not installed")
        return
    import anndata
    import scipy.sparse

    matrix = scipy.sparse.random(CELLS, GENES, density=0.05, format="csr", dtype="f4", random_state=1)
    anndata.AnnData(matrix).write_zarr(folder / "counts.zarr")
    me, cells = SecretKey.random(), np.sort(np.random.default_rng(1).choice(CELLS, 1_000, replace=False))
    with run_stack() as running, Proxy(running.s3) as proxy:
        place = {"services": {"s3": running.s3}, "s3_kwargs": CREDENTIALS}
        modo = MODO(f"s3://{BUCKET}/bench", **place)
        for name in ("plain", "sealed"):
            element = {"id": name, "@type": "DataEntity", "data_path": f"{name}.zarr"}
            modo.add_element(element, folder / "counts.zarr")
        modo.encrypt(me.public, elements=["data/sealed"])
        far = MODO.open(f"s3://{BUCKET}/bench", services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        proxy.delay = DELAY

        def take(open_it: Callable[[], anndata.AnnData]) -> tuple[float, int]:
            proxy.requests.clear()
            begin = time.perf_counter()
            open_it()[cells, :50].to_memory()
            return time.perf_counter() - begin, len(proxy.requests)

        options = {"client_kwargs": {"endpoint_url": proxy.url}} | CREDENTIALS
        store = zarr.storage.FsspecStore.from_url(f"s3://{BUCKET}/bench/plain.zarr", storage_options=options, read_only=True)
        theirs = take(lambda: anndata.experimental.read_lazy(store))
        for name, goal, given in (("plain", 1.1, {}), ("sealed", 1.3, {"secret_key": me})):
            ours = take(lambda name=name, given=given: far[f"data/{name}"].to_anndata(lazy=True, **given))
            print(
                f"{f'1,000 cells of AnnData, {name}':<34} modos {ours[0]:6.2f} s, {ours[1]} requests   anndata {theirs[0]:6.2f} s, "
                f"{theirs[1]} requests   {ours[0] / theirs[0]:5.2f} x the time, {ours[1] / max(theirs[1], 1):.2f} x the requests  "
                f"(goal {goal})",
                flush=True,
            )


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory(prefix="modos-bench-") as name:
        folder = Path(name)
        write_tree(folder / "big.zarr")
        bench_local(folder)
        bench_s3(folder)
        bench_anndata(folder)
