"""Decodes chunks with wrong bytes, each ending at memory that must not be touched; a program, as what it tries may end it.

What is decoded has every byte written, whatever was in the memory before.

`python tests/support/hostile_chunks.py SEED ROUNDS` prints how many were refused and how many were decoded.
"""

import ctypes
import mmap
import sys

import numpy as np
from numcodecs import Blosc

from modos.tracks.zarr_layout import blosc, decoder

PAGES = 64
EDGE = (PAGES - 1) * mmap.PAGESIZE
ROOM = mmap.mmap(-1, PAGES * mmap.PAGESIZE)
VALUES = (0, 1, 2, 3, 16, 127, 128, 255)


def guard():
    """Forbid the last page."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(ROOM))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + EDGE), mmap.PAGESIZE, 0) == 0


def at_the_edge(data):
    ROOM[EDGE - len(data) : EDGE] = data
    return memoryview(ROOM)[EDGE - len(data) : EDGE]


def hostile(good, random, rounds):
    """Each byte of the header and of the first places changed, cuts, and a few bytes changed anywhere; some with the right length."""
    for at in range(min(28, len(good))):
        for value in (*VALUES, good[at] ^ 1, good[at] ^ 4, good[at] ^ 16):
            yield good[:at] + bytes([value]) + good[at + 1 :]
    for cut in random.integers(0, len(good), 20).tolist():
        yield good[:cut]
        if cut >= 16:
            yield good[:12] + cut.to_bytes(4, "little") + good[16:cut]
    for _ in range(rounds):
        data = bytearray(good)
        reach = len(data) if random.random() < 0.5 else min(len(data), 80)
        for at in random.integers(0, reach, random.integers(1, 4)).tolist():
            data[at] = random.choice([*VALUES, random.integers(256)])
        yield bytes(data)


def main(seed, rounds):
    guard()
    random = np.random.default_rng(seed)
    refused = decoded = 0
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
        for shuffle in range(3):
            for dtype in ("u1", "i2", "f4", "f8"):
                data = np.repeat(random.integers(0, 99, 4000), 4)[: 16_000 // int(dtype[1])].astype(dtype)
                level, block = int(random.choice([1, 5, 9])), int(random.choice([0, 4096]))
                good = Blosc(cname, level, shuffle, block).encode(data)
                decode = decoder(blosc(cname, "shuffle", level, int(dtype[1])), data.nbytes)
                assert decode(at_the_edge(good)) == data.tobytes()
                for chunk in hostile(good, random, rounds):
                    try:
                        found = [decode(at_the_edge(chunk), np.full(data.nbytes, filled, "u1")).tobytes() for filled in (0, 255)]
                        assert len(found[0]) == data.nbytes and found[0] == found[1]
                        decoded += 1
                    except (ValueError, RuntimeError):
                        refused += 1
    print(refused, decoded)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
