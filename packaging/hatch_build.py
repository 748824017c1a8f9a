"""Adds the manual pages and completions to a wheel: they are made from the commands themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_CODE = "import sys; sys.path.insert(0, {root!r}); from hpcwatch.cli.man_pages import main; main()"


class PagesHook(BuildHookInterface[Any]):
    """Runs ``hpcwatch.cli.man_pages`` of the sources that are built. Needs no other package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages in a scratch folder, and name each with its place in the wheel."""
        if version != "standard":  # an editable installation
            return
        self._scratch = tempfile.TemporaryDirectory()
        code = _CODE.format(root=self.root)
        command = [sys.executable, "-I", "-S", "-B", "-c", code, self._scratch.name]
        subprocess.run(command, check=True)
        for folder, _, names in os.walk(self._scratch.name):
            for name in names:
                path = os.path.join(folder, name)
                place = os.path.relpath(path, self._scratch.name)
                if not place.endswith("man1/hpcwatch.1"):  # pyproject.toml names that one
                    build_data["shared_data"][path] = place
