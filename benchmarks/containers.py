"""The stack in containers, as docker-compose.yml has it: size of the image, time until all answers, memory of each service.

Needs root, podman, and what `deploy/containers/build` makes; ports 80 and 443.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STACK, PROJECT = ROOT / "deploy/containers/stack", "modos-bench"
IMAGES = ("localhost/modos:0.1.0", "localhost/modos-htsget:0.9.1")


def podman(*words: str) -> str:
    """What podman prints, of the images and containers of `deploy/containers`."""
    script = f'. "{ROOT}/deploy/containers/environment" && exec podman "$@"'
    return subprocess.run(["bash", "-c", script, "podman", *words], check=True, capture_output=True, text=True).stdout.strip()


def bench_images() -> None:
    """Bytes on disk, with the base and without."""
    sizes = {name: int(podman("image", "inspect", "--format", "{{.Size}}", name)) / 1e6 for name in IMAGES}
    base = int(podman("image", "inspect", "--format", "{{.Size}}", "docker.io/library/python:3.12-slim-bookworm")) / 1e6
    print(
        f"image modos {sizes[IMAGES[0]]:.0f} MB, of which the base has {base:.0f} (goal 350)   htsget {sizes[IMAGES[1]]:.0f} MB"
    )


def bench_start(environment: dict[str, str]) -> None:
    """From nothing, and again over the volumes that are there."""
    times = []
    for _ in range(2):
        subprocess.run([sys.executable, STACK, "down"], env=environment, capture_output=True, check=True)
        begin = time.perf_counter()
        subprocess.run([sys.executable, STACK, "up"], env=environment, capture_output=True, check=True)
        times.append(time.perf_counter() - begin)
    print(f"stack ready after {times[0]:.1f} s with new volumes, {times[1]:.1f} s with those  (goal 20)", flush=True)


def bench_memory() -> None:
    """Of each service when nobody asks, and after some regions."""
    modos = Path(sys.executable).parent / "modos"
    names = [f"{PROJECT}_{service}_1" for service in ("s3", "modos", "gateway", "htsget")]
    idle = podman("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).splitlines()
    words = [modos, "--endpoint", "http://localhost", "stream", "-c", "-r", "chr1:20,001-25,000", "s3://modos-demo/ex/demo1.cram"]
    for _ in range(20):
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "969\n"
    used = podman("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).splitlines()
    for name, before, after in zip(names, idle, used):
        print(f"memory {name.split('_')[1]:<8} {before.split(' / ')[0]:>8} idle, {after.split(' / ')[0]:>8} after 20 regions")


def main() -> None:
    """Run all on a stack of its own."""
    if os.geteuid() or not shutil.which("podman"):
        print("containers: need root and podman")
        return
    if subprocess.run([ROOT / "deploy/containers/build"], stderr=subprocess.DEVNULL).returncode:
        print("containers: the images cannot be built here (deploy/containers/build)")
        return
    environment = os.environ | {"COMPOSE_PROJECT_NAME": PROJECT}
    bench_images()
    try:
        bench_start(environment)
        bench_memory()
    finally:
        subprocess.run([sys.executable, STACK, "down", "--volumes"], env=environment, capture_output=True)


if __name__ == "__main__":
    main()
