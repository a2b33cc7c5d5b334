"""What the project is called, what is said of installing it, and that every page can be found."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import modos
from modos.errors.missing import EXTRAS as BROUGHT
from tests.support.building import ROOT, build_sdist, make_project, pip, run

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
    folder.mkdir()
    make_project(folder)
    return folder


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
        own = {"entry_points.txt", "licenses/LICENSE", "METADATA", "RECORD", "top_level.txt", "WHEEL"}
        assert held == lies | {f"modos_store-0.1.0.dist-info/{name}" for name in own}
        assert {"modos/py.typed", "modos/metadata/model/schema.json", "modos/codes/meanings.tsv"} <= held
        assert {Path(name).parent.name for name in held} >= {"templates", "assets"}
    else:
        assert "'modos-store @ git+https://git.example.org/lab/modos.git@main'" in page
        given = f"git+file://{project}@main"
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=180)
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

    commit = run("git", "-C", project, "rev-parse", "HEAD")[:12]
    assert modos("--version") == f"modos 0.1.0 (commit {commit})\n" and "Servers and settings" in modos("--help")
    modos("demo", "--write", "source", "-q")
    modos("create", "ex", "-f", "source/modo.yaml", "-q")
    assert (
        "NCIT" in modos("publish", "ex") and modos("template", "sample") and modos("stream", "ex/demo1", "-c").strip().isdigit()
    )


@pytest.mark.sweep(1)
@pytest.mark.skipif(not shutil.which("git") or importlib.util.find_spec("pip") is None, reason="needs git and pip")
def test_an_sdist_has_what_is_built_and_nothing_else(project, tmp_path):
    """No tests, no leftovers; the commit instead of what git would put there; and the wheel of it is that of the tree."""
    sdist = build_sdist(project, tmp_path)
    with tarfile.open(sdist) as archive:
        held = {
            name.partition("/")[2]: archive.extractfile(name).read()
            for name in archive.getnames()
            if archive.getmember(name).isfile()
        }
    lies = {str(path.relative_to(project)) for path in (project / "modos").rglob("*") if path.is_file()}
    beside = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}
    assert {name for name in held if not name.startswith("modos_store.egg-info/")} == lies | beside
    assert held["modos/commit.txt"].decode() == run("git", "-C", project, "rev-parse", "HEAD")
    assert (project / "modos/commit.txt").read_text() == "$Format:%H$\n"
    for given, name in ((project, "tree"), (sdist, "sdist")):
        pip("wheel", "-q", "--no-deps", "--wheel-dir", tmp_path / name, given)
    wheels = [zipfile.ZipFile(next((tmp_path / name).glob("*.whl"))) for name in ("tree", "sdist")]
    of_tree, of_sdist = ({name: wheel.read(name) for name in wheel.namelist() if not name.endswith("RECORD")} for wheel in wheels)
    assert of_tree == of_sdist


@pytest.mark.sweep(1)
@pytest.mark.skipif(not shutil.which("git") or importlib.util.find_spec("pip") is None, reason="needs git and pip")
def test_a_wheel_does_not_tell_the_commit_of_an_earlier_build(project, tmp_path):
    """`build/lib` stays in the tree, and what git knew may be gone by the next time."""
    tree = shutil.copytree(project, tmp_path / "tree")
    told = []
    for name in ("first", "second"):
        pip("wheel", "-q", "--no-deps", "--wheel-dir", tmp_path / name, tree)
        [wheel] = (tmp_path / name).glob("*.whl")
        told.append(zipfile.ZipFile(wheel).read("modos/commit.txt").decode())
        shutil.rmtree(tree / ".git", ignore_errors=True)
    assert told == [run("git", "-C", project, "rev-parse", "HEAD"), ""]


def test_a_plain_installation_says_what_it_lacks():
    """Each package that an extra brings, and that is imported without further ado, is known with its extra."""
    names = {"prometheus_client": "prometheus-client", "jwt": "PyJWT", "starlette": "fastapi", "markupsafe": "jinja2"}
    for package, extra in BROUGHT.items():
        assert BRINGS[names.get(package, package)] == extra
    moved = ("server", "codes", "polars")
    assert {package for package, extra in BRINGS.items() if extra in moved} == {
        names.get(package, package) for package in BROUGHT
    }


@pytest.mark.parametrize("package, extra", BROUGHT.items())
def test_what_is_missing_is_said_in_one_line(package, extra):
    """By the command line and in Python, for a package that is not there; and nothing is said where it is there."""
    code = f"""
import importlib.util, sys
from modos.errors import InvalidInputError
from modos.errors.missing import explain, load_late, need
need({package!r})
assert explain(ModuleNotFoundError(name={package!r})) is None
assert load_late({package!r}).__name__ == {package!r} and load_late({package!r}).__spec__ is None
sys.modules[{package!r}] = None
found = explain(ModuleNotFoundError(name={package + ".part"!r}))
print(found.message, found.hint)
for call in (lambda: need({package!r}), lambda: load_late({package!r}).something):
    try:
        call()
    except InvalidInputError as error:
        assert (error.message, error.hint) == (found.message, found.hint)
    else:
        raise AssertionError
assert explain(ModuleNotFoundError(name="numpy")) is None and explain(ModuleNotFoundError("x")) is None
"""
    said = run(sys.executable, "-c", code, cwd=ROOT)
    assert said == f"this takes {package}, which is not installed pip install 'modos-store[{extra}]'\n"


IN_CONDA = {
    "duckdb": "python-duckdb",
    "isal": "python-isal",
    "matplotlib": "matplotlib-base",
    "prometheus-client": "prometheus_client",
}


def test_the_recipe_of_conda_wants_what_the_project_wants():
    """The same packages, under the names that conda has, in the same versions; of extras those of the table of installing."""
    recipe = yaml.safe_load((ROOT / "deploy/conda/recipe.yaml").read_text())
    assert recipe["context"]["version"] == PROJECT["version"]
    assert recipe["requirements"]["host"][0] == recipe["requirements"]["run"][0] == f"python {PROJECT['requires-python']}"
    [backend] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"setuptools {backend.removeprefix('setuptools')}" in recipe["requirements"]["host"]
    assert recipe["requirements"]["run"][1:] == [in_conda(wanted) for wanted in PROJECT["dependencies"]]
    wanted = {
        in_conda(wanted)
        for name in set(BRINGS.values()) - {"demo", "stack"}
        for wanted in EXTRAS[name]
        if "modos-store[" not in wanted
    }
    assert sorted(recipe["requirements"]["run_constraints"]) == sorted(wanted)
    [script] = [f"{name} = {call}" for name, call in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == [script]
    assert recipe["about"]["license"] == PROJECT["license"] and recipe["about"]["summary"] == PROJECT["description"]


def in_conda(wanted):
    """A requirement as conda writes it: `PyJWT[crypto]>=2.10` is `pyjwt >=2.10`."""
    name, versions = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?([<>=!~].*)", wanted.partition(";")[0].strip()).groups()
    return f"{IN_CONDA.get(name, name.lower())} {versions}"


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
