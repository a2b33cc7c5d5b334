"""Generated reads that tell of many other places, and a slow masker of reads and variants, written with pysam alone."""

from __future__ import annotations

import array
import random
import re
from pathlib import Path

import pysam

CONTIGS = {"chr1": 60_000, "chr2": 40_000, "HLA-A*01:01": 3_000, "a,b": 5_000}
SAMPLES = {"g1": "alice", "g2": "bob", "g3": "alice"}
Spans = dict[str, list[tuple[int, int]]]  # of the allowed regions, by contig


def write_telling_reads(path: Path, count: int = 1_500, seed: int = 1, groups: bool = True) -> Path:
    """Write sorted reads whose mates and tags name places everywhere, and index them."""
    rng = random.Random(seed)
    lines = "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in CONTIGS.items())
    lines += "".join(f"@RG\tID:{name}\tSM:{sample}\n" for name, sample in SAMPLES.items()) if groups else ""
    header = pysam.AlignmentHeader.from_text(
        "@HD\tVN:1.6\tSO:coordinate\n" + lines + "@PG\tID:aln\tPN:aln\tCL:aln alice.fq bob.fq\n@CO\tof alice and bob\n"
    )
    reads = [_make_read(header, rng, number, groups) for number in range(count)]
    reads.sort(key=lambda read: (read.reference_id % (1 << 31), read.reference_start))
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for read in reads:
            out.write(read)
    pysam.index(str(path))
    return path


def _place(rng: random.Random) -> tuple[int, int]:
    target = rng.choices(range(len(CONTIGS)), (6, 4, 1, 1))[0]
    return target, rng.randrange(list(CONTIGS.values())[target] - 300)


def _cigar(rng: random.Random, length: int = 50) -> str:
    clip = rng.randrange(20)
    return rng.choice([f"{length}M", f"{clip + 1}S{length - clip - 1}M", f"{length - 5}M120N5M", f"{length - 9}M2I3D7M"])


def _entry(rng: random.Random, signed: bool) -> str:
    target, position = _place(rng)
    name, cigar, strand = list(CONTIGS)[target], _cigar(rng), rng.choice("+-")
    if signed:
        return f"{name},{strand}{position + 1},{cigar},{rng.randrange(5)};"
    return f"{name},{position + 1},{strand},{cigar},60,{rng.randrange(5)};"


def _make_read(header, rng: random.Random, number: int, groups: bool) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(header)
    read.query_name = f"SAZ{number}"
    read.reference_id, read.reference_start = _place(rng) if rng.random() < 0.97 else (-1, -1)
    read.query_sequence = "".join(rng.choices("ACGTN", k=50))
    read.query_qualities = pysam.qualitystring_to_array("".join(rng.choices("!5?I~", k=50)))
    read.flag = 4 if read.reference_id < 0 or rng.random() < 0.05 else rng.choice([0, 16, 1024])
    read.mapping_quality = rng.randrange(60)
    if not read.is_unmapped:
        read.cigarstring = _cigar(rng)
    if rng.random() < 0.7:
        near = rng.random() < 0.5 and read.reference_id >= 0
        mate = (read.reference_id, max(read.reference_start + rng.randrange(-300, 300), 0)) if near else _place(rng)
        read.next_reference_id, read.next_reference_start = mate
        read.template_length = rng.randrange(-500, 500)
        read.flag |= 1 | rng.choice([2, 8, 32, 64, 0])
        if rng.random() < 0.6:
            read.set_tag("MC", _cigar(rng))
    tags = {
        "MQ": lambda: rng.randrange(60),
        "R2": lambda: "ACGT",
        "Q2": lambda: "IIII",
        "SA": lambda: "".join(_entry(rng, False) for _ in range(rng.randrange(1, 4))),
        "OA": lambda: "".join(_entry(rng, False) for _ in range(rng.randrange(1, 3))),
        "XA": lambda: "".join(_entry(rng, True) for _ in range(rng.randrange(1, 4))),
        "CP": lambda: _place(rng)[1] + 1,
        "CC": lambda: rng.choice(["=", *CONTIGS]),
        "OP": lambda: _place(rng)[1] + 1,
        "OC": lambda: _cigar(rng),
        "PS": lambda: _place(rng)[1] + 1,
        "NM": lambda: rng.randrange(9),
        "ZB": lambda: array.array(rng.choice("bBhHiIf"), [rng.randrange(100) for _ in range(rng.randrange(5))]),
        "XT": lambda: "SAZ" + "x" * rng.randrange(9),
    }
    for name in rng.sample(list(tags), rng.randrange(9)):
        read.set_tag(name, tags[name]())
    if groups and rng.random() < 0.93:
        read.set_tag("RG", rng.choice([*SAMPLES, *SAMPLES, *SAMPLES, "none"]))
    return read


def spans_of(regions) -> Spans:
    spans: Spans = {}
    for region in regions:
        spans.setdefault(region.contig, []).append((region.start, 1 << 44 if region.end is None else region.end))
    return spans


def lies_in(spans: Spans, contig: str | None, start: int, end: int) -> bool:
    return any(start < last and end > first for first, last in spans.get(contig or "", ()))


def reference_bases(cigar: str) -> int:
    return sum(int(length) for length, kind in re.findall(r"(\d+)([MIDNSHP=X])", cigar) if kind in "MDN=X") or 1


def _entry_place(entry: str, signed: bool) -> tuple[str, int, str]:
    pattern = r"(.+?),[+-](\d+),([0-9MIDNSHP=X*]+),.*" if signed else r"(.+),(\d+),[+-],([0-9MIDNSHP=X*]+),[^,]*,[^,]*"
    contig, position, cigar = re.fullmatch(pattern, entry).groups()
    return contig, int(position) - 1, cigar


def mask_read(read: pysam.AlignedSegment, spans: Spans) -> str:
    """Change a read to what may be told of it, as the documentation of the masking has it; return its text."""
    replaced: dict[str, str] = {}
    tags = dict(read.get_tags())
    mate, position = read.next_reference_name, read.next_reference_start
    bases = reference_bases(tags["MC"]) if "MC" in tags and not read.flag & 8 else 1
    if not lies_in(spans, mate, position, position + bases):
        for name in ("MC", "MQ", "R2", "Q2"):
            read.set_tag(name, None)
        if read.next_reference_id != -1:
            read.next_reference_id, read.next_reference_start, read.template_length = -1, -1, 0
            read.flag &= ~2
    for name, signed in (("SA", False), ("OA", False), ("XA", True)):
        if name in tags:
            places = [(entry, _entry_place(entry, signed)) for entry in tags[name].split(";") if entry]
            kept = [
                entry + ";" for entry, (contig, at, cigar) in places if lies_in(spans, contig, at, at + reference_bases(cigar))
            ]
            if len(kept) < len(places):
                replaced[name] = "".join(kept)
    own = read.reference_name
    hit = own if tags.get("CC", "=") == "=" else tags["CC"]
    if ("CC" in tags or "CP" in tags) and not ("CP" in tags and lies_in(spans, hit, tags["CP"] - 1, tags["CP"])):
        read.set_tag("CC", None)
        read.set_tag("CP", None)
    if "OP" in tags or "OC" in tags:
        start = tags.get("OP", 0) - 1
        if start < 0 or not lies_in(spans, own, start, start + reference_bases(tags.get("OC", "*"))):
            read.set_tag("OP", None)
            read.set_tag("OC", None)
    if "PS" in tags and not lies_in(spans, own, tags["PS"] - 1, tags["PS"]):
        read.set_tag("PS", None)
    fields = read.to_string().split("\t")
    tags_text = [f"{field[:5]}{replaced[field[:2]]}" if field[:2] in replaced else field for field in fields[11:]]
    return "\t".join([*fields[:11], *(field for field in tags_text if field[5:] or field[:2] not in replaced)])


def places_told(read: pysam.AlignedSegment):
    """Yield contig, start and end of every place beside its own that a read tells of."""
    tags = dict(read.get_tags())
    if read.next_reference_id >= 0:
        bases = reference_bases(tags["MC"]) if "MC" in tags and not read.flag & 8 else 1
        yield read.next_reference_name, read.next_reference_start, read.next_reference_start + bases
    for name, signed in (("SA", False), ("OA", False), ("XA", True)):
        for entry in filter(None, tags.get(name, "").split(";")):
            contig, at, cigar = _entry_place(entry, signed)
            yield contig, at, at + reference_bases(cigar)
    for name in ("CP", "OP", "PS"):
        if name in tags:
            contig = tags.get("CC", "=") if name == "CP" else "="
            yield (
                read.reference_name if contig == "=" else contig,
                tags[name] - 1,
                tags[name] - 1 + (reference_bases(tags.get("OC", "*")) if name == "OP" else 1),
            )
