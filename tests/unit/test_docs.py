"""The documentation agrees with the repository: links, pages made from the code, files named."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from program import ROOT

from hpcwatch.cli.pages import PAGES

_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"[\w./-]+\.md\b|[\w-]+/[\w./-]+\.(?:py|toml|yml)\b")
_ELSEWHERE = {"on_real_gpu.md": "what tests/gpu/on_real_gpu.py writes"}
"""Files that comments name and that are not ours -> why."""

GENERATED = {f"docs/{name}.md" for name in PAGES}
"""Pages that exist on the site only: mkdocs makes them of the code."""


def tracked() -> list[str]:
    """All files of the repository; those of the folder where it is none."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("no git repository")
    return [name for name in done.stdout.split("\n") if name and (ROOT / name).is_file()]


def pages() -> list[Path]:
    """The pages for people: at the top, in docs, and of the tests."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"])


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_point_to_files_and_headings_that_are_there(page: Path) -> None:
    found = [first or second for first, second in _LINK.findall(_CODE.sub("", page.read_text()))]
    for link in found:
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if str(target.relative_to(ROOT)) in GENERATED and not anchor:
            continue
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_a_link_that_points_nowhere_is_seen() -> None:
    assert _LINK.findall("see [a](b.md#c), and ![d](e.png)") == [("b.md#c", ""), ("", "e.png")]
    assert "a-scheduler" in anchors(ROOT / "docs" / "adding.md")


def test_the_page_of_findings_is_what_the_rules_say() -> None:
    command = [sys.executable, "-m", "hpcwatch.cli.pages", "findings"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    page = ROOT / "docs" / "findings.md"
    assert page.read_text() == done.stdout, f"make it anew: {' '.join(command[1:])} > {page.name}"


def comments(path: Path) -> list[tuple[int, str]]:
    """The comments and docstrings of a module that names a file: line and text."""
    source = path.read_text()
    if not _NAMED.search(source):
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        (token.start[0], token.string)
        for token in tokens
        if token.type == tokenize.COMMENT or token.string.startswith('"""')
    ]


def test_comments_name_files_of_the_repository_only() -> None:
    names = tracked()
    ends = {
        "/".join(name.split("/")[place:]) for name in names for place in range(name.count("/") + 1)
    }
    missing = [
        f"{name}:{line}: {found[0]}"
        for name in names
        if name.endswith(".py")
        for line, text in comments(ROOT / name)
        for found in _NAMED.finditer(text)
        if found[0].removeprefix("./") not in ends and found[0] not in _ELSEWHERE
    ]
    assert missing == []
