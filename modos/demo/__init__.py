"""A small generated data set to try modos with, and a local stack that serves it.

In: a folder, ports. Out: a genome, reads and variants as files (`bases`,
`reads`, `variants`), an object made of them (`dataset`), and S3 and modos servers
that hold it (`stack`, `init`).

It uses the library as its users do, and the server. Only the command line
imports it. MinIO and Moto are used nowhere else.
"""
