"""Search the memory of another process."""

from __future__ import annotations

import re
from pathlib import Path

_PIECE = 8 << 20
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r\S*)")


def find_in_memory(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Find which of some bytes are anywhere in the readable memory of a process, by their names; PermissionError if it is closed."""
    found: set[str] = set()
    longest = max(map(len, needles.values()))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place = _LINE.match(line)
            if not place or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            at, end, tail = int(place[1], 16), int(place[2], 16), b""
            while at < end:
                try:
                    memory.seek(at)
                    piece = memory.read(min(_PIECE, end - at))
                except (OSError, OverflowError, ValueError):
                    break
                if not piece:
                    break
                data = tail + piece
                found |= {name for name, needle in needles.items() if name not in found and needle in data}
                at, tail = at + len(piece), data[-longest:]
    return found
