"""What the project is called, what is said of installing it, and that every page can be found."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import modos

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TEXTS = [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "deploy/modos/Containerfile", ROOT / "deploy/native/stack",
         *(ROOT / "modos").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
BRINGS = {"h5py": "genomedata", "matplotlib": "plot", "xarray": "xarray", "dask": "xarray", "moto": "demo", "minio": "stack", "openpyxl": "xlsx"}


def test_the_name_is_not_somebody_elses():
    assert PROJECT["name"] == "modos-store" and PROJECT["scripts"] == {"modos": "modos.cli:main"}
    assert modos.__version__ == PROJECT["version"]


def test_every_extra_that_is_named_is_there():
    """As `modos-store[x]`, `.[x]` or `....whl[x]`; and nothing names the distribution of others."""
    named = 0
    for path in TEXTS:
        text = path.read_text()
        assert not re.search(r"modos\[|pip install '?modos[ '\"\n]", text), path
        for extras in re.findall(r"(?:modos-store|'\.|\.whl)\[([a-z,]+)\]", text):
            named += 1
            assert set(extras.split(",")) <= set(EXTRAS), f"{path} names {extras}"
    assert named > 8


def test_an_extra_brings_what_is_said_to_be_missing():
    for package, extra in BRINGS.items():
        assert any(re.match(rf"{package}\b", wanted) for wanted in EXTRAS[extra]), package
    hints = [found for path in (ROOT / "modos").rglob("*.py")
             for found in re.findall(r'"([\w ]+?) (?:is|are) not installed", "pip install \'modos-store\[(\w+)\]\'"', path.read_text())]
    assert len(hints) >= 3
    for packages, extra in hints:
        assert {BRINGS[package] for package in packages.split(" and ")} == {extra} if packages in BRINGS or " and " in packages else extra in EXTRAS


def test_the_table_of_extras_is_that_of_the_project():
    table = dict(re.findall(r"(?m)^\| `(\w+)` \| ([\w, ]+) \|", (ROOT / "docs/how-to/install.md").read_text()))
    assert {package: extra for extra, packages in table.items() for package in packages.split(", ")} == BRINGS


def test_a_tree_that_is_run_as_it_lies_knows_its_version(tmp_path):
    """Also where nothing is installed, and where something else of the name `modos` is."""
    code = "import modos; print(modos.__version__)"
    (tmp_path / "modos-0.3.4.dist-info").mkdir()
    (tmp_path / "modos-0.3.4.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: modos\nVersion: 0.3.4\n")
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    assert done.stdout.strip() == PROJECT["version"], done.stderr


def test_every_page_is_linked():
    pages = {path.resolve() for path in (ROOT / "docs").rglob("*.md")}
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            target = (page.parent / link).resolve()
            assert target.exists(), f"{page} links to {link}"
            if target in pages and target not in found:
                found.add(target)
                todo.append(target)
    assert found == pages
    assert "docs/how-to/login.md" in (ROOT / "README.md").read_text()
