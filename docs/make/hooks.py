"""What mkdocs does besides: pages from other folders, links to them, and GitHub's anchors.

Pages are written for GitHub, where a link is a path in the repository. The site has the same pages,
and those of OUTSIDE, so every link leads to the same text in both.
"""

import json
import posixpath
import re
import unicodedata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OUTSIDE = {  # a file of the repository that is no page of docs/: its page in the site
    "builder/generators/nih128.card.md": "nih128.card.md",
    "builder/generators/nih64.card.md": "nih64.card.md",
    "docs/notebook.ipynb": "notebook.md",
    "manifests/README.md": "lock-files.md",
}
FOLDERS = {
    "docs/plugin": "plugin/README.md"
}  # a folder that pages link to: what GitHub shows of it
LINK = re.compile(r"(\]\(|src=\")(?!https?:|#|mailto:)([^)#\"\s]+)")


def anchor(title: str, separator: str = "-") -> str:
    """The anchor of a heading, as GitHub makes it."""
    words = unicodedata.normalize("NFC", title.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", separator)


def source(page: str) -> str:
    """The path in the repository of a page of the site."""
    return next((path for path, name in OUTSIDE.items() if name == page), f"docs/{page}")


def relinked(text: str, page: str) -> str:
    """A page's text with each link as it is in the site."""
    folder = posixpath.dirname(source(page))

    def there(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        name = (OUTSIDE | FOLDERS).get(path, path.removeprefix("docs/"))
        return found[1] + posixpath.relpath(name, posixpath.dirname(page) or ".")

    return LINK.sub(there, text)


def notebook_text(notebook: str) -> str:
    """The cells of a notebook as a page."""
    cells = json.loads(notebook)["cells"]
    parts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(
        text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in parts
    )


def on_config(config: Any) -> Any:
    """The anchors of headings as on GitHub."""
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": anchor}
    return config


def on_files(files: Any, config: Any) -> Any:
    """The pages, and those of OUTSIDE that docs/ does not have."""
    from mkdocs.structure.files import File

    for path, page in OUTSIDE.items():
        if (ROOT / path).is_file():
            text = (ROOT / path).read_text(encoding="utf-8")
            content = notebook_text(text) if path.endswith(".ipynb") else text
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page, linked as in the site."""
    return relinked(markdown, page.file.src_uri)
