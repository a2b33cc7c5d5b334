"""The genome browser in Chromium, its objects on MinIO 30 ms away: reads on the screen, a track over a chromosome, panning.

Needs MinIO, which `deploy/native/install` installs, and Chromium (`MODOS_CHROMIUM`, /usr/bin/chromium where it is not set).
Each round has a new server and a new browser, so that nothing is known yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import requests
from catalog import BUCKET, KEYS, MINIO, report, serve

from modos.api import MODO
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/support"))
from proxy import Proxy

CHROMIUM = os.environ.get("MODOS_CHROMIUM") or "/usr/bin/chromium"
DELAY, ROUNDS = 0.03, 5
LENGTH, DEPTH, CHROMOSOME = 5_000_000, 30, 248_956_422
DRAWN = """([type, start, end]) => {
    const found = modosBrowser.trackViews.find(one => one.track.type === type && (type === 'alignment' || one.track.name.startsWith('signal')));
    const part = found && found.viewports[0], kept = part && part.featureCache;
    return Boolean(kept && part.canvas && !part.loading && kept.bpStart <= start && kept.bpEnd >= end);
}"""


def write_reads(path: Path, bases: np.ndarray) -> None:
    """Sorted reads of 150 bases of a reference, of which one base in 200 is another, and four qualities; and their index."""
    chance = np.random.default_rng(1)
    letters, levels = np.frombuffer(b"ACGT", np.uint8), np.frombuffer(b"#,:F", np.uint8)
    starts = np.sort(chance.integers(0, LENGTH - 400, LENGTH * DEPTH // 150))
    writer = subprocess.Popen(["samtools", "view", "-b", "-@1", "-o", str(path), "-"], stdin=subprocess.PIPE, text=True)
    assert writer.stdin
    writer.stdin.write(f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:{LENGTH}\n")
    for begin in range(0, len(starts), 10_000):
        places = starts[begin : begin + 10_000]
        found = bases[places[:, None] + np.arange(150)]
        found = np.where(chance.random(found.shape) < 1 / 200, letters[chance.integers(0, 4, found.shape)], found)
        qualities = levels[chance.choice(4, found.shape, p=[0.02, 0.05, 0.13, 0.8])]
        writer.stdin.writelines(
            f"A00:1:{begin + number}\t99\tchr1\t{place + 1}\t60\t150M\t=\t{place + 201}\t350\t{found[number].tobytes().decode()}\t"
            f"{qualities[number].tobytes().decode()}\tRG:Z:a\n"
            for number, place in enumerate(places.tolist())
        )
    writer.stdin.close()
    assert writer.wait() == 0
    subprocess.run(["samtools", "index", str(path)], check=True)


def make_object(folder: Path) -> None:
    """Reads of 30x on their reference, and a track along a chromosome of the size of the human first."""
    bases = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(3).integers(0, 4, LENGTH)]
    write_reads(folder / "reads.bam", bases)
    letters = bases.tobytes().decode()
    lines = "\n".join(letters[at : at + 60] for at in range(0, LENGTH, 60))
    (folder / "bases.fa").write_text(f">chr1\n{lines}\n")
    values = np.random.default_rng(4).integers(0, 1000, CHROMOSOME // 100)
    with open(folder / "signal.bedGraph", "w") as file:
        file.writelines(f"chr1\t{number * 100}\t{number * 100 + 100}\t{value}\n" for number, value in enumerate(values.tolist()))
    (folder / "sizes").write_text(f"chr1\t{CHROMOSOME}\n")
    modo = MODO.create(folder / "ex")
    modo.add_element({"@type": "ReferenceGenome", "id": "bases"}, folder / "bases.fa")
    reads = {"@type": "AlignmentSet", "id": "reads", "data_format": "BAM", "has_reference": ["reference/bases"]}
    modo.add_element(reads, folder / "reads.bam")
    modo.add_genome(sizes=folder / "sizes", id="grid")
    modo.add_track("signal", folder / "signal.bedGraph")


def upload(folder: Path, url: str) -> None:
    """Bring the files of the object to MinIO as they are."""
    storage = open_storage(f"s3://{BUCKET}", s3_url=url, s3_kwargs=KEYS)
    for path in (folder / "ex").rglob("*"):
        if path.is_file():
            storage.write_stream(f"ex/{path.relative_to(folder / 'ex')}", iter([path.read_bytes()]), size=path.stat().st_size)


def iter_rounds(browser: Any, s3: str, rounds: int = ROUNDS) -> Iterator[tuple[Any, str, list[str]]]:
    """Yield a page of a browser that knows nothing, the URL of a server that knows nothing, and what is asked of it."""
    for _ in range(rounds):
        with BackgroundServer(create_app(open_storage(f"s3://{BUCKET}", s3_url=s3, s3_kwargs=KEYS))) as server:
            context, asked = browser.new_context(viewport={"width": 1280, "height": 900}), list[str]()
            page = context.new_page()
            page.on("request", lambda request, asked=asked: "/assets/" in request.url or asked.append(request.url))
            yield page, server.url, asked
            context.close()


def wait(page: Any, kind: str, start: int, end: int) -> None:
    """Wait until a place is drawn."""
    page.wait_for_function("given => window.modosBrowser && (" + DRAWN + ")(given)", arg=[kind, start, end], polling="raf")


def time_call(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def bench_reads(browser: Any, s3: str) -> None:
    """From opening a link, and from a jump elsewhere, to reads on the screen."""
    opened, jumped = [], []
    for page, url, _ in iter_rounds(browser, s3):
        address = f"{url}/genome?element=ex/data/reads&locus=chr1:4,000,001-4,010,000"

        def open_link(page: Any = page, address: str = address) -> None:
            page.goto(address)
            wait(page, "alignment", 4_000_000, 4_010_000)

        def jump(page: Any = page) -> None:
            page.locator("#jump button").click()
            wait(page, "alignment", 2_000_000, 2_010_000)

        opened.append(time_call(open_link))
        page.wait_for_load_state("networkidle")
        page.locator("#locus").fill("chr1:2,000,001-2,010,000")
        jumped.append(time_call(jump))
    report("10 kb of 30x, from the click on a link", median(opened), "s", 1.5)
    report("10 kb of 30x, from the click on Go", median(jumped), "s", 1.5)


def bench_track(browser: Any, s3: str) -> None:
    """A track over a whole chromosome: the answer, and on the screen."""
    first, again, drawn = [], [], []
    for page, url, _ in iter_rounds(browser, s3):
        params = {"region": f"chr1:1-{CHROMOSOME}", "bins": 2000}

        def ask(url: str = url, params: dict = params) -> None:
            answer = requests.get(
                f"{url}/bins/ex/data/signal", params=params, headers={"Accept": "application/octet-stream"}, timeout=60
            )
            assert answer.status_code == 200 and len(answer.content) == 24_000

        first.append(time_call(ask))
        again.append(time_call(ask))
        page.goto(f"{url}/genome?element=ex/data/signal&locus=chr1:100,000,001-100,010,000")
        wait(page, "wig", 100_000_000, 100_010_000)
        page.wait_for_load_state("networkidle")
        page.locator("#locus").fill("chr1")

        def show(page: Any = page) -> None:
            page.locator("#jump button").click()
            wait(page, "wig", 0, CHROMOSOME)

        drawn.append(time_call(show))
    report("2,000 bins of a chromosome, the first answer", 1000 * median(first), "ms", 300)
    report("2,000 bins of a chromosome, again", 1000 * median(again), "ms", 300)
    report("a chromosome on the screen, from the click on Go", 1000 * median(drawn), "ms", 300)


def bench_panning(browser: Any, s3: str) -> None:
    """Three steps to the right and back: nothing is asked for twice."""
    for page, url, asked in iter_rounds(browser, s3, 1):
        page.goto(f"{url}/genome?element=ex/data/reads&locus=chr1:4,000,001-4,010,000")
        wait(page, "alignment", 4_000_000, 4_010_000)
        page.wait_for_load_state("networkidle")
        counts = [len(asked)]
        for step in ("right", "left"):
            for _ in range(3):
                page.locator(f"[data-step={step}]").click()
                page.wait_for_timeout(500)
                page.wait_for_load_state("networkidle")
            counts.append(len(asked))
        first, there, back = counts
        print(f"panning: {first} requests to show the view, {there - first} to the right, {back - there} on the way back")
        twice = [url for url, count in Counter(asked).items() if count > 1]
        report("panning: requests on the way back", back - there, "requests", 0)
        report("panning: addresses that were asked twice", len(twice), "addresses", 0)


def main() -> None:
    """Print the figures."""
    from playwright.sync_api import sync_playwright

    if not MINIO.exists():
        print("no MinIO here: deploy/native/install")
        return
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="modos-bench-", dir=shared) as name, sync_playwright() as playwright:
        folder = Path(name)
        make_object(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with serve(folder / "s3") as url, Proxy(url) as proxy:
            upload(folder, url)
            proxy.delay = DELAY
            bench_reads(browser, proxy.url)
            bench_track(browser, proxy.url)
            bench_panning(browser, proxy.url)
        browser.close()


if __name__ == "__main__":
    main()
