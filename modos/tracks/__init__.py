"""Numbers along a genome: contigs, sequence, and tracks with a float per base, as Zarr arrays.

All contigs lie one after another on one axis. A track is one array over it,
in chunks that are grouped to shards; or, where few bases have a value, the
runs of equal values. Means over large regions come from zoom levels.
The layout is specified in docs/reference/format.md.

In: wiggle, bedGraph, BED, bigWig and Genomedata files, or arrays (float32, shape
(bases,) for each contig). Out: arrays by region (`Genome`, `Track`), statistics,
pictures and files for other programs.

It imports genomics and what is below it; neither reference nor object:
`modos.object.tracks` opens the tracks of an object, and `track_changes` adds them.
"""
