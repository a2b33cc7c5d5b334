"""The htsget protocol (samtools/hts-specs, htsget.md, version 1.3).

`query` and `protocol` turn requests, tickets and errors into text and back and
do no I/O; `client` speaks it over HTTP, through `transport`, to the addresses
that `addresses` allows.
"""
