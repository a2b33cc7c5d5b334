"""Numbers along a genome: contigs, sequence, and tracks with a float per base, as Zarr arrays of an object.

All contigs lie one after another on one axis. A track is one array over it,
in chunks that are grouped to shards; or, where few bases have a value, the
runs of equal values. Means over large regions come from zoom levels.
The layout is specified in docs/reference/format.md.
"""
