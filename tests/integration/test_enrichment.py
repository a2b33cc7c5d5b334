"""What the headers say comes into the metadata, once, and linked."""

from __future__ import annotations

import base64
import hashlib
import shutil

import pysam
import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import IntegrityError
from modos.formats.mztab import parse_mztab

MZTAB = """COM\tmade up
MTD\tmzTab-version\t1.0.0
MTD\tmzTab-mode\tSummary
MTD\ttitle\tLiver proteome
MTD\tdescription\tTwo livers
MTD\tms_run[1]-location\tfile:///a.mzML
MTD\tsample[1]-species[1]\t[NEWT, 9606, Homo sapiens (Human), ]
MTD\tsample[1]-tissue[1]\t[BTO, BTO:0000759, liver, ]
MTD\tsample[1]-cell_type[1]\t[CL, CL:0000182, hepatocyte, ]
MTD\tsample[1]-description\tfirst
MTD\tsample[2]\tKnown
MTD\tsample[2]-species[1]\t[NEWT, 10090, Mus musculus, ]

PRH\taccession
PRT\tP12345
MTD\tsample[3]\tnot metadata any more
"""


@pytest.fixture
def modo(example, tmp_path):
    """The demo's files without what the headers say."""
    modo = MODO(tmp_path / "ex")
    source = example / "source"
    with modo.transaction() as tx:
        tx.add_element({"id": "ref", "@type": "ReferenceGenome"}, source / "reference.fa")
        tx.add_element({"id": "one", "@type": "Sample", "name": "SAMPLE1"})
        for name, file in (("cram", "demo1.cram"), ("bam", "demo2.bam")):
            tx.add_element({"id": name, "@type": "AlignmentSet", "has_reference": "ref"}, source / file)
        tx.add_element({"id": "bcf", "@type": "VariantSet", "has_reference": "ref"}, source / "cohort.bcf")
    return modo


def sequences(modo):
    return {a["name"]: a.get("sequence_md5") for i, a in modo.metadata.items() if i.startswith("sequence/")}


def test_sequences_and_samples_are_added_once_and_linked(modo, example):
    assert modo.enrich_metadata() == []
    with pysam.AlignmentFile(str(example / "source/demo1.cram")) as file:
        expected = {line["SN"]: line["M5"] for line in file.header.to_dict()["SQ"]}
    assert sequences(modo) == expected
    metadata = modo.metadata
    assert len(metadata["reference/ref"]["has_sequence"]) == 2
    assert metadata["data/cram"]["has_sample"] == metadata["data/bam"]["has_sample"] == ["sample/one"]
    assert metadata["data/bcf"]["has_sample"] == ["sample/one", "sample/SAMPLE2"]
    assert modo.find_problems() == []


def test_twice_changes_nothing(modo):
    modo.enrich_metadata()
    before = (modo.path / "data.zarr/zarr.json").read_bytes()
    modo.enrich_metadata()
    assert (modo.path / "data.zarr/zarr.json").read_bytes() == before


def test_remote_objects_too(modo, stack):
    remote = modo.upload(f"s3://{BUCKET}/enriched", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    remote.enrich_metadata()
    modo.enrich_metadata()
    assert remote.checksum() == modo.checksum()


def test_sequences_that_are_there_are_completed(modo, example):
    modo.add_element({"id": "chr1", "@type": "ReferenceSequence"})
    modo.enrich_metadata()
    assert "sequence_md5" in modo.metadata["sequence/chr1"] and len(sequences_ids(modo)) == 2


def sequences_ids(modo):
    return [i for i in modo.metadata if i.startswith("sequence/")]


def test_an_object_of_others(shared_data, tmp_path):
    shutil.copytree(shared_data / "modos-ex/ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    before = modo.metadata
    modo.enrich_metadata()
    assert sequences_ids(modo) == ["sequence/BA000007.3_bd7522"]
    assert modo.metadata["reference/reference1"]["has_sequence"] == ["sequence/BA000007.3_bd7522"]
    digest = base64.urlsafe_b64encode(
        hashlib.sha512(b"".join((tmp_path / "ex/reference.fa").read_bytes().split(b"\n")[1:]).upper()).digest()[:24]
    )
    assert modo.metadata["sequence/BA000007.3_bd7522"] == before["sequence/BA000007.3_bd7522"] | {
        "refget_digest": f"SQ.{digest.decode()}"
    }


def test_a_file_that_cannot_be_read_is_told(modo):
    path = modo.path / "demo2.bam"
    path.write_bytes(b"no BAM" + path.read_bytes()[6:])
    assert modo.enrich_metadata() == ["data/bam"]
    assert len(sequences(modo)) == 2


def test_mztab_gives_samples_and_an_assay(modo, tmp_path):
    (tmp_path / "liver.mztab").write_text(MZTAB)
    modo.add_element({"id": "known", "@type": "Sample", "name": "Known"})
    modo.add_element({"id": "liver", "@type": "MassSpectrometryResults"}, tmp_path / "liver.mztab")
    modo.enrich_metadata()
    metadata = modo.metadata
    assert metadata["sample/sample_1"] == {
        "@type": "Sample",
        "name": "sample_1",
        "description": "first",
        "taxon_id": ["NCBITaxon:9606"],
        "cell_type": "CL:0000182",
        "source_material": "BTO:0000759",
    }
    assert metadata["data/liver"]["has_sample"] == ["sample/sample_1", "sample/known"]
    assert metadata["assay/liver"] == {
        "@type": "Assay",
        "omics_type": ["PROTEOMICS"],
        "has_data": ["data/liver"],
        "name": "Liver proteome",
        "has_sample": ["sample/sample_1", "sample/known"],
        "description": "Two livers",
    }
    assert metadata["ex"]["has_assay"] == ["assay/liver"]
    before = (modo.path / "data.zarr/zarr.json").read_bytes()
    modo.enrich_metadata()
    assert (modo.path / "data.zarr/zarr.json").read_bytes() == before


def test_mztab_m_is_metabolomics_and_others_are_refused():
    assert parse_mztab(["MTD\tmzTab-version\t2.0.0-M"]).is_metabolomics
    for text in ("", "MTD\ttitle\tx", "PRT\tx"):
        with pytest.raises(IntegrityError):
            parse_mztab([text])
