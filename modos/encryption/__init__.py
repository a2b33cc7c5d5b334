"""Crypt4GH: files encrypted for their recipients, read whole or in part.

Source: samtools/hts-specs crypt4gh.pdf, version 1.
"""
