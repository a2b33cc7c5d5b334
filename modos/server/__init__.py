"""The modos server: catalogue, htsget, DRS, refget and files, in one ASGI application.

In: a folder or an S3 prefix of objects, rules of access, requests. Out: listings
and metadata (`listing`), tickets and the bytes they lead to (`htsget`, `partial`),
files by range (`files`, `drs`), sequences (`refget`), codes (`codes`), and pages
for people (`pages`). `app` puts
them together, `run` runs it; `auth` and `rules` decide who may read and write.

It imports the catalog and what is below it. Only `modos.demo` and the command line
import it. FastAPI, Starlette, Jinja2 and uvicorn are used nowhere else.
"""
