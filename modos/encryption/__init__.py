"""Encrypt files for their recipients with Crypt4GH, and read them whole or in part.

In: keys (`keys`), and bytes that are plain or Crypt4GH. Out: headers (`header`)
and bodies (`body`) in either direction, streams that are decrypted as they come
(`stream`), and storages that look as if their files were plain (`view`).
`recorded` compares encrypted files with what metadata record of them.

It imports storages, formats and the tokens of remote, and knows neither objects nor records of genomic files:
`modos.object.encryption` encrypts the files of an object. crypt4gh and
cryptography are used nowhere else.

Source: samtools/hts-specs crypt4gh.pdf, version 1.
"""
