"""Whatever becomes of a sealed file, its index or its list of digests, a region gives the right records or IntegrityError."""

from __future__ import annotations

import random
import shutil
import struct
import zlib

import pysam
import pytest

from modos.api import MODO
from modos.encryption.body import decrypt, encrypt
from modos.encryption.header import read_header
from modos.encryption.keys import SecretKey
from modos.encryption.recorded import find_record
from modos.encryption.view import DecryptedView
from modos.errors import ChecksumMismatch, IntegrityError
from modos.formats.crypt4gh import SEALED
from modos.object.changes import Update
from modos.storage.part_digests import DigestList, Layout, digest_parts
from tests.support.sampling import ALL, SEED, most

ME, FRIEND = SecretKey.random(), SecretKey.random()
FILE, INDEX, LIST = "small.bam.c4gh", "small.bam.bai.c4gh", "small.bam.c4gh.parts"
EARLY, LATE, ALL_OF_IT = "chr1:1-1000", "chr1:199000-200000", "chr1"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """An object with a BAM of six segments whose blocks are stored, so that a forger can change a letter in place."""
    folder = tmp_path_factory.mktemp("sealed")
    path = folder / "small.bam"
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 250_000}]}
    with pysam.AlignmentFile(str(path), "wbu", header=header) as out:
        for number in range(2000):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.reference_id, read.reference_start = f"read{number:05}", 0, number * 100
            read.query_sequence, read.cigarstring, read.mapping_quality = "ACGT" * 25, "100M", 60
            read.query_qualities = pysam.qualitystring_to_array("I" * 100)
            out.write(read)
    pysam.index(str(path))
    modo = MODO(folder / "ex")
    modo.add_element({"id": "small", "@type": "AlignmentSet"}, path)
    plain = {region: records(folder / "ex", region) for region in (EARLY, LATE, ALL_OF_IT)}
    modo.encrypt([ME.public, FRIEND.public])
    assert modo.storage.stat(FILE).size > 5 * SEALED
    assert {region: records(folder / "ex", region) for region in plain} == plain
    return folder / "ex", plain


@pytest.fixture
def ex(sealed, tmp_path):
    """A copy of it."""
    shutil.copytree(sealed[0], tmp_path / "ex")
    return tmp_path / "ex"


def records(folder, region, file="small.bam"):
    return [str(record) for record in MODO.open(folder).stream_genomics(file, region, secret_key=ME)]


def outcome(folder, region):
    """The records; None where an IntegrityError came first."""
    try:
        return records(folder, region)
    except IntegrityError as error:
        assert error.exit_code == 6
        return None


def forget(folder, *slots):
    """The object as an older version has left it."""
    with MODO.open(folder).transaction() as transaction:
        transaction._make(Update("data/small", dict.fromkeys(slots), transaction.view.element("data/small")))


def split(folder):
    """Header, segments and data key of the sealed file."""
    data = (folder / FILE).read_bytes()
    header = read_header(lambda start, end: data[start:end])
    body = data[header.size :]
    return data[: header.size], [body[at : at + SEALED] for at in range(0, len(body), SEALED)], header.decrypt(FRIEND).keys[0]


def forged(plain):
    """The same BAM, with one read of another name; its blocks have the right checksums."""
    data = bytearray(plain)
    at = data.index(b"read00007")
    data[at : at + 4] = b"liar"
    start = data.rindex(b"\x1f\x8b\x08\x04", 0, at)
    (size,) = struct.unpack_from("<H", data, start + 16)
    end = start + size + 1
    content = zlib.decompress(data[start + 18 : end - 8], -15)
    struct.pack_into("<I", data, end - 8, zlib.crc32(content))
    return bytes(data)


def resealed(folder):
    """The file as a recipient makes it, who has its data key: another read in it, all seals whole."""
    head, segments, key = split(folder)
    other = b"".join(encrypt([forged(b"".join(decrypt(segments, [key])))], key))
    assert len(other) == sum(map(len, segments))
    return head, [other[at : at + SEALED] for at in range(0, len(other), SEALED)]


def without_bin(index, wanted):
    """A BAI of one contig without one bin."""
    (count,) = struct.unpack_from("<I", index, 8)
    at, bins = 12, []
    for _ in range(count):
        number, chunks = struct.unpack_from("<II", index, at)
        bins += [index[at : at + 8 + 16 * chunks]] if number != wanted else []
        at += 8 + 16 * chunks
    assert len(bins) == count - 1
    return index[:8] + struct.pack("<I", len(bins)) + b"".join(bins) + index[at:]


def list_of(segments):
    body = b"".join(segments)
    return DigestList(Layout((len(body),), SEALED), digest_parts(body, SEALED)).to_bytes()


# -- bytes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [FILE, INDEX, LIST])
def test_a_byte_that_is_another(ex, sealed, name):
    """Of the file a sample, as those of one segment have one digest; see also the next test."""
    whole, plain = (ex / name).read_bytes(), sealed[1]
    drawn = random.Random(SEED)
    number = len(whole) if ALL and len(whole) < 5000 else min(most(2000, 40), len(whole))
    places = sorted({0, 15, 124, len(whole) - 1, *drawn.sample(range(len(whole)), number)})
    for at in places:
        (ex / name).write_bytes(whole[:at] + bytes([whole[at] ^ (1 << drawn.randrange(8))]) + whole[at + 1 :])
        assert outcome(ex, ALL_OF_IT) is None, at
        for region in (EARLY, LATE):
            assert outcome(ex, region) in (None, plain[region]), at


def test_every_byte_of_a_segment(ex):
    """Plain bytes come right or not at all; those of the other segments come."""
    modo = MODO.open(ex)
    whole, plain = (ex / FILE).read_bytes(), b"".join(modo.file("small.bam", secret_key=ME).iter_bytes())
    head = len(split(ex)[0])
    for at in range(head + 2 * SEALED, head + 3 * SEALED, most(17, 2003)):
        (ex / FILE).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        view = DecryptedView(modo.storage, ME, lambda name: find_record(modo.metadata, name))
        with pytest.raises(ChecksumMismatch, match=f"{head + 2 * SEALED:,}-{head + 3 * SEALED - 1:,}"):
            view.read_part("small.bam", 100_000, 200_000)
        assert view.read_part("small.bam", 0, 1 << 17)[0] == plain[: 1 << 17]
        assert view.read_part("small.bam", 3 << 16, len(plain))[0] == plain[3 << 16 :]


# -- segments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda s: [s[0], s[2], s[1], *s[3:]],
        lambda s: [s[0], s[1], s[1], *s[3:]],
        lambda s: [s[0], s[3], *s[2:]],
        lambda s: [s[0], *s[2:]],
        lambda s: [*s[:2], *s[3:], s[2]],
        lambda s: s[:-1],
    ],
    ids=["swapped", "repeated", "in another's place", "dropped", "moved to the end", "cut"],
)
def test_segments_of_the_file_in_other_places(ex, sealed, change):
    head, segments, _ = split(ex)
    (ex / FILE).write_bytes(head + b"".join(change(segments)))
    assert outcome(ex, ALL_OF_IT) is None and outcome(ex, None) is None
    for region in (EARLY, LATE):
        assert outcome(ex, region) in (None, sealed[1][region])


def test_segments_that_a_recipient_has_sealed_anew(ex, sealed):
    """All seals hold; without digests a forged record is given."""
    head, other = resealed(ex)
    mine = split(ex)[1]
    (ex / FILE).write_bytes(head + b"".join(other[:1] + mine[1:]))
    assert outcome(ex, EARLY) is None and outcome(ex, None) is None
    assert outcome(ex, LATE) is None  # the header is in that segment
    (ex / LIST).write_bytes(list_of(other[:1] + mine[1:]))
    assert outcome(ex, EARLY) is None  # the root is that of the commit
    forget(ex, "data_digest", "index_digests")
    assert outcome(ex, EARLY) != sealed[1][EARLY] and any("liar00007" in record for record in outcome(ex, EARLY))


def test_a_file_that_is_rolled_back_with_its_list(ex, sealed, tmp_path):
    """To what it was under the same data key: the root in the commit tells."""
    head, other = resealed(ex)
    (ex / FILE).write_bytes(head + b"".join(other))
    (ex / LIST).write_bytes(list_of(other))
    assert [outcome(ex, region) for region in (EARLY, LATE, None)] == [None] * 3
    for change in (lambda m: m.decrypt(ME), lambda m: m.verify_encryption(ME), lambda m: m.revoke(ME, [], rotate=True)):
        with pytest.raises(IntegrityError):
            change(MODO.open(ex))


def test_an_index_that_a_recipient_has_sealed_anew(ex, sealed):
    """It leaves out records: header and seals are those of the index before."""
    data = (ex / INDEX).read_bytes()
    header = read_header(lambda start, end: data[start:end])
    key = header.decrypt(FRIEND).keys[0]
    plain = b"".join(decrypt([data[header.size :]], [key]))
    (ex / INDEX).write_bytes(data[: header.size] + b"".join(encrypt([without_bin(plain, 585)], key)))
    assert outcome(ex, EARLY) is None
    forget(ex, "index_digests")
    assert outcome(ex, EARLY) == []  # as it was without


def test_a_healthy_region_of_a_damaged_file_streams(ex, sealed):
    whole = bytearray((ex / FILE).read_bytes())
    whole[-1000] ^= 1
    (ex / FILE).write_bytes(whole)
    assert outcome(ex, EARLY) == sealed[1][EARLY] and outcome(ex, ALL_OF_IT) is None


def test_a_list_that_is_gone(ex):
    (ex / LIST).unlink()
    assert outcome(ex, EARLY) is None and outcome(ex, None) is None


def test_a_segment_that_was_damaged_on_the_way_is_fetched_once_more(ex, sealed, monkeypatch):
    from modos.storage.local import LocalStorage

    read, damaged = LocalStorage.read_part, []

    def read_badly(self, key, start, end, **options):
        data, info = read(self, key, start, end, **options)
        if key == FILE and end > 3 * SEALED and not damaged:
            damaged.append(key)
            data = data[:-5] + bytes(5)
        return data, info

    monkeypatch.setattr(LocalStorage, "read_part", read_badly)
    assert records(ex, ALL_OF_IT) == sealed[1][ALL_OF_IT] and damaged
