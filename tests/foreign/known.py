"""What differs from samtools, bcftools and Genomedata and stays so: one table, which the documentation has too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Known:
    """A difference with its reason.

    Parameters
    ----------
    title, reason
        As docs/explanation/regions.md has them.
    files
        Patterns of the foreign files that show it: each that matches must.
    what
        Pattern of what differs: form, way and question, with blanks between.
    shown_by
        The test that shows it where no foreign file does.
    """

    title: str
    reason: str
    files: tuple[str, ...] = ()
    what: str = ""
    shown_by: str = ""

    def is_of(self, name: str) -> bool:
        """Whether a file is to show it."""
        return any(fnmatch(name, pattern) for pattern in self.files)

    def explains(self, difference: object) -> bool:
        """Whether a difference is this one."""
        return bool(self.what and re.search(self.what, str(difference)))


KNOWN: tuple[Known, ...] = (
    Known(
        "A region without an end, `chr1:1000`",
        "samtools takes everything from there to the end of the contig, and so does modos for reads and variants; "
        "bcftools takes one base",
        shown_by="test_bcftools_takes_a_position_as_one_base",
    ),
    Known(
        "The order of several regions",
        "`bcftools view -r` gives contigs in the order listed, `samtools view` without `-M` each region "
        "separately; modos gives each record once, in the file's order, like `samtools view -M`",
        shown_by="test_bcftools_gives_contigs_as_they_are_listed",
    ),
    Known(
        "`samtools view -M FILE chr1:1000-`",
        "samtools leaves out a region without an end, with a warning and exit code 0; modos gives its records",
        shown_by="test_samtools_leaves_out_a_region_without_an_end",
    ),
    Known(
        "`samtools view -M FILE '{HLA-A*01:01}:1-9' chr1`",
        "samtools does not understand a name in braces with `-M`, and leaves its region out with a warning and "
        "exit code 0; modos gives its records",
        shown_by="test_samtools_leaves_out_a_name_in_braces",
    ),
    Known(
        "`samtools view -M` of a CRAM whose contigs are not in the order of its header",
        "samtools loses the reads of a contig, with exit code 0; modos gives them",
        shown_by="test_samtools_loses_a_contig_of_a_cram",
    ),
    Known(
        "`samtools view -M` of a BAM with only unplaced reads",
        "samtools cannot find `*` there and ends with an error; modos gives the reads",
        shown_by="test_samtools_refuses_regions_of_unplaced_reads_only",
    ),
    Known(
        "An old bcftools (1.16), and an index that it made",
        "it ignores SVLEN and LEN, and so misses long deletions within a region; modos takes what bcftools 1.24 does",
        shown_by="test_old_bcftools_does_not_look_at_svlen",
    ),
    Known(
        "A CRAM whose reads are not sorted",
        "samtools indexes it silently and stops at the first read beyond the region; modos reads on",
        files=("*/cram-3.0/passed/0709_tag.cram", "*/cram-3.0/passed/0710_tag.cram", "*/cram-3.0/passed/090?_comp_*.cram"),
        what=r"^(crai|given)\.cram .* more ",
    ),
    Known(
        "A file without its end marker",
        "samtools accepts it with a warning, although records may be lost; modos does not",
        files=("*/failed/0000_empty_noeof.cram",),
        what="^crai.cram folder add .*\n.*TruncatedStream",
    ),
    Known(
        "A VCF with invalid lines",
        "modos writes the file's own lines as VCF; records in Python are those of pysam, which refuses a contig "
        "with a comma or `<`, or a FORMAT key given twice (IntegrityError); bcftools goes on with a warning",
        files=("*/failed/failed_body_chrom_000.vcf", "*/failed/failed_body_chrom_003.vcf", "*/failed/failed_body_format_005.vcf"),
        what=r"^(tbi|csi)\.vcf\.gz .* records error .*\n.*IntegrityError",
    ),
    Known(
        "A VCF with a malformed `##contig` line",
        "bcftools writes it as BCF if an index names the contig; modos says that the header does not declare it",
        files=("*/failed/failed_meta_contig_002.vcf",),
        what=r"^(tbi|csi)\.vcf\.gz .* write BCF.* error .*\n.*InvalidInputError",
    ),
    Known(
        "A VCF with undeclared contigs, whole, as BCF from an htsget server",
        "bcftools declares the contigs that its index names; a server does not list them, and modos says which "
        "contig is not declared",
        what=r"^(tbi|csi)\.vcf\.gz server write BCF.* error -\n.*InvalidInputError.* does not declare [Cc]ontig",
        shown_by="test_a_server_does_not_tell_the_contigs_of_the_index",
    ),
)
