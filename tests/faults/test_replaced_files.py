"""A file that is not the one that was added gives an error, whole and by region, also where htslib would take it."""

from __future__ import annotations

import gzip

import pytest

from modos.api import MODO
from modos.errors import IntegrityError, ModosError
from modos.formats import BGZF_EOF
from modos.genomics.index import bgzf
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.hard_files import CASES, index_variants


def cut_between_records(path) -> None:
    """Leave out the last record of a VCF: a file that is whole by itself."""
    text = gzip.decompress(path.read_bytes())
    kept = text[: text.rstrip(b"\n").rfind(b"\n") + 1]
    path.write_bytes(b"".join(bgzf.compress(kept[at : at + 0xFF00]) for at in range(0, len(kept), 0xFF00)) + BGZF_EOF)


@pytest.mark.parametrize("region", [None, "chr1", "chr1:1-1,000"])
def test_a_shorter_file_is_noticed(tmp_path, region):
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    cut_between_records(tmp_path / "ex/a.vcf.gz")
    for ask in (
        lambda file: list(file.fetch(region)),
        lambda file: file.count(region),
        lambda file: b"".join(file.iter_bytes(region)),
    ):
        with pytest.raises(IntegrityError, match="recorded"):
            ask(MODO.open(tmp_path / "ex").file("a.vcf.gz"))


HEADER = "##fileformat=VCFv4.3\n##contig=<ID=1>\n##contig=<ID=2>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.mark.parametrize("way", ["folder", "server"])
@pytest.mark.parametrize("block", [40, 0xFF00])
def test_a_last_line_without_its_end_is_whole_and_any_other_is_not(tmp_path, way, block):
    """A chunk of an index that ends within a line is of another file, where the file goes on."""
    lines = [f"{contig}\t{at}\tv{at}\tA\tC\t.\t.\tDP={at}" for contig in "12" for at in range(1000, 1040)]
    path = tmp_path / "a.vcf.gz"
    text = (HEADER + "\n".join(lines)).encode()
    path.write_bytes(b"".join(bgzf.compress(text[at : at + block]) for at in range(0, len(text), block)) + BGZF_EOF)
    index_variants(path, "-t", ".tbi")
    modo = MODO(tmp_path / "objects/ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, path)
    server = BackgroundServer(create_app(open_storage(tmp_path / "objects")))
    try:
        file = modo.file("a.vcf.gz") if way == "folder" else open_served_file(f"{server.url}/htsget/variants/ex/a", None)
        assert [str(record).rstrip("\n") for record in file.fetch("2")] == lines[40:]
        assert file.count("2:1039") == 1 and file.count("1") == 40
        stored, longer = tmp_path / "objects/ex/a.vcf.gz", text.replace(b"DP=1039", b"DP=1039;MORE=1")
        stored.write_bytes(b"".join(bgzf.compress(longer[at : at + block]) for at in range(0, len(longer), block)) + BGZF_EOF)
        with pytest.raises(ModosError):
            list(
                (
                    modo.file("a.vcf.gz") if way == "folder" else open_served_file(f"{server.url}/htsget/variants/ex/a", None)
                ).fetch("1:1039")
            )
    finally:
        server.stop()


def test_what_is_no_record_between_records_is_passed_over(tmp_path):
    """As bcftools does, which goes by the index."""
    path = tmp_path / "a.vcf.gz"
    path.write_bytes(
        bgzf.compress(
            (HEADER + "1\t5\ta\tA\tC\t.\t.\t.\n#a\tremark\n1\t9\tb\tA\tC\t.\t.\t.\n#1\t9\n2\t7\tc\tA\tC\t.\t.\t.\n").encode()
        )
        + BGZF_EOF
    )
    index_variants(path, "-t", ".tbi")
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, path)
    file = modo.file("a.vcf.gz")
    assert [[record.id for record in file.fetch(region)] for region in ("1", "2", ["1:9", "2"])] == [
        ["a", "b"],
        ["c"],
        ["b", "c"],
    ]
    assert (file.count("1"), file.count()) == (2, 3)
