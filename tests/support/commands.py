"""Run commands of modos: each a process of its own.

`make test-all` starts each with `python -c`; `make test` forks it from a process that has loaded all there is to load.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from tests.support import zygote
from tests.support.sampling import ALL

MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]


def start(words: Iterable, **options) -> subprocess.Popen:
    """Start `modos WORDS`; the options are those of `subprocess.Popen`."""
    words = [word if isinstance(word, bytes) else str(word) for word in words]
    if ALL or not zygote.fits(options):
        return subprocess.Popen([*MODOS, *words], **options)
    return zygote.Forked(words, **options)


def run(
    words: Iterable, *, input=None, timeout=None, check=False, capture_output=False, **options
) -> subprocess.CompletedProcess:
    """Run `modos WORDS`; the options are those of `subprocess.run`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with start(words, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done
