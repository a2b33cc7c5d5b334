"""Tell which version this is, and of which commit.

The file `commit.txt` beside this one has the commit where git made an archive of the tree, or
setup.py a wheel or an sdist; a tree that is run as it lies asks git. It imports nothing of modos
until it is asked, as setup.py runs it by its path.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).resolve().parent
_PATIENCE = 5  # seconds that git may take
_SHOWN = 12  # digits


class Commit(NamedTuple):
    """Commit of git.

    Parameters
    ----------
    id
        In 40 hexadecimal digits, or 64.
    is_changed
        Whether files were changed after it.
    """

    id: str
    is_changed: bool

    def __str__(self) -> str:
        """Return what `commit.txt` says."""
        return f"{self.id} changed" if self.is_changed else self.id


def describe_version() -> str:
    """Return version and commit for people: `0.1.0 (commit 1a2b3c4d5e6f)`; the version alone where nothing says the commit."""
    from modos import __version__

    commit = find_commit()
    if commit is None:
        return __version__
    return f"{__version__} (commit {commit.id[:_SHOWN]}{', with changes' if commit.is_changed else ''})"


def full_version() -> str:
    """Return version and commit for programs, as PEP 440 writes local versions: `0.1.0+1a2b3c4d5e6f`."""
    from modos import __version__

    commit = find_commit()
    return __version__ if commit is None else f"{__version__}+{commit.id[:_SHOWN]}{'.changed' if commit.is_changed else ''}"


@cache
def find_commit() -> Commit | None:
    """Find the commit that this package is of; None where nothing says it."""
    try:
        told = parse_commit((_HERE / "commit.txt").read_text(encoding="ascii"))
    except (OSError, ValueError):
        told = None
    return told or _ask_git(_HERE.parent)


def parse_commit(text: str) -> Commit | None:
    """Read the text of a `commit.txt`; None where it says no commit."""
    found = re.fullmatch(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)( changed)?", text.strip())
    return Commit(found[1], bool(found[2])) if found else None


def _ask_git(root: Path) -> Commit | None:
    if not (root / ".git").exists() or os.pathsep in str(root):
        return None
    words = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root)]
    words += ["describe", "--always", "--abbrev=64", "--exclude=*", "--dirty= changed"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_CEILING_DIRECTORIES"] = str(root.parent)  # if this is no whole repository, one around it has another commit
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, encoding="ascii", errors="replace", timeout=_PATIENCE, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_commit(done.stdout) if done.returncode == 0 else None
