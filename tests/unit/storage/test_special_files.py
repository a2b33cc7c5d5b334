"""Pipes and devices in a store of a stranger: they are refused, and nobody waits for their other end."""

import os
import signal

import pytest

from modos.errors import ModosError
from modos.storage import open_storage


@pytest.fixture(autouse=True)
def deadline():
    """Nothing may wait."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the pipe"))
    signal.alarm(60)
    yield
    signal.alarm(0)


def make_device(path):
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("takes root to make a device")


@pytest.mark.parametrize("make", [os.mkfifo, make_device], ids=["a pipe", "a device"])
@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.read("x"),
        lambda s: s.read_part("x", 0, 5),
        lambda s: list(s.iter_range("x", 0, 5)),
        lambda s: s.stat("x"),
        lambda s: s.local_path("x"),
        lambda s: s.write("x", b"data", if_match="tag"),
        lambda s: s.read_range("x", 0, 5),
    ],
    ids=["read", "read_part", "iter_range", "stat", "local_path", "write", "read_range"],
)
def test_it_is_refused(tmp_path, make, use):
    make(tmp_path / "x")
    with pytest.raises(ModosError, match="file"):
        use(open_storage(tmp_path))


def test_a_file_is_read_as_before(tmp_path):
    storage = open_storage(tmp_path)
    storage.write("x", b"data")
    assert (
        storage.read("x")[0] == b"data" and storage.read_part("x", 1, 3)[0] == b"at" and storage.local_path("x") == tmp_path / "x"
    )
    assert storage.local_path("none") == tmp_path / "none"
