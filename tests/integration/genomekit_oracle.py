"""Says as JSON what GenomeKit finds: a program of its own, as GenomeKit fetches what it lacks and keeps it for the process.

genomekit_oracle.py FOLDER ASSEMBLY ANNOTATION GFF3 BUILDER < queries.json > answers.json
"""

import contextlib
import json
import os
import sys
from pathlib import Path

folder, assembly, name, gff3, builder = sys.argv[1:6]
os.environ["GENOMEKIT_DATA_DIR"] = folder

import genome_kit.gk_data as data  # noqa: E402
from genome_kit import Genome, GenomeAnnotation, Interval  # noqa: E402
from genome_kit.data_manager import GKDataFileNotFoundError  # noqa: E402


def get_file(filename):
    """No bucket is asked."""
    if not Path(folder, filename).exists():
        raise GKDataFileNotFoundError(filename, f"File not found: {filename}")
    return str(Path(folder, filename))


def key(feature):
    return [feature.chromosome, feature.start, feature.end, feature.strand]


def describe(transcript):
    return {
        "id": transcript.id,
        "protein": transcript.protein_id,
        "product": transcript.product,
        "gene": transcript.gene.id,
        "place": key(transcript),
        "exons": [key(x) for x in transcript.exons],
        "introns": [key(x) for x in transcript.introns],
        "cds": [[*key(x), x.phase] for x in transcript.cdss],
        "5'": [key(x) for x in transcript.utr5s],
        "3'": [key(x) for x in transcript.utr3s],
    }


data.get_file = get_file
queries = json.load(sys.stdin)
with contextlib.redirect_stdout(sys.stderr):
    getattr(GenomeAnnotation, builder)(gff3, f"{folder}/{name}", Genome(assembly))
genome = Genome(name)
answers = []
for contig, start, end, strand in queries:
    interval = Interval(contig, strand, start, end, genome.reference_genome)
    answers.append(
        {"dna": genome.dna(interval)}
        | {
            f"{kind} {how}": sorted(key(x) for x in getattr(getattr(genome, kind), f"find_{how}")(interval))
            for kind in ("genes", "transcripts", "exons", "introns", "cdss")
            for how in ("overlapping", "within", "exact", "5p_aligned", "3p_aligned", "5p_within", "3p_within")
        }
    )
json.dump(
    {
        "genes": [[g.id, g.name, g.type, *key(g)] for g in genome.genes],
        "transcripts": [describe(t) for t in genome.transcripts],
        "answers": answers,
    },
    sys.stdout,
)
