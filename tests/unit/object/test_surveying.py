"""Objects made of files: samples are those that samtools and bcftools name, references those that fit, and nothing is guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modos.api import MODO
from modos.errors import AlreadyExistsError, IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.metadata.description import Entry, Matcher
from modos.object.surveying import name_files

BASES = {"chr1": "ACGTTGCA" * 500, "chr2": "GATTACA" * 300}


def run(*command, stdin=None):
    return subprocess.run(list(map(str, command)), input=stdin, capture_output=True, check=True, text=True).stdout


def write_fasta(path, bases=BASES):
    path.write_text(
        "".join(
            f">{name} of a test\n" + "".join(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60))
            for name, text in bases.items()
        )
    )
    run("samtools", "faidx", path)
    return path


def sequence_lines(fasta, without=""):
    lines = [line for line in run("samtools", "dict", fasta).splitlines() if line.startswith("@SQ")]
    return ["\t".join(field for field in line.split("\t") if field[:2] not in ("UR", *without.split())) for line in lines]


def write_reads(path, fasta, samples=("S1",), without="", index=True):
    groups = [f"@RG\tID:g{number}\tSM:{name}" for number, name in enumerate(samples)]
    reads = [
        f"r{number}\t0\tchr1\t{100 + number}\t60\t8M\t*\t0\t0\t{BASES['chr1'][99 + number : 107 + number]}\tIIIIIIII"
        for number in range(20)
    ]
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
    text = (
        "\n".join(
            [
                "##fileformat=VCFv4.2",
                *contigs,
                '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">',
                "\t".join(columns),
                "\t".join(record),
            ]
        )
        + "\n"
    )
    run("bcftools", "view", "--no-version", "-O", "b" if path.suffix == ".bcf" else "z", "-o", path, "-", stdin=text)
    if index:
        run("bcftools", "index", *([] if path.suffix == ".bcf" else ["-t"]), path)
    return path


def oracle_samples(path):
    if path.name.endswith((".vcf.gz", ".bcf")):
        return run("bcftools", "query", "-l", path).split("\n")[:-1]
    return list(
        dict.fromkeys(line.split("\t")[0] for line in run("samtools", "samples", path).splitlines() if line.split("\t")[0] != ".")
    )


@pytest.fixture
def fasta(tmp_path):
    return write_fasta(tmp_path / "ref.fa")


def create(tmp_path, files, reference=(), name="ex", mapping=None, ask=None, **options):
    told = []
    return MODO.create_from_files(
        tmp_path / name, files, reference, matcher=Matcher(mapping or {}, ask, told.append), **options
    ), told


def test_samples_are_those_that_samtools_and_bcftools_name(tmp_path, fasta):
    files = [
        write_reads(tmp_path / "a.cram", fasta, ["S1"]),
        write_reads(tmp_path / "b.bam", fasta, ["S1", "S 2", "S1", "S/3"]),
        write_reads(tmp_path / "none.bam", fasta, []),
        write_variants(tmp_path / "c.vcf.gz", ["S1", "N4"]),
        write_variants(tmp_path / "d.bcf", ["N5"]),
        write_variants(tmp_path / "sites.vcf.gz", []),
    ]
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
    for number, bases in enumerate(
        [
            BASES | {"chr2": "C" + BASES["chr2"][1:]},
            BASES | {"chr2": BASES["chr2"][:-1]},
            {"chr1": BASES["chr1"]},
            {"1": BASES["chr1"], "2": BASES["chr2"]},
        ]
    ):
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
    assert modo.metadata["reference/mini"]["assembly"] == "mini" and modo.metadata["data/a"]["has_reference"] == [
        "reference/mini"
    ]
    assert modos.reference.open("mini").assembly.seqcol == modo.metadata["reference/mini"]["seqcol_digest"]


def test_added_files_find_the_references_and_samples_of_the_object(tmp_path, fasta):
    modo, _ = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, ["S1"])], fasta)
    modo.add_element({"id": "wgs", "@type": "Assay", "omics_type": "GENOMICS"})
    added = modo.add_files(
        [write_reads(tmp_path / "b.cram", fasta, ["S1", "S2"]), write_variants(tmp_path / "c.bcf", ["S2"])], part_of="assay/wgs"
    )
    assert added == ["sample/S2", "data/b", "data/c"]
    assert modo.metadata["data/b"]["has_reference"] == modo.metadata["data/c"]["has_reference"] == ["reference/ref"]
    assert modo.metadata["assay/wgs"]["has_data"] == ["data/b", "data/c"]
    assert modo.add_files(write_reads(tmp_path / "d.bam", fasta, ["S1"]), reference=fasta) == ["data/d"], (
        "the same FASTA is not added twice"
    )
    assert modo.find_problems() == []


def test_what_the_object_knows_of_its_sequences_counts(tmp_path, fasta):
    """MD5s that are recorded are compared, though nobody has read the FASTA: contigs of the same lengths are not enough."""
    reads = write_reads(
        tmp_path / "a.bam", write_fasta(tmp_path / "same-lengths.fa", {name: text[::-1] for name, text in BASES.items()})
    )
    modo = MODO.create(tmp_path / "ex")
    with modo.transaction() as tx:
        for number, line in enumerate(sequence_lines(fasta), 1):
            tx.add_element(
                {"id": f"c{number}", "@type": "ReferenceSequence", "name": f"chr{number}", "sequence_md5": line.split("M5:")[1]}
            )
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
    assert list(name_files(paths).values()) == [
        ("a.bam", "a.bam"),
        ("a.cram", "a.cram"),
        ("b", "b.vcf.gz"),
        ("x_c.bam", "x/c.bam"),
        ("y_c.bam", "y/c.bam"),
        ("x_d.cram", "x/d.cram"),
        ("y_d.cram", "y/d.cram.c4gh"),
    ]


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
    assert any("a.bam" in line and "index a.bam.bai" in line for line in told) and any(
        "index to be built" in line for line in told
    )
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
        create(
            tmp_path,
            [
                tmp_path / name
                for name in ("a.bam", "cut.bam", "x.cram", "notes.docx", "t.tsv", "no.bam", "ref.fa", "a.bai", "z.bam.bai")
            ],
        )
    for words in (
        "8 problems",
        "cut.bam",
        "x.cram",
        "notes.docx is in no format",
        "t.tsv: what it is, is not clear",
        "no source file",
        "ref.fa: what it is",
        "no index",
        "a.bai",
        "z.bam.bai is an index",
    ):
        assert words in caught.value.message, caught.value.message
    assert not (tmp_path / "ex").exists() and "\n" not in caught.value.message
    with pytest.raises(NotFoundError):
        create(tmp_path, [tmp_path / "no.bam"])
    with pytest.raises(AlreadyExistsError):
        create(tmp_path, [tmp_path / "a.bam"], name=".")


def test_what_is_not_clear_can_be_said(tmp_path, fasta):
    (tmp_path / "t.tsv").write_text("a\tb\n")
    modo, _ = create(
        tmp_path, [tmp_path / "t.tsv", fasta], mapping={"@type:t.tsv": "DataEntity", "@type:ref.fa": "ReferenceGenome"}
    )
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
    modo, _ = create(
        tmp_path,
        [write_reads(tmp_path / "a.bam", fasta, ["S1"])],
        fasta,
        type="sample",
        name="ex",
        mapping={"Sample ID": "id", "sex:F": "female"},
        descriptions=[sheet, Entry({"@type": "Assay", "id": "w", "omics_type": ["GENOMICS"], "has_data": ["a"]}, None, None)],
        description="All",
    )
    assert modo.metadata["ex"]["description"] == "All" and modo.metadata["sample/S1"]["sex"] == "Female"
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"] and modo.metadata["assay/w"]["has_data"] == ["data/a"]


def test_encrypted_files_keep_the_rules_of_add(tmp_path, fasta):
    """Without a key the header is not read, which is told; with it, the samples and the reference are those of the plain file."""
    from modos.encryption.keys import SecretKey

    plain, _ = create(tmp_path, [write_reads(tmp_path / "a.bam", fasta, ["S1"])], fasta, name="plain")
    secret = SecretKey.random()
    plain.encrypt([secret.public])
    sealed = next(tmp_path / "plain" / path for path in plain.list_files() if path.name == "a.bam.c4gh")
    modo, told = create(tmp_path, [sealed], fasta, name="closed")
    assert "has_sample" not in modo.metadata["data/a"] and any("its header was not read" in line for line in told)
    modo, told = create(tmp_path, [sealed], fasta, name="opened", secret_key=secret)
    assert modo.metadata["data/a"]["has_sample"] == ["sample/S1"] and modo.metadata["data/a"]["has_reference"] == [
        "reference/ref"
    ]
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
        ((element, attributes),) = ((id, a) for id, a in modo.metadata.items() if id.startswith("data/"))
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


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("_P", "P"), ("a\\b", "a_b"), ("../x", "x")])
def test_a_sample_is_never_another_whose_id_its_name_became(tmp_path, fasta, names):
    """An id cannot hold every name: `a/b` becomes `a_b`, which may be what somebody else is called."""
    first, second = [write_reads(tmp_path / f"{number}.bam", fasta, [name]) for number, name in enumerate(names)]
    both = write_variants(tmp_path / "both.vcf.gz", names)
    modo, _ = create(tmp_path, [both], name="one")
    assert [modo.metadata[id]["name"] for id in modo.metadata["data/both"]["has_sample"]] == list(names) == oracle_samples(both)
    with pytest.raises(InvalidInputError, match="may be sample/"):
        create(tmp_path, [first, second], name="two")
    modo, _ = create(tmp_path, [first, second], name="two", mapping={f"has_sample:{names[1]}": names[1]})
    assert [modo.metadata[id]["name"] for number in "01" for id in modo.metadata[f"data/{number}"]["has_sample"]] == list(names)
    modo.add_files(write_reads(tmp_path / "more.bam", fasta, [names[0]]))
    assert modo.metadata["data/more"]["has_sample"] == modo.metadata["data/0"]["has_sample"]


def test_enriching_never_takes_a_sample_for_another_whose_id_its_name_became(tmp_path):
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "calls", "@type": "VariantSet"}, write_variants(tmp_path / "calls.vcf.gz", ["a/b", "a_b"]))
    modo.enrich_metadata()
    assert [modo.metadata[id]["name"] for id in modo.metadata["data/calls"]["has_sample"]] == ["a/b", "a_b"]


def test_an_id_that_somebody_chose_is_what_a_sample_is_called(tmp_path, fasta):
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "P_2", "@type": "Sample", "name": "P"})
    modo.add_files(write_reads(tmp_path / "r.bam", fasta, ["P_2"]))
    assert modo.metadata["data/r"]["has_sample"] == ["sample/P_2"]


def test_a_file_that_cannot_be_indexed_says_why_and_what_to_do(tmp_path, fasta):
    lines = run("samtools", "view", "-h", write_reads(tmp_path / "a.bam", fasta)).splitlines()
    shuffled = [line for line in lines if line[0] == "@"] + [line for line in reversed(lines) if line[0] != "@"]
    run("samtools", "view", "-b", "-o", tmp_path / "b.bam", "-", stdin="\n".join(shuffled) + "\n")
    with pytest.raises(
        InvalidInputError, match="b.bam cannot be indexed: its records are not in the order of their positions"
    ) as caught:
        create(tmp_path, [tmp_path / "b.bam"])
    assert f"`samtools sort -o sorted.bam {tmp_path / 'b.bam'}`" in caught.value.hint and "stderr" not in str(caught.value)
    assert not (tmp_path / "ex").exists()


def test_a_file_that_is_called_like_an_option_is_a_file(tmp_path, fasta, monkeypatch):
    write_reads(tmp_path / "a.bam", fasta, index=False).rename(tmp_path / "-x.bam")
    write_reads(tmp_path / "a.cram", fasta, index=False).rename(tmp_path / "-o.cram")
    write_variants(tmp_path / "a.vcf.gz", ["S1"], index=False).rename(tmp_path / "-f.vcf.gz")
    monkeypatch.chdir(tmp_path)
    modo, _ = create(tmp_path, ["-x.bam", "-o.cram", "-f.vcf.gz"], "ref.fa")
    assert not list(modo.find_problems()) and modo.count("-x.bam", "chr1") == 20


def test_files_in_folders_of_one_name_and_references_too(tmp_path, fasta):
    """`run1/out/x.cram` and `run2/out/x.cram`: with as many folders as it takes."""
    paths = [tmp_path / run / "out" / "x.bam" for run in ("run1", "run2")]
    other = {name: bases[::-1] for name, bases in BASES.items()}
    references = [tmp_path / run / "out" / "ref.fa" for run in ("run1", "run2")]
    for path, reference, bases in zip(paths, references, (BASES, other)):
        path.parent.mkdir(parents=True)
        write_reads(path, write_fasta(reference, bases), [path.parts[-3]])
    modo, _ = create(tmp_path, [*paths, *paths], [*references, references[0]])
    metadata = modo.metadata
    assert {id: one["data_path"] for id, one in metadata.items() if "data_path" in one} == {
        "data/run1_out_x.bam": "run1/out/x.bam",
        "data/run2_out_x.bam": "run2/out/x.bam",
        "reference/run1_out_ref.fa": "run1/out/ref.fa",
        "reference/run2_out_ref.fa": "run2/out/ref.fa",
    }
    for run_name in ("run1", "run2"):
        data = metadata[f"data/{run_name}_out_x.bam"]
        assert data["has_sample"] == [f"sample/{run_name}"] and data["has_reference"] == [f"reference/{run_name}_out_ref.fa"]
    assert not list(modo.find_problems())


def test_a_file_whose_name_is_taken_in_the_object_can_be_called_otherwise(tmp_path, fasta):
    (tmp_path / "more").mkdir()
    modo, _ = create(tmp_path, [write_reads(tmp_path / "x.bam", fasta, ["S1"])], fasta)
    again = write_reads(tmp_path / "more" / "x.bam", fasta, ["S2"])
    with pytest.raises(AlreadyExistsError, match="data/x exists already") as caught:
        modo.add_files(again)
    assert "--map 'id:x.bam=NAME'" in caught.value.hint
    modo.add_files(again, matcher=Matcher({"id:x.bam": "x_2"}))
    assert (modo.metadata["data/x_2"]["data_path"], modo.metadata["data/x_2"]["has_sample"]) == ("x_2.bam", ["sample/S2"])
    modo.update_element("data/x_2", {"data_path": "y.bam"})
    modo.add_files(write_reads(tmp_path / "more" / "y.bam", fasta, ["S3"]))
    assert modo.metadata["data/y"]["data_path"] == "more/y.bam" and not list(modo.find_problems())


def test_one_of_two_files_of_a_name_is_meant_by_its_path(tmp_path, fasta):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_reads(tmp_path / folder / "x.bam", fasta, [folder])
    modo, _ = create(
        tmp_path, [tmp_path / "a/x.bam", tmp_path / "b/x.bam"], fasta, mapping={f"has_reference:{tmp_path / 'a/x.bam'}": ""}
    )
    assert "has_reference" not in modo.metadata["data/a_x.bam"] and modo.metadata["data/b_x.bam"]["has_reference"] == [
        "reference/ref"
    ]


def test_a_mapping_to_nothing_leaves_a_sample_out_and_one_to_a_reference_that_is_not_there_is_an_error(tmp_path, fasta):
    calls = write_variants(tmp_path / "c.vcf.gz", ["S1", "NA00000"])
    modo, told = create(tmp_path, [calls], mapping={"has_sample:NA00000": ""})
    assert modo.metadata["data/c"]["has_sample"] == ["sample/S1"] and "sample/NA00000" not in modo.metadata
    assert any("without NA00000, as was said" in line for line in told)
    with pytest.raises(InvalidInputError, match="has_reference:c.vcf.gz cannot be rev: there is no such reference") as caught:
        create(tmp_path, [calls], fasta, name="two", mapping={"has_reference:c.vcf.gz": "rev"})
    assert "reference/ref" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("s3://bucket/x.bam", NotFoundError, "s3://bucket/x.bam is no file of this machine"),
        ("https://example.org/a/x.bam", NotFoundError, "https://example.org/a/x.bam is no file of this machine"),
        ("folder.cram", InvalidInputError, "is a folder"),
        ("none.bam", NotFoundError, "no source file none.bam"),
    ],
)
def test_what_is_no_file_says_what_it_is(tmp_path, fasta, monkeypatch, given, error, words):
    (tmp_path / "folder.cram").mkdir()
    monkeypatch.chdir(tmp_path)
    for files, reference in (([given], ()), ([write_reads(tmp_path / "a.bam", fasta)], given)):
        if reference and given == "none.bam":
            continue
        with pytest.raises(ModosError) as caught:
            create(tmp_path, files, reference.replace(".bam", ".fa") if reference else ())
        assert (
            isinstance(caught.value, error) and words.replace("x.bam", "x.fa" if reference else "x.bam") in caught.value.message
        ), caught.value
    assert not (tmp_path / "ex").exists()


def test_what_is_empty_is_told_or_refused(tmp_path, fasta):
    for name in ("none.fa", "none.bed", "none.bam"):
        (tmp_path / name).touch()
    with pytest.raises(InvalidInputError, match="none.fa has no sequences"):
        create(tmp_path, [write_reads(tmp_path / "a.bam", fasta)], tmp_path / "none.fa")
    with pytest.raises(ModosError):
        create(tmp_path, [tmp_path / "none.bam"])
    _, told = create(tmp_path, [tmp_path / "none.bed"])
    assert any("an empty file" in line for line in told)


def test_a_second_name_of_a_file_is_told(tmp_path, fasta):
    (tmp_path / "link.bam").symlink_to(write_reads(tmp_path / "a.bam", fasta))
    _, told = create(tmp_path, [tmp_path / "a.bam", tmp_path / "link.bam"])
    assert f"{tmp_path / 'link.bam'} is the same file as {tmp_path / 'a.bam'}, and taken once" in told


def test_an_object_that_does_not_come_leaves_no_folder(tmp_path, fasta):
    (tmp_path / "mine").mkdir()
    text = run("samtools", "view", "-h", write_reads(tmp_path / "a.bam", fasta)).replace("\t101\t", "\t900\t", 1)
    run("samtools", "view", "-b", "-o", tmp_path / "b.bam", "-", stdin=text)
    for name in ("deep/er/ex", "mine", "mine/ex"):
        with pytest.raises(InvalidInputError, match="cannot be indexed"):
            create(tmp_path, [tmp_path / "b.bam"], name=name)
        assert [path for path in tmp_path.rglob("*") if path.is_dir()] == [tmp_path / "mine"]


@pytest.mark.parametrize("name", ["S\u202e1", "S\u20281", "  S1 ", "é" * 120, "..", ".hidden", "a/b", "x\x7fy"])
def test_any_name_of_a_sample_gets_an_id(tmp_path, name):
    modo, _ = create(tmp_path, [write_variants(tmp_path / "c.vcf.gz", ["first", name])])
    ids = modo.metadata["data/c"]["has_sample"]
    assert [modo.metadata[id]["name"] for id in ids] == ["first", name] and not list(modo.find_problems())
    modo.add_files(write_variants(tmp_path / "d.vcf.gz", [name]))
    assert modo.metadata["data/d"]["has_sample"] == ids[1:]


def test_a_2bit_file_is_compared_and_what_it_is_not_for_is_told(tmp_path, shared_data):
    reference = shared_data / "genomekit-mini" / "hg19.mini.2bit"
    _, told = create(
        tmp_path, [write_variants(tmp_path / "c.vcf.gz", [], contigs=["##contig=<ID=chr1,length=50196>"])], reference
    )
    assert any("reference/hg19.mini, TwoBit (of which no CRAM is decoded)" in line for line in told)
    told = []
    MODO.open(tmp_path / "ex").add_files(
        write_variants(tmp_path / "d.vcf.gz", [], contigs=["##contig=<ID=chr1,length=50196>"]), matcher=Matcher(tell=told.append)
    )
    assert any("hg19.mini.2bit is 2bit, and bases in an object are read from FASTA" in line for line in told)
