"""One object: its root document, changes to it, its files, and the class MODO.

In: the address of an object (`address`), elements and files. Out: metadata, streams
of records, genomes and tracks, copies; each change is one commit or none.

From below: `document` is the root document, `commits` reads and replaces it in a
storage, `journal` records what a change is about to write, `changes` are changes
by meaning, `transaction` commits them together. On these stand the parts of an
object that users see, each a class that is given an `open_object`: `contents`,
`elements`, `streaming`, `encryption`, `genomes`, `gathering`; `modo` joins them.

It imports all that is below it, such as genomics, tracks, reference and encryption;
no catalog, server or command line. tests/test_layers.py has the order of its modules.
"""
