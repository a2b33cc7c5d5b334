"""A reference store whose files say what is not so: no sequence is given out under a digest that it does not have."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest
import requests

from modos.errors import IntegrityError
from modos.object.modo import MODO
from modos.reference import proofs
from modos.reference.adding import add_files
from modos.reference.assembly import Assembly, StoredContig, assembly_key, sequence_key
from modos.reference.digests import SequenceHash, seqcol_digest, trunc512_of
from modos.reference.locate import open_reference, open_store
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

TRUE, OTHER = "GATTACA" * 20, "GATTACC" * 20


def digests(bases):
    found = SequenceHash()
    found.update(bases.encode())
    return found.digests()


def name(store, assembly, *contigs):
    """Write an assembly as a forger would, with a seqcol digest that fits."""
    made = Assembly(assembly, contigs, seqcol_digest([vars(contig) for contig in contigs]))
    store.storage.write(assembly_key(assembly), made.to_bytes())
    store.change_index(
        "assemblies",
        lambda index: index.update({assembly: {"seqcol": made.seqcol, "contigs": len(contigs), "bases": made.bases}}),
    )
    return made


@pytest.fixture
def store(tmp_path):
    (tmp_path / "x.fa").write_text(f">chr1\n{TRUE}\n")
    (tmp_path / "y.fa").write_text(f">chr1\n{OTHER}\n")
    store = open_store(tmp_path / "refs")
    add_files(store, "true", [str(tmp_path / "x.fa")])
    add_files(store, "other", [str(tmp_path / "y.fa")])
    proofs._known.clear()
    return store


@pytest.fixture(params=["folder", "S3"])
def served(request, store, tmp_path):
    """A server over a store, which the test changes behind it."""
    if request.param == "S3":
        from modos.demo.stack import BUCKET, CREDENTIALS
        from modos.reference.adding import push

        far = open_store(f"s3://{BUCKET}/forged-{tmp_path.name}", request.getfixturevalue("stack").endpoint, CREDENTIALS)
        for assembly in ("true", "other"):
            push(store, far, assembly)
        store = far
    with BackgroundServer(create_app(open_storage(tmp_path / "objects"), references=store)) as server:
        yield store, server.url


def forge_name(store):
    """`SQ.` of the true bases for the other ones, in an assembly that is looked at first."""
    name(store, "a", StoredContig("chr1", len(OTHER), digests(OTHER).md5, digests(TRUE).ga4gh, ("evil",)))


def poison(store):
    """Other bases under the MD5 of the true ones."""
    key = sequence_key(digests(TRUE).md5)
    store.storage.delete(key)
    store.storage.write(key, OTHER.encode())


def test_refget_takes_the_sequence_that_has_the_name(served):
    store, url = served
    forge_name(store)
    ga4gh = digests(TRUE).ga4gh
    for asked in (ga4gh, f"ga4gh:{ga4gh}", trunc512_of(ga4gh), digests(TRUE).md5):
        assert requests.get(f"{url}/refget/sequence/{asked}", timeout=20).text == TRUE
        assert requests.get(f"{url}/refget/sequence/{asked}", {"start": 0, "end": 7}, timeout=20).text == TRUE[:7]
    told = requests.get(f"{url}/refget/sequence/{digests(OTHER).md5}/metadata", timeout=20).json()["metadata"]
    assert told["ga4gh"] == digests(OTHER).ga4gh and "evil" not in str(told)


def test_refget_gives_no_sequence_that_is_only_called_so(served):
    store, url = served
    forge_name(store)
    store.remove("true")
    for asked in ("", "?start=0&end=7", "/metadata"):
        answer = requests.get(f"{url}/refget/sequence/{digests(TRUE).ga4gh}{asked}", timeout=20)
        assert answer.status_code == 500 and "GATTAC" not in answer.text and digests(OTHER).md5 not in answer.text
    assert requests.get(f"{url}/refget/sequence/{digests(OTHER).ga4gh}", timeout=20).text == OTHER


@pytest.mark.parametrize("before", [True, False], ids=["that was given out before", "at first"])
def test_a_poisoned_sequence_is_not_given_out(served, before):
    store, url = served
    md5 = digests(TRUE).md5
    paths = [
        f"refget/sequence/{md5}",
        f"refget/sequence/{digests(TRUE).ga4gh}",
        f"refget/sequence/{md5}?start=0&end=3",
        f"refget/sequence/{md5}/metadata",
        f"references/{sequence_key(md5)}",
    ]
    if before:
        assert all(requests.get(f"{url}/{path}", timeout=20).ok for path in paths)
    poison(store)
    for path in paths:
        for headers in ({}, {"Range": "bytes=0-5"}):
            answer = requests.get(f"{url}/{path}", headers=headers, timeout=20)
            assert answer.status_code == 500 and "GATTAC" not in answer.text, path


def test_a_length_that_is_said_of_a_sequence_is_compared(served):
    store, url = served
    name(store, "long", StoredContig("chr1", len(TRUE) + 9, digests(TRUE).md5, digests(TRUE).ga4gh))
    store.remove("true")
    store.storage.write(sequence_key(digests(TRUE).md5), TRUE.encode())
    assert requests.get(f"{url}/refget/sequence/{digests(TRUE).md5}/metadata", timeout=20).status_code == 500


def test_what_is_said_of_one_contig_is_not_believed_for_another(store, tmp_path):
    md5, ga4gh = digests(OTHER)
    name(store, "twice", StoredContig("chr1", len(OTHER), md5, ga4gh), StoredContig("chr2", len(OTHER), md5, digests(TRUE).ga4gh))
    reference = open_reference("twice", tmp_path / "refs")
    assert reference.dna("chr1") == OTHER
    with pytest.raises(IntegrityError):
        reference.dna("chr2")
    with pytest.raises(IntegrityError):
        reference.dna_many([("chr2", 0, 9)])


def test_digests_in_the_metadata_of_an_object_do_not_mix_its_sequences(tmp_path):
    """Blocks of a FASTA in an object were known by the MD5 that the metadata say: two contigs of one MD5 had one's bases."""
    modo, md5 = MODO.create(tmp_path / "ex"), digests(TRUE).md5
    (tmp_path / "x.fa").write_text(f">chr1\n{TRUE}\n>chr2\n{OTHER}\n")
    subprocess.run(["samtools", "faidx", str(tmp_path / "x.fa")], check=True)
    modo.add_element({"@type": "ReferenceGenome", "id": "mini", "data_path": "x.fa"}, tmp_path / "x.fa")
    for contig in ("chr1", "chr2"):
        modo.add_element(
            {
                "@type": "ReferenceSequence",
                "id": contig,
                "name": contig,
                "sequence_md5": md5,
                "refget_digest": digests(TRUE).ga4gh,
            },
            part_of="reference/mini",
        )
    reference = MODO.open(tmp_path / "ex").reference("mini")
    assert reference.dna("chr1") == TRUE and reference.dna("chr2") == OTHER


def run(*words, **environment):
    import os

    return commands.run(
        words,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


@pytest.mark.sweep(1)
@pytest.mark.parametrize("forge", [forge_name, poison])
def test_commands_give_out_no_digest_that_the_bases_do_not_have(store, tmp_path, forge):
    forge(store)
    assembly, refs = ("a" if forge is forge_name else "true"), str(tmp_path / "refs")
    for words in (
        ["show", assembly],
        ["show", assembly, "--json"],
        ["verify", assembly],
        ["push", assembly, str(tmp_path / "clean")],
        ["dna", assembly, "chr1:1-20"],
    ):
        done = run("reference", *words, "--store", refs)
        assert done.returncode == 6 and digests(TRUE).ga4gh not in done.stdout and "GATTAC" not in done.stdout, (words, done)
    assert not (tmp_path / "clean" / "index.json").exists()


def test_enrich_records_no_digest_that_the_bases_do_not_have(store, tmp_path):
    forge_name(store)
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"@type": "ReferenceGenome", "id": "r", "assembly": "a"})
    done = run("enrich", str(tmp_path / "ex"), MODOS_REFERENCE_STORE=str(tmp_path / "refs"))
    assert "GA4GH" in done.stderr and digests(TRUE).ga4gh not in json.dumps(
        dict(MODO.open(tmp_path / "ex").metadata), default=str
    )


def test_names_by_their_content_are_those_of_hashlib():
    assert digests(TRUE).md5 == hashlib.md5(TRUE.encode()).hexdigest()
