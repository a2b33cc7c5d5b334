"""Read records, tracks, annotations and mzTab as Arrow tables.

In: a genomic file with regions, a genome, a feature table, the lines of an
mzTab. Out: batches and tables of pyarrow (extra `tables`), with exactly the
records of the regions; whatever fails raises, and gives no shorter table.

`record_tables` is the front for reads and variants; `read_batches` and
`variant_batches` make batches of runs of records, which `bam_records`,
`bam_tags`, `vcf_records` and `bcf_records` decode with numpy, all records of a
run at once. `track_table`, `annotation_table` and `mztab_table` are the other
fronts, `table_writing` writes them all. `arrow` is the door to pyarrow.

It imports genomics, tracks and reference, and what is below them; it knows no object.
"""
