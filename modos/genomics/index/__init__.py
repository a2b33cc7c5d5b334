"""Find the bytes of a file that hold the records of a region, with its index.

`read_header` gives what a stream of the file starts with and ends with,
`parse_index` reads an index of any kind, and `plan_regions` says which bytes lie
in between. These three are enough to serve a region, or to read it:

    header.segments + plan_regions(...) + header.eof

is a valid BAM, CRAM, VCF or BCF. It has every record that overlaps the regions,
once, and some of their neighbours: the reader filters.

In: the bytes of an index and of the head of a file, and regions. Out: ranges of
bytes. It imports regions, formats and errors, and does no I/O: it is given a
function that reads.

Sources: SAMv1 (BGZF, BAI), CSIv1, tabix, VCFv4.3 (BCF), CRAMv3 and CRAMv2.1.
"""

from modos.genomics.index.bgzf import Read
from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import Crai
from modos.genomics.index.file_header import Header, read_header
from modos.genomics.index.opening import Opening, open_stream
from modos.genomics.index.parse import Index, parse_index
from modos.genomics.index.plan import find_chunks, plan_regions
from modos.genomics.index.slices import Chunk, Segment, cut, split_chunks

__all__ = [
    "BinningIndex",
    "Chunk",
    "Crai",
    "Header",
    "Index",
    "Opening",
    "Read",
    "Segment",
    "cut",
    "find_chunks",
    "open_stream",
    "parse_index",
    "plan_regions",
    "read_header",
    "split_chunks",
]
