"""The htsget protocol (samtools/hts-specs, htsget.md, version 1.3).

`protocol` turns requests, tickets and errors into text and back and does no
I/O; `client` speaks it over HTTP.
"""
