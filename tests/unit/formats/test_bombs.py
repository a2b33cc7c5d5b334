"""Small files that would be large ones, or take time that grows with the square of what they have, are refused or read in their time."""

import gzip
import struct
import time
import zlib

import pytest

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FORMATS
from modos.formats.fasta import iter_fasta
from modos.formats.twobit import iter_twobit
from modos.genomics.index import parse_index
from modos.genomics.reader import check_samples
from modos.genomics.region import read_regions
from modos.genomics.verification import check_blocks
from modos.reference import genomekit
from modos.reference.adding import add_files
from modos.reference.annotation_store import name_of
from modos.reference.annotations import refgene
from modos.reference.annotations.refgene import read_refgene
from modos.reference.genomekit import read_layout
from modos.reference.locate import open_store
from modos.storage.local import LocalStorage
from modos.tracks.contig_files import read_sizes
from modos.tracks.wiggle import read_text


def twobit(path, names, unknown=()):
    """A 2bit file with one sequence of 4,000 bases that all names refer to."""
    size = 16 + sum(len(name) + 5 for name in names)
    index = b"".join(bytes([len(name)]) + name.encode() + struct.pack("<I", size) for name in names)
    starts, lengths = zip(*unknown) if unknown else ((), ())
    record = struct.pack(f"<II{2 * len(unknown)}III", 4000, len(unknown), *starts, *lengths, 0, 0)[:-4] + bytes(4) + bytes(1000)
    path.write_bytes(struct.pack("<IIII", 0x1A412743, 0, len(names), 0) + index + record)
    return path


def test_sequences_of_a_2bit_file_that_are_one(tmp_path):
    """20,000 names of 4,000 bases were 80 MB."""
    assert sum(len(bases) for _, bases in iter_twobit(twobit(tmp_path / "one.2bit", ["a"]))) == 4000
    with pytest.raises(IntegrityError, match="many.2bit is damaged: two sequences are in one place"):
        list(iter_twobit(twobit(tmp_path / "many.2bit", [f"s{number}" for number in range(20_000)])))


@pytest.mark.parametrize("unknown", [[(0, 4000), (0, 4000)], [(100, 5), (10, 5)], [(3999, 2)]])
def test_stretches_of_a_2bit_file_that_cannot_be(tmp_path, unknown):
    """They are looked for as if they were in order: what is not was passed over in silence."""
    good = list(iter_twobit(twobit(tmp_path / "good.2bit", ["a"], [(10, 5), (100, 5)])))
    assert good[-1][1].count(b"N") == 10
    with pytest.raises(IntegrityError, match="x.2bit is damaged: its stretches overlap"):
        list(iter_twobit(twobit(tmp_path / "x.2bit", ["a"], unknown)))


def test_a_row_of_many_other_names(tmp_path):
    """12,000 names of one contig took 18 s, and the memory of 144 million."""
    (tmp_path / "x.fa").write_text(">c\nACGT\n>d\nAC\n")
    (tmp_path / "names.txt").write_text(
        "# c\t...\nc\t" + "\t".join(f"n{number}" for number in range(12_000)) + "\nd\tother\nn7\tx\n"
    )
    begin = time.process_time()
    assembly = add_files(open_store(tmp_path / "refs"), "a", [str(tmp_path / "x.fa")], str(tmp_path / "names.txt"))
    assert time.process_time() - begin < 5
    assert [len(contig.aliases) for contig in assembly.contigs] == [12_000, 1] and assembly.contigs[1].aliases == ("other",)


def test_text_without_an_end_of_a_line(tmp_path):
    """It is not gathered until memory is full."""
    with gzip.open(tmp_path / "x.gz", "wb", 1) as file:
        file.write(b">" + bytes([65]) * (40 << 20))
    with pytest.raises(InvalidInputError, match="x.gz is no FASTA: it has a header of more than 8 MiB"):
        list(iter_fasta(tmp_path / "x.gz"))
    with pytest.raises(InvalidInputError, match="x.gz is not text: it has a line of more than 8 MiB"):
        read_sizes([str(tmp_path / "x.gz")])


def test_a_table_of_genes_that_is_comments(tmp_path, monkeypatch):
    """Lines are counted as they come, not once all are there."""
    monkeypatch.setattr(refgene, "_MAX_LINES", 100_000)
    with gzip.open(tmp_path / "refGene.txt.gz", "wb") as file:
        file.write(b"#\n" * 200_000)
    with pytest.raises(InvalidInputError, match="is larger than any table of genes: 512 MiB and 100,000 lines are read"):
        read_refgene(str(tmp_path / "refGene.txt.gz"))


def with_comment(data, size):
    """What gzip makes of some data, with a comment of a size in its header."""
    packed = gzip.compress(data)
    return packed[:3] + b"\x10" + packed[4:10] + b"x" * size + b"\0" + packed[10:]


@pytest.mark.parametrize(
    "read",
    [read_regions, lambda path: list(read_text(path)), lambda path: parse_index(open(path, "rb").read())],
    ids=["regions", "a track", "an index"],
)
def test_a_comment_of_gzip_without_an_end(tmp_path, read):
    """64 MB of one took minutes, or were a traceback; gzip itself writes the name of a file there."""
    path = str(tmp_path / "x.bed.gz")
    open(path, "wb").write(with_comment(b"c\t0\t10\t1\n", 64 << 20))
    begin = time.process_time()
    with pytest.raises(InvalidInputError, match="header exceeds"):
        read(path)
    assert time.process_time() - begin < 10
    open(path, "wb").write(with_comment(b"c\t0\t10\t1\n", 1000))
    assert read_regions(path) and list(read_text(path))


def test_a_file_of_regions_that_is_one_line(tmp_path):
    """It is not gathered until memory is full."""
    with gzip.open(tmp_path / "x.bed.gz", "wb", 1) as file:
        file.write(b"A" * (40 << 20))
    with pytest.raises(InvalidInputError, match="x.bed.gz is not a file of regions: it has a line of more than 8 MiB"):
        read_regions(tmp_path / "x.bed.gz")


def test_text_whose_compression_is_damaged(tmp_path):
    """That is an error of ours, not of the library that decompresses."""
    data = bytearray(gzip.compress(b"c\t0\t10\t1\n" * 1000))
    data[14] ^= 255
    data[20] ^= 255
    (tmp_path / "x.gz").write_bytes(data)
    with pytest.raises(InvalidInputError, match="x.gz cannot be read"):
        list(read_text(tmp_path / "x.gz"))


def test_a_folder_of_many_annotations(tmp_path, monkeypatch):
    """The name of each file is looked at once, not for each annotation: 2,000 took 11 s, 20,000 would have taken a quarter of an hour."""
    looks = []
    monkeypatch.setattr(genomekit, "name_of", lambda key: looks.append(key) or name_of(key))
    (tmp_path / "a.2bit").write_bytes(b"x")
    for number in range(50):
        (tmp_path / f"n{number}.mini.cfg").write_text("refg=a\n")
        (tmp_path / f"n{number}.gff3").write_text("")
    annotations = read_layout(LocalStorage(tmp_path)).sources["a"].annotations
    assert len(annotations) == 50 and ("n7.mini", "n7.gff3") in annotations and len(looks) == 50


def test_many_samples():
    """20,000 took 4 s, and 100,000 would have taken two minutes."""
    samples = [f"s{number}" for number in range(60_000)]
    begin = time.process_time()
    assert check_samples(samples, samples, "x") == samples
    assert time.process_time() - begin < 5
    with pytest.raises(InvalidInputError, match="samples are named twice: s5"):
        check_samples([*samples, "s5"], samples, "x")


def itf8(number):
    return (
        bytes([number])
        if number < 128
        else bytes([0xF0 | number >> 28, number >> 20 & 255, number >> 12 & 255, number >> 4 & 255, number & 15])
    )


def cram(major, *sizes):
    """A CRAM with a container of blocks that say that they have some bytes, decompressed."""

    def summed(data):
        return data + zlib.crc32(data).to_bytes(4, "little") * (major > 2)

    blocks = b"".join(summed(bytes([4, 4, 1, 10]) + itf8(size) + bytes(10)) for size in sizes)
    head = summed(struct.pack("<i", len(blocks)) + bytes(6) + itf8(len(sizes)) + itf8(0))
    return b"CRAM" + bytes([major, int(major < 3)]) + bytes(20) + head + blocks


@pytest.mark.parametrize("major", [2, 3])
def test_containers_of_a_cram_that_fill_the_memory(major):
    """htslib makes room for all that the blocks say: some of 2 GiB took all of the memory."""
    whole = cram(major, 100, 50_000_000)
    assert b"".join(check_blocks(iter([whole]), FORMATS["CRAM"], "a.cram")) == whole
    for sizes in ([2**31 - 1], [1 << 29, 1 << 29, 1]):
        data, passed = cram(major, 100, *sizes), bytearray()
        with pytest.raises(InvalidInputError, match="a.cram: a CRAM container has more than the 1 GiB"):
            for piece in check_blocks(iter([data[:60], data[60:]]), FORMATS["CRAM"], "a.cram"):
                passed += piece
        assert len(passed) <= 60
