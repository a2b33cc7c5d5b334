"""Readers of Crypt4GH: headers, their packets, edit lists and bodies."""

from __future__ import annotations

import functools
import struct
from pathlib import Path

from modos.encryption.body import encrypt
from modos.encryption.header import MAGIC, encrypt_header
from modos.encryption.keys import SecretKey
from modos.encryption.stream import plain_pieces
from modos.encryption.structure import check_structure
from modos.encryption.view import DecryptedView
from modos.genomics import GenomicFile
from modos.genomics.planning import Planner
from modos.genomics.sources import StorageSource
from modos.storage import open_storage

from .bundles import Steps, bundled, unbundled
from .genomic_readers import whole_bam
from .trying import Target

SECRET, SENDER, KEY = SecretKey(bytes(range(1, 33))), SecretKey(bytes(range(33, 65))), bytes(range(65, 97))
_PLAIN = b"chr1\t1\t.\tA\tC\n" * 30
_REPEATED = 200  # times that the plain bytes of a body are there, so that it has several segments


def read_sealed(path: Path) -> bytes | None:
    """A sealed file, seen without a key, streamed, as a whole, and in parts: all give the same."""
    data = path.read_bytes()
    sealed = path.with_name("a.txt.c4gh")
    sealed.write_bytes(data)
    storage, steps = open_storage(path.parent), Steps()
    view = DecryptedView(storage, SECRET)
    steps.take(lambda: check_structure(storage, "a.txt.c4gh"))
    streamed = steps.take(
        lambda: b"".join(plain_pieces(iter([data[at : at + 1_000] for at in range(0, len(data), 1_000)]), SECRET, "a.txt"))
    )
    info = steps.take(lambda: view.stat("a.txt"))
    if info is not None:
        whole = steps.take(lambda: b"".join(view.iter_whole(info, 2)))
        parts = steps.take(
            lambda: b"".join(view.read_part("a.txt", at, min(at + 50_000, info.size))[0] for at in range(0, info.size, 50_000))
        )
        assert not data.startswith(MAGIC) or None in (whole, streamed) or whole == streamed
        assert None in (whole, parts) or whole == parts, "parts of it differ from the whole"
        assert whole is None or len(whole) == info.size
    steps.finish()
    return streamed


def read_packets(path: Path) -> None:
    """A body and what is in the packets of its header, which are sealed then; what counts is what the first edit list says."""
    *contents, plain = unbundled(path, 4)
    plain *= _REPEATED
    sealed = path.with_name("sealed")
    sealed.write_bytes(_header([content for content in contents if content]) + b"".join(encrypt([plain], KEY)))
    found = read_sealed(sealed)
    edits = [content for content in contents if content[:4] == struct.pack("<I", 1)]
    assert found == (_edited(plain, edits[0]) if edits else plain), "not what the edit list says"


def _header(contents: list[bytes]) -> bytes:
    from crypt4gh import header

    packets = [
        bytes(4) + bytes(header.encrypt_X25519_Chacha20_Poly1305(content, SENDER.raw, SECRET.public.raw)) for content in contents
    ]
    return (
        MAGIC + struct.pack("<II", 1, len(packets)) + b"".join(struct.pack("<I", len(packet) + 4) + packet for packet in packets)
    )


def _edited(plain: bytes, packet: bytes) -> bytes:
    """Lengths to skip and to keep in turn; the rest is kept after an odd number of them."""
    lengths = list(struct.unpack_from(f"<{struct.unpack_from('<I', packet, 4)[0]}Q", packet, 8))
    if not lengths:
        return plain
    at, kept = 0, b""
    for skip, keep in zip(lengths[::2], [*lengths[1::2], *([len(plain)] if len(lengths) % 2 else [])]):
        kept += plain[at + skip : at + skip + keep]
        at += skip + keep
    return kept


def read_sealed_index(path: Path) -> None:
    """Regions of a sealed BAM by an index that is sealed with it: none of its reads is missed in silence that a plain one finds."""
    data, _ = whole_bam()
    for name, content in (("a.bam.c4gh", data), ("a.bam.bai.c4gh", path.read_bytes())):
        path.with_name(name).write_bytes(encrypt_header(KEY, [SECRET.public], SENDER) + b"".join(encrypt([content], KEY)))
    plain = path.with_name("plain.bam")
    plain.write_bytes(data)
    plain.with_name("plain.bam.bai").write_bytes(path.read_bytes())
    storage, steps = open_storage(path.parent), Steps()
    view = DecryptedView(storage, SECRET)
    for region in ("chr1", "chr2:1,000-9,000", "*"):
        found = [
            steps.take(functools.partial(GenomicFile(source).count, region))
            for source in (StorageSource(view, "a.bam", Planner(view)), StorageSource(storage, "plain.bam"))
        ]
        assert found[0] == found[1], f"{region}: {found[0]} reads, and {found[1]} where it is plain"
    steps.finish()


@functools.cache
def _sealed() -> list[bytes]:
    return [
        encrypt_header(KEY, [SENDER.public, SECRET.public], SENDER) + b"".join(encrypt([_PLAIN], KEY)),
        encrypt_header(KEY, [SECRET.public], SENDER, (10, 20, 30, 40)) + b"".join(encrypt([_PLAIN], KEY)),
    ]


def _packets() -> list[bytes]:
    key = struct.pack("<II", 0, 0) + KEY
    edits = [
        struct.pack(f"<II{len(lengths)}Q", 1, len(lengths), *lengths) for lengths in ((5, 70_000, 100, 3), (65_536, 10, 7), ())
    ]
    other = struct.pack("<II", 0, 0) + bytes(31) + b"\1"
    return [bundled(key, edit, b"", _PLAIN) for edit in edits] + [bundled(other, key, b"", _PLAIN)]


TARGETS = [
    Target("c4gh-index", ".bai", read_sealed_index, lambda: [whole_bam()[1]]),
    Target("c4gh", ".c4gh", lambda path: read_sealed(path), _sealed, (MAGIC,)),
    Target("c4gh-packets", ".bundle", read_packets, _packets, (struct.pack("<II", 1, 2), struct.pack("<Q", 2**64 - 1))),
]
