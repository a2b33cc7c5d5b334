"""Open an address in the browser of this user, without telling it to other users."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from html import escape
from pathlib import Path
from urllib.parse import quote


class PrivatePage:
    """A page that only this user can read, which leads to an address; a context manager.

    Programs are started with the path of the page: all users of a machine can
    see what programs are started with, and the address holds a token.
    """

    def __init__(self, address: str):
        self._folder = tempfile.mkdtemp(prefix="modos-view-")  # for its owner alone
        self.path = Path(self._folder) / "open.html"
        refresh = f'<meta http-equiv="refresh" content="0;url={escape(address)}">'
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f'<!doctype html><meta charset="utf-8">{refresh}<title>modos</title>')
            file.write(f'<p><a href="{escape(address)}">Open</a></p>\n')

    def open(self) -> bool:
        """Open it in the browser; returns whether there is one."""
        import webbrowser

        if not has_browser():
            return False
        try:
            return webbrowser.open(f"file://{quote(str(self.path))}")
        except webbrowser.Error:
            return False

    def __enter__(self) -> PrivatePage:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def has_browser() -> bool:
    """Return whether a browser has a screen, or the user names one (`BROWSER`): one in the terminal would take that over."""
    if os.environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
