"""A file that is not the one that was added gives an error, whole and by region, also where htslib would take it."""

from __future__ import annotations

import gzip

import pytest

from modos.api import MODO
from modos.errors import IntegrityError
from modos.formats import BGZF_EOF
from modos.index import bgzf

from ..hard_files import CASES


def cut_between_records(path) -> None:
    """Leave out the last record of a VCF: a file that is whole by itself."""
    text = gzip.decompress(path.read_bytes())
    kept = text[:text.rstrip(b"\n").rfind(b"\n") + 1]
    path.write_bytes(b"".join(bgzf.compress(kept[at:at + 0xFF00]) for at in range(0, len(kept), 0xFF00)) + BGZF_EOF)


@pytest.mark.parametrize("region", [None, "chr1", "chr1:1-1,000"])
def test_a_shorter_file_is_noticed(tmp_path, region):
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, CASES["vcf-tbi"](tmp_path).path)
    cut_between_records(tmp_path / "ex/a.vcf.gz")
    for ask in (lambda file: list(file.fetch(region)), lambda file: file.count(region), lambda file: b"".join(file.iter_bytes(region))):
        with pytest.raises(IntegrityError, match="recorded"):
            ask(MODO.open(tmp_path / "ex").file("a.vcf.gz"))
