"""MkDocs hooks: files of the repository outside ``docs``, and diagrams as pictures.

MkDocs calls ``on_files`` once and ``on_page_markdown`` for every page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

#: Files outside ``docs`` that are part of the site: their path in the repository and in the site.
OTHER_FILES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "GLOSSARY.md": "glossary.md",
    "SECURITY.md": "security.md",
    "LICENSE": "license.txt",
    "examples/notebook/server-to-kaplan-meier.ipynb": "server-to-kaplan-meier.ipynb",
}
_REPOSITORY_PATHS = {in_site: path for path, in_site in OTHER_FILES.items()}

#: A fenced block: its backticks, its language, its content.
FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def diagram_name(page: str, number: int) -> str:
    """The path in the site of the picture of a page's diagram; diagrams count from 1."""
    return f"{page.removesuffix('.md')}-{number}.svg"


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside ``docs``."""
    for path, in_site in OTHER_FILES.items():
        files.append(File.generated(config, in_site, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's Markdown with links as in the site and pictures in place of diagrams."""
    uri = page.file.src_uri
    parts, position, diagrams = [], 0, 0
    for fence in FENCE.finditer(markdown):
        parts.append(_linked(markdown[position : fence.start()], uri))
        if fence[2] == "mermaid":
            diagrams += 1
            picture = posixpath.basename(diagram_name(uri, diagrams))
            parts.append(f"![Diagram of the text around it]({picture}){{ .diagram }}")
        else:
            parts.append(fence[0])
        position = fence.end()
    return "".join([*parts, _linked(markdown[position:], uri)])


def _linked(text: str, uri: str) -> str:
    """Text with each link to a file of the repository as a link to its place in the site."""
    folder = posixpath.dirname(_REPOSITORY_PATHS.get(uri, f"docs/{uri}"))

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        in_site = OTHER_FILES.get(path, path.removeprefix("docs/"))
        return f"{match[1]}{posixpath.relpath(in_site, posixpath.dirname(uri) or '.')}{match[3]}"

    return _LINK.sub(link, text)
