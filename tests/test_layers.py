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
    {"errors", "version"},
    {"storage"},
    {"formats"},
    {"remote"},
    {"metadata", "encryption"},
    {"genomics", "readlog"},
    {"tracks", "reference", "trees"},
    {"codes", "tables"},
    {"figures"},
    {"object"},
    {"plans"},
    {"catalog"},
    {"server", "api", "filesystem"},
    {"demo", "gateway"},
    {"cli"},
    {"__main__"},
]
INSIDE = {
    "object": [
        {
            "address",
            "announcing",
            "record",
            "shape",
            "recipients",
            "plain_indexes",
            "encryption_plan",
            "encrypted_index",
            "reference_fit",
            "findings",
            "renamed",
            "later",
            "written_metadata",
        },
        {"marks", "notebook", "old_layout"},
        {"document", "old_chunks"},
        {"commits", "tree"},
        {"journal", "newest", "part_lists", "stored_trees", "tracks"},
        {"sealed_files"},
        {"cram_references"},
        {
            "changes",
            "damage",
            "finding",
            "healing",
            "kept_arrays",
            "leftovers",
            "references",
            "track_sequence",
            "transfer",
            "tree_lists",
            "known_files",
        },
        {"cut_lists"},
        {
            "array_checks",
            "file_checks",
            "incoming",
            "incoming_trees",
            "mending",
            "moving",
            "sending",
            "track_appending",
            "tree_checks",
            "tree_encryption",
        },
        {"array_encryption", "checking", "copying", "repair_plan", "sampling", "sealed_tracks"},
        {"array_recording", "array_repairs", "pack_writer", "tree_repairs"},
        {"repairing"},
        {"file_encryption", "transaction"},
        {"describing", "tabulating", "enrichment", "encryption_changes", "open_object", "recording", "track_changes"},
        {"plain_files", "plotted_elements"},
        {"contents", "elements", "encryption", "genomes", "health", "streaming", "surveying"},
        {"converting", "gathering"},
        {"modo"},
    ],
}
ONCE_ELSEWHERE = {"cli", "server"}  # whose modules may be called as what they are about


def levels(layers):
    return {name: level for level, names in enumerate(layers) for name in names}


LEVEL = levels(LAYERS)
DOORS = {
    "typer": {"cli"},
    "rich": {"cli"},
    "fastapi": {"server"},
    "starlette": {"server", "gateway"},
    "jinja2": {"server"},
    "markupsafe": {"server"},
    "uvicorn": {"server"},
    "jwt": {"server"},
    "prometheus_client": {"server"},
    "tqdm": {"storage"},
    "minio": {"demo"},
    "moto": {"demo"},
    "s3fs": {"storage"},
    "fsspec": {"storage", "filesystem"},
    "obstore": {"storage"},
    "botocore": {"storage"},
    "aiobotocore": {"storage"},
    "aiohttp": {"storage"},
    "pysam": {"genomics", "reference", "demo"},
    "zarr": {"object", "trees"},
    "jsonschema": {"metadata"},
    "linkml_runtime": {"metadata"},
    "rdflib": {"metadata", "object"},
    "openpyxl": {"metadata"},
    "rapidfuzz": {"codes"},
    "blake3": {"storage"},
    "crypt4gh": {"encryption"},
    "cryptography": {"encryption"},
    "polars": {"tracks", "reference", "tables", "figures", "plans", "catalog"},
    "duckdb": {"catalog"},
    "pyarrow": {"reference", "tables", "plans"},
    "numcodecs": {"tracks", "object"},
    "google_crc32c": {"tracks"},
    "pybigtools": {"tracks"},
    "h5py": {"tracks"},
    "matplotlib": {"figures"},
    "xarray": {"tracks", "trees"},
    "anndata": {"trees"},
    "mudata": {"trees"},
    "spatialdata": {"trees"},
    "bio2zarr": {"trees"},
    "vcztools": {"trees"},
    "dask": {"tracks", "trees", "plans"},
}


def imports():
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("").parts
        if place == ("__init__",) or place[-1] == "datamodel":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{a.name}" for a in node.names] if node.module.split(".")[0] == "modos" else [node.module]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            for name in names:
                yield path.relative_to(PACKAGE), place, name.split(".")


def test_every_package_has_a_layer():
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {
        "__init__"
    } == set(LEVEL)


def test_imports_go_down():
    upward = [
        f"{path} imports {'.'.join(name)}"
        for path, (own, *_), name in imports()
        if name[0] == "modos" and len(name) > 1 and name[1] in LEVEL and name[1] != own and LEVEL[name[1]] >= LEVEL[own]
    ]
    assert upward == []


@pytest.mark.parametrize("package", INSIDE)
def test_imports_go_down_inside(package):
    level = levels(INSIDE[package])
    found = {path.stem for path in (PACKAGE / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__"} == set(level)
    upward = [
        f"{path} imports {'.'.join(name)}"
        for path, place, name in imports()
        if place[0] == package
        and name[:2] == ["modos", package]
        and len(name) > 2
        and name[2] in level
        and name[2] != place[1]
        and level[name[2]] >= level[place[1]]
    ]
    assert upward == []


def test_a_module_has_a_name_of_its_own():
    places = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("")
        if place.name != "__init__" and place.parts[0] not in ONCE_ELSEWHERE:
            places.setdefault(place.name, []).append(str(place))
    assert [shared for shared in places.values() if len(shared) > 1] == []


def test_heavy_libraries_have_one_door():
    through_walls = [
        f"{path} imports {name[0]}" for path, (own, *_), name in imports() if name[0] in DOORS and own not in DOORS[name[0]]
    ]
    assert through_walls == []


@pytest.mark.parametrize("module", ["modos.cli.app", "modos.api"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {(set(DOORS) | {'numpy'}) - {'typer', 'rich'}!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_a_check_of_what_has_no_arrays_loads_nothing_that_reads_them(tmp_path):
    code = f"""
import sys
from modos.object.modo import MODO
modo = MODO.create({str(tmp_path / "ex")!r}, id="ex")
modo.add_element({{"@type": "Sample", "id": "s"}})
assert not list(modo.find_problems())
print(*sorted(name for name in sys.modules if name.startswith("modos.tracks.")))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_submodules_that_are_used_are_imported():
    """`import package` may or may not bring `package.part` along: whoever uses it asks for it, or Python is asked."""
    used = sorted(
        {name for path in sorted(PACKAGE.rglob("*.py")) for name in submodules_not_imported(ast.parse(path.read_text()))}
    )
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    package, _, part = name.rpartition('.')\n"
        "    hasattr(importlib.import_module(package), part) or print(name)"
    )
    missing = [
        name
        for name in used
        if subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True).stdout
    ]
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
