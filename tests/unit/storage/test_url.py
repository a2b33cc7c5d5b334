"""A file at a server that was replaced is not taken for the one that was looked at."""

from __future__ import annotations

import os

import pytest

from modos.errors import ConflictError, NotFoundError
from modos.storage.url import AnywhereStorage
from tests.support.ranges import RangeServer


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_conditions_over_http(tmp_path, is_looked_at):
    """By the tag of the answer, whether the storage has looked at the file since or not; nothing is asked twice."""
    (tmp_path / "a").write_bytes(b"first")
    with RangeServer(tmp_path) as server:
        tag = AnywhereStorage(server.url).stat("a").etag
        storage = AnywhereStorage(server.url)
        if is_looked_at:
            storage.stat("a")
        assert storage.read_part("a", 1, 3, if_match=tag)[0] == b"ir"
        before = len(server.requests)
        assert storage.read_part("a", 0, 2, if_match=tag)[0] == b"fi" and len(server.requests) == before + 1
        (tmp_path / "b").write_bytes(b"other")
        os.replace(tmp_path / "b", tmp_path / "a")
        with pytest.raises(ConflictError, match="changed"):
            storage.read_part("a", 1, 3, if_match=tag)
        assert storage.read_part("a", 1, 3)[0] == b"th"
        with pytest.raises(ConflictError):
            AnywhereStorage(server.url).read_part("a", 1, 3, if_match=tag)
        (tmp_path / "a").unlink()
        with pytest.raises(NotFoundError):
            storage.read_part("a", 1, 3, if_match=tag)
