"""Metadata as linked data: RDF graphs and RO-Crate."""
