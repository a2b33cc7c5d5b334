"""An index that is not of its file is told apart, by a few looks or by going through all records; one that is, is not accused."""

from __future__ import annotations

import gzip
import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.formats import BGZF_EOF
from modos.genomics.index import bgzf, parse_index
from modos.genomics.index.fit import check_contigs_covered, check_fit
from modos.genomics.proving import check_records
from tests.support.hard_files import (
    CASES,
    CONTIGS,
    MANY,
    File,
    cram,
    index_reads,
    index_variants,
    overlaps,
    run,
    some_regions,
    write_reads,
    write_variants,
)
from tests.support.sampling import most, some

pytestmark = pytest.mark.sweep(50)

KINDS = {  # how a file of some records is made, with its index
    "bam": lambda folder, count: index_reads(write_reads(folder / "a.bam", CONTIGS, count)),
    "bam-csi": lambda folder, count: index_reads(write_reads(folder / "a.bam", CONTIGS, count), "-c"),
    "vcf-tbi": lambda folder, count: index_variants(write_variants(folder / "a.vcf.gz", CONTIGS, count, "vcf"), "-t", ".tbi"),
    "vcf-csi": lambda folder, count: index_variants(write_variants(folder / "a.vcf.gz", CONTIGS, count, "vcf"), "-c", ".csi"),
    "bcf": lambda folder, count: index_variants(write_variants(folder / "a.bcf", CONTIGS, count, "bcf"), "-c", ".csi"),
    "cram": lambda folder, count: index_reads(
        write_reads(folder / "a.cram", CONTIGS, count, mode="wc", options=[b"no_ref=1", b"seqs_per_slice=100"])
    ),
}


def quick(file: File, index=None) -> None:
    check_fit(file.format, file.read, file.size, file.header, index or file.index)


def thorough(file: File, index=None) -> None:
    check_records(file.format, file.read, file.size, file.header, index or file.index)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By kind, and by the number of records."""
    made: dict[tuple[str, int], File] = {}

    def get(kind: str, count: int = 3000) -> File:
        if (kind, count) not in made:
            made[kind, count] = KINDS[kind](tmp_path_factory.mktemp(kind), count)
        return made[kind, count]

    return get


@pytest.mark.sweep(5)
@pytest.mark.parametrize("name", CASES)
def test_the_index_of_a_file_fits(name, tmp_path):
    file = CASES[name](tmp_path)
    file.reads.clear()
    quick(file)
    assert len(file.reads) < 40 and max(end - start for start, end in file.reads) <= 1 << 17
    thorough(file)


def test_the_indexes_of_files_of_others_fit(shared_data, tmp_path):
    checked = 0
    for source in some(sorted((shared_data / "bcftools-vcf").rglob("*.vcf")), 20):
        for number, option in enumerate(("-t", "-c", "-Ob")):
            file = indexed(source, tmp_path / f"{source.stem}-{number}", option)
            if file is not None:
                quick(file)
                thorough(file)
                checked += 1
    assert checked > most(500, 30)
    for pattern, suffix in (("cram-3.0/passed/*.cram", ".crai"), ("bam/passed/*.bam", ".bai")):
        for source in some(sorted((shared_data / "hts-specs").glob(pattern)), 4):
            path = Path(shutil.copy(source, tmp_path))
            if subprocess.run(["samtools", "index", path], capture_output=True).returncode == 0:
                file = File(path, Path(f"{path}{suffix}"))
                quick(file)
                thorough(file)
                checked += 1
    assert checked > most(510, 34)


def indexed(source: Path, folder: Path, option: str) -> File | None:
    """A VCF of others as a file with an index, where bcftools makes one."""
    folder.mkdir()
    path = folder / ("a.bcf" if option == "-Ob" else "a.vcf.gz")
    if option == "-Ob":
        made = subprocess.run(["bcftools", "view", "-Ob", "-o", path, source], capture_output=True).returncode == 0
    else:
        text = source.read_bytes()
        made = path.write_bytes(bgzf.compress(text) + BGZF_EOF) > 0
    suffix = ".tbi" if option == "-t" else ".csi"
    command = ["bcftools", "index", "-f", "-t" if option == "-t" else "-c", path]
    if not made or subprocess.run(command, capture_output=True).returncode:
        return None
    try:
        return File(path, Path(f"{path}{suffix}"))
    except ModosError:
        return None  # a header that is refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2900, 1500, 6000])
def test_the_index_of_another_file_with_the_same_contigs_is_told_at_once(files, kind, count):
    with pytest.raises(IntegrityError, match="does not fit"):
        quick(files(kind), files(kind, count).index)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_the_index_of_a_file_of_another_format_is_told_at_once(files, kind, other):
    if kind.split("-")[0] != other.split("-")[0]:
        with pytest.raises(IntegrityError, match="does not fit"):
            quick(files(kind), files(other).index)


def test_the_other_kind_of_index_of_another_file_is_told_at_once(files):
    for one, other in (("bam", "bam-csi"), ("vcf-tbi", "vcf-csi")):
        quick(files(one), files(other).index)  # they are made of the same records
        for a, b in ((one, other), (other, one)):
            with pytest.raises(IntegrityError, match="does not fit"):
                quick(files(a), files(b, 2900).index)


def shortened(file: File, folder: Path, keep: int) -> File:
    """A file of the first records, as a program that was stopped and started again would leave it."""
    path = folder / file.path.name
    if file.format.name == "CRAM":
        end = file.index.containers[keep]
        path.write_bytes(file.data[:end] + file.header.eof)
        return index_reads(path)
    if file.format.name == "VCF":
        lines = gzip.decompress(file.data).splitlines(keepends=True)
        head = sum(line.startswith(b"#") for line in lines)
        path.write_bytes(bgzf.compress(b"".join(lines[: head + keep * 100])) + file.header.eof)
        return index_variants(path, *(("-t", ".tbi") if file.index.kind == "TBI" else ("-c", ".csi")))
    program = "samtools" if file.format.name == "BAM" else "bcftools"
    text = run(program, "view", "-H" if program == "samtools" else "-h", file.path) + b"".join(
        run(program, "view", *(["-H"] if program == "bcftools" else []), file.path).splitlines(keepends=True)[: keep * 100]
    )
    run(program, "view", "-b" if program == "samtools" else "-Ob", "-o", path, "-", input=text)
    if program == "samtools":
        return index_reads(path, *(["-c"] if file.index.kind == "CSI" else []))
    return index_variants(path, "-c", ".csi")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [1, 10, 15])
def test_the_index_of_a_shorter_or_longer_version_is_told_at_once(files, kind, keep, tmp_path):
    whole = files(kind)
    part = shortened(whole, tmp_path, keep)
    quick(part)
    for file, index in ((whole, part.index), (part, whole.index)):
        with pytest.raises(IntegrityError, match="does not fit"):
            quick(file, index)


def without(index: bytes, target: int, keep_target: bool) -> bytes:
    """An index that has nothing for a contig: with an empty entry for it, or, where it is the last, without one."""
    data = gzip.decompress(index) if index[:2] == b"\x1f\x8b" else index
    if data[:1].isdigit() or data[:1] == b"-":
        return b"".join(line for line in data.splitlines(keepends=True) if int(line.split(b"\t")[0]) != target)
    parsed = parse_index(index)
    assert data[:3] in (b"BAI", b"TBI", b"CSI")
    head = {"BAI": 8, "TBI": 36, "CSI": 20}[parsed.kind]
    if parsed.kind == "TBI":
        head += struct.unpack_from("<i", data, 32)[0]
    if parsed.kind == "CSI":
        head += struct.unpack_from("<i", data, 12)[0]
    at, parts = head, []
    for _ in parsed.targets:
        start = at
        (bins,) = struct.unpack_from("<I", data, at)
        at += 4
        for _ in range(bins):
            at += 12 if parsed.kind == "CSI" else 4
            at += 4 + 16 * struct.unpack_from("<I", data, at)[0]
        if parsed.kind != "CSI":
            at += 4 + 8 * struct.unpack_from("<I", data, at)[0]
        parts.append(data[start:at])
    parts[target] = bytes(4 if parsed.kind == "CSI" else 8)
    if not keep_target:
        assert target == len(parts) - 1
        parts.pop()
        place = {"BAI": 4, "TBI": 4, "CSI": head - 4}[parsed.kind]
        data = data[:place] + struct.pack("<I", len(parts)) + data[place + 4 :]
    return data[:head] + b"".join(parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_an_index_that_lacks_a_contig_is_told_at_once(files, kind, which):
    file = files(kind)
    names = [name for name in file.header.contigs if name != "empty"]
    name = {"first": names[0], "middle": names[2], "last": names[-1]}[which]
    number = file.index.names.index(name) if getattr(file.index, "names", ()) else file.header.target_ids[name]
    lacking = parse_index(without(file.index_path.read_bytes(), number, True))
    for check in (
        quick,
        lambda *given: check_contigs_covered(given[0].format, given[0].read, given[0].size, given[0].header, given[1]),
    ):
        with pytest.raises(IntegrityError, match="leaves out|ends before"):
            check(file, lacking)
    with pytest.raises(IntegrityError, match="would not find"):
        thorough(file, lacking)


@pytest.mark.parametrize("kind", ["bam", "bam-csi", "bcf"])
def test_an_index_of_fewer_contigs_is_told_at_once(files, kind):
    file = files(kind)
    fewer = parse_index(without(file.index_path.read_bytes(), len(file.index.targets) - 1, False))
    with pytest.raises(IntegrityError, match=r"is of 4 contigs, the file of 5|ends before chr10:"):
        quick(file, fewer)


def test_an_index_of_more_contigs_is_told_at_once(files, tmp_path):
    many = index_reads(write_reads(tmp_path / "many.bam", MANY, 500))
    with pytest.raises(IntegrityError, match="is of 300 contigs, the file of 5"):
        quick(files("bam"), many.index)
    crai = cram("3.0", 100, MANY)(tmp_path)
    with pytest.raises(IntegrityError, match="at least 300 contigs, the file of 5"):
        quick(files("cram"), crai.index)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_changed_in_an_index_is_found_or_does_no_harm(files, kind):
    """Flipped bits: where going through all records finds nothing, each query has its records all the same."""
    file = files(kind)
    stored = file.index_path.read_bytes()
    data = gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored
    rng, told, harmless = random.Random(4), 0, 0
    regions = [region for region in some_regions(file, 12, seed=5) if region.contig != "*"]
    everything = [(record, {region for region in regions if overlaps(record, region)}) for record in all_records(file)]
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            index = parse_index(bytes(changed))
            quick(file, index)
            thorough(file, index)
        except (IntegrityError, InvalidInputError):
            told += 1
            continue
        harmless += 1
        assert_each_query_finds_all(file, index, regions, everything)
    assert told > 20


def all_records(file: File) -> list:
    with file.open(file.path) as opened:
        return list(opened.fetch(until_eof=True) if file.format.kind == "reads" else opened)


def assert_each_query_finds_all(file: File, index, regions, everything) -> None:
    whole, file.index = file.index, index
    try:
        for region in regions:
            wanted = [str(record) for record, hit in everything if region in hit]
            out = file.assemble(file.path.with_name("changed" + file.path.name), region)
            with file.open(out) as opened:
                records = opened.fetch(until_eof=True) if file.format.kind == "reads" else opened
                found = [str(record) for record in records if overlaps(record, region)]
            assert found == wanted, region
    finally:
        file.index = whole


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cram"])
def test_a_record_under_the_wrong_bin_is_found_by_going_through_all(files, kind):
    """The bin of a chunk in the middle is given another number: the offsets are right, the bases are not."""
    file = files(kind)
    stored = file.index_path.read_bytes()
    data = bytearray(gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored)
    parsed = parse_index(bytes(data))
    target = max(parsed.targets, key=lambda target: len(target.bins))
    moved = 0
    for number in target.bins[1:-2]:
        at = target._positions[number] - (12 if parsed.kind == "CSI" else 4)
        changed = bytearray(data)
        struct.pack_into("<I", changed, at, number + 1)
        if number + 1 in target.bins:
            continue
        moved += 1
        with pytest.raises(IntegrityError, match="would not find"):
            thorough(file, parse_index(bytes(changed)))
    assert moved


def test_wrong_counts_are_found_by_going_through_all(files):
    file = files("bam")
    mapped, unmapped = file.index.counts(0)
    data = file.index_path.read_bytes()
    changed = data.replace(struct.pack("<2Q", mapped, unmapped), struct.pack("<2Q", mapped - 1, unmapped), 1)
    assert changed != data
    quick(file, parse_index(changed))
    with pytest.raises(IntegrityError, match=f"counts {mapped + unmapped - 1:,} records"):
        thorough(file, parse_index(changed))


def test_what_going_through_all_takes_does_not_grow_with_the_file(files):
    import tracemalloc

    def peak(file: File) -> int:
        tracemalloc.start()
        read, file.read = file.read, lambda start, end: file.data[start:end]
        thorough(file)
        file.read = read
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    small, large = files("bam", 6000), files("bam", 60_000)
    assert large.size > 8 * small.size
    assert peak(large) < peak(small) + 3 * (4 << 20)


def test_a_variant_that_is_longer_than_its_index_takes_it_for_is_found_by_going_through_all(tmp_path):
    """bcftools before SVLEN counted puts a deletion of 50,000 bases where its first base is: most regions would miss it."""
    import pysam.bcftools

    def write(lengths: str) -> File:
        lines = [
            "##fileformat=VCFv4.4",
            '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">',
            "##contig=<ID=c,length=1000000>",
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
            *(f"c\t{start}\t.\tA\t<DEL>\t.\t.\t{lengths}" for start in range(100, 900_000, 5_000)),
        ]
        path = tmp_path / "a.vcf.gz"
        text = "\n".join([*lines, ""]).encode()
        path.write_bytes(b"".join(bgzf.frame_stored(text, zlib.crc32(text))) + BGZF_EOF)
        pysam.bcftools.index("-f", "-t", str(path))
        return File(path, Path(f"{path}.tbi"))

    short, long = write("XVLEN=-50000"), write("SVLEN=-50000")
    thorough(long)
    quick(long, short.index)
    with pytest.raises(IntegrityError, match="would not find the record at c:100-50,099"):
        thorough(long, short.index)
