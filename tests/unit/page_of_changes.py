"""The changes that docs/adding.md shows, applied to a copy of the package."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from program import ROOT

PAGE = ROOT / "docs" / "adding.md"
_BLOCK = re.compile(r"^```(diff|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HUNK = re.compile(r"^@@\n", re.MULTILINE)


class Section(NamedTuple):
    """What a section of the page tells to do."""

    changed: dict[str, list[tuple[str, str]]]
    """File -> what stands there, and what is to stand there instead."""
    new: dict[str, str]
    """File -> its whole text."""

    def apply(self, folder: Path) -> None:
        """Copy the package into a folder, and change it. Fails if the page is out of date."""
        shutil.copytree(ROOT / "hpcwatch", folder / "hpcwatch")
        for name, changes in self.changed.items():
            text = (folder / name).read_text()
            for old, new in changes:
                assert text.count(old) == 1, f"{name} has another text than docs/adding.md:\n{old}"
                text = text.replace(old, new)
            (folder / name).write_text(text)
        for name, text in self.new.items():
            assert not (folder / name).exists()
            (folder / name).write_text(text)


def section(title: str) -> Section:
    """Return the changes below a heading of the page."""
    _, _, rest = PAGE.read_text().partition(f"\n## {title}\n")
    found = Section({}, {})
    for kind, text in _BLOCK.findall(rest.partition("\n## ")[0]):
        first, _, body = text.partition("\n")
        if kind == "python":
            found.new[first.removeprefix("# ")] = body
        else:
            assert first.startswith("--- a/")
            hunks = _HUNK.split(body)[1:]
            found.changed[first.removeprefix("--- a/")] = [_sides(hunk) for hunk in hunks]
    assert found.changed, title
    return found


def _sides(hunk: str) -> tuple[str, str]:
    lines = [line or " " for line in hunk.splitlines()]
    old, new = ([line[1:] for line in lines if line[0] in kind] for kind in (" -", " +"))
    return "\n".join(old) + "\n", "\n".join(new) + "\n"
