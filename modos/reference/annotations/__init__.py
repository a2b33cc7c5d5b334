"""Genes and what they are made of, along the contigs of an assembly: read, kept as tables, and asked by place."""
