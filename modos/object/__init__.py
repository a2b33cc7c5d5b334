"""One object: its root document, commits, files, streams and keys, and the class MODO, which puts them together."""
