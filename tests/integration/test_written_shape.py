"""What this code writes has the shape of the newest fixture: whoever changes a format has to add one."""

from __future__ import annotations

import sys

from tests.support.commands import run
from tests.support.writing_versions import VERSIONS, Writer, unpack
from tests.support.written_shape import describe

_HOW = """what modos writes has another shape than in tests/data/versions/{}: see tests/data/versions/README.md
{}"""


class _Here(Writer):
    """The code that is tested."""

    def run(self, *words, python=None):
        if python:
            self.check(run_python(python, words, self.folder))
        else:
            self.check(run(words, cwd=self.folder, capture_output=True, text=True))

    def check(self, done):
        assert done.returncode == 0, done.stderr


def run_python(code, words, folder):
    import subprocess

    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=folder, capture_output=True, text=True)


def test_a_format_is_changed_with_a_new_fixture(tmp_path):
    newest = max(VERSIONS)
    plain = unpack("plain", tmp_path / "source")
    kept = describe(unpack(newest, tmp_path / "kept"), plain)
    (tmp_path / "now").mkdir()
    _Here(int(newest[:2]), tmp_path, tmp_path / "now", plain).write()
    for lock in (tmp_path / "now").rglob(".commit.lock"):
        lock.unlink()
    now = describe(tmp_path / "now", plain)
    differing = [f"- {line}" for line in kept if line not in set(now)] + [f"+ {line}" for line in now if line not in set(kept)]
    assert not differing, _HOW.format(newest, "\n".join(differing[:40]))
    assert len(now) > 700  # lines were compared
