"""The modos server: catalogue, htsget, and the files of a folder, in one ASGI application."""
