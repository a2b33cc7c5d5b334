"""Codes among a million terms: how long a build, an opening and a search take, beside RapidFuzz alone and an RDF library."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TERMS = 1_000_000
SYLLABLES = [
    "ba",
    "co",
    "di",
    "fu",
    "ge",
    "hi",
    "jo",
    "ka",
    "lu",
    "mi",
    "no",
    "pe",
    "qui",
    "ro",
    "sa",
    "ti",
    "us",
    "ve",
    "xi",
    "zo",
    "ran",
    "tor",
    "mus",
    "cel",
    "lia",
    "phyl",
    "myc",
    "bac",
    "strep",
    "ophi",
]
COMMON = ["cell", "of", "sp", "unclassified", "virus", "strain", "subsp", "var", "human", "tissue"]
OWL = (
    '<?xml version="1.0"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:owl="http://www.w3.org/2002/07/owl#" '
    'xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#" xmlns:oio="http://www.geneontology.org/formats/oboInOwl#">\n'
)
MEASURED = (
    "import json, re, sys, time\nbegin = time.process_time()\n{work}\n"
    "print(json.dumps([time.process_time() - begin, int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1024]))"
)


def make_names(count: int, seed: int = 1) -> list[str]:
    """Names of one to six words: some words are in very many, most in few."""
    source, many = random.Random(seed), np.random.default_rng(seed)
    words = list({"".join(source.choices(SYLLABLES, k=source.randint(2, 6))) for _ in range(400_000)})
    often = iter((many.zipf(1.15, 4 * count) % len(words)).tolist())

    def make() -> str:
        parts = [
            words[next(often)] if source.random() < 0.4 else source.choice(words)
            for _ in range(source.choice((1, 2, 2, 2, 3, 3, 4)))
        ]
        parts += [source.choice(COMMON)] * (source.random() < 0.4)
        return " ".join(parts + [str(source.randint(1, 9999))] * (source.random() < 0.2))

    return [make() for _ in range(count)]


def make_queries(names: list[str], count: int = 300) -> list[str]:
    """Names, names with a letter missing, beginnings, words in another order, and words that very many names have."""
    source, queries = random.Random(3), []
    for number in range(count):
        name = source.choice(names)
        at, words = source.randrange(len(name)), name.split()
        source.shuffle(words)
        queries.append(
            (
                name,
                name[:at] + name[at + 1 :],
                name[: max(3, len(name) * 2 // 3)],
                " ".join(words[:2]),
                source.choice(["cell", "virus", "human tissue", "cell of virus", "sp", "b", "strain 12"]),
            )[number % 5]
        )
    return queries


def measured(work: str, *arguments: object) -> tuple[float, float]:
    """CPU seconds and MiB of a Python program."""
    answer = subprocess.run(
        [sys.executable, "-c", MEASURED.format(work=work), *map(str, arguments)], check=True, capture_output=True, text=True
    )
    seconds, size = json.loads(answer.stdout)
    return seconds, size


def percentiles(work, queries: list[str]) -> str:
    """p50, p95 and the longest, in ms, of the clock and of the CPU."""
    taken = []
    for query in queries:
        clock, cpu = time.perf_counter(), time.process_time()
        work(query)
        taken.append((1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu)))
    return "; ".join(
        f"{what} p50 {low:.1f}, p95 {high:.1f}, longest {most:.1f} ms"
        for what, (low, high, most) in zip(("clock", "CPU"), np.percentile(np.array(taken), [50, 95, 100], axis=0).T)
    )


def main() -> None:
    names = make_names(TERMS * 3 // 2)
    with tempfile.TemporaryDirectory() as folder:
        obo, owl, index = Path(folder, "terms.obo"), Path(folder, "terms.owl"), Path(folder, "codes.index")
        with obo.open("w") as file:
            file.write("format-version: 1.4\n")
            for at in range(TERMS):
                synonym = f'synonym: "{names[TERMS + at // 2]}" EXACT []\n' if at % 2 else ""
                file.write(f"\n[Term]\nid: NCBITaxon:{at}\nname: {names[at]}\n{synonym}")
        seconds, size = measured("import modos.codes; modos.codes.build(sys.argv[1:2], sys.argv[2])", obo, index)
        print(
            f"build of {TERMS:,} terms: {seconds:.1f} s of CPU, {size:,.0f} MiB; the index has {index.stat().st_size / 1e6:.0f} MB"
        )
        search_in(index, names)
        with owl.open("w") as file:
            file.write(
                OWL
                + "".join(
                    f'<owl:Class rdf:about="http://purl.obolibrary.org/obo/CL_{at}"><rdfs:label>{names[at]}</rdfs:label>'
                    f"<oio:hasExactSynonym>{names[-at]}</oio:hasExactSynonym></owl:Class>\n"
                    for at in range(50_000)
                )
                + "</rdf:RDF>"
            )
        ours = measured("from modos.codes.reading import read_terms\nfor _ in read_terms(sys.argv[1]): pass", owl)
        theirs = measured("import rdflib; rdflib.Graph().parse(sys.argv[1], format='xml')", owl)
        print(f"50,000 terms of OWL: {ours[0]:.1f} s, {ours[1]:,.0f} MiB; rdflib {theirs[0]:.1f} s, {theirs[1]:,.0f} MiB")


def search_in(index: Path, names: list[str]) -> None:
    from rapidfuzz import fuzz, process

    import modos.codes

    queries = make_queries(names)
    begin, cpu = time.perf_counter(), time.process_time()
    codes = modos.codes.open(index)
    codes.search("taxon_id", "human tissue")
    print(
        f"opening and a first search: {1000 * (time.perf_counter() - begin):.0f} ms, {1000 * (time.process_time() - cpu):.0f} of CPU"
    )
    print(f"search: {percentiles(lambda query: codes.search('taxon_id', query), queries)}")
    print(
        f"rapidfuzz.process.extract over all names: "
        f"{percentiles(lambda query: process.extract(query, names, scorer=fuzz.token_sort_ratio, limit=10), queries[:10])}"
    )


if __name__ == "__main__":
    main()
