"""Genes and their parts along the contigs of an assembly.

In: lines of GFF3 and GTF (`lines`) and tables of UCSC (`refgene`), as `parts`. Out:
tables of genes, transcripts, exons, introns, coding stretches and UTRs (`building`),
kept as Parquet (`parquet_files`) and asked by place, id and name (`Annotation`).
Coordinates are 0-based half-open.

It imports regions and what is below them, and knows no store: `modos.reference.annotation_store` adds, fetches and verifies
annotations in one.
"""
