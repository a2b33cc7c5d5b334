"""The command line on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from tests.support import commands


def on_a_terminal(*arguments, answers, cwd, **settings):
    """Run a command whose input and messages are a terminal; returns the exit code, what was said, and the output."""
    ours, theirs = pty.openpty()
    process = commands.start(arguments, cwd=cwd, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=os.environ | settings)
    os.close(theirs)
    said = bytearray()

    def listen():
        try:
            while piece := os.read(ours, 4096):
                said.extend(piece)
        except OSError:
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    output = process.communicate(timeout=100)[0]
    listener.join(60)
    os.close(ours)
    return process.returncode, said.decode(), output.decode()
