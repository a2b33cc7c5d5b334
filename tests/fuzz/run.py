"""Fuzz readers by hand, as long as one likes: `python tests/fuzz/run.py [NAME ...] [--seconds N] [--atheris]`.

What is found is put into the corpus, where the tests try it from then on. A
crash of the process is found, too: each reader runs in a child with a limit on
its memory. `--atheris` (package atheris, one NAME) goes by coverage.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
trying = importlib.import_module("tests.fuzz.trying")
TARGETS = importlib.import_module("tests.fuzz.targets").TARGETS
MEMORY = 6 << 30  # bytes of address space
BATCH = 30.0  # seconds of one child
SLOWEST = 150.0  # seconds of one file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each")
    parser.add_argument("--atheris", action="store_true", help="go by coverage; has to be installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modos-fuzz-home-") as home:
        _leave_settings(home)
        _go(asked)


def _leave_settings(home: str) -> None:
    """Neither use nor change what the user has."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MODOS_")) or name in ("REF_PATH", "REF_CACHE"):
            del os.environ[name]
    tempfile.tempdir = home
    os.environ |= {
        "HOME": home,
        "TMPDIR": home,
        "XDG_STATE_HOME": home,
        "MODOS_CACHE_DIR": home,
        "MODOS_CONFIG_DIR": home,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _go(asked: argparse.Namespace) -> None:
    for name in asked.names or TARGETS:
        if asked.atheris:
            go_by_coverage(name, asked.seconds)
        else:
            go_by_chance(name, asked.seconds)


def go_by_chance(name: str, seconds: float) -> None:
    end, seed, tried, found = time.monotonic() + seconds, time.time_ns(), 0, set()
    while time.monotonic() < end:
        seed += 1
        count, data, reason = _in_child(name, seed, min(BATCH, end - time.monotonic()))
        tried += count
        if data is not None and (kind := reason.partition(": ")[0]) not in found:
            found.add(kind)
            print(f"{name}: {_keep(name, data)}: {reason}", flush=True)
    print(f"{name}: {tried:,} files tried, {len(found)} found", flush=True)


def _in_child(name: str, seed: int, seconds: float) -> tuple[int, bytes | None, str]:
    """How many files were tried, and the first that was wrongly read with the reason."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_try_many, args=(name, seed, seconds, theirs))
    child.start()
    theirs.close()
    tried, data = 0, None
    try:
        while ours.poll(SLOWEST):
            kind, value = ours.recv()
            if kind == "try":
                tried, data = tried + 1, value
            elif kind == "wrong":
                return tried, data, value
            else:
                return tried, None, ""
        child.kill()
        return tried, data, f"it takes more than {SLOWEST:.0f} s"
    except EOFError:
        child.join()
        return tried, data, f"the process ended with {child.exitcode}"
    finally:
        child.join()


def _try_many(name: str, seed: int, seconds: float, out: multiprocessing.connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    target = TARGETS[name]
    whole = target.seeds()[:1]  # before the clock runs: what is imported is loaded with it
    for data in chain(whole, trying.mutations(target, seed, seconds)):
        out.send(("try", data))
        try:
            trying.attempt(target, data)
        except BaseException as error:
            out.send(("wrong", _reason(error)))
            return
    out.send(("end", b""))


def _reason(error: BaseException) -> str:
    """The kind of an error and where in modos, or in a target, it comes from, which tell it from others; then what it says."""
    frames = [
        frame
        for frame in traceback.extract_tb((error.__context__ or error).__traceback__)
        if "site-packages" not in frame.filename and Path(frame.filename).is_file()
    ]
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}: {str(error)[:300]}"


def _keep(name: str, data: bytes) -> Path:
    path = trying.CORPUS / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def go_by_coverage(name: str, seconds: float) -> None:
    import atheris

    target = TARGETS[name]

    with atheris.instrument_imports(include=["modos"]):  # a reader imports what it needs when it is called
        for data in target.seeds():
            trying.attempt(target, data)

    def test_one(data: bytes) -> None:
        trying.attempt(target, data)

    begin = Path(os.environ.get("TMPDIR", "/tmp")) / f"modos-fuzz-{os.getuid()}-{name}"
    begin.mkdir(mode=0o700, exist_ok=True)
    for data in target.corpus:
        (begin / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    words = begin.with_suffix(".words")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words if word))
    kept = trying.CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            str(begin),
            f"-max_total_time={int(seconds)}",
            "-rss_limit_mb=6000",
            "-timeout=25",
            f"-dict={words}",
            f"-artifact_prefix={kept}/",
        ],
        test_one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
