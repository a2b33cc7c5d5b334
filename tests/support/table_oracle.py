"""Tables of reads and variants, read out of the text that samtools and bcftools write, cell by cell in plain Python."""

from __future__ import annotations

import math
import re
import subprocess

import numpy as np
import pysam


def single(text):
    """A number of 32 bits, as BAM, VCF and BCF have it."""
    return float(np.float32(text))


def read_rows(path, reference=None):
    """The reads of a BAM or CRAM: fields and tags of each, without those that it lacks."""
    rows = []
    with pysam.AlignmentFile(str(path), check_sq=False, reference_filename=reference and str(reference)) as file:
        for read in file.fetch(until_eof=True):
            fields = read.to_string().split("\t")
            row = dict(zip(("qname", "flag", "rname", "pos", "mapq", "cigar", "rnext", "pnext", "tlen", "seq", "qual"), fields))
            row |= {name: int(row[name]) for name in ("flag", "pos", "mapq", "pnext", "tlen")}
            row["rnext"] = row["rname"] if row["rnext"] == "=" else row["rnext"]
            row |= {name: row[name] or None for name in ("pos", "pnext")}
            if row["pos"]:
                row["end"] = row["pos"] if read.is_unmapped else read.reference_end or row["pos"]
            row = {name: value for name, value in row.items() if value not in ("*", None)}
            if "seq" not in row:
                row.pop("qual", None)
            rows.append(row | {tag: tag_value(type, value) for tag, type, value in (tag.split(":", 2) for tag in fields[11:])})
    return rows


def tag_value(type, text):
    if type in "AZH":
        return text
    if type == "B":
        return [single(one) if text[0] == "f" else int(one) for one in text.split(",")[1:]]
    return int(text) if type == "i" else single(text)


def variant_rows(path):
    """The records of a VCF or BCF: fields, INFO and the values of samples, as `bcftools view` writes them."""
    text = subprocess.run(["bcftools", "view", "--no-version", str(path)], capture_output=True, check=True, text=True).stdout
    return parse_vcf(text)


def parse_vcf(text):
    declared, samples, rows = {}, [], []
    for line in text.splitlines():
        if match := re.match(r"##(INFO|FORMAT)=<ID=([^,]+),Number=([^,]+),Type=([^,>]+)", line):
            declared.setdefault((match[1], match[2]), (match[3], match[4]))
        elif line.startswith("#CHROM"):
            samples = line.split("\t")[9:]
        elif not line.startswith("#"):
            rows.append(parse_record(line.split("\t"), declared, samples))
    return rows


def parse_record(fields, declared, samples):
    chrom, pos, id, ref, alt, qual, filter, info = fields[:8]
    row = {"chrom": chrom, "pos": int(pos), "ref": ref, "alt": [] if alt == "." else alt.split(",")}
    row |= {"id": id} if id != "." else {}
    row |= {"qual": single(qual)} if qual != "." else {}
    row |= {"filter": filter.split(";")} if filter != "." else {}
    for item in info.split(";") if info != "." else ():
        key, _, value = item.partition("=")
        row[f"INFO/{key}"] = parse_value(value, *declared.get(("INFO", key), ("1", "String")))
    for sample, values in zip(samples, fields[9:]):
        cells = zip(fields[8].split(":"), values.split(":"))
        found = {
            key: parse_value(value, *(("1", "String") if key == "GT" else declared.get(("FORMAT", key), ("1", "String"))))
            for key, value in cells
        }
        row[sample] = {key: value for key, value in found.items() if value is not None}
    return {name: value for name, value in row.items() if value is not None}


def parse_value(text, number, type):
    if type == "Flag":
        return True
    if text == ".":
        return None
    parse = {"Integer": int, "Float": single}.get(type, str)
    if number == "1":
        return parse(text)
    return [None if one == "." else parse(one) for one in text.split(",")]


def rows_of(table):
    """The rows of a pyarrow.Table without what is null or false, in structs, too."""
    return [clean(row) for row in table.to_pylist()]


def clean(row):
    kept = {name: clean(value) if isinstance(value, dict) else value for name, value in row.items()}
    return {name: value for name, value in kept.items() if value is not None and value is not False}


def assert_same(found, expected):
    """Compare rows cell by cell; numbers of 32 bits by the digits that bcftools writes."""
    assert len(found) == len(expected)
    for number, (row, other) in enumerate(zip(found, expected)):
        assert row.keys() == other.keys(), number
        for name in row:
            assert is_same(row[name], other[name]), (number, name, row[name], other[name])


def is_same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other)) or f"{one:g}" == f"{other:g}"
    return one == other
