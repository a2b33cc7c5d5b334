"""Read genomic files by region: records, bytes, counts and depth of BAM, CRAM, VCF and BCF.

In: a file at a key of a storage, or behind an htsget server, and regions (`region`;
0-based half-open in code, 1-based inclusive in text). Out: pysam records, or the
bytes of a valid file with just these records. `GenomicFile` is the front.

`index` leads from an index and regions to ranges of bytes, `planning` does so for
a storage, `htsget` for a server; `sources` streams the bytes, `reader`, `slicing`
and `writer` turn them into records and files. `indexer` makes and checks indexes.

It imports storages, formats, remote and encryption; no metadata, reference, track
or object: what it needs of these (a FASTA, genes, aliases) it is given as functions.
"""

from modos.genomics.file import FindAliases, FindGene, FindReference, GenomicFile, RegionsLike

__all__ = ["FindAliases", "FindGene", "FindReference", "GenomicFile", "RegionsLike"]
