"""Verifying a log: whatever is done to its files shows, as long as it touches what somebody relies on."""

import shutil
from hashlib import blake2b, sha256

import pytest
from crypt4gh import header as theirs
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from modos.encryption.keys import SecretKey
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.heads import Head, read_noted
from modos.readlog.log_verification import verify
from modos.readlog.ratchet import Ratchet
from modos.readlog.read_entries import entry_to_line
from modos.readlog.sealed_frames import HEADER, Kind, digest_of_frame, seal_frame, size_of_frame
from modos.storage import open_storage
from tests.support.read_logs import entries, entry, problems, write_chain

SECRET = SecretKey.random()


def frames_of(data):
    """The frames of a segment, as their headers tell."""
    found, at = [], 0
    while at < len(data):
        size = size_of_frame(data[at : at + HEADER.size])
        found.append(data[at : at + size])
        at += size
    return found


@pytest.fixture
def place(tmp_path):
    """A log of two chains, the first in several segments."""
    write_chain(tmp_path / "log", SECRET, 8, size=700)
    write_chain(tmp_path / "log", SECRET, 3, close=False, first=8)
    return tmp_path / "log"


def segments(place):
    """The files of the chain with several segments, in order, and its head."""
    folder = max((one for one in place.iterdir()), key=lambda one: len(list(one.iterdir())))
    return sorted(folder.glob("*.log")), folder / "head"


def test_a_log_as_it_was_written_has_no_problems(place):
    assert problems(place) == problems(place, SECRET) == []
    found = verify(open_storage(place), SECRET)
    assert found.entries == 11 and sorted(chain.state for chain in found.chains) == ["closed", "open"]
    assert [one["id"] for one in entries(place, SECRET)] == [str(number) for number in range(11)]
    assert len(segments(place)[0]) > 2


def test_any_byte_that_is_changed_shows(tmp_path):
    """Every byte of every file, with the officer's key; without it all but the MAC of the head, which only the key can check."""
    place = tmp_path / "log"
    write_chain(place, SECRET, 2, size=1)
    for path in sorted(place.rglob("*")):
        if path.is_dir():
            continue
        data = path.read_bytes()
        mac = len(data) - 65 if path.name == "head" else len(data)
        for at in range(len(data)):
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([data[at] ^ (1 << at % 8)]))
            assert problems(place, SECRET), f"byte {at} of {path.name}"
            assert at >= mac or problems(place), f"byte {at} of {path.name}, without a key"
            path.write_bytes(data)
    assert problems(place, SECRET) == []


def test_frames_that_are_removed_swapped_or_written_twice_show(place):
    for path in segments(place)[0]:
        data = path.read_bytes()
        frames = frames_of(data)
        changed = [frames[:at] + frames[at + 1 :] for at in range(len(frames))]
        changed += [[*frames[:at], frames[at], *frames[at:]] for at in range(len(frames))]
        changed += [[*frames[:at], frames[at + 1], frames[at], *frames[at + 2 :]] for at in range(len(frames) - 1)]
        for one in changed:
            path.write_bytes(b"".join(one))
            assert problems(place) and problems(place, SECRET)
        path.write_bytes(data)
    assert problems(place, SECRET) == []


def test_an_end_that_is_cut_off_shows_at_every_byte(place):
    paths, _ = segments(place)
    last = paths[-1]
    data = last.read_bytes()
    for size in range(len(data)):
        last.write_bytes(data[:size])
        assert problems(place) and problems(place, SECRET)
    last.write_bytes(data)
    for removed in range(1, len(paths) + 1):
        kept = [(path, path.read_bytes()) for path in paths[-removed:]]
        for path, _ in kept:
            path.unlink()
        assert problems(place) and problems(place, SECRET)
        for path, content in kept:
            path.write_bytes(content)
    assert problems(place, SECRET) == []


def test_any_segment_that_is_removed_or_swapped_shows(place):
    paths, head = segments(place)
    for path in (*paths, head):
        data = path.read_bytes()
        path.unlink()
        assert problems(place) and problems(place, SECRET), path
        path.write_bytes(data)
    first, second = paths[1].read_bytes(), paths[2].read_bytes()
    paths[1].write_bytes(second)
    paths[2].write_bytes(first)
    assert problems(place) and problems(place, SECRET)


def test_a_chain_that_is_removed_is_missed_by_one_that_was_begun_after_it(place):
    shutil.rmtree(segments(place)[0][0].parent)
    assert "is gone" in problems(place)[0] and problems(place, SECRET)


def test_a_chain_in_the_place_of_another_shows(place):
    own = segments(place)[0][0].parent
    other = next(one for one in place.iterdir() if one != own)
    for name in (own.name, other.name):
        kept = place.with_name("kept")
        shutil.copytree(place, kept)
        source = kept / (other.name if name == own.name else own.name)
        shutil.rmtree(kept / name)
        shutil.copytree(source, kept / name)
        assert problems(kept) and problems(kept, SECRET)
        shutil.rmtree(kept)


def test_a_segment_of_another_log_shows(place, tmp_path):
    write_chain(tmp_path / "other", SECRET, 8, size=700)
    mine, theirs_ = segments(place)[0], segments(tmp_path / "other")[0]
    for one, other in zip(mine, theirs_):
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        assert problems(place) and problems(place, SECRET)
        one.write_bytes(data)


def forge(path, key, keep):
    """Write a segment anew from a frame on, with a chain of digests that fits, as who can write the place may do."""
    frames = frames_of(path.read_bytes())
    ratchet = Ratchet(key)
    done = frames[:keep]
    for _ in done:
        ratchet.step()
    number = HEADER.unpack_from(frames[0])[3 - 1]
    number += keep
    forged = seal_frame(Kind.ENTRIES, number, digest_of_frame(done[-1]), b"", entry_to_line(entry(99)) + b"\n", ratchet.step(), 1)
    path.write_bytes(b"".join([*done, forged]))
    return Head.sign(path.parent.name, number + 1, digest_of_frame(forged), ratchet)


def test_what_was_made_anew_without_the_old_keys_is_found_by_the_officer(tmp_path):
    """The chain of digests and the head fit: without the key nothing shows, and with it the seals do not hold."""
    place = tmp_path / "log"
    write_chain(place, SECRET, 4, close=False)
    path = next(place.rglob("*.log"))
    head = forge(path, bytes(32), 2)
    (path.parent / "head").write_bytes(head.to_bytes())
    assert problems(place) == []
    assert problems(place, SECRET)


def test_who_has_the_server_now_can_go_on_and_not_back(tmp_path):
    """The key that a writer has in memory seals what comes; a shorter chain with it as its end is found."""
    place = tmp_path / "log"
    chain = ChainWriter(open_storage(place), SECRET.public)
    for number in range(4):
        chain.append([entry_to_line(entry(number))])
    stolen, name = chain._ratchet.copy(), chain.chain
    path = place / name / "000000000000.log"
    frames = frames_of(path.read_bytes())
    path.write_bytes(b"".join(frames[:3]))
    (path.parent / "head").write_bytes(Head.sign(name, 3, digest_of_frame(frames[2]), stolen).to_bytes())
    assert problems(place) == []  # the digests alone do not tell
    assert "not signed" in problems(place, SECRET)[0]


def test_an_older_copy_of_all_is_found_by_a_head_that_was_noted(tmp_path):
    """Who has kept a copy of an earlier state can put it back, and nothing in it is wrong: only what is noted elsewhere tells."""
    place, kept = tmp_path / "log", tmp_path / "kept"
    chain = ChainWriter(open_storage(place), SECRET.public)
    chain.append([b"{}"])
    shutil.copytree(place, kept)
    chain.append([b"{}"])
    noted = [one.head for one in verify(open_storage(place)).chains]
    assert problems(place, SECRET, noted) == []
    chain.append([b"{}"])
    assert problems(place, SECRET, noted) == []
    assert problems(kept, SECRET) == []
    assert "was cut off" in problems(kept, SECRET, noted)[0] and "was cut off" in problems(kept, None, noted)[0]
    assert "is gone" in problems(tmp_path / "empty", None, noted)[0]
    path = tmp_path / "heads.txt"
    path.write_text("# noted\n" + "\n".join(map(str, noted)) + "\n")
    assert read_noted(path) == read_noted(str(noted[0])) == noted


def test_a_log_is_read_by_the_page_of_its_format_alone(tmp_path):
    """The officer's packet by the crypt4gh package, and the rest by BLAKE2b, SHA-256 and ChaCha20-Poly1305: no code of ours."""
    import base64
    import io
    import json
    import struct

    place = tmp_path / "log"
    write_chain(place, SECRET, 5, each=2)
    data = next(place.rglob("*.log")).read_bytes()
    at, before, key, lines = 0, bytes(32), b"", []
    for number in range(5):
        magic, kind, counted, named, plain, sealed = struct.unpack_from("<4sB3xQ32sII", data, at)
        assert (magic, counted, named) == (b"mlog", number, before)
        head, end = data[at : at + 56 + plain], at + 56 + plain + sealed
        if kind == 1:
            packet = base64.b64decode(json.loads(head[56:])["packet"])
            packets, _ = theirs.deconstruct(io.BytesIO(packet), [(0, SECRET.raw, None)])[0], None
            key = packets[0]
        made = blake2b(key=key, digest_size=64, person=b"modos log next").digest()
        key, own = made[:32], made[32:]
        body = data[at + 56 + plain : end]
        lines += ChaCha20Poly1305(own).decrypt(body[:12], body[12:], head).splitlines()
        before, at = sha256(data[at:end]).digest(), end
    assert at == len(data) and [json.loads(line)["id"] for line in lines] == list("01234")


def test_two_servers_write_chains_of_their_own(tmp_path):
    for first in range(0, 40, 10):
        write_chain(tmp_path, SECRET, 10, first=first)
    assert problems(tmp_path, SECRET) == [] and len(entries(tmp_path, SECRET)) == 40


def test_other_files_are_not_looked_at(place):
    (place / "README").write_text("x")
    (place / "x").mkdir()
    (place / "x/000000000000.log").write_text("x")
    assert problems(place, SECRET) == []


@pytest.mark.parametrize("plain", [b"{", b"[1]", b"{}", b'{"chain": 7, "anchors": [1], "deleted": {"a": 1}}', b"\xff" * 99])
def test_a_first_frame_that_says_nonsense_is_a_problem_and_no_defect(tmp_path, plain):
    place = tmp_path / "log"
    name = write_chain(place, SECRET, 1)
    path = place / name / "000000000000.log"
    path.write_bytes(seal_frame(Kind.BEGIN, 0, bytes(32), plain, b"", bytes(32), 1))
    assert problems(place) and problems(place, SECRET)


@pytest.mark.parametrize("lengths", [(2**32 - 1, 28), (0, 2**32 - 1), (64 << 20, 16 << 20), (0, 0)])
def test_huge_lengths_take_no_memory(tmp_path, lengths):
    place = tmp_path / "log"
    name = write_chain(place, SECRET, 1)
    path = place / name / "000000000000.log"
    path.write_bytes(HEADER.pack(b"mlog", 1, 0, bytes(32), *lengths) + b"x" * 100)
    assert problems(place) and problems(place, SECRET)


def test_a_log_for_another_officer_is_told_from_damage(place):
    found = verify(open_storage(place), SecretKey.random())
    assert found.problems == [] and all(chain.locked for chain in found.chains) and found.entries == 0


def test_anybody_can_write_a_chain_for_the_officer_and_its_entries_harm_nobody(tmp_path):
    chain = ChainWriter(open_storage(tmp_path), SECRET.public, Limits())
    chain.append([b"no json", b"[]", b'{"event": 7}', b"[" * 100_000, b'{"event": "sent", "regions": {"a": 1}}'])
    assert problems(tmp_path, SECRET) == []
    assert entries(tmp_path, SECRET) == [None, None, None, None, {"event": "sent", "regions": {"a": 1}}]
