"""Reference sequences: found, checked by MD5, and kept where htslib looks."""
