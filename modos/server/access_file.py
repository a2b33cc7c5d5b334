"""Read the files of an access file: tokens and rules, and again when they have changed."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from modos.errors import AccessError, InvalidInputError
from modos.server.panels import FindGenes
from modos.server.rules import AccessFile, read_access
from modos.storage.given import is_pipe, read_given

SHORTEST = 16  # characters of a token
_MAX_TOKENS = 16 << 20  # bytes of a file
_LOOKS = 0.5  # seconds between looks whether the files have changed
_NEW = 0.5  # seconds in which a file may still be being written, and change again with the same time and size
_PATIENCE = 5.0  # seconds to wait for files that go on changing


def read_tokens(path: str | Path) -> dict[str, str]:
    """Read the tokens of a file and their owners: `NAME TOKEN` or `TOKEN` a line; lines that start with `#` are skipped.

    Raises
    ------
    NotFoundError
        No such file.
    AccessError
        Others can read it.
    InvalidInputError
        It has no token, or one that is short or has blanks in it.
    """
    try:
        text = read_given(path, _MAX_TOKENS).decode("ascii")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not a token file", "write one token a line, in plain letters") from None
    if not is_pipe(path) and _is_open(os.stat(path)):
        raise AccessError(f"others can read the token file {path}", f"chmod 600 {path}")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InvalidInputError(f"{path} has no token", "write one a line, such as `openssl rand -hex 32` gives")
    if not all(
        len(words) <= 2 and len(words[-1]) >= SHORTEST and re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", words[-1]) for words in lines
    ):
        raise InvalidInputError(
            f"{path} has a token of less than {SHORTEST} characters, or with others than RFC 6750 has",
            "make one with `openssl rand -hex 32`",
        )
    names = {words[-1]: words[0] if len(words) == 2 else "token" for words in lines}
    if len(names) < len(lines):
        raise InvalidInputError(f"{path} has a token twice", "give everybody another one")
    return names


def _is_open(status: os.stat_result) -> bool:
    """Return whether others can read a file; root may give one of its own to one group, as clusters do with secrets (0440)."""
    is_given = status.st_uid == 0 != os.geteuid()
    return bool(status.st_mode & (0o027 if is_given else 0o077))


class RuleFile:
    """An access file, and the files that it names."""

    def __init__(self, path: Path, find_genes: FindGenes):
        self.path = path
        self._find_genes = find_genes
        self._files: tuple[Path, ...] = (path,)
        self._reading = threading.Lock()
        self._state: tuple[Any, ...] = ()
        self._from_pipe: dict[str, str] = {}
        self._looked = 0.0
        self._waits_since: float | None = None

    def read(self) -> tuple[dict[str, str], AccessFile]:
        """Read the tokens and the rules; anew if meanwhile other files turn out to be named."""
        while True:
            state, self._state = self._look(), ()  # which stays where this fails, so that it is tried again
            found = read_access(self.path, self._find_genes)
            files = (self.path, *found.files, *([found.tokens] if found.tokens else []))
            if files == self._files or is_pipe(self.path):
                tokens = self._read_tokens(found.tokens)
                self._state, self._looked = state, time.monotonic()
                return tokens, found
            self._files = files

    def read_anew(self) -> tuple[dict[str, str], AccessFile] | None:
        """Read them where a file is not any more what was read; None where all are, or somebody else is reading.

        A file that has just changed is left until the next look: half of one may
        say more than all of it. The errors are those of `read`, which is tried
        again at the next look.
        """
        if not self._reading.acquire(blocking=False):  # what was read first is not to come last
            return None
        try:
            state, now = self._look(), time.monotonic()
            if state == self._state:
                return None
            if any(facts and facts[-1] for facts in state):
                self._waits_since = self._waits_since or now
                if now - self._waits_since < _PATIENCE:
                    return None
            self._waits_since = None
            return self.read()
        finally:
            self._reading.release()

    def _read_tokens(self, path: Path | None) -> dict[str, str]:
        """Read the tokens; those of a pipe once."""
        if path is None:
            return {}
        if not self._from_pipe:
            tokens = read_tokens(path)
            if not is_pipe(path):
                return tokens
            self._from_pipe = tokens
        return self._from_pipe

    def is_due(self) -> bool:
        """Return whether it is time to look whether a file has changed; nothing is read."""
        now = time.monotonic()
        if now - self._looked < _LOOKS:
            return False
        self._looked = now
        return True

    def _look(self) -> tuple[Any, ...]:
        """Look at what tells a change of the files, and of who may read them; one that has just changed is like no other."""
        found: list[tuple[Any, ...]] = []
        for path in self._files:
            try:
                facts = os.stat(path)
            except OSError:
                found.append(())
                continue
            is_new = 0 <= time.time() - facts.st_ctime < _NEW
            found.append(
                (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, object() if is_new else None)
            )
        return tuple(found)
