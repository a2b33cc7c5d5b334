"""Give exactly the records of some regions, and of each only what may be given.

`blocks` reads a stream in batches of whole records, an editor (`read_editor` for
BAM, `bcf_editor`, `vcf_editor`) says of each batch which bytes stay as they are and
which become others, and `weaving` makes BGZF of that: blocks of the file in which
nothing changes pass as they are. `modos.genomics.bounded_slices` is the front.
"""
