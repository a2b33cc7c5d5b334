"""References: digests, 2bit, the store, the cache, and bases by position."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import (
    AccessError,
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
)
from modos.formats.twobit import iter_twobit
from modos.reference import locate
from modos.reference.adding import add_files, push
from modos.reference.assembly import assembly_key, sequence_key
from modos.reference.cache import cached_files, sequence_path
from modos.reference.cached_store import CachedStore, find_missing, pull_sequences
from modos.reference.digests import SequenceHash, parse_name, seqcol_digest, sha512t24u
from modos.reference.locate import open_reference, open_store
from tests.support import commands
from tests.support.sampling import most

pytestmark = pytest.mark.sweep(24)

BASES = {"chr1": "ACGTNRYKMacgt" * 400, "chr2": "TTTTGGGGCCCCAAAA" * 100, "chrM": "GATTACA"}


def write_fasta(path, bases=BASES):
    path.write_text("".join(f">{name} more words\n{sequence}\n" for name, sequence in bases.items()))
    return str(path)


def write_twobit(path, bases, order="<"):
    """As the format's page says: T 0, C 1, A 2, G 3, blocks of N and of lower case."""

    def blocks(sequence, wanted):
        marks = np.array([wanted(letter) for letter in sequence] + [False])
        borders = np.flatnonzero(np.diff(np.concatenate(([False], marks)).astype(int)))
        return borders[::2], borders[1::2] - borders[::2]

    records, at = [], 16 + sum(5 + len(name) for name in bases)
    index = b""
    for name, sequence in bases.items():
        parts = [struct.pack(order + "I", len(sequence))]
        for wanted in (lambda c: c in "Nn", str.islower):
            starts, sizes = blocks(sequence, wanted)
            parts.append(struct.pack(f"{order}I{2 * len(starts)}I", len(starts), *starts.tolist(), *sizes.tolist()))
        parts.append(struct.pack(order + "I", 0))
        codes = ["TCAG".index(c) if c in "TCAG" else 0 for c in sequence.upper()] + [0] * (-len(sequence) % 4)
        parts.append(bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*[iter(codes)] * 4)))
        record = b"".join(parts)
        index += bytes([len(name)]) + name.encode() + struct.pack(order + "I", at)
        at += len(record)
        records.append(record)
    path.write_bytes(struct.pack(order + "4I", 0x1A412743, 0, len(bases), 0) + index + b"".join(records))
    return str(path)


@pytest.fixture
def store(tmp_path):
    """A store with the assembly `mini`."""
    store = open_store(tmp_path / "refs")
    (tmp_path / "alias.txt").write_text("# ucsc\tassembly\trefseq\nchr1\t1\tNC_1.1\nchr2\t2\tNC_2.1\nchr9\t9\t\n")
    add_files(store, "mini", [write_fasta(tmp_path / "mini.fa")], str(tmp_path / "alias.txt"))
    return store


@pytest.fixture
def remote(stack, store, tmp_path):
    """The same in S3: its place, and what opens it."""
    place = f"s3://{BUCKET}/refs-{tmp_path.name}"
    push(store, open_store(place, stack.endpoint, CREDENTIALS), "mini")
    return place, stack.endpoint, CREDENTIALS


def test_digests_are_those_of_the_specifications():
    """refget v2, examples of the specification; the empty and the shortest."""
    found = SequenceHash()
    found.update(b"ACGT")
    assert found.digests() == ("f1f8f4bf413b16ad135722aa4591043e", "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2")
    assert found.digests().trunc512 == "68a178f7c740c5c240aa67ba41843b119d3bf9f8b0f0ac36"
    assert sha512t24u(b"") == "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"


def test_a_collection_has_the_digest_of_the_specification():
    """Refget sequence collections 1.0, the worked example of section 3."""
    contigs = [{"name": "chr1", "length": 248956422, "ga4gh": "SQ.2648ae1bacce4ec4b6cf337dcae37816"}]
    assert len(seqcol_digest(contigs)) == 32
    names, lengths = sha512t24u(b'["chr1"]'), sha512t24u(b"[248956422]")
    sequences = sha512t24u(b'["SQ.2648ae1bacce4ec4b6cf337dcae37816"]')
    whole = f'{{"lengths":"{lengths}","names":"{names}","sequences":"{sequences}"}}'
    assert seqcol_digest(contigs) == sha512t24u(whole.encode())


@pytest.mark.parametrize("name", ["f1f8f4bf413b16ad135722aa4591043e", "MD5".lower() + ":f1f8f4bf413b16ad135722aa4591043e"])
def test_names_by_md5(name):
    assert parse_name(name) == "f1f8f4bf413b16ad135722aa4591043e"


@pytest.mark.parametrize(
    "name",
    [
        "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "ga4gh:SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "trunc512:68a178f7c740c5c240aa67ba41843b119d3bf9f8b0f0ac36",
        "68A178F7C740C5C240AA67BA41843B119D3BF9F8B0F0AC36",
    ],
)
def test_names_by_sha512(name):
    assert parse_name(name) == "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"


@pytest.mark.parametrize("name", ["", "x", "md5:zz", "../../etc/passwd", "SQ.short", "f1f8f4bf413b16ad135722aa4591043e0"])
def test_what_is_no_name(name):
    assert parse_name(name) is None


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["chr1", "b", "x.1"]), st.text("ACGTNacgtn", min_size=1, max_size=70), min_size=1),
    st.sampled_from("<>"),
)
def test_a_2bit_file_is_what_was_written(tmp_path_factory, bases, order):
    path = write_twobit(tmp_path_factory.mktemp("t") / "x.2bit", bases, order)
    found = {}
    for name, piece in iter_twobit(path):
        found[name] = found.get(name, b"") + piece
    assert {name: sequence.decode() for name, sequence in found.items()} == bases


def test_damaged_2bit_files(tmp_path):
    path = tmp_path / "x.2bit"
    write_twobit(path, {"a": "ACGTACGTNNNN" * 9, "b": "ACG"})
    whole = path.read_bytes()
    for cut in range(4, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModosError):
            list(iter_twobit(path))
    for data in (b"", b"xxxx" * 10):
        path.write_bytes(data)
        with pytest.raises(ModosError):
            list(iter_twobit(path))
    with pytest.raises(NotFoundError):
        list(iter_twobit(tmp_path / "none"))


def test_a_real_2bit_file(shared_data, tmp_path):
    store = open_store(tmp_path / "refs")
    place = shared_data / "genomekit-mini"
    for name, stem in (("hg19.mini", "hg19.mini"), ("hg38.mini", "hg38.p12.mini")):
        add_files(store, name, [str(place / f"{stem}.2bit")], str(place / f"{stem}.chromAlias.txt"))
        sizes = dict(line.split() for line in (place / f"{stem}.chrom.sizes").read_text().splitlines())
        assert {c.name: str(c.length) for c in store.assembly(name).contigs} == sizes
    assert store.assembly("hg19.mini").contig("NC_000001.10").name == "chr1"
    assert list(store.verify("hg19.mini")) == []


def test_what_a_store_has(store):
    assembly = store.assembly("mini")
    for contig, sequence in zip(assembly.contigs, BASES.values()):
        upper = sequence.upper().encode()
        assert (contig.length, contig.md5) == (len(upper), hashlib.md5(upper).hexdigest())
        assert store.storage.read(sequence_key(contig.md5))[0] == upper
    assert assembly.contig("NC_2.1").name == assembly.contig("2").name == "chr2" and assembly.bases == sum(
        map(len, BASES.values())
    )
    assert store.index() == {"mini": {"seqcol": assembly.seqcol, "contigs": 3, "bases": assembly.bases, "source": "mini.fa"}}
    with pytest.raises(NotFoundError) as error:
        store.assembly("minni")
    assert error.value.hint == "did you mean mini?"
    with pytest.raises(NotFoundError):
        assembly.contig("chr7")


def test_sequences_are_kept_once_and_removed_with_the_last(store, tmp_path):
    add_files(store, "patch", [write_fasta(tmp_path / "p.fa", BASES | {"chrM": "GATTACAT"})])
    files = [info.key for info in store.storage.iter_files("sequences")]
    assert len(files) == 4
    assert len(store.remove("mini")) == 1 and list(store.verify("patch")) == [] and set(store.index()) == {"patch"}
    assert len(store.remove("patch")) == 3 and list(store.storage.iter_files("sequences")) == [] and store.index() == {}


def test_the_same_again_and_another_of_the_name(store, tmp_path):
    add_files(store, "mini", [write_fasta(tmp_path / "again.fa")])
    with pytest.raises(AlreadyExistsError, match="another assembly mini"):
        add_files(store, "mini", [write_fasta(tmp_path / "other.fa", {"chr1": "ACGT"})])
    assert store.assembly("mini").contig("NC_1.1").name == "chr1" and list(store.verify("mini")) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [(">a\n>b\nAC\n", "a is empty"), (">a\nA\n>a\nC\n", "two sequences a"), ("", "no sequences"), ("ACGT\n", "no FASTA")],
)
def test_what_is_not_added(store, tmp_path, text, error):
    (tmp_path / "x.fa").write_text(text)
    with pytest.raises(ModosError, match=error):
        add_files(store, "new", [str(tmp_path / "x.fa")])
    assert set(store.index()) == {"mini"}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200, "a b"])
def test_names_that_cannot_be(store, tmp_path, name):
    with pytest.raises(InvalidInputError):
        add_files(store, name, [write_fasta(tmp_path / "x.fa")])
    with pytest.raises(InvalidInputError):
        store.assembly(name)


def test_damage_in_a_store_is_found(store):
    contigs = store.assembly("mini").contigs
    paths = [store.storage.local_path(sequence_key(contig.md5)) for contig in contigs]
    paths[0].write_bytes(b"T" + paths[0].read_bytes()[1:])
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].unlink()
    assert len(list(store.verify("mini"))) == 3
    with pytest.raises(ModosError):
        CachedStore(store).locate(contigs[1])
    manifest = store.storage.local_path(assembly_key("mini"))
    manifest.write_text(manifest.read_text().replace('"length": 1600', '"length": 1601'))
    with pytest.raises(IntegrityError, match="damaged"):
        store.assembly("mini")


def test_bases_by_position(store, tmp_path):
    ref = open_reference("mini", tmp_path / "refs")
    upper = {name: sequence.upper() for name, sequence in BASES.items()}
    assert (
        ref.dna("chr1", 0, 13) == upper["chr1"][:13] == ref.dna("chr1:1-13") == ref.dna("1", 0, 13)
        and ref.dna("chrM") == "GATTACA"
    )
    assert ref.dna("chr1", 0, 13, strand="-") == upper["chr1"][:13].translate(str.maketrans("ACGTRYKM", "TGCAYRMK"))[::-1]
    assert ref.dna("chrM", -3, 10, pad=True) == "NNNGATTACANNN" and ref.dna("chrM", -9, -3, pad=True) == "NNNNNN"
    assert ref.dna("chrM", -3, 9, pad=True, strand="-") == "NNTGTAATCNNN" and ref.dna("chrM", 3, 3) == ""
    assert ref.dna_many([("chr1", 5, 9), ("chr2", 0, 4, "-"), ("chrM", 0, 7)]) == [upper["chr1"][5:9], "AAAA", "GATTACA"]
    assert ref.contigs == {name: len(sequence) for name, sequence in BASES.items()}
    for wrong in (("chrM", -1, 3), ("chrM", 0, 8), ("chrM", 5, 3), ("chrM", 0, 3, "x")):
        with pytest.raises(InvalidInputError):
            ref.dna(*wrong)
    with pytest.raises(NotFoundError):
        ref.dna("chr7", 0, 5)


def test_from_afar_parts_are_fetched_and_whole_contigs_kept(remote, store):
    ref = open_reference("mini", *remote)
    assert ref.dna("chr2", 5, 25) == BASES["chr2"][5:25].upper() and list(cached_files()) == []
    cached = CachedStore(open_store(*remote))
    assembly = cached.assembly("mini")
    pull_sequences(cached, find_missing(cached, [assembly.contig("chr2")]))
    assert len(list(cached_files())) == 1
    path = sequence_path(assembly.contig("chr2").md5)
    assert path.read_bytes() == BASES["chr2"].upper().encode() and path.stat().st_mode & 0o777 == 0o644
    assert find_missing(cached, [assembly.contig("2")]) == []
    path.write_bytes(b"short")  # truncated: noticed at every use, fetched anew
    assert cached.locate(assembly.contig("chr2")).stat().st_size == 1600
    assert open_reference("mini", *remote).dna("2", 5, 25) == BASES["chr2"][5:25].upper()


def test_offline_what_is_cached_works_and_what_is_missing_is_named(remote, monkeypatch):
    cached = CachedStore(open_store(*remote))
    cached.locate(cached.assembly("mini").contig("chr2"))
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    calls = []
    monkeypatch.setattr("modos.storage.s3.S3Storage._call", lambda *a, **k: calls.append(a))
    monkeypatch.setattr("modos.storage.s3.S3Storage._get", lambda *a, **k: calls.append(a))
    ref = locate.Reference(cached.assembly("mini"), lambda c: locate._file_of(cached, False, c), lambda *a: calls.append(a))
    assert ref.dna("chr2", 0, 4) == "TTTT"
    with pytest.raises(NotFoundError, match="chr1 .MD5 .*not in the cache"):
        ref.dna("chr1", 0, 4)
    with pytest.raises(NotFoundError, match="never|not in the cache"):
        cached.assembly("other")
    assert calls == []


def test_a_sequence_that_was_tampered_with_is_not_kept(remote, stack):
    store = open_store(*remote)
    contig = store.assembly("mini").contig("chr2")
    store.storage.delete(sequence_key(contig.md5))
    store.storage.write(sequence_key(contig.md5), b"A" * contig.length)
    with pytest.raises(IntegrityError, match="MD5"):
        CachedStore(store).locate(contig)
    store.storage.write(sequence_key(contig.md5), b"A" * 10)
    with pytest.raises(IntegrityError, match="10 bytes"):
        CachedStore(store).locate(contig)
    assert list(cached_files()) == [] and not [p for p in sequence_path(contig.md5).parent.iterdir() if p.name.endswith(".part")]


def test_another_assembly_of_the_name_at_the_source_is_noticed(remote, tmp_path):
    store = open_store(*remote)
    cached = CachedStore(store)
    cached.assembly("mini")
    store.remove("mini")
    add_files(store, "mini", [write_fasta(tmp_path / "other.fa", {"chr1": "ACGT"})])
    with pytest.raises(ConflictError, match="another one than when it was fetched"):
        cached.assembly("mini")
    cached.forget("mini")
    assert cached.assembly("mini").bases == 4


def test_the_least_recently_used_goes_first(remote, monkeypatch):
    cached = CachedStore(open_store(*remote))
    assembly = cached.assembly("mini")
    old = cached.locate(assembly.contig("chr2"))
    os.utime(old, (1, 1))
    monkeypatch.setattr("modos.reference.cache._in_use", set())  # as in another process
    monkeypatch.setenv("MODOS_CACHE_LIMIT", "5.5K")
    cached.locate(assembly.contig("chr1"))
    assert not old.exists() and len(list(cached_files())) == 1
    monkeypatch.setenv("MODOS_CACHE_LIMIT", "lots")
    with pytest.raises(InvalidInputError, match="size"):
        cached.locate(assembly.contig("chr2"))


def test_many_processes_fetch_a_sequence_once(remote, tmp_path):
    place, endpoint, keys = remote
    code = (
        "import sys, json; from modos.reference.cached_store import CachedStore; from modos.reference.locate import open_store\n"
        "from modos.storage.s3 import S3Storage\n"
        "asked, original = [], S3Storage.iter_range\n"
        "S3Storage.iter_range = lambda self, key, *a, **k: asked.append(key) or original(self, key, *a, **k)\n"
        "cached = CachedStore(open_store(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))\n"
        "print(cached.locate(cached.assembly('mini').contig('chr1')).stat().st_size, len(asked))"
    )
    import json

    running = [
        subprocess.Popen([sys.executable, "-c", code, place, endpoint, json.dumps(keys)], stdout=subprocess.PIPE, text=True)
        for _ in range(most(8, 3))
    ]
    answers = [process.communicate(timeout=60)[0].split() for process in running]
    assert {size for size, _ in answers} == {"5200"} and sum(int(asked) for _, asked in answers) == 1


def test_a_cache_that_cannot_be_written(remote, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "file"))
    cached = CachedStore(open_store(*remote))
    assembly = cached.assembly("mini")
    with pytest.raises(AccessError, match="cannot write to the cache"):
        cached.locate(assembly.contig("chr1"))
    assert open_reference("mini", *remote).dna("chr1", 0, 3) == "ACG"


def test_samtools_finds_the_cache(remote, tmp_path, monkeypatch):
    """A CRAM that was made with the sequences decodes with what `env` prints."""
    fasta = tmp_path / "c.fa"
    fasta.write_text(">chr2\n" + BASES["chr2"] + "\n")
    sam = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr2\tLN:1600\n" + "".join(
        f"r{n}\t0\tchr2\t{n * 10 + 1}\t60\t20M\t*\t0\t0\t{BASES['chr2'][n * 10 : n * 10 + 20]}\t{'I' * 20}\n" for n in range(100)
    )
    subprocess.run(
        ["samtools", "view", "-C", "-T", str(fasta), "-o", str(tmp_path / "x.cram"), "-"], input=sam.encode(), check=True
    )
    cached = CachedStore(open_store(*remote))
    cached.locate(cached.assembly("mini").contig("chr2"))
    for file in tmp_path.glob("c.fa*"):
        file.unlink()
    lines = commands.run(["reference", "env"], capture_output=True, text=True, check=True).stdout
    result = subprocess.run(["sh", "-c", f"{lines}\nsamtools view {tmp_path / 'x.cram'}"], capture_output=True, text=True)
    assert len(result.stdout.splitlines()) == 100, result.stderr


def test_two_who_add_at_the_same_time(tmp_path):
    """Both assemblies are in the index."""
    for number in range(4):
        write_fasta(tmp_path / f"{number}.fa", {"chr1": "ACGT" * (number + 1)})
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=_add, args=(str(tmp_path / "refs"), f"a{number}", str(tmp_path / f"{number}.fa")))
        for number in range(4)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert set(open_store(tmp_path / "refs").index()) == {"a0", "a1", "a2", "a3"}


def _add(place, name, path):
    add_files(open_store(place), name, [path])


def test_offline_no_store_is_asked(remote, monkeypatch):
    """Not even one that is named by its address."""
    place, endpoint, keys = remote
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    for name in (place, "https://nowhere.example/refs", "memory://refs"):
        with pytest.raises(AccessError, match="is not asked: MODOS_OFFLINE is set"):
            open_store(name, endpoint, keys).index()


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "pattern", ["{}/%2s/%2s/%s", "{}/%s", "{}", "{}/%4s/%s", "/nowhere/%s:{}/%2s/%2s/%s", "http:://x/%s:{}/%s"]
)
def test_what_htslib_finds_by_itself_is_not_fetched(remote, tmp_path, monkeypatch, pattern):
    from modos.reference.locate import provide

    place, endpoint, keys = remote
    contig = open_store(*remote).assembly("mini").contig("chr2")
    folder = tmp_path / "own"
    parts = {"%2s": contig.md5[:2], "%4s": contig.md5[:4]}
    layout = pattern.rpartition("{}")[2]
    path = folder / {
        "/%2s/%2s/%s": f"{contig.md5[:2]}/{contig.md5[2:4]}/{contig.md5[4:]}",
        "/%4s/%s": f"{parts['%4s']}/{contig.md5[4:]}",
    }.get(layout, contig.md5)
    path.parent.mkdir(parents=True)
    path.write_bytes(BASES["chr2"].upper().encode())
    monkeypatch.setenv("REF_PATH", pattern.format(folder))
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "https://nowhere.example/refs")
    provide([contig])
    assert list(cached_files()) == []
    path.unlink()
    monkeypatch.setenv("REF_CACHE", f"{folder}/%s")
    (folder / contig.md5).write_bytes(BASES["chr2"].upper().encode())
    provide([contig])
    assert list(cached_files()) == []


def test_a_store_that_cannot_be_reached_leaves_the_search_to_htslib(remote, monkeypatch):
    """The error that follows names the sequence; here nothing is raised."""
    from modos.reference.locate import provide

    monkeypatch.setenv("REF_PATH", "/nowhere")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "http://127.0.0.1:9/refs")
    provide([open_store(*remote).assembly("mini").contig("chr2")])
    assert list(cached_files()) == []


def test_soft_masking_is_kept_apart(store, tmp_path):
    """The sequence is upper case; what was in lower case comes back on request, in any piece of it."""
    import random

    source = random.Random(3)
    text = "".join(source.choice("acgtACGTACGTACGTN") for _ in range(40_000))
    text = "".join(
        part.lower() if source.random() < 0.3 else part for part in (text[at : at + 700] for at in range(0, len(text), 700))
    )
    add_files(store, "masked", [write_fasta(tmp_path / "masked.fa", {"a": text, "b": "ACGT", "c": "acgt"})])
    ref = open_reference("masked", store.url)
    assert ref.dna("a") == text.upper() and ref.dna("a", soft_mask=True) == text
    for _ in range(200):
        start = source.randrange(len(text))
        end = source.randrange(start, min(len(text), start + 3000)) + 1
        assert ref.dna("a", start, end, soft_mask=True) == text[start:end]
    assert ref.dna("c", -1, 5, pad=True, soft_mask=True) == "NacgtN" and ref.dna("c", soft_mask=True, strand="-") == "acgt"
    assert (
        ref.dna("b", soft_mask=True) == "ACGT"
        and ref.mask.spans("b").shape == (2, 0)
        and ref.mask.spans("c").tolist() == [[0], [4]]
    )
    assert list(store.verify("masked")) == []
    path = next(path for path in (Path(store.url) / "assemblies/masked").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-4] + b"xxxx")
    assert len(list(store.verify("masked"))) == 1
    with pytest.raises(IntegrityError):
        open_reference("masked", store.url).dna("a", 0, 5, soft_mask=True)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".hidden", "x" * 200])
def test_a_name_leads_nowhere_else(remote, name):
    """Not of an assembly that an object names, nor of one to be forgotten."""
    cached = CachedStore(open_store(*remote))
    for ask in (cached.assembly, cached.forget, cached.knows_annotation):
        with pytest.raises(InvalidInputError, match="cannot be the name"):
            ask(name)


def test_a_digest_of_a_table_is_one(remote, tmp_path):
    """It becomes a path of the cache: what is none is refused before anything is fetched."""
    import json

    store = open_store(*remote)
    given = json.loads(store.storage.read(assembly_key("mini"))[0])
    given["masked"] = ["masked.x.parquet", 5, "..//..//../../tmp/evil" + "0" * 40]
    store.storage.write(assembly_key("mini"), json.dumps(given).encode())
    with pytest.raises(IntegrityError, match="damaged"):
        store.assembly("mini")


def test_what_is_damaged_can_be_added_again(store, tmp_path):
    """Also what has the right size: verify names it, and with it gone the assembly is whole again."""
    contig = store.assembly("mini").contig("chr2")
    path = Path(store.url) / sequence_key(contig.md5)
    path.write_bytes(b"C" * contig.length)
    ((key, message),) = store.verify("mini")
    assert key == sequence_key(contig.md5) and "MD5" in message
    store.storage.delete(key)
    add_files(store, "mini", [write_fasta(tmp_path / "again.fa", BASES)])
    assert list(store.verify("mini")) == []


def test_adding_again_brings_other_names_and_the_mask(tmp_path):
    store = open_store(tmp_path / "refs")
    (tmp_path / "names.txt").write_text("chr1\t1\n")
    (tmp_path / "more.txt").write_text("chr1\tone\n")
    assert add_files(store, "x", [write_fasta(tmp_path / "a.fa", {"chr1": "ACGT"})], str(tmp_path / "names.txt")).contigs[
        0
    ].aliases == ("1",)
    made = add_files(store, "x", [write_fasta(tmp_path / "b.fa", {"chr1": "ACgt"})], str(tmp_path / "more.txt"))
    assert (
        made == store.assembly("x")
        and made.contigs[0].aliases == ("1", "one")
        and open_reference("x", store.url).dna("one", soft_mask=True) == "ACgt"
    )
    assert add_files(store, "x", [str(tmp_path / "a.fa")]) == made


@pytest.mark.parametrize(
    ("table", "aliases"),
    [
        (
            "1\tchr1\tensembl\nCM1.1\tchr1\tgenbank,ncbi\nNC_1.1\tchr1\trefseq\n2\tchr2\tensembl\n",
            {"chr1": ("1", "CM1.1", "NC_1.1"), "chr2": ("2",)},
        ),
        ("chr1\t1\nchr1\tone\n", {"chr1": ("1", "one"), "chr2": ()}),
    ],
)
def test_tables_of_names_with_several_rows_for_a_contig(tmp_path, table, aliases):
    (tmp_path / "names.txt").write_text(table)
    made = add_files(
        open_store(tmp_path / "refs"),
        "x",
        [write_fasta(tmp_path / "a.fa", {"chr1": "ACGT", "chr2": "TT"})],
        str(tmp_path / "names.txt"),
    )
    assert {contig.name: contig.aliases for contig in made.contigs} == aliases


def test_a_name_of_two_contigs_is_left_out(tmp_path, caplog):
    """It says nothing; and a better table replaces what a wrong one has said."""
    (tmp_path / "names.txt").write_text("chrM\tx\tMT\nchrMT\tx\n")
    store, fasta = open_store(tmp_path / "refs"), write_fasta(tmp_path / "a.fa", {"chrM": "ACGT", "chrMT": "TT"})
    assert [c.aliases for c in add_files(store, "x", [fasta], str(tmp_path / "names.txt")).contigs] == [("MT",), ()]
    assert "names of several contigs: x" in caplog.text
    (tmp_path / "names.txt").write_text("chrMT\tMT\n")
    assert [c.aliases for c in add_files(store, "x", [fasta], str(tmp_path / "names.txt")).contigs] == [(), ("MT",)]


def test_a_damaged_assembly_is_written_anew_or_removed(store, tmp_path):
    path = Path(store.url) / assembly_key("mini")
    for repair in (lambda: add_files(store, "mini", [write_fasta(tmp_path / "again.fa", BASES)]), lambda: store.remove("mini")):
        path.write_text("garbage")
        with pytest.raises(IntegrityError, match="damaged"):
            store.assembly("mini")
        repair()
    assert store.index() == {} and not path.exists()


@pytest.mark.parametrize("url", ["https://[bad", "https://host:99999999/x", "https://", "https://user:pw@localhost:1/x"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(InvalidInputError) as raised:
        open_store(url)
    assert "pw" not in raised.value.message


def test_sequences_that_others_remove_meanwhile_are_missed(store, tmp_path):
    """Another assembly with a shared sequence goes while this one comes: an error, not an assembly without bases."""

    def pieces():
        yield "chr2", b""
        yield "chr2", BASES["chr2"].encode()
        yield "new", b""
        store.remove("mini")
        yield "new", b"ACGT"

    with pytest.raises(ConflictError, match="others have removed sequences of late .*chr2"):
        store.add("late", pieces)
    store.add("late", lambda: iter([("chr2", b""), ("chr2", BASES["chr2"].encode()), ("new", b""), ("new", b"ACGT")]))
    assert list(store.verify("late")) == []


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": 1e999, "assemblies": {}}',
        '{"format": 1, "assemblies": {"a": {}}}',
        '{"format": 1, "assemblies": {"a": {"contigs": "x", "bases": 1, "seqcol": ""}}}',
        '{"format": 1, "annotations": {"a": 5}}',
    ],
)
def test_an_index_that_is_damaged(store, text):
    (Path(store.url) / "index.json").write_text(text)
    with pytest.raises(IntegrityError, match="damaged"):
        store.index()


def test_what_was_kept_and_is_damaged_is_fetched_again(remote):
    cached = CachedStore(open_store(*remote))
    assembly = cached.assembly("mini")
    for text in ("", "{", "[" * 100_000):
        next(cached.names.glob("*.json")).write_text(text)
        assert CachedStore(open_store(*remote)).assembly("mini") == assembly


def test_a_compressed_fasta_of_an_object_is_not_read_by_position(tmp_path):
    import pysam

    from modos.reference.fasta_assembly import open_fasta
    from modos.storage import open_storage

    pysam.tabix_compress(write_fasta(tmp_path / "x.fa", BASES), str(tmp_path / "x.fa.gz"))
    subprocess.run(["samtools", "faidx", "x.fa.gz"], cwd=tmp_path, check=True)
    (tmp_path / "y.fa").write_bytes((tmp_path / "x.fa.gz").read_bytes())
    (tmp_path / "y.fa.fai").write_bytes((tmp_path / "x.fa.gz.fai").read_bytes())
    for name in ("x.fa.gz", "y.fa"):
        with pytest.raises(InvalidInputError, match="is compressed"):
            open_fasta(open_storage(tmp_path), name, "x")


def test_a_strand_is_one_of_two(store):
    for options in ({}, {"soft_mask": True}):
        with pytest.raises(InvalidInputError, match="neither"):
            open_reference("mini", store.url).dna("chr1", 0, 5, strand="x", **options)
