"""What the project is called, what is said of installing it, and that every page can be found."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import modos

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TEXTS = [
    ROOT / "README.md",
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
    ROOT / "deploy/modos/Containerfile",
    ROOT / "deploy/native/stack",
    *(ROOT / "modos").rglob("*.py"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").rglob("*.md"),
]
BRINGS = {
    "distributed": "cluster",
    "rapidfuzz": "codes",
    "polars": "polars",
    "fastapi": "server",
    "jinja2": "server",
    "prometheus-client": "server",
    "PyJWT": "server",
    "uvicorn": "server",
    "duckdb": "sql",
    "h5py": "genomedata",
    "igv-notebook": "igv",
    "obstore": "many",
    "pyarrow": "tables",
    "matplotlib": "plot",
    "tqdm": "notebook",
    "anndata": "singlecell",
    "mudata": "singlecell",
    "spatialdata": "spatial",
    "bio2zarr": "vcf-zarr",
    "vcztools": "vcf-zarr",
    "xarray": "xarray",
    "dask": "xarray",
    "moto": "demo",
    "minio": "stack",
    "openpyxl": "xlsx",
}


def test_the_name_is_not_somebody_elses():
    assert PROJECT["name"] == "modos-store" and PROJECT["scripts"] == {"modos": "modos.cli:main"}
    assert modos.__version__ == PROJECT["version"]


def test_every_extra_that_is_named_is_there():
    """As `modos-store[x]`, `.[x]` or `....whl[x]`; and nothing names the distribution of others."""
    named = 0
    for path in TEXTS:
        text = path.read_text()
        assert not re.search(r"modos\[|pip install '?modos[ '\"\n]", text), path
        for extras in re.findall(r"(?:modos-store|'\.|\.whl)\[([a-z,-]+)\]", text):
            named += 1
            assert set(extras.split(",")) <= set(EXTRAS), f"{path} names {extras}"
    assert named > 8


def test_an_extra_brings_what_is_said_to_be_missing():
    for package, extra in BRINGS.items():
        assert any(re.match(rf"{package}\b", wanted) for wanted in EXTRAS[extra]), package
    hints = [
        found
        for path in (ROOT / "modos").rglob("*.py")
        for found in re.findall(r'"([\w ]+?) (?:is|are) not installed", "pip install \'modos-store\[(\w+)\]\'"', path.read_text())
    ]
    assert len(hints) >= 3
    for packages, extra in hints:
        assert (
            {BRINGS[package] for package in packages.split(" and ")} == {extra}
            if packages in BRINGS or " and " in packages
            else extra in EXTRAS
        )


def test_the_table_of_extras_is_that_of_the_project():
    table = dict(re.findall(r"(?m)^\| `([\w-]+)` \| ([\w, -]+) \|", (ROOT / "docs/how-to/install.md").read_text()))
    assert {package: extra for extra, packages in table.items() for package in packages.split(", ")} == BRINGS


def test_a_tree_that_is_run_as_it_lies_knows_its_version(tmp_path):
    """Also where nothing is installed, and where something else of the name `modos` is."""
    code = "import modos; print(modos.__version__)"
    (tmp_path / "modos-0.3.4.dist-info").mkdir()
    (tmp_path / "modos-0.3.4.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: modos\nVersion: 0.3.4\n")
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    )
    assert done.stdout.strip() == PROJECT["version"], done.stderr


def test_the_doctor_finds_another_distribution_in_the_same_folder(tmp_path, monkeypatch):
    """What is elsewhere, or has no file of the package, does no harm."""
    from modos.cli.diagnosis import _other_modos

    def found(folder):
        (folder / "modos-0.3.4.dist-info").mkdir(parents=True)
        (folder / "modos-0.3.4.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: modos\nVersion: 0.3.4\n")
        (folder / "modos-0.3.4.dist-info/RECORD").write_text("modos/__init__.py,,\nmodos/api.py,,\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            return list(_other_modos())

    (tmp_path / "same").mkdir()
    (tmp_path / "same/modos").symlink_to(ROOT / "modos")
    assert found(tmp_path / "other") == []
    [diagnosis] = found(tmp_path / "same")
    assert diagnosis.state == "failed" and "modos 0.3.4" in diagnosis.text and "pip uninstall modos" in diagnosis.fix


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A git repository with what makes the distribution."""
    folder = tmp_path_factory.mktemp("project") / "modos"
    shutil.copytree(ROOT / "modos", folder / "modos", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qm", "All"],
    ):
        subprocess.run(["git", "-C", folder, *words], check=True, env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull})
    return folder


def pip(*words):
    """Run it; skips where there is nothing to build with, as pip fetches that."""
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, words)], capture_output=True, text=True, timeout=300)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("no setuptools can be fetched")
    assert done.returncode == 0, done.stderr


@pytest.mark.sweep(1)
@pytest.mark.skipif(not shutil.which("git") or importlib.util.find_spec("pip") is None, reason="needs git and pip")
@pytest.mark.parametrize("way", ["wheel", "git"])
def test_what_the_page_of_installing_says(project, tmp_path, way):
    """In an environment that has the libraries, and nothing of the project: the wheel has its data, and the command works."""
    page = (ROOT / "docs/how-to/install.md").read_text()
    if way == "wheel":
        assert ".venv/bin/pip wheel --no-deps --wheel-dir dist ." in page and "dist/modos_store-0.1.0-py3-none-any.whl" in page
        pip("wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, project)
        [given] = tmp_path.glob("*.whl")
        assert given.name == "modos_store-0.1.0-py3-none-any.whl"
        held = set(zipfile.ZipFile(given).namelist())
        lies = {str(path.relative_to(project)) for path in (project / "modos").rglob("*") if path.is_file()}
        assert lies <= held and {"modos/py.typed", "modos/metadata/model/schema.json", "modos/codes/meanings.tsv"} <= held
    else:
        assert "'modos-store @ git+https://git.example.org/lab/modos.git@main'" in page
        given = f"git+file://{project}@main"
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=60)
    pip("--python", bare, "install", "-q", "--no-deps", *(("--no-index",) if way == "wheel" else ()), given)
    [site] = bare.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def modos(*words):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [bare / "bin/modos", *words], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert modos("--version") == "modos 0.1.0\n" and "Servers and settings" in modos("--help")
    modos("demo", "--write", "source", "-q")
    modos("create", "ex", "-f", "source/modo.yaml", "-q")
    assert (
        "NCIT" in modos("publish", "ex") and modos("template", "sample") and modos("stream", "ex/demo1", "-c").strip().isdigit()
    )


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
