"""Objects made of files: samples are those that samtools and bcftools name, references those that fit, and nothing is guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modos.api import MODO
from modos.metadata.description import Entry, Matcher
from modos.errors import AlreadyExistsError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.object.surveying import name_files

BASES = {"chr1": "ACGTTGCA" * 500, "chr2": "GATTACA" * 300}


def run(*command, stdin=None):
    return subprocess.run(list(map(str, command)), input=stdin, capture_output=True, check=True, text=True).stdout


def write_fasta(path, bases=BASES):
    path.write_text("".join(f">{name} of a test\n" + "".join(f"{text[at:at + 60]}\n" for at in range(0, len(text), 60)) for name, text in bases.items()))
    run("samtools", "faidx", path)
    return path


def sequence_lines(fasta, without=""):
    lines = [line for line in run("samtools", "dict", fasta).splitlines() if line.startswith("@SQ")]
    return ["\t".join(field for field in line.split("\t") if field[:2] not in ("UR", *without.split())) for line in lines]


def write_reads(path, fasta, samples=("S1",), without="", index=True):
    groups = [f"@RG\tID:g{number}\tSM:{name}" for number, name in enumerate(samples)]
    reads = [f"r{number}\t0\tchr1\t{100 + number}\t60\t8M\t*\t0\t0\t{BASES['chr1'][99 + number:107 + number]}\tIIIIIIII" for number in range(20)]
    text = "\n".join(["@HD\tVN:1.6\tSO:coordinate", *sequence_lines(fasta, without), *groups, *reads]) + "\n"
    kind = ["-C", "-T", fasta] if path.suffix == ".cram" else ["-b"]
    run("samtools", "view", *kind, "--no-PG", "-o", path, "-", stdin=text)
    if index:
        run("samtools", "index", path)
    return path


def write_variants(path, samples, contigs=None, index=True):
    contigs = [f"##contig=<ID={name},length={len(text)}>" for name, text in BASES.items()] if contigs is None else contigs
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", *(["FORMAT", *samples] if samples else [])]
    record = ["chr1", "101", ".", "T", "G", ".", ".", ".", *(["GT", *["0/1"] * len(samples)] if samples else [])]
    text = "\n".join(["##fileformat=VCFv4.2", *contigs, '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">', "\t".join(columns), "\t".join(record)]) + "\n"
    run("bcftools", "view", "--no-version", "-O", "b" if path.suffix == ".bcf" else "z", "-o", path, "-", stdin=text)
    if index:
        run("bcftools", "index", *([] if path.suffix == ".bcf" else ["-t"]), path)
    return path


def oracle_samples(path):
    if path.name.endswith((".vcf.gz", ".bcf")):
        return run("bcftools", "query", "-l", path).split("\n")[:-1]
    return list(dict.fromkeys(line.split("\t")[0] for line in run("samtools", "samples", path).splitlines() if line.split("\t")[0] != "."))


@pytest.fixture
def fasta(tmp_path):
    return write_fasta(tmp_path / "ref.fa")


def create(tmp_path, files, reference=(), name="ex", mapping=None, ask=None, **options):
    told = []
    return MODO.create_from_files(tmp_path / name, files, reference, matcher=Matcher(mapping or {}, ask, told.append), **options), told


def test_samples_are_those_that_samtools_and_bcftools_name(tmp_path, fasta):
    files = [write_reads(tmp_path / "a.cram", fasta, ["S1"]), write_reads(tmp_path / "b.bam", fasta, ["S1", "S 2", "S1", "S/3"]),
             write_reads(tmp_path / "none.bam", fasta, []), write_variants(tmp_path / "c.vcf.gz", ["S1", "N4"]),
             write_variants(tmp_path / "d.bcf", ["N5"]), write_variants(tmp_path / "sites.vcf.gz", [])]
    modo, told = create(tmp_path, files, fasta)
    metadata = modo.metadata
    for path in files:
        attributes = metadata[f"data/{path.name.partition('.')[0]}"]
        names = [metadata[sample]["name"] for sample in attributes.get("has_sample", ())]
        assert sorted(names) == sorted(oracle_samples(path)) and len(names) == len(set(names)), path
        assert attributes["@type"] == ("VariantSet" if path.name.endswith(("vcf.gz", "bcf")) else "AlignmentSet")
    assert sum(id.startswith("sample/") for id in metadata) == 5 and "sample/S_3" in metadata
    assert any("none.bam" in line and "no samples in its header" in line for line in told)
    assert modo.find_problems(thorough=True) == []


def test_references_are_linked_by_what_samtools_says_of_them(tmp_path, fasta):
    reads = write_reads(tmp_path / "a.bam", fasta)
    modo, told = create(tmp_path, [reads], fasta)
    md5s = {line.split("\t")[1][3:]: line.split("M5:")[1].split("\t")[0] for line in sequence_lines(fasta)}
    sequences = [modo.metadata[id] for id in modo.metadata["reference/ref"]["has_sequence"]]
    assert {one["name"]: one["sequence_md5"] for one in sequences} == md5s
    assert modo.metadata["data/a"]["has_reference"] == ["reference/ref"]
    assert any("reference/ref by MD5 of 2 contigs" in line for line in told)
    before = modo.metadata
    assert modo.enrich_metadata() == [] and modo.metadata == before


@pytest.mark.parametrize(("without", "evidence"), [("", "MD5"), ("M5", "name and length")])
def test_by_what_a_reference_fits_is_told(tmp_path, fasta, without, evidence):
    _, told = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, without=without)], fasta)
    assert any(f"by {evidence} of 2 contigs" in line for line in told)


def test_a_name_alone_is_told_and_enough_only_for_one_that_was_given(tmp_path, fasta):
    calls = write_variants(tmp_path / "c.vcf.gz", ["S1"], ["##contig=<ID=chr1>"])
    modo, told = create(tmp_path, [calls], fasta)
    assert any("reference/ref by name alone of 1 contig" in line for line in told)
    other, told = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta)], fasta, name="other")
    told = []
    other.add_files(calls, matcher=Matcher(tell=told.append))
    assert "has_reference" not in other.metadata["data/c"] and any("none of the object has its contigs" in line for line in told)


def test_a_reference_of_other_bases_length_or_names_is_refused(tmp_path, fasta):
    reads = write_reads(tmp_path / "a.bam", fasta)
    for number, bases in enumerate([BASES | {"chr2": "C" + BASES["chr2"][1:]}, BASES | {"chr2": BASES["chr2"][:-1]}, {"chr1": BASES["chr1"]},
                                    {"1": BASES["chr1"], "2": BASES["chr2"]}]):
        other = write_fasta(tmp_path / f"other{number}.fa", bases)
        with pytest.raises(InvalidInputError, match="a.bam was not made with reference/other.*chr"):
            create(tmp_path, [reads], other, name=f"x{number}")
        assert not (tmp_path / f"x{number}").exists()
        modo, told = create(tmp_path, [reads], [other, fasta], name=f"y{number}")
        assert modo.metadata["data/a"]["has_reference"] == ["reference/ref"]
        modo, told = create(tmp_path, [reads], other, name=f"z{number}", mapping={"has_reference:a.bam": ""})
        assert "has_reference" not in modo.metadata["data/a"] and any("no reference, as was said" in line for line in told)


def test_lower_case_and_compressed_references_are_the_same(tmp_path, fasta):
    reads = write_reads(tmp_path / "a.bam", fasta)
    lower = tmp_path / "lower.fa.gz"
    text = "".join(f">{name}\n{bases.lower()}\n" for name, bases in BASES.items())
    (tmp_path / "lower.fa").write_text(text)
    with open(lower, "wb") as out:
        subprocess.run(["bgzip", "-c", tmp_path / "lower.fa"], stdout=out, check=True)
    modo, told = create(tmp_path, [reads], lower)
    assert modo.metadata["data/a"]["has_reference"] == ["reference/lower"] and any("MD5 of 2" in line for line in told)


def test_two_references_that_fit_are_asked_or_an_error(tmp_path, fasta):
    reads = write_reads(tmp_path / "a.bam", fasta)
    same = write_fasta(tmp_path / "same.fa")
    with pytest.raises(InvalidInputError, match="fits several references: reference/ref, reference/same"):
        create(tmp_path, [reads], [fasta, same])
    modo, _ = create(tmp_path, [reads], [fasta, same], ask=lambda question, near, allowed: near[1])
    assert modo.metadata["data/a"]["has_reference"] == ["reference/same"]
    modo, _ = create(tmp_path, [reads], [fasta, same], name="mapped", mapping={"has_reference:a.bam": "reference/ref"})
    assert modo.metadata["data/a"]["has_reference"] == ["reference/ref"]


def test_an_assembly_of_the_reference_store_is_a_reference(tmp_path, fasta, monkeypatch):
    import modos.reference

    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(tmp_path / "store"))
    from modos.reference.adding import add_files
    from modos.reference.locate import open_store

    add_files(open_store(), "mini", [str(fasta)])
    modo, told = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta)], "mini")
    assert modo.metadata["reference/mini"]["assembly"] == "mini" and modo.metadata["data/a"]["has_reference"] == ["reference/mini"]
    assert modos.reference.open("mini").assembly.seqcol == modo.metadata["reference/mini"]["seqcol_digest"]


def test_added_files_find_the_references_and_samples_of_the_object(tmp_path, fasta):
    modo, _ = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, ["S1"])], fasta)
    modo.add_element({"id": "wgs", "@type": "Assay", "omics_type": "GENOMICS"})
    added = modo.add_files([write_reads(tmp_path / "b.cram", fasta, ["S1", "S2"]), write_variants(tmp_path / "c.bcf", ["S2"])], part_of="assay/wgs")
    assert added == ["sample/S2", "data/b", "data/c"]
    assert modo.metadata["data/b"]["has_reference"] == modo.metadata["data/c"]["has_reference"] == ["reference/ref"]
    assert modo.metadata["assay/wgs"]["has_data"] == ["data/b", "data/c"]
    assert modo.add_files(write_reads(tmp_path / "d.bam", fasta, ["S1"]), reference=fasta) == ["data/d"], "the same FASTA is not added twice"
    assert modo.find_problems() == []


def test_what_the_object_knows_of_its_sequences_counts(tmp_path, fasta):
    """MD5s that are recorded are compared, though nobody has read the FASTA: contigs of the same lengths are not enough."""
    reads = write_reads(tmp_path / "a.bam", write_fasta(tmp_path / "same-lengths.fa", {name: text[::-1] for name, text in BASES.items()}))
    modo = MODO.create(tmp_path / "ex")
    with modo.transaction() as tx:
        for number, line in enumerate(sequence_lines(fasta), 1):
            tx.add_element({"id": f"c{number}", "@type": "ReferenceSequence", "name": f"chr{number}", "sequence_md5": line.split("M5:")[1]})
        tx.add_element({"id": "ref", "@type": "ReferenceGenome", "has_sequence": ["c1", "c2"]}, fasta)
    modo.add_files(reads)
    assert "has_reference" not in modo.metadata["data/a"]
    told = []
    modo.add_files(write_reads(tmp_path / "b.bam", fasta), matcher=Matcher(tell=told.append))
    assert any("reference/ref by MD5 of 2 contigs" in line for line in told)


def test_samples_that_are_almost_called_so_are_asked_or_an_error(tmp_path, fasta):
    sheet = tmp_path / "s.tsv"
    sheet.write_text("id\tsex\ns-1\tFemale\n")
    reads = write_reads(tmp_path / "a.bam", fasta, ["S1"])
    with pytest.raises(InvalidInputError, match="the sample S1 may be sample/s-1") as caught:
        create(tmp_path, [reads], descriptions=[sheet], type="sample")
    assert "--map 'has_sample:S1=s-1'" in caught.value.hint
    modo, _ = create(tmp_path, [reads], descriptions=[sheet], type="sample", mapping={"has_sample:S1": "s-1"})
    assert modo.metadata["data/a"]["has_sample"] == ["sample/s-1"]
    modo, _ = create(tmp_path, [reads], descriptions=[sheet], type="sample", mapping={"has_sample:S1": "S1"}, name="own")
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"]
    modo, _ = create(tmp_path, [reads], descriptions=[sheet], type="sample", ask=lambda q, near, allowed: "new", name="asked")
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"]


def test_samples_of_one_file_are_never_one(tmp_path):
    modo, _ = create(tmp_path, [write_variants(tmp_path / "c.bcf", ["S-1", "S_1", "s1"])])
    assert [modo.metadata[id]["name"] for id in modo.metadata["data/c"]["has_sample"]] == ["S-1", "S_1", "s1"]


def test_ids_and_names_are_unique(tmp_path):
    paths = [Path(one) for one in ("a.bam", "a.cram", "b.vcf.gz", "x/c.bam", "y/c.bam", "x/d.cram", "y/d.cram.c4gh")]
    assert list(name_files(paths).values()) == [("a.bam", "a.bam"), ("a.cram", "a.cram"), ("b", "b.vcf.gz"), ("x_c.bam", "x/c.bam"),
                                                ("y_c.bam", "y/c.bam"), ("x_d.cram", "x/d.cram"), ("y_d.cram", "y/d.cram.c4gh")]


def test_files_of_one_name_in_two_folders(tmp_path, fasta):
    files = []
    for folder in ("run1", "run2"):
        (tmp_path / folder).mkdir()
        files.append(write_reads(tmp_path / folder / "a.bam", fasta))
    modo, _ = create(tmp_path, files, fasta)
    assert [modo.metadata[f"data/{run}_a.bam"]["data_path"] for run in ("run1", "run2")] == ["run1/a.bam", "run2/a.bam"]
    assert modo.find_problems() == []


def test_indexes_come_along_are_built_or_refused(tmp_path, fasta):
    a, b = write_reads(tmp_path / "a.bam", fasta), write_reads(tmp_path / "b.cram", fasta, index=False)
    modo, told = create(tmp_path, [a, b, tmp_path / "a.bam.bai"], fasta)
    assert {"a.bam.bai", "b.cram.crai", "ref.fa.fai"} <= {path.name for path in modo.list_files()}
    assert any("a.bam" in line and "index a.bam.bai" in line for line in told) and any("index to be built" in line for line in told)
    other = write_variants(tmp_path / "c.vcf.gz", ["S1"])
    shutil.copy(tmp_path / "a.bam.bai", tmp_path / "d.bam.bai")
    longer = run("samtools", "view", "-h", a).replace("chr1\t119", "chr2\t119")
    run("samtools", "view", "-b", "-o", tmp_path / "d.bam", "-", stdin=longer)
    os.utime(tmp_path / "d.bam.bai")
    with pytest.raises(IntegrityError, match="d.bam.bai"):
        create(tmp_path, [other, tmp_path / "d.bam"], name="stale")
    assert not (tmp_path / "stale").exists()


def test_all_problems_come_at_once_and_nothing_is_written(tmp_path, fasta):
    cut = tmp_path / "cut.bam"
    cut.write_bytes(write_reads(tmp_path / "a.bam", fasta).read_bytes()[:-20])
    shutil.copy(tmp_path / "a.bam", tmp_path / "x.cram")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "t.tsv").write_text("id\n")
    with pytest.raises(InvalidInputError) as caught:
        create(tmp_path, [tmp_path / name for name in ("a.bam", "cut.bam", "x.cram", "notes.docx", "t.tsv", "no.bam", "ref.fa", "a.bai", "z.bam.bai")])
    for words in ("8 problems", "cut.bam", "x.cram", "notes.docx is in no format", "t.tsv: what it is, is not clear", "no source file", "ref.fa: what it is",
                  "no index", "a.bai", "z.bam.bai is an index"):
        assert words in caught.value.message, caught.value.message
    assert not (tmp_path / "ex").exists() and "\n" not in caught.value.message
    with pytest.raises(NotFoundError):
        create(tmp_path, [tmp_path / "no.bam"])
    with pytest.raises(AlreadyExistsError):
        create(tmp_path, [tmp_path / "a.bam"], name=".")


def test_what_is_not_clear_can_be_said(tmp_path, fasta):
    (tmp_path / "t.tsv").write_text("a\tb\n")
    modo, _ = create(tmp_path, [tmp_path / "t.tsv", fasta], mapping={"@type:t.tsv": "DataEntity", "@type:ref.fa": "ReferenceGenome"})
    assert modo.metadata["data/t"]["data_format"] == "TSV" and "reference/ref" in modo.metadata
    with pytest.raises(InvalidInputError):
        create(tmp_path, [tmp_path / "t.tsv"], name="b", mapping={"@type:t.tsv": "Sampel"})


def test_a_file_that_is_added_again_is_refused(tmp_path, fasta):
    reads = write_reads(tmp_path / "a.bam", fasta)
    modo, _ = create(tmp_path, [reads], fasta)
    before = modo.metadata
    with pytest.raises(AlreadyExistsError, match="data/a"):
        modo.add_files(reads)
    assert MODO.open(modo.path).metadata == before


def test_sheets_and_files_and_attributes_make_one_object(tmp_path, fasta):
    sheet = tmp_path / "s.tsv"
    sheet.write_text("Sample ID\tSex\nS1\tF\n")
    modo, _ = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, ["S1"])], fasta, type="sample", name="ex", mapping={"Sample ID": "id", "sex:F": "female"},
                     descriptions=[sheet, Entry({"@type": "Assay", "id": "w", "omics_type": ["GENOMICS"], "has_data": ["a"]}, None, None)], description="All")
    assert modo.metadata["ex"]["description"] == "All" and modo.metadata["sample/S1"]["sex"] == "Female"
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"] and modo.metadata["assay/w"]["has_data"] == ["data/a"]


def test_encrypted_files_keep_the_rules_of_add(tmp_path, fasta):
    """Without a key the header is not read, which is told; with it, the samples and the reference are those of the plain file."""
    from modos.encryption.keys import SecretKey

    plain, _ = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, ["S1"])], fasta, name="plain")
    secret = SecretKey.random()
    plain.encrypt([secret.public])
    sealed = [tmp_path / "plain" / path for path in plain.list_files() if path.name == "a.bam.c4gh"][0]
    modo, told = create(tmp_path, [sealed], fasta, name="closed")
    assert "has_sample" not in modo.metadata["data/a"] and any("its header was not read" in line for line in told)
    modo, told = create(tmp_path, [sealed], fasta, name="opened", secret_key=secret)
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"] and modo.metadata["data/a"]["has_reference"] == ["reference/ref"]
    renamed = shutil.copy(sealed, tmp_path / "secret.bam")
    with pytest.raises(ModosError, match="encrypted|Crypt4GH"):
        create(tmp_path, [Path(renamed)], name="lying")


def test_real_files_of_others(tmp_path, shared_data):
    """Every BAM, CRAM, VCF and BCF of the specification's examples: the samples are the oracle's, or the file is refused in one line."""
    compared = 0
    for path in sorted(shared_data.rglob("*")):
        if not path.name.endswith((".bam", ".cram", ".vcf.gz", ".bcf")) or path.stat().st_size > 5 << 20 or compared > 40:
            continue
        try:
            names = oracle_samples(path)
        except subprocess.CalledProcessError:
            continue
        try:
            modo, _ = create(tmp_path, [path], name=f"o{compared}")
        except ModosError as error:
            assert "\n" not in error.message
            continue
        (element, attributes), = ((id, a) for id, a in modo.metadata.items() if id.startswith("data/"))
        assert sorted(modo.metadata[id]["name"] for id in attributes.get("has_sample", ())) == sorted(names), path
        compared += 1
    assert compared


def test_thousands_of_sequences_get_their_ids_in_no_time(tmp_path):
    import time

    from modos.object.enrichment import free_id

    document = MODO.create(tmp_path / "ex")._document
    start = time.process_time()
    assert {free_id(document, "sequence", f"c{number}") for number in range(1000)} == {f"c{number}" for number in range(1000)}
    assert time.process_time() - start < 10, "it was 100 s"
