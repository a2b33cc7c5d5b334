"""Write the commit into wheels and sdists; all else of the distribution stands in pyproject.toml.

It is what MODOS_COMMIT names (40 hexadecimal digits, where the tree is built without its .git), or
what the tree says.
"""

import os
import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

NAME = Path("modos", "commit.txt")
VERSION = runpy.run_path(str(Path(__file__).parent / "modos" / "version.py"))


def write_commit(folder: str) -> None:
    """Replace the file below a folder, which may be a second name of that in the tree."""
    given = os.environ.get("MODOS_COMMIT", "")
    commit = VERSION["parse_commit"](given) if given else VERSION["find_commit"]()
    if given and not commit:
        raise SystemExit(f"MODOS_COMMIT is no commit: {given!r}")
    path = Path(folder) / NAME
    path.unlink(missing_ok=True)
    path.write_text(f"{commit}\n" if commit else "")  # and not that of an earlier build in the same folder


class BuildPy(build_py):
    """Make the packages of a wheel."""

    def run(self) -> None:
        """Copy them; an editable installation stays as it is."""
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)


class Sdist(sdist):
    """Make the sdist."""

    def make_release_tree(self, base_dir, files) -> None:  # type: ignore[no-untyped-def]
        """Copy the tree."""
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
