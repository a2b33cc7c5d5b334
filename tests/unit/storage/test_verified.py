"""What is read through `VerifiedFiles` is what was recorded, or an error."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from modos.errors import ConflictError, IntegrityError, TruncatedStream
from modos.storage.local import LocalStorage
from modos.storage.part_digests import PART, Layout, PartHasher, join_lists, root_of
from modos.storage.verified import PartRecord, VerifiedFiles
from tests.support.sampling import some

SIZE = 7 * PART + 1234


class Counting(LocalStorage):
    """A storage that counts what is read, as one far away, and changes what it gives."""

    is_remote = True

    def __init__(self, root):
        super().__init__(root)
        self.read_bytes = Counter()
        self.calls = Counter()
        self.fault = None

    def read_part(self, key, start, end, *, if_match=None):
        data, info = super().read_part(key, start, end, if_match=if_match)
        self.calls[key] += 1
        self.read_bytes[key] += len(data)
        return (self.fault(key, start, data) if self.fault else data), info


def digests_of(content, part=PART):
    hasher = PartHasher(part)
    hasher.update(content)
    return hasher.finish()


@pytest.fixture
def content():
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def storage(tmp_path, content):
    (tmp_path / "a.bin").write_bytes(content)
    (tmp_path / "a.bin.parts").write_bytes(digests_of(content).to_bytes())
    return Counting(tmp_path)


@pytest.fixture
def record(content):
    found = digests_of(content)
    return PartRecord((found.root,), found.layout, "a.bin.parts")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


RANGES = [
    (0, SIZE),
    (0, 1),
    (SIZE - 1, SIZE),
    (PART, 2 * PART),
    (PART - 1, PART + 1),
    (100, 5 * PART),
    (6 * PART, SIZE + 50),
    (SIZE, SIZE + 5),
    (SIZE + 9, SIZE + 10),
    (5, 5),
]


@pytest.mark.parametrize("start, end", RANGES)
def test_ranges_are_those_of_the_file(storage, record, content, start, end):
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    data, info = files.read_part("a.bin", start, end)
    assert data == content[start:end]
    assert info == storage.stat("a.bin")
    assert files.read_part("a.bin", start, end, if_match=info.etag)[0] == content[start:end]


def test_a_header_before_the_parts_is_left_out_of_them(storage, content, tmp_path):
    found = digests_of(content[100:], PART + 28)
    (tmp_path / "a.bin.parts").write_bytes(found.to_bytes())
    files = VerifiedFiles(storage, {"a.bin": PartRecord((found.root,), found.layout, "a.bin.parts", start=100)}.get)
    for start, end in (*RANGES, (0, 100), (99, 101), (100, 200)):
        assert files.read_part("a.bin", start, end)[0] == content[start:end]
    flip(tmp_path / "a.bin", 3 * PART)
    with pytest.raises(IntegrityError):
        VerifiedFiles(storage, {"a.bin": PartRecord((found.root,), found.layout, "a.bin.parts", start=100)}.get).read_part(
            "a.bin", 3 * PART, 3 * PART + 1
        )


def test_a_changed_byte_shows_in_its_part_and_nowhere_else(storage, record, content, tmp_path):
    for at in (0, PART - 1, PART, 3 * PART + 5, SIZE - 1):
        flip(tmp_path / "a.bin", at)
        files = VerifiedFiles(storage, {"a.bin": record}.get)
        for number in range(8):
            start, end = number * PART, min((number + 1) * PART, SIZE)
            if start <= at < end:
                with pytest.raises(IntegrityError, match=f"bytes {start:,}-{end - 1:,}"):
                    files.read_part("a.bin", start + 7, start + 8)
            else:
                assert files.read_part("a.bin", start, end)[0] == content[start:end]
        flip(tmp_path / "a.bin", at)


def test_every_byte_of_the_list_counts(storage, record, content, tmp_path):
    path = tmp_path / "a.bin.parts"
    for at in some(range(path.stat().st_size), 40):
        flip(path, at)
        with pytest.raises(IntegrityError, match=r"a\.bin\.parts.*is not the recorded one"):
            VerifiedFiles(storage, {"a.bin": record}.get).read_part("a.bin", 0, 10)
        flip(path, at)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        VerifiedFiles(storage, {"a.bin": record}.get).read_part("a.bin", 0, 10)
    path.unlink()
    with pytest.raises(IntegrityError, match="is gone"):
        VerifiedFiles(storage, {"a.bin": record}.get).read_part("a.bin", 0, 10)


def test_an_older_file_with_its_list_is_not_the_recorded_one(storage, record, content, tmp_path):
    older = random.Random(9).randbytes(SIZE)
    (tmp_path / "a.bin").write_bytes(older)
    (tmp_path / "a.bin.parts").write_bytes(digests_of(older).to_bytes())
    with pytest.raises(IntegrityError):
        VerifiedFiles(storage, {"a.bin": record}.get).read_part("a.bin", 0, 10)


def test_swapped_parts_do_not_fit(storage, record, content, tmp_path):
    (tmp_path / "a.bin").write_bytes(content[PART : 2 * PART] + content[:PART] + content[2 * PART :])
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    for start in (0, PART):
        with pytest.raises(IntegrityError):
            files.read_part("a.bin", start, start + 10)
    assert files.read_part("a.bin", 2 * PART, 3 * PART)[0] == content[2 * PART : 3 * PART]


def test_another_size_is_said(storage, record, content, tmp_path):
    for other in (content[:-1], content + b"\0", content[: 3 * PART], b""):
        (tmp_path / "a.bin").write_bytes(other)
        for start, end in ((0, 10), (PART, PART + 1), (SIZE, SIZE + 1)):
            with pytest.raises(TruncatedStream, match=f"recorded are {SIZE:,}"):
                VerifiedFiles(storage, {"a.bin": record}.get).read_part("a.bin", start, end)


def test_a_part_that_does_not_fit_is_fetched_once_more_and_alone(storage, record, content):
    spoilt = []

    def spoil_once(key, start, data):
        if key == "a.bin" and not spoilt and len(data) > 3 * PART:
            spoilt.append(start)
            return data[: 2 * PART] + b"\0" * 10 + data[2 * PART + 10 :]
        return data

    storage.fault = spoil_once
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    assert files.read_part("a.bin", 0, SIZE)[0] == content
    assert spoilt and storage.read_bytes["a.bin"] == SIZE + PART


def test_a_small_file_and_an_index_are_compared_as_a_whole(tmp_path):
    small, index = b"a small file", random.Random(4).randbytes(3 * PART + 1)
    (tmp_path / "s").write_bytes(small)
    (tmp_path / "i").write_bytes(index)
    records = {
        "s": PartRecord((root_of(small),), digests_of(small).layout, "s.parts"),
        "i": PartRecord(("0" * 64, root_of(index))),
    }
    files = VerifiedFiles(LocalStorage(tmp_path), records.get)
    assert files.read_part("s", 2, 7)[0] == small[2:7]
    assert files.read_part("i", 0, 1 << 28)[0] == index
    assert files.read_part("i", PART, PART + 5)[0] == index[PART : PART + 5]
    for name in ("s", "i"):
        flip(tmp_path / name, 5)
        with pytest.raises(IntegrityError):
            files.read_part(name, 0, 5)


def test_a_list_of_several_files_tells_each(tmp_path):
    contents = [random.Random(n).randbytes(size) for n, size in enumerate((3 * PART, 10, 2 * PART + 5))]
    joined = join_lists(digests_of(content) for content in contents)
    (tmp_path / "list").write_bytes(joined.to_bytes())
    records = {}
    for number, content in enumerate(contents):
        (tmp_path / f"f{number}").write_bytes(content)
        records[f"f{number}"] = PartRecord((joined.root,), joined.layout, "list", file=number)
    files = VerifiedFiles(LocalStorage(tmp_path), records.get)
    for number, content in enumerate(contents):
        assert files.read_part(f"f{number}", 0, len(content))[0] == content
    (tmp_path / "f0").write_bytes(contents[0][PART:] + contents[0][:PART])
    with pytest.raises(IntegrityError):
        VerifiedFiles(LocalStorage(tmp_path), records.get).read_part("f0", 0, 5)
    (tmp_path / "f1").write_bytes(b"0123456789")
    with pytest.raises(IntegrityError):
        VerifiedFiles(LocalStorage(tmp_path), records.get).read_part("f1", 0, 5)


def test_edges_that_were_read_are_not_fetched_again(storage, record, content):
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    tag = files.read_part("a.bin", 2 * PART, 2 * PART + 5)[1].etag
    files.read_part("a.bin", 5 * PART - 5, 5 * PART)
    before = storage.read_bytes["a.bin"]
    assert files.read_part("a.bin", 2 * PART + 7, 5 * PART - 9, if_match=tag)[0] == content[2 * PART + 7 : 5 * PART - 9]
    assert storage.read_bytes["a.bin"] - before == PART
    assert storage.calls["a.bin.parts"] == 1


def test_a_size_that_no_file_has_reads_no_list(storage, content):
    layout = Layout((1 << 60,))
    with pytest.raises(IntegrityError):
        VerifiedFiles(storage, {"a.bin": PartRecord(("0" * 64,), layout, "a.bin.parts")}.get).read_part("a.bin", 0, 10)
    assert storage.read_bytes["a.bin.parts"] == 0


def test_what_is_kept_tells_of_no_older_file(storage, record, content, tmp_path):
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    _, before = files.read_part("a.bin", 0, 10)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "b").replace(tmp_path / "a.bin")
    data, info = files.read_part("a.bin", 0, 10)
    assert data == content[:10] and info == storage.stat("a.bin") != before


def test_a_file_that_changes_on_the_way_is_a_conflict(storage, record, tmp_path):
    files = VerifiedFiles(storage, {"a.bin": record}.get)
    _, info = files.read_part("a.bin", 0, 10)
    (tmp_path / "b").write_bytes(b"other")
    (tmp_path / "b").replace(tmp_path / "a.bin")
    with pytest.raises(ConflictError):
        files.read_part("a.bin", 3 * PART, 4 * PART, if_match=info.etag)


def test_without_a_record_it_is_said_once_and_read_as_it_is(storage, content, caplog):
    files = VerifiedFiles(storage, {}.get)
    with caplog.at_level("INFO"):
        assert files.read_part("a.bin", 5, 10)[0] == files.read_part("a.bin", 5, 10)[0] == content[5:10]
    assert caplog.text.count("no digests of its parts are recorded") == 1
