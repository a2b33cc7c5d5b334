"""The htsget protocol (samtools/hts-specs, htsget.md, version 1.3).

In: an address, a token, a query. Out: the bytes of regions of a file, checked and
resumed where they broke. `query` and `protocol` turn requests, tickets and errors
into text and back and do no I/O, so that the server uses them, too; `client`
speaks the protocol over HTTP, through `transport`, to the addresses that
`addresses` allows.

It imports regions and what is below `modos.genomics`; no pysam, and no index.
"""
