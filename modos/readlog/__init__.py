"""Log who read what, sealed for a data protection officer, and chained so that changes show.

In: entries (`read_entries`), a folder or an S3 prefix, the officer's public key. Out: segments of frames
(`sealed_frames`), each sealed under a key that is forgotten once it was used (`ratchet`), and heads that say how far a
chain goes (`heads`). `read_log` writes for many threads at once, by `chain_writer` and `log_places`; `retention` finds
what is old. `segment_reader`, `log_verification` and `log_contents` read it, the last two with the officer's secret key.

It imports errors, storages and encryption, and knows neither objects nor servers. docs/reference/read-log.md is the
format.
"""
