"""Show elements of objects along a genome: the page of the browser, and what it draws.

    GET /genome                     the page: igv.js over elements of several objects; the address is the view
    GET /bins/KEY/TYPE/NAME         mean, least and largest values of a track, in at most 2,000 bins
    GET /coverage/KEY/data/NAME     the depth of reads, exact or estimated from the index
    GET /features/KEY/TYPE/NAME     genes, transcripts and exons of a region
    GET /genes                      places of genes, by their names
    GET /sequence/KEY/TYPE/NAME     bases of a reference
    GET /contigs/KEY/TYPE/NAME      its contigs and their lengths

Reads and variants come as exact slices, by `modos.server.slices`. An element is named by the key of its object, its
type and its name. Regions are text, 1-based inclusive; positions in answers are 0-based half-open.

In: requests, with the rights of who sends them. Out: a page, JSON, text, and little-endian numbers. Imports what serves
objects, tracks, reads and references, and the pages of the server for how a page looks.
"""
