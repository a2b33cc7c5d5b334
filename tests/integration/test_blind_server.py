"""A server that opens no file serves regions of encrypted ones, which any Crypt4GH program opens for a recipient.

samtools and bcftools say which records a region of the plain file has.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from modos.api import MODO
from modos.encryption.header import Header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AccessError, DecryptError, InvalidInputError, ModosError, NotFoundError
from modos.formats import cuts_name
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import ByteRange, open_storage
from tests.support.hard_files import CASES, CONTIGS, WITHOUT_CONTIGS, overlaps, some_regions, text_of

pytestmark = pytest.mark.sweep(60)

ALICE, BOB, SERVER, OTHER = (SecretKey.random() for _ in range(4))
GO = shutil.which("crypt4gh-go") or shutil.which("crypt4gh", path=f"{os.environ.get('GOBIN', '')}:{Path.home() / 'go/bin'}")


@pytest.fixture(scope="module")
def hard(tmp_path_factory) -> Path:
    """An object with a hard file of each kind, encrypted for Alice, and what finds regions for the server."""
    folder = tmp_path_factory.mktemp("hard")
    modo = MODO.create(folder / "ex")
    for name in CASES.keys() - WITHOUT_CONTIGS:
        place = folder / "plain" / name
        place.mkdir(parents=True)
        file = CASES[name](place)
        ending = "".join(file.path.suffixes)
        renamed = file.path.rename(place / f"{name}{ending}")
        file.index_path.rename(place / file.index_path.name.replace(file.path.name, renamed.name))
        modo.add_element({"@type": "DataEntity", "id": f"data/{name}"}, source_file=renamed)
    shutil.copytree(folder / "ex", folder / "open")
    assert MODO.open(folder / "ex").encrypt(ALICE.public, index_for=SERVER.public, also_me=False)
    return folder


@pytest.fixture(scope="module")
def server(hard):
    with BackgroundServer(create_app(open_storage(str(hard)), index_key=SERVER)) as server:
        yield server


def fetch(url: str, query: dict[str, str], reader: PublicKey | None) -> bytes:
    """What the blocks of a ticket give, put together as any htsget client would."""
    headers = {PUBLIC_KEY_HEADER: str(reader)} if reader else {}
    answer = requests.get(url, params=query, headers=headers, timeout=20)
    if answer.status_code != 200:
        raise AssertionError(answer.text)
    parts = []
    for block in answer.json()["htsget"]["urls"]:
        if block["url"].startswith("data:"):
            parts.append(base64.b64decode(block["url"].partition(",")[2]))
        else:
            part = requests.get(block["url"], headers=block["headers"], timeout=20)
            assert part.status_code == 206
            parts.append(part.content)
    return b"".join(parts)


def open_with_package(data: bytes, secret: SecretKey) -> bytes:
    """What the package crypt4gh makes of a file."""
    from crypt4gh.lib import decrypt

    opened = io.BytesIO()
    decrypt([(0, secret.raw, None)], io.BytesIO(data), opened)
    return opened.getvalue()


def path_of(hard: Path, name: str) -> Path:
    return next(path for path in (hard / "open").glob(f"{name}.*") if path.suffix in (".bam", ".cram", ".bcf", ".gz"))


def kind_of(path: Path) -> str:
    return "reads" if path.suffix in (".bam", ".cram") else "variants"


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT_CONTIGS))
def test_any_region_opens_with_the_package_and_has_its_records(hard, server, name, tmp_path):
    path = path_of(hard, name)
    file = Hard(path)
    url = f"{server.url}/htsget/{kind_of(path)}/ex/{name}"
    for region in some_regions(file, 6):
        query = {"referenceName": region.contig, "encryptionScheme": "c4gh"}
        query |= {} if region.contig == "*" else {"start": str(region.start)}
        query |= {} if region.end is None else {"end": str(region.end)}
        opened = tmp_path / path.name
        opened.write_bytes(open_with_package(fetch(url, query, ALICE.public), ALICE))
        assert file.filtered(opened, region) == file.filtered(path, region), region


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT_CONTIGS))
def test_our_client_gives_exactly_the_records(hard, server, name):
    path = path_of(hard, name)
    file = Hard(path)
    served = open_served_file(f"{server.url}/htsget/{kind_of(path)}/ex/{name}", None, secret=ALICE)
    regions = some_regions(file, 4)
    for region in regions:
        assert [text_of(record) for record in served.fetch(region)] == file.filtered(path, region), region
    assert [text_of(record) for record in served.fetch()] == file.all(path)
    several = [region for region in regions if region.contig != "*"][:4]
    if len(several) > 1:
        assert [text_of(record) for record in served.fetch(several)] == file.filtered(path, *several)


class Hard:
    """A file that lies in a folder, to be read by pysam alone."""

    def __init__(self, path: Path):
        from tests.support.hard_files import File

        index = next(p for p in path.parent.iterdir() if p.name.startswith(path.name + ".") and not p.name.endswith(".parts"))
        file = File(path, index)
        self.header, self.index, self.format = file.header, file.index, file.format
        self.filtered, self.all, self.plan = file.filtered, file.all, file.plan
