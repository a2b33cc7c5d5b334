"""A VCF Zarr gives back the records of its VCF, by region as bcftools does, or an error; a conversion that loses something says so."""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
import zarr

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    TransportError,
)
from modos.genomics.region import Region
from modos.trees.vcf_zarr_comparing import find_difference
from tests.faults.conftest import check_whole, fail, interrupted, place, state  # noqa: F401 - fixtures

pytestmark = pytest.mark.sweep(26)

pytest.importorskip("bio2zarr")
pytest.importorskip("vcztools")
if not shutil.which("bcftools"):
    pytest.skip("bcftools is not installed", allow_module_level=True)

HEADER = """##fileformat=VCFv4.3
##contig=<ID=chr1,length=100000>
##contig=<ID=HLA:01,length=9000>
##contig=<ID=chr2,length=40000>
##FILTER=<ID=q10,Description="low, with \\"quotes\\"">
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##INFO=<ID=DB,Number=0,Type=Flag,Description="Known">
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##INFO=<ID=P,Number=1,Type=Float,Description="P value">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="Probabilities">
##FORMAT=<ID=XS,Number=1,Type=String,Description="Text">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts2\ts3
"""
SPAN = re.compile(r"(chr\d|HLA:01)(?::([\d,]+)-([\d,]+))?")
REGIONS = (
    ["chr1:1-10,000"],
    ["chr1:12,345-12,345"],
    ["chr1:30,050-30,060"],  # within a long deletion
    ["chr2", "chr1:5,000-6,000", "chr1:5,500-7,000"],
    ["HLA:01:1-4,000"],
    ["chr1:99,999-100,000"],
    None,
)


def write_line(contig, position, rng):
    ref, alt = rng.choice([("A", "T"), ("ACGTACG", "A"), ("G", "GTT"), ("C", "A,<*>")])
    alleles = alt.count(",") + 1
    info = ["AF=" + ",".join(f"{rng.random() ** 9:.6g}" for _ in range(alleles)), f"P={rng.random() ** 30:.6g}"]
    info += ["DB"] * (rng.random() < 0.3)
    if position == 30_000:
        ref, alt, alleles, info = "A", "<DEL>", 1, ["AF=0.5", "END=30500"]
    genotypes = (alleles + 2) * (alleles + 1) // 2
    calls = (
        f"{rng.choice(['0/0', '0|1', '1/1', '0/.', *['./.'] * number])}:{rng.choice([rng.randrange(90), *['.'] * number])}:"
        f"{','.join(f'{rng.random():.4g}' for _ in range(genotypes))}:{rng.choice(['x', 'longer', *['.'] * number])}"
        for number in range(3)  # the first has everything: a field that none has is not in the tree's records
    )
    quality, filters = rng.choice([".", "30", "0.0123457", "1e-08", "1.5e+06"]), rng.choice(["PASS", "q10", "."])
    columns = [contig, position, rng.choice([".", "rs1;rs2"]), ref, alt, quality, filters, ";".join(sorted(info))]
    return "\t".join(map(str, [*columns, "GT:DP:GP:XS", *calls]))


@pytest.fixture(scope="module")
def vcf(tmp_path_factory):
    """2,600 variants on three contigs: more than two chunks of bio2zarr."""
    path, rng = tmp_path_factory.mktemp("vcf") / "cohort.vcf", random.Random(22)
    places = [("chr1", at) for at in sorted({*rng.sample(range(1, 99_000), 1800), 12_345, 30_000})]
    places += [
        (contig, at) for contig, most in (("HLA:01", 9000), ("chr2", 40_000)) for at in sorted(rng.sample(range(1, most), 400))
    ]
    path.write_text(HEADER + "".join(f"{write_line(*at, rng)}\n" for at in places))
    subprocess.run(["bcftools", "view", "--no-version", "-Oz", "-o", f"{path}.gz", path], check=True)
    subprocess.run(["bcftools", "index", "-t", f"{path}.gz"], check=True)
    subprocess.run(["bcftools", "view", "--no-version", "-Ob", "-o", path.with_suffix(".bcf"), path], check=True)
    return path.with_suffix(".vcf.gz")


@pytest.fixture(scope="module")
def made(vcf, tmp_path_factory):
    """An object with the VCF and its VCF Zarr, on this machine; not to be changed."""
    modo, fasta = MODO.create(tmp_path_factory.mktemp("object") / "ex", id="ex"), tmp_path_factory.mktemp("fasta") / "g.fa"
    fasta.write_text(">chr1\nACGT\n")
    with modo.transaction() as change:
        change.add_element({"id": "p1", "@type": "Sample"})
        change.add_element({"id": "g", "@type": "ReferenceGenome"}, fasta)
        change.add_element({"id": "wgs", "@type": "Assay", "omics_type": ["GENOMICS"]})
        links = {"has_sample": ["sample/p1"], "has_reference": ["reference/g"]}
        change.add_element({"id": "cohort", "@type": "VariantSet"} | links, vcf, "assay/wgs")
    assert modo.convert("data/cohort") == "data/cohort_zarr"
    return modo


@pytest.fixture
def own(made, tmp_path):
    """A copy of that object."""
    return made.download(tmp_path / "own")


def oracle(vcf, regions=None, *options):
    """Records of a VCF by bcftools, in the order of the file, each once."""
    every = _view(vcf, *options)
    if regions is None:
        return every
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        for region in regions:
            contig, start, end = SPAN.fullmatch(region).groups()
            table.write(f"{contig}\t{(start or '1').replace(',', '')}\t{(end or '1000000').replace(',', '')}\n")
        table.flush()
        lines = set(_view(vcf, *options, "-R", table.name))
    return [line for line in every if line in lines]


def _view(*arguments):
    return subprocess.run(["bcftools", "view", "-H", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def text_of(modo, name, regions=None, **options):
    with tempfile.TemporaryFile() as file:
        from modos.genomics.writer import OutputFormat

        modo.file(name, **options).write(file.fileno(), regions, OutputFormat("VCF", compressed=False))
        file.seek(0)
        return file.read().decode()


def records_of(modo, name, regions=None, **options):
    """Records as text; those of our VCF have INFO and FORMAT in the order of a VCF Zarr."""
    return [line for line in text_of(modo, name, regions, **options).splitlines() if not line.startswith("#")]


def modos(*arguments, code=0, **environment):
    command = [sys.executable, "-m", "modos", *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=os.environ | environment
    )
    assert result.returncode == code, result.stderr
    return result


@pytest.mark.parametrize("regions", REGIONS)
def test_regions_are_those_of_bcftools(made, vcf, regions):
    wanted = oracle(vcf, regions)
    assert records_of(made, "data/cohort_zarr", regions) == wanted
    assert made["data/cohort_zarr"].count(regions) == len(wanted)
    assert [str(record).rstrip("\n") for record in made.stream_genomics("cohort.zarr", regions)] == wanted


def test_a_vcf_in_an_object_anywhere_is_converted_and_streamed(place, vcf):  # noqa: F811
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "b", "@type": "VariantSet"}, vcf.with_suffix("").with_suffix(".bcf"))
    steps = []
    assert modo.convert("b", id="matrix", progress=steps.append) == "data/matrix"
    assert sum(steps) > modo["data/b"]["data_size"] * 2
    assert modo["data/matrix"]["data_path"] == "cohort.zarr" and modo.find_problems() == []
    assert records_of(modo, "data/matrix", ["chr2:1-20,000"]) == oracle(vcf, ["chr2:1-20,000"])
    assert records_of(place.open(modo.storage.url), "data/matrix") == oracle(vcf)


def test_the_new_element_says_of_what_it_was_made(made):
    new, source = made["data/cohort_zarr"], made["data/cohort"]
    assert (new["derived_from"], new["has_sample"], new["has_reference"]) == (["data/cohort"], ["sample/p1"], ["reference/g"])
    assert (new["@type"], new["data_format"], new["zarr_kind"]) == ("VariantSet", "Zarr", "VCF-Zarr")
    assert dict(zip(new["axes"], new["shape"])) == {"variants": 2602, "samples": 3}
    assert source["data_digest"] in new["description"] and "bio2zarr" in new["description"]
    assert made["assay/wgs"]["has_data"] == ["data/cohort", "data/cohort_zarr"]
    assert made.find_problems() == []


def test_the_header_says_what_that_of_the_source_says(made, vcf):
    header = [line for line in text_of(made, "data/cohort_zarr", ["chr2:1-2"]).splitlines() if line.startswith("#")]
    before = subprocess.run(["bcftools", "view", "-h", vcf], capture_output=True, text=True, check=True).stdout.splitlines()
    told = {
        line.replace(",IDX=0", "") for line in before if line.startswith(("##INFO", "##FORMAT", "##FILTER", "##contig", "#CHROM"))
    }
    assert told <= set(header)


def test_a_missing_contig_is_the_error_of_a_vcf(made):
    found = []
    for name in ("data/cohort", "data/cohort_zarr"):
        for region in ("chr3:1-10", Region("chr3", 0, 10)):
            with pytest.raises(NotFoundError) as error:
                made.stream_genomics(name, region)
            found.append((error.value.message, error.value.hint))
    assert found[:2] == found[2:]


def test_the_command_streams_text(made, vcf, tmp_path):
    file = f"{made.storage.url}/data/cohort_zarr"
    table = tmp_path / "regions.tsv"
    table.write_text("chr1\t1\t9000\nchr2\t100\t20000\n")
    regions = ["chr1:1-9000", "chr2:100-20000"]
    for given in (["-r", regions[0], "-r", regions[1]], ["-R", table]):
        out = modos("stream", file, *given).stdout
        assert [line for line in out.splitlines() if line[0] != "#"] == oracle(vcf, regions)
        assert out.startswith("##fileformat=VCF")
    assert modos("stream", file, "-c", "-r", "chr2").stdout == f"{len(oracle(vcf, ['chr2']))}\n"
    assert modos("stream", file, "-H").stdout.splitlines()[-1].endswith("\ts1\ts2\ts3")
    of_samples = modos("stream", file, "--samples", "s3,s1", "-r", "HLA:01").stdout
    wanted = oracle(vcf, ["HLA:01"], "-I", "-s", "s3,s1")
    assert [line for line in of_samples.splitlines() if line[0] != "#"] == wanted
    modos("stream", file, "-o", tmp_path / "out.bcf")
    assert oracle(tmp_path / "out.bcf") == oracle(vcf)
    assert "no contig chr9" in modos("stream", file, "-r", "chr9:1-2", code=3).stderr
    assert "no sample s9" in modos("stream", file, "--samples", "s9", code=3).stderr


def test_an_opened_tree_is_pickled_and_another_one_is_noticed(own):
    file = pickle.loads(pickle.dumps(own.file("data/cohort_zarr")))
    assert file.count(["chr2"]) == 400
    own.remove_element("data/cohort_zarr")
    with pytest.raises(ConflictError):
        file.count()


def test_a_sealed_tree_is_streamed_with_its_key(own, vcf):
    key = SecretKey.random()
    own.encrypt([key.public], elements=["data/cohort_zarr"], also_me=False)
    assert records_of(own, "data/cohort_zarr", ["chr2"], secret_key=key) == oracle(vcf, ["chr2"])
    for wrong in ({}, {"secret_key": SecretKey.random()}):
        with pytest.raises(ModosError):
            records_of(own, "data/cohort_zarr", **wrong)


def test_an_encrypted_vcf_is_not_made_plain_unasked(own, vcf):
    key = SecretKey.random()
    own.encrypt([key.public], elements=["data/cohort"], also_me=False)
    with pytest.raises(InvalidInputError, match="is encrypted, and its VCF Zarr would not be"):
        own.convert("data/cohort", id="open", secret_key=key)
    own.convert("data/cohort", id="open", secret_key=key, plain=True)
    assert records_of(own, "data/open") == oracle(vcf)


@pytest.mark.parametrize(
    "array", ["variant_position", "variant_quality", "call_DP", "variant_allele", "contig_id", "call_genotype"]
)
def test_a_damaged_chunk_is_an_error_and_never_a_wrong_record(own, vcf, array):
    keys = [info.key for info in own.storage.iter_files(f"cohort.zarr/{array}") if "/." not in info.key.rpartition(array)[2]]
    key = max(keys)
    data = bytearray(own.storage.read(key)[0])
    data[len(data) // 2] ^= 1
    own.storage.delete(key)
    own.storage.write(key, bytes(data))
    wanted = oracle(vcf)
    result = modos("stream", f"{own.storage.url}/cohort_zarr", code=6)
    assert "is not the recorded" in result.stderr or "not those that are recorded" in result.stderr or key in result.stderr
    got = [line for line in result.stdout.splitlines() if line[0] != "#"]
    assert got == wanted[: len(got)] and len(got) < len(wanted)
    modos("stream", f"{own.storage.url}/cohort_zarr", "-c", code=6)


def test_a_closed_pipe_ends_it(made):
    command = f"{sys.executable} -m modos stream {made.storage.url}/cohort_zarr | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert result.stdout.splitlines()[0].startswith("##fileformat") and result.stderr == ""
    assert result.stdout.splitlines()[1] in ("141", "0")


@pytest.mark.parametrize("change", ["none", "wrong"])
def test_regions_do_not_hang_on_the_index_of_the_tree(own, vcf, tmp_path, change):
    folder = tmp_path / "x.zarr"
    shutil.copytree(f"{own.storage.url}/cohort.zarr", folder)
    if change == "none":
        shutil.rmtree(folder / "region_index")
        (folder / ".zmetadata").unlink(missing_ok=True)
    else:
        index = zarr.open_group(folder, mode="r+")["region_index"]
        index[0, 5] -= 1
    own.add_element({"id": "x", "@type": "VariantSet"}, folder)
    assert records_of(own, "data/x", ["chr1:1-10,000", "chr2"]) == oracle(vcf, ["chr1:1-10,000", "chr2"])


def test_a_text_with_a_line_feed_makes_no_record(own, tmp_path):
    folder = tmp_path / "x.zarr"
    shutil.copytree(f"{own.storage.url}/cohort.zarr", folder)
    zarr.open_group(folder, mode="r+")["variant_id"][3] = "rs1\nchr1\t7\trs2"
    own.add_element({"id": "x", "@type": "VariantSet"}, folder)
    with pytest.raises(IntegrityError, match="tab or a line feed"):
        records_of(own, "data/x")


def test_what_is_no_vcf_zarr_is_not_streamed(own, tmp_path):
    zarr.open_group(tmp_path / "plain.zarr", mode="w").create_array("a", shape=(3,), dtype="i4")
    own.add_element({"id": "plain", "@type": "DataEntity"}, tmp_path / "plain.zarr")
    with pytest.raises(InvalidInputError, match="no VCF Zarr"):
        own.file("data/plain")
    with pytest.raises(InvalidInputError, match="no VCF or BCF"):
        own.convert("data/cohort_zarr", id="again")


def write_vcf(path, *lines, header=()):
    told = "\n".join(['##INFO=<ID=CI,Number=2,Type=Integer,Description="x">', *header])
    head = HEADER.replace("##FORMAT=<ID=GT", f"{told}\n##FORMAT=<ID=GT")
    (path / "loss.vcf").write_text(head + "".join(f"{line}\tGT\t0/1\t0/0\t1/1\n" for line in lines))
    subprocess.run(["bcftools", "view", "--no-version", "-Oz", "-o", path / "loss.vcf.gz", path / "loss.vcf"], check=True)
    return path / "loss.vcf.gz"


def test_a_conversion_that_loses_something_is_refused_unless_asked_for(tmp_path):
    vcf = write_vcf(tmp_path, "chr1\t5\t.\tA\tT\t9\tPASS\tCI=3,4", "chr1\t7\t.\tA\tT\t9\tPASS\tCI=-1,2")
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, vcf)
    before = state(modo)
    with pytest.raises(InvalidInputError, match=r"1 of 2 records come back otherwise, the first at chr1:7: INFO CI -1,2 is \.,2"):
        modo.convert("data/v")
    assert state(modo) == before and modo.find_problems() == []
    assert modo.convert("data/v", allow_loss=True) == "data/v_zarr"
    assert "1 of 2 records" in modo["data/v_zarr"]["description"]


def test_positions_that_are_small_beside_their_ends_are_converted(tmp_path):
    vcf = write_vcf(tmp_path, "chr1\t5\t.\tA\t<DEL>\t9\tPASS\tEND=90000")
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, vcf)
    modo.convert("data/v")
    assert modo["data/v_zarr"].count("chr1:80,000-80,001") == 1 and modo["data/v_zarr"].count("chr1:90,001-90,002") == 0


def test_regions_find_what_spans_them_by_svlen_as_in_the_source(tmp_path):
    variants = [(100, "DEL", -5000), (200, "DEL", -30), (400, "DUP", 700), (900, "INS", 4000), (7000, "DEL", -1500)]
    lines = (f"chr1\t{at}\t.\tA\t<{kind}>\t9\tPASS\tSVLEN={length}" for at, kind, length in variants)
    vcf = write_vcf(tmp_path, *lines, header=['##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="Length">'])
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, vcf)
    modo.convert("data/v")
    for start in range(1, 9000, 97):
        region = f"chr1:{start}-{start + 40}"
        found = [[record.pos for record in modo.stream_genomics(name, region)] for name in ("data/v", "data/v_zarr")]
        assert found[0] == found[1], region
    index = modo["data/v_zarr"].to_zarr()["region_index"][:]
    assert index[:, 4].max() == 8500


def test_the_header_has_the_numbers_of_values_of_the_source(tmp_path):
    fields = [("U", "."), ("SVLEN", "."), ("CI", "2"), ("TWO", "2"), ("ONE", "1"), ("PER", "A"), ("ALL", "R")]
    header = [f'##INFO=<ID={name},Number={number},Type=Integer,Description="{name}">' for name, number in fields if name != "CI"]
    line = "chr1\t5\t.\tA\tT,G\t9\tPASS\tU=3,4,5;CI=3,4;SVLEN=7;TWO=5,6;ONE=1;PER=3,4;ALL=3,4,5"
    vcf = write_vcf(tmp_path, line, "chr1\t6\t.\tA\tT\t9\tPASS\tU=3", header=header)
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, vcf)
    modo.convert("data/v")
    told = dict(re.findall(r"##INFO=<ID=(\w+),Number=([^,]+)", text_of(modo, "data/v_zarr")))
    assert dict(fields).items() <= told.items()


def test_a_tree_that_tells_no_numbers_says_any_number_where_there_is_room_for_many(tmp_path):
    from bio2zarr import vcf as maker

    vcf = write_vcf(tmp_path, "chr1\t5\t.\tA\tT\t9\tPASS\tCI=3,4")
    maker.convert([str(vcf)], str(tmp_path / "other.zarr"))
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, tmp_path / "other.zarr")
    assert "##INFO=<ID=CI,Number=.,Type=Integer" in text_of(modo, "data/v")


@pytest.mark.parametrize(("number", "hint"), [(0, "--rename-annots"), (1, "ASCII")])
def test_a_refusal_of_bio2zarr_is_one_clear_error(tmp_path, number, hint):
    lines = ["chr1\t5\t.\tA\tT\t9\tPASS\tlength=3", "chr1\t5\t.\tA\tT\t9\tPASS\t.\tXS:GT\tcaf\u00e9:0/0\tx:0/0\tx:0/0"]
    header = ['##INFO=<ID=length,Number=1,Type=Integer,Description="x">'] * (number == 0)
    vcf = tmp_path / "loss.vcf.gz"
    if number:
        (tmp_path / "loss.vcf").write_text(f"{HEADER}{lines[1]}\n")
        subprocess.run(["bcftools", "view", "-Oz", "-o", vcf, tmp_path / "loss.vcf"], check=True)
    else:
        write_vcf(tmp_path, lines[0], header=header)
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "v", "@type": "VariantSet"}, vcf)
    command = [sys.executable, "-m", "modos", "convert", f"{modo.path}/loss.vcf.gz", "--to", "vcf-zarr"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.startswith("error: bio2zarr cannot convert")
    assert result.stderr.count("\n") == 2 and hint in result.stderr


def test_a_taken_id_is_refused_before_anything_is_made(made, monkeypatch):
    monkeypatch.setattr("modos.trees.vcf_zarr_making.make_vcf_zarr", lambda *_: pytest.fail("it was made"))
    with pytest.raises(AlreadyExistsError, match="cohort_zarr"):
        made.convert("data/cohort")
    with pytest.raises(InvalidInputError, match="nothing is converted to plink"):
        made.convert("data/cohort", "plink")


@pytest.mark.parametrize("module", ["bio2zarr", "cyvcf2", "vcztools"])
def test_a_missing_package_is_one_clear_error(made, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInputError, match=f"{module} is not installed") as error:
        made.file("data/cohort_zarr") if module == "vcztools" else made.convert("data/cohort", id="other")
    assert error.value.hint == "pip install 'modos-store[vcf-zarr]'"


def test_nothing_is_left_of_what_fails_or_is_interrupted(own, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = state(own)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("modos.trees.vcf_zarr_comparing.compare_records", stop)
        own.convert("data/cohort", id="new")
    assert list(folder.iterdir()) == []
    for at in (0, 5, 40):
        with interrupted(at, fail), pytest.raises(TransportError):
            own.convert("data/cohort", id="new")
    assert list(folder.iterdir()) == [] and state(own) == before
    assert [finding for finding in check_whole(own.storage) if not finding.harmless] == []


def test_a_process_that_is_killed_half_way_leaves_the_object_whole(own):
    before = state(own)
    code = f"from modos.api import MODO; MODO.open({own.storage.url!r}).convert('data/cohort', id='new')"
    code = (
        "import os, signal; from modos.trees import staging; put = staging.put_files\n"
        "def kill(log, files, *rest):\n"
        "    made = put(log, files, *rest)\n"
        "    return os.kill(os.getpid(), signal.SIGKILL) if any('call_DP' in key for key, _ in files) else made\n"
        f"staging.put_files = kill\n{code}"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True).returncode == -signal.SIGKILL
    own.refresh()
    assert state(own) == before
    check_whole(own.storage)
    assert own.convert("data/cohort", id="new") == "data/new"
    assert [finding for finding in own.find_problems() if not finding.harmless] == []


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("1\t5\t.\tA\tT\t9\tPASS\tX=1;Y=2", "1\t5\t.\tA\tT\t9\tPASS\tY=2;X=1", None),
        ("1\t5\t.\tA\tT\t9.10\tPASS\tX=0.30", "1\t5\t.\tA\tT\t9.1\tPASS\tX=0.3", None),
        ("1\t5\t.\tA\tT\t9\ta;b\tX=1,.;Z=.", "1\t5\t.\tA\tT\t9\tb;a\tX=1", None),
        ("1\t5\t.\tA\tT\t9\tPASS\tX=1", "1\t5\t.\tA\tT\t9\tPASS\tX=2", "INFO X 1 is 2"),
        ("1\t5\t.\tA\tT\t9\tPASS\tX=16777217", "1\t5\t.\tA\tT\t9\tPASS\tX=16777216", "INFO X 16777217 is 16777216"),
        ("1\t5\t.\tA\tT\t9\tPASS\tX", "1\t5\t.\tA\tT\t9\tPASS\t.", "INFO X set is missing"),
        ("1\t5\t.\tA\tT\t9\tPASS\t.", "1\t5\t.\tA\tT\t9\t.\t.", "FILTER PASS is ."),
        ("1\t5\t.\tA\tT\t9\tPASS\t.\tGT:DP\t0/1:3", "1\t5\t.\tA\tT\t9\tPASS\t.\tGT:DP\t0|1:3", "FORMAT GT 0/1 is 0|1"),
        ("1\t5\t.\tA\tT\t9\tPASS\t.\tDP:GT\t3:./.", "1\t5\t.\tA\tT\t9\tPASS\t.\tDP\t3", None),
        ("1\t5\t.\tA\tT\t9\tPASS\t.", None, "a record less"),
        (None, "1\t5\t.\tA\tT\t9\tPASS\t.", "a record more"),
    ],
)
def test_a_difference_is_told_from_another_way_to_write_the_same(one, other, told):
    assert find_difference(one, other) == told
