"""Single files of every format are sealed with what lies beside them, and read with the key: whole, by range, and by others."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from crypt4gh.lib import decrypt as crypt4gh_decrypt
from crypt4gh.lib import encrypt as crypt4gh_encrypt

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AccessError, ChecksumMismatch, DecryptError, IntegrityError, InvalidInputError, ModosError
from modos.formats import index_names, plain_name
from tests.faults.conftest import check_whole, killed_at, place  # noqa: F401 - a fixture
from tests.support import commands
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep(24)

ME, HER, NOBODY = SecretKey.random(), SecretKey.random(), SecretKey.random()
needs_memory = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="a system without files in memory, which has private ones on the disk"
)
MZTAB = (
    "MTD\tmzTab-version\t1.0.0\nMTD\tmzTab-mode\tSummary\nMTD\tmzTab-type\tQuantification\nMTD\ttitle\tSecret study\n"
    "MTD\tdescription\tof patients\nMTD\tsample[1]-description\tPatient 7\nPRH\taccession\nPRT\tP12345\n"
)


def fasta_text(names, length, seed=1):
    letters = random.Random(seed)
    lines = []
    for name in names:
        bases = "".join(letters.choices("ACGTacgtN", k=length))
        lines += [f">{name} some words", *(bases[at : at + 60] for at in range(0, length, 60))]
    return "\n".join(lines) + "\n"


def run(*words, stdin=None):
    return subprocess.run([str(word) for word in words], input=stdin, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Return files of every format that is no reads and no variants, with their indexes, made by the programs of their fields."""
    import anndata
    import h5py
    import mudata
    import numpy as np
    import polars as pl

    folder = tmp_path_factory.mktemp("sources")
    (folder / "mine.fa").write_text(fasta_text(["chrA", "chrB"], 150_000))
    run("samtools", "faidx", folder / "mine.fa")
    shutil.copy(folder / "mine.fa", folder / "packed.fa")
    run("bgzip", folder / "packed.fa")
    run("samtools", "faidx", folder / "packed.fa.gz")
    (folder / "tiny.2bit").write_bytes(
        bytes.fromhex("4327411a0000000001000000000000000163160000000a000000000000000000000000000000") + bytes(3)
    )
    genes = "".join(f"chrA\tX\tgene\t{n * 1000 + 1}\t{n * 1000 + 500}\t.\t+\t.\tID=g{n};Name=GENE{n}\n" for n in range(100))
    (folder / "genes.gff3").write_text("##gff-version 3\n" + genes)
    (folder / "more.gff3.gz").write_bytes(run("bgzip", "-c", folder / "genes.gff3"))
    run("tabix", "-p", "gff", folder / "more.gff3.gz")
    (folder / "peaks.bed").write_text("".join(f"chrA\t{n * 100}\t{n * 100 + 50}\tp{n}\n" for n in range(500)))
    (folder / "peaks2.bed.gz").write_bytes(run("bgzip", "-c", folder / "peaks.bed"))
    run("tabix", "-C", "-p", "bed", folder / "peaks2.bed.gz")
    (folder / "prot.mztab").write_text(MZTAB)
    (folder / "run.mzML").write_text(f"<?xml version='1.0'?>\n<mzML>{'secret ' * 30_000}</mzML>\n")
    (folder / "reads.fastq").write_text("".join(f"@r{n}\nACGTACGT\n+\nIIIIIIII\n" for n in range(10_000)))
    (folder / "reads2.fastq.gz").write_bytes(run("bgzip", "-c", folder / "reads.fastq"))
    run("samtools", "fqidx", folder / "reads2.fastq.gz")
    (folder / "places.tsv.gz").write_bytes(run("bgzip", "-c", folder / "peaks.bed"))
    run("tabix", "-0", "-s", "1", "-b", "2", "-e", "3", folder / "places.tsv.gz")
    table = pl.DataFrame({"a": range(20_000), "b": np.random.default_rng(1).random(20_000)})
    table.write_parquet(folder / "scores.parquet")
    table.write_csv(folder / "scores.tsv", separator="\t")
    (folder / "image.ome.tif").write_bytes(b"II*\0" + random.Random(2).randbytes(90_000))
    cells = anndata.AnnData(np.random.default_rng(2).random((60, 40)).astype("f4"))
    cells.write_h5ad(folder / "cells.h5ad")
    mudata.MuData({"rna": cells, "prot": cells[:, :4].copy()}).write(folder / "both.h5mu")
    with h5py.File(folder / "spliced.loom", "w") as file:
        file["matrix"] = np.arange(12).reshape(3, 4)
    (folder / "notes.json").write_text('{"secret": "words"}')
    return folder


def names_of(sources):
    return sorted(path.name for path in sources.iterdir() if not path.name.endswith((".fai", ".gzi", ".tbi", ".csi")))


@pytest.fixture
def modo(place, sources):  # noqa: F811
    """An object in a folder or on S3 with a file of each format."""
    modo = MODO.create(place.new(), **place.options)
    with modo.transaction() as change:
        for name in names_of(sources):
            is_sequence = name.endswith((".fa", ".fa.gz", ".2bit"))
            element = {"id": name.replace(".", "_"), "@type": "ReferenceGenome" if is_sequence else "DataEntity"}
            change.add_element(element | {"data_path": name}, sources / name)
    return modo


def keys_of(modo):
    return sorted(info.key for info in modo.storage.iter_files() if not info.key.startswith(("data.zarr/", ".modos/")))


def content(modo):
    return {key: modo.storage.read(key)[0] for key in keys_of(modo)}


def opened_by_others(data, secret=ME):
    """Decrypt with the package crypt4gh."""
    plain = io.BytesIO()
    crypt4gh_decrypt([(0, secret.raw, None)], io.BytesIO(data), plain)
    return plain.getvalue()


def problems(modo, **options):
    """Find problems; uploads that a server has twice, as an answer of it was lost, are none."""
    return [finding for finding in modo.find_problems(**options) if "uploadId" not in finding.where]


def test_every_format_is_sealed_with_its_indexes_shared_and_decrypted(modo, sources):
    """The package crypt4gh opens each file and index; nothing lies open beside, and all is as it was afterwards."""
    before, told = content(modo), {i: a for i, a in modo.metadata.items() if "data_path" in a}
    assert {*os.listdir(sources)} <= before.keys() and problems(modo) == []
    assert sorted(modo.encrypt(ME.public)) == sorted(told)
    assert modo.find_open() == {} and problems(modo) == [] and problems(modo, checksums=False) == []
    sealed = content(modo)
    assert all(plain_name(key.removesuffix(".parts")) != key.removesuffix(".parts") for key in sealed)
    blob = b"".join(sealed.values()) + b"".join(modo.storage.read(i.key)[0] for i in modo.storage.iter_files())
    assert not any(word in blob for word in (b"Patient 7", b"secret", b"GENE7", b"@r77", b"chrB\t150000"))
    for name in os.listdir(sources):
        assert opened_by_others(sealed[f"{name}.c4gh"]) == (sources / name).read_bytes()
    assert sorted(modo.verify_encryption(ME)) == sorted(told)
    assert sorted(modo.share(ME, HER.public)) == sorted(told) and problems(modo) == []
    shared = content(modo)
    for key in shared:
        if key.endswith(".c4gh"):
            assert opened_by_others(shared[key], HER) == opened_by_others(shared[key], ME)
    assert problems(modo, secret_key=HER) == []
    assert sorted(modo.revoke(ME, HER.public)) == sorted(told)
    with pytest.raises(DecryptError):
        modo.decrypt(HER)
    assert sorted(modo.decrypt(ME)) == sorted(told)
    assert {re.sub("~[0-9]+", "", key): data for key, data in content(modo).items()} == before and problems(modo) == []
    slots = ("data_digest", "data_size", "data_checksum", "index_digests")
    assert {i: [modo.metadata[i].get(slot) for slot in slots] for i in told} == {
        i: [a.get(slot) for slot in slots] for i, a in told.items()
    }


def test_an_index_is_never_left_beside_a_sealed_file(modo, sources):
    modo.encrypt(ME.public)
    keys = set(keys_of(modo))
    for path in (attributes["data_path"] for attributes in modo.metadata.values() if "data_path" in attributes):
        expected = {name for name in index_names(path) if plain_name(name) in os.listdir(sources)}
        assert expected <= keys and not {plain_name(name) for name in index_names(path)} & keys


def test_the_bytes_of_any_file_are_opened_like_a_file(modo, sources):
    """By polars, h5py, anndata and the standard library, from memory alone; the same plain and sealed."""
    import h5py
    import polars as pl

    def look(secret_key=None):
        def bytes_of(id):
            return modo[f"data/{id}"].open_bytes(secret_key=secret_key)

        table = pl.read_parquet(bytes_of("scores_parquet"), columns=["b"])
        with h5py.File(bytes_of("cells_h5ad")) as file:
            cells = file["X"][5:7].tolist()
        with bytes_of("run_mzML") as file:
            assert file.seek(-8, os.SEEK_END) == (sources / "run.mzML").stat().st_size - 8
            end = file.read()
        return table["b"].to_list(), cells, end, bytes_of("prot_mztab").read().decode(), bytes_of("notes_json").read()

    before = look()
    assert before[3] == MZTAB and before[2] == b"</mzML>\n"
    modo.encrypt(ME.public)
    assert look(ME) == before
    with pytest.raises(AccessError, match="prot.mztab is encrypted"):
        modo["data/prot_mztab"].open_bytes()
    with pytest.raises(DecryptError, match="not sealed for this key"):
        modo["data/prot_mztab"].open_bytes(secret_key=NOBODY)
    if not modo.storage.is_remote:  # what was opened with keys of S3 is not pickled
        assert pickle.loads(pickle.dumps(modo["data/prot_mztab"])).open_bytes(secret_key=ME).read().decode() == MZTAB


def test_bases_of_a_sealed_fasta_are_those_of_samtools(modo, sources):
    modo.encrypt(ME.public)
    reference = modo.reference("mine_fa", ME)
    for contig, start, end in (("chrA", 0, 70), ("chrA", 65_400, 131_100), ("chrB", 149_990, 150_000), ("chrB", 0, 150_000)):
        lines = run("samtools", "faidx", sources / "mine.fa", f"{contig}:{start + 1}-{end}").decode().split("\n")
        assert reference.dna(contig, start, end) == "".join(lines[1:]).upper()
    with pytest.raises(AccessError, match="mine.fa is encrypted"):
        modo.reference("mine_fa")
    with pytest.raises(DecryptError, match="not sealed for this key"):
        modo.reference("mine_fa", NOBODY)


def test_a_base_takes_a_segment_and_not_the_file(modo, monkeypatch):
    modo.encrypt(ME.public)
    taken = []
    whole = type(modo.storage).read_part

    def counted(self, key, start, end, **options):
        data, info = whole(self, key, start, end, **options)
        taken.append((key, len(data)))
        return data, info

    monkeypatch.setattr(type(modo.storage), "read_part", counted)
    modo.reference("mine_fa", ME).dna("chrB", 100_000, 100_050)
    assert sum(size for key, size in taken if key == "mine.fa.c4gh") < 3 * 66_000


def swap_rows(fai):
    first, second = fai.splitlines()
    return f"chrA{second.removeprefix('chrB')}\nchrB{first.removeprefix('chrA')}\n".encode()


def test_another_index_in_place_of_that_of_a_sealed_fasta_is_not_read(modo, sources):
    wanted = modo.reference("mine_fa").dna("chrA", 0, 50)
    modo.encrypt(ME.public)
    modo.storage.delete("mine.fa.fai.c4gh")
    modo.storage.write("mine.fa.fai", swap_rows((sources / "mine.fa.fai").read_text()))
    assert modo.reference("mine_fa", ME).dna("chrA", 0, 50) == wanted


def test_an_index_that_nobody_recorded_has_to_fit_a_sealed_fasta(place, sources, tmp_path):  # noqa: F811
    """A FASTA that another program sealed comes without an index, and anybody could put one there."""
    with open(sources / "mine.fa", "rb") as plain, open(tmp_path / "theirs.fa.c4gh", "wb") as target:
        crypt4gh_encrypt([(0, NOBODY.raw, ME.public.raw)], plain, target)
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "m", "@type": "ReferenceGenome"}, tmp_path / "theirs.fa.c4gh")
    lines = run("samtools", "faidx", sources / "mine.fa", "chrA:1-50").decode().split("\n")
    assert modo.reference("m", ME).dna("chrA", 0, 50) == "".join(lines[1:]).upper()
    modo.storage.write("theirs.fa.fai", swap_rows((sources / "mine.fa.fai").read_text()))
    with pytest.raises(IntegrityError, match="theirs.fa.fai"):
        modo.reference("m", ME).dna("chrA", 0, 50)


@pytest.fixture
def aligned(place, sources, tmp_path):  # noqa: F811
    """An object with a CRAM of many short contigs, some of which share a container, and its FASTA."""
    names = [f"c{number}" for number in range(40)]
    (tmp_path / "many.fa").write_text(fasta_text(names, 2_500, seed=3).replace("N", "A"))
    run("samtools", "faidx", tmp_path / "many.fa")
    bases = {}
    for line in (tmp_path / "many.fa").read_text().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            bases[name] = ""
        else:
            bases[name] += line.upper()
    reads = [
        f"{name}_{at}\t0\t{name}\t{at + 1}\t60\t50M\t*\t0\t0\t{bases[name][at : at + 50]}\t{'I' * 50}"
        for name in names
        for at in range(0, 2_400, 100)
    ]
    header = ["@HD\tVN:1.6\tSO:coordinate", *(f"@SQ\tSN:{name}\tLN:2500" for name in names)]
    (tmp_path / "many.sam").write_text("\n".join([*header, *reads]) + "\n")
    run("samtools", "view", "-C", "-T", tmp_path / "many.fa", "-o", tmp_path / "many.cram", tmp_path / "many.sam")
    run("samtools", "index", tmp_path / "many.cram")
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "ref", "@type": "ReferenceGenome", "data_path": "many.fa"}, tmp_path / "many.fa")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "has_reference": ["reference/ref"]}, tmp_path / "many.cram")
    wanted = run("samtools", "view", "-T", tmp_path / "many.fa", tmp_path / "many.cram").decode().splitlines()
    for name in ("many.fa", "many.fa.fai"):
        (tmp_path / name).rename(tmp_path / f"away-{name}")  # htslib would find it there
    return modo, wanted


def lines_of(modo, *region, key=ME):
    return [read.to_string() for read in modo.stream_genomics("many.cram", *region, secret_key=key)]


@needs_memory
def test_a_cram_is_decoded_with_its_sealed_fasta(aligned, monkeypatch, tmp_path):
    """As samtools decodes it; without a plain byte on a disk, in the cache or in a temporary folder."""
    modo, wanted = aligned
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    modo.encrypt(ME.public)
    assert lines_of(modo) == wanted
    of_contig = [line for line in wanted if line.split("\t")[2] == "c7"]
    assert lines_of(modo, "c7") == of_contig
    assert lines_of(modo, "c7:1,001-1,300") == [line for line in of_contig if 950 < int(line.split("\t")[3]) <= 1_300]
    assert not list((tmp_path / "cache").rglob("*")) and not [
        p for p in (tmp_path / "tmp").rglob("*") if p.is_file() and not p.is_symlink()
    ]
    assert modo.count("many.cram", secret_key=ME) == len(wanted)


def test_a_region_of_a_plain_cram_is_decoded_where_its_containers_have_other_contigs_too(aligned, monkeypatch, tmp_path):
    """The sequences come through the cache: from S3, or out of a FASTA without an index."""
    modo, wanted = aligned
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("REF_PATH", raising=False)
    monkeypatch.delenv("REF_CACHE", raising=False)
    modo.storage.delete("many.fa.fai")
    for contig in ("c7", "c39"):
        assert lines_of(modo, contig, key=None) == [line for line in wanted if line.split("\t")[2] == contig]


@needs_memory
def test_the_memory_of_a_sealed_fasta_is_let_go(aligned, place, monkeypatch, tmp_path):  # noqa: F811
    modo, _ = aligned
    modo.encrypt(ME.public)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def count_memory():
        found = 0
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += "memfd:modos-many" in os.readlink(f"/proc/self/fd/{number}")
        return found

    before = count_memory()
    again = place.open(modo.storage.url)
    assert len(lines_of(again, "c3")) == 24 and os.listdir(tmp_path / "tmp")
    del again

    def is_let_go():  # threads that have read ahead end a little later
        gc.collect()
        return not os.listdir(tmp_path / "tmp") and count_memory() <= before

    wait_until(is_let_go)


def test_children_that_are_forked_do_not_share_the_memory(aligned):
    """Each brings another contig; what one of them writes is no row of the index of the other."""
    modo, wanted = aligned
    modo.encrypt(ME.public)
    file = modo.file("many.cram", secret_key=ME)
    assert sum(1 for _ in file.fetch("c0")) == 24
    children = []
    for contig in ("c39", "c20", "c7"):
        child = os.fork()
        if not child:
            try:
                lines = [read.to_string() for read in file.fetch(contig)]
                os._exit(lines != [line for line in wanted if line.split("\t")[2] == contig])
            finally:
                os._exit(2)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert [read.to_string() for read in file.fetch()] == wanted


def test_a_cram_whose_fasta_alone_is_sealed_takes_the_key_for_it(aligned, monkeypatch, tmp_path):
    modo, wanted = aligned
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("REF_PATH", raising=False)
    monkeypatch.delenv("REF_CACHE", raising=False)
    modo.encrypt(ME.public, elements=["reference/ref"])
    with pytest.raises(AccessError, match="many.fa is encrypted"):
        lines_of(modo, key=None)
    with pytest.raises(DecryptError, match="many.fa"):
        lines_of(modo, key=NOBODY)
    assert lines_of(modo) == wanted and lines_of(modo, "c39") == [line for line in wanted if "\tc39\t" in line]


def test_another_fasta_than_that_of_the_cram_is_refused(aligned, tmp_path):
    modo, _ = aligned
    other = fasta_text([f"c{number}" for number in range(40)], 2_500, seed=4)
    (tmp_path / "other.fa").write_text(other)
    modo.update_element("reference/ref", {}, tmp_path / "other.fa")
    modo.encrypt(ME.public)
    with pytest.raises(ChecksumMismatch, match="not the one the CRAM was made with"):
        lines_of(modo, "c3")


def test_a_compressed_sealed_fasta_decodes_too(aligned, tmp_path):
    modo, wanted = aligned
    shutil.copy(tmp_path / "away-many.fa", tmp_path / "many2.fa")
    run("bgzip", tmp_path / "many2.fa")
    run("samtools", "faidx", tmp_path / "many2.fa.gz")
    modo.add_element({"id": "packed", "@type": "ReferenceGenome"}, tmp_path / "many2.fa.gz")
    modo.update_element("data/reads", {"has_reference": ["reference/packed"]})
    modo.encrypt(ME.public)
    assert lines_of(modo) == wanted


def test_genes_of_a_sealed_annotation_are_found_with_the_key(aligned, tmp_path):
    modo, wanted = aligned
    (tmp_path / "genes.gff3").write_text("##gff-version 3\nc7\tX\tgene\t1001\t1300\t.\t+\t.\tID=g1;Name=ABC1\n")
    element = {"id": "genes", "@type": "DataEntity", "has_reference": ["reference/ref"]}
    modo.add_element(element, tmp_path / "genes.gff3")
    plain = [read.query_name for read in modo.stream_genomics("many.cram", "ABC1")]
    assert plain == ["c7_1000", "c7_1100", "c7_1200"]
    modo.encrypt(ME.public)
    assert [read.query_name for read in modo.stream_genomics("many.cram", "ABC1", secret_key=ME)] == plain
    modo.decrypt(ME, elements=["data/reads", "reference/ref"])
    with pytest.raises(AccessError, match="genes.gff3"):
        list(modo.stream_genomics("many.cram", "ABC1"))


def test_what_headers_say_is_added_of_sealed_files_with_the_key(modo):
    modo.encrypt(ME.public)
    before = modo.metadata
    assert "data/prot_mztab" in modo.enrich_metadata() and modo.metadata == before
    assert modo.enrich_metadata(ME) == []
    told = modo.metadata
    assert [a["description"] for i, a in told.items() if i.startswith("sample/")] == ["Patient 7"]
    assert told["reference/mine_fa"]["seqcol_digest"] and len(told["reference/mine_fa"]["has_sequence"]) == 2
    assert modo.find_problems() == [] and modo.enrich_metadata(ME) == [] and modo.metadata == told


def test_a_genome_of_a_sealed_fasta_takes_the_key_and_the_word_that_it_is_plain(modo, sources):
    modo.encrypt(ME.public)
    with pytest.raises(AccessError, match="mine.fa is encrypted"):
        modo.add_genome(reference="mine_fa")
    with pytest.raises(InvalidInputError, match="would not be"):
        modo.add_genome(reference="mine_fa", secret_key=ME)
    with pytest.raises(DecryptError):
        modo.add_genome(reference="mine_fa", secret_key=NOBODY, plain=True)
    made = modo.add_genome(reference="mine_fa", secret_key=ME, plain=True, id="plain")
    assert modo.open_genome(made).contigs.lengths == {"chrA": 150_000, "chrB": 150_000}


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    "key", ["mine.fa.c4gh", "mine.fa.fai.c4gh", "prot.mztab.c4gh", "scores.parquet.c4gh", "more.gff3.gz.tbi.c4gh"]
)
@pytest.mark.parametrize("fault", ["flipped", "cut", "other"])
def test_a_damaged_sealed_file_is_named_and_restored_from_a_copy(modo, tmp_path, key, fault):
    modo.encrypt(ME.public)
    copy = modo.download(tmp_path / "copy")
    data = modo.storage.read(key)[0]
    at = len(data) - 40
    changed = {
        "flipped": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
        "cut": data[:-30],
        "other": modo.storage.read("peaks.bed.c4gh")[0],
    }[fault]
    modo.storage.write(key, changed)
    found = modo.find_problems()
    assert found and all(key.split(".")[0] in finding.message for finding in found)
    with pytest.raises(IntegrityError, match=key.split(".")[0]):
        modo.verify_encryption(ME)
    with pytest.raises(IntegrityError):
        modo.decrypt(ME)
    modo.plan_repair(copy.storage.url).heal()
    assert modo.storage.read(key)[0] == data and modo.find_problems() == []
    modo.verify_encryption(ME)


@pytest.mark.sweep(6)
@pytest.mark.parametrize("change", ["encrypt", "share", "rotate", "decrypt"])
@pytest.mark.parametrize("at", range(14))
def test_killed_at_any_step_an_object_with_a_reference_is_old_or_new(place, sources, at, change):  # noqa: F811
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "m", "@type": "ReferenceGenome"}, sources / "mine.fa")
    modo.add_element({"id": "g", "@type": "DataEntity"}, sources / "more.gff3.gz")
    if change != "encrypt":
        modo.encrypt(ME.public)

    def make():
        own = place.open(modo.storage.url)
        {
            "encrypt": lambda: own.encrypt(ME.public),
            "share": lambda: own.share(ME, HER.public),
            "rotate": lambda: own.revoke(ME, HER.public, rotate=True),
            "decrypt": lambda: own.decrypt(ME),
        }[change]()

    killed_at(at, make)
    after = place.open(modo.storage.url)
    check_whole(after.storage)
    assert after.reference("m", ME).dna("chrB", 70_000, 70_010) == after.reference("m", ME).dna("chrB", 0, 70_020)[-20:-10]
    assert after["data/g"].open_bytes(secret_key=ME).read() == (sources / "more.gff3.gz").read_bytes()
    make()
    check_whole(place.open(modo.storage.url).storage)


def test_the_command_says_what_is_left_and_why(tmp_path, sources):
    folder = tmp_path / "ex"
    modo = MODO(folder)
    modo.add_element({"id": "m", "@type": "ReferenceGenome"}, sources / "mine.fa")
    modo.add_element({"id": "g", "@type": "DataEntity"}, sources / "genes.gff3")
    (folder / "mine.dict").write_text("@SQ")

    def told(*words):
        done = commands.run(("c4gh", *words), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    told("keygen", "--no-passphrase", str(tmp_path / "me.sec"))
    first = told("encrypt", "-p", str(tmp_path / "me.pub"), str(folder), "data/g")
    assert "encrypted 1 file" in first and "not encrypted, as not named: reference/m" in first
    assert "not encrypted, as it belongs to no element: mine.dict" in first
    second = told("encrypt", "-p", str(tmp_path / "me.pub"), str(folder))
    assert "encrypted 1 file" in second and "as not named" not in second and "mine.dict" in second


def test_a_region_of_a_cram_takes_the_bases_below_it_alone_where_their_md5_is_recorded(example, tmp_path, monkeypatch):
    """Equal to samtools for windows anywhere; without a record the whole contig is read, and compared with its MD5."""
    from modos.encryption.view import DecryptedView
    from modos.reference import memory_fasta

    monkeypatch.setattr(memory_fasta, "_WHOLE", 0)
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "cache"))
    whole, taken = DecryptedView.iter_range, []

    def counted(self, key, start, end, unit=1):
        taken.append((key, end - start))
        return whole(self, key, start, end, unit)

    monkeypatch.setattr(DecryptedView, "iter_range", counted)
    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    modo.encrypt(ME.public)
    plain, reference = example / "ex" / "demo1.cram", example / "ex" / "reference.fa"

    def compare(region):
        lines = run("samtools", "view", "-T", reference, plain, region).decode().splitlines()
        assert [r.to_string() for r in modo.stream_genomics("demo1.cram", region, secret_key=ME)] == lines

    compare("chr1:30,001-30,500")
    assert sum(size for key, size in taken if key == "reference.fa") > 50_000
    modo.enrich_metadata(ME)
    modo = MODO.open(tmp_path / "ex")
    taken.clear()
    compare("chr1:30,001-30,500")
    assert 0 < sum(size for key, size in taken if key == "reference.fa") < 15_000
    for start in range(1, 60_000, 7_001):
        compare(f"chr1:{start}-{start + 900}")
    compare("chr2")
    compare("chr1")
    assert [r.to_string() for r in modo.stream_genomics("demo1.cram", secret_key=ME)] == (
        run("samtools", "view", "-T", reference, plain).decode().splitlines()
    )


def test_a_pipe_in_the_place_of_a_sealed_file_is_not_waited_for(tmp_path, sources):
    modo = MODO(tmp_path / "ex")
    modo.add_element({"id": "m", "@type": "ReferenceGenome"}, sources / "mine.fa")
    os.mkfifo(tmp_path / "ex" / "mine.fa.c4gh")
    with pytest.raises(ModosError, match="mine.fa.c4gh exists already"):
        modo.encrypt(ME.public)
    assert modo.find_problems() == []
    os.unlink(tmp_path / "ex" / "mine.fa.c4gh")
    modo.encrypt(ME.public)
    os.unlink(tmp_path / "ex" / "mine.fa.c4gh")
    os.mkfifo(tmp_path / "ex" / "mine.fa.c4gh")
    assert [finding.where for finding in modo.find_problems()] == ["reference/m"]
    for read in (lambda: modo.verify_encryption(ME), lambda: modo.decrypt(ME), lambda: modo.reference("m", ME)):
        with pytest.raises(ModosError, match="mine.fa"):
            read()
