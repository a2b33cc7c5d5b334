"""Generated variants that tell of other places and samples, and a slow masker of their lines."""

from __future__ import annotations

import random
import re
from pathlib import Path

from tests.support.hard_files import run
from tests.support.masking_oracle import Spans, lies_in

CONTIGS = {"chr1": 60_000, "chr2": 40_000, "HLA-A*01:01": 3_000}
SAMPLES = ("alice", "bob", "carol", "dave")
HEADER = """##fileformat=VCFv4.3
##INFO=<ID=END,Number=1,Type=Integer,Description="End, seen in bob">
##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">
##INFO=<ID=CHR2,Number=1,Type=String,Description="Other contig">
##INFO=<ID=POS2,Number=1,Type=Integer,Description="Other position">
##INFO=<ID=MATEID,Number=.,Type=String,Description="Mate">
##INFO=<ID=AC,Number=A,Type=Integer,Description="Counts">
##INFO=<ID=AN,Number=1,Type=Integer,Description="Number">
##INFO=<ID=AF,Number=A,Type=Float,Description="Frequency">
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=DB,Number=0,Type=Flag,Description="Known">
##INFO=<ID=NOTE,Number=1,Type=String,Description="Long">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">
##FORMAT=<ID=PID,Number=1,Type=String,Description="Phase id">
##ALT=<ID=DEL,Description="Deletion">
##SAMPLE=<ID=alice,Description="first">
##SAMPLE=<ID=bob,Description="second">
##PEDIGREE=<ID=carol,Mother=alice,Father=dave>
##callerCommandLine=call bob.bam alice.bam
"""


def write_telling_variants(path: Path, kind: str, count: int = 900, seed: int = 1, samples: tuple[str, ...] = SAMPLES) -> Path:
    """Write sorted variants (kind `vcf` or `bcf`) with breakends, second ends, phase sets and counts, and index them."""
    rng = random.Random(seed)
    lines = [HEADER + "".join(f"##contig=<ID={name},length={length}>\n" for name, length in CONTIGS.items())]
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]) + "\n")
    for name, length in CONTIGS.items():
        for position in sorted(rng.randrange(1, length) for _ in range(count * length // sum(CONTIGS.values()))):
            lines.append(_make_line(rng, name, position, len(lines), len(samples)))
    text = "".join(lines).encode()
    if kind == "bcf":
        run("bcftools", "view", "-Ob", "-o", path, input=text)
        run("bcftools", "index", "-c", path)
    else:
        path.write_bytes(run("bgzip", "-c", input=text))
        run("tabix", "-p", "vcf", path)
    return path


def _make_line(rng: random.Random, contig: str, position: int, number: int, samples: int) -> str:
    other = rng.choice(list(CONTIGS))
    there = rng.randrange(1, CONTIGS[other])
    breakends = [
        f"N[{other}:{there}[",
        f"NAC]{other}:{there}]",
        f"]{other}:{there}]N",
        f"[{other}:{there}[ACN",
        f"N[<ctg1>:{there}[",
    ]
    alternative = rng.choices(["C", "C,G", "<DEL>", "."], (5, 2, 2, 1))[0]
    info = {"DP": str(rng.randrange(500))}
    if rng.random() < 0.4:
        alternative = rng.choice(breakends) if rng.random() < 0.8 else ",".join(rng.sample(breakends, 2))
        info |= {"SVTYPE": "BND"} | ({"MATEID": f"m{number}"} if rng.random() < 0.6 else {})
    elif alternative == "<DEL>":
        info |= {"SVTYPE": "DEL", "END": str(position + rng.randrange(1, 3_000))}
    if rng.random() < 0.15:
        info |= {"CHR2": other} | ({"POS2": str(there)} if rng.random() < 0.6 else {"END": str(max(there, position))})
    if rng.random() < 0.1:
        info["MATEID"] = f"x{number},y{number}"
    if rng.random() < 0.2:
        info["DB"] = ""
    if rng.random() < 0.2:
        info["NOTE"] = "n" * rng.randrange(1, 40)
    alleles = 0 if alternative == "." else alternative.count(",") + 1
    keys = ["GT", *(key for key in ("DP", "PS", "PID") if rng.random() < 0.5)] if rng.random() < 0.95 else ["DP"]
    calls, columns = [], []
    for _ in range(samples):
        call = [rng.choice([".", *map(str, range(alleles + 1))]) for _ in range(rng.choice([1, 2, 2, 2]))]
        calls += call if "GT" in keys else []
        near = rng.choice([position, max(position - rng.randrange(5_000), 1)])
        values = {"GT": rng.choice("/|").join(call), "DP": str(rng.randrange(99)), "PS": str(near), "PID": f"{near}_A_C"}
        columns.append(":".join(values[key] if key == "GT" or rng.random() < 0.8 else "." for key in keys))
    if alleles and "GT" in keys:
        info["AC"] = ",".join(str(calls.count(str(n + 1))) for n in range(alleles))
        info["AF"] = ",".join("0.5" for _ in range(alleles))
    if "GT" in keys:
        info["AN"] = str(sum(call != "." for call in calls))
    items = list(info.items())
    rng.shuffle(items)
    text = ";".join(f"{key}={value}" if value else key for key, value in items)
    return "\t".join([contig, str(position), f"v{number}", "A", alternative, ".", "PASS", text, ":".join(keys), *columns]) + "\n"


def mask_line(line: str, spans: Spans, wanted: Spans) -> str | None:
    """Change a line to what may be told of it, as the documentation of the masking has it; None for nothing."""
    columns = line.rstrip("\n").split("\t")
    alternatives = columns[4].split(",")
    masked = [_mask_allele(one, spans) for one in alternatives]
    columns[4] = ",".join(masked)
    info = dict(entry.partition("=")[::2] for entry in columns[7].split(";"))
    if masked != alternatives or not any(re.search(r"[\[\]]", one) for one in alternatives):
        info.pop("MATEID", None)
    if "CHR2" in info or "POS2" in info:
        contig = info.get("CHR2", columns[0])
        place = info.get("POS2", info.get("END") if contig != columns[0] else None)
        is_within = contig == columns[0] if place is None else lies_in(spans, contig, int(place) - 1, int(place))
        if not is_within:
            for key in ("CHR2", "POS2", *(("END",) if contig != columns[0] else ())):
                if info.pop(key, None) and key == "END":
                    start = int(columns[1]) - 1
                    if not lies_in(wanted, columns[0], start, start + len(columns[3])):
                        return None
    columns[7] = ";".join(f"{key}={value}" if value else key for key, value in info.items()) or "."
    keys = columns[8].split(":")
    for number in range(9, len(columns)):
        values = columns[number].split(":")
        for at, key in enumerate(keys[: len(values)]):
            if key in ("PS", "PID") and values[at] != ".":
                position = int(values[at].split("_")[0])
                if not lies_in(spans, columns[0], position - 1, position):
                    values[at] = "."
        columns[number] = ":".join(values)
    return "\t".join(columns)


def _mask_allele(allele: str, spans: Spans) -> str:
    match = re.fullmatch(r"(.*)[\[\]](.+):(\d+)[\[\]](.*)", allele)
    if not match or lies_in(spans, match[2], int(match[3]) - 1, int(match[3])):
        return allele
    return f"{match[1]}.{match[4]}"
