"""Genomic files by region: records, bytes, counts and depth."""

from modos.genomics.file import FindAliases, FindGene, FindReference, GenomicFile, RegionsLike

__all__ = ["FindAliases", "FindGene", "FindReference", "GenomicFile", "RegionsLike"]
