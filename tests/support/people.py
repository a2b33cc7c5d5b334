"""Be several people: a child of a test that is another user."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path


def run_as(user: int, action: Callable[[], object], groups: Iterable[int] = ()) -> None:
    """Do something in a child that is a user with a group of its own, and in others, and whose umask keeps all to itself."""
    end, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(list(groups))
            os.setgid(user)
            os.setuid(user)
            os.umask(0o077)
            action()
            os._exit(0)
        except BaseException:
            os.write(into, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(into)
    with open(end) as told:
        message = told.read()
    assert os.waitpid(child, 0)[1] == 0, message


def open_way(folder: Path) -> None:
    """Let everybody into the folders above one, which pytest makes for its user alone."""
    for above in (folder, *folder.parents):
        if above.stat().st_mode & 0o005 != 0o005 and above.stat().st_uid == os.getuid():
            above.chmod(above.stat().st_mode | 0o055)
