"""Regions of files that are hard to cut come out exactly, from a folder, from S3 and through the server, over GET and POST."""

from __future__ import annotations

import random
import subprocess

import pytest
from starlette.responses import Response

from modos.api import MODO
from modos.genomics import GenomicFile
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.streams import HtsgetSource
from modos.genomics.region import settle
from modos.genomics.writer import OutputFormat
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.hard_files import CASES, File, some_regions, text_of


class Served:
    """A hard file in an object in a folder, and the server over it."""

    def __init__(self, name, root):
        self.file: File = CASES[name](root)
        self.modo = MODO(root / "objects/ex")
        kind = "AlignmentSet" if self.file.format.kind == "reads" else "VariantSet"
        self.modo.add_element({"id": "a", "@type": kind}, self.file.path)
        app = create_app(open_storage(root / "objects"))
        self.servers = {"server": BackgroundServer(app), "server without POST": BackgroundServer(without_post(app))}

    def genomic(self, way):
        if way == "folder":
            return self.modo.file(self.file.path.name)
        client = HtsgetClient(f"{self.servers[way].url}/htsget")
        return GenomicFile(HtsgetSource(client, "ex/a", self.file.format))


def without_post(app):
    async def refuse(scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "POST":
            await Response(status_code=405)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return refuse


@pytest.fixture(scope="module", params=CASES)
def served(request, tmp_path_factory):
    served = Served(request.param, tmp_path_factory.mktemp("hard"))
    yield served
    for server in served.servers.values():
        server.stop()


def bounded(file, count, seed):
    return [region for region in some_regions(file, count, seed) if region.end is not None or region.contig == "*"]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("way", ["folder", "server"])
def test_each_region_has_its_records(served, way):
    genomic = served.genomic(way)
    for region in some_regions(served.file, 12, seed=7):
        expected = served.file.filtered(served.file.path, region)
        assert [text_of(record) for record in genomic.fetch(region)] == expected, region


@pytest.mark.sweep(6)
@pytest.mark.parametrize("way", ["folder", "server", "server without POST"])
def test_regions_together_have_each_record_once(served, way):
    regions = bounded(served.file, 12, seed=8)
    if not regions:
        pytest.skip("a file without contigs of which a part could be asked for")
    regions += regions[:2]
    random.Random(1).shuffle(regions)
    expected = served.file.filtered(served.file.path, *regions)
    if way == "server without POST":  # asked for one at a time, in the order of the header
        expected = served.file.filtered_in_turn(served.file.path, *settle(regions, list(served.file.header.contigs)))
    genomic = served.genomic(way)
    assert [text_of(record) for record in genomic.fetch(regions)] == expected
    assert genomic.count(regions) == len(expected)


@pytest.mark.parametrize("way", ["folder", "server"])
def test_what_is_served_is_a_file_of_whole_records(served, way, tmp_path):
    regions = settle(bounded(served.file, 5, seed=9), list(served.file.header.contigs))
    if not regions:
        pytest.skip("a file without contigs of which a part could be asked for")
    out = tmp_path / served.file.path.name
    out.write_bytes(b"".join(served.genomic(way).iter_bytes(regions)))
    expected = served.file.filtered(served.file.path, *regions)
    assert served.file.filtered(out, *regions) == expected
    everything = served.file.all(served.file.path)
    assert not set(served.file.all(out)) - set(everything)
    program = "samtools" if served.file.format.kind == "reads" else "bcftools"
    subprocess.run([program, "view", str(out)], check=True, capture_output=True)


def test_what_is_written_is_what_is_read(served, tmp_path):
    region = next(iter(some_regions(served.file, 3, seed=11)), None)
    expected = [text_of(record) for record in served.modo.file(served.file.path.name).fetch(region)]
    for compressed in (True, False):
        out = tmp_path / served.file.path.name.replace(".vcf.gz", ".vcf.gz" if compressed else ".vcf")
        with open(out, "wb") as target:
            served.genomic("server").write(target.fileno(), region, OutputFormat(served.file.format.name, compressed))
        assert served.file.all(out) == expected
