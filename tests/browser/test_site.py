"""The documentation site, read from a folder as from a USB stick: no server, no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Chromium

pytest_plugins = ("browser_fixtures",)

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("material", reason="mkdocs-material is not installed")
_FETCHED = re.compile(
    r"""(?:src|href)="(https?:[^"]+\.(?:js|css|woff2?)[^"]*|https?://unpkg[^"]*)\""""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    assert {url for page in pages for url in _FETCHED.findall(page.read_text())} == set()


def test_the_search_works_without_a_server(site: Path, chromium: Chromium) -> None:
    chromium.open(site / "faq.html")
    chromium.ask("Page.navigate", url=f"{(site / 'faq.html').as_uri()}?q=hidepid")
    links = "[...document.querySelectorAll('a.md-search-result__link')].map(link => link.href)"
    chromium.wait_for(f"{links}.length > 0", "an answer of the search")
    assert any("administrators.html" in link for link in chromium.run(links))
    outside = [url for url in chromium.requests() if not url.startswith(("file:", "data:"))]
    assert outside == []
