"""The version says the commit: of wheels and archives by a file, of a tree by git, and nothing where neither knows."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from modos.version import Commit, find_commit, parse_commit
from tests.support.building import make_project, run

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
FULL = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text, commit",
    [
        (f"{FULL}\n", Commit(FULL, False)),
        (f"{FULL} changed\n", Commit(FULL, True)),
        ("ab" * 32, Commit("ab" * 32, False)),
        ("$Format:%H$\n", None),
        ("", None),
        (FULL[:-1], None),
        (FULL.upper(), None),
        (f"{FULL} \x1b[31m", None),
        (f"{FULL}\n{FULL}", None),
    ],
)
def test_a_file_says_a_commit_or_nothing(text, commit):
    assert parse_commit(text) == commit
    assert commit is None or parse_commit(str(commit)) == commit


def version_of(tree, **environment):
    """What `--version` prints of a tree that is run as it lies."""
    return run(sys.executable, "-c", "from modos.cli import main; main()", "--version", cwd=tree, env=environment).strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "modos"
    folder.mkdir()
    return folder, make_project(folder)


@needs_git
def test_a_clone_asks_git(project, tmp_path):
    """Also where GIT_DIR names another one; what was changed since is told; without git there is no commit."""
    folder, commit = project
    run("git", "clone", "-q", folder, tmp_path / "clone")
    tree = tmp_path / "clone"
    assert version_of(tree) == f"modos 0.1.0 (commit {commit[:12]})"
    assert version_of(tree, GIT_DIR=str(tmp_path / "none")) == f"modos 0.1.0 (commit {commit[:12]})"
    (tree / "README.md").write_text("changed")
    assert version_of(tree) == f"modos 0.1.0 (commit {commit[:12]}, with changes)"
    (tmp_path / "nothing").mkdir()
    assert version_of(tree, PATH=str(tmp_path / "nothing")) == "modos 0.1.0"
    (tree / ".git/HEAD").write_text("damaged")
    assert version_of(tree) == "modos 0.1.0"


@needs_git
def test_an_archive_of_git_has_it(project, tmp_path):
    """Without a repository, and inside one of something else."""
    folder, commit = project
    data = subprocess.run(["git", "-C", folder, "archive", "HEAD"], capture_output=True, check=True).stdout
    run("git", "init", "-q", tmp_path)
    (tmp_path / "tree").mkdir()
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    assert version_of(tmp_path / "tree") == f"modos 0.1.0 (commit {commit[:12]})"


@needs_git
@pytest.mark.parametrize("damage", ["empty", "no HEAD"])
def test_a_damaged_clone_inside_a_repository_of_others_says_no_commit(project, tmp_path, damage):
    """Git goes on to the folders around it."""
    run("git", "init", "-q", tmp_path)
    run("git", "-C", tmp_path, "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qm", "x", "--allow-empty")
    run("git", "clone", "-q", project[0], tmp_path / "clone")
    assert version_of(tmp_path / "clone") == f"modos 0.1.0 (commit {project[1][:12]})"
    if damage == "empty":
        shutil.rmtree(tmp_path / "clone/.git")
        (tmp_path / "clone/.git").mkdir()
    else:
        (tmp_path / "clone/.git/HEAD").unlink()
    assert version_of(tmp_path / "clone") == "modos 0.1.0"


def test_a_tree_without_git_inside_a_repository_of_others_says_no_commit(project, tmp_path):
    folder, _ = project
    shutil.copytree(folder, tmp_path / "vendor/modos", ignore=shutil.ignore_patterns(".git"))
    if shutil.which("git"):
        run("git", "init", "-q", tmp_path)
    assert version_of(tmp_path / "vendor/modos") == "modos 0.1.0"


def test_asking_for_help_asks_nobody():
    """`modos --help` does not load what finds the commit."""
    code = "import sys, modos.cli.app, modos.api; print('modos.version' in sys.modules, 'subprocess' in sys.modules)"
    assert run(sys.executable, "-c", code, cwd=Path(__file__).resolve().parents[2]).split()[0] == "False"


@needs_git
def test_this_tree_knows_its_commit():
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("this is no clone")
    assert find_commit().id == run("git", "-C", root, "rev-parse", "HEAD").strip()
