"""Folders of the user of this machine."""

from __future__ import annotations

import os
from pathlib import Path


def config_folder() -> Path:
    """Return the folder of the user's keys and tokens: MODOS_CONFIG_DIR, else that of modos where settings are."""
    named = os.environ.get("MODOS_CONFIG_DIR")
    return Path(named) if named else Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "modos"
