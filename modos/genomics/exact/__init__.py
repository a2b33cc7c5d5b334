"""Give exactly the records of some regions, and of each only what may be given.

In: a stream of BAM, BCF or VCF as `modos.genomics.planning` gives it, regions and
bounds. Out: BGZF blocks of the records. `blocks` reads the stream in batches of
whole records, an editor (`read_editor`, `bcf_editor`, `vcf_editor`) says of each
batch which bytes stay as they are and which become others, and `weaving` makes
BGZF of that: blocks of the file in which nothing changes pass as they are.
`modos.genomics.bounded_slices` is the front.

It imports storages, formats, and of genomics what is below the front.
"""
