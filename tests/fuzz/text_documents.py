"""Readers of what describes objects and references: descriptions, roots, records of changes, what stores and caches say."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from .text_tables import assembly, check_read
from .trying import Target


def _create(path: Path) -> None:
    from modos.api import MODO

    MODO.from_file(path, path.parent / "object")
    check_read(path.parent / "object")


def _create_samples(path: Path) -> None:
    from modos.api import MODO

    MODO.from_file(path, path.parent / "object", type="sample")
    check_read(path.parent / "object")


def _add_element(path: Path) -> None:
    """What `modos add -e` and `modos update -e` do."""
    from modos.api import MODO
    from modos.cli.input import parse_json

    attributes = parse_json(path.read_bytes().decode(errors="surrogateescape"), "--element")
    modo = MODO(path.parent / "object", id="x")
    element_id = modo.add_element({"@type": "Sample", **attributes})
    modo.update_element(element_id, {name: value for name, value in attributes.items() if name not in ("id", "@type")})
    check_read(path.parent / "object")


def _read_element(path: Path) -> None:
    """What `modos add -f` does."""
    from modos.api import MODO
    from modos.errors import InvalidInputError
    from modos.metadata.description import load_yaml

    attributes = load_yaml(path)
    if not isinstance(attributes, dict):
        raise InvalidInputError("the element is not a mapping of attributes")
    modo = MODO(path.parent / "object", id="x")
    modo.add_element({"@type": "Assay", **attributes})
    check_read(path.parent / "object")


def _read_root(path: Path) -> None:
    _show(path, "zarr.json")


def _read_old_root(path: Path) -> None:
    _show(path, ".zmetadata")


def _show(path: Path, name: str) -> None:
    """All that is done with a root by those who only read."""
    from modos.api import MODO
    from modos.catalog.catalog import Catalog
    from modos.metadata.graph import serialize
    from modos.storage import open_storage

    folder = path.parent / "served" / "object"
    (folder / "data.zarr").mkdir(parents=True)
    shutil.move(path, folder / "data.zarr" / name)
    if name == ".zmetadata":
        (folder / "data.zarr" / ".zgroup").write_bytes(b'{"zarr_format": 2}')
    list(Catalog(open_storage(folder.parent)).find("a sex=female", lambda _: True))
    modo = MODO(folder)
    modo.show_contents()
    modo._repr_html_() if hasattr(modo, "_repr_html_") else None
    json.dumps(modo.ro_crate())
    modo.list_files(), modo.list_samples(), modo.list_arrays()
    modo.find_problems()
    for format in ("turtle", "nt", "json-ld"):
        serialize(modo.knowledge_graph("http://x"), format)
    modo._document.to_bytes()


def _read_record(path: Path) -> None:
    """The record of a change, and what is done to clean up after it."""
    from modos.api import MODO
    from modos.object.journal import recover
    from modos.object.record import entries
    from modos.storage import open_storage

    place = path.parent / "object"
    MODO(place, id="x")
    (place / ".modos").mkdir(exist_ok=True)
    (place / "victim").write_bytes(b"of somebody")
    shutil.move(path, place / ".modos" / "0123456789abcdef-7-01234567.json")
    storage = open_storage(place)
    for entry in entries(storage, limit=0):
        entry.covers("victim"), entry.may_delete(storage.stat("victim"))
    recover(storage, limit=0)
    assert (place / "victim").exists(), "a record that was brought here had a file deleted"
    check_read(place)


def _read_mark(path: Path) -> None:
    from modos.storage.processes.ownership import is_abandoned

    is_abandoned(path.read_bytes().decode(errors="surrogateescape").strip(), 1)


def _read_index(path: Path) -> None:
    """What a reference store says that it has, told by the client and by the server."""
    from modos.errors import NotFoundError
    from modos.reference.annotation_store import is_annotation_name
    from modos.reference.cached_store import CachedStore
    from modos.reference.store import ReferenceStore
    from modos.server.refget import Sequences
    from modos.storage import open_storage

    (path.parent / "store").mkdir()
    shutil.move(path, path.parent / "store" / "index.json")
    store = ReferenceStore(open_storage(path.parent / "store"))
    json.dumps(store.contents())
    for look in (
        lambda: store.assembly("smal"),
        lambda: is_annotation_name(CachedStore(store), "gene"),
        lambda: Sequences(store).find("0" * 32),
    ):
        with contextlib.suppress(NotFoundError):
            look()


def _read_assembly(path: Path) -> None:
    from modos.reference.assembly import Assembly

    Assembly.from_bytes(path.read_bytes(), str(path)).to_bytes()


def _read_manifest(path: Path) -> None:
    from modos.reference.annotations.parquet_files import Manifest

    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    manifest.to_bytes(), manifest.rows, manifest.size


def _read_note(path: Path) -> None:
    """The note of a file's digests: whatever it says, the digests are right."""
    from modos.reference import proofs

    shared = path.parent / "sequence"
    shared.write_bytes(b"ACGT")
    with patch.dict("os.environ", XDG_STATE_HOME=str(path.parent)):
        note = proofs._note_of(shared)
        note.parent.mkdir(parents=True)
        shutil.move(path, note)
        assert proofs.digests_of(shared, "md5")["md5"] == "f1f8f4bf413b16ad135722aa4591043e"


def _read_tokens(path: Path) -> None:
    """What `modos login` has kept."""
    from modos.remote import tokens

    (path.parent / "tokens.json").write_bytes(path.read_bytes())
    (path.parent / "tokens.json").chmod(0o600)
    with patch.dict("os.environ", MODOS_CONFIG_DIR=str(path.parent)):
        tokens.token_of("http://a:80")
        tokens.remove("http://a:80")


@cache
def _example() -> bytes:
    """The root of a small object."""
    from modos.api import MODO

    with tempfile.TemporaryDirectory() as folder:
        modo = MODO(Path(folder) / "ex", id="ex", name="An example", description="of \u00fc")
        for element, parent in (
            ({"@type": "Assay", "id": "a", "omics_type": ["GENOMICS"]}, None),
            ({"@type": "Sample", "id": "s", "sex": "Female", "taxon_id": ["NCBITaxon:9606"]}, "assay/a"),
            ({"@type": "ReferenceGenome", "id": "r", "data_path": "r.fa"}, None),
            (
                {
                    "@type": "AlignmentSet",
                    "id": "d",
                    "data_path": "d.bam",
                    "data_format": "BAM",
                    "has_sample": ["s"],
                    "has_reference": ["r"],
                },
                "assay/a",
            ),
        ):
            modo.add_element(element, part_of=parent)
        return (Path(folder) / "ex" / "data.zarr" / "zarr.json").read_bytes()


def _old_example() -> bytes:
    root = json.loads(_example())
    nodes = root["consolidated_metadata"]["metadata"]
    entries = {".zattrs": root["attributes"], ".zgroup": {"zarr_format": 2}}
    for name, node in nodes.items():
        entries |= {f"{name}/.zgroup": {"zarr_format": 2}, f"{name}/.zattrs": node["attributes"]}
    return json.dumps({"metadata": entries, "zarr_consolidated_format": 1}, indent=1).encode()


def _seed(make: Callable[[], Any]) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(make(), indent=1).encode()]


def _index() -> dict[str, Any]:
    small = {"seqcol": assembly().seqcol, "contigs": 3, "bases": 166_569}
    genes = {"assembly": "small", "seqcol": assembly().seqcol, "rows": {"gene": 1}, "bytes": 100, "source": "x", "versions": [1]}
    return {"format": 1, "assemblies": {"small": small}, "annotations": {"genes": genes}}


def _manifest() -> dict[str, Any]:
    from modos.reference.annotations.parquet_files import KINDS

    tables = {kind: {"file": f"{kind}.parquet", "size": 10, "sha256": "0" * 64, "offsets": [0, 1, 2]} for kind in KINDS}
    return {
        "format": 1,
        "name": "genes",
        "assembly": "small",
        "seqcol": "x",
        "contigs": ["chr1", "chr2"],
        "source": "x",
        "tables": tables,
        "left_out": {"lines": 2},
        "circular": {"chr2": 500},
    }


_EXITS = (2, 3, 4, 6)  # 3: a link to what is not there
_YAML = (
    b"- element:\n    id: ex\n    '@type': MODO\n    creation_date: 2026-01-02\n- element: &sample\n    id: s1\n    '@type': Sample\n    sex: Male\n"
    b"    taxon_id: [NCBITaxon:9606]\n- element:\n    <<: *sample\n    id: s2\n- element:\n    id: a1\n    '@type': Assay\n    omics_type: [GENOMICS]\n"
    b"    has_sample: [s1, s2]\n  args:\n    part_of: ex\n"
)
_JSON = b'[{"element": {"id": "s1", "@type": "Sample", "sex": "Male"}, "args": {}}, {"element": {"id": "a", "@type": "Assay", "omics_type": "GENOMICS"}}]'
_BOMB = b"- &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"- &%c [%s]\n" % (97 + n, b", ".join([b"*%c" % (96 + n)] * 9)) for n in range(1, 9)
)
_CSV = b'id,sex,taxon_id,collector\ns1,Male,NCBITaxon:9606,"A, B|C"\ns2,Female,,\n'
_TSV = b"id\t@type\tname\tomics_type\thas_sample\ns1\tSample\tone\t\t\na1\tAssay\ttwo\tGENOMICS|PROTEOMICS\ts1\n"
_WORDS = (
    b"id",
    b"@type",
    b"Sample",
    b"Assay",
    b"MODO",
    b"AlignmentSet",
    b"data_path",
    b"source_file",
    b"../x",
    b"/etc/passwd",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[" * 200,
    b"&a",
    b"*a",
    b"<<: *a",
    b"!!python/object:os.system",
    b"!!set",
    b"!!binary x",
    b"2026-13-45",
    b"2026-01-02",
    b"12:30:45",
    b"0x1f",
    b".inf",
    b"{? [a] : b}",
    b"---\n",
    b"has_sample",
    b"data_size",
    b"s1",
    b"\\ud800",
    b"\\u001b",
    b"sample/s1",
    b"a/b/c",
    b"|",
    b'"',
)
_JSON_WORDS = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[" * 500,
    b'{"a":' * 100,
    b"NaN",
    b"Infinity",
    b"1e999",
    b"\\ud800",
    b"\\u001b",
    b'""',
    b'"x"',
    b"-1",
    b"0.5",
    b'"@type"',
    b'"id"',
    b'"a/../b"',
    b'"' + b"x" * 3000 + b'"',
)

TARGETS = [
    Target(
        "description-yaml",
        ".yaml",
        _create,
        lambda: [_YAML, _YAML.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + _YAML],
        _WORDS,
        _EXITS,
    ),
    Target("description-json", ".json", _create, lambda: [_JSON], (*_WORDS, *_JSON_WORDS), _EXITS),
    Target(
        "sheet-csv", ".csv", _create_samples, lambda: [_CSV, b"\xef\xbb\xbf" + _CSV, _CSV.replace(b"\n", b"\r\n")], _WORDS, _EXITS
    ),
    Target("sheet-tsv", ".tsv", _create, lambda: [_TSV], _WORDS, _EXITS),
    Target(
        "element",
        ".json",
        _add_element,
        lambda: [b'{"id": "s1", "sex": "Male", "taxon_id": ["NCBITaxon:9606"], "name": "\xc3\xbc"}'],
        (*_WORDS, *_JSON_WORDS),
        _EXITS,
    ),
    Target("element-yaml", ".yaml", _read_element, lambda: [b"id: a1\nomics_type: [GENOMICS]\nname: an assay\n"], _WORDS, _EXITS),
    Target("root", ".json", _read_root, lambda: [_example()], (*_WORDS, *_JSON_WORDS)),
    Target("old-root", ".json", _read_old_root, lambda: [_old_example()], (*_WORDS, *_JSON_WORDS)),
    Target(
        "record",
        ".json",
        _read_record,
        _seed(
            lambda: {
                "place": "x",
                "files": ["old", "new"],
                "new": ["new"],
                "folders": ["data.zarr/data/x"],
                "time": 1.5,
                "began": 2.5,
                "claimed": "0123456789abcdef-8-01234567",
            }
        ),
        (*_JSON_WORDS, b'"victim"', b'"data.zarr"'),
    ),
    Target("mark", ".txt", _read_mark, lambda: [b"0123456789abcdef-7-01234567a07f", b"x"], (b"-", b"0", b"-1-")),
    Target("index", ".json", _read_index, _seed(_index), _JSON_WORDS),
    Target("assembly", ".json", _read_assembly, lambda: [assembly().to_bytes()], _JSON_WORDS),
    Target("manifest", ".json", _read_manifest, _seed(_manifest), _JSON_WORDS),
    Target("note", ".json", _read_note, _seed(lambda: {"marks": [1, 2, 3, 4, 5], "digests": {"md5": "0" * 32}}), _JSON_WORDS),
    Target(
        "kept-tokens",
        ".json",
        _read_tokens,
        _seed(lambda: {"http://a:80": {"token": "t", "expires": None}}),
        (*_JSON_WORDS, b'"expires"', b"99999999999"),
        exits=(4, 5),
    ),
]
