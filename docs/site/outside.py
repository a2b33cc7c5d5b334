"""Pages of the site that lie outside docs/, where a reader of the repository looks for them; a hook of MkDocs.

README.md, CHANGELOG.md, CONTRIBUTING.md and the guide to the services become pages, and files that pages link to go along.
Links are written as they hold in the repository. On the site they lead to where the page or file is there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE.txt",
    ".env.example": "how-to/env.example",
    "deploy/README.md": "how-to/deploy.md",
    "deploy/access/access.example.toml": "how-to/access.example.toml",
    "deploy/modos/requirements.txt": "how-to/requirements.txt",
    "deploy/helm/modos/values.yaml": "how-to/values.yaml",
    "schema/modos.yaml": "reference/modos.yaml",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/."""
    for path, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into those of the site."""
    place = page.file.src_uri
    folder = posixpath.dirname(next((path for path, outside in OUTSIDE.items() if outside == place), f"docs/{place}"))
    return _LINK.sub(lambda link: _link_on_site(posixpath.normpath(posixpath.join(folder, link[1])), place), markdown)


def _link_on_site(path: str, place: str) -> str:
    """The link from a place on the site to a path of the repository."""
    return posixpath.relpath(OUTSIDE.get(path, path.removeprefix("docs/")), posixpath.dirname(place) or ".")
