"""Read logs that tests write, change and kill."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from modos.encryption.keys import SecretKey, load_public_key
from modos.readlog import heads
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.log_verification import LogReader, verify
from modos.readlog.read_entries import entry_to_line, now_in_text
from modos.storage import open_storage


def entry(number, **more):
    return {"event": "granted", "id": f"{number}", "time": now_in_text()} | more


def write_chain(place, secret, count=6, *, size=None, each=1, close=True, first=0, **options):
    """Write a chain of so many entries, and return its name."""
    chain = ChainWriter(open_storage(place), secret.public, Limits(size, **options))
    chain.begin()
    for number in range(first, first + count, each):
        chain.append([entry_to_line(entry(one)) for one in range(number, min(number + each, first + count))])
    name = chain.chain
    chain.close() if close else chain.abandon()
    return name


def problems(place, secret=None, noted=()):
    return verify(open_storage(place), secret, noted).problems


def entries(place, secret):
    return [found for _, _, found in LogReader(open_storage(place), secret).entries()]


class Killing:
    """The module `os`, with which a process is killed at a call that writes: before, after, or in the middle of it.

    A head is never written in part: it lies within one sector of a disk, and one page of memory.
    """

    CALLS = ("open", "pwrite", "mkdir", "rename", "fsync", "ftruncate", "makedirs")

    def __init__(self, at: int, how: str):
        self._left, self._how = at, how

    def __getattr__(self, name):
        found = getattr(os, name)
        if name not in self.CALLS:
            return found

        def call(*words, **options):
            self._left -= 1
            if self._left == 0 and self._how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._left == 0 and self._how == "within" and name == "pwrite" and len(words[1]) != heads.SIZE:
                found(words[0], bytes(words[1])[: len(words[1]) // 2], words[2])
                os.kill(os.getpid(), signal.SIGKILL)
            result = found(*words, **options)
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


def main() -> None:
    """Write entries one by one, and tell on stdout which are written; the process kills itself at a call."""
    place, key, at, how = sys.argv[1:]
    from modos.readlog import log_places

    log_places.os = Killing(int(at), how)
    chain = ChainWriter(open_storage(Path(place)), load_public_key(key), Limits(2_000))
    for number in range(12):
        chain.append([entry_to_line(entry(number))])
        print(number, flush=True)
    chain.close()
    print("closed", flush=True)


def make_key(folder) -> SecretKey:
    """Make a secret key, and the file of the public one: dpo.pub."""
    secret = SecretKey.random()
    (folder / "dpo.pub").write_bytes(secret.public.to_pem())
    return secret


if __name__ == "__main__":
    main()
