"""Which functions of modos a command enters: run as `python entering.py COMMAND...`, with the file to write them to in ENTERED.

Functions that run while a module is being imported (decorators, defaults) are
not entered by the command, and not listed. Threads are followed, other
processes are not.
"""

import json
import os
import sys
import threading
from pathlib import Path

import modos

ROOT = str(Path(modos.__file__).parent) + os.sep
entered = set()
importing = threading.local()


def follow(frame, event, _):
    """Note a function of modos that is called: a profiling function."""
    code = frame.f_code
    if event not in ("call", "return") or not code.co_filename.startswith((ROOT, "<frozen importlib")):
        return
    if code.co_name in ("<module>", "_find_and_load"):
        importing.depth = getattr(importing, "depth", 0) + (1 if event == "call" else -1)
    elif event == "call" and not getattr(importing, "depth", 0) and code.co_filename.startswith(ROOT):
        entered.add((code.co_filename.removeprefix(ROOT), code.co_qualname))


if __name__ == "__main__":
    threading.setprofile(follow)
    sys.setprofile(follow)
    from modos.cli.app import app

    try:
        app(sys.argv[1:], prog_name="modos", standalone_mode=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        Path(os.environ["ENTERED"]).write_text(json.dumps(sorted(entered)))
