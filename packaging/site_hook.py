"""What mkdocs does beyond the pages in docs: it makes the reference, and brings the pictures along.

Links from a page to a file of the repository that is not on the site become that file's name.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURES = "examples/pictures"
_PICTURE = re.compile(rf"\]\(\.\./{PICTURES}/")
_WORKER = "https://unpkg.com/iframe-worker/shim"
"""Where mkdocs-material's offline search would load it from."""
_OUTSIDE = re.compile(r"\[([^\]\n]+)\]\(\.\./([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages made from the code, and the pictures that the pages show."""
    sys.path.insert(0, ROOT)
    from hpcwatch.cli.pages import PAGES

    for name, lines in PAGES.items():
        if name.startswith("reference/"):
            files.append(File.generated(config, f"{name}.md", content="\n".join(lines())))
    for name in sorted(os.listdir(os.path.join(ROOT, PICTURES))):
        path = os.path.join(ROOT, PICTURES, name)
        files.append(File.generated(config, f"pictures/{name}", abs_src_path=path))
    path = os.path.join(ROOT, "packaging", "site_worker.js")
    files.append(File.generated(config, "assets/worker.js", abs_src_path=path))
    return files


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Let the search load nothing from elsewhere."""
    return output.replace(_WORKER, "../" * page.file.dest_uri.count("/") + "assets/worker.js")


def on_post_template(output_content: str, **_: Any) -> str:
    """Do the same for pages that are no file in docs: 404.html."""
    return output_content.replace(_WORKER, "/assets/worker.js")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point pictures at their place on the site, and other files of the repository at none."""
    if "/" in page.file.src_uri:  # a page below another folder: its .. is on the site
        return markdown
    return _OUTSIDE.sub(_named, _PICTURE.sub("](pictures/", markdown))


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return text if path.rstrip("/") in text else f"{text} (`{path}` in the repository)"
