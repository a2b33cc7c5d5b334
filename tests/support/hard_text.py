"""VCF and SAM text that is hard to index and to cut, as strategies of Hypothesis: for property tests of all that reads files."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

CONTIGS = ("chr1", "chr10", "chr2", "HLA-A*01:01", "un")
ALTS = (
    "C",
    ".",
    "CT,G",
    "<DEL>",
    "<INS>",
    "<DUP:TANDEM>",
    "<INV>",
    "<CNV>",
    "*",
    "<*>",
    "<NON_REF>",
    "C[chr2:150[",
    "<INS>,<DEL>",
    "<DEL>,C",
)
DECLARED = {
    "INFO": (
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">',
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">',
    ),
    "FORMAT": (
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    ),
}
EDGE = 1 << 14  # of the windows of BAI and TBI


@dataclass(frozen=True)
class Text:
    """Lines of a file, and the size of the BGZF blocks it is to lie in."""

    lines: tuple[str, ...]
    newline: str = "\n"
    ends: bool = True
    block: int = 0xFF00

    def __bytes__(self) -> bytes:
        return (self.newline.join(self.lines) + (self.newline if self.ends else "")).encode()


def positions(count: int) -> st.SearchStrategy[list[int]]:
    """Sorted 1-based positions, many of them at the edge of a window."""
    return st.lists(st.integers(1, 300) | st.integers(EDGE - 3, EDGE + 3), max_size=count).map(sorted)


@st.composite
def variants(draw: st.DrawFn, contigs: tuple[str, ...] = CONTIGS, newlines: tuple[str, ...] = ("\n",)) -> Text:
    """A VCF: contigs out of the header's order, tags without a declaration, ends in every form, symbolic alleles, records across blocks."""
    declared = draw(st.sets(st.sampled_from(["contig", "INFO", "FORMAT"])) | st.just({"contig", "INFO", "FORMAT"}))
    samples = draw(st.sampled_from([(), ("S1",), ("S2", "S1")]))
    lines = ["##fileformat=VCFv4.3"]
    lines += [line for kind in ("INFO", "FORMAT") if kind in declared for line in DECLARED[kind]]
    lines += [f"##contig=<ID={name},length=100000>" for name in draw(st.permutations(contigs))] if "contig" in declared else []
    lines += [
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", *(["FORMAT", *samples] if samples else [])])
    ]
    for contig in draw(st.permutations(contigs))[: draw(st.integers(0, len(contigs)))]:
        lines += [_variant(draw, contig, position, samples) for position in draw(positions(6))]
    return Text(tuple(lines), draw(st.sampled_from(newlines)), draw(st.booleans()), draw(st.sampled_from([61, 300, 0xFF00])))


def _variant(draw: st.DrawFn, contig: str, position: int, samples: tuple[str, ...]) -> str:
    alt, ref = draw(st.sampled_from(ALTS)), draw(st.sampled_from(["A", "ACGT", "N"]))
    length = draw(st.sampled_from([-30, -3, 0, 1, 5, 40, EDGE]))
    known = {
        "END": position + draw(st.sampled_from([-1, 0, 1, 3, 20, EDGE])),
        "DP": 3,
        "SVTYPE": "DEL",
        "SVLEN": ",".join([str(length)] * (alt.count(",") + 1)),
    }
    info = [f"{key}={known[key]}" for key in draw(st.lists(st.sampled_from(sorted(known)), unique=True))]
    fields = [
        contig,
        str(position),
        ".",
        ref,
        alt,
        draw(st.sampled_from([".", "30", "1e2"])),
        draw(st.sampled_from([".", "PASS"])),
        ";".join(info) or ".",
    ]
    return "\t".join([*fields, *(["GT:DP", *("0/1:7" for _ in samples)] if samples else [])])


@st.composite
def reads(draw: st.DrawFn, contigs: tuple[str, ...] = CONTIGS) -> Text:
    """A SAM: contigs out of the header's order, reads that are placed but not mapped, skips, only reads without a place, no contigs at all."""
    has_contigs = draw(st.integers(0, 4)) > 0
    lines = ["@HD\tVN:1.6"] + [f"@SQ\tSN:{name}\tLN:100000" for name in draw(st.permutations(contigs)) if has_contigs]
    for contig in draw(st.permutations(contigs))[: draw(st.integers(0, len(contigs))) if has_contigs else 0]:
        lines += [_read(draw, contig, position, len(lines)) for position in draw(positions(6))]
    lines += [f"u{number}\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII" for number in range(draw(st.integers(0, 3)))]
    return Text(tuple(lines), block=draw(st.sampled_from([61, 300, 0xFF00])))


def _read(draw: st.DrawFn, contig: str, position: int, number: int) -> str:
    flag, cigar = draw(
        st.sampled_from(
            [(0, "4M"), (16, "1S3M"), (4, "*"), (0, "2M100N2M"), (0, "2M20D2M"), (0, "4S"), (0, f"2M{EDGE}N2M"), (0, "2=1I1X")]
        )
    )
    return f"r{number}\t{flag}\t{contig}\t{position}\t{30 if flag != 4 else 0}\t{cigar}\t*\t0\t0\tACGT\tIIII"


def reads_without_contigs(count: int) -> Text:
    """A SAM of reads that were never aligned: no @SQ line."""
    return Text(("@HD\tVN:1.6", *(f"u{number}\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII" for number in range(count))))
