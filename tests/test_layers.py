"""Imports go down through the layers, and heavy libraries stay behind their doors."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import modos

PACKAGE = Path(modos.__file__).parent
LAYERS = [
    {"hidden"},
    {"errors"},
    {"forking"},
    {"ownership", "reach", "pace", "prefetch", "hashing", "memory", "panics", "children"},
    {"peers"},
    {"redirects"},
    {"asking"},
    {"tokens", "given"},
    {"region", "formats", "config", "pipes", "mztab"},
    {"storage", "model", "login"},
    {"access", "renamed"},
    {"elements", "htsget", "index", "searching", "linked_data", "comparison", "encryption"},
    {"records", "selection", "writing", "coverage", "planning", "tracks"},
    {"annotations", "bcftools", "proving", "blanking", "verification"},
    {"streaming", "indexing", "reference"},
    {"sealed_index", "unsealing"},
    {"genomics", "transfer", "changes", "codes"},
    {"description", "referencing", "reference_fit", "incoming", "moving"},
    {"editing", "sources", "checking", "views", "copying"},
    {"enrichment", "describing", "reading", "sealing", "track_changes"},
    {"surveying"},
    {"encrypting", "copies", "genomes", "gathering"},
    {"modo", "catalog", "doctor"},
    {"api", "remote", "server"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOORS = {
    "typer": {"cli"}, "rich": {"cli"}, "s3fs": {"storage"}, "botocore": {"storage"}, "aiobotocore": {"storage"}, "jwt": {"server"}, "prometheus_client": {"server"}, "minio": {"demo"}, "aiohttp": {"storage"},
    "pysam": {"records", "writing", "indexing", "reference", "demo"}, "zarr": {"modo", "elements"}, "jsonschema": {"model"},
    "linkml_runtime": {"model"}, "rdflib": {"linked_data", "modo"}, "fastapi": {"server"}, "starlette": {"server"}, "uvicorn": {"server"},
    "moto": {"demo"}, "rapidfuzz": {"codes"}, "crypt4gh": {"encryption"}, "cryptography": {"encryption"},
    "polars": {"tracks", "annotations", "reference"}, "numcodecs": {"tracks"}, "google_crc32c": {"tracks"}, "pybigtools": {"tracks"}, "h5py": {"tracks"},
    "openpyxl": {"description"},
    "matplotlib": {"tracks"}, "xarray": {"tracks"}, "dask": {"tracks"},
}


def imports():
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("").parts
        if place == ("__init__",) or place[-1] == "datamodel":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"modos.{a.name}" for a in node.names] if node.module == "modos" else [node.module]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            for name in names:
                yield path.relative_to(PACKAGE), place[0], name.split(".")


def test_every_module_has_a_layer():
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} \
        - {"__init__"} == set(LEVEL)


def test_imports_go_down():
    upward = [f"{path} imports {'.'.join(name)}" for path, own, name in imports()
              if name[0] == "modos" and len(name) > 1 and name[1] in LEVEL
              and name[1] != own and LEVEL[name[1]] >= LEVEL[own]]
    assert upward == []


def test_heavy_libraries_have_one_door():
    through_walls = [f"{path} imports {name[0]}" for path, own, name in imports()
                     if name[0] in DOORS and own not in DOORS[name[0]]]
    assert through_walls == []


@pytest.mark.parametrize("module", ["modos.cli.app", "modos.api"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {(set(DOORS) | {'numpy'}) - {'typer', 'rich'}!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_a_check_of_what_has_no_arrays_loads_nothing_that_reads_them(tmp_path):
    code = f"""
import sys
from modos.modo import MODO
modo = MODO.create({str(tmp_path / "ex")!r}, id="ex")
modo.add_element({{"@type": "Sample", "id": "s"}})
assert not list(modo.find_problems())
print(*sorted(name for name in sys.modules if name.startswith("modos.tracks.")))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_submodules_that_are_used_are_imported():
    """`import package` may or may not bring `package.part` along: whoever uses it asks for it, or Python is asked."""
    used = sorted({name for path in sorted(PACKAGE.rglob("*.py")) for name in submodules_not_imported(ast.parse(path.read_text()))})
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    package, _, part = name.rpartition('.')\n" \
           "    hasattr(importlib.import_module(package), part) or print(name)"
    missing = [name for name in used if subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True,
                                                       check=True).stdout]
    assert missing == []


def submodules_not_imported(tree):
    """Dotted names that are submodules of an imported package, and are not imported in the same file."""
    names, imported = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported.add(alias.name)
                names[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            name = f"{names[node.value.id]}.{node.attr}"
            if name.split(".")[0] in DOORS and name not in imported and is_module(name):
                yield name


def is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of something that is no package
        return False
